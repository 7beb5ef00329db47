//! Users: revoked while they watch, removed with and without their jobs.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use crate::harness::{Cluster, Output, finish, poll};

fn enrolled(cluster: &Cluster, name: &str, uid: u32) -> PathBuf {
    let folder = cluster.work.join(name);
    let (uid, out) = (uid.to_string(), folder.display().to_string());
    cluster.run("jctld", ["user", "add", name, "--uid", &uid, "--out", &out]).ok();
    folder.join("client.toml")
}

fn as_of(cluster: &Cluster, config: &Path, words: &[&str]) -> Output {
    let mut command = cluster.command(words[0]);
    command.args(&words[1..]).env("JSCHED_CONFIG", config);
    finish(command, "")
}

#[test]
fn revoked_while_watching() {
    let cluster = Cluster::builder().nodes(0).start();
    let alice = enrolled(&cluster, "alice", 61_234);
    let mut command = cluster.command("jqueue");
    command.args(["--watch", "--json"]).env("JSCHED_CONFIG", &alice);
    let mut watching = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("snapshot"));

    let listed = cluster.run("jctld", ["ca", "list", "--json"]).json();
    let hers = listed["data"].as_array().unwrap().iter().find(|one| one["name"] == "alice").unwrap().clone();
    let serial = hers["serial"].as_str().unwrap().to_owned();
    let begun = Instant::now();
    cluster.run("jctld", ["ca", "revoke", &serial]).ok();
    let rest = std::thread::spawn(move || lines.map_while(Result::ok).collect::<String>());
    let mut status = None;
    poll("the one who watches to be cut off", || {
        status = watching.try_wait().unwrap();
        status.is_some()
    });
    println!("cut off {:?} after `ca revoke` was started", begun.elapsed());
    let said = rest.join().unwrap();
    assert_eq!(status.and_then(|status| status.code()), Some(77), "{said}");
    assert!(said.contains("revoked") && said.contains("jqueue login"), "{said}");
    let refused = as_of(&cluster, &alice, &["jqueue", "whoami"]);
    assert_eq!(refused.code, 77, "{refused:?}");

    // A new token, at the same place.
    let token = cluster.run("jctld", ["user", "add", "alice", "--uid", "61234"]).ok();
    as_of(&cluster, &alice, &["jqueue", "login", &token]).ok();
    assert!(as_of(&cluster, &alice, &["jqueue", "whoami"]).ok().contains("alice"));
    // Somebody else's token does not take that place.
    let token = cluster.run("jctld", ["user", "add", "bob", "--uid", "61235"]).ok();
    let refused = as_of(&cluster, &alice, &["jqueue", "login", &token]);
    assert!(refused.code != 0 && refused.stderr.contains("user alice"), "{refused:?}");
    // Who was an operator is none any more.
    let folder = cluster.work.join("op").display().to_string();
    cluster
        .run("jctld", ["user", "add", "op", "--uid", "61236", "--role", "operator", "--out", &folder])
        .ok();
    let op = cluster.work.join("op/client.toml");
    as_of(&cluster, &op, &["jqueue", "whoami"]).ok();
    cluster.run("jctld", ["user", "add", "op", "--uid", "61236"]).ok();
    assert_eq!(as_of(&cluster, &op, &["jqueue", "whoami"]).code, 77);
}

#[test]
fn signed_on_the_host_of_the_ca() {
    let cluster = Cluster::builder().nodes(0).start();
    let settings = cluster.dir.join("controller/jctld.toml").display().to_string();
    let issue = |out: &str| {
        let out = cluster.work.join(out).display().to_string();
        let words =
            ["--settings", &settings, "ca", "issue", "--role", "admin", "--uid", "0", "eve", "--out", &out];
        cluster.run("jctld", words).ok()
    };
    // One that was never used can be revoked by the serial that was printed.
    let serial = issue("first").split_whitespace().nth(1).unwrap().to_owned();
    cluster.run("jctld", ["ca", "revoke", &serial]).ok();
    let first = cluster.work.join("first/client.toml");
    assert_eq!(as_of(&cluster, &first, &["jqueue", "whoami"]).code, 77);
    // One that was used is listed.
    let serial = issue("second").split_whitespace().nth(1).unwrap().to_owned();
    let second = cluster.work.join("second/client.toml");
    assert!(as_of(&cluster, &second, &["jctld", "status"]).ok().contains("dev"));
    let listed = cluster.run("jctld", ["ca", "list"]).ok();
    assert!(listed.contains(&serial), "{listed}");
    cluster.run("jctld", ["ca", "revoke", "eve"]).ok();
    assert_eq!(as_of(&cluster, &second, &["jctld", "status"]).code, 77);
}

#[test]
fn removed_with_and_without_jobs() {
    let cluster = Cluster::builder().nodes(0).start();
    for (name, uid, way) in [("bob", 61_235, "--keep-running"), ("carol", 61_236, "--cancel-jobs")] {
        let config = enrolled(&cluster, name, uid);
        let id = as_of(&cluster, &config, &["jsubmit", "--parsable", "--wrap", "true"]).ok();
        let refused = cluster.run("jctld", ["user", "remove", name]);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stderr.contains("1 unfinished") && refused.stderr.contains(way), "{refused:?}");
        as_of(&cluster, &config, &["jqueue", "whoami"]).ok();
        cluster.run("jctld", ["user", "remove", name, way]).ok();
        let refused = as_of(&cluster, &config, &["jqueue", "whoami"]);
        assert_eq!(refused.code, 77, "{refused:?}");
        let state = || cluster.run("jqueue", ["show", &id, "--json"]).json()["data"]["state"].clone();
        match way {
            "--keep-running" => assert_eq!(state(), "pending"),
            _ => poll("the job to be cancelled", || state() == "cancelled"),
        }
        assert!(!cluster.run("jctld", ["user", "list"]).ok().contains(name));
    }
}
