//! What admins read: status, users, certificates, audit, and the check of everything on disk.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{refuse, tables_failed};
use crate::controller::office::Office;
use crate::controller::server::{Replies, Undelivered};
use crate::core::state::View;
use crate::model::change::AuditRecord;
use crate::model::ids::Position;
use crate::model::time::WallTime;
use crate::store::tables::{Order, Table, TablesError};
use crate::wire::client::{Admin, Refusal, RefusalCode, Reply};
use crate::wire::codec::decode;
use crate::wire::info::ClusterStatus;

/// The most audit lines of one answer.
const AUDIT_LINES_MAX: usize = 10_000;

/// Answers an admin's question.
///
/// # Errors
/// If the client is gone.
pub async fn admin(office: &Arc<Office>, admin: &Admin, replies: &mut Replies) -> Result<(), Undelivered> {
    let view = office.published.view();
    let reply = match admin {
        Admin::Status => Reply::Status(Box::new(status(office, &view))),
        Admin::UserList => users(&view),
        Admin::CertificateList => certificates(&view),
        Admin::Audit { since } => match audit(office, *since) {
            Ok(reply) => reply,
            Err(error) => return refuse(replies, tables_failed(&error)).await,
        },
        Admin::Verify => {
            let office = office.clone();
            let verified = tokio::task::spawn_blocking(move || verify(&office)).await;
            verified.unwrap_or_else(|error| {
                Reply::Refused(Refusal::new(RefusalCode::Conflict, error.to_string(), ""))
            })
        }
        _ => Reply::Refused(Refusal::new(RefusalCode::Invalid, "not a question", "")),
    };
    replies.last(&reply).await
}

fn status(office: &Office, view: &View) -> ClusterStatus {
    let reachable = view.nodes.values().filter(|sight| sight.ready && !sight.unreachable).count() as u64;
    let open = view.cluster.jobs.values().filter(|job| job.ended.is_none()).count() as u64;
    let mut warnings = office.warnings.clone();
    if office.gauges.reserve.load(Ordering::Relaxed) {
        warnings.push("the journal's disk is nearly full: submissions are refused".to_owned());
    }
    ClusterStatus {
        cluster: office.settings.cluster.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        incarnation: office.incarnation,
        epoch: office.epoch,
        position: Position(office.gauges.position.load(Ordering::Relaxed)),
        tables_position: Position(office.gauges.tables.load(Ordering::Relaxed)),
        recovery: office.recovery.clone(),
        started: office.started,
        jobs: open,
        pending: view.cluster.totals.pending,
        live: view.cluster.totals.live,
        nodes: (view.cluster.nodes.len() as u64, reachable),
        connections: office.connection_count() as u64,
        log_bytes: folder_bytes(&office.state_folder.join("journal")),
        memory_bytes: resident_bytes(),
        warnings,
    }
}

fn folder_bytes(folder: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().filter_map(|entry| entry.metadata().ok());
    sizes.map(|metadata| metadata.blocks() * 512).sum()
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn users(view: &View) -> Reply {
    let mut lines = vec![words(["USER", "UID", "ROLE"])];
    let rows = view
        .cluster
        .users
        .values()
        .map(|user| words([user.name.as_str(), &user.uid.to_string(), user.role.word()]));
    lines.extend(rows);
    Reply::Lines(lines)
}

fn certificates(view: &View) -> Reply {
    let mut lines = vec![words(["SERIAL", "ROLE", "NAME", "EXPIRES", "STATE"])];
    let rows = view.cluster.certificates.values().map(|record| {
        let state = match record.revoked {
            Some(_) => "revoked",
            None if record.expires <= view.at => "expired",
            None => "good",
        };
        let expires = record.expires.unix_seconds().to_string();
        words([record.serial.to_string().as_str(), record.role.word(), &record.name, &expires, state])
    });
    lines.extend(rows);
    Reply::Lines(lines)
}

fn audit(office: &Office, since: WallTime) -> Result<Reply, TablesError> {
    let low = since.0.max(0).to_be_bytes();
    let rows = office.tables.range(
        Table::AUDIT,
        Bound::Included(&low),
        Bound::Unbounded,
        Order::Up,
        AUDIT_LINES_MAX,
    )?;
    let mut lines = vec![words(["TIME", "WHO", "FROM", "WHAT", "ALLOWED"])];
    for (_, value) in rows {
        let record: AuditRecord =
            decode(&value).map_err(|error| TablesError::Broken { what: error.to_string() })?;
        let at = record.at.unix_seconds().to_string();
        let allowed = if record.allowed { "yes" } else { "no" };
        lines.push(words([at.as_str(), &record.who, &record.from, &record.what, allowed]));
    }
    Ok(Reply::Lines(lines))
}

fn verify(office: &Office) -> Reply {
    match crate::controller::check::verify_disk(&*office.disk) {
        Ok(lines) => Reply::Done { lines, warnings: Vec::new() },
        Err(message) => Reply::Refused(Refusal::new(RefusalCode::Conflict, message, "")),
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}
