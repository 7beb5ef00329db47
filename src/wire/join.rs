//! The exchange on a join connection: a one-use secret for a certificate.

use serde::{Deserialize, Serialize};

use super::client::Refusal;
use crate::wire_body;

/// The most bytes of a request to join.
pub const JOIN_BYTES_MAX: usize = 16 << 10;

/// Asks for the first certificate. The connection has none yet; the secret is what speaks for the asker.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The token's secret.
    pub secret: [u8; 32],
    /// The name that is asked for; must be the token's.
    pub name: String,
    /// The signing request (PKCS#10, DER): it proves the key; nothing else in it counts.
    pub signing_request: Vec<u8>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinReply {
    /// Welcome.
    Issued {
        /// The certificate, PEM.
        certificate: String,
        /// The CA's, PEM.
        authority: String,
    },
    /// No.
    Refused(Refusal),
}

wire_body! {
    JoinRequest = "join request", 1;
    JoinReply = "join reply", 1;
}
