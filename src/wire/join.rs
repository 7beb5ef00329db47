//! The exchange on a join connection: a one-use secret for a certificate. And what a node asks on a connection of its
//! own beside its session: a new certificate, and how it stands.

use serde::{Deserialize, Serialize};

use super::client::Refusal;
use crate::model::time::WallTime;
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

/// A node asks for a certificate in place of the one that the connection was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRequest {
    /// The signing request (PKCS#10, DER): it proves the key; nothing else in it counts.
    pub signing_request: Vec<u8>,
}

/// What the controller says of itself and of the node that asks, for `jworkerd doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReply {
    /// The controller's version.
    pub version: String,
    /// The controller's clock.
    pub clock: WallTime,
    /// The state of the node as `jnode` shows it; `None`: the cluster has no such node.
    pub state: Option<String>,
    /// Why it is in that state, or empty.
    pub reason: String,
}

wire_body! {
    JoinRequest = "join request", 1;
    JoinReply = "join reply", 1;
    RenewRequest = "renew request", 1;
    CheckReply = "check reply", 1;
}
