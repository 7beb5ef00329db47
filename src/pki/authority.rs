//! The cluster's certificate authority: one P-256 key that signs every certificate of the cluster.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use time::OffsetDateTime;

use crate::model::identity::{Role, Serial, name_is_valid};
use crate::model::time::WallTime;

use super::certificate::{
    AUTHORITY_VALIDITY, CONTROLLER_SERVER_NAME, Fingerprint, Subject, Validity, from_pem, from_unix_seconds,
    to_pem,
};
use super::file::{self, FileError, Publish};
use super::key::{KeyError, KeyPair};
use super::request::PublicKey;

/// File of the authority's certificate, in its folder.
pub const CERTIFICATE_FILE: &str = "ca.pem";
/// File of the authority's private key, in its folder; mode 0600.
pub const KEY_FILE: &str = "ca.key";

/// What the authority's certificates call their organisation.
const ORGANISATION: &str = "jsched";

/// What can go wrong with the authority.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// One of its files.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A cluster name with other characters than a name may have.
    #[error(
        "{0:?} cannot be a cluster's name: 1 to 63 of letters, digits, - _ and ., beginning with a letter, digit or _"
    )]
    ClusterName(String),
    /// The certificate is no authority's of this program.
    #[error("{path} is not the certificate of an authority made by `jctld init`: {detail}")]
    NotOurs {
        /// The certificate file.
        path: PathBuf,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// Certificate and key are two different authorities'.
    #[error("{certificate} does not belong to {key}: restore both from the same backup")]
    Mismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// The time asked for is empty, or lies outside the authority's own or outside what a certificate can say.
    #[error(
        "a certificate cannot be valid for that time: it would end before it begins, or after the authority"
    )]
    Validity,
    /// Signing failed.
    #[error("cannot sign a certificate: {0}")]
    Sign(rcgen::Error),
    /// The kernel gave no randomness.
    #[error("no randomness for a serial number: {0}")]
    Random(getrandom::Error),
}

/// A certificate as it was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// As DER, for the wire.
    pub der: Vec<u8>,
    /// As PEM, for a file.
    pub pem: String,
    /// Its serial number, for the list of what was issued and for revocation.
    pub serial: Serial,
    /// Until when it counts; sooner than asked when the authority ends sooner.
    pub not_after: WallTime,
}

/// A certificate authority with its key.
pub struct Authority {
    cluster: String,
    certificate: CertificateDer<'static>,
    validity: Validity,
    issuer: Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    /// Makes a new authority for `cluster` in the existing folder `dir`, valid from `now` on. A key that is there
    /// without a certificate (from an attempt that was interrupted) is taken up.
    ///
    /// # Errors
    /// [`FileError::Exists`] when there is an authority already; else what the disk or the name has.
    pub fn create(dir: &Path, cluster: &str, now: WallTime) -> Result<Authority, AuthorityError> {
        if !name_is_valid(cluster) {
            return Err(AuthorityError::ClusterName(cluster.to_owned()));
        }
        let (certificate_file, key_file) = (dir.join(CERTIFICATE_FILE), dir.join(KEY_FILE));
        if fs::symlink_metadata(&certificate_file).is_ok() {
            return Err(FileError::Exists(certificate_file).into());
        }
        let key = KeyPair::generate()?;
        let key = match key.write(&key_file, Publish::New) {
            Ok(()) => key,
            Err(KeyError::File(FileError::Exists(_))) => KeyPair::read(&key_file)?,
            Err(e) => return Err(e.into()),
        };
        let params = authority_params(cluster, now)?;
        let made = params.self_signed(key.signer()).map_err(AuthorityError::Sign)?;
        file::write_public(&certificate_file, made.pem().as_bytes(), Publish::New)?;
        Authority::load(dir)
    }

