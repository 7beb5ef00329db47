//! A request for a certificate: a public key with the proof that the sender has its private half.
//!
//! It is a PKCS #10 request of which the authority takes nothing but the key: who the certificate is for comes
//! from the token or from the certificate that is renewed.

use rcgen::{CertificateParams, PublicKeyData, SubjectPublicKeyInfo};
use thiserror::Error;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::key::KeyPair;

/// The most bytes that a request may have; ours have about 200.
pub const REQUEST_BYTES_MAX: usize = 4 * 1024;

/// Bytes of an uncompressed point on P-256.
const POINT_BYTES: usize = 65;
/// First byte of an uncompressed point.
const POINT_UNCOMPRESSED: u8 = 4;

/// Why a request is refused.
#[derive(Debug, Error)]
pub enum RequestError {
    /// Longer than [`REQUEST_BYTES_MAX`].
    #[error("the certificate request has {0} bytes, more than {max}", max = REQUEST_BYTES_MAX)]
    TooLong(usize),
    /// Not a PKCS #10 request in DER, or bytes after it.
    #[error("the certificate request cannot be read; it must be PKCS #10 in DER")]
    Malformed,
    /// Another kind of key.
    #[error("the certificate request holds a key that is not ECDSA on P-256; make a new one")]
    KeyKind,
    /// The signature does not fit the key: the sender does not have the private half.
    #[error("the certificate request is not signed with the key that it names")]
    NoProof,
    /// The request could not be made.
    #[error("cannot make a certificate request: {0}")]
    Make(rcgen::Error),
}

/// A public key whose owner has proved to have the private half (or that was made here).
#[derive(Clone, Debug)]
pub struct PublicKey(SubjectPublicKeyInfo);

impl PublicKey {
    /// Takes the key, and nothing else, out of a request.
    ///
    /// # Errors
    /// What is wrong with it; whoever sent it has to make a new one.
    pub fn from_request(der: &[u8]) -> Result<PublicKey, RequestError> {
        if der.len() > REQUEST_BYTES_MAX {
            return Err(RequestError::TooLong(der.len()));
        }
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| RequestError::Malformed)?;
        if !rest.is_empty() {
            return Err(RequestError::Malformed);
        }
        let key = PublicKey::from_info(request.certification_request_info.subject_pki.raw)?;
        request.verify_signature().map_err(|_| RequestError::NoProof)?;
        Ok(key)
    }

    /// The public half of a key made here, for certificates that never travel as a request.
    ///
    /// # Errors
    /// [`RequestError::KeyKind`], which a [`KeyPair`] never gives.
    pub fn of(key: &KeyPair) -> Result<PublicKey, RequestError> {
        PublicKey::from_info(&key.signer().subject_public_key_info())
    }

    /// BLAKE3 of the key, to know it again.
    pub fn digest(&self) -> [u8; 32] {
        blake3::derive_key("jsched 2026 digest of a public key", self.0.der_bytes())
    }

    fn from_info(der: &[u8]) -> Result<PublicKey, RequestError> {
        let info = SubjectPublicKeyInfo::from_der(der).map_err(|_| RequestError::KeyKind)?;
        let point = info.der_bytes();
        let fits = info.algorithm() == &rcgen::PKCS_ECDSA_P256_SHA256
            && point.len() == POINT_BYTES
            && point.first() == Some(&POINT_UNCOMPRESSED);
        if fits { Ok(PublicKey(info)) } else { Err(RequestError::KeyKind) }
    }
}

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.0.algorithm()
    }
}

/// Makes the request for `key`, in DER.
///
/// # Errors
/// [`RequestError::Make`] when signing fails.
pub fn request(key: &KeyPair) -> Result<Vec<u8>, RequestError> {
    let made = CertificateParams::default().serialize_request(key.signer()).map_err(RequestError::Make)?;
    Ok(made.der().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_gives_its_key_and_no_flipped_byte_gives_another() {
        let key = KeyPair::generate().unwrap();
        let der = request(&key).unwrap();
        let taken = PublicKey::from_request(&der).unwrap();
        assert_eq!(taken.der_bytes(), PublicKey::of(&key).unwrap().der_bytes());
        for at in 0..der.len() {
            let mut bent = der.clone();
            bent[at] ^= 0x01;
            // A few bytes (the count of unused bits of the signature) do not matter to the proof.
            if let Ok(other) = PublicKey::from_request(&bent) {
                assert_eq!(other.der_bytes(), taken.der_bytes(), "byte {at}");
            }
        }
    }

    #[test]
    fn other_keys_trailing_bytes_and_long_requests_are_refused() {
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let der = CertificateParams::default().serialize_request(&other).unwrap().der().to_vec();
        assert!(matches!(PublicKey::from_request(&der), Err(RequestError::KeyKind)));

        let mut der = request(&KeyPair::generate().unwrap()).unwrap();
        der.push(0);
        assert!(matches!(PublicKey::from_request(&der), Err(RequestError::Malformed)));
        der.resize(REQUEST_BYTES_MAX, 0);
        assert!(matches!(PublicKey::from_request(&der), Err(RequestError::Malformed)));
        der.push(0);
        assert!(matches!(PublicKey::from_request(&der), Err(RequestError::TooLong(_))));
    }

    #[test]
    fn what_a_request_claims_beside_its_key_is_ignored() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["controller.jsched".to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let der = params.serialize_request(key.signer()).unwrap().der().to_vec();
        let taken = PublicKey::from_request(&der).unwrap();
        assert_eq!(taken.der_bytes(), PublicKey::of(&key).unwrap().der_bytes());
    }
}
