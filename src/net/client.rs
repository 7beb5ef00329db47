//! The dialling side: one connection to the controller, as fast as it can be had.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, TokioRuntime};
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::sign::SingleCertAndKey;

use crate::model::time::WallTime;
use crate::pki::certificate::{CONTROLLER_SERVER_NAME, Fingerprint, Validity};
use crate::pki::credentials::Credentials;
use crate::pki::crypto::provider;

use super::close::{self, CloseCode, End};
use super::dial_error::{CertificateTrouble, DialError, Try, clock_of};
use super::verify::{ControllerVerifier, Trust};
use super::{ALPN, ALPN_JOIN, PORT, transport};

/// How long one address may take to answer before the next is tried.
pub const ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);
/// After so long without an answer, the host is asked whether anything listens on that port at all.
const SILENCE_BEFORE_PROBE: Duration = Duration::from_millis(50);
/// How often it is asked.
const PROBES: u32 = 4;

/// TLS alerts by which a peer refuses a certificate for its time.
const ALERT_CERTIFICATE_EXPIRED: u8 = 45;
/// Other alerts about a certificate: bad, unsupported, revoked, unknown, illegal, unknown authority, access
/// denied, decrypt error, required.
const ALERTS_CERTIFICATE: [u8; 9] = [42, 43, 44, 46, 47, 48, 49, 51, 116];
/// The peer knows none of the protocols offered.
const ALERT_NO_PROTOCOL: u8 = 120;

/// An open connection to the controller, with the endpoint that must outlive it.
#[derive(Debug)]
pub struct Link {
    endpoint: Endpoint,
    connection: Connection,
    address: String,
    own: Option<Validity>,
}

impl Link {
    /// The connection. Clone it freely; the link must live as long.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The address that answered, as it stands in the configuration.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Why the connection ended, once it has; ask this after any error of a stream. The controller's verdict on
    /// the own certificate comes this way too: TLS 1.3 lets the dialling side go ahead before it is judged.
    pub fn lost(&self) -> Option<DialError> {
        self.connection.close_reason().map(|error| explain(&error, &self.address, self.own))
    }

    /// Closes it with [`CloseCode::Done`] and returns as soon as the kernel has the close: see [`close::finish`].
    pub async fn finish(self) {
        close::finish(self.endpoint, self.connection, CloseCode::Done, "").await;
    }
}

/// Dials the controller at the first of `addresses` (`HOST` or `HOST:PORT`) that answers, and makes sure that it
/// is the controller of the cluster that `credentials` are for. Runs on any tokio runtime with IO and time.
///
/// # Errors
/// [`DialError`]: of several failures the one that says most about what to do.
pub async fn dial(credentials: &Credentials, addresses: &[String]) -> Result<Link, DialError> {
    let roots = credentials.roots()?;
    let verifier = || ControllerVerifier::new(Trust::Authorities(Arc::clone(&roots)), credentials.cluster());
    let own = Arc::new(SingleCertAndKey::from((**credentials.certified()).clone()));
    let attempt = Attempt {
        own_validity: Some(credentials.bearer().validity),
        tls: Box::new(move |verifier| {
            let mut tls = tls_builder(verifier)?.with_client_cert_resolver(own.clone());
            tls.alpn_protocols = vec![ALPN.to_vec()];
            tls.resumption = Resumption::disabled();
            Ok(tls)
        }),
    };
    first_that_answers(&attempt, verifier, addresses).await.map(|(link, _)| link)
}

/// Dials the controller to join: without a certificate, knowing its authority only by the fingerprint from the
/// join token. Gives the authority's certificate along, to be kept.
///
/// # Errors
/// As [`dial`].
pub async fn dial_join(
    authority: Fingerprint,
    cluster: &str,
    addresses: &[String],
) -> Result<(Link, CertificateDer<'static>), DialError> {
    let verifier = || ControllerVerifier::new(Trust::Fingerprint(authority), cluster);
    let attempt = Attempt {
        own_validity: None,
        tls: Box::new(|verifier| {
            let mut tls = tls_builder(verifier)?.with_no_client_auth();
            tls.alpn_protocols = vec![ALPN_JOIN.to_vec()];
            tls.resumption = Resumption::disabled();
            Ok(tls)
        }),
    };
    let (link, seen) = first_that_answers(&attempt, verifier, addresses).await?;
    match seen {
        Some(authority) => Ok((link, authority)),
        None => {
            Err(DialError::Configuration("the controller sent no certificate of its authority".to_owned()))
        }
    }
}

type TlsMaker =
    Box<dyn Fn(Arc<ControllerVerifier>) -> Result<rustls::ClientConfig, rustls::Error> + Send + Sync>;

struct Attempt {
    own_validity: Option<Validity>,
    tls: TlsMaker,
}

async fn first_that_answers(
    attempt: &Attempt,
    verifier: impl Fn() -> ControllerVerifier,
    addresses: &[String],
) -> Result<(Link, Option<CertificateDer<'static>>), DialError> {
    if addresses.is_empty() {
        return Err(DialError::Configuration(
            "no address of a controller is configured: set `controllers` in the client's configuration"
                .to_owned(),
        ));
    }
    let mut tries = Vec::new();
    let mut telling = None;
    for address in addresses {
        let resolved = match resolve(address).await {
            Ok(resolved) => resolved,
            Err(error) => {
                tries.push(Try { address: address.clone(), outcome: format!("cannot be resolved: {error}") });
                continue;
            }
        };
        for socket_address in resolved {
            match dial_one(attempt, Arc::new(verifier()), address, socket_address).await {
                Ok(done) => return Ok(done),
                Err(DialError::NotReached { tries: more }) => tries.extend(more),
                Err(other) => telling = telling.or(Some(other)),
            }
        }
    }
    Err(telling.unwrap_or(DialError::NotReached { tries }))
}

