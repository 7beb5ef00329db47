//! The fault simulator on a range of seeds: it is part of the library's tests, where its mistakes can be planted, too.

use crate::failure::Failure;
use crate::{program, workspace};

/// Where it stands among the tests.
const TEST: &str = "sim::faults::tests::seeds";

/// Runs the seeds `A..B`; `release` builds for speed first, which is worth it from some ten thousand seeds on.
pub fn run(seeds: &str, release: bool) -> Result<(), Failure> {
    let range = seeds
        .split_once("..")
        .and_then(|(from, to)| Some((from.parse::<u64>().ok()?, to.parse::<u64>().ok()?)));
    let Some((from, to)) = range.filter(|(from, to)| from < to) else {
        return Err(Failure::Wrong(format!("`{seeds}` is no range of seeds; write 0..1000")));
    };
    let mut command = workspace::cargo();
    command.args(["test", "--package", "jsched", "--lib"]).args(release.then_some("--release"));
    command.args([TEST, "--", "--exact", "--nocapture"]);
    command.env("JSCHED_SIM_SEEDS", format!("{from}..{to}"));
    program::show(command)
}
