//! The measurements. Each starts whole processes as a user would, and leaves the queue as the next one expects it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::dev::Dev;
use crate::failure::Failure;
use crate::{interrupt, program};

/// Runs of a command that takes milliseconds; the first few warm caches and are not counted.
pub(super) const RUNS: usize = 200;

/// Runs that are thrown away.
const WARM_UP: usize = 5;

/// How long a daemon is watched while it idles.
const IDLE: Duration = Duration::from_secs(10);

/// Memory pages in `/proc/PID/statm`, on both of our targets in their usual configuration.
const PAGE_BYTES: f64 = 4_096.0;

pub fn idle_controller_memory(dev: &Dev) -> Result<f64, Failure> {
    Ok(memory_bytes(dev, "jctld")? / (1 << 20) as f64)
}

pub fn idle_node_memory(dev: &Dev) -> Result<f64, Failure> {
    Ok(memory_bytes(dev, "n1")? / (1 << 20) as f64)
}

pub fn idle_controller_cpu(dev: &Dev) -> Result<f64, Failure> {
    cpu_percent(dev, "jctld")
}

pub fn idle_node_cpu(dev: &Dev) -> Result<f64, Failure> {
    cpu_percent(dev, "n1")
}

/// A held job, so that nothing but the submission is measured.
pub fn submit(dev: &Dev) -> Result<f64, Failure> {
    let time = median_ms(RUNS, || jsubmit(dev, &["--hold", "--output=none", "--", "/bin/true"]))?;
    cancel_all(dev)?;
    Ok(time)
}

pub fn submit_and_wait(dev: &Dev) -> Result<f64, Failure> {
    median_ms(RUNS, || jsubmit(dev, &["--wait", "--output=none", "--", "/bin/true"]))
}

/// From the end of the `jsubmit` process to the clock that the job reads first, which holds the start of `date`, too.
pub fn first_instruction(dev: &Dev) -> Result<f64, Failure> {
    let file = dev.root().join("started");
    let mut times = Vec::new();
    for _ in 0..RUNS / 4 {
        let output = format!("--output={}", file.display());
        let id = jsubmit_id(dev, &[&output, "--", "/bin/date", "+%s.%N"])?;
        let acknowledged = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        dev.run(dev.root(), &["jqueue", "wait", &id])?;
        let text = fs::read_to_string(&file).map_err(Failure::file(&file))?;
        let started: f64 =
            text.trim().parse().map_err(|_| Failure::Wrong(format!("`date` of job {id} said {text:?}")))?;
        times.push((started - acknowledged) * 1_000.0);
    }
    Ok(median(times))
}

/// The same while jobs are submitted one after another as fast as the processes come.
pub fn first_instruction_back_to_back(dev: &Dev) -> Result<f64, Failure> {
    let folder = dev.root().join("starts");
    fs::create_dir_all(&folder).map_err(Failure::file(&folder))?;
    let output = format!("--output={}/%j", folder.display());
    let mut acknowledged = Vec::new();
    for _ in 0..RUNS {
        let id = jsubmit_id(dev, &[&output, "--", "/bin/date", "+%s.%N"])?;
        acknowledged
            .push((id, SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()));
    }
    let mut times = Vec::new();
    for (id, acknowledged) in acknowledged {
        dev.run(dev.root(), &["jqueue", "wait", &id])?;
        let file = folder.join(&id);
        let text = fs::read_to_string(&file).map_err(Failure::file(&file))?;
        let started: f64 =
            text.trim().parse().map_err(|_| Failure::Wrong(format!("`date` of job {id} said {text:?}")))?;
        times.push((started - acknowledged) * 1_000.0);
    }
    Ok(median(times))
}

