//! Use by user, account or partition: of what is unfinished now, and what ended attempts had.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{refuse, tables_failed};
use crate::controller::office::Office;
use crate::controller::server::{Replies, Undelivered};
use crate::core::job::Job;
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
    replies.last(&Reply::Usage(rows.into_values().collect())).await
}

fn name_of(job: &Job, by: UsageBy) -> String {
    match by {
        UsageBy::User => job.record.user.to_string(),
        UsageBy::Account => job.record.spec.account.clone(),
        UsageBy::Partition => job.record.partitions.join(","),
    }
}
