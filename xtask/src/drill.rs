//! The drill on real daemons, for as long as wanted.

use crate::failure::Failure;
use crate::{program, workspace};

/// Runs it; `seed` decides what happens, and when.
pub fn run(minutes: &str, seed: Option<&str>) -> Result<(), Failure> {
    let wrong = |text: &str, what: &str| Failure::Wrong(format!("`{text}` is no {what}"));
    if !minutes.parse::<f64>().is_ok_and(|minutes| minutes > 0.0 && minutes.is_finite()) {
        return Err(wrong(minutes, "number of minutes"));
    }
    let mut command = workspace::cargo();
    command.args(["test", "--package", "jsched", "--test", "drill", "drill"]);
    command.args(["--", "--exact", "--ignored", "--nocapture"]).env("JSCHED_DRILL_MINUTES", minutes);
    if let Some(seed) = seed {
        seed.parse::<u64>().map_err(|_| wrong(seed, "seed"))?;
        command.env("JSCHED_TEST_SEED", seed);
    }
    program::show(command)
}
