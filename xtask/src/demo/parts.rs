//! The four folders of `examples/`: how each is submitted, what it needs meanwhile, and what must come of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::queue::{Counts, Queue};
use super::{in_part, say};
use crate::dev::Dev;
use crate::failure::Failure;
use crate::{program, workspace};

/// The sensors that fail as long as their calibration is missing.
const RAW_SENSORS: [u32; 3] = [3, 7, 11];

/// All sensors.
const SENSORS: u32 = 12;

/// The steps in `dag/steps.jsonl`.
const STEPS: usize = 12;

/// The jobs of the demo and what has been done with them.
pub struct Workload {
    folder: PathBuf,
    /// The arrays and the jobs behind them, all of which must complete.
    pi: [String; 2],
    words: [String; 2],
    dag: Vec<String>,
    /// Must fail with code 3.
    validate: String,
    /// Must be ended by its time limit.
    primes: String,
    /// To be cancelled once it runs.
    watch: String,
    cancelled: bool,
    /// To be run again where it failed.
    sensors: String,
    rerun: bool,
}

impl Workload {
    /// Submits everything in a copy of `examples/`.
    pub fn submit(dev: &Dev, folder: &Path) -> Result<Workload, Failure> {
        let parts = ["pi", "words", "fail", "dag"].map(|part| folder.join(part));
        let [pi, words, fail, dag] = &parts;
        list_texts(words).map_err(|failure| in_part(words, failure))?;
        let workload = Workload {
            folder: folder.to_path_buf(),
            validate: submit(dev, fail, &["validate.sh"])?,
            primes: submit(dev, fail, &["primes.sh"])?,
            watch: submit(dev, fail, &["watch.sh"])?,
            sensors: submit(dev, fail, &["sensors.sh"])?,
            pi: submit_with_reduction(dev, pi, "estimate.sh", "reduce.sh")?,
            words: submit_with_reduction(dev, words, "count.sh", "merge.sh")?,
            dag: submit_all(dev, dag, "steps.jsonl")?,
            cancelled: false,
            rerun: false,
        };
        if workload.dag.len() != STEPS {
            let wrong = format!("`jsubmit --jobs` printed {} ids for {STEPS} steps", workload.dag.len());
            return Err(in_part(dag, Failure::Wrong(wrong)));
        }
        Ok(workload)
    }

    /// How far all jobs together are.
    pub fn total(&self, queue: &Queue) -> Counts {
        self.ids().map(|id| queue.counts(id)).fold(Counts::default(), Counts::and)
    }

    /// Cancels what runs for ever, and runs again what failed, each as soon as it is time; says what was done.
    pub fn act(&mut self, dev: &Dev, queue: &Queue) -> Result<Vec<String>, Failure> {
        let fail = self.folder.join("fail");
        let run = |words: &[&str]| dev.run(&fail, words).map_err(|failure| in_part(&fail, failure));
        let mut done = Vec::new();
        if !self.cancelled && queue.state(&self.watch) == "running" {
            done.push(format!("jcancel {0}: {1}", self.watch, run(&["jcancel", &self.watch])?.stdout));
            self.cancelled = true;
        }
        let sensors = queue.counts(&self.sensors);
        if !self.rerun && sensors.is_over() {
            let failed = sensors.ended - sensors.completed;
            if failed != RAW_SENSORS.len() as u64 {
                let wrong =
                    format!("{failed} tasks of the array {} failed, not {}", self.sensors, RAW_SENSORS.len());
                return Err(in_part(&fail, Failure::Wrong(wrong)));
            }
            let calibration = fail.join("calibration.txt");
            fs::write(&calibration, "0.0625\n").map_err(Failure::file(&calibration))?;
            run(&["jqueue", "requeue", &self.sensors, "-t", "bad"])?;
            done.push(format!(
                "jqueue requeue {} -t bad: {failed} of {SENSORS} tasks run again",
                self.sensors
            ));
            self.rerun = true;
        }
        Ok(done)
    }

    /// Everything has ended for good, well or not.
    pub fn is_done(&self, queue: &Queue) -> bool {
        let cancelled = self.cancelled || queue.counts(&self.watch).is_over();
        cancelled && self.rerun && self.ids().all(|id| queue.counts(id).is_over())
    }

    /// Prints the results, and fails if one is not what it must be.
    pub fn show(&self, dev: &Dev) -> Result<(), Failure> {
        let queue = Queue::ask(dev)?;
        for (part, ids, title, result) in [
            ("pi", &self.pi[..], "pi, from an array of 100 tasks and a reduction behind it", "pi.txt"),
            ("words", &self.words[..], "words, from one task for each text of this repository", "words.txt"),
            ("dag", &self.dag[..], "dag, twelve steps that wait for each other", "data/report.txt"),
        ] {
            let folder = self.folder.join(part);
            say(title);
            show_result(&queue, &folder, ids, result).map_err(|failure| in_part(&folder, failure))?;
        }
        let fail = self.folder.join("fail");
        say("fail, and why each ended (jqueue show)");
        self.show_ends(dev, &fail)
            .and_then(|()| show_reruns(&fail))
            .map_err(|failure| in_part(&fail, failure))
    }

