//! Who the caller is here.

use std::sync::Arc;

use crate::controller::clock;
use crate::controller::office::Office;
use crate::controller::server::{Replies, Undelivered};
use crate::core::Caller;
use crate::wire::client::Reply;
use crate::wire::info::Whoami;

/// Answers from the certificate.
///
/// # Errors
/// If the client is gone.
pub async fn whoami(office: &Arc<Office>, caller: &Caller, replies: &mut Replies) -> Result<(), Undelivered> {
    let view = office.published.view();
    let open_of = &view.cluster.open_of;
    let jobs = caller.identity.uid.and_then(|uid| open_of.get(&uid)).map_or(0, |open| u64::from(*open));
    let accounting = &view.cluster.accounting;
    let name = &caller.identity.name;
    let default = accounting.default_of(name);
    let others = accounting.accounts_of(name).filter(|account| Some(*account) != default);
    let whoami = Whoami {
        name: caller.identity.name.clone(),
        uid: caller.identity.uid,
        role: caller.identity.role,
        cluster: office.settings.cluster.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        clock: clock::wall(),
        jobs,
        jobs_max: u64::from(office.settings.jobs_per_user_max),
        accounts: default.into_iter().chain(others).map(ToString::to_string).collect(),
        coordinates: accounting.coordinated_by(name).map(ToString::to_string).collect(),
    };
    replies.last(&Reply::Whoami(whoami)).await
}
