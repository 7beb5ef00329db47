//! What a certificate says: who bears it, for which cluster, until when.
//!
//! The bearer stands in exactly one place, a SAN URI `jsched://CLUSTER/ROLE/NAME` with `?uid=N` for people. It is
//! read by comparing the bytes with what this program would have written, so there is no second way to spell an
//! identity. The controller's certificates also carry the DNS name that clients verify; any other name makes a
//! certificate unusable.

use std::fmt;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::model::identity::{Identity, Role, Serial, name_is_valid};
use crate::model::ids::Uid;
use crate::model::time::{Seconds, WallTime};

/// The name that clients verify in the controller's certificate, whatever address they dialled.
pub const CONTROLLER_SERVER_NAME: &str = "controller.jsched";
/// The one name that a controller's certificate can bear.
pub const CONTROLLER_NAME: &str = "controller";

/// How long certificates of users, operators and admins live.
pub const USER_VALIDITY: Seconds = Seconds(30 * DAY_SECONDS);
/// How long certificates of nodes live.
pub const NODE_VALIDITY: Seconds = Seconds(90 * DAY_SECONDS);
/// How long the controller's certificates live.
pub const CONTROLLER_VALIDITY: Seconds = Seconds(365 * DAY_SECONDS);
/// How long the authority itself lives.
pub const AUTHORITY_VALIDITY: Seconds = Seconds(3_650 * DAY_SECONDS);
/// How far a certificate's beginning lies in the past, for hosts whose clocks are behind.
pub const CLOCK_SKEW: Seconds = Seconds(300);

const DAY_SECONDS: u64 = 86_400;
const SCHEME: &str = "jsched://";
const UID_PREFIX: &str = "uid=";

/// Why a certificate says nothing that can be believed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// Not X.509 in DER, or bytes after it.
    #[error("the certificate cannot be read")]
    Malformed,
    /// Not the names of a certificate of this program.
    #[error("the certificate does not name its bearer in the one way that counts ({0})")]
    Names(&'static str),
    /// The serial number is not one that an authority of this program gives.
    #[error("the certificate has a serial number of another kind")]
    SerialNumber,
    /// Good, but for somebody else's cluster.
    #[error("the certificate is for cluster {theirs}, this is cluster {ours}")]
    Cluster {
        /// The cluster that it is for.
        theirs: String,
        /// The cluster that was expected.
        ours: String,
    },
}

/// Why nobody can be given a certificate under that name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SubjectError {
    /// Not a valid name.
    #[error(
        "{0:?} cannot be a name: 1 to 63 of letters, digits, - _ and ., beginning with a letter, digit or _"
    )]
    Name(String),
    /// Logins and jobs have no certificates.
    #[error("certificates for role {0} are not issued")]
    Role(Role),
    /// People have a uid, machines have none.
    #[error("a {0} {need} a numeric user id", need = if is_person(*.0) { "needs" } else { "cannot have" })]
    Uid(Role),
    /// 4294967295 means "nobody" to the kernel's calls.
    #[error("{0} is no user id")]
    UidReserved(u32),
}

/// Whom a certificate is for. Always valid: name, role and uid fit each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    role: Role,
    name: String,
    uid: Option<Uid>,
}

impl Subject {
    /// A user, operator or admin.
    ///
    /// # Errors
    /// If the name, the uid or the role is none of a person's.
    pub fn person(role: Role, name: &str, uid: Uid) -> Result<Subject, SubjectError> {
        Subject::new(role, name, Some(uid))
    }

    /// A node daemon.
    ///
    /// # Errors
    /// If the name is not valid.
    pub fn node(name: &str) -> Result<Subject, SubjectError> {
        Subject::new(Role::Node, name, None)
    }

    /// The controller.
    pub fn controller() -> Subject {
        Subject { role: Role::Controller, name: CONTROLLER_NAME.to_owned(), uid: None }
    }

    /// Anybody, with role, name and uid checked against each other.
    ///
    /// # Errors
    /// What does not fit.
    pub fn new(role: Role, name: &str, uid: Option<Uid>) -> Result<Subject, SubjectError> {
        if !name_is_valid(name) || (role == Role::Controller && name != CONTROLLER_NAME) {
            return Err(SubjectError::Name(name.to_owned()));
        }
        if matches!(role, Role::Login | Role::Job) {
            return Err(SubjectError::Role(role));
        }
        if is_person(role) != uid.is_some() {
            return Err(SubjectError::Uid(role));
        }
        match uid {
            Some(Uid(u32::MAX)) => Err(SubjectError::UidReserved(u32::MAX)),
            _ => Ok(Subject { role, name: name.to_owned(), uid }),
        }
    }

    /// What its certificate lets it be.
    pub fn role(&self) -> Role {
        self.role
    }

    /// User name, node name or `controller`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The numeric user id of people.
    pub fn uid(&self) -> Option<Uid> {
        self.uid
    }

