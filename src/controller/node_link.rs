//! A node's connections: orders and reports on the one, bytes of output on the other, requests of jobs on the third.

use std::sync::Arc;
use std::time::Duration;

use quinn::Connection;
use tokio::sync::mpsc;

use super::driver::{Message, NodeMessage, NodeSender};
use super::job_link;
use super::office::{Office, lock};
use super::{clock, renew};
use crate::core::Command;
use crate::model::identity::Identity;
use crate::model::ids::{NodeId, SessionId};
use crate::net::close::CloseCode;
use crate::net::frame::{FRAME_BYTES_MAX, FrameReader, FrameWriter, Patience};
use crate::net::points;
use crate::wire::codec::{decode, encode};
use crate::wire::data::DataHello;
use crate::wire::join::{CheckReply, JoinReply, RenewRequest};
use crate::wire::node::{Act, Content, FromNode, Hello, ToNode};

/// How long a node may take to begin, and to send the rest of a frame.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The first frame of a control connection.
pub const CONTROL: &[u8] = b"control";
/// The first frame of a data connection.
pub const DATA: &[u8] = b"data";
/// The first frame of a connection for one new certificate.
pub const RENEW: &[u8] = b"renew";
/// The first frame of a connection that asks how things stand.
pub const CHECK: &[u8] = b"check";
/// The first frame of a connection for jobs.
pub const JOBS: &[u8] = b"jobs";

/// Serves one of a node's connections until it ends.
pub async fn serve(office: &Arc<Office>, connection: &Connection, identity: &Identity) {
    let failed = |reason: &str| connection.close(CloseCode::Protocol.varint(), reason.as_bytes());
    let Ok(Ok((send, receive))) = tokio::time::timeout(PATIENCE, connection.accept_bi()).await else {
        return failed("no stream was opened");
    };
    let mut reader = FrameReader::new(receive, FRAME_BYTES_MAX);
    let Ok(Some(kind)) = reader.next(Patience::of(PATIENCE)).await else {
        return failed("no first frame");
    };
    match &*kind {
        CONTROL => control(office, connection, identity, reader, send).await,
        DATA => data(office, connection, identity, reader).await,
        RENEW => renewal(office, connection, identity, reader, send).await,
        CHECK => check(office, connection, identity, send).await,
        JOBS => job_link::serve(office, connection, identity, reader).await,
        _ => failed("the first frame is none that this version knows"),
    }
}

/// A new certificate for the node.
async fn renewal(
    office: &Office,
    connection: &Connection,
    identity: &Identity,
    mut reader: FrameReader,
    send: quinn::SendStream,
) {
    let asked = match reader.next(Patience::of(PATIENCE)).await {
        Ok(Some(frame)) => decode::<RenewRequest>(&frame).ok(),
        _ => None,
    };
    let Some(asked) = asked else {
        return connection.close(CloseCode::Protocol.varint(), b"no request to renew");
    };
    let reply = match renew::renew(office, identity, &asked.signing_request).await {
        Ok((certificate, authority)) => JoinReply::Issued { certificate, authority },
        Err(refusal) => {
            tracing::warn!(node = identity.name, reason = refusal.message, "a renewal was refused");
            JoinReply::Refused(refusal)
        }
    };
    last(connection, send, &encode(&reply)).await;
}

/// How the controller is and how the node stands, for `jworkerd doctor`.
async fn check(office: &Office, connection: &Connection, identity: &Identity, send: quinn::SendStream) {
    let row = office.published.view().node_rows().into_iter().find(|row| row.name == identity.name);
    let reply = CheckReply {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        clock: clock::wall(),
        state: row.as_ref().map(|row| row.state.clone()),
        reason: row.map_or_else(String::new, |row| row.reason),
    };
    last(connection, send, &encode(&reply)).await;
}

/// Sends the one answer of a connection, and waits for the node to close it.
async fn last<E>(connection: &Connection, send: quinn::SendStream, reply: &Result<Vec<u8>, E>) {
    let mut writer = FrameWriter::new(send, FRAME_BYTES_MAX);
    if let Ok(bytes) = reply
        && writer.push(bytes).is_ok()
        && writer.finish(PATIENCE).await.is_ok()
    {
        let _ = tokio::time::timeout(PATIENCE, connection.closed()).await;
    }
    connection.close(CloseCode::Done.varint(), b"done");
}

/// Keeps the connection for readers of output.
async fn data(office: &Office, connection: &Connection, identity: &Identity, mut reader: FrameReader) {
    let hello = match reader.next(Patience::of(PATIENCE)).await {
        Ok(Some(frame)) => decode::<DataHello>(&frame).ok(),
        _ => None,
    };
    let view = office.published.view();
    let node = view.cluster.node_names.get(identity.name.as_str()).copied();
    let (Some(_), Some(node)) = (hello, node) else {
        return connection.close(CloseCode::Protocol.varint(), b"no such node, or no hello");
    };
    let old = lock(&office.data_links).insert(node, connection.clone());
    if let Some(old) = old {
        // The node has begun anew: whoever waits for an answer on the old one hears at once that there is none.
        old.close(CloseCode::Done.varint(), b"a newer connection has taken its place");
    }
    lock(&office.unanswered).remove(&node);
    office.data_links_changed.send_replace(());
    shipments(office, connection, node).await;
    office.data_links_changed.send_replace(());
    let mut links = lock(&office.data_links);
    if links.get(&node).is_some_and(|link| link.stable_id() == connection.stable_id()) {
        links.remove(&node);
    }
}