    fn show_ends(&self, dev: &Dev, fail: &Path) -> Result<(), Failure> {
        for (id, name, state, exit_code) in [
            (&self.validate, "validate", "failed", Some(3)),
            (&self.primes, "primes", "timeout", None),
            (&self.watch, "watch", "cancelled", None),
        ] {
            let job = dev.run(fail, &["jqueue", "show", id, "--json"])?.data()?;
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            let (found, cause) = (text(&job["state"]), text(&job["cause"]["text"]));
            println!("    {id:>4} {name:10} {found:10} {cause}");
            if found != state || exit_code.is_some_and(|code| job["exit_code"].as_i64() != Some(code)) {
                let expected = exit_code.map_or_else(String::new, |code| format!(" with code {code}"));
                let wrong =
                    format!("{name} ({id}) is {found}, code {}, not {state}{expected}", job["exit_code"]);
                return Err(Failure::Wrong(wrong));
            }
        }
        Ok(())
    }

    fn ids(&self) -> impl Iterator<Item = &String> {
        let single = [&self.validate, &self.primes, &self.watch, &self.sensors];
        self.pi.iter().chain(&self.words).chain(single).chain(&self.dag)
    }
}

/// Writes the list that the array of `words` runs over: the repository's own texts.
fn list_texts(words: &Path) -> Result<(), Failure> {
    let mut list = Command::new(words.join("list.sh"));
    list.arg(workspace::root());
    let texts = program::collect(list)?.expect(0)?.stdout + "\n";
    let path = words.join("texts.txt");
    fs::write(&path, texts).map_err(Failure::file(&path))
}

/// Submits and returns the id.
fn submit(dev: &Dev, folder: &Path, arguments: &[&str]) -> Result<String, Failure> {
    let words = [&["jsubmit", "--parsable"], arguments].concat();
    Ok(dev.run(folder, &words).map_err(|failure| in_part(folder, failure))?.stdout)
}

/// Submits an array and a job that starts when all of its tasks have completed.
fn submit_with_reduction(
    dev: &Dev,
    folder: &Path,
    array: &str,
    reduction: &str,
) -> Result<[String; 2], Failure> {
    let array = submit(dev, folder, &[array])?;
    let behind = submit(dev, folder, &[&format!("--dependency=afterok:{array}"), reduction])?;
    Ok([array, behind])
}

/// Submits a file of jobs in one call and returns their ids in order.
fn submit_all(dev: &Dev, folder: &Path, jobs: &str) -> Result<Vec<String>, Failure> {
    Ok(submit(dev, folder, &["--jobs", jobs])?.lines().map(str::to_owned).collect())
}

/// Prints a result file, indented, if the jobs behind it have completed.
fn show_result(queue: &Queue, folder: &Path, ids: &[String], result: &str) -> Result<(), Failure> {
    ids.iter().try_for_each(|id| must_be_completed(queue, id))?;
    let path = folder.join(result);
    let text = fs::read_to_string(&path).map_err(Failure::file(&path))?;
    text.lines().for_each(|line| println!("    {line}"));
    if text.trim().is_empty() { Err(Failure::Wrong(format!("{} is empty", path.display()))) } else { Ok(()) }
}

fn must_be_completed(queue: &Queue, id: &str) -> Result<(), Failure> {
    if queue.counts(id).is_completed() {
        return Ok(());
    }
    let Counts { tasks, completed, .. } = queue.counts(id);
    let state = queue.state(id);
    Err(Failure::Wrong(format!(
        "job {id} is {state}, {completed} of {tasks} completed; see `jqueue show {id}`"
    )))
}

/// Every sensor ran once, those that had failed once more, and none else.
fn show_reruns(fail: &Path) -> Result<(), Failure> {
    for sensor in 1..=SENSORS {
        let path = fail.join(format!("runs/sensor_{sensor}.log"));
        let runs = fs::read_to_string(&path).map_err(Failure::file(&path))?.lines().count();
        let expected = if RAW_SENSORS.contains(&sensor) { 2 } else { 1 };
        if runs != expected {
            return Err(Failure::Wrong(format!("sensor {sensor} ran {runs} times instead of {expected}")));
        }
    }
    println!(
        "    sensors: {SENSORS} tasks completed, {RAW_SENSORS:?} in their second attempt, no other ran twice"
    );
    Ok(())
}
