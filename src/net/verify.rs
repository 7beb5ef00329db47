//! Whom the dialling side takes for the controller.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError as TlsCertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::model::identity::Role;
use crate::pki::certificate::{Bearer, Fingerprint};
use crate::pki::crypto::provider;

use super::dial_error::CertificateTrouble;

/// What the controller's certificate is checked against.
#[derive(Debug)]
pub(super) enum Trust {
    /// The authorities that are known.
    Authorities(Arc<RootCertStore>),
    /// The one authority of that fingerprint; the controller sends its certificate along.
    Fingerprint(Fingerprint),
}

/// What one dial has seen, kept beside the handshake since its errors carry only text.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Why the certificate was refused.
    pub trouble: Option<CertificateTrouble>,
    /// The authority that was believed by its fingerprint.
    pub authority: Option<CertificateDer<'static>>,
}

/// Accepts exactly the controller of one cluster. One verifier serves one dial.
#[derive(Debug)]
pub(super) struct ControllerVerifier {
    trust: Trust,
    cluster: String,
    algorithms: WebPkiSupportedAlgorithms,
    seen: Mutex<Seen>,
}

impl ControllerVerifier {
    pub(super) fn new(trust: Trust, cluster: &str) -> ControllerVerifier {
        let algorithms = provider().signature_verification_algorithms;
        ControllerVerifier { trust, cluster: cluster.to_owned(), algorithms, seen: Mutex::default() }
    }

    /// Takes what was seen.
    pub(super) fn take_seen(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<Option<CertificateDer<'static>>, CertificateTrouble> {
        let (roots, authority) = match &self.trust {
            Trust::Authorities(roots) => (Arc::clone(roots), None),
            Trust::Fingerprint(wanted) => {
                let authority = others
                    .iter()
                    .find(|other| Fingerprint::of(other) == *wanted)
                    .ok_or(CertificateTrouble::OtherAuthority)?
                    .clone()
                    .into_owned();
                let mut roots = RootCertStore::empty();
                roots.add(authority.clone()).map_err(|e| CertificateTrouble::NotController(e.to_string()))?;
                (Arc::new(roots), Some(authority))
            }
        };
        let chain = WebPkiServerVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|e| CertificateTrouble::NotController(e.to_string()))?;
        // Our authorities sign no authorities, so there is nothing between: intermediates are not even offered.
        chain.verify_server_cert(end_entity, &[], server_name, &[], now).map_err(trouble_of)?;
        let bearer = Bearer::of_cluster(end_entity, &self.cluster)
            .map_err(|e| CertificateTrouble::NotController(e.to_string()))?;
        if bearer.identity.role != Role::Controller {
            let who = format!("it is the certificate of {} {}", bearer.identity.role, bearer.identity.name);
            return Err(CertificateTrouble::NotController(who));
        }
        Ok(authority)
    }
}

impl ServerCertVerifier for ControllerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.verify(end_entity, intermediates, server_name, now);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match verdict {
            Ok(authority) => {
                *seen = Seen { trouble: None, authority };
                Ok(ServerCertVerified::assertion())
            }
            Err(trouble) => {
                let alert = trouble.alert();
                *seen = Seen { trouble: Some(trouble), authority: None };
                Err(Error::InvalidCertificate(alert))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn trouble_of(error: Error) -> CertificateTrouble {
    match error {
        Error::InvalidCertificate(TlsCertificateError::ExpiredContext { time, not_after }) => {
            CertificateTrouble::ControllersEnded {
                not_after_seconds: not_after.as_secs(),
                clock_seconds: time.as_secs(),
            }
        }
        Error::InvalidCertificate(TlsCertificateError::NotValidYetContext { time, not_before }) => {
            CertificateTrouble::ControllersNotYet {
                not_before_seconds: not_before.as_secs(),
                clock_seconds: time.as_secs(),
            }
        }
        Error::InvalidCertificate(TlsCertificateError::UnknownIssuer | TlsCertificateError::BadSignature) => {
            CertificateTrouble::OtherAuthority
        }
        other => CertificateTrouble::NotController(other.to_string()),
    }
}
