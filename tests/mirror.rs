//! `mirror = "DIR"` on a real controller: what is acknowledged is there, too, whatever becomes of the state folder.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod evidence;
mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use evidence::{Dice, SIGN, insist, job, jobs, submit, word};
use harness::daemons::{Daemons, kill_all};
use harness::mount::Mount;
use harness::{Cluster, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// So many jobs are acknowledged before the state folder goes.
const JOBS: usize = 25;

/// Replaces a text in a file, which must have it.
fn replace(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{} has no {from}: {text}", file.display());
    fs::write(file, text.replace(from, to)).unwrap();
}

fn status(cluster: &Cluster) -> String {
    insist(cluster, "jctld", &["status", "--json"]).json()["data"].to_string()
}

/// Clients submit until the controller and all of its folder are gone, with keys, CA and state; what is left is the
/// mirror, from which another one is made at another address.
#[test]
fn a_mirror_becomes_a_controller_with_every_acknowledged_job() {
    let folder = tempfile::Builder::new().prefix("jsched-mirror-").tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    let cluster = Cluster::builder()
        .cpus(4)
        .set("export_bytes=60000")
        .set(&format!("mirror={}", mirror.display()))
        .set("mirror_required=true")
        .start();
    let large = cluster.work.join("large.sh");
    fs::write(&large, format!("#!/bin/sh\n{SIGN}\n# {}\n", "x".repeat(100_000))).unwrap();
    let script = submit(&cluster, "large", &["-J", "large", "-H", "-o", "none", large.to_str().unwrap()]);
    let (told, over) =
        (Mutex::new(BTreeMap::from([("large".to_owned(), script.clone())])), AtomicBool::new(false));
    let mut dice = Dice::new("mirror");
    thread::scope(|scope| {
        for client in 0..3 {
            let (cluster, told, over) = (&cluster, &told, &over);
            scope.spawn(move || {
                for number in 0.. {
                    let tag = format!("c{client}n{number}");
                    let output =
                        cluster.run("jsubmit", ["--parsable", "-J", &tag, "-o", "none", "--wrap", SIGN]);
                    if over.load(Ordering::Relaxed) || output.code != 0 {
                        return;
                    }
                    told.lock().unwrap().insert(tag, output.stdout.trim().to_owned());
                }
            });
        }
        poll("jobs to be acknowledged", || told.lock().unwrap().len() >= JOBS);
        dice.pause(300);
        // What is acknowledged after this may be told to a client whose answer is on its way, and is there, too.
        kill_all(&cluster, &["jctld", "n1"]);
        over.store(true, Ordering::Relaxed);
        // The commands would wait for the controller for a while.
        for process in cluster.processes().iter().filter(|process| process.contains("jsubmit")) {
            let pid = process.split(' ').next().unwrap().parse().unwrap();
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    });
    let old = fs::read_to_string(cluster.dir.join("controller/jctld.toml")).unwrap();
    let listen =
        old.lines().find_map(|line| line.strip_prefix("listen = ")).unwrap().trim_matches('"').to_owned();
    fs::remove_dir_all(cluster.dir.join("controller")).unwrap();

    let verified = cluster.run("jctld", [Path::new("verify"), &mirror]);
    assert!(verified.stdout.contains("everything is sound"), "{verified:?}");
    let elsewhere = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let settings = cluster.dir.join("elsewhere/jctld.toml");
    fs::create_dir(settings.parent().unwrap()).unwrap();
    let words = [
        settings.to_str().unwrap(),
        "restore",
        "--from",
        mirror.to_str().unwrap(),
        "--advertise",
        &elsewhere,
    ];
    let said = cluster.run("jctld", ["--settings"].iter().chain(&words)).ok();
    assert!(said.contains("up to group") && !said.contains("given up"), "{said}");
    replace(&settings, &listen, &elsewhere);
    replace(&cluster.config, &listen, &elsewhere);
    replace(&cluster.dir.join("n1/jworkerd.toml"), &listen, &elsewhere);
    let mut daemons = Daemons::default();
    daemons.start(&cluster, "jctld", "--settings", &settings);
    daemons.start(&cluster, "jworkerd", "--dir", &cluster.dir.join("n1"));
    insist(&cluster, "jctld", &["accept"]).expect(0);
    let there: BTreeMap<String, String> =
        jobs(&cluster).iter().map(|job| (word(job, "name").to_owned(), word(job, "id").to_owned())).collect();
    let told = told.into_inner().unwrap();
    for (tag, id) in &told {
        assert_eq!(there.get(tag), Some(id), "{tag} was acknowledged");
    }
    // Its script came from the mirror, and it runs with it.
    insist(&cluster, "jqueue", &["release", &script]).expect(0);
    insist(&cluster, "jqueue", &["wait", &script]).expect(0);
    assert_eq!(word(&job(&cluster, &script), "state"), "completed");
}

/// A mirror that is not there is said, comes level once it is, and is not overwritten by an older state.
#[test]
fn a_late_mirror_catches_up_and_an_older_state_is_refused() {
    let folder = tempfile::Builder::new().prefix("jsched-mirror-").tempdir().unwrap();
    let mount = folder.path().join("mount");
    let mirror = mount.join("mirror");
    let mut cluster = Cluster::builder().cpus(2).set(&format!("mirror={}", mirror.display())).start();
    assert!(status(&cluster).contains("the mirror"), "{}", status(&cluster));
    let before = submit(&cluster, "before", &["-J", "before", "-o", "none", "--wrap", SIGN]);
    insist(&cluster, "jqueue", &["wait", &before]).expect(0);
    cluster.stop();
    fs::create_dir(&mount).unwrap();
    cluster.start_again();
    let level = status(&cluster);
    assert!(level.contains("groups behind and is level") && level.contains("\"warnings\":[]"), "{level}");
    let old = cluster.dir.join("old-state");
    let state = cluster.dir.join("controller/state");
    cluster.stop();
    let copied = std::process::Command::new("cp").arg("-a").args([&state, &old]).status().unwrap();
    assert!(copied.success());
    cluster.start_again();
    submit(&cluster, "after", &["-J", "after", "-H", "-o", "none", "--wrap", SIGN]);
    cluster.stop();
    cluster.run("jctld", [Path::new("verify"), &mirror]).ok();

    // Somebody puts the older copy back: the mirror knows better.
    let newer = cluster.dir.join("newer-state");
    fs::rename(&state, &newer).unwrap();
    fs::rename(&old, &state).unwrap();
    let settings = cluster.dir.join("controller/jctld.toml");
    let refused = cluster.run("jctld", [Path::new("--settings"), &settings, Path::new("run")]);
    assert!(refused.code != 0 && refused.stderr.contains("jctld restore --from"), "{refused:?}");
    fs::rename(&state, &old).unwrap();
    fs::rename(&newer, &state).unwrap();
    // With the mirror gone again, and required, there is no start.
    fs::rename(&mount, folder.path().join("unmounted")).unwrap();
    replace(&settings, "mirror_required = false", "mirror_required = true");
    let refused = cluster.run("jctld", [Path::new("--settings"), &settings, Path::new("run")]);
    assert!(refused.code != 0 && refused.stderr.contains("mirror_required"), "{refused:?}");
    fs::rename(folder.path().join("unmounted"), &mount).unwrap();
    cluster.start_again();
    assert_eq!(jobs(&cluster).len(), 2);
}

/// A mirror whose disk runs full while everything goes on: that is said, nobody waits for it, and it is level again after the
/// next start.
#[test]
fn a_mirror_without_room_is_given_up_until_the_next_start() {
    let folder = tempfile::Builder::new().prefix("jsched-mirror-").tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    let mut cluster = Cluster::builder().cpus(2).set(&format!("mirror={}", mirror.display())).start();
    cluster.stop();
    let Some(mount) = Mount::over(&mirror, "120m") else { return };
    cluster.start_again();
    assert!(status(&cluster).contains("\"warnings\":[]"), "{}", status(&cluster));
    mount.fill(0);
    // Its script is a file of its own, for which there is no room.
    let large = cluster.work.join("large.sh");
    fs::write(&large, format!("#!/bin/sh\n{SIGN}\n# {}\n", "x".repeat(100_000))).unwrap();
    let id = submit(&cluster, "large", &["-J", "large", "-o", "none", large.to_str().unwrap()]);
    insist(&cluster, "jqueue", &["wait", &id]).expect(0);
    let said = status(&cluster);
    assert!(said.contains("has failed") && said.contains(mirror.to_str().unwrap()), "{said}");
    let after = submit(&cluster, "after", &["-J", "after", "-H", "-o", "none", "--wrap", SIGN]);
    mount.empty();
    cluster.stop();
    cluster.start_again();
    let level = status(&cluster);
    assert!(level.contains("groups behind and is level") && level.contains("\"warnings\":[]"), "{level}");
    assert_eq!(word(&job(&cluster, &after), "state"), "held");
    cluster.stop();
    cluster.run("jctld", [Path::new("verify"), &mirror]).ok();
}
