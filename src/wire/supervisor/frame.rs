//! Frames of the supervisor's socket: a length and one encoded message, cut out of any stream of bytes.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most bytes of one message: a script, an environment, arguments and lines fit.
pub const FRAME_BYTES_MAX: usize = 8 << 20;

const LENGTH_BYTES: usize = 4;

/// Why bytes are no message, or a message does not fit.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length says more than is allowed.
    #[error("a message of {0} bytes is above the limit of {FRAME_BYTES_MAX}; the connection can't go on")]
    TooLong(u64),
    /// The bytes are none of the known messages.
    #[error("a message can't be read ({0}); the peer may be of another version")]
    Malformed(String),
    /// A message can't be written.
    #[error("a message can't be written ({0})")]
    Unwritable(String),
}

/// The bytes of `message`, its length before it.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let body = bincode::serde::encode_to_vec(message, bincode::config::standard())
        .map_err(|error| FrameError::Unwritable(error.to_string()))?;
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    if body.len() > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong(u64::from(length)));
    }
    let mut frame = Vec::with_capacity(LENGTH_BYTES + body.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// Collects the bytes of a stream and cuts messages out of them. It grows with the bytes received, never with
/// a length that was only claimed.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    bytes: Vec<u8>,
    read: usize,
}

impl FrameDecoder {
    /// With nothing received.
    pub fn new() -> FrameDecoder {
        FrameDecoder::default()
    }

    /// Takes what was received.
    pub fn push(&mut self, received: &[u8]) {
        if self.read > 0 && self.read >= self.bytes.len() / 2 {
            self.bytes.drain(..self.read);
            self.read = 0;
        }
        self.bytes.extend_from_slice(received);
    }

    /// The next whole message, if one is there. After an error the stream is of no more use.
    pub fn cut<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let rest = self.bytes.get(self.read..).unwrap_or_default();
        let Some((head, body)) = rest.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_le_bytes(*head) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(FrameError::TooLong(length as u64));
        }
        let Some(body) = body.get(..length) else { return Ok(None) };
        let limit = bincode::config::standard().with_limit::<FRAME_BYTES_MAX>();
        let (message, used) = bincode::serde::decode_from_slice::<T, _>(body, limit)
            .map_err(|error| FrameError::Malformed(error.to_string()))?;
        if used != length {
            return Err(FrameError::Malformed(format!("{} bytes follow it", length - used)));
        }
        self.read += LENGTH_BYTES + length;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{AttemptRef, KillReason, ToSupervisor, Which};
    use super::*;
    use crate::model::ids::{Attempt, Ordinal};

    fn messages() -> impl Strategy<Value = ToSupervisor> {
        let task = (any::<u32>(), any::<u32>())
            .prop_map(|(o, a)| AttemptRef { ordinal: Ordinal(o), attempt: Attempt(a) });
        let tasks = prop::collection::vec(task, 0..20);
        prop_oneof![
            any::<u16>().prop_map(|version| ToSupervisor::Hello { version }),
            tasks.clone().prop_map(|tasks| ToSupervisor::Withdraw { tasks }),
            (tasks, ".*", ".*").prop_map(|(tasks, by, text)| ToSupervisor::Kill {
                which: Which::These(tasks),
                reason: KillReason::Cancel { by, text },
                grace: None,
            }),
            Just(ToSupervisor::Finish),
        ]
    }

    proptest! {
        #[test]
        fn messages_survive_any_cutting(sent in prop::collection::vec(messages(), 1..8), cut in 1usize..40) {
            let bytes: Vec<u8> = sent.iter().flat_map(|message| encode(message).unwrap()).collect();
            let mut decoder = FrameDecoder::new();
            let mut got = Vec::new();
            for piece in bytes.chunks(cut) {
                decoder.push(piece);
                while let Some(message) = decoder.cut::<ToSupervisor>().unwrap() {
                    got.push(message);
                }
            }
            prop_assert_eq!(got, sent);
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = FrameDecoder::new();
            decoder.push(&(bytes.len() as u32).to_le_bytes());
            decoder.push(&bytes);
            let _ = decoder.cut::<ToSupervisor>();
        }
    }

    #[test]
    fn the_limit_holds_before_anything_is_allocated() {
        let mut decoder = FrameDecoder::new();
        decoder.push(&(FRAME_BYTES_MAX as u32 + 1).to_le_bytes());
        assert!(matches!(decoder.cut::<ToSupervisor>(), Err(FrameError::TooLong(_))));
        let mut decoder = FrameDecoder::new();
        decoder.push(&(FRAME_BYTES_MAX as u32).to_le_bytes());
        assert!(matches!(decoder.cut::<ToSupervisor>(), Ok(None)));
        let fits = vec![0u8; FRAME_BYTES_MAX - 5];
        assert_eq!(encode(&fits).unwrap().len(), FRAME_BYTES_MAX + LENGTH_BYTES);
        assert!(matches!(encode(&vec![0u8; FRAME_BYTES_MAX]), Err(FrameError::TooLong(_))));
    }
}
