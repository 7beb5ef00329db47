//! Who the caller is here.

use std::sync::Arc;

use crate::controller::clock;
use crate::controller::office::Office;
use crate::controller::server::{Replies, Undelivered};
use crate::core::Caller;
use crate::model::ids::JobId;
use crate::wire::client::Reply;
use crate::wire::info::Whoami;

/// Answers from the certificate.
///
/// # Errors
/// If the client is gone.
pub async fn whoami(office: &Arc<Office>, caller: &Caller, replies: &mut Replies) -> Result<(), Undelivered> {
    let view = office.published.view();
    let jobs = caller.identity.uid.map_or(0, |uid| {
        let mine = view.cluster.by_user.range((uid, JobId(0))..=(uid, JobId(u64::MAX)));
        let open = mine.filter_map(|(_, id)| view.cluster.jobs.get(id)).filter(|job| job.ended.is_none());
        open.count() as u64
    });
    let whoami = Whoami {
        name: caller.identity.name.clone(),
        uid: caller.identity.uid,
        role: caller.identity.role,
        cluster: office.settings.cluster.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        clock: clock::wall(),
        jobs,
        jobs_max: u64::from(office.settings.jobs_per_user_max),
    };
    replies.last(&Reply::Whoami(whoami)).await
}
