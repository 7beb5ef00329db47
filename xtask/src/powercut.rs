//! Power cuts on the real controller, as many as wanted: the test of them is run with another number.

use crate::failure::Failure;
use crate::{program, workspace};

/// The test, and where it is.
const TARGET: &str = "power_cut";
const TEST: &str = "nothing_acknowledged_is_lost_by_power_cuts";

/// Makes `cuts` of them; `seed` decides what is kept each time, and when.
pub fn run(cuts: &str, seed: Option<&str>) -> Result<(), Failure> {
    let number = |text: &str, what: &str| match text.parse::<u64>() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(Failure::Wrong(format!("`{text}` is no {what}"))),
    };
    let mut command = workspace::cargo();
    command.args(["test", "--package", "jsched", "--test", TARGET, TEST, "--", "--exact", "--nocapture"]);
    command.env("JSCHED_CUTS", number(cuts, "number of cuts")?.to_string());
    if let Some(seed) = seed {
        command.env("JSCHED_TEST_SEED", number(seed, "seed")?.to_string());
    }
    program::show(command)
}
