//! `jqueue usage`: who holds and has used how much.

use serde_json::{Value, json};

use super::Sheet;
use super::quantity::size;
use crate::core::budget::SAID_FROM_PERCENT;
use crate::wire::client::UsageBy;
use crate::wire::info::UsageRow;

/// The table. What this version does not keep (shares, GPUs) is shown as `-`.
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
                dash(),
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

fn hours(cpu_ms: u64) -> f64 {
    cpu_ms as f64 / 3_600_000.0
}

fn cpu_hours(row: &UsageRow) -> f64 {
    hours(row.cpu_ms)
}
