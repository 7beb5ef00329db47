//! A frame: how one group of the log stands in a file, with everything needed to see that it is whole and in place.
//!
//! All numbers are little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `jsfr` |
//! | 2 | version, 1 |
//! | 2 | zero |
//! | 16 | incarnation |
//! | 8 | epoch |
//! | 8 | position |
//! | 8 | the position known to be durable when this frame was written |
//! | 4 | CRC of the frame before, 0 for the first |
//! | 4 | length of the payload |
//! | n | payload |
//! | 4 | CRC-32 over all of the above |
//!
//! The durable position tells damage from a torn end without the mark: a broken frame followed by a whole one that
//! knew it to be durable was not cut by a crash. Later versions keep magic, version, length and the last CRC in
//! their places, so that "newer" is never taken for "damaged".

use thiserror::Error;

use super::log::PAYLOAD_BYTES_MAX;
use crate::model::ids::{Epoch, Incarnation, Position};

/// The first bytes of each frame.
pub const MAGIC: [u8; 4] = *b"jsfr";
/// The version written, and the highest one read.
pub const VERSION: u16 = 1;
/// Bytes before the payload.
pub const HEADER_BYTES: usize = 56;
/// Bytes of a frame beside its payload.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + CRC_BYTES;
/// The most bytes of a whole frame.
pub const FRAME_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + OVERHEAD_BYTES;

const CRC_BYTES: usize = 4;
const INCARNATION_AT: usize = 8;
const DURABLE_AT: usize = 40;
const LENGTH_AT: usize = 52;

/// One group and its place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The cluster's incarnation.
    pub incarnation: Incarnation,
    /// The term of office in which it was appended.
    pub epoch: Epoch,
    /// Its position.
    pub position: Position,
    /// What was durable when it was written.
    pub durable: Position,
    /// The CRC of the frame before.
    pub previous: u32,
    /// The changes of the group, encoded.
    pub payload: &'a [u8],
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameFault {
    /// Other bytes than a frame's first.
    #[error("no frame begins here")]
    NoMagic,
    /// A length above the cap.
    #[error("the frame's length is impossible")]
    TooLong,
    /// The bytes end before the frame does.
    #[error("the frame is cut short")]
    Cut,
    /// The checksum does not agree.
    #[error("the frame's checksum is wrong")]
    WrongCrc,
    /// A whole frame of a later version.
    #[error("the frame has format {0}")]
    Newer(u16),
}

/// Appends the bytes of `frame` to `out` and gives its CRC. The payload must not be above the cap.
pub fn encode(frame: &Frame<'_>, out: &mut Vec<u8>) -> u32 {
    debug_assert!(frame.payload.len() <= PAYLOAD_BYTES_MAX);
    let start = out.len();
    out.reserve(frame.payload.len() + OVERHEAD_BYTES);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&0u16.to_le_bytes());
    out.extend_from_slice(&frame.incarnation.0);
    out.extend_from_slice(&frame.epoch.0.to_le_bytes());
    out.extend_from_slice(&frame.position.0.to_le_bytes());
    out.extend_from_slice(&frame.durable.0.to_le_bytes());
    out.extend_from_slice(&frame.previous.to_le_bytes());
    out.extend_from_slice(&(frame.payload.len() as u32).to_le_bytes());
    out.extend_from_slice(frame.payload);
    let crc = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
    crc
}

/// How many bytes the frame has that begins with `header`, of which [`HEADER_BYTES`] are needed.
pub fn size(header: &[u8]) -> Result<usize, FrameFault> {
    if header.get(..MAGIC.len()).ok_or(FrameFault::Cut)? != MAGIC {
        return Err(FrameFault::NoMagic);
    }
    let length = u32::from_le_bytes(field(header, LENGTH_AT)?);
    let length = usize::try_from(length).map_err(|_| FrameFault::TooLong)?;
    if length > PAYLOAD_BYTES_MAX { Err(FrameFault::TooLong) } else { Ok(length + OVERHEAD_BYTES) }
}

/// What `header` claims to be the incarnation and the durable position; nothing is checked.
pub fn claims(header: &[u8]) -> Result<(Incarnation, Position), FrameFault> {
    let durable = Position(u64::from_le_bytes(field(header, DURABLE_AT)?));
    Ok((Incarnation(field(header, INCARNATION_AT)?), durable))
}

/// Reads the frame at the beginning of `bytes`, and its CRC.
pub fn decode(bytes: &[u8]) -> Result<(Frame<'_>, u32), FrameFault> {
    let size = size(bytes)?;
    let whole = bytes.get(..size).ok_or(FrameFault::Cut)?;
    let crc = u32::from_le_bytes(field(whole, size - CRC_BYTES)?);
    let covered = whole.get(..size - CRC_BYTES).ok_or(FrameFault::Cut)?;
    if crc32fast::hash(covered) != crc {
        return Err(FrameFault::WrongCrc);
    }
    let version = u16::from_le_bytes(field(whole, 4)?);
    if version > VERSION {
        return Err(FrameFault::Newer(version));
    }
    let frame = Frame {
        incarnation: Incarnation(field(whole, INCARNATION_AT)?),
        epoch: Epoch(u64::from_le_bytes(field(whole, 24)?)),
        position: Position(u64::from_le_bytes(field(whole, 32)?)),
        durable: Position(u64::from_le_bytes(field(whole, DURABLE_AT)?)),
        previous: u32::from_le_bytes(field(whole, 48)?),
        payload: covered.get(HEADER_BYTES..).ok_or(FrameFault::Cut)?,
    };
    Ok((frame, crc))
}

/// The `N` bytes at `offset`.
pub(super) fn field<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N], FrameFault> {
    bytes.get(offset..offset + N).and_then(|slice| slice.try_into().ok()).ok_or(FrameFault::Cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &[u8] = include_bytes!("../../tests/golden/store-frame-1.bin");

    fn example(payload: &[u8]) -> Frame<'_> {
        Frame {
            incarnation: Incarnation([0xab; 16]),
            epoch: Epoch(3),
            position: Position(0x0102_0304_0506_0708),
            durable: Position(7),
            previous: 0xdead_beef,
            payload,
        }
    }

    #[test]
    fn old_frames_are_read_for_ever() {
        let (frame, crc) = decode(GOLDEN).unwrap();
        assert_eq!(frame, example(b"changes"));
        let mut bytes = Vec::new();
        assert_eq!(encode(&frame, &mut bytes), crc);
        assert_eq!(bytes, GOLDEN);
    }

    #[test]
    fn any_one_bit_and_any_cut_is_seen() {
        for bit in 0..GOLDEN.len() * 8 {
            let mut bytes = GOLDEN.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes).is_err(), "bit {bit}");
        }
        for length in 0..GOLDEN.len() {
            assert!(decode(&GOLDEN[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn a_newer_frame_is_not_called_damaged() {
        let mut bytes = GOLDEN.to_vec();
        bytes[4] = 2;
        let end = bytes.len() - CRC_BYTES;
        let crc = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(decode(&bytes), Err(FrameFault::Newer(2)));
    }

    #[test]
    fn the_length_is_capped_before_anything_is_read() {
        let mut header = GOLDEN[..HEADER_BYTES].to_vec();
        header[LENGTH_AT..].copy_from_slice(&(PAYLOAD_BYTES_MAX as u32).to_le_bytes());
        assert_eq!(size(&header), Ok(FRAME_BYTES_MAX));
        header[LENGTH_AT..].copy_from_slice(&(PAYLOAD_BYTES_MAX as u32 + 1).to_le_bytes());
        assert_eq!(size(&header), Err(FrameFault::TooLong));
    }
}