/// Takes what the node sends on this connection, until it is over. One stream does; another one takes its place.
async fn shipments(office: &Office, connection: &Connection, node: NodeId) {
    let mut stream = connection.accept_bi().await;
    while let Ok((send, receive)) = stream {
        stream = tokio::select! {
            why = super::shipments::serve(office, node, send, receive) => {
                tracing::debug!(node = node.0, why, "a stream of output is over");
                connection.accept_bi().await
            }
            next = connection.accept_bi() => next,
        };
    }
}

async fn control(
    office: &Office,
    connection: &Connection,
    identity: &Identity,
    mut reader: FrameReader,
    send: quinn::SendStream,
) {
    let close = |code: CloseCode, reason: &str| connection.close(code.varint(), reason.as_bytes());
    let hello = match reader.next(Patience::of(PATIENCE)).await {
        Ok(Some(frame)) => decode::<Hello>(&frame).map_err(|error| error.to_string()),
        Ok(None) => Err("the stream ended before the hello".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let hello = match hello {
        Ok(hello) => hello,
        Err(error) => return close(CloseCode::Protocol, &error),
    };
    let (sender, receiver): (NodeSender, _) = mpsc::unbounded_channel();
    let command = Command::Hello { name: identity.name.clone(), hello: Box::new(hello) };
    let Some(answer) = office.driver.ask(command, Some(sender)).await else {
        return close(CloseCode::Stopping, "the controller is stopping");
    };
    let Some((node, session, welcome)) = answer.session else {
        let reason = answer.refused.unwrap_or_else(|| "refused".to_owned());
        return close(CloseCode::NotAdmitted, &reason);
    };
    let mut writer = FrameWriter::new(send, FRAME_BYTES_MAX);
    let welcomed = match encode(&welcome) {
        Ok(bytes) => writer.push(&bytes).is_ok() && writer.flush(PATIENCE).await.is_ok(),
        Err(_) => false,
    };
    if welcomed {
        tracing::info!(node = identity.name, session = session.0, "node connected");
        tokio::select! {
            reason = read_reports(office, &mut reader, node, session) => {
                tracing::info!(node = identity.name, reason, "node disconnected");
                close(CloseCode::Protocol, &reason);
            }
            reason = write_orders(office, writer, receiver) => close(CloseCode::Done, &reason),
        }
    }
    let gone = Command::NodeGone { node, session };
    office.driver.send(Message::Command { command: Box::new(gone), answer: None, link: None });
}

/// Hands reports to the core, one after the other: the next is read when the last is durable, which is what keeps a
/// node from sending faster than the disk.
async fn read_reports(office: &Office, reader: &mut FrameReader, node: NodeId, session: SessionId) -> String {
    loop {
        let frame = match reader.next(Patience::for_events(PATIENCE)).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return "the node ended its stream".to_owned(),
            Err(error) => return error.to_string(),
        };
        let command = match decode::<FromNode>(&frame) {
            Ok(FromNode::Report(report)) => Command::Report { node, session, report: Box::new(report) },
            Ok(FromNode::Beat(beat)) => Command::Beat { node, session, beat },
            Ok(FromNode::Refused(refused)) => Command::NodeRefused { node, session, refused },
            Err(error) => return error.to_string(),
        };
        let tells_end = matches!(&command, Command::Report { report, .. } if !report.ended.is_empty());
        if tells_end {
            points::reach("controller.end-heard");
        }
        if office.driver.ask(command, None).await.is_none() {
            return "the controller is stopping".to_owned();
        }
        if tells_end {
            points::reach("controller.end-recorded");
        }
    }
}

async fn write_orders(
    office: &Office,
    mut writer: FrameWriter,
    mut receiver: mpsc::UnboundedReceiver<NodeMessage>,
) -> String {
    while let Some(first) = receiver.recv().await {
        let mut next = Some(first);
        let mut launches = false;
        while let Some(message) = next {
            let mut message = match message {
                NodeMessage::Send(message) => message,
                NodeMessage::Close(reason) => return reason,
            };
            if let Err(error) = attach(office, &mut message).await {
                // The tasks are the node's by now; without their content it can only report that.
                tracing::error!(error, "content of an order is missing");
            }
            if is_launch(&message) {
                launches = true;
                points::reach("controller.before-launch");
            }
            let pushed = encode(&*message).map_err(|error| error.to_string());
            let pushed = pushed.and_then(|bytes| writer.push(&bytes).map_err(|error| error.to_string()));
            if let Err(error) = pushed {
                return error;
            }
            if writer.is_full()
                && let Err(error) = writer.flush(PATIENCE).await
            {
                return error.to_string();
            }
            next = receiver.try_recv().ok();
        }
        if let Err(error) = writer.flush(PATIENCE).await {
            return error.to_string();
        }
        if launches {
            points::reach("controller.launch-sent");
        }
    }
    "the session was taken over".to_owned()
}

fn is_launch(message: &ToNode) -> bool {
    matches!(message, ToNode::Order(order) if matches!(order.act, Act::Launch(_)))
}

/// Puts the content that a job's body names beside it: the node keeps it no longer than the body.
async fn attach(office: &Office, message: &mut ToNode) -> Result<(), String> {
    let ToNode::Order(order) = message else { return Ok(()) };
    let Act::Launch(launch) = &mut order.act else { return Ok(()) };
    let Some(body) = &launch.body else { return Ok(()) };
    let mut hashes = vec![body.script, body.environment];
    hashes.extend(body.lines);
    hashes.sort_unstable();
    hashes.dedup();
    for hash in hashes {
        let bytes = office.content(body.uid, hash).await?;
        launch.contents.push(Content { hash, bytes: bytes.to_vec() });
    }
    Ok(())
}
