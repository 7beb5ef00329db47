//! Use by user, account or partition: of what is unfinished now, and what ended attempts had.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{refuse, tables_failed};
use crate::controller::clock;
use crate::controller::office::Office;
use crate::controller::server::{Replies, Undelivered};
use crate::core::View;
use crate::core::job::Job;
use crate::core::priority::Standing;
use crate::store::used;
use crate::wire::client::{Reply, UsageBy};
use crate::wire::info::UsageRow;

/// Answers with a row per user, account or partition.
///
/// # Errors
/// If the client is gone.
pub async fn usage(office: &Arc<Office>, by: UsageBy, replies: &mut Replies) -> Result<(), Undelivered> {
    let view = office.published.view();
    let mut rows: BTreeMap<String, UsageRow> = BTreeMap::new();
    for job in view.cluster.jobs.values().filter(|job| job.ended.is_none()) {
        let name = name_of(job, by);
        let row = rows.entry(name.clone()).or_insert_with(|| UsageRow { name, ..UsageRow::default() });
        row.running += (job.live.len() as u64).saturating_sub(u64::from(job.handed));
        row.pending += u64::from(job.pending()) + u64::from(job.handed);
        for slots in job.slots.values() {
            row.cpus += u64::from(slots.charge.cpus) * u64::from(slots.count);
            row.memory_bytes += slots.charge.memory_bytes * u64::from(slots.count);
        }
    }
    let sums = match used::sums(&*office.tables) {
        Ok(sums) => sums,
        Err(error) => return refuse(replies, tables_failed(&error)).await,
    };
    for sum in sums {
        let name = match by {
            UsageBy::User => sum.user,
            UsageBy::Account => sum.account,
            UsageBy::Partition => sum.partition,
        };
        let row = rows.entry(name.clone()).or_insert_with(|| UsageRow { name, ..UsageRow::default() });
        row.cpu_ms = row.cpu_ms.saturating_add(sum.cpu_ms);
    }
    if by == UsageBy::Account {
        let accounting = &view.cluster.accounting;
        for spent in accounting.accounts.keys().filter_map(|name| accounting.budget_of(name)) {
            let name = spent.account.name.clone();
            let row = rows.entry(name.clone()).or_insert_with(|| UsageRow { name, ..UsageRow::default() });
            row.budget = Some((spent.cpu_ms, spent.budget.cpu_hours));
        }
    }
    add_shares(&view, by, &mut rows);
    replies.last(&Reply::Usage(rows.into_values().collect())).await
}

/// How accounts and users stand, of those who have a row or have used something.
fn add_shares(view: &View, by: UsageBy, rows: &mut BTreeMap<String, UsageRow>) {
    let accounting = &view.cluster.accounting;
    let standing = Standing::at(&view.cluster, clock::wall());
    let new = |name: &str| UsageRow { name: name.to_owned(), ..UsageRow::default() };
    if accounting.priority.fair_share == 0 {
        return;
    }
    if by == UsageBy::Account {
        for name in accounting.accounts.keys() {
            let row = rows.entry(name.to_string()).or_insert_with(|| new(name));
            row.shares.extend(standing.of_account(name).map(|stand| (String::new(), stand)));
        }
    }
    if by == UsageBy::User {
        for (account, user) in accounting.users() {
            let row = rows.entry(user.to_string()).or_insert_with(|| new(&user));
            let stand = standing.of_member(accounting, &account, &user);
            row.shares.extend(stand.map(|stand| (account.to_string(), stand)));
        }
    }
}

fn name_of(job: &Job, by: UsageBy) -> String {
    match by {
        UsageBy::User => job.record.user.to_string(),
        UsageBy::Account => job.record.spec.account.clone(),
        UsageBy::Partition => job.record.partitions.join(","),
    }
}