    /// Loads the authority from its folder.
    ///
    /// # Errors
    /// What is wrong with its files.
    pub fn load(dir: &Path) -> Result<Authority, AuthorityError> {
        let (certificate_file, key_file) = (dir.join(CERTIFICATE_FILE), dir.join(KEY_FILE));
        let key = KeyPair::read(&key_file)?;
        let text = file::read_public(&certificate_file)?;
        let certificate =
            from_pem(&text).and_then(|all| all.into_iter().next()).ok_or(FileError::NotPem {
                path: certificate_file.clone(),
                wanted: "certificate",
                detail: "no PEM block".to_owned(),
            })?;
        let not_ours = |detail| AuthorityError::NotOurs { path: certificate_file.clone(), detail };
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&certificate).map_err(|_| not_ours("it cannot be read"))?;
        if !parsed.is_ca() {
            return Err(not_ours("it is no authority's"));
        }
        let cluster = parsed
            .subject()
            .iter_common_name()
            .next()
            .and_then(|name| name.as_str().ok())
            .filter(|name| name_is_valid(name))
            .ok_or_else(|| not_ours("it names no cluster"))?
            .to_owned();
        if parsed.public_key().subject_public_key.as_ref() != key.signer().public_key_raw() {
            return Err(AuthorityError::Mismatch { certificate: certificate_file, key: key_file });
        }
        let validity = Validity {
            not_before: from_unix_seconds(parsed.validity().not_before.timestamp()),
            not_after: from_unix_seconds(parsed.validity().not_after.timestamp()),
        };
        let issuer =
            Issuer::from_ca_cert_der(&certificate, key.into_signer()).map_err(AuthorityError::Sign)?;
        Ok(Authority { cluster, certificate, validity, issuer })
    }

    /// The cluster that it is the authority of.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Its own certificate, in DER: what everybody verifies against.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Its own certificate, in PEM.
    pub fn pem(&self) -> String {
        to_pem(&self.certificate)
    }

    /// From when to when it counts itself.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The fingerprint by which join tokens name it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// Issues a certificate for `subject` and `key`. The end is cut to the authority's own.
    ///
    /// # Errors
    /// [`AuthorityError::Validity`], or when signing or randomness fail.
    pub fn issue(
        &self,
        subject: &Subject,
        key: &PublicKey,
        validity: Validity,
    ) -> Result<IssuedCertificate, AuthorityError> {
        let serial = random_serial()?;
        let not_after = validity.not_after.min(self.validity.not_after);
        if validity.not_before.unix_seconds() >= not_after.unix_seconds() {
            return Err(AuthorityError::Validity);
        }
        let mut params = CertificateParams::default();
        params.not_before = calendar(validity.not_before)?;
        params.not_after = calendar(not_after)?;
        params.serial_number = Some(SerialNumber::from_slice(&serial.0));
        params.distinguished_name = distinguished_name(subject.name());
        params.subject_alt_names = alternative_names(subject, &self.cluster)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match subject.role() {
            Role::Controller => ExtendedKeyUsagePurpose::ServerAuth,
            _ => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        params.use_authority_key_identifier_extension = true;
        let made = params.signed_by(key, &self.issuer).map_err(AuthorityError::Sign)?;
        Ok(IssuedCertificate {
            der: made.der().to_vec(),
            pem: made.pem(),
            serial,
            not_after: from_unix_seconds(not_after.unix_seconds()),
        })
    }
}

fn authority_params(cluster: &str, now: WallTime) -> Result<CertificateParams, AuthorityError> {
    let validity = Validity::lasting(AUTHORITY_VALIDITY, now);
    let mut params = CertificateParams::default();
    params.not_before = calendar(validity.not_before)?;
    params.not_after = calendar(validity.not_after)?;
    params.serial_number = Some(SerialNumber::from_slice(&random_serial()?.0));
    params.distinguished_name = distinguished_name(cluster);
    // No certificate below it can be an authority in its turn.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn distinguished_name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, ORGANISATION);
    name.push(DnType::CommonName, common);
    name
}

fn alternative_names(subject: &Subject, cluster: &str) -> Result<Vec<SanType>, AuthorityError> {
    let uri = subject.uri(cluster).try_into().map_err(AuthorityError::Sign)?;
    let mut names = vec![SanType::URI(uri)];
    if subject.role() == Role::Controller {
        let name = CONTROLLER_SERVER_NAME.try_into().map_err(AuthorityError::Sign)?;
        names.push(SanType::DnsName(name));
    }
    Ok(names)
}

fn calendar(at: WallTime) -> Result<OffsetDateTime, AuthorityError> {
    OffsetDateTime::from_unix_timestamp(at.unix_seconds()).map_err(|_| AuthorityError::Validity)
}

