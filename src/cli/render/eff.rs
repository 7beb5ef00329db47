//! `jqueue eff`: what a job used against what it asked for.

use serde_json::{Map, Value, json};

use super::Sheet;
use super::job_json::{ended_elapsed, ended_json, memory_peak};
use super::quantity::{limit, size, span};
use crate::model::time::Seconds;
use crate::wire::info::EndedRow;

/// The table, a row per ended task: each resource as used, asked and in percent.
pub fn eff(rows: &[EndedRow]) -> Sheet {
    let heads = [
        "JOBID",
        "NAME",
        "ST",
        ">TIME",
        ">LIMIT",
        ">TIME%",
        ">CPU-TIME",
        ">CPUS",
        ">CPU%",
        ">MEM",
        ">ASKED",
        ">MEM%",
    ];
    let mut sheet = Sheet::new(&heads);
    let dash = || "-".to_owned();
    let percent = |part: Option<f64>| part.map_or_else(dash, |part| format!("{:.0}", part * 100.0));
    sheet.rows = rows
        .iter()
        .map(|row| {
            let peak = memory_peak(&row.end);
            vec![
                row.id.clone(),
                row.name.clone(),
                row.end.state.code().to_owned(),
                span(ended_elapsed(&row.end)),
                limit(row.limit),
                percent(time_part(row)),
                span(Seconds(row.end.usage.cpu_ms / 1_000)),
                row.cpus.to_string(),
                percent(cpu_part(row)),
                peak.map_or_else(dash, size),
                if row.memory_bytes == 0 { "node".to_owned() } else { size(row.memory_bytes) },
                percent(memory_part(row)),
            ]
        })
        .collect();
    sheet
}

/// The same as JSON: the task's fields, and `cpu_efficiency`, `memory_efficiency`, `time_efficiency` from 0 to 1.
pub fn eff_json(row: &EndedRow) -> Map<String, Value> {
    let mut object = ended_json(row);
    for (name, part) in [
        ("cpu_efficiency", cpu_part(row)),
        ("memory_efficiency", memory_part(row)),
        ("time_efficiency", time_part(row)),
    ] {
        object.insert(name.to_owned(), json!(part));
    }
    object
}

fn cpu_part(row: &EndedRow) -> Option<f64> {
    let span_ms = row.end.end.micros_since(row.end.start?) / 1_000;
    let held_ms = span_ms.saturating_mul(row.cpus.into());
    (held_ms > 0).then(|| row.end.usage.cpu_ms as f64 / held_ms as f64)
}

fn memory_part(row: &EndedRow) -> Option<f64> {
    let peak = memory_peak(&row.end)?;
    (row.memory_bytes > 0).then(|| peak as f64 / row.memory_bytes as f64)
}

fn time_part(row: &EndedRow) -> Option<f64> {
    let limit = row.limit.0.filter(|limit| limit.0 > 0)?;
    row.end.start.map(|_| ended_elapsed(&row.end).0 as f64 / limit.0 as f64)
}
