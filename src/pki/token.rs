//! The one-use token with which somebody gets the first certificate.
//!
//! Its text carries all that a machine needs which knows nothing yet: where the controller is, by which
//! authority to know it, and a secret. Cluster, role and name are there to be shown and to name files: what the
//! bearer gets is what the controller has recorded for the secret's hash, never what the text says. Whether a
//! token is used up or too old is for the core to know.

use std::fmt;

use thiserror::Error;

use crate::model::identity::{Role, name_is_valid};
use crate::model::token::TokenHash;

use super::certificate::Fingerprint;

/// The most addresses of controllers in a token.
pub const ADDRESSES_MAX: usize = 8;
/// The most bytes of one address: a host name and a port.
pub const ADDRESS_BYTES_MAX: usize = 253 + 6;
/// The most characters of a token's text.
pub const TOKEN_CHARS_MAX: usize = 4_096;

const PREFIX: &str = "jsched1-";
const CHECKSUM_BYTES: usize = 4;
const SECRET_CONTEXT: &str = "jsched 2026 secret of a join token";
const CHECKSUM_CONTEXT: &str = "jsched 2026 checksum of a join token";

/// Why a text is no token, or a token cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Another text altogether.
    #[error("that is no join token: one begins with {PREFIX}")]
    Prefix,
    /// Damaged on the way, mostly a line break or a missing end.
    #[error("the join token is damaged: copy it again, whole and in one line")]
    Damaged,
    /// The checksum is right, but the contents are none that this version makes.
    #[error("the join token cannot be understood ({0}); it may come from another version")]
    Contents(&'static str),
    /// A field that is too long or has characters that it cannot have.
    #[error("a join token cannot be made: {0}")]
    Make(&'static str),
    /// The kernel gave no randomness.
    #[error("no randomness for a join token: {0}")]
    Random(getrandom::Error),
}

/// The secret of a token. Not shown by Debug.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// The secret of those bytes, as they came in a join request.
    pub fn from_bytes(bytes: [u8; 32]) -> Secret {
        Secret(bytes)
    }

    /// The bytes, to be sent in the join request and nowhere else.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the controller keeps of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash(blake3::derive_key(SECRET_CONTEXT, &self.0))
    }

    /// A new one. Whoever asks for a token makes the secret first and shows the controller its hash alone.
    ///
    /// # Errors
    /// [`TokenError::Random`].
    pub fn random() -> Result<Secret, TokenError> {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).map_err(TokenError::Random)?;
        Ok(Secret(bytes))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// For which name a token counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenName {
    /// For this one.
    One(String),
    /// For each of several names once; the bearer says which.
    Pool,
}

/// A join token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    addresses: Vec<String>,
    authority: Fingerprint,
    cluster: String,
    role: Role,
    name: TokenName,
    secret: Secret,
}

impl JoinToken {
    /// Makes a token with a new secret. `addresses` are `HOST` or `HOST:PORT`.
    ///
    /// # Errors
    /// [`TokenError::Make`] for fields that a token cannot carry.
    pub fn new(
        addresses: Vec<String>,
        authority: Fingerprint,
        cluster: &str,
        role: Role,
        name: TokenName,
    ) -> Result<JoinToken, TokenError> {
        JoinToken::with_secret(Secret::random()?, addresses, authority, cluster, role, name)
    }

    /// The same with a secret that was made before.
    ///
    /// # Errors
    /// [`TokenError::Make`] for fields that a token cannot carry.
    pub fn with_secret(
        secret: Secret,
        addresses: Vec<String>,
        authority: Fingerprint,
        cluster: &str,
        role: Role,
        name: TokenName,
    ) -> Result<JoinToken, TokenError> {
        let token = JoinToken { addresses, authority, cluster: cluster.to_owned(), role, name, secret };
        match token.fault() {
            Some(fault) => Err(TokenError::Make(fault)),
            None => Ok(token),
        }
    }

    /// Where the controller can be dialled.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The authority by which to know it.
    pub fn authority(&self) -> Fingerprint {
        self.authority
    }

    /// The cluster to join.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// As what.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Under which name.
    pub fn name(&self) -> &TokenName {
        &self.name
    }

    /// The secret to send.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The text: `jsched1-` and lower-case base32 without padding.
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(self.authority.0.as_slice());
        bytes.extend_from_slice(&self.secret.0);
        put_text(&mut bytes, &self.cluster);
        put_text(&mut bytes, self.role.word());
        put_text(&mut bytes, if let TokenName::One(name) = &self.name { name } else { "" });
        for address in &self.addresses {
            put_text(&mut bytes, address);
        }
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        let mut text = data_encoding::BASE32_NOPAD.encode(&bytes);
        text.make_ascii_lowercase();
        text.insert_str(0, PREFIX);
        text
    }

    /// Reads a token's text; blanks around it are ignored.
    ///
    /// # Errors
    /// Why it is none.
    pub fn decode(text: &str) -> Result<JoinToken, TokenError> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(TokenError::Prefix)?;
        if body.len() > TOKEN_CHARS_MAX - PREFIX.len() || body.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(TokenError::Damaged);
        }
        let bytes = data_encoding::BASE32_NOPAD
            .decode(body.to_ascii_uppercase().as_bytes())
            .map_err(|_| TokenError::Damaged)?;
        let (rest, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(TokenError::Damaged)?;
        if checksum(rest) != *sum {
            return Err(TokenError::Damaged);
        }
        let token =
            take_token(rest).ok_or(TokenError::Contents("its fields do not end where they should"))?;
        match token.fault() {
            Some(fault) => Err(TokenError::Contents(fault)),
            None => Ok(token),
        }
    }

    fn fault(&self) -> Option<&'static str> {
        let address_fits = |a: &String| {
            (1..=ADDRESS_BYTES_MAX).contains(&a.len()) && a.bytes().all(|b| b.is_ascii_graphic())
        };
        let name_fits = match &self.name {
            TokenName::One(name) => name_is_valid(name),
            TokenName::Pool => true,
        };
        if self.addresses.is_empty() || self.addresses.len() > ADDRESSES_MAX {
            Some("it needs 1 to 8 addresses")
        } else if !self.addresses.iter().all(address_fits) {
            Some("an address is too long or has characters that no address has")
        } else if !name_is_valid(&self.cluster) {
            Some("its cluster has no valid name")
        } else if !name_fits {
            Some("its name is not valid")
        } else {
            None
        }
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let [a, b, c, d, ..] = blake3::derive_key(CHECKSUM_CONTEXT, bytes);
    [a, b, c, d]
}

