//! `jctld account list` and `jctld qos list`.

use serde_json::{Value, json};

use super::Sheet;
use super::quantity::{Clock, limit, rfc3339};
use crate::model::account::{Caps, Limits};
use crate::model::time::TimeLimit;
use crate::wire::account::{AccountInfo, QosInfo, Used};

/// The accounts, what they use of what they may.
pub fn accounts(rows: &[AccountInfo], _clock: &Clock) -> Sheet {
    let mut sheet = Sheet::new(&[
        "ACCOUNT",
        "PARENT",
        ">SHARE",
        ">RUN",
        ">CPUS",
        ">SUBMITTED",
        ">MAX-TIME",
        ">BUDGET",
        "USERS",
        "COORDINATORS",
    ]);
    sheet.rows = rows
        .iter()
        .map(|row| {
            let record = &row.record;
            let user = |name: &String| {
                let star = if record.default_for.contains(name) { "*" } else { "" };
                format!("{name}{star}")
            };
            let mut cells = vec![
                record.name.clone(),
                record.parent.clone().unwrap_or_else(dash),
                record.share.to_string(),
            ];
            cells.extend(of_limits(&record.limits, &row.used));
            let hours = row.spent_cpu_ms as f64 / 3_600_000.0;
            let budget = |budget: crate::model::account::Budget| format!("{hours:.1}/{}", budget.cpu_hours);
            cells.push(record.budget.map_or_else(dash, budget));
            cells.push(list(record.users.iter().map(user)));
            cells.push(list(record.coordinators.iter().cloned()));
            cells
        })
        .collect();
    sheet
}

/// The qualities of service.
pub fn qualities(rows: &[QosInfo]) -> Sheet {
    let mut sheet = Sheet::new(&["QOS", ">PRIORITY", ">RUN", ">CPUS", ">SUBMITTED", ">MAX-TIME"]);
    sheet.rows = rows
        .iter()
        .map(|row| {
            let mut cells = vec![row.record.name.clone(), row.record.priority.to_string()];
            cells.extend(of_limits(&row.record.limits, &row.used));
            cells
        })
        .collect();
    sheet
}

/// An account as JSON.
pub fn account_json(row: &AccountInfo) -> Value {
    let record = &row.record;
    json!({
        "name": record.name,
        "parent": record.parent,
        "share": record.share,
        "user_shares": record.user_shares.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "users": record.users,
        "coordinators": record.coordinators,
        "default_for": record.default_for,
        "limits": limits_json(&record.limits),
        "used": used_json(&row.used),
        "budget": record.budget.map(|budget| json!({
            "cpu_hours": budget.cpu_hours, "used_cpu_hours": row.spent_cpu_ms as f64 / 3_600_000.0, "since": rfc3339(budget.since), "until": budget.until.and_then(rfc3339),
        })),
    })
}

/// A quality of service as JSON.
pub fn qos_json(row: &QosInfo) -> Value {
    json!({
        "name": row.record.name,
        "priority": row.record.priority,
        "limits": limits_json(&row.record.limits),
        "used": used_json(&row.used),
    })
}

fn limits_json(limits: &Limits) -> Value {
    let (all, user): (&Caps, &Caps) = (&limits.all, &limits.each_user);
    json!({
        "running": all.running, "cpus": all.cpus, "submitted": all.submitted,
        "running_per_user": user.running, "cpus_per_user": user.cpus, "submitted_per_user": user.submitted,
        "time_seconds": limits.time_max.map(|time| time.0),
    })
}

fn used_json(used: &Used) -> Value {
    json!({"running": used.running, "cpus": used.cpus, "submitted": used.submitted})
}

/// Use and bound of running jobs, cpus and unfinished jobs, and the longest time limit.
fn of_limits(limits: &Limits, used: &Used) -> [String; 4] {
    let pair = |used: u64, all: Option<u32>, user: Option<u32>| {
        let all = all.map_or_else(String::new, |most| format!("/{most}"));
        let user = user.map_or_else(String::new, |most| format!(" (each {most})"));
        format!("{used}{all}{user}")
    };
    [
        pair(used.running, limits.all.running, limits.each_user.running),
        pair(used.cpus, limits.all.cpus, limits.each_user.cpus),
        pair(used.submitted, limits.all.submitted, limits.each_user.submitted),
        limits.time_max.map_or_else(dash, |most| limit(TimeLimit(Some(most)))),
    ]
}

fn list(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    if names.is_empty() { dash() } else { names.join(",") }
}

fn dash() -> String {
    "-".to_owned()
}
