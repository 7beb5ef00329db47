//! A key pair: ECDSA on P-256, made where its owner is, kept in a file that only the owner reads.

use std::fmt;
use std::path::Path;

use thiserror::Error;

use super::file::{self, FileError, Publish};

/// What can go wrong with a key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file it lives in.
    #[error(transparent)]
    File(#[from] FileError),
    /// No key could be made; in practice the kernel's randomness is missing.
    #[error("cannot make a key: {0}")]
    Generate(rcgen::Error),
}

/// A private key with its public half. Debug output shows neither.
pub struct KeyPair(rcgen::KeyPair);

impl KeyPair {
    /// Makes a new key from the kernel's randomness.
    ///
    /// # Errors
    /// [`KeyError::Generate`] when there is no randomness.
    pub fn generate() -> Result<KeyPair, KeyError> {
        rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map(KeyPair).map_err(KeyError::Generate)
    }

    /// Reads a key from its file (PKCS #8 in PEM).
    ///
    /// # Errors
    /// [`FileError::Exposed`] if others can read the file, [`FileError::NotPem`] if it holds no P-256 key.
    pub fn read(path: &Path) -> Result<KeyPair, KeyError> {
        let text = file::read_secret(path)?;
        rcgen::KeyPair::from_pkcs8_pem_and_sign_algo(&text, &rcgen::PKCS_ECDSA_P256_SHA256)
            .map(KeyPair)
            .map_err(|e| {
                let (path, detail) = (path.to_owned(), e.to_string());
                FileError::NotPem { path, wanted: "private key (P-256)", detail }.into()
            })
    }

    /// Writes the key to a file of mode 0600.
    ///
    /// # Errors
    /// As [`file::write_secret`].
    pub fn write(&self, path: &Path, publish: Publish) -> Result<(), KeyError> {
        Ok(file::write_secret(path, self.0.serialize_pem().as_bytes(), publish)?)
    }

    /// The private half as PKCS #8, for TLS.
    pub(super) fn private_der(&self) -> &[u8] {
        self.0.serialized_der()
    }

    pub(super) fn signer(&self) -> &rcgen::KeyPair {
        &self.0
    }

    pub(super) fn into_signer(self) -> rcgen::KeyPair {
        self.0
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair(secret)")
    }
}