/// Length in two bytes, little-endian, then the text. All fields are at most [`ADDRESS_BYTES_MAX`] bytes long.
fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

fn take_token(bytes: &[u8]) -> Option<JoinToken> {
    let (authority, rest) = bytes.split_first_chunk::<32>()?;
    let (secret, mut rest) = rest.split_first_chunk::<32>()?;
    let cluster = take_text(&mut rest)?.to_owned();
    let role = Role::from_word(take_text(&mut rest)?)?;
    let name = match take_text(&mut rest)? {
        "" => TokenName::Pool,
        name => TokenName::One(name.to_owned()),
    };
    let mut addresses = Vec::new();
    while !rest.is_empty() {
        addresses.push(take_text(&mut rest)?.to_owned());
    }
    Some(JoinToken {
        addresses,
        authority: Fingerprint(*authority),
        cluster,
        role,
        name,
        secret: Secret(*secret),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(addresses: Vec<String>, name: TokenName) -> Result<JoinToken, TokenError> {
        JoinToken::new(addresses, Fingerprint([7; 32]), "c1", Role::Node, name)
    }

    proptest! {
        #[test]
        fn encodes_to_itself(
            addresses in prop::collection::vec("[!-~]{1,40}", 1..=ADDRESSES_MAX),
            name in prop::option::of("[a-z0-9_][a-z0-9._-]{0,20}[a-z]"),
            role in prop::sample::select(Role::ALL.to_vec()),
            authority: [u8; 32],
        ) {
            let name = name.map_or(TokenName::Pool, TokenName::One);
            let made = JoinToken::new(addresses, Fingerprint(authority), "c1", role, name).unwrap();
            let text = made.encode();
            prop_assert!(text.len() <= TOKEN_CHARS_MAX);
            prop_assert_eq!(JoinToken::decode(&format!(" {text}\n")), Ok(made));
        }

        #[test]
        fn one_changed_character_is_noticed(at in 0usize..200, to in "[ -~]") {
            let text = token(vec!["10.0.0.1:6815".into()], TokenName::One("n1".into())).unwrap().encode();
            let at = at % text.len();
            prop_assume!(text[at..=at] != to);
            let mut bent = text;
            bent.replace_range(at..=at, &to);
            prop_assert!(JoinToken::decode(&bent).is_err());
        }

        #[test]
        fn any_bytes_under_a_right_checksum_are_handled(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let sum = checksum(&bytes);
            bytes.extend_from_slice(&sum);
            let text = format!("{PREFIX}{}", data_encoding::BASE32_NOPAD.encode(&bytes).to_lowercase());
            if let Ok(read) = JoinToken::decode(&text) {
                prop_assert_eq!(read.encode(), text);
            }
        }
    }

    #[test]
    fn limits_at_their_edges() {
        let longest = "a".repeat(ADDRESS_BYTES_MAX);
        let biggest = token(vec![longest.clone(); ADDRESSES_MAX], TokenName::Pool).unwrap();
        let text = biggest.encode();
        assert!(text.len() <= TOKEN_CHARS_MAX, "{}", text.len());
        assert_eq!(JoinToken::decode(&text), Ok(biggest));
        let pool = || TokenName::Pool;
        for addresses in
            [vec![], vec![longest.clone(); ADDRESSES_MAX + 1], vec![longest + "a"], vec!["a b".into()]]
        {
            assert!(matches!(token(addresses, pool()), Err(TokenError::Make(_))));
        }
        assert!(matches!(token(vec!["a".into()], TokenName::One("..".into())), Err(TokenError::Make(_))));
        assert_eq!(JoinToken::decode("jsched2-aaaa"), Err(TokenError::Prefix));
        let long = format!("{PREFIX}{}", "a".repeat(TOKEN_CHARS_MAX));
        assert_eq!(JoinToken::decode(&long), Err(TokenError::Damaged));
    }

    #[test]
    fn a_secret_shows_nowhere_and_two_are_never_alike() {
        let (a, b) = (
            token(vec!["a".into()], TokenName::Pool).unwrap(),
            token(vec!["a".into()], TokenName::Pool).unwrap(),
        );
        assert_ne!(a.secret().hash(), b.secret().hash());
        assert_ne!(a.secret().hash().0, *a.secret().bytes());
        assert!(format!("{a:?}").contains("Secret(hidden)"));
    }
}
