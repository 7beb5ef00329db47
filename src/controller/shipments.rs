//! Shipments of output from a node: only of jobs that it was given; durable before they are acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use quinn::{RecvStream, SendStream};

use super::clock;
use super::history;
use super::office::Office;
use crate::model::ids::{JobId, NodeId, TaskRef, Uid};
use crate::net::frame::{FRAME_BYTES_MAX, FrameReader, FrameWriter, Patience};
use crate::store::output::{Key, Piece};
use crate::wire::codec::{decode, encode};
use crate::wire::data::{PIECE_BYTES_MAX, PIECES_MAX, Shipment, Shipped};

/// How long a node may take to send the rest of a frame, and to take an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most jobs whose owners are remembered for one stream.
const OWNERS_MAX: usize = 4_096;

/// Serves one stream until it ends or breaks the rules; why.
pub async fn serve(office: &Office, node: NodeId, send: SendStream, receive: RecvStream) -> String {
    let mut reader = FrameReader::new(receive, FRAME_BYTES_MAX);
    let mut writer = FrameWriter::new(send, FRAME_BYTES_MAX);
    let mut owners = BTreeMap::new();
    loop {
        let frame = match reader.next(Patience::for_events(PATIENCE)).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return "the stream ended".to_owned(),
            Err(error) => return error.to_string(),
        };
        let shipment: Shipment = match decode(&frame) {
            Ok(shipment) => shipment,
            Err(error) => return error.to_string(),
        };
        let fits = shipment.pieces.len() <= 2 * PIECES_MAX
            && shipment.pieces.iter().all(|piece| piece.bytes.len() <= PIECE_BYTES_MAX);
        if !fits {
            return "a shipment is larger than it may be".to_owned();
        }
        if owners.len() > OWNERS_MAX {
            owners.clear();
        }
        let pieces = own(office, node, shipment, &mut owners);
        let shipped = match pieces.is_empty() {
            true => Shipped::Kept,
            false => match office.kept.keep(pieces).await {
                Ok(()) => Shipped::Kept,
                Err(why) => Shipped::NotKept(why),
            },
        };
        let answered = encode(&shipped).map_err(|error| error.to_string());
        let answered = answered.and_then(|bytes| writer.push(&bytes).map_err(|error| error.to_string()));
        if let Err(error) = answered {
            return error;
        }
        if let Err(error) = writer.flush(PATIENCE).await {
            return error.to_string();
        }
    }
}

/// The pieces that are this node's to send. The others are passed over: they would count against somebody's quota.
fn own(office: &Office, node: NodeId, shipment: Shipment, owners: &mut BTreeMap<JobId, Uid>) -> Vec<Piece> {
    let at = clock::wall();
    let mut pieces = Vec::with_capacity(shipment.pieces.len());
    for piece in shipment.pieces {
        let task = piece.attempt.task;
        let known = owners.get(&task.job).copied();
        let Some(uid) = known.or_else(|| owner(office, node, task)) else {
            tracing::warn!(node = node.0, job = %task.job, "a node sends output of a job that it was not given");
            continue;
        };
        owners.insert(task.job, uid);
        let key = Key { task, attempt: piece.attempt.attempt, node, error: piece.error };
        let crate::wire::data::Piece { start, offset, size, last, path, bytes, .. } = piece;
        let fits = path.len() <= crate::model::spec::PATH_BYTES_MAX
            && offset.checked_add(bytes.len() as u64).is_some();
        if fits {
            pieces.push(Piece { key, uid, start, offset, size, last, at, path, bytes });
        }
    }
    pieces
}

/// Whose job it is, if the node was given any of it.
fn owner(office: &Office, node: NodeId, task: TaskRef) -> Option<Uid> {
    let view = office.published.view();
    let live = view.cluster.jobs.get(&task.job);
    let uid = match live {
        Some(job) => job.record.uid,
        None => history::job(&*office.tables, task.job).ok()??.record.uid,
    };
    let runs = live.and_then(|job| job.live.get(&task.ordinal)).is_some_and(|one| one.node == node);
    let ran = || {
        let ends = history::attempts(&*office.tables, &view, task).unwrap_or_default();
        ends.iter().any(|end| end.node == Some(node))
    };
    (runs || ran()).then_some(uid)
}
