//! What one side of a connection needs: its certificate, its key, and the authorities that it believes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;

use super::certificate::{Bearer, CertificateError, from_pem};
use super::crypto::provider;
use super::file::{self, FileError};
use super::key::KeyPair;

/// Usual names of the three files in a folder of credentials.
const CERTIFICATE_FILE: &str = "cert.pem";
const KEY_FILE: &str = "key.pem";
const AUTHORITIES_FILE: &str = "ca.pem";

/// What can go wrong with credentials. All of it is a matter of configuration.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// One of the files.
    #[error(transparent)]
    File(#[from] FileError),
    /// The certificate says nothing usable.
    #[error("{0}: get a new one")]
    Certificate(#[from] CertificateError),
    /// The certificate was issued for another key.
    #[error("certificate and key do not belong together: get a new certificate for this key")]
    Mismatch,
    /// No authority to believe.
    #[error("no certificate of an authority: copy the cluster's {AUTHORITIES_FILE}")]
    NoAuthority,
    /// The cryptography refused the key or an authority.
    #[error("the key or an authority's certificate cannot be used: {0}")]
    Unusable(rustls::Error),
}

/// Where credentials lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialFiles {
    /// The own certificate.
    pub certificate: PathBuf,
    /// Its private key, mode 0600.
    pub key: PathBuf,
    /// The authorities to believe; two while one replaces the other.
    pub authorities: PathBuf,
}

impl CredentialFiles {
    /// Under their usual names in `folder`: `cert.pem`, `key.pem`, `ca.pem`.
    pub fn in_folder(folder: &Path) -> CredentialFiles {
        CredentialFiles {
            certificate: folder.join(CERTIFICATE_FILE),
            key: folder.join(KEY_FILE),
            authorities: folder.join(AUTHORITIES_FILE),
        }
    }
}

/// Certificate, key and authorities of one identity, checked against each other.
#[derive(Clone)]
pub struct Credentials {
    bearer: Bearer,
    certified: Arc<CertifiedKey>,
    authorities: Vec<CertificateDer<'static>>,
    key: Arc<PrivatePkcs8KeyDer<'static>>,
}

