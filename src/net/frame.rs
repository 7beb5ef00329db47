//! Frames on a stream: four bytes of length, little-endian, then as many bytes.
//!
//! A length is judged before anything is done about it, and memory grows only with bytes that have arrived, so a
//! frame that lies about its length costs nothing.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use quinn::{ReadError, RecvStream, SendStream, VarInt, WriteError};
use thiserror::Error;
use tokio::time::timeout;

use super::close::CloseCode;

/// The most bytes of a frame from a peer that is known.
pub const FRAME_BYTES_MAX: usize = 16 << 20;
/// The most bytes of a frame while joining.
pub const JOIN_FRAME_BYTES_MAX: usize = 16 << 10;
/// Bytes of the length before a frame.
pub const HEADER_BYTES: usize = 4;
/// From so many waiting bytes on, a writer should be flushed within a turn, too.
pub const BATCH_BYTES: usize = 256 << 10;

/// Bytes taken from the stream at once.
const READ_BYTES: usize = 64 << 10;

/// What can go wrong with a frame. After any of these the stream is of no more use.
#[derive(Debug, Error)]
pub enum FrameError {
    /// Announced, or to be sent, with more bytes than agreed.
    #[error("a frame of {bytes} bytes is longer than the {max} that can be")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// What is allowed.
        max: usize,
    },
    /// The stream ended within a frame.
    #[error("the stream ended within a frame")]
    Torn,
    /// The peer let more time pass than it may.
    #[error("the peer took longer than {0:?} for a frame")]
    Slow(Duration),
    /// Reading failed. If the connection is gone, `net::close::end_of` knows why.
    #[error("cannot read from the stream: {0}")]
    Read(#[from] ReadError),
    /// Writing failed. If the connection is gone, `net::close::end_of` knows why.
    #[error("cannot write to the stream: {0}")]
    Write(#[from] WriteError),
}

/// How long a reader waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the first byte of a frame; `None`: as long as the connection lives.
    pub start: Option<Duration>,
    /// From then on for the rest of it, however many pieces it comes in.
    pub rest: Duration,
}

impl Patience {
    /// Waits as long as that for the beginning, and again as long for the rest.
    pub fn of(each: Duration) -> Patience {
        Patience { start: Some(each), rest: each }
    }

    /// Waits for ever for a frame to begin, then as long as that for the rest.
    pub fn for_events(rest: Duration) -> Patience {
        Patience { start: None, rest }
    }
}

/// Reads frames from a stream.
#[derive(Debug)]
pub struct FrameReader {
    stream: RecvStream,
    bytes_max: usize,
    unread: BytesMut,
}

impl FrameReader {
    /// Of frames with at most `bytes_max` bytes each.
    pub fn new(stream: RecvStream, bytes_max: usize) -> FrameReader {
        FrameReader { stream, bytes_max, unread: BytesMut::new() }
    }

    /// The next frame; `None` at a proper end of the stream. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`FrameError`]; on a frame that is too long the peer is told to stop.
    pub async fn next(&mut self, patience: Patience) -> Result<Option<Bytes>, FrameError> {
        if let Some(frame) = self.take()? {
            return Ok(Some(frame));
        }
        if self.unread.is_empty() {
            let more = match patience.start {
                Some(limit) => timeout(limit, self.fill()).await.map_err(|_| FrameError::Slow(limit))??,
                None => self.fill().await?,
            };
            if !more {
                return Ok(None);
            }
            if let Some(frame) = self.take()? {
                return Ok(Some(frame));
            }
        }
        let rest = async {
            loop {
                if !self.fill().await? {
                    return Err(FrameError::Torn);
                }
                if let Some(frame) = self.take()? {
                    return Ok(Some(frame));
                }
            }
        };
        timeout(patience.rest, rest).await.map_err(|_| FrameError::Slow(patience.rest))?
    }

    /// How long the next frame says that it is, as soon as that is known and before more of it is kept; `None` at a
    /// proper end of the stream.
    ///
    /// # Errors
    /// As [`FrameReader::next`].
    pub async fn announced(&mut self, limit: Duration) -> Result<Option<usize>, FrameError> {
        let header = async {
            loop {
                if let Some(header) = self.unread.first_chunk::<HEADER_BYTES>() {
                    let bytes = usize::try_from(u32::from_le_bytes(*header)).unwrap_or(usize::MAX);
                    if bytes > self.bytes_max {
                        let _ = self.stream.stop(CloseCode::Protocol.varint());
                        return Err(FrameError::TooLong { bytes, max: self.bytes_max });
                    }
                    return Ok(Some(bytes));
                }
                if !self.fill().await? {
                    return if self.unread.is_empty() { Ok(None) } else { Err(FrameError::Torn) };
                }
            }
        };
        timeout(limit, header).await.map_err(|_| FrameError::Slow(limit))?
    }

    /// A frame that is there already, if one is; for handling all of a batch in one turn.
    ///
    /// # Errors
    /// [`FrameError::TooLong`].
    pub fn take(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(header) = self.unread.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let bytes = usize::try_from(u32::from_le_bytes(*header)).unwrap_or(usize::MAX);
        if bytes > self.bytes_max {
            // The error is what counts; that the stream is already gone does not matter.
            let _ = self.stream.stop(CloseCode::Protocol.varint());
            return Err(FrameError::TooLong { bytes, max: self.bytes_max });
        }
        if self.unread.len() - HEADER_BYTES < bytes {
            return Ok(None);
        }
        self.unread.advance(HEADER_BYTES);
        Ok(Some(self.unread.split_to(bytes).freeze()))
    }

