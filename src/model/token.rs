//! What the controller remembers of a join token: never the secret itself.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::ContentHash;

const POOL_CONTEXT: &str = "jsched 2026 one name of a pool token";

/// The hash of a join token's secret. It names the token in the state and cannot be turned back into it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Under which hash a name of a pool token is kept: each of its names is a one-use token of its own, and whoever has
/// the secret finds his.
pub fn pool_member(token: ContentHash, name: &str) -> ContentHash {
    ContentHash(blake3::derive_key(POOL_CONTEXT, &[token.0.as_slice(), name.as_bytes()].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_differ_by_token_and_name() {
        let of = |byte, name| pool_member(ContentHash([byte; 32]), name);
        assert_eq!(of(1, "n1"), of(1, "n1"));
        assert!(of(1, "n1") != of(1, "n2") && of(1, "n1") != of(2, "n1"));
    }
}
