//! The one place that turns messages and records into bytes and back.
//!
//! A body is `version: u16, length: u32, body: bincode, extensions…`, all little endian; an extension is `tag: u16,
//! length: u32, bytes`, and the tag's highest bit says "must understand". Readers lift old versions, keep unknown
//! extensions of records, and refuse unknown must-understand ones by name. bincode runs with its standard
//! configuration (variable-length integers) and a decode limit; trailing bytes are refused. No message type may be
//! recursive or have zero-sized elements, since both defeat the limit.

use serde::{Serialize, de::DeserializeOwned};

/// The most bytes of one encoded body, and of one frame that carries it.
pub const BODY_BYTES_MAX: usize = 64 << 20;
/// The most extensions of one body.
pub const EXTENSIONS_MAX: usize = 64;
/// The bit of an extension's tag that says "must understand".
pub const MUST_UNDERSTAND: u16 = 0x8000;

const HEAD_BYTES: usize = 6;
const EXTENSION_HEAD_BYTES: usize = 6;

/// A type that stands on the wire or on disk by itself.
pub trait Body: Serialize + DeserializeOwned {
    /// What it is called in error messages.
    const NAME: &'static str;
    /// The version that writers of this build use.
    const VERSION: u16;

    /// Reads a body of an older version; `None` if that version is not known any more.
    fn lift(version: u16, bytes: &[u8]) -> Option<Result<Self, DecodeError>> {
        let _ = (version, bytes);
        None
    }
}

/// Why bytes were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer bytes than the head says.
    #[error("{name} is cut off: {have} bytes of {need}")]
    Short {
        /// What was read.
        name: &'static str,
        /// Bytes there.
        have: usize,
        /// Bytes needed.
        need: usize,
    },
    /// Over the limit.
    #[error("{name} of {bytes} bytes is over the limit of {BODY_BYTES_MAX}")]
    TooLarge {
        /// What was read.
        name: &'static str,
        /// Its size.
        bytes: usize,
    },
    /// A version that this build cannot read.
    #[error("{name} has version {version}, this build reads up to {known}; upgrade this side")]
    Version {
        /// What was read.
        name: &'static str,
        /// The version found.
        version: u16,
        /// The newest known.
        known: u16,
    },
    /// An extension that must be understood and is not.
    #[error(
        "{name} has the extension {tag:#06x}, which must be understood and is not known here; upgrade this side"
    )]
    Extension {
        /// What was read.
        name: &'static str,
        /// The tag.
        tag: u16,
    },
    /// Bytes that make no sense.
    #[error("{name} is malformed: {reason}")]
    Malformed {
        /// What was read.
        name: &'static str,
        /// Where it went wrong.
        reason: String,
    },
}

/// Bytes that this build does not understand and writes back as they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its tag.
    pub tag: u16,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A record with the extensions that a newer build put on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<T> {
    /// The part that is understood.
    pub body: T,
    /// The part that is kept.
    pub extensions: Vec<Extension>,
}

/// Encodes a body without extensions.
///
/// # Errors
/// [`DecodeError::TooLarge`] above [`BODY_BYTES_MAX`].
pub fn encode<T: Body>(body: &T) -> Result<Vec<u8>, DecodeError> {
    encode_record(body, &[])
}

/// Encodes a body and the extensions that came with it.
///
/// # Errors
/// [`DecodeError::TooLarge`] above [`BODY_BYTES_MAX`].
pub fn encode_record<T: Body>(body: &T, extensions: &[Extension]) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = vec![0; HEAD_BYTES];
    let config = bincode::config::standard();
    let length = bincode::serde::encode_into_std_write(body, &mut bytes, config)
        .map_err(|error| DecodeError::Malformed { name: T::NAME, reason: error.to_string() })?;
    if length > BODY_BYTES_MAX {
        return Err(DecodeError::TooLarge { name: T::NAME, bytes: length });
    }
    bytes[0..2].copy_from_slice(&T::VERSION.to_le_bytes());
    bytes[2..HEAD_BYTES].copy_from_slice(&(length as u32).to_le_bytes());
    for extension in extensions {
        bytes.extend_from_slice(&extension.tag.to_le_bytes());
        bytes.extend_from_slice(&(extension.bytes.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&extension.bytes);
    }
    Ok(bytes)
}

/// Decodes a message; unknown extensions that need not be understood are dropped.
///
/// # Errors
/// Everything that is not exactly one body, see [`DecodeError`].
pub fn decode<T: Body>(bytes: &[u8]) -> Result<T, DecodeError> {
    decode_record(bytes).map(|record| record.body)
}

/// Decodes a record and keeps its unknown extensions.
///
/// # Errors
/// Everything that is not exactly one body, see [`DecodeError`].
pub fn decode_record<T: Body>(bytes: &[u8]) -> Result<Record<T>, DecodeError> {
    let short = |need: usize| DecodeError::Short { name: T::NAME, have: bytes.len(), need };
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Err(short(HEAD_BYTES));
    };
    let version = u16::from_le_bytes([head[0], head[1]]);
    let length = u32::from_le_bytes([head[2], head[3], head[4], head[5]]) as usize;
    if length > BODY_BYTES_MAX {
        return Err(DecodeError::TooLarge { name: T::NAME, bytes: length });
    }
    let Some((body, rest)) = rest.split_at_checked(length) else {
        return Err(short(HEAD_BYTES + length));
    };
    let extensions = read_extensions(T::NAME, rest)?;
    let body = if version == T::VERSION {
        decode_plain(T::NAME, body)?
    } else {
        let unknown = DecodeError::Version { name: T::NAME, version, known: T::VERSION };
        T::lift(version, body).ok_or(unknown)??
    };
    Ok(Record { body, extensions })
}

