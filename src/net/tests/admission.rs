//! Who gets in on either side, and what the others are told.

use std::sync::Arc;
use std::time::Duration;

use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::*;
use crate::model::identity::Serial;
use crate::net::client::{dial, dial_join};
use crate::net::close::{CloseCode, End};
use crate::net::dial_error::{CertificateTrouble, DialError};
use crate::net::transport;
use crate::net::{ALPN, ALPN_JOIN};
use crate::pki::certificate::Fingerprint;

#[tokio::test]
async fn each_side_learns_who_the_other_is() {
    let site = Site::new("c1");
    let mut serving = site.serve();
    let garbage = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for length in [0, 1, 20, 1200, 1400] {
        for byte in [0x00, 0x40, 0xc0, 0xff] {
            garbage.send_to(&vec![byte; length], &serving.address).unwrap();
        }
    }
    let credentials = site.credentials(&ann());
    let link = dial(&credentials, &serving.addresses()).await.unwrap();
    let (connection, peer) = serving.next().await.unwrap();
    assert_eq!(peer, Peer::Known(credentials.bearer().clone()));
    let identity = endpoint::peer_identity(&connection, "c1").unwrap();
    assert_eq!((identity.name.as_str(), identity.uid), ("ann", Some(Uid(1000))));
    assert_ne!(identity.serial, Serial([0; 16]));
    assert!(endpoint::peer_identity(&connection, "c2").is_err());
    assert_eq!(link.address(), serving.address);
    assert!(link.lost().is_none());
}

/// What a refused client is told, once its connection has ended.
async fn fate(credentials: &Credentials, serving: &mut Serving) -> (DialError, AdmissionError) {
    let told = match dial(credentials, &serving.addresses()).await {
        Err(error) => error,
        Ok(link) => {
            link.connection().closed().await;
            link.lost().unwrap()
        }
    };
    (told, serving.next().await.unwrap_err())
}

#[tokio::test]
async fn clients_with_the_wrong_certificate_stay_out_and_are_told_why() {
    let (site, other) = (Site::new("c1"), Site::new("c1"));
    let mut serving = site.serve();

    let ended = Validity { not_before: days_from_now(-30), not_after: days_from_now(-1) };
    let (told, logged) = fate(&site.credentials_for(&ann(), ended), &mut serving).await;
    let DialError::Certificate { trouble, .. } = &told else { panic!("{told:?}") };
    let CertificateTrouble::OwnOutOfTime { not_after, controllers_seconds, .. } = trouble else {
        panic!("{told:?}");
    };
    assert_eq!(not_after.unix_seconds(), ended.not_after.unix_seconds());
    assert!(
        controllers_seconds.is_some_and(|clock| clock + 60 > now().unix_seconds().unsigned_abs()),
        "{told}"
    );
    assert!(matches!(logged, AdmissionError::Handshake { .. }), "{logged}");

    let coming = Validity { not_before: days_from_now(1), not_after: days_from_now(2) };
    let (told, _) = fate(&site.credentials_for(&ann(), coming), &mut serving).await;
    let is_time =
        matches!(&told, DialError::Certificate { trouble: CertificateTrouble::OwnOutOfTime { .. }, .. });
    assert!(is_time, "{told:?}");

    let day = Validity::lasting(DAY, now());
    let stranger = other.believing(&ann(), day, &[&site]);
    // The controller's own kind of certificate is for serving only.
    let controller = site.credentials(&Subject::controller());
    for (case, credentials) in [("other authority", stranger), ("wrong purpose", controller)] {
        let (told, logged) = fate(&credentials, &mut serving).await;
        let refused =
            matches!(&told, DialError::Certificate { trouble: CertificateTrouble::OwnRefused { .. }, .. });
        assert!(refused, "{case}: {told:?}");
        assert!(matches!(logged, AdmissionError::Handshake { .. }), "{case}: {logged}");
    }
    // And after all that it still serves.
    dial(&site.credentials(&ann()), &serving.addresses()).await.unwrap();
    assert!(serving.next().await.is_ok());
}

