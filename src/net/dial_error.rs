//! Why the controller was not reached, or would not have us.

use std::fmt;

use jiff::Timestamp;
use thiserror::Error;

use crate::model::time::WallTime;
use crate::pki::credentials::CredentialsError;

use super::close::CloseCode;

/// Why a dial failed, or a connection ended that should not have. The commands exit with 69 for
/// [`DialError::NotReached`], 78 for [`DialError::Certificate`] and [`DialError::Configuration`].
#[derive(Debug, Error)]
pub enum DialError {
    /// No address answered.
    #[error("the controller was not reached: {}; is `jctld run` running there?", tries_in_words(.tries))]
    NotReached {
        /// Each address that was tried, and what came of it.
        tries: Vec<Try>,
    },
    /// One of the two certificates does not do.
    #[error("{address}: {trouble}")]
    Certificate {
        /// The address dialled.
        address: String,
        /// What is wrong.
        trouble: CertificateTrouble,
    },
    /// The peer closed the connection and said why.
    #[error("the controller at {address} closed the connection: {reason}")]
    Refused {
        /// The address dialled.
        address: String,
        /// Its code, if this version knows it.
        code: Option<CloseCode>,
        /// Its words.
        reason: String,
    },
    /// The programs have no version of the protocol in common.
    #[error(
        "the controller at {address} speaks another version of the protocol: bring the older of the two up to date"
    )]
    Version {
        /// The address dialled.
        address: String,
    },
    /// What is needed to dial is missing or unusable.
    #[error("{0}")]
    Configuration(String),
    /// The own credentials cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// One address, and what came of dialling it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// As it stands in the configuration.
    pub address: String,
    /// What happened.
    pub outcome: String,
}

/// What is wrong with a certificate: whose, and by which clock.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CertificateTrouble {
    /// The controller's has ended by the clock here.
    #[error(
        "the controller's certificate ended at {}, and the clock here says {}: set the clock right, or start `jctld run` on its host again: it renews its own certificate",
        Instant(*.not_after_seconds), Instant(*.clock_seconds)
    )]
    ControllersEnded {
        /// Its end, seconds since 1970.
        not_after_seconds: u64,
        /// The clock here.
        clock_seconds: u64,
    },
    /// The controller's has not begun by the clock here.
    #[error(
        "the controller's certificate begins at {}, and the clock here says {}: set the clock right",
        Instant(*.not_before_seconds), Instant(*.clock_seconds)
    )]
    ControllersNotYet {
        /// Its beginning, seconds since 1970.
        not_before_seconds: u64,
        /// The clock here.
        clock_seconds: u64,
    },
    /// Signed by an authority that is not believed here.
    #[error(
        "whoever answers there is not vouched for by this cluster's authority: check the address, and that the configuration is of the same cluster"
    )]
    OtherAuthority,
    /// A good certificate, but not the controller's.
    #[error("whoever answers there is not the controller of this cluster: {0}")]
    NotController(String),
    /// The controller takes ours for ended or not yet begun.
    #[error(
        "your certificate counts from {} to {}, and the controller refuses it by its clock{}; the clock here says {}: \
         get a new one, or set the wrong clock right",
        Instant(seconds(*.not_before)), Instant(seconds(*.not_after)), clock_in_words(*.controllers_seconds),
        Instant(seconds(*.clock))
    )]
    OwnOutOfTime {
        /// When ours begins.
        not_before: WallTime,
        /// When ours ends.
        not_after: WallTime,
        /// The clock here.
        clock: WallTime,
        /// The controller's clock, seconds since 1970, if it said so.
        controllers_seconds: Option<u64>,
    },
    /// The controller refuses ours for another reason.
    #[error("the controller refuses your certificate (\"{said}\"): get one from this cluster's admin")]
    OwnRefused {
        /// What the controller said.
        said: String,
    },
}

impl CertificateTrouble {
    /// What the peer is told in TLS.
    pub(super) fn alert(&self) -> rustls::CertificateError {
        match self {
            CertificateTrouble::ControllersEnded { .. } => rustls::CertificateError::Expired,
            CertificateTrouble::ControllersNotYet { .. } => rustls::CertificateError::NotValidYet,
            CertificateTrouble::OtherAuthority => rustls::CertificateError::UnknownIssuer,
            _ => rustls::CertificateError::ApplicationVerificationFailure,
        }
    }
}

/// Seconds since 1970 as people read them, UTC.
struct Instant(u64);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i64::try_from(self.0).map(Timestamp::from_second) {
            Ok(Ok(timestamp)) => timestamp.fmt(f),
            _ => write!(f, "second {}", self.0),
        }
    }
}

/// The clock of a peer that refused a certificate for its time, out of what its TLS says in that case. Nothing
/// depends on it but what is shown.
pub(super) fn clock_of(said: &str) -> Option<u64> {
    let (_, rest) = said.split_once("verification time ")?;
    rest.split(' ').next()?.parse().ok()
}

fn clock_in_words(seconds: Option<u64>) -> String {
    seconds.map_or_else(String::new, |seconds| format!(", which says {}", Instant(seconds)))
}

fn seconds(at: WallTime) -> u64 {
    u64::try_from(at.unix_seconds()).unwrap_or(0)
}

fn tries_in_words(tries: &[Try]) -> String {
    let words: Vec<String> = tries.iter().map(|t| format!("{}: {}", t.address, t.outcome)).collect();
    words.join("; ")
}