/// Decodes exactly one bincode value, with the limit, for [`Body::lift`].
///
/// # Errors
/// [`DecodeError::Malformed`], also when bytes are left over.
pub fn decode_plain<T: DeserializeOwned>(name: &'static str, bytes: &[u8]) -> Result<T, DecodeError> {
    let config = bincode::config::standard().with_limit::<BODY_BYTES_MAX>();
    let malformed = |reason: String| DecodeError::Malformed { name, reason };
    match bincode::serde::decode_from_slice(bytes, config) {
        Ok((value, used)) if used == bytes.len() => Ok(value),
        Ok((_, used)) => Err(malformed(format!("{} bytes are left over", bytes.len() - used))),
        Err(error) => Err(malformed(error.to_string())),
    }
}

fn read_extensions(name: &'static str, mut rest: &[u8]) -> Result<Vec<Extension>, DecodeError> {
    let mut extensions = Vec::new();
    while !rest.is_empty() {
        let cut = |need: usize| DecodeError::Short { name, have: rest.len(), need };
        let Some((head, tail)) = rest.split_first_chunk::<EXTENSION_HEAD_BYTES>() else {
            return Err(cut(EXTENSION_HEAD_BYTES));
        };
        let tag = u16::from_le_bytes([head[0], head[1]]);
        let length = u32::from_le_bytes([head[2], head[3], head[4], head[5]]) as usize;
        if tag & MUST_UNDERSTAND != 0 {
            return Err(DecodeError::Extension { name, tag });
        }
        let Some((bytes, tail)) = tail.split_at_checked(length) else {
            return Err(cut(EXTENSION_HEAD_BYTES + length));
        };
        if extensions.len() == EXTENSIONS_MAX {
            return Err(DecodeError::Malformed {
                name,
                reason: format!("more than {EXTENSIONS_MAX} extensions"),
            });
        }
        extensions.push(Extension { tag, bytes: bytes.to_vec() });
        rest = tail;
    }
    Ok(extensions)
}

/// Implements [`Body`] for types at their first version, or at a given one without older ones.
#[macro_export]
macro_rules! wire_body {
    ($($type:ty = $name:literal, $version:literal;)*) => {
        $(impl $crate::wire::codec::Body for $type {
            const NAME: &'static str = $name;
            const VERSION: u16 = $version;
        })*
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        number: u64,
        words: Vec<String>,
    }
    wire_body! { Sample = "sample", 2; }

    fn sample() -> Sample {
        Sample { number: 300, words: vec!["a".to_owned(), "bc".to_owned()] }
    }

    #[test]
    fn old_bytes_are_read_for_ever() {
        let golden = [2, 0, 9, 0, 0, 0, 251, 44, 1, 2, 1, b'a', 2, b'b', b'c'];
        assert_eq!(encode(&sample()).unwrap(), golden);
        assert_eq!(decode::<Sample>(&golden).unwrap(), sample());
    }

    #[test]
    fn extensions_are_kept_or_refused_by_name() {
        let kept = Extension { tag: 7, bytes: vec![1, 2, 3] };
        let bytes = encode_record(&sample(), std::slice::from_ref(&kept)).unwrap();
        assert_eq!(decode_record::<Sample>(&bytes).unwrap().extensions, vec![kept]);
        let must = Extension { tag: MUST_UNDERSTAND | 7, bytes: vec![] };
        let bytes = encode_record(&sample(), &[must]).unwrap();
        let refused = DecodeError::Extension { name: "sample", tag: MUST_UNDERSTAND | 7 };
        assert_eq!(decode::<Sample>(&bytes), Err(refused));
        let many = vec![Extension { tag: 1, bytes: vec![] }; EXTENSIONS_MAX + 1];
        assert!(decode::<Sample>(&encode_record(&sample(), &many).unwrap()).is_err());
        assert!(decode::<Sample>(&encode_record(&sample(), &many[1..]).unwrap()).is_ok());
    }

    #[test]
    fn other_versions_and_left_over_bytes_are_refused() {
        let mut bytes = encode(&sample()).unwrap();
        bytes[0] = 3;
        assert!(matches!(decode::<Sample>(&bytes), Err(DecodeError::Version { version: 3, known: 2, .. })));
        let mut bytes = encode(&sample()).unwrap();
        bytes[2] -= 1;
        assert!(decode::<Sample>(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_allocate_beyond_them(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<Sample>(&bytes);
        }

        #[test]
        fn a_flipped_length_is_never_believed(claim in any::<u32>()) {
            let mut bytes = encode(&sample()).unwrap();
            bytes[2..6].copy_from_slice(&claim.to_le_bytes());
            prop_assert_eq!(decode::<Sample>(&bytes).is_ok(), claim == 9);
        }
    }
}
