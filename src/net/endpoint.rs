//! The listening side: the controller's endpoint, who comes in, and how many handshakes it bears.
//!
//! TLS 1.3 with client certificates from the cluster's authority. A client without one gets through TLS, since
//! rustls cannot tell the protocols apart there, but only the join protocol accepts it; on the usual one its
//! connection is closed before any stream is looked at.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{Connection, ConnectionError, Endpoint, Incoming, TokioRuntime};
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use thiserror::Error;

use crate::model::identity::{Identity, Role};
use crate::pki::certificate::{Bearer, CertificateError};
use crate::pki::credentials::{Credentials, CredentialsError};
use crate::pki::crypto::provider;

use super::close::{CloseCode, End};
use super::{ALPN, ALPN_JOIN, reset_key, socket, transport};

/// Above so many unfinished handshakes, a client must first prove that its address is real (one round trip).
pub const HANDSHAKES_UNPROVEN_MAX: usize = 64;
/// Above so many unfinished handshakes, clients are turned away.
pub const HANDSHAKES_MAX: usize = 1_024;
/// How long a handshake may take, first packet to last.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Handshakes not yet looked at, within quinn.
const UNSEEN_MAX: usize = 1_024;
/// Bytes that quinn keeps of one handshake not yet looked at, and of all together.
const UNSEEN_BYTES: u64 = 8 << 10;
const UNSEEN_BYTES_TOTAL: u64 = 2 << 20;

/// Why there is no listening endpoint.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The address is taken or not this host's.
    #[error(
        "cannot listen on UDP {address}: {source}; another controller may be running, or `listen` names an address that this host lacks"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the operating system answered.
        source: io::Error,
    },
    /// The credentials are not a controller's.
    #[error("{0} cannot be the controller: a certificate of role controller is needed (`jctld ca issue`)")]
    NotController(String),
    /// The credentials cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// TLS cannot be set up with them.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}

/// Why somebody did not get in. One line for the log; it was told the peer as far as the protocol allows.
#[derive(Debug, Error)]
pub enum AdmissionError {
    /// The handshake failed: wrong or ended certificate, other protocol, lost interest.
    #[error("handshake with {from} failed: {}", end_in_words(.end))]
    Handshake {
        /// Its address.
        from: SocketAddr,
        /// How it ended.
        end: End,
    },
    /// It took longer than [`HANDSHAKE_TIMEOUT`].
    #[error("handshake with {from} took longer than {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Slow {
        /// Its address.
        from: SocketAddr,
    },
    /// No certificate, on the usual protocol.
    #[error("{from} came without a certificate")]
    NoCertificate {
        /// Its address.
        from: SocketAddr,
    },
    /// A certificate of this authority that names nobody of this cluster.
    #[error("{from} came with an unusable certificate: {cause}")]
    Certificate {
        /// Its address.
        from: SocketAddr,
        /// What is wrong with it.
        cause: CertificateError,
    },
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Somebody with a valid certificate. Whether it has been revoked is for the caller to look up.
    Known(Bearer),
    /// Nobody known, on the join protocol: may exchange a token for a certificate, and nothing else.
    Joining,
}

/// The controller's endpoint.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    cluster: Arc<str>,
    unfinished: Arc<AtomicUsize>,
    warning: Option<String>,
}

/// Binds `address` and listens with the controller's credentials. Port 0 takes a free one.
///
/// # Errors
/// [`ListenError`]; call it within a tokio runtime.
pub fn server(address: SocketAddr, credentials: &Credentials) -> Result<Listener, ListenError> {
    must_be_controller(credentials)?;
    listen(address, credentials)
}

/// [`server`], whosever the credentials are.
pub(super) fn listen(address: SocketAddr, credentials: &Credentials) -> Result<Listener, ListenError> {
    let config = server_config(credentials)?;
    let bind_error = |source| ListenError::Bind { address, source };
    let (socket, warning) = socket::bind(address).map_err(bind_error)?;
    let endpoint_config = reset_key::endpoint_config(&credentials.derived_secret());
    let endpoint = Endpoint::new(endpoint_config, Some(config), socket, Arc::new(TokioRuntime));
    Ok(Listener {
        endpoint: endpoint.map_err(bind_error)?,
        cluster: credentials.cluster().into(),
        unfinished: Arc::default(),
        warning,
    })
}

impl Listener {
    /// What the admin should know about the socket, if anything.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the operating system answered.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// The next client that knocks; `None` once the endpoint is closed. Does not wait for the handshake: give the
    /// [`Arrival`] to a task of its own. Too many at once are made to prove their address, or turned away, here.
    pub async fn accept(&self) -> Option<Arrival> {
        self.accept_or(|_, _| {}).await
    }

