//! Why the controller gave no answer that a command could use, each with its exit code.

use crate::net::dial_error::DialError;
use crate::wire::client::Refusal;

use super::config::ConfigError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No usable configuration (78).
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A certificate, key or authority that does not do (78).
    #[error("{0}")]
    Certificate(String),
    /// The controller was never reached: nothing was accepted (69).
    #[error("{0}; nothing was accepted")]
    NotReached(String),
    /// The controller closed the connection for good: this identity may not come in (77).
    #[error("the controller at {address} does not let you in: {reason}")]
    NotAdmitted {
        /// Its address.
        address: String,
        /// Its words.
        reason: String,
    },
    /// The request was sent and no answer came in time (75).
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
    /// The time that the caller gave has run out (75).
    #[error("the time is out: {0}")]
    TimeOut(String),
    /// The controller said no.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The answer makes no sense, or the request can't be sent (1).
    #[error("{0}")]
    Protocol(String),
    /// Our own output could not be written.
    #[error("output could not be written: {0}")]
    Output(#[from] std::io::Error),
    /// The system failed us: no runtime, no randomness (1).
    #[error("{0}")]
    System(String),
}

impl ClientError {
    /// The exit code (INTERFACE: exit codes).
    pub fn exit_code(&self) -> u8 {
        match self {
            ClientError::Config(_) | ClientError::Certificate(_) => 78,
            ClientError::NotReached(_) => 69,
            ClientError::NotAdmitted { .. } => 77,
            ClientError::Unknown(_) | ClientError::TimeOut(_) => 75,
            ClientError::Refused(refusal) => refusal.code.exit_code(),
            ClientError::Protocol(_) | ClientError::Output(_) | ClientError::System(_) => 1,
        }
    }
}

/// What a failed try means for the request that was to be answered.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Trying again can't help.
    Final(ClientError),
    /// The connection broke, or the controller is too busy; the same request may be sent again.
    Passing {
        /// Whether the controller may have seen the request.
        sent: bool,
        /// What happened.
        reason: String,
    },
}

impl Trouble {
    /// What the end of a dial or of a connection means. `sent`: whether a request may have got through.
    pub(super) fn of(error: DialError, sent: bool) -> Trouble {
        use crate::net::close::CloseCode;
        match error {
            DialError::NotReached { .. } => Trouble::Passing { sent, reason: error.to_string() },
            DialError::Refused {
                code: Some(CloseCode::NotAdmitted | CloseCode::Revoked),
                address,
                reason,
            } => Trouble::Final(ClientError::NotAdmitted { address, reason }),
            DialError::Refused { code: Some(CloseCode::Protocol), .. } | DialError::Version { .. } => {
                Trouble::Final(ClientError::Protocol(error.to_string()))
            }
            DialError::Refused { .. } => Trouble::Passing { sent, reason: error.to_string() },
            DialError::Certificate { .. } | DialError::Configuration(_) | DialError::Credentials(_) => {
                Trouble::Final(ClientError::Certificate(error.to_string()))
            }
        }
    }
}
