//! Exports and backups: allowed and noted by the core, carried out here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::refuse;
use crate::controller::backup;
use crate::controller::driver::Message;
use crate::controller::office::Office;
use crate::controller::server::{Replies, Undelivered};
use crate::core::{Caller, Command, Found};
use crate::store::cluster_file;
use crate::store::export::manifest::Manifest;
use crate::wire::client::{Admin, Refusal, RefusalCode, Reply, Request};

/// Makes an export, or a backup of one.
///
/// # Errors
/// If the client is gone.
pub async fn backup(
    office: &Arc<Office>,
    caller: Caller,
    admin: Admin,
    replies: &mut Replies,
) -> Result<(), Undelivered> {
    let folder = match &admin {
        Admin::Backup { folder } => Some(PathBuf::from(folder)),
        _ => None,
    };
    let request = Box::new(Request::Admin(admin));
    let command = Command::Client { caller, request, found: Box::new(Found::default()) };
    match office.driver.ask(command, None).await.and_then(|answer| answer.reply) {
        Some(Reply::Done { .. }) => {}
        Some(other) => return replies.last(&other).await,
        None => return refuse(replies, stopping()).await,
    }
    let (answer, made) = oneshot::channel();
    office.driver.send(Message::Export(answer));
    let manifest = match made.await {
        Ok(Ok(manifest)) => manifest,
        Ok(Err(why)) => {
            let hint = "`jctld status` says how the state folder is";
            return refuse(replies, Refusal::new(RefusalCode::Conflict, why, hint)).await;
        }
        Err(_) => return refuse(replies, stopping()).await,
    };
    let Some(folder) = folder else { return done(replies, export_lines(&manifest)).await };
    let office = office.clone();
    let written = tokio::task::spawn_blocking(move || write(&office, &manifest, &folder)).await;
    match written {
        Ok(Ok(lines)) => done(replies, lines).await,
        Ok(Err(why)) => refuse(replies, Refusal::new(RefusalCode::Conflict, why, "")).await,
        Err(error) => refuse(replies, Refusal::new(RefusalCode::Conflict, error.to_string(), "")).await,
    }
}

fn write(office: &Office, manifest: &Manifest, folder: &Path) -> Result<Vec<String>, String> {
    let cluster = cluster_file::load(&*office.disk).map_err(|error| error.to_string())?;
    let bytes = backup::write(&*office.disk, &cluster, manifest, &office.sources, folder)
        .map_err(|error| error.to_string())?;
    Ok(vec![
        format!("everything up to group {} is in {}, {bytes} bytes", manifest.position, folder.display()),
        "it holds the key of the CA: keep it as safe as the controller itself".to_owned(),
        format!("to use it, with the controller gone: jctld restore --from {}", folder.display()),
    ])
}

fn export_lines(manifest: &Manifest) -> Vec<String> {
    let (number, position) = (manifest.number, manifest.position);
    let (rows, chunks, bytes) = (manifest.live.rows, manifest.history.len(), manifest.bytes());
    vec![format!(
        "export {number} is made: group {position}, {rows} live rows, {chunks} chunks of history, {bytes} bytes"
    )]
}

async fn done(replies: &mut Replies, lines: Vec<String>) -> Result<(), Undelivered> {
    replies.last(&Reply::Done { lines, warnings: Vec::new() }).await
}

fn stopping() -> Refusal {
    Refusal::new(RefusalCode::Stopping, "the controller is stopping", "try again")
}
