//! `jctld simulate`: a trace through the scheduler in virtual time. Needs neither configuration nor controller.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::cli::args::General;
use crate::cli::args::jctld::Simulate;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::json::envelope;
use crate::cli::text::print;
use crate::sched::policy::{POLICIES, Policy};
use crate::sim::{Figures, Outcome, Trace, TraceError, plot, simulate as run, trace};

/// Schedules the trace and prints the figures.
///
/// # Errors
/// An unknown policy (64), a trace that makes no sense (65), files that can't be read or written (1).
pub fn simulate(general: &General, asked: &Simulate) -> Result<ExitCode, CliError> {
    let policy = policy_named(&asked.policy)?;
    let mut trace = trace::read(&asked.trace, asked.procs).map_err(trace_error)?;
    if let Some(factor) = asked.load {
        trace.scale_gaps(factor);
    }
    let outcome = run(&trace.jobs, trace.processors, policy);
    let figures =
        Figures::of(&trace.jobs, trace.processors, &outcome.starts).ok_or_else(|| nothing(asked, &trace))?;
    if let Some(file) = &asked.starts {
        write(file, "--starts", |out| {
            trace
                .jobs
                .iter()
                .zip(&outcome.starts)
                .try_for_each(|(job, start)| writeln!(out, "{}\t{start}", job.id))
        })?;
    }
    if let Some(file) = &asked.plot {
        let title = format!("{} under {}", asked.trace.display(), policy.name);
        let picture = plot::svg(&title, &trace.jobs, trace.processors, &outcome.starts);
        write(file, "--plot", |out| out.write_all(picture.as_bytes()))?;
    }
    let text = if general.json {
        format!("{}\n", envelope(as_json(asked, policy, &trace, &outcome, &figures), &[]))
    } else {
        as_text(policy, &trace, &outcome, &figures)
    };
    print(&text)?;
    Ok(ExitCode::Done)
}

fn policy_named(name: &str) -> Result<Policy, CliError> {
    Policy::named(name).ok_or_else(|| {
        let names = POLICIES.iter().map(|policy| policy.name);
        let near = names.clone().filter(|known| strsim::osa_distance(known, name) <= 2);
        let near = near.min_by_key(|known| strsim::osa_distance(known, name));
        let all = names.collect::<Vec<_>>().join(" ");
        let error = CliError::usage("unknown_policy", format!("unknown policy `{name}`")).option("--policy");
        error.hint(
            near.map_or(format!("known are: {all}"), |near| {
                format!("did you mean `{near}`? known are: {all}")
            }),
        )
    })
}

fn trace_error(error: TraceError) -> CliError {
    let message = error.to_string();
    match error {
        TraceError::Unreadable { file, .. } => {
            CliError::new(ExitCode::Refused, "unreadable", message).in_file(file.display().to_string())
        }
        TraceError::Line { file, line, .. } => {
            let error = CliError::script("bad_trace", message).in_file(file.display().to_string());
            let error = error.on_line(u32::try_from(line).unwrap_or(u32::MAX));
            error.hint(
                "a record of the Standard Workload Format has 18 numbers on a line, comments begin with `;`",
            )
        }
        TraceError::NoSize { file } => {
            let error = CliError::script("no_machine_size", message).in_file(file.display().to_string());
            error.hint("say how many processors there are: --procs N")
        }
    }
}

fn nothing(asked: &Simulate, trace: &Trace) -> CliError {
    let message = format!("no job is left to simulate of {} records{}", trace.records, reasons(trace));
    CliError::script("empty_trace", message).in_file(asked.trace.display().to_string())
}

/// ` (3 run time not above zero)`, or nothing.
fn reasons(trace: &Trace) -> String {
    let told = trace.dropped.reasons().into_iter().filter(|(_, _, count)| *count > 0);
    let told = told.map(|(_, words, count)| format!("{count} {words}")).collect::<Vec<_>>().join(", ");
    if told.is_empty() { told } else { format!(" ({told})") }
}

fn write(
    file: &Path,
    option: &str,
    fill: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), CliError> {
    let filled = File::create(file).map(BufWriter::new).and_then(|mut out| {
        fill(&mut out)?;
        out.flush()
    });
    filled.map_err(|error| {
        let error = CliError::new(ExitCode::Refused, "output_failed", format!("can't be written: {error}"));
        error.in_file(file.display().to_string()).option(option)
    })
}

fn as_json(asked: &Simulate, policy: Policy, trace: &Trace, outcome: &Outcome, figures: &Figures) -> Value {
    let why: Map<String, Value> = trace
        .dropped
        .reasons()
        .into_iter()
        .map(|(word, _, count)| (word.to_owned(), Value::from(count)))
        .collect();
    json!({
        "policy": policy.name,
        "processors": trace.processors,
        "load": asked.load.unwrap_or(1.0),
        "records": trace.records,
        "dropped": trace.dropped.total(),
        "dropped_why": why,
        "cut_at_request": trace.cut,
        "jobs": figures.jobs,
        "wait_mean_seconds": figures.wait_mean,
        "bounded_slowdown_mean": figures.slowdown_mean,
        "wait_p95_seconds": figures.wait_p95,
        "wait_p99_seconds": figures.wait_p99,
        "wait_max_seconds": figures.wait_max,
        "utilisation": figures.utilisation,
        "makespan_seconds": figures.makespan,
        "backfilled": outcome.backfilled,
    })
}

fn as_text(policy: Policy, trace: &Trace, outcome: &Outcome, figures: &Figures) -> String {
    let rows = [
        ("policy", policy.name.to_owned()),
        ("processors", trace.processors.to_string()),
        ("records", trace.records.to_string()),
        ("dropped", format!("{}{}", trace.dropped.total(), reasons(trace))),
        ("cut at request", trace.cut.to_string()),
        ("jobs", figures.jobs.to_string()),
        ("mean wait", format!("{:.2} s", figures.wait_mean)),
        ("mean bounded slowdown", format!("{:.4}", figures.slowdown_mean)),
        ("wait p95", format!("{} s", figures.wait_p95)),
        ("wait p99", format!("{} s", figures.wait_p99)),
        ("longest wait", format!("{} s", figures.wait_max)),
        ("utilisation", format!("{:.5}", figures.utilisation)),
        ("makespan", format!("{} s", figures.makespan)),
        ("backfilled", outcome.backfilled.to_string()),
    ];
    rows.iter().map(|(name, value)| format!("{name:<22} {value}\n")).collect()
}
