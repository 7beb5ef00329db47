//! The measurements with a full queue, in the order in which they need each other.

use std::fmt::Write;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::measure::{RUNS, command, cpu_seconds, jsubmit_id, median_ms, memory_bytes, pid, time};
use crate::dev::Dev;
use crate::failure::Failure;
use crate::interrupt;

/// How long the controller may take to come back before the measurement gives up.
const RESTART_PATIENCE: Duration = Duration::from_secs(120);
/// How long a daemon may take to finish what it does behind its answers.
const SETTLE_PATIENCE: Duration = Duration::from_secs(120);
/// A daemon that used no cpu for so long has finished.
const SETTLED: Duration = Duration::from_millis(1_500);
/// Jobs of one call.
const CALL_JOBS: usize = 50_000;

/// 100,000 jobs that wait for their turn and ask for the same.
pub fn pending_job_memory(dev: &Dev) -> Result<f64, Failure> {
    memory_of_jobs(dev, |_| "{\"output\":\"none\",\"command\":[\"/bin/true\"]}".to_owned())
}

/// The same with a name and arguments of its own for each.
pub fn pending_different_job_memory(dev: &Dev) -> Result<f64, Failure> {
    memory_of_jobs(dev, different)
}

/// On a cluster of its own: what an allocator has kept of other work, a new job would hide in.
fn memory_of_jobs(dev: &Dev, line: fn(usize) -> String) -> Result<f64, Failure> {
    let dev = dev.another("jsched-bench-memory-", &["--nodes", "1"])?;
    dev.run(dev.root(), &["jnode", "drain", "n1", "--reason", "bench"])?;
    settle(&dev)?;
    let before = memory_bytes(&dev, "jctld")?;
    fill(&dev, line)?;
    let after = memory_bytes(&dev, "jctld")?;
    dev.stop()?;
    Ok((after - before) / (2 * CALL_JOBS) as f64)
}

/// 100,000 jobs that wait.
fn fill(dev: &Dev, line: fn(usize) -> String) -> Result<(), Failure> {
    for call in 0..2 {
        submit(dev, call, line)?;
    }
    settle(dev)
}

/// Leaves 100,000 jobs to the rows after this one.
pub fn list_one(dev: &Dev) -> Result<f64, Failure> {
    dev.run(dev.root(), &["jnode", "drain", "n1", "--reason", "bench"])?;
    fill(dev, different)?;
    let id = jsubmit_id(dev, &["--hold", "--output=none", "--", "/bin/true"])?;
    let time = median_ms(RUNS, || time(command(dev, &["jqueue", "-j", &id])))?;
    dev.run(dev.root(), &["jcancel", &id])?;
    Ok(time)
}

pub fn list_all(dev: &Dev) -> Result<f64, Failure> {
    median_ms(20, || time(command(dev, &["jqueue"])))
}

pub fn restart_with_100_000(dev: &Dev) -> Result<f64, Failure> {
    settle(dev)?;
    restart(dev)
}

pub fn restart_with_a_million(dev: &Dev) -> Result<f64, Failure> {
    for call in 2..20 {
        submit(dev, call, different)?;
    }
    settle(dev)?;
    restart(dev)
}

/// A job as no other, as a line of a file of jobs.
fn different(job: usize) -> String {
    format!("{{\"job-name\":\"step{job}\",\"output\":\"none\",\"command\":[\"/bin/echo\",\"{job}\"]}}")
}

/// One call with many jobs that wait.
fn submit(dev: &Dev, call: usize, line: fn(usize) -> String) -> Result<(), Failure> {
    let file = dev.root().join("pending.jsonl");
    let mut text = String::new();
    for job in call * CALL_JOBS..(call + 1) * CALL_JOBS {
        let _ = writeln!(text, "{}", line(job));
    }
    fs::write(&file, text).map_err(Failure::file(&file))?;
    time(command(dev, &["jsubmit", "--parsable", "--jobs", &file.to_string_lossy()])).map(drop)
}

/// Waits until the controller has written to its tables what it has answered already.
fn settle(dev: &Dev) -> Result<(), Failure> {
    let deadline = Instant::now() + SETTLE_PATIENCE;
    let mut quiet = Instant::now();
    let mut last = cpu_seconds(dev, "jctld")?;
    while quiet.elapsed() < SETTLED && Instant::now() < deadline {
        interrupt::check()?;
        thread::sleep(Duration::from_millis(100));
        let now = cpu_seconds(dev, "jctld")?;
        // A tick now and then is what an idle daemon takes.
        if now - last > 0.015 {
            quiet = Instant::now();
        }
        last = now;
    }
    Ok(())
}

/// From the new controller process in `pids` to its first answer, in seconds.
fn restart(dev: &Dev) -> Result<f64, Failure> {
    let old = pid(dev, "jctld")?;
    let killed = nix::sys::signal::kill(nix::unistd::Pid::from_raw(old), nix::sys::signal::Signal::SIGKILL);
    killed.map_err(|error| Failure::Wrong(format!("cannot kill jctld, process {old}: {error}")))?;
    let deadline = Instant::now() + RESTART_PATIENCE;
    let mut started = None;
    while Instant::now() < deadline {
        interrupt::check()?;
        if started.is_none() && pid(dev, "jctld").is_ok_and(|new| new != old) {
            started = Some(Instant::now());
        }
        if let Some(started) = started
            && time(command(dev, &["jnode"])).is_ok()
        {
            return Ok(started.elapsed().as_secs_f64());
        }
        thread::sleep(Duration::from_millis(2));
    }
    Err(Failure::Wrong(format!("jctld did not come back within {RESTART_PATIENCE:?}")))
}
