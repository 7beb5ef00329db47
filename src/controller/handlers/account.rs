//! Accounts and qualities of service as they are, with what they use.

use std::sync::Arc;

use super::refuse;
use crate::controller::office::Office;
use crate::controller::server::{Replies, Undelivered};
use crate::core::Caller;
use crate::core::accounting::Scope;
use crate::core::authorise::may_list_accounts;
use crate::wire::account::{AccountInfo, QosInfo};
use crate::wire::client::{AccountAct, Refusal, RefusalCode, Reply};

/// Answers with what is asked for.
///
/// # Errors
/// If the client is gone.
pub async fn account(
    office: &Arc<Office>,
    caller: &Caller,
    act: &AccountAct,
    replies: &mut Replies,
) -> Result<(), Undelivered> {
    let view = office.published.view();
    let accounting = &view.cluster.accounting;
    if !may_list_accounts(&caller.identity, accounting) {
        let message = "only admins and coordinators see how accounts are set up";
        let hint = "`jqueue whoami` shows your own";
        return refuse(replies, Refusal::new(RefusalCode::NotAllowed, message, hint)).await;
    }
    let account = |record: &Arc<crate::model::account::AccountRecord>| AccountInfo {
        used: accounting.used(&Scope::Account(record.name.as_str().into())),
        spent_cpu_ms: accounting.spent_ms(&record.name),
        record: (**record).clone(),
    };
    let qos = |record: &Arc<crate::model::account::QosRecord>| QosInfo {
        used: accounting.used(&Scope::Qos(record.name.as_str().into())),
        record: (**record).clone(),
    };
    let reply = match act {
        AccountAct::QosList => {
            Reply::Accounts { accounts: Vec::new(), qos: accounting.qos.values().map(qos).collect() }
        }
        _ => {
            Reply::Accounts { accounts: accounting.accounts.values().map(account).collect(), qos: Vec::new() }
        }
    };
    replies.last(&reply).await
}
