//! A node's connection for jobs: each stream is a request from inside an attempt that the node runs, and is answered
//! as far as that attempt's reach goes. It is cut off the moment the attempt is over.

use std::sync::Arc;

use quinn::{Connection, RecvStream, SendStream};

use super::handlers;
use super::node_link::PATIENCE;
use super::office::Office;
use super::server::{REQUEST_PATIENCE, Replies};
use super::strangers::Kind;
use crate::core::audit::Deed;
use crate::core::{Caller, Command};
use crate::model::identity::{Identity, Within};
use crate::model::ids::{JobId, NodeId};
use crate::net::close::CloseCode;
use crate::net::frame::{FRAME_BYTES_MAX, FrameReader, FrameWriter, Patience};
use crate::wire::client::{Refusal, RefusalCode, Reply, Request};
use crate::wire::codec::decode;
use crate::wire::inside::{GATE_BYTES_MAX, JOB_REQUEST_BYTES_MAX, JOB_STREAMS_MAX, JobCall, JobsHello};

/// The node behind a connection.
struct Speaker {
    identity: Identity,
    node: NodeId,
    hello: JobsHello,
    from: String,
    /// Whether it has been written down that it asked for what is not its own.
    noted: std::sync::atomic::AtomicBool,
}

/// Serves the connection until it ends.
pub async fn serve(
    office: &Arc<Office>,
    connection: &Connection,
    identity: &Identity,
    mut reader: FrameReader,
) {
    let hello = match reader.next(Patience::of(PATIENCE)).await {
        Ok(Some(frame)) => decode::<JobsHello>(&frame).ok(),
        _ => None,
    };
    let node = office.published.view().cluster.node_names.get(identity.name.as_str()).copied();
    let (Some(hello), Some(node)) = (hello, node) else {
        return connection.close(CloseCode::Protocol.varint(), b"no such node, or no hello");
    };
    connection.set_max_concurrent_bi_streams(JOB_STREAMS_MAX.into());
    let from = format!("{} on {}", connection.remote_address(), identity.name);
    let noted = std::sync::atomic::AtomicBool::new(false);
    let speaker = Arc::new(Speaker { identity: identity.clone(), node, hello, from, noted });
    while let Ok((send, receive)) = connection.accept_bi().await {
        let (office, speaker) = (office.clone(), speaker.clone());
        tokio::spawn(async move { answer(&office, &speaker, send, receive).await });
    }
}

async fn answer(office: &Arc<Office>, speaker: &Speaker, send: SendStream, receive: RecvStream) {
    let mut reader = FrameReader::new(receive, GATE_BYTES_MAX);
    let Ok(Some(frame)) = reader.next(Patience::of(PATIENCE)).await else { return };
    let Ok(call) = decode::<JobCall>(&frame) else { return };
    let mut replies = Replies::new(FrameWriter::new(send, FRAME_BYTES_MAX));
    reader.set_bytes_max(JOB_REQUEST_BYTES_MAX);
    let frame = match reader.next(Patience::of(REQUEST_PATIENCE)).await {
        Ok(Some(frame)) => frame,
        Ok(None) => return,
        Err(error) => {
            let refusal = Refusal::new(RefusalCode::Limit, error.to_string(), "submit less at once");
            let _ = replies.last(&Reply::Refused(refusal)).await;
            return;
        }
    };
    let within = Within {
        task: call.task,
        attempt: call.attempt,
        node: speaker.node,
        instance: speaker.hello.instance,
    };
    let outcome = match request_of(office, speaker, within, &frame) {
        Ok((caller, request)) => {
            let job = within.task.job;
            // What a job asks counts as its owner's.
            let bearer = office.quotas.of_user(&caller.identity.name);
            let Some(_one) = bearer.request() else {
                let why = "you have too many requests open at once";
                office.strangers.note(Kind::Requests, &caller.identity.name, &why);
                let _ =
                    replies.last(&Reply::Refused(Refusal::new(RefusalCode::Busy, why, "try again"))).await;
                return;
            };
            tokio::select! {
                done = handlers::handle(office, caller, &bearer, request, &mut replies) => done,
                refusal = over(office, &within) => {
                    tracing::info!(%job, from = speaker.from, "a job's request was cut off with its attempt");
                    replies.last(&Reply::Refused(refusal)).await
                }
            }
        }
        Err(refusal) => replies.last(&Reply::Refused(refusal)).await,
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a reply was not delivered");
    }
}

fn request_of(
    office: &Office,
    speaker: &Speaker,
    within: Within,
    frame: &[u8],
) -> Result<(Caller, Request), Refusal> {
    let view = office.published.view();
    let identity = view.cluster.job_identity(within, speaker.identity.serial).inspect_err(|refusal| {
        // What has ended here just now is refused in silence; what never was this node's is an attack.
        let elsewhere = |job: JobId| {
            let live = view.cluster.jobs.get(&job).and_then(|job| job.live.get(&within.task.ordinal));
            live.is_some_and(|live| live.node != speaker.node)
        };
        if elsewhere(within.task.job) {
            note(office, speaker, within.task.job, &refusal.message);
        }
    })?;
    let request: Request = decode(frame).map_err(|error| {
        Refusal::new(RefusalCode::Invalid, error.to_string(), "are both sides of one version?")
    })?;
    Ok((Caller { identity, from: speaker.from.clone() }, request))
}

/// Writes down, once for each connection, that a node asked in the name of another node's job.
fn note(office: &Office, speaker: &Speaker, job: JobId, why: &str) {
    let what = format!("ask in the name of job {job}, which runs on another node");
    tracing::warn!(target: "audit", node = speaker.identity.name, %job, why, "a node asked for what is not its own");
    if speaker.noted.swap(true, std::sync::atomic::Ordering::AcqRel) {
        return;
    }
    let caller = Caller { identity: speaker.identity.clone(), from: speaker.from.clone() };
    let deed = Deed { what, jobs: vec![job], nodes: vec![speaker.identity.name.clone()] };
    let command = Command::Noted { caller, deed, allowed: false };
    office.driver.send(super::driver::Message::Command {
        command: Box::new(command),
        answer: None,
        link: None,
    });
}

/// Returns when the attempt is over.
async fn over(office: &Office, within: &Within) -> Refusal {
    let listening = office.published.listen([within.task.job]);
    loop {
        if let Err(refusal) = office.published.view().cluster.check_within(within) {
            return refusal;
        }
        listening.changed().await;
    }
}