#[tokio::test]
async fn a_good_certificate_of_another_cluster_is_refused_by_name() {
    let (site, other) = (Site::new("c1"), Site::new("c2"));
    let day = Validity::lasting(DAY, now());
    let controller = site.believing(&Subject::controller(), day, &[&site, &other]);
    let mut serving = Serving::start(endpoint::server(loopback(), &controller).unwrap());
    // Its owner takes it for c2's credentials and refuses the controller of c1 in turn.
    let foreign = other.believing(&ann(), day, &[&site, &other]);
    let (told, _) = fate(&foreign, &mut serving).await;
    let not_ours =
        matches!(&told, DialError::Certificate { trouble: CertificateTrouble::NotController(_), .. });
    assert!(not_ours, "{told:?}");
    // A client that does not mind is refused by the controller.
    let endpoint = careless_endpoint(&[ALPN], Some(key_of(&foreign)), false);
    let connection = endpoint.connect(serving.address.parse().unwrap(), "x").unwrap().await.unwrap();
    let End::ByPeer { code, reason } = End::of(&connection.closed().await) else { panic!() };
    assert_eq!(code, Some(CloseCode::NotAdmitted));
    assert!(reason.contains("cluster c2"), "{reason}");
    assert!(matches!(serving.next().await, Err(AdmissionError::Certificate { .. })));
}

#[tokio::test]
async fn without_a_certificate_there_is_joining_and_nothing_else() {
    let site = Site::new("c1");
    let mut serving = site.serve();
    let to: SocketAddr = serving.address.parse().unwrap();

    let endpoint = careless_endpoint(&[ALPN], None, false);
    let connection = endpoint.connect(to, "x").unwrap().await.unwrap();
    let End::ByPeer { code, reason } = End::of(&connection.closed().await) else { panic!() };
    assert_eq!(code, Some(CloseCode::NotAdmitted));
    assert!(reason.contains("certificate is needed"), "{reason}");
    assert!(matches!(serving.next().await, Err(AdmissionError::NoCertificate { .. })));

    // Who offers both gets the usual protocol, so it is no way around.
    let endpoint = careless_endpoint(&[ALPN_JOIN, ALPN], None, false);
    let connection = endpoint.connect(to, "x").unwrap().await.unwrap();
    connection.closed().await;
    assert!(matches!(serving.next().await, Err(AdmissionError::NoCertificate { .. })));

    let endpoint = careless_endpoint(&[b"jsched/999"], None, false);
    assert!(endpoint.connect(to, "x").unwrap().await.is_err());
    assert!(serving.next().await.is_err());

    let fingerprint = site.authority.fingerprint();
    let (link, authority) = dial_join(fingerprint, "c1", &serving.addresses()).await.unwrap();
    assert_eq!(&authority, site.authority.certificate());
    assert_eq!(serving.next().await.unwrap().1, Peer::Joining);
    drop(link);

    // Another authority, or another cluster, and the token's secret is not even sent.
    let other = dial_join(Fingerprint([1; 32]), "c1", &serving.addresses()).await.unwrap_err();
    let other_authority =
        matches!(&other, DialError::Certificate { trouble: CertificateTrouble::OtherAuthority, .. });
    assert!(other_authority, "{other:?}");
    let other = dial_join(fingerprint, "c2", &serving.addresses()).await.unwrap_err();
    assert!(matches!(&other, DialError::Certificate { .. }), "{other:?}");
}

#[tokio::test]
async fn impostors_of_the_controller_are_found_out() {
    let (site, other) = (Site::new("c1"), Site::new("c1"));
    let ours = site.credentials(&ann());
    let ended = Validity { not_before: days_from_now(-30), not_after: days_from_now(-1) };
    let coming = Validity { not_before: days_from_now(1), not_after: days_from_now(2) };
    let controller = Subject::controller();
    let cases = [
        ("a user", site.credentials(&ann())),
        ("a node", site.credentials(&Subject::node("n1").unwrap())),
        ("another authority", other.credentials(&controller)),
        ("ended", site.credentials_for(&controller, ended)),
        ("not begun", site.credentials_for(&controller, coming)),
    ];
    for (case, credentials) in cases {
        let serving = Serving::start(endpoint::listen(loopback(), &credentials).unwrap());
        let error = dial(&ours, &serving.addresses()).await.unwrap_err();
        let DialError::Certificate { trouble, .. } = error else { panic!("{case}: {error:?}") };
        let fits = match case {
            "ended" => {
                matches!(trouble, CertificateTrouble::ControllersEnded { not_after_seconds, clock_seconds }
                if i64::try_from(not_after_seconds).unwrap() == ended.not_after.unix_seconds()
                    && clock_seconds > not_after_seconds)
            }
            "not begun" => matches!(trouble, CertificateTrouble::ControllersNotYet { .. }),
            "another authority" => trouble == CertificateTrouble::OtherAuthority,
            _ => matches!(trouble, CertificateTrouble::NotController(_)),
        };
        assert!(fits, "{case}: {trouble:?}");
    }
    assert!(endpoint::server(loopback(), &site.credentials(&ann())).is_err());
}

