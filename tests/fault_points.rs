//! kill -9 of the controller, the node daemon and supervisors at each step of a job's way (F01 to F03): each is started
//! again, and the history of the job is right: what was acknowledged ran, started as often as it may, its end is its own,
//! and each line that it wrote is there once and in order.
//!
//! The places are those of `jsched::net::points`, in the daemons that `cargo test` has built.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod evidence;
mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use evidence::{SIGN, ended_job, insist, submit, word};
use harness::{Cluster, poll};
use tempfile::TempDir;

/// Names the folder of the armed places.
const VARIABLE: &str = "JSCHED_FAULT_POINTS";
/// So many lines a job writes.
const LINES: usize = 12;
/// So many jobs are not made in one step.
const LARGE_JOBS: usize = 3_000;

const CONTROLLER: [&str; 11] = [
    "controller.request-read",
    "controller.applied",
    "controller.appended",
    "controller.synced",
    "controller.before-reply",
    "controller.after-reply",
    "controller.plan-applied",
    "controller.before-launch",
    "controller.launch-sent",
    "controller.end-heard",
    "controller.end-recorded",
];
const NODE: [&str; 10] = [
    "node.order-heard",
    "node.order-recorded",
    "node.supervisor-started",
    "node.run-told",
    "node.start-heard",
    "node.end-heard",
    "node.before-report",
    "node.report-sent",
    "node.confirmed",
    "node.before-cleanup",
];
const SUPERVISOR: [&str; 6] = [
    "supervisor.before-intent",
    "supervisor.after-intent",
    "supervisor.started",
    "supervisor.start-recorded",
    "supervisor.end-seen",
    "supervisor.end-recorded",
];

/// A cluster whose daemons die where they are told to.
struct Mortal {
    cluster: Cluster,
    folder: TempDir,
}

