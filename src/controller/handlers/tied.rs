//! Commands that jobs are tied to: each keeps a stream open, and the core is told when it is gone.

use std::sync::Arc;

use super::refuse;
use crate::controller::driver::Message;
use crate::controller::office::Office;
use crate::controller::server::{Replies, Undelivered};
use crate::core::tie::Held;
use crate::core::{Caller, Command};
use crate::model::ids::JobId;
use crate::model::time::Seconds;
use crate::net::transport::{IDLE_TIMEOUT, KEEP_ALIVE};
use crate::wire::client::{Refusal, RefusalCode, Reply, SUBMIT_JOBS_MAX};

/// Holds the tie until the command goes.
///
/// # Errors
/// If the client is gone.
pub async fn tied(
    office: &Arc<Office>,
    caller: Caller,
    jobs: Vec<JobId>,
    replies: &mut Replies,
) -> Result<(), Undelivered> {
    if jobs.len() > SUBMIT_JOBS_MAX {
        let message = format!("{} jobs are more than {SUBMIT_JOBS_MAX}", jobs.len());
        return refuse(replies, Refusal::new(RefusalCode::Limit, message, "")).await;
    }
    let tell = |held| {
        let command = Box::new(Command::Tie { caller: caller.clone(), jobs: jobs.clone(), held });
        office.driver.send(Message::Command { command, answer: None, link: None });
    };
    tell(Held::Here);
    let told = async {
        replies.push(&Reply::Done { lines: Vec::new(), warnings: Vec::new() }).await?;
        replies.flush().await?;
        replies.gone().await;
        Ok(())
    };
    let told = told.await;
    // A connection that fell silent was last heard that long ago; the wait for it counts, but for the time in which the
    // command may still have been there without a word.
    let silence = IDLE_TIMEOUT.saturating_sub(KEEP_ALIVE).as_secs();
    let silent = Seconds(if replies.fell_silent() { silence } else { 0 });
    tell(Held::Gone(silent));
    told
}