async fn dial_one(
    attempt: &Attempt,
    verifier: Arc<ControllerVerifier>,
    address: &str,
    to: SocketAddr,
) -> Result<(Link, Option<CertificateDer<'static>>), DialError> {
    let unusable = |e: &dyn std::fmt::Display| DialError::Configuration(format!("cannot set up TLS: {e}"));
    let not_reached =
        |outcome: String| DialError::NotReached { tries: vec![Try { address: address.to_owned(), outcome }] };
    let tls = (attempt.tls)(Arc::clone(&verifier)).map_err(|e| unusable(&e))?;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).map_err(|e| unusable(&e))?));
    config.transport_config(transport::dialling());
    let endpoint = client_endpoint(to).map_err(|e| not_reached(e.to_string()))?;
    let connecting =
        endpoint.connect_with(config, to, CONTROLLER_SERVER_NAME).map_err(|e| not_reached(e.to_string()))?;
    let outcome = tokio::select! {
        biased;
        done = tokio::time::timeout(ADDRESS_TIMEOUT, connecting) => done,
        refused = nobody_listens(to) => return Err(not_reached(refused)),
    };
    let seen = verifier.take_seen();
    match outcome {
        Ok(Ok(connection)) => {
            let (address, own) = (address.to_owned(), attempt.own_validity);
            Ok((Link { endpoint, connection, address, own }, seen.authority))
        }
        Ok(Err(error)) => Err(match seen.trouble {
            Some(trouble) => DialError::Certificate { address: address.to_owned(), trouble },
            None => explain(&error, address, attempt.own_validity),
        }),
        Err(_) => Err(not_reached(format!("no answer within {} s", ADDRESS_TIMEOUT.as_secs()))),
    }
}

fn tls_builder(
    verifier: Arc<ControllerVerifier>,
) -> Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>, rustls::Error> {
    Ok(rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier))
}

/// A socket of the family of `to`, with an endpoint that only dials.
fn client_endpoint(to: SocketAddr) -> io::Result<Endpoint> {
    let socket = UdpSocket::bind((unspecified(to), 0))?;
    Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))
}

fn unspecified(to: SocketAddr) -> IpAddr {
    match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

async fn resolve(address: &str) -> io::Result<Vec<SocketAddr>> {
    if let Ok(socket_address) = address.parse() {
        return Ok(vec![socket_address]);
    }
    if let Ok(ip) = address.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, PORT)]);
    }
    let found: Vec<SocketAddr> = if address.contains(':') {
        tokio::net::lookup_host(address).await?.collect()
    } else {
        tokio::net::lookup_host((address, PORT)).await?.collect()
    };
    if found.is_empty() { Err(io::Error::other("the name has no address")) } else { Ok(found) }
}

/// Ends, with words, once the host says that nothing listens on that port; never otherwise. QUIC does not hear
/// of that, so a client would wait out its time for a controller that is not there. A connected socket does.
async fn nobody_listens(to: SocketAddr) -> String {
    for _ in 0..PROBES {
        tokio::time::sleep(SILENCE_BEFORE_PROBE).await;
        if let Err(error) = probe(to).await {
            return match error.kind() {
                io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
                _ => error.to_string(),
            };
        }
    }
    std::future::pending().await
}

async fn probe(to: SocketAddr) -> io::Result<()> {
    let socket = tokio::net::UdpSocket::bind((unspecified(to), 0)).await?;
    socket.connect(to).await?;
    // One byte is no QUIC packet: a controller drops it without an answer.
    socket.send(&[0]).await?;
    let mut answer = [0u8; 1];
    match tokio::time::timeout(SILENCE_BEFORE_PROBE, socket.recv(&mut answer)).await {
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

fn explain(error: &ConnectionError, address: &str, own: Option<Validity>) -> DialError {
    let address = address.to_owned();
    let not_reached = |address: String, outcome: &str| DialError::NotReached {
        tries: vec![Try { address, outcome: outcome.to_owned() }],
    };
    match End::of(error) {
        End::ByPeer { code, reason } => DialError::Refused { address, code, reason },
        End::Aborted { alert: Some(ALERT_CERTIFICATE_EXPIRED), reason } => {
            DialError::Certificate { address, trouble: own_out_of_time(own, reason) }
        }
        End::Aborted { alert: Some(alert), reason } if ALERTS_CERTIFICATE.contains(&alert) => {
            DialError::Certificate { address, trouble: CertificateTrouble::OwnRefused { said: reason } }
        }
        End::Aborted { alert: Some(ALERT_NO_PROTOCOL), .. } => DialError::Version { address },
        End::Aborted { reason, .. } | End::Failed { reason } => not_reached(address, &reason),
        End::Restarted => not_reached(address, "the controller has restarted"),
        End::Silent => not_reached(address, "nothing is heard any more"),
        End::Here => not_reached(address, "closed here"),
    }
}

fn own_out_of_time(own: Option<Validity>, said: String) -> CertificateTrouble {
    match own {
        Some(Validity { not_before, not_after }) => {
            let (clock, controllers_seconds) = (wall_clock(), clock_of(&said));
            CertificateTrouble::OwnOutOfTime { not_before, not_after, clock, controllers_seconds }
        }
        None => CertificateTrouble::OwnRefused { said },
    }
}

fn wall_clock() -> WallTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallTime(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