/// Nobody slips in behind somebody else's certificate: there is one, and nothing beside it.
#[tokio::test]
async fn a_chain_of_certificates_is_refused() {
    let site = Site::new("c1");
    let mut serving = site.serve();
    let ours = site.credentials(&ann());
    let chain = vec![ours.certified().cert[0].clone(), site.authority.certificate().clone()];
    let certified = CertifiedKey::new(chain, ours.certified().key.clone());
    let endpoint = careless_endpoint(&[ALPN], Some(certified), false);
    let connection = endpoint.connect(serving.address.parse().unwrap(), "x").unwrap().await.unwrap();
    connection.closed().await;
    assert!(matches!(serving.next().await, Err(AdmissionError::Certificate { .. })));
}

#[tokio::test]
async fn who_is_known_may_open_more_streams() {
    let site = Site::new("c1");
    let mut serving = site.serve();
    let (joining, _) = dial_join(site.authority.fingerprint(), "c1", &serving.addresses()).await.unwrap();
    let known = dial(&site.credentials(&ann()), &serving.addresses()).await.unwrap();
    let arrivals = [serving.next().await.unwrap(), serving.next().await.unwrap()];
    for (link, allowed) in [(joining, transport::UNKNOWN_STREAMS), (known, transport::KNOWN_STREAMS)] {
        let mut open = Vec::new();
        for _ in 0..allowed {
            open.push(link.connection().open_bi().await.unwrap());
        }
        let one_more = tokio::time::timeout(Duration::from_millis(20), link.connection().open_bi()).await;
        assert!(one_more.is_err(), "more than {allowed}");
    }
    drop(arrivals);
}

/// A session is never resumed, and no data goes ahead of the handshake, however much the client wants it.
#[tokio::test]
async fn there_are_no_tickets_and_no_early_data() {
    let site = Site::new("c1");
    let mut serving = site.serve();
    let to: SocketAddr = serving.address.parse().unwrap();
    let endpoint = careless_endpoint(&[ALPN], Some(key_of(&site.credentials(&ann()))), true);
    for _ in 0..2 {
        let connecting = endpoint.connect(to, "x").unwrap();
        let Err(connecting) = connecting.into_0rtt() else { panic!("early data was possible") };
        let connection = connecting.await.unwrap();
        let (theirs, _) = serving.next().await.unwrap();
        // The server speaks after the handshake, so a ticket would have come before this.
        let mut send = theirs.open_uni().await.unwrap();
        send.write_all(b"x").await.unwrap();
        send.finish().unwrap();
        connection.accept_uni().await.unwrap().read_to_end(1).await.unwrap();
    }
}

fn key_of(credentials: &Credentials) -> CertifiedKey {
    (**credentials.certified()).clone()
}

/// A client endpoint that believes any server.
fn careless_endpoint(protocols: &[&[u8]], own: Option<CertifiedKey>, eager: bool) -> quinn::Endpoint {
    let builder = rustls::ClientConfig::builder_with_provider(crate::pki::crypto::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Careless));
    let mut tls = match own {
        Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own))),
        None => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
    tls.enable_early_data = eager;
    let quic = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let mut endpoint = quinn::Endpoint::client(loopback()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(quic)));
    endpoint
}

#[derive(Debug)]
struct Careless;

impl rustls::client::danger::ServerCertVerifier for Careless {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        crate::pki::crypto::provider().signature_verification_algorithms.supported_schemes()
    }
}
