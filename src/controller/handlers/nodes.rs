//! Nodes and partitions.

use std::sync::Arc;
use std::time::Duration;

use crate::controller::office::Office;
use crate::controller::server::{Replies, Undelivered};
use crate::wire::client::Reply;

/// Between two frames of a live view.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers with all nodes and partitions.
///
/// # Errors
/// If the client is gone.
pub async fn nodes(office: &Arc<Office>, replies: &mut Replies) -> Result<(), Undelivered> {
    replies.last(&now(office)).await
}

/// Answers with all nodes and partitions now, and again whenever something about them is different.
///
/// # Errors
/// If the client is gone.
pub async fn watch(office: &Arc<Office>, replies: &mut Replies) -> Result<(), Undelivered> {
    let mut publications = office.published.publications();
    let mut told = None;
    loop {
        publications.mark_unchanged();
        let reply = now(office);
        if told.as_ref() != Some(&reply) {
            replies.push(&reply).await?;
            replies.flush().await?;
            told = Some(reply);
        }
        tokio::select! {
            _ = publications.changed() => {}
            () = replies.gone() => return Ok(()),
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = replies.gone() => return Ok(()),
        }
    }
}

fn now(office: &Office) -> Reply {
    let view = office.published.view();
    Reply::Nodes { nodes: view.node_rows(), partitions: view.partition_rows() }
}
