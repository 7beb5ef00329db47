//! `#[serde(with = "bytes")]`: many bytes go as one copy rather than one by one. What stands on the wire is the same.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

/// Writes them.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// Reads them.
///
/// # Errors
/// The deserializer's: more than the limit, or than there are.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    deserializer.deserialize_byte_buf(Bytes)
}

struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("bytes")
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use crate::wire::codec::{decode_plain, encode};
    use crate::wire_body;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Plain(Vec<u8>, u64);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Quick(#[serde(with = "super")] Vec<u8>, u64);
    wire_body! {
        Plain = "plain", 1;
        Quick = "quick", 1;
    }

    proptest! {
        #[test]
        fn it_is_the_same_on_the_wire(bytes in prop::collection::vec(any::<u8>(), 0..600), number: u64) {
            let encoded = encode(&Plain(bytes.clone(), number)).unwrap();
            prop_assert_eq!(&encoded, &encode(&Quick(bytes.clone(), number)).unwrap());
            let body = encoded.get(6..).unwrap();
            prop_assert_eq!(decode_plain::<Quick>("quick", body).unwrap(), Quick(bytes, number));
            for cut in 0..body.len() {
                prop_assert!(decode_plain::<Quick>("quick", &body[..cut]).is_err());
            }
        }
    }
}
