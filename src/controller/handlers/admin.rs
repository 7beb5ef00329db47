//! What admins read: status, users, certificates, audit, and the check of everything on disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{refuse, tables_failed};
use crate::controller::audit::{Chain, Reading, verify};
use crate::controller::mirror::Mirror;
use crate::controller::office::Office;
use crate::controller::server::{Replies, Undelivered};
use crate::core::state::View;
use crate::model::ids::Position;
use crate::wire::client::{Admin, AuditQuery, Refusal, RefusalCode, Reply};
use crate::wire::info::ClusterStatus;

/// How long the tables may take to reach what is durable.
const TABLES_PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
/// Between two looks at how far they are.
const TABLES_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

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
        Admin::Audit(query) => return audit(office, query, replies).await,
        Admin::Verify => aside(office, verify_all).await,
        Admin::AuditVerify => aside(office, verify_audit).await,
        _ => Reply::Refused(Refusal::new(RefusalCode::Invalid, "not a question", "")),
    };
    replies.last(&reply).await
}

/// On a thread of its own: it reads much.
async fn aside(office: &Arc<Office>, work: fn(&Office) -> Reply) -> Reply {
    let office = office.clone();
    let worked = tokio::task::spawn_blocking(move || work(&office)).await;
    worked.unwrap_or_else(|error| Reply::Refused(Refusal::new(RefusalCode::Conflict, error.to_string(), "")))
}

fn status(office: &Office, view: &View) -> ClusterStatus {
    let reachable = view.nodes.values().filter(|sight| sight.ready && !sight.unreachable).count() as u64;
    let open = view.cluster.jobs.values().filter(|job| job.ended.is_none()).count() as u64;
    let mut warnings = office.warnings.clone();
    if office.gauges.reserve.load(Ordering::Relaxed) {
        warnings.push("the journal's disk is nearly full: submissions are refused".to_owned());
    }
    warnings.extend(office.mirror.as_ref().and_then(Mirror::failure));
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
        connections: office.quotas.connection_count() as u64,
        log_bytes: folder_bytes(&office.state_folder.join("journal")),
        memory_bytes: resident_bytes(),
        warnings,
        refused: office.strangers.counts(),
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

/// Pages of the audit, as they are read.
async fn audit(office: &Office, query: &AuditQuery, replies: &mut Replies) -> Result<(), Undelivered> {
    // Whoever has just done something finds it here: the tables follow the log by some milliseconds.
    let position = office.published.view().position;
    let begun = std::time::Instant::now();
    while office.gauges.tables.load(Ordering::Relaxed) < position.0 && begun.elapsed() < TABLES_PATIENCE {
        tokio::time::sleep(TABLES_PAUSE).await;
    }
    let mut reading = Reading::new(query.clone());
    loop {
        match reading.page(&*office.tables) {
            Ok(Some(records)) if records.is_empty() => {}
            Ok(Some(records)) => {
                replies.push(&Reply::Audit { records, last: false }).await?;
                replies.flush().await?;
            }
            Ok(None) => return replies.last(&Reply::Audit { records: Vec::new(), last: true }).await,
            Err(error) => return refuse(replies, tables_failed(&error)).await,
        }
        // Others on this thread want their turn, too.
        tokio::task::yield_now().await;
    }
}

/// Checks the chain. The tables follow the log, so what they lack at first may be on its way.
fn verify_audit(office: &Office) -> Reply {
    let head = office.published.view();
    let begun = std::time::Instant::now();
    while office.gauges.tables.load(Ordering::Relaxed) < head.position.0 && begun.elapsed() < TABLES_PATIENCE
    {
        std::thread::sleep(TABLES_PAUSE);
    }
    match verify(&*office.tables, head.cluster.audit) {
        Ok(Chain::Whole(None)) => done("the audit has no record yet".to_owned()),
        Ok(Chain::Whole(Some((first, last)))) => done(format!(
            "the audit is whole: records {first} to {last}, each with the hash of the one before"
        )),
        Ok(Chain::Broken(text)) => {
            tracing::error!(target: "audit", text, "the audit's chain is broken");
            let hint = "somebody or something has changed the tables; the journal still has the records: \
                        `jctld verify DIR` reads it";
            Reply::Refused(Refusal::new(RefusalCode::Conflict, text, hint))
        }
        Err(error) => Reply::Refused(tables_failed(&error)),
    }
}

fn done(line: String) -> Reply {
    Reply::Done { lines: vec![line], warnings: Vec::new() }
}

fn verify_all(office: &Office) -> Reply {
    match crate::controller::check::verify_disk(&*office.disk) {
        Ok(lines) => Reply::Done { lines, warnings: Vec::new() },
        Err(message) => Reply::Refused(Refusal::new(RefusalCode::Conflict, message, "")),
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}