/// 126 random bits. The first byte lies between 0x40 and 0x7f, so that DER writes all 16 bytes and no more.
fn random_serial() -> Result<Serial, AuthorityError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(AuthorityError::Random)?;
    bytes[0] = (bytes[0] & 0x3f) | 0x40;
    Ok(Serial(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::model::ids::Uid;
    use crate::model::time::Seconds;
    use crate::pki::certificate::{Bearer, CertificateError, identity_of};

    const NOW: WallTime = WallTime(1_790_000_000_000_000);

    fn authority() -> (tempfile::TempDir, Authority) {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(dir.path(), "c1", NOW).unwrap();
        (dir, authority)
    }

    fn some_key() -> PublicKey {
        PublicKey::of(&KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn made_once_private_and_the_same_when_loaded() {
        let (dir, made) = authority();
        assert_eq!(fs::metadata(dir.path().join(KEY_FILE)).unwrap().mode() & 0o7777, 0o600);
        let loaded = Authority::load(dir.path()).unwrap();
        assert_eq!((loaded.cluster(), loaded.fingerprint()), ("c1", made.fingerprint()));
        assert_eq!(
            loaded.pem(),
            fs::read_to_string(dir.path().join(CERTIFICATE_FILE)).unwrap().replace('\r', "")
        );
        let again = Authority::create(dir.path(), "c1", NOW);
        assert!(matches!(again, Err(AuthorityError::File(FileError::Exists(_)))));
        // Interrupted between key and certificate: the same key is taken up.
        fs::remove_file(dir.path().join(CERTIFICATE_FILE)).unwrap();
        let key = fs::read(dir.path().join(KEY_FILE)).unwrap();
        Authority::create(dir.path(), "c1", NOW).unwrap();
        assert_eq!(fs::read(dir.path().join(KEY_FILE)).unwrap(), key);
        // Another authority's certificate over this key is noticed.
        let (other, _) = authority();
        fs::copy(other.path().join(CERTIFICATE_FILE), dir.path().join(CERTIFICATE_FILE)).unwrap();
        assert!(matches!(Authority::load(dir.path()), Err(AuthorityError::Mismatch { .. })));
    }

    #[test]
    fn what_is_issued_is_what_is_read() {
        let (_dir, authority) = authority();
        let subjects = [
            Subject::person(Role::User, "ann", Uid(1000)).unwrap(),
            Subject::person(Role::Admin, "root", Uid(0)).unwrap(),
            Subject::node("n1.site").unwrap(),
            Subject::controller(),
        ];
        for subject in subjects {
            let validity = Validity::usual(subject.role(), NOW);
            let issued = authority.issue(&subject, &some_key(), validity).unwrap();
            let bearer = Bearer::of_cluster(&issued.der, "c1").unwrap();
            let identity = bearer.identity;
            assert_eq!((identity.role, identity.uid), (subject.role(), subject.uid()));
            assert_eq!((identity.name.as_str(), identity.serial), (subject.name(), issued.serial));
            assert_eq!(bearer.validity, validity);
            assert_eq!(issued.not_after, validity.not_after);
            assert_eq!(from_pem(&issued.pem).unwrap()[0].as_ref(), issued.der.as_slice());
            assert!(matches!(identity_of(&issued.der, "c2"), Err(CertificateError::Cluster { .. })));
        }
    }

    #[test]
    fn nothing_outlives_the_authority_or_ends_before_it_begins() {
        let (_dir, authority) = authority();
        let subject = Subject::node("n1").unwrap();
        let long = Validity::lasting(Seconds(AUTHORITY_VALIDITY.0 + 1), NOW);
        let issued = authority.issue(&subject, &some_key(), long).unwrap();
        assert_eq!(issued.not_after, authority.validity().not_after);
        for (not_before, not_after) in
            [(NOW, NOW), (WallTime(i64::MIN), NOW), (authority.validity().not_after, WallTime(i64::MAX))]
        {
            let refused = authority.issue(&subject, &some_key(), Validity { not_before, not_after });
            assert!(matches!(refused, Err(AuthorityError::Validity)));
        }
    }

    /// Certificates that the authority's key signed, but with other names than it writes, identify nobody.
    #[test]
    fn names_beside_the_one_are_refused() {
        let (_dir, authority) = authority();
        let uri = |text: &str| SanType::URI(text.try_into().unwrap());
        let dns = |text: &str| SanType::DnsName(text.try_into().unwrap());
        let node = "jsched://c1/node/n1";
        let refused = [
            vec![],
            vec![uri(node), uri("jsched://c1/admin/root?uid=0")],
            vec![uri(node), uri(node)],
            vec![uri(node), dns("n1")],
            vec![uri(node), dns(CONTROLLER_SERVER_NAME)],
            vec![dns(CONTROLLER_SERVER_NAME), uri("jsched://c1/controller/controller")],
            vec![uri("jsched://c1/controller/controller")],
            vec![uri("jsched://c1/controller/controller"), dns("Controller.jsched")],
            vec![uri("https://c1/node/n1")],
            vec![uri("jsched://c1/node/n1\0")],
            vec![SanType::Rfc822Name(node.try_into().unwrap())],
        ];
        for names in refused {
            let mut params = CertificateParams::default();
            params.subject_alt_names = names.clone();
            params.serial_number = Some(SerialNumber::from_slice(&[0x41; 16]));
            let der = params.signed_by(&some_key(), &authority.issuer).unwrap();
            let read = identity_of(der.der(), "c1");
            assert!(matches!(read, Err(CertificateError::Names(_))), "{names:?}: {read:?}");
        }
    }

    #[test]
    fn bent_certificates_never_panic() {
        let (_dir, authority) = authority();
        let validity = Validity::usual(Role::Node, NOW);
        let issued = authority.issue(&Subject::node("n1").unwrap(), &some_key(), validity).unwrap();
        for at in 0..issued.der.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bent = issued.der.clone();
                bent[at] ^= flip;
                let _ = Bearer::of(&bent);
            }
            assert!(Bearer::of(&issued.der[..at]).is_err());
        }
    }
}
