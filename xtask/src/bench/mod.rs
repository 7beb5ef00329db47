//! Prints the budgets of the design beside what is measured, on real daemons in a private cluster.
//!
//! Figures are medians where there is more than one run. They are printed, never asserted: they depend on the machine.

mod alone;
mod measure;
mod queue;

use crate::dev::Dev;
use crate::failure::Failure;
use crate::{interrupt, workspace};

/// Measures on a running cluster, in the unit of its row.
type Measure = fn(&Dev) -> Result<f64, Failure>;

/// One line of the table.
struct Row {
    /// What is measured.
    what: &'static str,
    /// What the design allows, in `unit`.
    budget: f64,
    /// The unit of budget and figure.
    unit: Unit,
    /// How it is measured; none as long as the parts that it needs are not there.
    measure: Option<Measure>,
}

/// The units, which also say whether less or more is better.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Milliseconds,
    Seconds,
    PerSecond,
    Bytes,
    MebiBytes,
    Percent,
}

impl Unit {
    fn word(self) -> &'static str {
        match self {
            Unit::Milliseconds => "ms",
            Unit::Seconds => "s",
            Unit::PerSecond => "/s",
            Unit::Bytes => "B",
            Unit::MebiBytes => "MiB",
            Unit::Percent => "%",
        }
    }
}

/// The budgets, in an order that keeps the measurements apart: an idle cluster first, the full queue last.
const ROWS: &[Row] = &[
    row("idle controller: memory", 30.0, Unit::MebiBytes, measure::idle_controller_memory),
    row("idle node daemon: memory", 30.0, Unit::MebiBytes, measure::idle_node_memory),
    row("idle controller: cpu", 0.1, Unit::Percent, measure::idle_controller_cpu),
    row("idle node daemon: cpu", 0.1, Unit::Percent, measure::idle_node_cpu),
    row("one jsubmit process, start to exit", 3.5, Unit::Milliseconds, measure::submit),
    row(
        "submit acknowledged to first instruction, idle",
        2.0,
        Unit::Milliseconds,
        measure::first_instruction,
    ),
    row(
        "submit acknowledged to first instruction, back to back",
        4.0,
        Unit::Milliseconds,
        measure::first_instruction_back_to_back,
    ),
    row("jsubmit --wait of true, whole process", 10.0, Unit::Milliseconds, measure::submit_and_wait),
    row(
        "last instruction of a job to the exit of jqueue wait",
        20.0,
        Unit::Milliseconds,
        measure::end_to_waiter,
    ),
    row("array of 10,000 true, no output", 2_500.0, Unit::PerSecond, measure::array_without_output),
    row("array of 5,000 true, a file each", 1_500.0, Unit::PerSecond, measure::array_with_files),
    not_yet("array of empty tasks on virtual nodes", 50_000.0, Unit::PerSecond),
    row("array of 1,000,000 accepted, whole process", 10.0, Unit::Milliseconds, measure::million),
    row("pending array task in memory", 1.0, Unit::Bytes, measure::pending_task_memory),
    row(
        "durable submissions, one client, 50,000 jobs a call",
        50_000.0,
        Unit::PerSecond,
        measure::submissions_of_one,
    ),
    row(
        "durable submissions, 16 clients, 2,000 jobs a call",
        20_000.0,
        Unit::PerSecond,
        measure::submissions_of_16,
    ),
    row("pending single job in memory, all alike", 1_024.0, Unit::Bytes, queue::pending_job_memory),
    row(
        "pending single job in memory, no two alike",
        1_024.0,
        Unit::Bytes,
        queue::pending_different_job_memory,
    ),
    row("jqueue of one job, start to exit", 4.0, Unit::Milliseconds, queue::list_one),
    row("jqueue of 100,000 jobs, start to exit", 300.0, Unit::Milliseconds, queue::list_all),
    row("controller restart, 100,000 pending jobs", 1.0, Unit::Seconds, queue::restart_with_100_000),
    row("controller restart, 1,000,000 pending jobs", 8.0, Unit::Seconds, queue::restart_with_a_million),
    row("EASY pass in full, 100,000 pending, 10,000 nodes", 100.0, Unit::Milliseconds, alone::pass_in_full),
    row("EASY pass after one change, the same", 1.0, Unit::Milliseconds, alone::pass_after_one_change),
    row("simulate, easy, reading excluded", 1_000_000.0, Unit::PerSecond, alone::simulated_by_easy),
    row(
        "simulate, conservative, reading excluded",
        250_000.0,
        Unit::PerSecond,
        alone::simulated_by_conservative,
    ),
];

/// Builds, starts a cluster of one node, measures row by row, and stops it.
pub fn run() -> Result<(), Failure> {
    interrupt::watch()?;
    let programs = workspace::build_release()?;
    let dev = Dev::start(&programs, "jsched-bench-", &["--nodes", "1"])?;
    println!("{:<55} {:>11} {:>11}  unit", "what", "budget", "measured");
    for row in ROWS {
        interrupt::check()?;
        let (figure, remark) = match row.measure.map(|measure| measure(&dev)) {
            None => ("not yet".to_owned(), String::new()),
            Some(Ok(figure)) => (number(figure), verdict(row, figure).to_owned()),
            Some(Err(Failure::Interrupted)) => return Err(Failure::Interrupted),
            // One row that cannot be measured shall not hide the others.
            Some(Err(failure)) => ("failed".to_owned(), first_line(&failure)),
        };
        println!("{:<55} {:>11} {figure:>11}  {:<4} {remark}", row.what, number(row.budget), row.unit.word());
    }
    dev.stop()
}

const fn row(what: &'static str, budget: f64, unit: Unit, measure: Measure) -> Row {
    Row { what, budget, unit, measure: Some(measure) }
}

const fn not_yet(what: &'static str, budget: f64, unit: Unit) -> Row {
    Row { what, budget, unit, measure: None }
}

/// A word only where the budget is not kept.
fn verdict(row: &Row, figure: f64) -> &'static str {
    let kept = if row.unit == Unit::PerSecond { figure >= row.budget } else { figure <= row.budget };
    if kept { "" } else { "over budget" }
}

/// Three digits are enough.
fn number(figure: f64) -> String {
    if figure.abs() >= 100.0 { format!("{figure:.0}") } else { format!("{figure:.2}") }
}

fn first_line(failure: &Failure) -> String {
    failure.to_string().lines().take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_better_for_rates_alone() {
        let rate = not_yet("rate", 50.0, Unit::PerSecond);
        let time = not_yet("time", 50.0, Unit::Milliseconds);
        assert_eq!([verdict(&rate, 49.0), verdict(&rate, 50.0)], ["over budget", ""]);
        assert_eq!([verdict(&time, 51.0), verdict(&time, 50.0)], ["over budget", ""]);
        assert_eq!([number(0.0461), number(2_345.6)], ["0.05", "2346"]);
    }
}
