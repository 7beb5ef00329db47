//! `jqueue usage`: who holds and has used how much.

use serde_json::{Value, json};

use super::Sheet;
use super::quantity::size;
use crate::core::budget::SAID_FROM_PERCENT;
use crate::wire::client::UsageBy;
use crate::wire::info::{ShareInfo, UsageRow};

/// The table. What this version does not keep (GPUs) is shown as `-`. SHARE is what one
/// has of the shares, and of what was used lately.
pub fn usage(rows: &[UsageRow], by: UsageBy) -> Sheet {
    let first = if by == UsageBy::Partition { "PARTITION" } else { "USER" };
    let heads = [
        first,
        "ACCOUNT",
        ">RUN",
        ">PEND",
        ">CPUS",
        ">GPUS",
        ">MEM",
        ">CPU-HOURS",
        ">SHARE",
        ">USED",
        ">BUDGET",
    ];
    let mut sheet = Sheet::new(&heads);
    let dash = || "-".to_owned();
    sheet.rows = rows
        .iter()
        .map(|row| {
            let named = if row.name.is_empty() { dash() } else { row.name.clone() };
            let (first, account) = if by == UsageBy::Account { (dash(), named) } else { (named, dash()) };
            vec![
                first,
                account,
                row.running.to_string(),
                row.pending.to_string(),
                row.cpus.to_string(),
                dash(),
                size(row.memory_bytes),
                format!("{:.1}", cpu_hours(row)),
                share(row),
                row.budget.map_or_else(dash, |(spent, _)| format!("{:.1}", hours(spent))),
                row.budget.map_or_else(dash, budget),
            ]
        })
        .collect();
    sheet
}

/// The same as JSON.
pub fn usage_json(rows: &[UsageRow], by: UsageBy) -> Value {
    let name = match by {
        UsageBy::User => "user",
        UsageBy::Account => "account",
        UsageBy::Partition => "partition",
    };
    let items: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                name: row.name, "running": row.running, "pending": row.pending, "cpus": row.cpus,
                "memory_bytes": row.memory_bytes, "cpu_hours": cpu_hours(row),
                "used_cpu_hours": row.budget.map(|(spent, _)| hours(spent)),
                "budget_cpu_hours": row.budget.map(|(_, all)| all),
                "shares": row.shares.iter().map(share_json).collect::<Vec<_>>(),
            })
        })
        .collect();
    Value::Array(items)
}

/// The budget, and how much of it is spent once that is much.
fn budget((spent, all): (u64, u64)) -> String {
    let percent = 100.0 * hours(spent) / (all.max(1) as f64);
    if percent < SAID_FROM_PERCENT as f64 { all.to_string() } else { format!("{all} ({percent:.0} % used)") }
}

/// `25.0% of 40.0%`: of the shares, and of the use; of a user in several accounts all together.
fn share(row: &UsageRow) -> String {
    let sum = |part: fn(&ShareInfo) -> u32| {
        row.shares.iter().map(|(_, stand)| f64::from(part(stand))).sum::<f64>() / 1e7
    };
    if row.shares.is_empty() {
        return "-".to_owned();
    }
    format!("{:.1}%, used {:.1}%", sum(|stand| stand.shares), sum(|stand| stand.used))
}

fn share_json((account, stand): &(String, ShareInfo)) -> Value {
    let part = |billionths: u32| f64::from(billionths) / 1e9;
    json!({
        "account": if account.is_empty() { Value::Null } else { json!(account) },
        "shares": part(stand.shares), "used": part(stand.used), "effective": part(stand.effective),
        "factor": part(stand.factor), "decayed_cpu_hours": hours(stand.cpu_ms),
    })
}

fn hours(cpu_ms: u64) -> f64 {
    cpu_ms as f64 / 3_600_000.0
}

fn cpu_hours(row: &UsageRow) -> f64 {
    hours(row.cpu_ms)
}