impl Mortal {
    fn start() -> Mortal {
        let folder = tempfile::Builder::new().prefix("jsched-points-").tempdir().unwrap();
        for name in ["armed", "fired"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let cluster = Cluster::builder().cpus(2).variable(VARIABLE, folder.path()).start();
        Mortal { cluster, folder }
    }

    fn fired(&self, place: &str) -> PathBuf {
        self.folder.path().join("fired").join(place)
    }

    /// Runs a job while whoever comes to that place first dies there; gives its id once it has ended.
    fn run_into(&self, place: &str) -> String {
        fs::write(self.folder.path().join("armed").join(place), "").unwrap();
        let script = format!(
            "{SIGN}; i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo \"$JSCHED_ATTEMPT $i\"; sleep 0.01; done; exit 5"
        );
        let output = format!("{place}.out");
        let id = submit(&self.cluster, place, &["-J", place, "-c", "1", "-o", &output, "--wrap", &script]);
        poll(&format!("somebody to die at {place}"), || self.fired(place).exists());
        let job = ended_job(&self.cluster, &id);
        assert_eq!((word(&job, "state"), job["exit_code"].as_i64()), ("failed", Some(5)), "{place}: {job:#}");
        // The same key is the same job, whoever has died since.
        assert_eq!(
            submit(&self.cluster, place, &["-J", place, "-c", "1", "-o", &output, "--wrap", &script]),
            id
        );
        id
    }

    /// The attempts that have signed, and how often each did.
    fn signed(&self, place: &str) -> BTreeMap<u32, usize> {
        let mut signed = BTreeMap::new();
        for (line, count) in evidence::ledger(&self.cluster) {
            if let Some((name, attempt)) = line.split_once(' ')
                && name == place
            {
                signed.insert(attempt.parse().unwrap(), count);
            }
        }
        signed
    }

    /// Each attempt's lines are there once and in order, the last one's all of them; in the file and in the log.
    fn check_lines(&self, place: &str, id: &str, last: u32) {
        let file = fs::read_to_string(self.cluster.work.join(format!("{place}.out"))).unwrap();
        let log = insist(&self.cluster, "jqueue", &["log", id]).expect(0);
        for (what, text) in [("the file", file.as_str()), ("the log", log.as_str())] {
            let mut lines: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
            for line in text.lines() {
                let Some((attempt, number)) = line.split_once(' ') else { continue };
                if let (Ok(attempt), Ok(number)) = (attempt.parse(), number.parse()) {
                    lines.entry(attempt).or_default().push(number);
                }
            }
            for (attempt, numbers) in &lines {
                let whole: Vec<usize> = (1..=numbers.len()).collect();
                assert_eq!(*numbers, whole, "{place}: attempt {attempt} in {what}: {text}");
            }
            assert_eq!(lines.get(&last).map(Vec::len), Some(LINES), "{place}: {what}: {text}");
        }
    }
}

/// Whoever of the two daemons dies, and wherever: the job starts once, and ends as it ends.
fn dies_at(places: &[&str]) {
    let mortal = Mortal::start();
    for place in places {
        let id = mortal.run_into(place);
        assert_eq!(mortal.signed(place), BTreeMap::from([(1, 1)]), "{place}");
        mortal.check_lines(place, &id, 1);
    }
}

#[test]
fn the_controller_dies_at_each_step() {
    dies_at(&CONTROLLER);
}

#[test]
fn the_node_daemon_dies_at_each_step() {
    dies_at(&NODE);
}

/// An attempt whose supervisor dies ends with that, and the job runs again: no attempt twice, none beside another.
#[test]
fn a_supervisor_dies_at_each_step() {
    let mortal = Mortal::start();
    for place in SUPERVISOR {
        let id = mortal.run_into(place);
        let signed = mortal.signed(place);
        assert!(signed.values().all(|count| *count == 1), "{place}: {signed:?}");
        let last = signed.keys().next_back().copied().unwrap_or_default();
        // Before the intent nothing has begun, and after the end's record nothing is lost; otherwise there is a second.
        let wanted = match place {
            "supervisor.before-intent" | "supervisor.end-recorded" => 1,
            _ => 2,
        };
        assert_eq!(last, wanted, "{place}: {signed:?}");
        mortal.check_lines(place, &id, last);
    }
    mortal.cluster.wait_until("nothing of the jobs to be left", || {
        !mortal.cluster.processes().iter().any(|process| process.contains("JSCHED_ATTEMPT"))
    });
}

/// Nobody dies by a file in a release: the code is compiled with debug assertions only, and releases have none.
/// Of a large submission in the middle of which the controller dies one whole is there in the end, under its key, and what
/// had come of it before never starts.
#[test]
fn a_large_submission_is_there_once() {
    let mortal = Mortal::start();
    let place = "controller.half-submission";
    fs::write(mortal.folder.path().join("armed").join(place), "").unwrap();
    let file = mortal.cluster.work.join("jobs");
    let line = "{\"hold\":true,\"output\":\"none\",\"command\":[\"/bin/true\"]}\n";
    fs::write(&file, line.repeat(LARGE_JOBS)).unwrap();
    let ids = insist(&mortal.cluster, "jsubmit", &["--key", "large", "--jobs", file.to_str().unwrap()]);
    assert!(mortal.fired(place).exists(), "nobody died");
    let ids: Vec<&str> = ids.stdout.lines().collect();
    assert_eq!(ids.len(), LARGE_JOBS);
    let listed = mortal.cluster.run("jqueue", ["-t", "all", "--json"]).json();
    let (mut open, mut taken_back) = (Vec::new(), 0);
    for job in listed["data"].as_array().unwrap() {
        match job["state"].as_str() {
            Some("held") => open.push(job["id"].as_str().unwrap().to_owned()),
            Some("cancelled") => taken_back += 1,
            other => panic!("{other:?}: {job:#}"),
        }
    }
    open.sort_by_key(|id| id.parse::<u64>().unwrap());
    assert_eq!(open, ids, "what is there is not what was said");
    assert!(taken_back > 0, "it died before anything was there");
}

#[test]
fn a_release_has_no_such_places() {
    let manifest = include_str!("../Cargo.toml");
    let release = manifest.split("[profile.release]").nth(1).expect("the profile stands in Cargo.toml");
    let release = release.split("\n[").next().unwrap();
    assert!(!release.contains("debug-assertions"), "{release}");
    let built = Path::new(env!("CARGO_BIN_EXE_jctld")).parent().unwrap();
    let has = |program: &Path| {
        let bytes = fs::read(program).ok()?;
        Some(bytes.windows(VARIABLE.len()).any(|window| window == VARIABLE.as_bytes()))
    };
    for name in ["jctld", "jworkerd"] {
        assert_eq!(has(&built.join(name)), Some(true), "the {name} of the tests has places");
        match has(&built.with_file_name("release").join(name)) {
            Some(found) => assert!(!found, "the {name} in target/release has places to die"),
            None => println!("skipped: there is no {name} in target/release to look into"),
        }
    }
}
