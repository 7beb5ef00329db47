//! The cluster's configuration as it is.

use std::sync::Arc;

use crate::controller::office::Office;
use crate::controller::server::{Replies, Undelivered};
use crate::wire::client::Reply;

/// Answers with all of it.
///
/// # Errors
/// If the client is gone.
pub async fn config(office: &Arc<Office>, replies: &mut Replies) -> Result<(), Undelivered> {
    let configuration = office.published.view().cluster.configuration();
    replies.last(&Reply::Configuration(configuration)).await
}
