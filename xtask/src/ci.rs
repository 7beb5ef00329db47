//! Everything that must hold before a change goes in, each step with its seconds.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::{program, workspace};

/// The comment in README.md before the block that holds the test command.
const TEST_MARKER: &str = "<!-- the test command: `cargo xtask ci` runs it from here -->";

/// What cargo-deny checks without the network. Advisories are checked where their database can be reached.
const DENY_ALWAYS: [&str; 3] = ["bans", "licenses", "sources"];

/// Runs all steps in order and stops at the first that fails; prints what each took.
pub fn run() -> Result<(), Failure> {
    let mut timed: Vec<(&str, String, Duration)> = Vec::new();
    let mut failure = None;
    for (name, step) in STEPS {
        println!("\n== {name}");
        let start = Instant::now();
        let result = step();
        let took = start.elapsed();
        let word = match &result {
            Ok(word) => word.clone(),
            Err(_) => "FAILED".to_owned(),
        };
        println!("== {name}: {word}, {:.1} s", took.as_secs_f64());
        timed.push((name, word, took));
        if let Err(error) = result {
            failure = Some(error);
            break;
        }
    }
    println!("\n{:<12} {:>8}  result", "step", "seconds");
    for (name, word, took) in &timed {
        println!("{name:<12} {:>8.1}  {word}", took.as_secs_f64());
    }
    let total: f64 = timed.iter().map(|(_, _, took)| took.as_secs_f64()).sum();
    println!("{:<12} {total:>8.1}", "all");
    failure.map_or(Ok(()), Err)
}

/// A step does its work and returns a word about how it went.
type Step = fn() -> Result<String, Failure>;

const STEPS: &[(&str, Step)] = &[
    ("format", format),
    ("clippy", clippy),
    ("doc", doc),
    ("deny", deny),
    ("advisories", advisories),
    ("documents", documents),
    ("test", test),
];

fn format() -> Result<String, Failure> {
    cargo(&["fmt", "--all", "--check"])
}

fn clippy() -> Result<String, Failure> {
    let what = ["--workspace", "--all-targets", "--features", "xtask/documents", "--locked"];
    cargo(&[&["clippy"], &what[..], &["--", "-D", "warnings"]].concat())
}

fn doc() -> Result<String, Failure> {
    let mut command = workspace::cargo();
    command.args(["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings");
    program::show(command).map(|()| "ok".to_owned())
}

/// Bans, licences and sources, which need no network once the dependencies are there.
fn deny() -> Result<String, Failure> {
    let mut there = workspace::cargo();
    there.args(["deny", "--version"]);
    if program::collect(there)?.code != 0 {
        cargo(&["install", "cargo-deny", "--locked"])?;
    }
    // cargo-deny reads the manifests of all dependencies, those for other systems included. Without the network this
    // fails, which is no matter if they are there.
    let mut fetch = workspace::cargo();
    fetch.args(["fetch", "--locked", "--quiet"]);
    program::collect(fetch)?;
    cargo(&[&["deny", "--offline", "--locked", "--workspace", "check"], &DENY_ALWAYS[..]].concat())
}

/// Known vulnerabilities and unmaintained crates, if their database can be had.
fn advisories() -> Result<String, Failure> {
    let mut fetch = workspace::cargo();
    fetch.args(["deny", "fetch", "db"]);
    let fetched = program::collect(fetch)?;
    if fetched.code != 0 {
        println!("{}", fetched.stderr.lines().next().unwrap_or_default());
        return Ok("skipped: the advisory database cannot be reached".to_owned());
    }
    cargo(&["deny", "--offline", "--locked", "--workspace", "check", "advisories"])
}

/// Man pages and completions say what the argument definitions say.
fn documents() -> Result<String, Failure> {
    crate::documents::run(true).map(|()| "ok".to_owned())
}

/// The very commands that README.md gives to the reader.
fn test() -> Result<String, Failure> {
    let path = workspace::root().join("README.md");
    let readme = std::fs::read_to_string(&path).map_err(Failure::file(&path))?;
    let commands = test_commands(&readme)?;
    for line in &commands {
        println!("{line}");
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(workspace::root());
        program::show(shell)?;
    }
    Ok(commands.join("; "))
}

/// The lines of the code block that follows the marker.
fn test_commands(readme: &str) -> Result<Vec<String>, Failure> {
    let wrong = |what: &str| {
        Failure::Wrong(format!("README.md: {what}; expected `{TEST_MARKER}` and a block of commands"))
    };
    let (_, after) =
        readme.split_once(TEST_MARKER).ok_or_else(|| wrong("there is no marker for the test command"))?;
    let (opening, block) =
        after.trim_start().split_once('\n').ok_or_else(|| wrong("nothing follows the marker"))?;
    let (block, _) = block.split_once("```").ok_or_else(|| wrong("the block after the marker has no end"))?;
    let lines: Vec<String> =
        block.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if !opening.starts_with("```") || lines.is_empty() {
        return Err(wrong("no command follows the marker"));
    }
    Ok(lines)
}

fn cargo(arguments: &[&str]) -> Result<String, Failure> {
    let mut command = workspace::cargo();
    command.args(arguments);
    program::show(command).map(|()| "ok".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_gives_one_test_command_and_it_is_cargo_test() {
        let readme = std::fs::read_to_string(workspace::root().join("README.md")).unwrap();
        assert_eq!(test_commands(&readme).unwrap(), ["cargo test"]);
    }

    #[test]
    fn a_readme_without_a_command_is_refused() {
        for readme in [
            "",
            TEST_MARKER,
            &format!("{TEST_MARKER}\n```sh\n```\n"),
            &format!("{TEST_MARKER}\ntext\n```\nx\n```"),
        ] {
            assert!(test_commands(readme).is_err(), "{readme}");
        }
        assert_eq!(
            test_commands(&format!("a\n{TEST_MARKER}\n\n```sh\nx y\n\nz\n```\n")).unwrap(),
            ["x y", "z"]
        );
    }
}
