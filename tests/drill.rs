//! A drill: real daemons under whatever can happen to processes and links, for as long as wanted, and a checker that looks at
//! what the jobs themselves have written. By hand: `cargo xtask drill --minutes M --seed S`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod evidence;
mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use evidence::{Dice, ended_job, insist, jobs, ledger, revived, word};
use harness::Cluster;
use harness::relay::Relay;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Nodes; the last one is behind a relay.
const NODES: usize = 3;
/// Clients that submit.
const CLIENTS: usize = 3;
/// So many lines each attempt writes, with a pause before each.
const LINES: usize = 10;

/// An acknowledged job.
#[derive(Clone)]
struct Told {
    tag: String,
    id: String,
    exit: i64,
    may_restart: bool,
    cancelled: bool,
}

/// Everything that is counted.
type Table = BTreeMap<&'static str, u64>;

fn script(tag: &str, exit: i64) -> String {
    format!(
        "echo \"{tag} $JSCHED_ATTEMPT\" >> ledger; i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); \
         echo \"$JSCHED_ATTEMPT $i\"; sleep 0.1; done; exit {exit}"
    )
}

/// Submits, and sometimes cancels, until it is over.
fn client(cluster: &Cluster, number: usize, dice: &mut Dice, told: &Mutex<Vec<Told>>, over: &AtomicBool) {
    let ask = |program: &str, args: &[&str]| {
        while !over.load(Ordering::Relaxed) {
            let output = cluster.run(program, args);
            if !matches!(output.code, 69 | 75) {
                return Some(output);
            }
        }
        None
    };
    for count in 0.. {
        dice.pause(600);
        let (tag, exit) = (format!("c{number}n{count}"), dice.below(3).cast_signed());
        let may_restart = dice.below(2) == 0;
        let policy = if may_restart { "--requeue" } else { "--no-requeue" };
        let (out, wrap) = (format!("{tag}.out"), script(&tag, exit));
        let args = ["--parsable", "--quiet", "--key", &tag, "-J", &tag, policy, "-o", &out, "--wrap", &wrap];
        let Some(output) = ask("jsubmit", &args) else { return };
        let id = output.expect(0);
        let cancelled = dice.below(6) == 0;
        if cancelled {
            dice.pause(1_500);
            let Some(output) = ask("jcancel", &[&id]) else { return };
            assert!(matches!(output.code, 0 | 1), "{output:?}");
        }
        told.lock().unwrap().push(Told { tag, id, exit, may_restart, cancelled });
    }
}

/// One thing that happens, and is over when this returns.
fn happen(cluster: &Cluster, relay: &Relay, dice: &mut Dice, table: &mut Table) {
    let node = format!("n{}", 1 + dice.below(NODES as u64));
    let whom = if dice.below(2) == 0 { "jctld".to_owned() } else { node };
    let what = match dice.below(8) {
        0 | 1 => {
            let old = cluster.kill9(&whom);
            revived(cluster, &whom, old);
            if whom == "jctld" { "controller killed" } else { "node daemon killed" }
        }
        2 => {
            let supervisors: Vec<i32> = cluster
                .processes()
                .iter()
                .filter(|line| line.contains("jworkerd supervise"))
                .filter_map(|line| line.split(' ').next()?.parse().ok())
                .collect();
            if supervisors.is_empty() {
                return;
            }
            let pid = supervisors[dice.below(supervisors.len() as u64) as usize];
            // It may have gone by itself.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            "supervisor killed"
        }
        3 | 4 => {
            let pid = cluster.pid(&whom).unwrap();
            kill(pid, Signal::SIGSTOP).unwrap();
            dice.pause(6_000);
            kill(pid, Signal::SIGCONT).unwrap();
            if whom == "jctld" { "controller stopped" } else { "node daemon stopped" }
        }
        5 => {
            relay.cut_answers(true);
            dice.pause(6_000);
            relay.cut_answers(false);
            "cut towards the node"
        }
        6 => {
            relay.cut_questions(true);
            dice.pause(6_000);
            relay.cut_questions(false);
            "cut towards the controller"
        }
        _ => {
            relay.drop_one_in(4);
            relay.delay(Duration::from_millis(3));
            relay.change_ports();
            dice.pause(3_000);
            relay.drop_one_in(0);
            relay.delay(Duration::ZERO);
            "slow and lossy"
        }
    };
    *table.entry(what).or_default() += 1;
}