impl Credentials {
    /// Loads them from files.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn load(files: &CredentialFiles) -> Result<Credentials, CredentialsError> {
        let key_text = file::read_secret(&files.key)?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(key_text.as_bytes())
            .map_err(|e| not_pem(&files.key, "private key (PKCS #8)", &e.to_string()))?;
        let read = |path: &PathBuf| {
            from_pem(&file::read_public(path)?).ok_or_else(|| not_pem(path, "certificate", "nothing to read"))
        };
        let certificate = read(&files.certificate)?.swap_remove(0);
        Credentials::assemble(certificate, key, read(&files.authorities)?)
    }

    /// Puts them together from a key made here and what the authority issued for it, all in DER.
    ///
    /// # Errors
    /// If they do not belong together.
    pub fn new(
        certificate: &[u8],
        key: &KeyPair,
        authorities: &[CertificateDer<'_>],
    ) -> Result<Credentials, CredentialsError> {
        let authorities = authorities.iter().map(|a| a.clone().into_owned()).collect();
        let key = PrivatePkcs8KeyDer::from(key.private_der().to_vec());
        Credentials::assemble(CertificateDer::from(certificate.to_vec()), key, authorities)
    }

    /// Who one is with them, in which cluster, and until when.
    pub fn bearer(&self) -> &Bearer {
        &self.bearer
    }

    /// The cluster that they are for.
    pub fn cluster(&self) -> &str {
        &self.bearer.cluster
    }

    /// Whether one of the authorities that are believed signed the own certificate.
    pub fn is_vouched_for(&self) -> bool {
        let Some(certificate) = self.certified.cert.first() else { return false };
        let Ok((_, own)) = x509_parser::parse_x509_certificate(certificate) else { return false };
        self.authorities.iter().any(|authority| {
            x509_parser::parse_x509_certificate(authority)
                .is_ok_and(|(_, authority)| own.verify_signature(Some(authority.public_key())).is_ok())
        })
    }

    /// Certificate and key, for TLS.
    pub(crate) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// The authorities that are believed.
    pub fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities
    }

    /// The same as the trust anchors of TLS.
    pub(crate) fn roots(&self) -> Result<Arc<RootCertStore>, CredentialsError> {
        if self.authorities.is_empty() {
            return Err(CredentialsError::NoAuthority);
        }
        let mut roots = RootCertStore::empty();
        for authority in &self.authorities {
            roots.add(authority.clone()).map_err(CredentialsError::Unusable)?;
        }
        Ok(Arc::new(roots))
    }

    /// A secret that follows from the private key: the same after a restart, unknown to everybody else.
    pub(crate) fn derived_secret(&self) -> [u8; 32] {
        blake3::derive_key("jsched 2026 secret of an endpoint", self.key.secret_pkcs8_der())
    }

    fn assemble(
        certificate: CertificateDer<'static>,
        key: PrivatePkcs8KeyDer<'static>,
        authorities: Vec<CertificateDer<'static>>,
    ) -> Result<Credentials, CredentialsError> {
        let bearer = Bearer::of(&certificate)?;
        let certified = CertifiedKey::from_der(vec![certificate], key.clone_key().into(), &provider());
        let certified = certified.map_err(|e| match e {
            rustls::Error::InconsistentKeys(_) => CredentialsError::Mismatch,
            other => CredentialsError::Unusable(other),
        })?;
        Ok(Credentials { bearer, certified: Arc::new(certified), authorities, key: Arc::new(key) })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("bearer", &self.bearer).finish_non_exhaustive()
    }
}

fn not_pem(path: &Path, wanted: &'static str, detail: &str) -> CredentialsError {
    FileError::NotPem { path: path.to_owned(), wanted, detail: detail.to_owned() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::identity::Role;
    use crate::model::time::WallTime;
    use crate::pki::authority::Authority;
    use crate::pki::certificate::{Subject, Validity};
    use crate::pki::file::Publish;
    use crate::pki::request::PublicKey;

    #[test]
    fn files_that_belong_together_load_and_others_say_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let now = WallTime(1_790_000_000_000_000);
        let authority = Authority::create(dir.path(), "c1", now).unwrap();
        let key = KeyPair::generate().unwrap();
        let subject = Subject::node("n1").unwrap();
        let public = PublicKey::of(&key).unwrap();
        let issued = authority.issue(&subject, &public, Validity::usual(Role::Node, now)).unwrap();
        let files = CredentialFiles::in_folder(dir.path());
        key.write(&files.key, Publish::New).unwrap();
        file::write_public(&files.certificate, issued.pem.as_bytes(), Publish::New).unwrap();
        let loaded = Credentials::load(&files).unwrap();
        assert_eq!(loaded.bearer().identity.name, "n1");
        assert_eq!(loaded.cluster(), "c1");
        assert_eq!(loaded.authorities(), [authority.certificate().clone()]);
        assert!(loaded.is_vouched_for());
        let other = tempfile::tempdir().unwrap();
        let other = Authority::create(other.path(), "c1", now).unwrap();
        let foreign = Credentials::new(&issued.der, &key, std::slice::from_ref(other.certificate())).unwrap();
        assert!(!foreign.is_vouched_for());

        KeyPair::generate().unwrap().write(&files.key, Publish::Replace).unwrap();
        assert!(matches!(Credentials::load(&files), Err(CredentialsError::Mismatch)));
        file::write_secret(&files.key, b"no key", Publish::Replace).unwrap();
        let refused = Credentials::load(&files).unwrap_err();
        assert!(matches!(refused, CredentialsError::File(FileError::NotPem { .. })), "{refused}");
    }
}
