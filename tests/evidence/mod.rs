//! What the fault tests look at: a seed for their moments, the jobs' own ledger, and what the cluster says of jobs.
#![allow(dead_code, reason = "every test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::harness::{Cluster, poll};

/// Random numbers from a seed that is printed, and taken from `JSCHED_TEST_SEED` when that is set.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// A new seed, or the given one.
    pub fn new(what: &str) -> Dice {
        let given = std::env::var("JSCHED_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given
            .unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into());
        eprintln!("{what}: JSCHED_TEST_SEED={seed}");
        Dice(seed)
    }

    /// Dice of their own for a thread.
    pub fn fork(&mut self) -> Dice {
        Dice(self.next())
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Lets up to so many milliseconds pass: the moment of what comes next is random, and nothing rests on it.
    pub fn pause(&mut self, most_ms: u64) {
        std::thread::sleep(Duration::from_millis(self.below(most_ms)));
    }

    // SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The command by which a job writes its name and attempt into the ledger: one line, appended in one write.
pub const SIGN: &str = r#"echo "$JSCHED_JOB_NAME $JSCHED_ATTEMPT" >> ledger"#;

/// How often each line stands in the ledger.
pub fn ledger(cluster: &Cluster) -> BTreeMap<String, usize> {
    let text = fs::read_to_string(cluster.work.join("ledger")).unwrap_or_default();
    let mut lines = BTreeMap::new();
    for line in text.lines() {
        *lines.entry(line.to_owned()).or_default() += 1;
    }
    lines
}

/// One job in full; asked again while the controller is away.
pub fn job(cluster: &Cluster, id: &str) -> Value {
    answered(cluster, &["show", id])
}

/// All jobs of everybody, ended ones too.
pub fn jobs(cluster: &Cluster) -> Vec<Value> {
    answered(cluster, &["--all", "-t", "all"]).as_array().unwrap().clone()
}

fn answered(cluster: &Cluster, args: &[&str]) -> Value {
    let mut data = Value::Null;
    poll("jqueue to answer", || {
        let output = cluster.run("jqueue", args.iter().copied().chain(["--json"]));
        if output.code != 69 {
            output.expect(0);
            data = output.json()["data"].clone();
        }
        output.code == 0
    });
    data
}

/// The job once it has ended; its record follows the message if it does not.
pub fn ended_job(cluster: &Cluster, id: &str) -> Value {
    let mut last = Value::Null;
    let waited = panic::catch_unwind(AssertUnwindSafe(|| {
        poll("a job to end", || {
            last = job(cluster, id);
            !last["end_time"].is_null()
        });
    }));
    waited.unwrap_or_else(|_| panic!("job {id} does not end: {last:#}"));
    last
}

/// A word of a job.
pub fn word<'a>(job: &'a Value, key: &str) -> &'a str {
    job[key].as_str().unwrap_or_default()
}

/// Runs a command until the controller is there to answer it.
pub fn insist(cluster: &Cluster, program: &str, args: &[&str]) -> super::harness::Output {
    let mut last = None;
    poll("the controller to answer", || {
        let output = cluster.run(program, args.iter().copied());
        let answered = output.code != 69;
        last = Some(output);
        answered
    });
    last.unwrap()
}

/// Submits until it is acknowledged, always under the same key; gives the id.
pub fn submit(cluster: &Cluster, key: &str, args: &[&str]) -> String {
    let mut id = String::new();
    poll("an acknowledgement", || {
        let always = ["--parsable", "--quiet", "--key", key];
        let output = cluster.run("jsubmit", always.into_iter().chain(args.iter().copied()));
        match output.code {
            0 => id = output.stdout.trim().to_owned(),
            // Not reached, or the outcome is unknown: both allow to repeat.
            69 | 75 => {}
            other => panic!("jsubmit under the key {key} ended with {other}: {output:?}"),
        }
        output.code == 0
    });
    assert!(id.parse::<u64>().is_ok(), "`{id}` is no id");
    id
}

/// Returns when a daemon that was killed as process `old` runs again as another one.
pub fn revived(cluster: &Cluster, name: &str, old: Pid) {
    poll("a killed daemon to be started again", || cluster.pid(name).is_some_and(|pid| pid != old));
}

/// A process number that a job wrote into a file of the work folder.
pub fn pid_in(cluster: &Cluster, file: &str) -> Pid {
    let path = cluster.work.join(file);
    let mut pid = None;
    poll("a job to write its process number", || {
        let text = fs::read_to_string(&path).unwrap_or_default();
        pid = text.strip_suffix('\n').and_then(|text| text.trim().parse().ok());
        pid.is_some()
    });
    Pid::from_raw(pid.unwrap())
}

/// Whether a process is there, zombies counted.
pub fn exists(pid: Pid) -> bool {
    kill(pid, None).is_ok()
}

/// Sends a signal that must arrive.
pub fn send(pid: Pid, signal: Signal) {
    kill(pid, signal).unwrap_or_else(|error| panic!("cannot send {signal} to {pid}: {error}"));
}

/// The parent of a process.
pub fn parent(pid: Pid) -> Pid {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    Pid::from_raw(line.trim().parse().unwrap())
}

/// The words of a process's command line.
pub fn words_of(pid: Pid) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Makes an empty file: the gate that a job waits at.
pub fn open_gate(folder: &Path, name: &str) {
    fs::write(folder.join(name), "").unwrap();
}
