//! Nodes and partitions.

use std::sync::Arc;

use crate::controller::office::Office;
use crate::controller::server::{Replies, Undelivered};
use crate::wire::client::Reply;

/// Answers with all nodes and partitions.
///
/// # Errors
/// If the client is gone.
pub async fn nodes(office: &Arc<Office>, replies: &mut Replies) -> Result<(), Undelivered> {
    let view = office.published.view();
    replies.last(&Reply::Nodes { nodes: view.node_rows(), partitions: view.partition_rows() }).await
}
