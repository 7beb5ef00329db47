//! The first thing that somebody sees of jsched: a cluster in one command, real work through it, its results back.

mod parts;
mod queue;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::dev::{self, Dev};
use crate::failure::Failure;
use crate::{interrupt, workspace};
use parts::Workload;
use queue::Queue;

/// How long the examples may take altogether. They need a fraction of it.
const WORK_PATIENCE: Duration = Duration::from_secs(180);

/// How often the progress is asked for.
const ASK: Duration = Duration::from_millis(200);

/// Builds, starts, submits, shows, and stops again unless the cluster shall be kept.
pub fn run(keep: bool) -> Result<(), Failure> {
    interrupt::watch()?;
    say("building the release binaries");
    let programs = workspace::build_release()?;
    say("starting a private cluster: a CA, a controller and two node daemons, all processes of your own");
    let dev = Dev::start(&programs, "jsched-demo-", &["--nodes", "2"])?;
    for (name, pid) in dev.pids() {
        println!("    {name} is process {pid}");
    }
    let result = work(&dev).map_err(|failure| dev.with_tails(failure));
    if keep && !matches!(result, Err(Failure::Interrupted)) {
        keep_up(dev, &programs);
        return result;
    }
    if result.is_ok() {
        go_on();
        say("stopping the cluster");
    }
    let stopped = dev.stop();
    if result.is_ok() && stopped.is_ok() {
        println!("    all daemons have ended, their folder is removed");
    }
    result.and(stopped)
}

/// Submits the examples, waits for their ends, and shows what came of them.
fn work(dev: &Dev) -> Result<(), Failure> {
    let folder = dev.root().join("examples");
    copy_folder(&workspace::root().join("examples"), &folder)?;
    say("submitting examples/: pi, words, fail and dag");
    let mut workload = Workload::submit(dev, &folder)?;
    wait_for_ends(dev, &mut workload)?;
    workload.show(dev)?;

    say("jqueue -t all");
    println!("{}", dev.run(&folder, &["jqueue", "-t", "all"])?.stdout);
    say("jnode");
    println!("{}", dev.run(&folder, &["jnode"])?.stdout);
    Ok(())
}

/// Shows the progress until every job has ended, and does meanwhile what the examples want done: a cancel, a rerun.
fn wait_for_ends(dev: &Dev, workload: &mut Workload) -> Result<(), Failure> {
    let template = "    {bar:40} {pos}/{len} ended, {msg} ({elapsed})";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(0).with_style(style);
    let deadline = Instant::now() + WORK_PATIENCE;
    loop {
        let queue = Queue::ask(dev)?;
        let total = workload.total(&queue);
        bar.set_length(total.tasks);
        bar.set_position(total.ended);
        bar.set_message(format!("{} running", total.running));
        for line in workload.act(dev, &queue)? {
            bar.suspend(|| println!("    {line}"));
        }
        if workload.is_done(&queue) {
            bar.finish();
            return Ok(());
        }
        if Instant::now() > deadline {
            bar.abandon();
            let listing = dev.run(dev.root(), &["jqueue", "-t", "all"])?.stdout;
            return Err(Failure::Wrong(format!(
                "the examples have not ended after {WORK_PATIENCE:?}:\n{listing}"
            )));
        }
        interrupt::check()?;
        thread::sleep(ASK);
    }
}

fn keep_up(dev: Dev, programs: &Path) {
    let config = dev.config.clone();
    let (root, pid) = dev.keep();
    say("the cluster stays up. To go on by hand:");
    println!("export PATH={}:$PATH", programs.display());
    println!("export JSCHED_CONFIG={}", config.display());
    println!("cd {}", root.join("examples/pi").display());
    println!("jsubmit estimate.sh; jqueue; jnode");
    println!("\nTo stop it: kill {pid}; afterwards: rm -r {}", root.display());
}

fn go_on() {
    say("to go on by hand");
    println!("    cargo xtask demo --keep    leaves this cluster up and says how to reach it");
    println!("    examples/README.md         the same work, command by command");
    println!("    man -l man/jsubmit.1       what a job can ask for");
}

fn say(what: &str) {
    println!("\n== {what}");
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to).map_err(Failure::file(to))?;
    for entry in fs::read_dir(from).map_err(Failure::file(from))? {
        let entry = entry.map_err(Failure::file(from))?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).map_err(Failure::file(&target))?;
        }
    }
    Ok(())
}

/// Says in which part something went wrong, and adds the ends of what that part's jobs have written.
fn in_part(folder: &Path, failure: Failure) -> Failure {
    if matches!(failure, Failure::Interrupted) {
        return failure;
    }
    let part = folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mut files = dev::files_below(folder, "out");
    files.extend(dev::files_below(folder, "err"));
    // Of a hundred tasks a few logs are enough, and those that were written last tell most.
    files.sort_by_key(|file| fs::metadata(file).and_then(|metadata| metadata.modified()).ok());
    let last = files.split_off(files.len().saturating_sub(3));
    Failure::Wrong(format!("examples/{part}: {failure}{}", dev::tails(&last)))
}