    /// Other limits from now on, say after the peer has shown who it is.
    pub fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// The stream beneath, for resets and priorities.
    pub fn stream_mut(&mut self) -> &mut RecvStream {
        &mut self.stream
    }

    async fn fill(&mut self) -> Result<bool, FrameError> {
        match self.stream.read_chunk(READ_BYTES, true).await? {
            Some(chunk) => {
                self.unread.extend_from_slice(&chunk.bytes);
                Ok(true)
            }
            None if self.unread.is_empty() => Ok(false),
            None => Err(FrameError::Torn),
        }
    }
}

/// Writes frames to a stream: gathered by [`FrameWriter::push`], sent by [`FrameWriter::flush`] once a turn.
#[derive(Debug)]
pub struct FrameWriter {
    stream: SendStream,
    bytes_max: usize,
    waiting: BytesMut,
    /// What a flush has begun to hand over, less what the connection has taken.
    leaving: Bytes,
}

impl FrameWriter {
    /// Of frames with at most `bytes_max` bytes each.
    pub fn new(stream: SendStream, bytes_max: usize) -> FrameWriter {
        FrameWriter { stream, bytes_max, waiting: BytesMut::new(), leaving: Bytes::new() }
    }

    /// Adds a frame to what waits.
    ///
    /// # Errors
    /// [`FrameError::TooLong`]; then nothing was added.
    pub fn push(&mut self, frame: &[u8]) -> Result<(), FrameError> {
        put_frame(&mut self.waiting, frame, self.bytes_max)
    }

    /// How many bytes wait.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting.len() + self.leaving.len()
    }

    /// Whether so much waits that it should be flushed now ([`BATCH_BYTES`]).
    pub fn is_full(&self) -> bool {
        self.waiting_bytes() >= BATCH_BYTES
    }

    /// Hands what waits to the connection; waits itself while the peer reads too slowly, `limit` at most. Dropping
    /// the future loses nothing: the next flush goes on where it was.
    ///
    /// # Errors
    /// [`FrameError::Slow`] or [`FrameError::Write`]; the stream is reset then, since part of a frame may be sent.
    pub async fn flush(&mut self, limit: Duration) -> Result<(), FrameError> {
        let result = match timeout(limit, self.hand_over()).await {
            Ok(handed_over) => handed_over,
            Err(_) => Err(FrameError::Slow(limit)),
        };
        if result.is_err() {
            self.reset(CloseCode::Busy.varint());
        }
        result
    }

    /// Flushes, and ends the stream properly. The peer has everything only when it says so.
    ///
    /// # Errors
    /// As [`FrameWriter::flush`].
    pub async fn finish(mut self, limit: Duration) -> Result<(), FrameError> {
        self.flush(limit).await?;
        // An error would mean that the stream is reset already.
        let _ = self.stream.finish();
        Ok(())
    }

    /// Gives the stream up at once.
    pub fn reset(&mut self, code: VarInt) {
        self.waiting.clear();
        self.leaving.clear();
        // An error would mean that the stream has ended already.
        let _ = self.stream.reset(code);
    }

    /// The stream beneath, for priorities.
    pub fn stream_mut(&mut self) -> &mut SendStream {
        &mut self.stream
    }

    async fn hand_over(&mut self) -> Result<(), FrameError> {
        loop {
            if self.leaving.is_empty() {
                if self.waiting.is_empty() {
                    return Ok(());
                }
                self.leaving = self.waiting.split().freeze();
            }
            // Leaves in `leaving` what was not taken.
            self.stream.write_chunks(std::slice::from_mut(&mut self.leaving)).await?;
        }
    }
}

/// Sends one frame and ends the stream: the whole of a request, or of an answer.
///
/// # Errors
/// As [`FrameWriter::flush`].
pub async fn write_frame(
    stream: SendStream,
    frame: &[u8],
    bytes_max: usize,
    limit: Duration,
) -> Result<(), FrameError> {
    let mut writer = FrameWriter::new(stream, bytes_max);
    writer.push(frame)?;
    writer.finish(limit).await
}

/// Reads the only frame of a stream: the whole of a request, or of an answer.
///
/// # Errors
/// [`FrameError`]; [`FrameError::Torn`] also when there is no frame at all.
pub async fn read_frame(
    stream: RecvStream,
    bytes_max: usize,
    patience: Patience,
) -> Result<Bytes, FrameError> {
    FrameReader::new(stream, bytes_max).next(patience).await?.ok_or(FrameError::Torn)
}

fn put_frame(buffer: &mut BytesMut, frame: &[u8], bytes_max: usize) -> Result<(), FrameError> {
    let too_long = || FrameError::TooLong { bytes: frame.len(), max: bytes_max };
    let length = u32::try_from(frame.len()).map_err(|_| too_long())?;
    if frame.len() > bytes_max {
        return Err(too_long());
    }
    buffer.reserve(HEADER_BYTES + frame.len());
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(frame);
    Ok(())
}