/// From the clock that the job reads last to the exit of the `jqueue wait` that waited for it, by push.
pub fn end_to_waiter(dev: &Dev) -> Result<f64, Failure> {
    let file = dev.root().join("ending");
    let mut times = Vec::new();
    for _ in 0..RUNS / 4 {
        let output = format!("--output={}", file.display());
        let id = jsubmit_id(dev, &[&output, "--wrap", "sleep 0.2; exec date +%s.%N"])?;
        dev.run(dev.root(), &["jqueue", "wait", &id])?;
        let told = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let text = fs::read_to_string(&file).map_err(Failure::file(&file))?;
        let ending: f64 =
            text.trim().parse().map_err(|_| Failure::Wrong(format!("`date` of job {id} said {text:?}")))?;
        times.push((told - ending) * 1_000.0);
    }
    Ok(median(times))
}

pub fn array_without_output(dev: &Dev) -> Result<f64, Failure> {
    array_rate(dev, 10_000, "none".to_owned())
}

pub fn array_with_files(dev: &Dev) -> Result<f64, Failure> {
    let folder = dev.root().join("outputs");
    fs::create_dir_all(&folder).map_err(Failure::file(&folder))?;
    let rate = array_rate(dev, 5_000, format!("{}/%a", folder.display()))?;
    fs::remove_dir_all(&folder).map_err(Failure::file(&folder))?;
    Ok(rate)
}

pub fn million(dev: &Dev) -> Result<f64, Failure> {
    let time =
        median_ms(5, || jsubmit(dev, &["--hold", "--array=0-999999", "--output=none", "--", "/bin/true"]))?;
    cancel_all(dev)?;
    Ok(time)
}

/// The growth of the controller by a held array of a million, spread over its tasks.
pub fn pending_task_memory(dev: &Dev) -> Result<f64, Failure> {
    let before = memory_bytes(dev, "jctld")?;
    jsubmit(dev, &["--hold", "--array=0-999999", "--output=none", "--", "/bin/true"])?;
    let bytes = (memory_bytes(dev, "jctld")? - before) / 1e6;
    cancel_all(dev)?;
    Ok(bytes)
}

pub fn submissions_of_one(dev: &Dev) -> Result<f64, Failure> {
    let rate = rate_of_calls(dev, 1, 50_000)?;
    cancel_all(dev)?;
    Ok(rate)
}

pub fn submissions_of_16(dev: &Dev) -> Result<f64, Failure> {
    let rate = rate_of_calls(dev, 16, 2_000)?;
    cancel_all(dev)?;
    Ok(rate)
}

/// Tasks a second of an array that is waited for; the submission is part of it.
fn array_rate(dev: &Dev, tasks: u32, output: String) -> Result<f64, Failure> {
    let (array, output) = (format!("--array=1-{tasks}"), format!("--output={output}"));
    let took = jsubmit(dev, &["--wait", &array, &output, "--", "/bin/true"])?;
    Ok(f64::from(tasks) / took.as_secs_f64())
}

/// A held job, as a line of a file of jobs.
const HELD_JOB: &str = "{\"hold\":true,\"output\":\"none\",\"command\":[\"/bin/true\"]}\n";

/// Jobs a second when so many clients submit so many held jobs each, in one call each.
pub(super) fn rate_of_calls(dev: &Dev, clients: usize, jobs: usize) -> Result<f64, Failure> {
    let file = dev.root().join("jobs.jsonl");
    fs::write(&file, HELD_JOB.repeat(jobs)).map_err(Failure::file(&file))?;
    let name = file.to_string_lossy();
    let start = Instant::now();
    let mut children = Vec::new();
    for _ in 0..clients {
        let mut command = command(dev, &["jsubmit", "--parsable", "--jobs", &name]);
        let line = program::line(&command);
        let child = command.spawn().map_err(|source| Failure::Start { command: line.clone(), source })?;
        children.push((line, child));
    }
    for (line, mut child) in children {
        let status = child.wait().map_err(|source| Failure::Start { command: line.clone(), source })?;
        ended(&line, status)?;
    }
    Ok((clients * jobs) as f64 / start.elapsed().as_secs_f64())
}

