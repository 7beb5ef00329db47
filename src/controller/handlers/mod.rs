//! One file for each request. What changes something goes through the core; everything else is read from the newest
//! durable view and the tables, on the connection's own task.

mod account;
mod admin;
mod backup;
mod config;
mod ended;
mod found;
mod list;
mod log;
pub(super) mod log_source;
mod mutate;
mod nodes;
mod show;
mod tied;
mod usage;
mod wait;
mod watch;
mod whoami;

use std::sync::Arc;
use std::time::Duration;

use super::driver::Message;
use super::office::Office;
use super::quota::{BULK_JOBS, Bearer};
use super::renew;
use super::server::{Replies, Undelivered};
use super::strangers::Kind;
use crate::core::audit::{Deed, asked};
use crate::core::authorise::{allowed, may_see, needed};
use crate::core::job::Job;
use crate::core::{Caller, Command};
use crate::model::ids::JobId;
use crate::wire::client::{AccountAct, Admin, ConfigAct, Refusal, RefusalCode, Reply, Request};

/// How long a listing may take to be read.
const LISTING_PATIENCE: Duration = Duration::from_secs(120);

/// Answers one request.
///
/// # Errors
/// If the client is gone.
pub async fn handle(
    office: &Arc<Office>,
    caller: Caller,
    bearer: &Bearer,
    request: Request,
    replies: &mut Replies,
) -> Result<(), Undelivered> {
    let mutates = match &request {
        Request::Submit(_) | Request::Act(_) | Request::NodeAct(_) => true,
        Request::Account(act) => !matches!(act, AccountAct::List | AccountAct::QosList),
        Request::Config(act) => !matches!(act, ConfigAct::Export),
        Request::Admin(admin) => !matches!(
            admin,
            Admin::Status
                | Admin::Verify
                | Admin::UserList
                | Admin::CertificateList
                | Admin::Audit(_)
                | Admin::AuditVerify
        ),
        _ => false,
    };
    if let Request::Admin(admin @ (Admin::Export | Admin::Backup { .. })) = request {
        return backup::backup(office, caller, admin, replies).await;
    }
    if mutates {
        // Nobody fills the core's queue: each has so many turns at once, and others' requests come between.
        let _turn = bearer.change().await;
        let bulk = matches!(&request, Request::Submit(submit) if submit.specs.len() >= BULK_JOBS);
        let _bulk = if bulk { office.quotas.bulk(bearer).await } else { None };
        return mutate::mutate(office, caller, request, replies).await;
    }
    // The same table that the core uses.
    if !allowed(caller.identity.role, needed(&request)) {
        let message = format!("role {} may not do this", caller.identity.role);
        note(office, &caller, Deed::of(format!("{} (refused: {message})", asked(&request))), false);
        let refusal = Refusal::new(RefusalCode::NotAllowed, message, "`jqueue whoami` says who you are here");
        return replies.last(&Reply::Refused(refusal)).await;
    }
    let waits = match &request {
        Request::Wait(_) | Request::Watch(_) | Request::WatchNodes | Request::Tied(_) => true,
        Request::Log(log) => log.wait_ms > 0,
        _ => false,
    };
    let place = waits.then(|| bearer.wait());
    if matches!(place, Some(None)) {
        let message = "you wait, watch or follow with too many commands at once";
        office.strangers.note(Kind::Requests, &caller.identity.name, &message);
        return refuse(replies, Refusal::new(RefusalCode::Busy, message, "name several jobs to one of them"))
            .await;
    }
    let much = matches!(
        request,
        Request::List(_)
            | Request::Show(_)
            | Request::Ended(_)
            | Request::Usage(_)
            | Request::Admin(Admin::Audit(_) | Admin::AuditVerify | Admin::Verify)
    );
    if !much {
        return read(office, caller, bearer, request, replies).await;
    }
    // Whoever reads much takes turns, and a reader that stalls does not keep its turn.
    let _turn = office.quotas.listing(bearer).await;
    let served = tokio::time::timeout(LISTING_PATIENCE, read(office, caller, bearer, request, replies)).await;
    served.unwrap_or_else(|_| Err(Undelivered::slow("a listing was not read in time")))
}

async fn read(
    office: &Arc<Office>,
    caller: Caller,
    bearer: &Bearer,
    request: Request,
    replies: &mut Replies,
) -> Result<(), Undelivered> {
    match request {
        Request::List(list) => list::list(office, &caller, &list, replies).await,
        Request::Show(selection) => show::show(office, &caller, &selection, replies).await,
        Request::Wait(wait) => wait::wait(office, &caller, &wait, replies).await,
        Request::Watch(watch) => watch::watch(office, &caller, bearer, &watch, replies).await,
        Request::Log(log) => log::log(office, &caller, &log, replies).await,
        Request::Ended(selection) => ended::ended(office, &caller, &selection, replies).await,
        Request::Usage(by) => usage::usage(office, by, replies).await,
        Request::Whoami => whoami::whoami(office, &caller, replies).await,
        Request::Nodes => nodes::nodes(office, replies).await,
        Request::WatchNodes => nodes::watch(office, replies).await,
        Request::Tied(jobs) => tied::tied(office, caller, jobs, replies).await,
        Request::Admin(admin) => admin::admin(office, &admin, replies).await,
        Request::Renew { signing_request } => {
            match renew::renew(office, &caller.identity, &signing_request).await {
                Ok((certificate, authorities)) => {
                    replies.last(&Reply::Renewed { certificate, authorities }).await
                }
                Err(refusal) => refuse(replies, refusal).await,
            }
        }
        Request::Account(act) => account::account(office, &caller, &act, replies).await,
        Request::Config(_) => config::config(office, replies).await,
        Request::Submit(_) | Request::Act(_) | Request::NodeAct(_) => Ok(()),
    }
}

/// For the audit, durable soon: nobody waits for it.
fn note(office: &Office, caller: &Caller, deed: Deed, allowed: bool) {
    let command = Box::new(Command::Noted { caller: caller.clone(), deed, allowed });
    office.driver.send(Message::Command { command, answer: None, link: None });
}

/// For the audit: what is private to others was looked at by somebody who may.
fn note_foreign(office: &Office, caller: &Caller, what: &str, jobs: &[&Job]) {
    let foreign =
        |job: &&&Job| caller.identity.uid != Some(job.record.uid) && may_see(&caller.identity, &job.record);
    let jobs: Vec<JobId> = jobs.iter().filter(foreign).map(|job| job.id()).collect();
    if !jobs.is_empty() {
        note(office, caller, Deed { what: what.to_owned(), jobs, nodes: Vec::new() }, true);
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