    /// The one spelling of this subject in a certificate of `cluster`.
    pub fn uri(&self, cluster: &str) -> String {
        let Subject { role, name, .. } = self;
        match self.uid {
            Some(Uid(uid)) => format!("{SCHEME}{cluster}/{role}/{name}?{UID_PREFIX}{uid}"),
            None => format!("{SCHEME}{cluster}/{role}/{name}"),
        }
    }

    /// Reads a URI back: the cluster, and who it is. Whatever [`Subject::uri`] would not have written is refused.
    pub fn from_uri(uri: &str) -> Option<(String, Subject)> {
        let mut parts = uri.strip_prefix(SCHEME)?.splitn(3, '/');
        let (cluster, role, rest) = (parts.next()?, parts.next()?, parts.next()?);
        let (name, uid) = match rest.split_once('?') {
            Some((name, query)) => (name, Some(Uid(query.strip_prefix(UID_PREFIX)?.parse().ok()?))),
            None => (rest, None),
        };
        let subject = Subject::new(Role::from_word(role)?, name, uid).ok()?;
        let same = name_is_valid(cluster) && subject.uri(cluster) == uri;
        same.then(|| (cluster.to_owned(), subject))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.name)
    }
}

/// From when to when a certificate counts, to whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    /// Not before this.
    pub not_before: WallTime,
    /// Not after this.
    pub not_after: WallTime,
}

impl Validity {
    /// The usual time for that role, from `now` on.
    pub fn usual(role: Role, now: WallTime) -> Validity {
        let span = match role {
            Role::User | Role::Operator | Role::Admin | Role::Login | Role::Job => USER_VALIDITY,
            Role::Node => NODE_VALIDITY,
            Role::Controller => CONTROLLER_VALIDITY,
        };
        Validity::lasting(span, now)
    }

    /// How long it counts from its issue on, without what lies before that for the sake of clocks.
    pub fn life(&self) -> Seconds {
        let whole = self.not_after.micros_since(self.not_before) / 1_000_000;
        Seconds(whole.saturating_sub(CLOCK_SKEW.0))
    }

    /// From when on it should be renewed: past two thirds of its life.
    pub fn renewal(&self) -> WallTime {
        let third = i64::try_from(self.life().micros() / 3).unwrap_or(i64::MAX);
        WallTime(self.not_after.0.saturating_sub(third))
    }

    /// From `now`, less [`CLOCK_SKEW`], until `span` later.
    pub fn lasting(span: Seconds, now: WallTime) -> Validity {
        let skew = i64::try_from(CLOCK_SKEW.micros()).unwrap_or(0);
        Validity { not_before: WallTime(now.0.saturating_sub(skew)), not_after: now.plus(span) }
    }
}

/// Somebody with a certificate: who, of which cluster, and how long the certificate counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The cluster whose authority issued it.
    pub cluster: String,
    /// Who it is.
    pub identity: Identity,
    /// From when to when it counts.
    pub validity: Validity,
}

impl Bearer {
    /// Reads what a certificate says. Whether it is *true* is the business of the verification against the
    /// authority, which happens in the TLS handshake; never believe a certificate that did not pass it.
    ///
    /// # Errors
    /// [`CertificateError`], also for every certificate that this program would not have issued.
    pub fn of(der: &[u8]) -> Result<Bearer, CertificateError> {
        let (rest, certificate) =
            x509_parser::parse_x509_certificate(der).map_err(|_| CertificateError::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateError::Malformed);
        }
        let (cluster, subject) = names_of(&certificate)?;
        let serial: [u8; 16] =
            certificate.raw_serial().try_into().map_err(|_| CertificateError::SerialNumber)?;
        let validity = certificate.validity();
        let Subject { role, name, uid } = subject;
        Ok(Bearer {
            cluster,
            identity: Identity { role, name, uid, serial: Serial(serial), within: None },
            validity: Validity {
                not_before: from_unix_seconds(validity.not_before.timestamp()),
                not_after: from_unix_seconds(validity.not_after.timestamp()),
            },
        })
    }

    /// The same, and the certificate must be of `cluster`.
    ///
    /// # Errors
    /// As [`Bearer::of`], and [`CertificateError::Cluster`].
    pub fn of_cluster(der: &[u8], cluster: &str) -> Result<Bearer, CertificateError> {
        let bearer = Bearer::of(der)?;
        if bearer.cluster == cluster {
            return Ok(bearer);
        }
        Err(CertificateError::Cluster { theirs: bearer.cluster, ours: cluster.to_owned() })
    }
}

/// Who bears a certificate that has been verified against the authority of `cluster`.
///
/// # Errors
/// As [`Bearer::of_cluster`].
pub fn identity_of(der: &[u8], cluster: &str) -> Result<Identity, CertificateError> {
    Bearer::of_cluster(der, cluster).map(|bearer| bearer.identity)
}