pub(super) fn cancel_all(dev: &Dev) -> Result<(), Failure> {
    dev.run(dev.root(), &["jcancel", "--me"]).map(drop)
}

fn jsubmit(dev: &Dev, arguments: &[&str]) -> Result<Duration, Failure> {
    time(command(dev, &[&["jsubmit", "--parsable"], arguments].concat()))
}

pub(super) fn jsubmit_id(dev: &Dev, arguments: &[&str]) -> Result<String, Failure> {
    Ok(dev.run(dev.root(), &[&["jsubmit", "--parsable"], arguments].concat())?.stdout)
}

/// A command whose output goes to files, so that no pipe and no thread is measured with it.
pub(super) fn command(dev: &Dev, words: &[&str]) -> Command {
    let (name, arguments) = words.split_first().unwrap_or((&"", &[]));
    let mut command = dev.command(name);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The time of a whole process that must end with 0.
pub(super) fn time(mut command: Command) -> Result<Duration, Failure> {
    let line = program::line(&command);
    let start = Instant::now();
    let status = command.status().map_err(|source| Failure::Start { command: line.clone(), source })?;
    let took = start.elapsed();
    ended(&line, status)?;
    Ok(took)
}

fn ended(line: &str, status: std::process::ExitStatus) -> Result<(), Failure> {
    match program::code(status) {
        0 => Ok(()),
        code => Err(Failure::Ended { command: line.to_owned(), code, said: String::new() }),
    }
}

pub(super) fn median_ms(
    runs: usize,
    mut run: impl FnMut() -> Result<Duration, Failure>,
) -> Result<f64, Failure> {
    for _ in 0..WARM_UP.min(runs / 2) {
        run()?;
    }
    let mut times = Vec::new();
    for _ in 0..runs {
        interrupt::check()?;
        times.push(run()?.as_secs_f64() * 1_000.0);
    }
    Ok(median(times))
}

/// The middle one; of an even number the upper of the two.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(super) fn pid(dev: &Dev, daemon: &str) -> Result<i32, Failure> {
    let found = dev.pids().into_iter().find(|(name, _)| name == daemon).map(|(_, pid)| pid);
    found.ok_or_else(|| Failure::Wrong(format!("`pids` has no {daemon}")))
}

/// What a daemon has in memory (resident).
pub(super) fn memory_bytes(dev: &Dev, daemon: &str) -> Result<f64, Failure> {
    let path = PathBuf::from(format!("/proc/{}/statm", pid(dev, daemon)?));
    let text = fs::read_to_string(&path).map_err(Failure::file(&path))?;
    let pages = text.split_whitespace().nth(1).and_then(|field| field.parse::<f64>().ok());
    pages
        .map(|pages| pages * PAGE_BYTES)
        .ok_or_else(|| Failure::Wrong(format!("{}: {text:?}", path.display())))
}

/// The share of one cpu that a daemon takes while nothing happens.
fn cpu_percent(dev: &Dev, daemon: &str) -> Result<f64, Failure> {
    let before = cpu_seconds(dev, daemon)?;
    let start = Instant::now();
    while start.elapsed() < IDLE {
        interrupt::check()?;
        thread::sleep(Duration::from_millis(100));
    }
    Ok((cpu_seconds(dev, daemon)? - before) / start.elapsed().as_secs_f64() * 100.0)
}

/// What the threads of a daemon have used. `stat` would count whole ticks of the clock, which an idle daemon hardly
/// ever meets.
pub(super) fn cpu_seconds(dev: &Dev, daemon: &str) -> Result<f64, Failure> {
    let tasks = PathBuf::from(format!("/proc/{}/task", pid(dev, daemon)?));
    let mut nanoseconds = 0.0;
    for task in fs::read_dir(&tasks).map_err(Failure::file(&tasks))?.flatten() {
        // A thread may end meanwhile.
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        nanoseconds +=
            text.split_whitespace().next().and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    }
    Ok(nanoseconds / 1e9)
}
