//! How connections begin under load, and how they end.

use super::*;
use crate::net::client::dial;
use crate::net::close::{CloseCode, End, end_of};
use crate::net::dial_error::DialError;
use crate::net::endpoint::HANDSHAKES_UNPROVEN_MAX;
use crate::net::transport::IDLE_TIMEOUT;

#[tokio::test]
async fn a_finished_client_is_seen_to_be_gone_at_once() {
    let site = Site::new("c1");
    let mut serving = site.serve();
    for _ in 0..20 {
        let link = dial(&site.credentials(&ann()), &serving.addresses()).await.unwrap();
        let (connection, _) = serving.next().await.unwrap();
        link.finish().await;
        let end = End::of(&connection.closed().await);
        assert_eq!(end, End::ByPeer { code: Some(CloseCode::Done), reason: String::new() });
    }
}

/// The client's process exits as soon as `finish` returns, so the close must be with the kernel by then: here its
/// runtime is gone.
#[test]
fn finish_needs_no_runtime_afterwards() {
    let site = Site::new("c1");
    let serving_runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut serving = serving_runtime.block_on(async { site.serve() });
    let client_runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let link = client_runtime.block_on(dial(&site.credentials(&ann()), &serving.addresses())).unwrap();
    let (connection, _) = serving_runtime.block_on(serving.next()).unwrap();
    client_runtime.block_on(link.finish());
    drop(client_runtime);
    let end = serving_runtime.block_on(async { End::of(&connection.closed().await) });
    assert_eq!(end, End::ByPeer { code: Some(CloseCode::Done), reason: String::new() });
}

#[tokio::test]
async fn the_peers_reason_for_closing_arrives() {
    let site = Site::new("c1");
    let mut serving = site.serve();
    let link = dial(&site.credentials(&ann()), &serving.addresses()).await.unwrap();
    let (connection, _) = serving.next().await.unwrap();
    let (_send, mut receive) = link.connection().open_bi().await.unwrap();
    connection.close(CloseCode::Busy.varint(), b"ten connections are enough\x1b");
    // The read's own error does not say why; the end of the connection does.
    assert!(receive.read_chunk(1, true).await.is_err());
    let reason = "ten connections are enough?".to_owned();
    assert_eq!(
        end_of(link.connection()),
        Some(End::ByPeer { code: Some(CloseCode::Busy), reason: reason.clone() })
    );
    let Some(DialError::Refused { code, reason: said, .. }) = link.lost() else { panic!() };
    assert_eq!((code, said), (Some(CloseCode::Busy), reason));
}

/// As after kill -9: no close is sent, the next process has the same key and port.
#[test]
fn a_restarted_controller_is_noticed_with_the_next_packet() {
    let site = Site::new("c1");
    let credentials = site.credentials(&Subject::controller());
    let first = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut serving =
        first.block_on(async { Serving::start(endpoint::server(loopback(), &credentials).unwrap()) });
    let client = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let link = client.block_on(dial(&site.credentials(&ann()), &serving.addresses())).unwrap();
    let (connection, _) = first.block_on(serving.next()).unwrap();
    let address: SocketAddr = serving.address.parse().unwrap();
    // Whatever would have been sent at the end has nobody left to send it; only then the socket is let go of.
    first.shutdown_timeout(IDLE_TIMEOUT);
    drop((connection, serving));
    let second = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let again = second.block_on(async { endpoint::server(address, &credentials).unwrap() });
    let end = client.block_on(async {
        // A beat: more than 21 bytes, or no reset can be answered to it.
        let (mut send, _receive) = link.connection().open_bi().await.unwrap();
        send.write_all(&[0; 64]).await.unwrap();
        End::of(&link.connection().closed().await)
    });
    assert_eq!(end, End::Restarted);
    drop(again);
}

#[tokio::test]
async fn where_nothing_listens_is_said_before_time_runs_out() {
    let site = Site::new("c1");
    // A port that was free a moment ago.
    let address = std::net::UdpSocket::bind(loopback()).unwrap().local_addr().unwrap().to_string();
    let error = dial(&site.credentials(&ann()), &[address, "no host:1".to_owned()]).await.unwrap_err();
    let DialError::NotReached { tries } = &error else { panic!("{error:?}") };
    assert_eq!(tries.len(), 2);
    assert_eq!(tries[0].outcome, "nothing listens there");
    assert!(tries[1].outcome.starts_with("cannot be resolved"), "{error}");
    let error = dial(&site.credentials(&ann()), &[]).await.unwrap_err();
    assert!(matches!(error, DialError::Configuration(_)));
}

#[tokio::test]
async fn the_second_address_answers_when_the_first_does_not() {
    let site = Site::new("c1");
    let serving = site.serve();
    let nowhere = std::net::UdpSocket::bind(loopback()).unwrap().local_addr().unwrap().to_string();
    let link = dial(&site.credentials(&ann()), &[nowhere, serving.address.clone()]).await.unwrap();
    assert_eq!(link.address(), serving.address);
}

/// With many handshakes unfinished, a new client proves its address first, and still gets in.
#[tokio::test]
async fn under_load_addresses_are_proven() {
    let site = Site::new("c1");
    let listener = endpoint::server(loopback(), &site.credentials(&Subject::controller())).unwrap();
    let addresses = vec![listener.local_address().unwrap().to_string()];
    let credentials = site.credentials(&ann());
    let knock = || {
        let (credentials, addresses) = (credentials.clone(), addresses.clone());
        tokio::spawn(async move { dial(&credentials, &addresses).await.map(drop) })
    };
    let mut waiting = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..HANDSHAKES_UNPROVEN_MAX {
        clients.push(knock());
        let arrival = listener.accept().await.unwrap();
        assert!(!arrival.is_proven());
        waiting.push(arrival);
    }
    let late = knock();
    let arrival = listener.accept().await.unwrap();
    assert!(arrival.is_proven());
    arrival.admit().await.unwrap();
    late.await.unwrap().unwrap();
    drop(waiting);
    for client in clients {
        client.abort();
    }
}
