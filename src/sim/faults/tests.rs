//! Ranges of seeds, and what they must have tried.

use super::counts::Counts;
use super::world::{Run, run};
use crate::model::bug::{self, Bug};

/// How many seeds are run on each change: about 70 seconds of a processor in the test profile, on two threads.
const SEEDS: u64 = 1_000;
/// Of a thousand seeds, what can happen must happen so often; of fewer, at least a tenth of its share.
const LEAST_IN_A_THOUSAND: u64 = 50;
/// Messages that are sent too seldom for that; they are counted all the same.
const SELDOM: [&str; 3] = ["withdraw", "refusal", "limit"];
/// Within so many seeds each deliberate mistake shows that is made on each change, and each of all by hand.
const SEEDS_TO_FIND: u64 = 400;
const SEEDS_TO_FIND_ALL: u64 = 2_000;

/// Runs seeds on two threads, each seed on one; the first failure in the order of seeds is given.
fn range(from: u64, to: u64) -> (Counts, Vec<String>) {
    let half = |odd: u64| {
        move || {
            let mut counts = Counts::default();
            let mut failures = Vec::new();
            for seed in (from..to).filter(|seed| seed % 2 == odd) {
                let Run { counts: more, failure, .. } = run(seed, true);
                counts.add(&more);
                failures.extend(failure);
                if failures.len() >= 3 {
                    break;
                }
            }
            (counts, failures)
        }
    };
    let other = std::thread::spawn(half(1));
    let (mut counts, mut failures) = half(0)();
    let (more, others) = other.join().unwrap_or_default();
    counts.add(&more);
    failures.extend(others);
    (counts, failures)
}

/// Without faults everything that is submitted ends.
#[test]
fn without_faults_all_is_well() {
    for seed in 0..5 {
        let outcome = run(seed, false);
        assert!(outcome.failure.is_none(), "{}", outcome.failure.unwrap_or_default());
        assert!(outcome.jobs > 0 && outcome.starts > 0, "seed {seed}: nothing was done");
    }
}

/// Whatever a run does follows from its seed.
#[test]
fn the_same_seed_gives_the_same_run() {
    let (first, second, other) = (run(7, true), run(7, true), run(8, true));
    assert_eq!((first.trace, &first.counts), (second.trace, &second.counts));
    assert_ne!(first.trace, other.trace);
}

/// The seeds of each change; `cargo xtask sim` takes others.
#[test]
fn seeds() {
    let (from, to) = seeds_wanted().unwrap_or((0, SEEDS));
    let (counts, failures) = range(from, to);
    println!("{}", counts.table());
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
    let share = LEAST_IN_A_THOUSAND * counts.runs / 1_000;
    let least = if counts.runs < 1_000 { share / 10 } else { share };
    let rare = counts.rare(least, &SELDOM);
    assert!(rare.is_empty(), "fired less than {least} times in {} runs:\n{}", counts.runs, rare.join("\n"));
}

/// Mistakes that are found soon: they are made on each change.
const SOON: [Bug; 16] = [
    Bug::SkipSync,
    Bug::TellEarly,
    Bug::ForgetEpoch,
    Bug::ReuseAttempt,
    Bug::FreeWithoutNever,
    Bug::EndedTwice,
    Bug::IdReuse,
    Bug::TablesAhead,
    Bug::SumsApart,
    Bug::HeedDeposed,
    Bug::LaunchToNewBoot,
    Bug::AnswerEarly,
    Bug::LeaseOnArrival,
    Bug::OfficeForgetsLeases,
    Bug::HalfGroup,
    Bug::HalfSubmission,
];

/// Each of these deliberate mistakes is found within so many seeds.
#[test]
fn mistakes_are_found() {
    all_found(SOON.to_vec(), SEEDS_TO_FIND);
}

/// All of them, or the one that `JSCHED_SIM_BUG` names: by hand, since it takes minutes.
#[test]
#[ignore = "takes minutes"]
fn all_mistakes_are_found() {
    let wanted = std::env::var("JSCHED_SIM_BUG").ok();
    let is_wanted = |bug: &Bug| wanted.as_ref().is_none_or(|name| *name == format!("{bug:?}"));
    all_found(Bug::ALL.into_iter().filter(is_wanted).collect(), SEEDS_TO_FIND_ALL);
}

fn all_found(bugs: Vec<Bug>, seeds: u64) {
    let (even, odd): (Vec<_>, Vec<_>) = bugs.into_iter().enumerate().partition(|(at, _)| at % 2 == 0);
    let other = std::thread::spawn(move || missed(odd.into_iter().map(|(_, bug)| bug), seeds));
    let mut all = missed(even.into_iter().map(|(_, bug)| bug), seeds);
    all.extend(other.join().unwrap_or_default());
    assert!(all.is_empty(), "not found: {all:?}");
}

fn missed(bugs: impl Iterator<Item = Bug>, seeds: u64) -> Vec<Bug> {
    let mut missed = Vec::new();
    for bug in bugs {
        bug::make(Some(bug));
        let found = (0..seeds).find_map(|seed| run(seed, true).failure);
        bug::make(None);
        match found {
            Some(text) => {
                let line = text.lines().next().unwrap_or_default();
                println!("{bug:?}: {}", line.chars().take(200).collect::<String>());
            }
            None => missed.push(bug),
        }
    }
    missed
}

/// `A..B` in the environment, from `cargo xtask sim`.
fn seeds_wanted() -> Option<(u64, u64)> {
    let text = std::env::var("JSCHED_SIM_SEEDS").ok()?;
    let (from, to) = text.split_once("..")?;
    Some((from.parse().ok()?, to.parse().ok()?))
}