    /// [`Listener::accept`], and `told` hears of everybody who did not get in at once.
    pub async fn accept_or(&self, told: impl Fn(Pressure, SocketAddr)) -> Option<Arrival> {
        loop {
            let incoming = self.endpoint.accept().await?;
            match admission(self.unfinished.load(Ordering::Relaxed), incoming.remote_address_validated()) {
                Admission::Handshake => {
                    let place = Place::taken_in(&self.unfinished);
                    return Some(Arrival { incoming, cluster: Arc::clone(&self.cluster), place });
                }
                Admission::Prove if incoming.may_retry() => {
                    told(Pressure::Proving, incoming.remote_address());
                    // It comes back with a proof; only an incoming that proved itself already cannot retry.
                    let _ = incoming.retry();
                }
                Admission::Prove | Admission::TurnAway => {
                    told(Pressure::TurnedAway, incoming.remote_address());
                    incoming.refuse();
                }
            }
        }
    }

    /// Takes renewed credentials for connections from now on; those that are open stay.
    ///
    /// # Errors
    /// As [`server`].
    pub fn replace_credentials(&self, credentials: &Credentials) -> Result<(), ListenError> {
        must_be_controller(credentials)?;
        self.endpoint.set_server_config(Some(server_config(credentials)?));
        Ok(())
    }

    /// Closes all connections with that code and reason, and takes no new ones.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.endpoint.close(code.varint(), reason.as_bytes());
    }

    /// After [`Listener::close`]: waits until the peers know, at most as long as `limit`.
    pub async fn closed(&self, limit: Duration) {
        let _ = tokio::time::timeout(limit, self.endpoint.wait_idle()).await;
    }
}

/// What happens to clients when too many handshakes are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// It must come again with a proof of its address.
    Proving,
    /// It is told to go.
    TurnedAway,
}

/// A client whose handshake is about to begin.
#[derive(Debug)]
pub struct Arrival {
    incoming: Incoming,
    cluster: Arc<str>,
    place: Place,
}

impl Arrival {
    /// Its address; anybody can claim one that is not proven.
    pub fn from(&self) -> SocketAddr {
        self.incoming.remote_address()
    }

    /// Whether its address is proven already, as it must be under load.
    pub fn is_proven(&self) -> bool {
        self.incoming.remote_address_validated()
    }

    /// Does the handshake and finds out who it is. On `Ok` the connection's limits are those of its kind.
    ///
    /// # Errors
    /// Why it did not get in; it is closed, and knows why.
    pub async fn admit(self) -> Result<(Connection, Peer), AdmissionError> {
        let Arrival { incoming, cluster, place } = self;
        let from = incoming.remote_address();
        let failed = |error: ConnectionError| AdmissionError::Handshake { from, end: End::of(&error) };
        let connecting = incoming.accept().map_err(failed)?;
        let connection = match tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting).await {
            Ok(done) => done.map_err(failed)?,
            Err(_) => return Err(AdmissionError::Slow { from }),
        };
        drop(place);
        match identify(&connection, &cluster) {
            Ok(peer) => {
                if let Peer::Known(bearer) = &peer {
                    let is_node = bearer.identity.role == Role::Node;
                    let window =
                        if is_node { transport::KNOWN_WINDOW_BYTES } else { transport::CLIENT_WINDOW_BYTES };
                    connection.set_receive_window(window.into());
                    connection.set_max_concurrent_bi_streams(transport::KNOWN_STREAMS.into());
                    if is_node {
                        connection.set_send_window(transport::SEND_WINDOW_KNOWN_BYTES);
                    }
                }
                Ok((connection, peer))
            }
            Err(error) => {
                connection.close(CloseCode::NotAdmitted.varint(), told(&error).as_bytes());
                Err(error)
            }
        }
    }
}

/// Who bears the certificate at the other end of an established connection.
///
/// # Errors
/// [`CertificateError`] if there is none or it names nobody of `cluster`.
pub fn peer_identity(connection: &Connection, cluster: &str) -> Result<Identity, CertificateError> {
    match peer_bearer(connection, cluster)? {
        Some(bearer) => Ok(bearer.identity),
        None => Err(CertificateError::Names("there is no certificate")),
    }
}

fn identify(connection: &Connection, cluster: &str) -> Result<Peer, AdmissionError> {
    let from = connection.remote_address();
    let handshake = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    if handshake.and_then(|data| data.protocol).as_deref() == Some(ALPN_JOIN) {
        return Ok(Peer::Joining);
    }
    match peer_bearer(connection, cluster) {
        Ok(Some(bearer)) => Ok(Peer::Known(bearer)),
        Ok(None) => Err(AdmissionError::NoCertificate { from }),
        Err(cause) => Err(AdmissionError::Certificate { from, cause }),
    }
}

