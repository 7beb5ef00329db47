//! Figures of the benchmarks in `benches/`, which measure the scheduler alone.

use crate::dev::Dev;
use crate::failure::Failure;
use crate::{program, workspace};

pub fn pass_in_full(_: &Dev) -> Result<f64, Failure> {
    figure("sched", "full pass, all nodes changed")
}

pub fn pass_after_one_change(_: &Dev) -> Result<f64, Failure> {
    figure("sched", "one end, planned")
}

pub fn simulated_by_easy(_: &Dev) -> Result<f64, Failure> {
    figure("simulate", "easy ")
}

pub fn simulated_by_conservative(_: &Dev) -> Result<f64, Failure> {
    figure("simulate", "conservative ")
}

/// The first number behind `begin` in what the benchmark prints.
fn figure(bench: &str, begin: &str) -> Result<f64, Failure> {
    let mut run = workspace::cargo();
    run.args(["bench", "--quiet", "--locked", "--package", "jsched", "--bench", bench]);
    let said = program::collect(run)?.expect(0)?.stdout;
    let mut lines = said.lines().map(str::trim_start);
    let figure = lines.find_map(|said| said.strip_prefix(begin)?.split_whitespace().next()?.parse().ok());
    figure.ok_or_else(|| Failure::Wrong(format!("`cargo bench --bench {bench}` has no line {begin:?}")))
}