/// What holds at any time: each acknowledged job is there under its number, and no attempt has signed twice.
fn check_now(cluster: &Cluster, told: &[Told]) {
    let there: BTreeMap<String, String> =
        jobs(cluster).iter().map(|job| (word(job, "name").to_owned(), word(job, "id").to_owned())).collect();
    for one in told {
        assert_eq!(there.get(&one.tag), Some(&one.id), "{} was acknowledged", one.tag);
    }
    let twice: Vec<_> = ledger(cluster).into_iter().filter(|(_, times)| *times != 1).collect();
    assert!(twice.is_empty(), "these attempts started more than once: {twice:?}");
}

/// What holds in the end: each job has its own end, or one that what happened excuses, and its output is whole.
fn check_end(cluster: &Cluster, told: &[Told], table: &mut Table) {
    let signed = ledger(cluster);
    for one in told {
        let job = ended_job(cluster, &one.id);
        let (state, code) = (word(&job, "state"), job["exit_code"].as_i64());
        let own = if one.exit == 0 { "completed" } else { "failed" };
        let attempts = signed.keys().filter(|line| line.starts_with(&format!("{} ", one.tag))).count();
        assert!(one.may_restart || attempts <= 1, "{} may not start again, and did: {job:#}", one.tag);
        match state {
            "cancelled" if one.cancelled => *table.entry("jobs cancelled").or_default() += 1,
            // Its supervisor was killed: it may not start again, or was asked not to.
            "node_fail" if !one.may_restart || one.cancelled => {
                *table.entry("jobs lost with their supervisor").or_default() += 1
            }
            state if state == own && code == Some(one.exit) => {
                *table
                    .entry(if attempts > 1 { "jobs that ran again" } else { "jobs that ran once" })
                    .or_default() += 1;
                check_output(cluster, one, job["attempt"].as_u64().unwrap());
            }
            _ => panic!("{} has ended as {state} with {code:?}: {job:#}", one.tag),
        }
    }
}

fn check_output(cluster: &Cluster, one: &Told, last: u64) {
    let text = fs::read_to_string(cluster.work.join(format!("{}.out", one.tag))).unwrap_or_default();
    let prefix = format!("{last} ");
    let numbers: Vec<usize> =
        text.lines().filter_map(|line| line.strip_prefix(&prefix)?.parse().ok()).collect();
    assert_eq!(numbers, (1..=LINES).collect::<Vec<_>>(), "the output of {}: {text}", one.tag);
}

fn behind_a_relay(cluster: &Cluster) -> Relay {
    let settings = fs::read_to_string(cluster.dir.join("controller/jctld.toml")).unwrap();
    let listen = settings.lines().find_map(|line| line.strip_prefix("listen = ")).unwrap().trim_matches('"');
    let relay = Relay::to(listen.parse().unwrap());
    let name = format!("n{NODES}");
    let file = cluster.dir.join(&name).join("jworkerd.toml");
    replace(&file, listen, &relay.address.to_string());
    let old = cluster.kill9(&name);
    revived(cluster, &name, old);
    relay
}

fn replace(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{} has no {from}: {text}", file.display());
    fs::write(file, text.replace(from, to)).unwrap();
}

#[test]
#[ignore = "takes minutes"]
fn drill() {
    let minutes: f64 = std::env::var("JSCHED_DRILL_MINUTES").map_or(1.0, |text| text.parse().unwrap());
    let until = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let mut dice = Dice::new("drill");
    let cluster =
        Cluster::builder().nodes(NODES).cpus(4).set("node_timeout=3s").set("export_bytes=300000").start();
    let relay = behind_a_relay(&cluster);
    let (told, over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let mut table = Table::new();
    let mut step = 0;
    let outcome = thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (mut dice, cluster, told, over) = (dice.fork(), &cluster, &told, &over);
            scope.spawn(move || client(cluster, number, &mut dice, told, over));
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            while Instant::now() < until {
                step += 1;
                dice.pause(1_000);
                happen(&cluster, &relay, &mut dice, &mut table);
                let known = told.lock().unwrap().clone();
                check_now(&cluster, &known);
            }
        }));
        over.store(true, Ordering::Relaxed);
        outcome
    });
    let told = told.into_inner().unwrap();
    let outcome = outcome.and_then(|()| {
        catch_unwind(AssertUnwindSafe(|| {
            for node in 1..=NODES {
                insist(&cluster, "jnode", &["resume", &format!("n{node}")]);
            }
            check_end(&cluster, &told, &mut table);
            check_now(&cluster, &told);
        }))
    });
    table.insert("steps", step);
    table.insert("jobs acknowledged", told.len() as u64);
    table.insert("attempts that began", ledger(&cluster).len() as u64);
    for (what, count) in &table {
        println!("{count:>10}  {what}");
    }
    assert!(outcome.is_ok(), "the drill fails at step {step}; the seed is printed above");
}
