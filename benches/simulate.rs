//! How many jobs a second `jctld simulate` decides about, reading the trace excluded.
//!
//! `cargo bench --bench simulate`; with `JSCHED_TRACES=DIR`, every trace in that folder, else a workload made up
//! here. The best of three runs each. Prints; asserts nothing.

use std::path::PathBuf;
use std::time::Instant;

use jsched::sched::policy::POLICIES;
use jsched::sim::{Job, Trace, simulate, trace};

/// Runs of each policy; the fastest counts.
const RUNS: usize = 3;

fn main() {
    let folder = std::env::var_os("JSCHED_TRACES").map(PathBuf::from);
    let files = folder.into_iter().flat_map(std::fs::read_dir).flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.to_string_lossy().contains(".swf")).collect();
    files.sort();
    for file in &files {
        match trace::read(file, None) {
            Ok(trace) => show(&file.to_string_lossy(), &trace),
            Err(error) => println!("{}: {error}", file.display()),
        }
    }
    if files.is_empty() {
        show("100,000 jobs made up, 128 processors", &made_up());
    }
}

fn show(name: &str, trace: &Trace) {
    println!("{name}: {} jobs", trace.jobs.len());
    for policy in POLICIES {
        let run = || {
            let begin = Instant::now();
            std::hint::black_box(simulate(&trace.jobs, trace.processors, policy));
            begin.elapsed().as_secs_f64()
        };
        let best = (0..RUNS).map(|_| run()).fold(f64::INFINITY, f64::min);
        println!("  {:<20} {:>12.0} jobs/s", policy.name, trace.jobs.len() as f64 / best);
    }
}

/// Users who submit in bursts, at about 80 % of what the machine can do.
fn made_up() -> Trace {
    const PROCESSORS: u32 = 128;
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |bound: i64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice % bound.unsigned_abs()).cast_signed()
    };
    let (mut jobs, mut now) = (Vec::new(), 0);
    while jobs.len() < 100_000 {
        let (user, burst) = (below(200), 1 + below(12));
        let request = [600, 3_600, 14_400, 64_800][below(4) as usize];
        let processors = 1 << below(6);
        for _ in 0..burst {
            let run = (1 + below(request)).min(1 + below(request));
            now += below(60);
            jobs.push(Job { id: jobs.len() as i64, submit: now, run, request, user, processors });
        }
        now += below(2 * burst * i64::from(processors) * request / 3 / i64::from(PROCESSORS) * 5 / 4 + 1);
    }
    Trace { jobs, processors: PROCESSORS, ..Trace::default() }
}
