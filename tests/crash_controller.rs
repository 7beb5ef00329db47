//! kill -9 of the daemons at random moments under submitting clients: an acknowledged job is there once, under the id
//! that was told, and runs once.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod evidence;
mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use evidence::{Dice, SIGN, insist, job, jobs, ledger, revived, submit, word};
use harness::Cluster;

/// No client submits more than this, however long the killing takes.
const JOBS_PER_CLIENT_MAX: usize = 40;

#[test]
fn four_clients_and_a_dying_controller() {
    storm(4, 6, 5);
}

#[test]
fn sixteen_clients_and_a_dying_controller() {
    storm(16, 2, 3);
}

/// The tasks of an array go through slots that refill themselves, and through all of the daemons' deaths, once each.
#[test]
fn an_array_under_dying_daemons() {
    let mut dice = Dice::new("array");
    let cluster = Cluster::builder().nodes(2).cpus(4).start();
    let sign = format!("export JSCHED_JOB_NAME=t$SLURM_ARRAY_TASK_ID; sleep 0.1; {SIGN}");
    let id = submit(&cluster, "array", &["-a", "0-299", "-o", "none", "--wrap", &sign]);
    kill_daemons(&cluster, &mut dice, 4);
    insist(&cluster, "jqueue", &["wait", &id]).expect(0);
    let signed = ledger(&cluster);
    let twice: Vec<_> = signed.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let tasks: BTreeSet<&str> = signed.keys().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!((signed.len(), tasks.len()), (300, 300), "{signed:?}");
    let array = job(&cluster, &id);
    assert_eq!(array["tasks"]["completed"], 300, "{array}");
    assert_eq!(word(&array, "state"), "completed", "{array}");
}

/// So many clients submit at least `least` jobs each, until the killing of daemons is over.
fn storm(clients: usize, least: usize, kills: usize) {
    let mut dice = Dice::new("storm");
    let cluster = Cluster::builder().nodes(2).cpus(4).start();
    let over = AtomicBool::new(false);
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    thread::scope(|scope| {
        let (cluster, over) = (&cluster, &over);
        let mut own = dice.fork();
        let killer = scope.spawn(move || {
            // Set also when this thread fails, so that the clients end.
            let _end = OnDrop(over);
            kill_daemons(cluster, &mut own, kills);
        });
        let submitting: Vec<_> = (0..clients)
            .map(|client| {
                let mut own = dice.fork();
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    while mine.len() < least
                        || (!over.load(Ordering::Relaxed) && mine.len() < JOBS_PER_CLIENT_MAX)
                    {
                        let tag = format!("c{client}j{}", mine.len());
                        mine.push((tag.clone(), submit_tag(cluster, &tag)));
                        own.pause(100);
                    }
                    mine
                })
            })
            .collect();
        killer.join().unwrap();
        submitting.into_iter().for_each(|client| told.extend(client.join().unwrap()));
    });
    // A repeat long after the acknowledgement gives the same id, too.
    for (tag, id) in told.iter().step_by(7) {
        assert_eq!(&submit_tag(&cluster, tag), id, "{tag}");
    }
    let ids: Vec<&str> = std::iter::once("wait").chain(told.values().map(String::as_str)).collect();
    insist(&cluster, "jqueue", &ids).expect(0);
    check(&cluster, &told);
    let old = cluster.kill9("jctld");
    revived(&cluster, "jctld", old);
    check(&cluster, &told);
}

/// Mostly the controller, sometimes a node daemon; each is back before the next one dies.
fn kill_daemons(cluster: &Cluster, dice: &mut Dice, kills: usize) {
    for kill in 0..kills {
        dice.pause(600);
        let name = match dice.below(6) {
            0 => "n1",
            1 => "n2",
            _ => "jctld",
        };
        // At least one of each kind.
        let name = if kill == 0 { "jctld" } else { name };
        let old = cluster.kill9(name);
        revived(cluster, name, old);
    }
}

fn submit_tag(cluster: &Cluster, tag: &str) -> String {
    submit(cluster, &format!("key-of-{tag}"), &["-J", tag, "-o", "none", "--wrap", SIGN])
}

/// Every tag exactly once, under the id that was told, completed at the first attempt; and signed once.
fn check(cluster: &Cluster, told: &BTreeMap<String, String>) {
    let mut listed: BTreeMap<String, String> = BTreeMap::new();
    for job in jobs(cluster) {
        let before = listed.insert(word(&job, "name").to_owned(), word(&job, "id").to_owned());
        assert_eq!(before, None, "two jobs of one tag: {job}");
        assert_eq!(word(&job, "state"), "completed", "{job}");
        assert_eq!((job["attempt"].as_u64(), job["restarts"].as_u64()), (Some(1), Some(0)), "{job}");
    }
    assert_eq!(&listed, told);
    let once: BTreeMap<String, usize> = told.keys().map(|tag| (format!("{tag} 1"), 1)).collect();
    assert_eq!(ledger(cluster), once);
}

struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