/// The BLAKE3 hash of an authority's certificate in DER, by which a join token names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of that certificate.
    pub fn of(der: &[u8]) -> Fingerprint {
        Fingerprint(*blake3::hash(der).as_bytes())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// All certificates in PEM text, in order; `None` if there is none or one cannot be read.
pub fn from_pem(text: &str) -> Option<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    all.ok().filter(|all| !all.is_empty())
}

/// A certificate as PEM text.
pub fn to_pem(der: &[u8]) -> String {
    let body = data_encoding::BASE64.encode(der);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in body.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

pub(super) fn from_unix_seconds(seconds: i64) -> WallTime {
    WallTime(seconds.saturating_mul(1_000_000))
}

fn is_person(role: Role) -> bool {
    matches!(role, Role::User | Role::Operator | Role::Admin)
}

fn names_of(certificate: &X509Certificate<'_>) -> Result<(String, Subject), CertificateError> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| CertificateError::Names("its alternative names cannot be read"))?
        .ok_or(CertificateError::Names("it has no alternative name"))?;
    let (uri, others) = match names.value.general_names.as_slice() {
        [GeneralName::URI(uri), others @ ..] => (*uri, others),
        _ => return Err(CertificateError::Names("its first alternative name is no URI")),
    };
    let (cluster, subject) =
        Subject::from_uri(uri).ok_or(CertificateError::Names("its URI is none of ours"))?;
    let fits = match others {
        [] => subject.role != Role::Controller,
        [GeneralName::DNSName(name)] => subject.role == Role::Controller && *name == CONTROLLER_SERVER_NAME,
        _ => false,
    };
    if fits { Ok((cluster, subject)) } else { Err(CertificateError::Names("it has another name beside it")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn renewal_is_due_past_two_thirds_of_the_life_without_the_allowance_for_clocks() {
        let now = WallTime(1_790_000_000_000_000);
        for days in [1, 30, 90] {
            let span = Seconds(days * DAY_SECONDS);
            let validity = Validity::lasting(span, now);
            assert_eq!(validity.life(), span);
            assert_eq!(validity.renewal(), now.plus(Seconds(span.0 / 3 * 2)));
        }
        // One that is shorter than the allowance is always due.
        let odd = Validity { not_before: now, not_after: now.plus(CLOCK_SKEW) };
        assert_eq!((odd.life(), odd.renewal()), (Seconds(0), odd.not_after));
    }

    #[test]
    fn one_spelling_only() {
        let good = [
            "jsched://c1/user/ann?uid=1000",
            "jsched://c1/admin/root?uid=0",
            "jsched://c1/operator/o?uid=4294967294",
            "jsched://c.1/node/n-1.site",
            "jsched://c1/controller/controller",
        ];
        for uri in good {
            let (cluster, subject) = Subject::from_uri(uri).expect(uri);
            assert_eq!(subject.uri(&cluster), uri);
        }
        let bad = [
            "",
            "jsched://",
            "jsched:///user/ann?uid=1",
            "jsched://c1/user/ann",
            "jsched://c1/node/n1?uid=1",
            "JSCHED://c1/node/n1",
            "jsched://c1/Node/n1",
            "jsched://c1/node/n1.",
            "jsched://c1/node/n1/",
            "jsched://c1/node/n1?",
            "jsched://c1/node/n1#x",
            "jsched://c1/node/n1\0",
            "jsched://c1/node/n1 ",
            "jsched://c1/node/%6e1",
            "jsched://c1/node/n\u{0456}",
            "jsched://c1/node/n1,n2",
            "jsched://c1//n1",
            "jsched://c1/user/ann?uid=01",
            "jsched://c1/user/ann?uid=+1",
            "jsched://c1/user/ann?uid=-1",
            "jsched://c1/user/ann?uid=4294967295",
            "jsched://c1/user/ann?uid=4294967296",
            "jsched://c1/user/ann?uid=1&uid=0",
            "jsched://c1/user/ann?UID=1",
            "jsched://c1/user/ann?uid=",
            "jsched://c1/controller/other",
            "jsched://c1/login/l1",
            "jsched://c1/job/j1",
            "jsched://u@c1/node/n1",
            "jsched://c1:1/node/n1",
            "jsched://c1./node/n1",
            " jsched://c1/node/n1",
        ];
        for uri in bad {
            assert_eq!(Subject::from_uri(uri), None, "{uri:?}");
        }
    }

    proptest! {
        /// Whatever is accepted is what would have been written, so no two texts mean one bearer.
        #[test]
        fn accepted_means_canonical(
            uri in "jsched://[a-c.]{1,3}/(user|node|admin|Node|job)/[a-zA-Z0-9./%?-]{0,5}([?]uid=[0-9+]{0,11})?"
        ) {
            if let Some((cluster, subject)) = Subject::from_uri(&uri) {
                prop_assert_eq!(subject.uri(&cluster), uri);
            }
        }
    }
}
