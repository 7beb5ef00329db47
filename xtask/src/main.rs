//! What developers of jsched run: `cargo xtask demo | man | bench | sim | powercut | ci`.

mod bench;
mod ci;
mod demo;
mod dev;
mod documents;
mod failure;
mod interrupt;
mod powercut;
mod program;
mod sim;
mod workspace;

use std::process::ExitCode;

use failure::Failure;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo [--keep]    build jsched, start a private cluster, run examples/ on it, show the results, stop it;
                   --keep leaves the cluster up
  man [--check]    write man/ and completions/ from the argument definitions; --check only compares
  bench            measure what the design gives a budget for, on a private cluster
  sim --seeds A..B [--release]
                   run the fault simulator on those seeds and print how often what happened; see docs/simulator.md
  powercut --cuts N [--seed S]
                   cut the power of a real controller's disk so often, under load, and look for what was acknowledged
  ci               everything that must hold before a change goes in
";

/// The exit code for a wrong command line.
const EXIT_USAGE: u8 = 64;

/// The exit code after Ctrl-C.
const EXIT_INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["demo"] => demo::run(false),
        ["demo", "--keep"] => demo::run(true),
        ["man"] => documents::run(false),
        ["man", "--check"] => documents::run(true),
        ["bench"] => bench::run(),
        ["sim", "--seeds", seeds] => sim::run(seeds, false),
        ["sim", "--seeds", seeds, "--release"] => sim::run(seeds, true),
        ["powercut", "--cuts", cuts] => powercut::run(cuts, None),
        ["powercut", "--cuts", cuts, "--seed", seed] => powercut::run(cuts, Some(seed)),
        ["ci"] => ci::run(),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Interrupted) => {
            eprintln!("interrupted");
            ExitCode::from(EXIT_INTERRUPTED)
        }
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