fn peer_bearer(connection: &Connection, cluster: &str) -> Result<Option<Bearer>, CertificateError> {
    let chain =
        connection.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    match chain.as_deref().map(Vec::as_slice) {
        None | Some([]) => Ok(None),
        Some([certificate]) => Bearer::of_cluster(certificate, cluster).map(Some),
        // Nothing stands between the authority and its bearers.
        Some(_) => Err(CertificateError::Names("there are certificates beside it")),
    }
}

fn told(error: &AdmissionError) -> String {
    match error {
        AdmissionError::NoCertificate { .. } => {
            "a certificate is needed here: `jqueue login TOKEN` or `jworkerd join TOKEN` gets one".to_owned()
        }
        AdmissionError::Certificate { cause, .. } => cause.to_string(),
        other => other.to_string(),
    }
}

fn end_in_words(end: &End) -> String {
    match end {
        End::ByPeer { reason, .. } | End::Aborted { reason, .. } | End::Failed { reason } => reason.clone(),
        End::Restarted => "the peer restarted".to_owned(),
        End::Silent => "nothing more was heard".to_owned(),
        End::Here => "closed here".to_owned(),
    }
}

/// What becomes of a client that knocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    Handshake,
    Prove,
    TurnAway,
}

fn admission(unfinished: usize, proven: bool) -> Admission {
    match (unfinished, proven) {
        (HANDSHAKES_MAX.., _) => Admission::TurnAway,
        (HANDSHAKES_UNPROVEN_MAX.., false) => Admission::Prove,
        _ => Admission::Handshake,
    }
}

/// One unfinished handshake, counted as long as it lives.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Place {
    fn taken_in(count: &Arc<AtomicUsize>) -> Place {
        count.fetch_add(1, Ordering::Relaxed);
        Place(Arc::clone(count))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn must_be_controller(credentials: &Credentials) -> Result<(), ListenError> {
    let identity = &credentials.bearer().identity;
    match identity.role {
        Role::Controller => Ok(()),
        role => Err(ListenError::NotController(format!("{role} {}", identity.name))),
    }
}

fn server_config(credentials: &Credentials) -> Result<quinn::ServerConfig, ListenError> {
    let tls_error = |e: &dyn std::fmt::Display| ListenError::Tls(e.to_string());
    let clients = WebPkiClientVerifier::builder_with_provider(credentials.roots()?, provider())
        .allow_unauthenticated()
        .clear_root_hint_subjects()
        .build()
        .map_err(|e| tls_error(&e))?;
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| tls_error(&e))?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(ControllerChain::of(credentials)));
    tls.alpn_protocols = vec![ALPN.to_vec(), ALPN_JOIN.to_vec()];
    // A resumed session would skip the certificate and with it its end and its revocation; early data can be
    // replayed. Both stay off.
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    tls.send_tls13_tickets = 0;
    tls.max_early_data_size = 0;
    let quic = QuicServerConfig::try_from(tls).map_err(|e| tls_error(&e))?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(quic));
    config.transport_config(transport::listening());
    config.max_incoming(UNSEEN_MAX);
    config.incoming_buffer_size(UNSEEN_BYTES);
    config.incoming_buffer_size_total(UNSEEN_BYTES_TOTAL);
    Ok(config)
}

/// The controller's certificate, alone for those who know the authority, with the authority for those who join.
#[derive(Debug)]
struct ControllerChain {
    alone: Arc<CertifiedKey>,
    with_authorities: Arc<CertifiedKey>,
}

impl ControllerChain {
    fn of(credentials: &Credentials) -> ControllerChain {
        let alone = Arc::clone(credentials.certified());
        let chain = alone.cert.iter().chain(credentials.authorities()).cloned().collect();
        let with_authorities = Arc::new(CertifiedKey::new(chain, Arc::clone(&alone.key)));
        ControllerChain { alone, with_authorities }
    }
}

impl ResolvesServerCert for ControllerChain {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let joins = client_hello.alpn().is_some_and(|mut names| names.any(|name| name == ALPN_JOIN));
        Some(Arc::clone(if joins { &self.with_authorities } else { &self.alone }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_under_load() {
        let last_free = HANDSHAKES_UNPROVEN_MAX - 1;
        assert_eq!(admission(last_free, false), Admission::Handshake);
        assert_eq!(admission(last_free + 1, false), Admission::Prove);
        assert_eq!(admission(HANDSHAKES_MAX - 1, true), Admission::Handshake);
        assert_eq!(admission(HANDSHAKES_MAX - 1, false), Admission::Prove);
        assert_eq!(admission(HANDSHAKES_MAX, true), Admission::TurnAway);
    }
}
