//! A cancel against starts, requeues and dying daemons: once it was acknowledged and nothing asked for more, the job
//! is dead, in one final state that no restart changes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod evidence;
mod harness;

use std::thread;

use evidence::{Dice, ended_job, insist, job, jobs, ledger, pid_in, revived, submit, word};
use harness::{Cluster, poll};
use serde_json::Value;

/// Signs, and then runs for ever.
const ENDLESS: &str = r#"echo "$JSCHED_JOB_NAME $JSCHED_ATTEMPT" >> ledger; sleep 1001; true"#;
/// Longer than a test waits: nothing here may need KILL.
const GRACE: &str = "kill_grace=10m";
/// Jobs of one race.
const ROUNDS: usize = 8;

/// Cancels at random moments around the start.
#[test]
fn a_cancel_races_the_start() {
    let mut dice = Dice::new("start");
    let cluster = Cluster::builder().nodes(2).cpus(4).set(GRACE).start();
    thread::scope(|scope| {
        for client in 0..3 {
            let (cluster, mut own) = (&cluster, dice.fork());
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let tag = format!("c{client}r{round}");
                    let id = submit(cluster, &tag, &["-J", &tag, "-o", "none", "--wrap", ENDLESS]);
                    own.pause(120);
                    act(cluster, "jcancel", &[&id]);
                }
            });
        }
    });
    check_all_cancelled(&cluster);
}

/// Cancels and requeues at once, while controller and node daemon die.
#[test]
fn a_cancel_races_requeue_and_restart() {
    let mut dice = Dice::new("requeue");
    let cluster = Cluster::builder().cpus(8).set(GRACE).start();
    let ids: Vec<String> = (0..ROUNDS)
        .map(|round| {
            let tag = format!("r{round}");
            submit(&cluster, &tag, &["-J", &tag, "-o", "none", "--wrap", ENDLESS])
        })
        .collect();
    for victims in [&["jctld"][..], &["n1"], &["n1", "jctld"]] {
        thread::scope(|scope| {
            let cluster = &cluster;
            for half in ids.chunks(ROUNDS / 2) {
                for (program, verb) in [("jqueue", &["requeue"][..]), ("jcancel", &[])] {
                    let mut own = dice.fork();
                    scope.spawn(move || {
                        for id in half {
                            own.pause(60);
                            let words: Vec<&str> = verb.iter().copied().chain([id.as_str()]).collect();
                            act(cluster, program, &words);
                        }
                    });
                }
            }
            for victim in victims {
                dice.pause(150);
                let old = cluster.kill9(victim);
                revived(cluster, victim, old);
            }
        });
    }
    // Whatever the races left: this is the last word.
    for id in &ids {
        act(&cluster, "jcancel", &[id]);
    }
    check_all_cancelled(&cluster);
}

/// A process that is in no table when the others are asked to go is asked once its parent is gone.
#[test]
fn what_is_forked_while_a_job_dies_dies_with_it() {
    let cluster = Cluster::builder().set(GRACE).start();
    let script = "trap 'sleep 1001 & exit 0' TERM; echo $$ > pid; while :; do sleep 0.05; done";
    let id = submit(&cluster, "forks", &["-o", "none", "--wrap", script]);
    pid_in(&cluster, "pid");
    act(&cluster, "jcancel", &[&id]);
    let ended = ended_job(&cluster, &id);
    assert_eq!(word(&ended, "state"), "cancelled", "{ended}");
    assert!(!cluster.processes().iter().any(|process| process.contains("sleep 1001")));
}

/// Acts until it is acknowledged, under one key.
fn act(cluster: &Cluster, program: &str, args: &[&str]) {
    let key = format!("{program} {args:?} {:?} {}", thread::current().id(), getrandom::u64().unwrap());
    let key = blake3::hash(key.as_bytes()).to_hex().to_string();
    poll("an act to be acknowledged", || {
        let output = cluster.run(program, args.iter().copied().chain(["--key", &key]));
        assert!([0, 69, 75].contains(&output.code), "{program} {args:?}: {output:?}");
        output.code == 0
    });
}

/// Every job is dead and Cancelled, no attempt was started twice, and a restart finds the same ends.
fn check_all_cancelled(cluster: &Cluster) {
    for one in jobs(cluster) {
        let id = word(&one, "id");
        ended_job(cluster, id);
        insist(cluster, "jqueue", &["wait", id]).expect(130);
    }
    cluster.wait_until("all processes of the jobs to be gone", || {
        !cluster.processes().iter().any(|process| process.contains("sleep 1001"))
    });
    let ends = ends(cluster);
    assert!(ends.iter().all(|(_, state, ..)| state == "cancelled"), "{ends:?}");
    let twice: Vec<_> = ledger(cluster).into_iter().filter(|(_, times)| *times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let old = ["jctld", "n1"].map(|name| (name, cluster.kill9(name)));
    for (name, old) in old {
        revived(cluster, name, old);
    }
    let nodes_are_back = || cluster.run("jnode", ["--no-header"]).stdout.matches("idle").count() > 0;
    cluster.wait_until("the node to be back", nodes_are_back);
    assert_eq!(self::ends(cluster), ends);
}

/// Of each job: id, state, attempt, when it ended.
fn ends(cluster: &Cluster) -> Vec<(String, String, u64, String)> {
    let end = |one: &Value| {
        let id = word(one, "id");
        let whole = job(cluster, id);
        let text = |key| word(&whole, key).to_owned();
        (id.to_owned(), text("state"), whole["attempt"].as_u64().unwrap(), text("end_time"))
    };
    let mut ends: Vec<_> = jobs(cluster).iter().map(end).collect();
    ends.sort();
    ends
}
