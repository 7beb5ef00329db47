//! `jctld plan`: jobs with known times on nodes with a cap on their load, the busiest node done as early as can be.
//! Needs neither configuration nor controller.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::error::{CliError, ExitCode};
use crate::cli::json::envelope;
use crate::cli::text::print;
use crate::sched::makespan::{Answer, Problem, Status, TIME_MAX, plan as solve};

/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How much search a plan may take: seconds, not minutes.
const STEPS: u64 = 2_000_000;

/// Jobs and nodes, as they stand in the file; unknown words are refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Situation {
    #[serde(default)]
    jobs: Vec<Job>,
    #[serde(default)]
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    name: Option<String>,
    time: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    name: Option<String>,
    /// Without it, all that there is.
    capacity: Option<u64>,
}

/// Plans, and prints the plan as JSON.
///
/// # Errors
/// A file that can't be read (1) or makes no sense (65).
pub fn plan(file: &Path) -> Result<ExitCode, CliError> {
    let text = read(file)?;
    let bad = |message: String| CliError::script("bad_plan", message).in_file(file.display().to_string());
    let situation: Situation = if is_json(file, &text) {
        serde_json::from_str(&text).map_err(|error| {
            bad(error.to_string()).on_line(u32::try_from(error.line()).unwrap_or(u32::MAX)).hint(SHAPE)
        })?
    } else {
        toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(0, |before| before.matches('\n').count()) + 1;
            bad(error.message().to_owned()).on_line(u32::try_from(line).unwrap_or(u32::MAX)).hint(SHAPE)
        })?
    };
    let (jobs, nodes) =
        (names(&situation.jobs, |job| job.name.as_ref()), names(&situation.nodes, |node| node.name.as_ref()));
    for (what, names) in [("job", &jobs), ("node", &nodes)] {
        let mut seen = BTreeSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
            return Err(
                bad(format!("two {what}s have the name `{twice}`")).hint("give each a name of its own")
            );
        }
    }
    let numbers = situation.jobs.iter().map(|job| job.time);
    let numbers = numbers.chain(situation.nodes.iter().filter_map(|node| node.capacity));
    if let Some(large) = numbers.into_iter().find(|number| *number > TIME_MAX) {
        return Err(
            bad(format!("{large} is too large")).hint(format!("times and capacities reach to {TIME_MAX}"))
        );
    }
    let times: Vec<u64> = situation.jobs.iter().map(|job| job.time).collect();
    let all = times.iter().sum();
    let capacities = situation.nodes.iter().map(|node| node.capacity.unwrap_or(all)).collect();
    let answer = solve(&Problem { times, capacities }, STEPS);
    print(&format!("{}\n", envelope(as_json(&answer, &jobs, &nodes), &[])))?;
    Ok(ExitCode::Done)
}

const SHAPE: &str = "in TOML: [[jobs]] with `time`, [[nodes]] with `capacity`, whole numbers, each with a `name` if you like; \
                     in JSON: {\"jobs\": [{\"time\": 5}], \"nodes\": [{\"capacity\": 7}]}";

fn read(file: &Path) -> Result<String, CliError> {
    let refused = |message: String| {
        CliError::new(ExitCode::Refused, "unreadable", message).in_file(file.display().to_string())
    };
    let bytes = fs::metadata(file).map_err(|error| refused(format!("can't be read: {error}")))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(refused(format!("{bytes} bytes, of at most {FILE_BYTES_MAX}")));
    }
    fs::read_to_string(file).map_err(|error| refused(format!("can't be read: {error}")))
}

fn is_json(file: &Path, text: &str) -> bool {
    file.extension().is_some_and(|ending| ending == "json") || text.trim_start().starts_with('{')
}

/// The names, or for those without one their number, counted from 1.
fn names<T>(of: &[T], name: impl Fn(&T) -> Option<&String>) -> Vec<String> {
    of.iter()
        .enumerate()
        .map(|(at, one)| name(one).cloned().unwrap_or_else(|| (at + 1).to_string()))
        .collect()
}

fn as_json(answer: &Answer, jobs: &[String], nodes: &[String]) -> Value {
    let status = match answer.status {
        Status::Optimal => "optimal",
        Status::Feasible => "feasible",
        Status::Infeasible => "infeasible",
        Status::Unknown => "unknown",
    };
    let placed = jobs.iter().zip(&answer.assignment);
    let assignment: Vec<Value> =
        placed.map(|(job, node)| json!({"job": job, "node": nodes.get(*node)})).collect();
    json!({
        "status": status,
        "makespan": answer.makespan,
        "bound": (answer.status != Status::Infeasible).then_some(answer.bound),
        "gap": answer.gap(),
        "assignment": assignment,
    })
}
