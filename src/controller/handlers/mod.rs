//! One file for each request. What changes something goes through the core; everything else is read from the newest
//! durable view and the tables, on the connection's own task.

mod admin;
mod ended;
mod found;
mod list;
mod log;
mod log_source;
mod mutate;
mod nodes;
mod show;
mod usage;
mod wait;
mod watch;
mod whoami;

use std::sync::Arc;

use super::office::Office;
use super::renew;
use super::server::{Replies, Undelivered};
use crate::core::Caller;
use crate::core::authorise::{allowed, needed};
use crate::wire::client::{Admin, Refusal, RefusalCode, Reply, Request};

/// Answers one request.
///
/// # Errors
/// If the client is gone.
pub async fn handle(
    office: &Arc<Office>,
    caller: Caller,
    request: Request,
    replies: &mut Replies,
) -> Result<(), Undelivered> {
    let mutates = match &request {
        Request::Submit(_) | Request::Act(_) | Request::NodeAct(_) => true,
        Request::Admin(admin) => !matches!(
            admin,
            Admin::Status | Admin::Verify | Admin::UserList | Admin::CertificateList | Admin::Audit { .. }
        ),
        _ => false,
    };
    if mutates {
        return mutate::mutate(office, caller, request, replies).await;
    }
    // The same table that the core uses; a reader's refusal needs no place in the log.
    if !allowed(caller.identity.role, needed(&request)) {
        tracing::warn!(target: "audit", who = caller.identity.name, from = caller.from, "a request was not allowed");
        let message = format!("role {} may not do this", caller.identity.role);
        let refusal = Refusal::new(RefusalCode::NotAllowed, message, "`jqueue whoami` says who you are here");
        return replies.last(&Reply::Refused(refusal)).await;
    }
    match request {
        Request::List(list) => list::list(office, &caller, &list, replies).await,
        Request::Show(selection) => show::show(office, &caller, &selection, replies).await,
        Request::Wait(wait) => wait::wait(office, &caller, &wait, replies).await,
        Request::Watch(watch) => watch::watch(office, &caller, &watch, replies).await,
        Request::Log(log) => log::log(office, &caller, &log, replies).await,
        Request::Ended(selection) => ended::ended(office, &caller, &selection, replies).await,
        Request::Usage(by) => usage::usage(office, by, replies).await,
        Request::Whoami => whoami::whoami(office, &caller, replies).await,
        Request::Nodes => nodes::nodes(office, replies).await,
        Request::Admin(admin) => admin::admin(office, &admin, replies).await,
        Request::Renew { signing_request } => {
            match renew::renew(office, &caller.identity, &signing_request).await {
                Ok((certificate, authorities)) => {
                    replies.last(&Reply::Renewed { certificate, authorities }).await
                }
                Err(refusal) => refuse(replies, refusal).await,
            }
        }
        Request::Submit(_) | Request::Act(_) | Request::NodeAct(_) => Ok(()),
    }
}

/// A refusal as the last reply.
async fn refuse(replies: &mut Replies, refusal: Refusal) -> Result<(), Undelivered> {
    replies.last(&Reply::Refused(refusal)).await
}

/// The tables failed: nothing about the job or the caller is to blame.
fn tables_failed(error: &crate::store::tables::TablesError) -> Refusal {
    tracing::error!(%error, "the tables can't be read");
    Refusal::new(RefusalCode::Busy, format!("history can't be read: {error}"), "try again; tell an admin")
}
