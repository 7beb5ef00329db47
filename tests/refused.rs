//! What must be refused: foreign jobs, other roles' requests, used tokens, reused keys, false and expired certificates,
//! garbage. Each gets its exit code, changes nothing, and leaves the daemons healthy.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod evidence;
mod harness;

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use evidence::{Dice, job, jobs, word};
use harness::{Cluster, Output, finish, poll};
use jsched::cli::render::quantity::rfc3339;
use jsched::model::identity::Role;
use jsched::model::ids::Uid;
use jsched::model::time::{Seconds, WallTime};
use jsched::pki::authority::Authority;
use jsched::pki::certificate::{Subject, Validity};
use jsched::pki::file::{Publish, write_public};
use jsched::pki::key::KeyPair;
use jsched::pki::request::PublicKey;

/// A uid that is not the tester's.
const ALICE: u32 = 61_234;

#[test]
fn a_user_acts_as_nobody_else() {
    let cluster = Cluster::start(1);
    let alice = enrolled(&cluster, "alice", "user");
    let secret = ["-J", "secret", "--comment", "hush", "--parsable", "--wrap", "sleep 1001"];
    let foreign = cluster.run("jsubmit", secret).ok();
    cluster.run("jqueue", ["wait", "--for", "start", &foreign]).ok();
    let before = (healthy(&cluster), job(&cluster, &foreign));

    let forbidden: &[&[&str]] = &[
        // Somebody else's job.
        &["jcancel", &foreign],
        &["jcancel", "-s", "KILL", &foreign],
        &["jqueue", "log", &foreign],
        &["jqueue", "hold", &foreign],
        &["jqueue", "requeue", &foreign],
        &["jqueue", "suspend", &foreign],
        &["jqueue", "set", &foreign, "comment=mine"],
        // What operators do.
        &["jnode", "drain", "n1", "--reason", "x"],
        &["jnode", "resume", "n1"],
        &["jnode", "down", "n1"],
        &["jnode", "partition", "set", "main", "state=down"],
        // What admins do.
        &["jnode", "add", "n9"],
        &["jnode", "remove", "n1"],
        &["jctld", "user", "add", "eve", "--uid", "0", "--role", "admin"],
        &["jctld", "user", "list"],
        &["jctld", "user", "remove", "alice"],
        &["jctld", "ca", "list"],
        &["jctld", "audit"],
        &["jctld", "verify"],
        &["jctld", "stop"],
    ];
    for words in forbidden {
        let refused = as_of(&cluster, &alice, words);
        assert_eq!(refused.code, 77, "{words:?}: {refused:?}");
        assert!(!refused.stderr.trim().is_empty(), "{words:?} says nothing");
    }
    let raised = as_of(&cluster, &alice, &["jsubmit", "-H", "--priority", "9", "--wrap", "true"]);
    assert_eq!(raised.code, 77, "{raised:?}");
    assert_eq!(healthy(&cluster), before.0);
    let after = job(&cluster, &foreign);
    for key in ["state", "attempt", "comment", "start_time", "nodes"] {
        assert_eq!(after[key], before.1[key], "{key}");
    }
    // A filter means those that one may change: none.
    as_of(&cluster, &alice, &["jcancel", "-u", word(&after, "user")]);
    assert_eq!(word(&job(&cluster, &foreign), "state"), "running");

    // The queue is everybody's; what is in a job is its owner's.
    let seen = as_of(&cluster, &alice, &["jqueue", "show", &foreign, "--json"]).json();
    assert_eq!((word(&seen["data"], "name"), &seen["data"]["comment"]), ("secret", &serde_json::Value::Null));
    assert!(!seen.to_string().contains("hush") && !seen.to_string().contains("1001"), "{seen}");

    // Every refusal of an act is on record, with who it was.
    let audit = cluster.run("jctld", ["audit"]).ok();
    let lines = audit.lines().filter(|line| line.contains("user alice") && line.ends_with("no")).count();
    assert!(lines >= forbidden.len() - 5, "{audit}");
    assert!(!audit.contains("eve"), "{audit}");
}

#[test]
fn identity_comes_from_the_certificate_alone() {
    let cluster = Cluster::start(1);
    let alice = enrolled(&cluster, "alice", "user");
    let mut command = cluster.command("jsubmit");
    command.args(["-H", "--parsable", "-J", "root", "--wrap", "true"]).env("JSCHED_CONFIG", &alice);
    for name in ["USER", "LOGNAME", "JSCHED_USER", "SLURM_JOB_USER", "SUDO_USER"] {
        command.env(name, "root");
    }
    for name in ["UID", "JSCHED_UID", "SLURM_JOB_UID", "SUDO_UID"] {
        command.env(name, "0");
    }
    let id = finish(command, "").ok();
    assert_eq!(word(&job(&cluster, &id), "user"), "alice");

    // A node's certificate is no user's, and a user's is no node's.
    let node = cluster.dir.join("n1");
    let as_node = client_folder(&cluster, "as-node");
    for file in ["cert.pem", "key.pem", "ca.pem"] {
        copy_secret(&node.join(file), &as_node.join(file));
    }
    let as_node = as_node.join("client.toml");
    for words in [&["jqueue", "whoami"][..], &["jsubmit", "--wrap", "true"], &["jcancel", &id], &["jnode"]] {
        let refused = as_of(&cluster, &as_node, words);
        assert!(refused.code != 0, "{words:?}: {refused:?}");
    }
    let false_node = cluster.work.join("false-node");
    fs::create_dir(&false_node).unwrap();
    fs::copy(node.join("jworkerd.toml"), false_node.join("jworkerd.toml")).unwrap();
    for file in ["cert.pem", "key.pem", "ca.pem"] {
        copy_secret(&alice.with_file_name(file), &false_node.join(file));
    }
    let mut daemon = cluster.command("jworkerd");
    daemon.arg("--dir").arg(&false_node).arg("run");
    let ended = finish(daemon, "");
    assert!(ended.code != 0, "{ended:?}");
    assert!(!ended.stderr.is_empty());
    assert_eq!(jobs(&cluster).len(), 1);
    assert_eq!(healthy(&cluster).len(), 1);
}

#[test]
fn a_token_serves_once() {
    let cluster = Cluster::start(1);
    // A user's.
    let token = cluster.run("jctld", ["user", "add", "alice", "--uid", &ALICE.to_string()]).ok();
    let (first, second) = (cluster.work.join("first/client.toml"), cluster.work.join("second/client.toml"));
    login(&cluster, &first, &token).ok();
    let again = login(&cluster, &second, &token);
    assert_eq!(again.code, 77, "{again:?}");
    assert!(!second.exists());
    assert!(as_of(&cluster, &first, &["jqueue", "whoami"]).ok().contains("alice"));
    // A node's; as a user's it is none.
    let token = cluster.run("jnode", ["add", "n7"]).ok();
    let token = token.split_whitespace().find(|word| word.starts_with("jsched1-")).unwrap();
    assert_eq!(login(&cluster, &second, token).code, 64);
    let join = |folder: &str| {
        let folder = cluster.work.join(folder);
        cluster.run("jworkerd", ["--dir", folder.to_str().unwrap(), "join", token])
    };
    join("n7").ok();
    let again = join("n7-again");
    assert_eq!(again.code, 77, "{again:?}");
    assert!(!cluster.work.join("n7-again/cert.pem").exists());
    // One that was altered, and one that is too old.
    let token = cluster.run("jctld", ["user", "add", "bob", "--uid", "61235"]).ok();
    let (head, last) = token.split_at(token.len() - 1);
    let altered = format!("{head}{}", if last == "a" { "b" } else { "a" });
    assert_eq!(login(&cluster, &second, &altered).code, 64);
    let token = cluster.run("jctld", ["user", "add", "carol", "--uid", "61236", "--ttl", "1s"]).ok();
    let end = now().plus(Seconds(1));
    poll("the token's time to pass", || now() > end);
    assert_eq!(login(&cluster, &second, &token).code, 77);
    assert!(!second.exists());
}

#[test]
fn a_key_means_one_request() {
    let cluster = Cluster::start(1);
    let submit = |key: &str, rest: &[&str]| {
        let words = ["-H", "--parsable", "--key", key].into_iter().chain(rest.iter().copied());
        cluster.run("jsubmit", words)
    };
    let id = submit("k1", &["-J", "one", "--wrap", "true"]).ok();
    assert_eq!(submit("k1", &["-J", "one", "--wrap", "true"]).ok(), id);
    for other in [&["-J", "two", "--wrap", "true"][..], &["-J", "one", "--wrap", "false"]] {
        let refused = submit("k1", other);
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{refused:?}");
        assert!(refused.stderr.contains("k1"), "{refused:?}");
    }
    // Also for another command.
    let refused = cluster.run("jcancel", [id.as_str(), "--key", "k1"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    // Keys are their owner's: somebody else's is another one.
    let alice = enrolled(&cluster, "alice", "user");
    let words = ["jsubmit", "-H", "--parsable", "--key", "k1", "-J", "hers", "--wrap", "true"];
    let hers = as_of(&cluster, &alice, &words).ok();
    assert_ne!(hers, id);
    let names: Vec<String> = jobs(&cluster).iter().map(|job| word(job, "name").to_owned()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(jobs(&cluster).iter().all(|job| word(job, "state") == "held"), "{names:?}");
}

#[test]
fn certificates_that_do_not_count() {
    let cluster = Cluster::start(1);
    let submit = ["jsubmit", "--wrap", "true"];
    // One of another authority with the same names.
    let other = cluster.work.join("other-ca");
    fs::create_dir(&other).unwrap();
    let now = now();
    let other = Authority::create(&other, "dev", now).unwrap();
    let own = Authority::load(&cluster.dir.join("controller/ca")).unwrap();
    let usual = Validity::usual(Role::Admin, now);
    let hour = 3_600_000_000;
    let past = Validity { not_before: WallTime(now.0 - 3 * hour), not_after: WallTime(now.0 - 2 * hour) };
    let future = Validity { not_before: WallTime(now.0 + 2 * hour), not_after: WallTime(now.0 + 3 * hour) };
    let subject = Subject::person(Role::Admin, "mallory", Uid(0)).unwrap();
    for (name, signer, trusted, validity) in [
        ("foreign", &other, &own, usual),
        ("foreign-and-trusting", &other, &other, usual),
        ("not-trusting", &own, &other, usual),
        ("expired", &own, &own, past),
        ("not-yet", &own, &own, future),
    ] {
        let folder = client_folder(&cluster, name);
        let key = KeyPair::generate().unwrap();
        let issued = signer.issue(&subject, &PublicKey::of(&key).unwrap(), validity).unwrap();
        key.write(&folder.join("key.pem"), Publish::New).unwrap();
        write_public(&folder.join("cert.pem"), issued.pem.as_bytes(), Publish::New).unwrap();
        write_public(&folder.join("ca.pem"), trusted.pem().as_bytes(), Publish::New).unwrap();
        let refused = as_of(&cluster, &folder.join("client.toml"), &submit);
        assert_eq!((refused.code, refused.stdout.as_str()), (78, ""), "{name}: {refused:?}");
        assert!(!refused.stderr.is_empty(), "{name}");
    }
    // One whose end was asked for on the CA's host.
    let short = cluster.work.join("short");
    let settings = cluster.dir.join("controller/jctld.toml");
    let words = ["--ttl", "1h", "--uid", "61234", "alice"];
    let mut issue = cluster.command("jctld");
    issue.arg("--settings").arg(settings).args(["ca", "issue", "--out"]).arg(&short).args(words);
    finish(issue, "").ok();
    let whoami = as_of(&cluster, &short.join("client.toml"), &["jqueue", "whoami", "--json"]).json();
    let end = word(&whoami["data"], "certificate_expires").to_owned();
    assert!(end < rfc3339(now.plus(Seconds(2 * 3_600))).unwrap(), "{whoami}");
    assert_eq!(jobs(&cluster).len(), 0);

    // No controller there.
    let nowhere = client_folder(&cluster, "nowhere").join("client.toml");
    let text = fs::read_to_string(&cluster.config).unwrap();
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = text.replace(&address(&cluster).to_string(), &free.to_string());
    let text = text.replace("\"client/", &format!("\"{}/client/", cluster.dir.display()));
    fs::write(&nowhere, text).unwrap();
    let refused = as_of(&cluster, &nowhere, &submit);
    assert_eq!((refused.code, refused.stdout.as_str()), (69, ""), "{refused:?}");
}

#[test]
fn garbage_at_the_port_changes_nothing() {
    let mut dice = Dice::new("garbage");
    let cluster = Cluster::start(1);
    let id = cluster.run("jsubmit", ["--parsable", "--wrap", "sleep 1001"]).ok();
    cluster.run("jqueue", ["wait", "--for", "start", &id]).ok();
    let before = (healthy(&cluster), cluster.pid("jctld"), cluster.pid("n1"));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = address(&cluster);
    for round in 0..4_000_u64 {
        let length = if round % 3 == 0 { 1_200 } else { dice.below(1_500) };
        let mut datagram: Vec<u8> = (0..length).map(|_| dice.below(256) as u8).collect();
        // Half of them look like the first packet of a connection.
        if round % 2 == 0 && datagram.len() > 6 {
            datagram[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]);
        }
        // A full buffer of the kernel is no failure of the test.
        let _ = socket.send_to(&datagram, target);
    }
    assert_eq!(cluster.run("jsubmit", ["--wrap", "true", "--wait"]).code, 0);
    assert_eq!((healthy(&cluster), cluster.pid("jctld"), cluster.pid("n1")), before);
    assert_eq!(word(&job(&cluster, &id), "state"), "running");
    let log = fs::metadata(cluster.dir.join("logs/jctld.log")).unwrap().len();
    assert!(log < 200_000, "{log} bytes of log");
}

/// The names of the nodes that are up.
fn healthy(cluster: &Cluster) -> Vec<String> {
    let nodes = cluster.run("jnode", ["--json"]);
    nodes.ok();
    let nodes = nodes.json()["data"].as_array().unwrap().clone();
    let up = |state: &str| ["idle", "mixed", "full"].contains(&state);
    nodes.iter().filter(|node| up(word(node, "state"))).map(|node| word(node, "name").to_owned()).collect()
}

/// A folder with a certificate made over the network; gives its `client.toml`.
fn enrolled(cluster: &Cluster, name: &str, role: &str) -> PathBuf {
    let folder = cluster.work.join(name);
    let words =
        ["user", "add", name, "--uid", &ALICE.to_string(), "--role", role, "--out"].map(str::to_owned);
    let words = words.into_iter().chain([folder.display().to_string()]);
    cluster.run("jctld", words).ok();
    folder.join("client.toml")
}

/// Runs a command under another configuration.
fn as_of(cluster: &Cluster, config: &Path, words: &[&str]) -> Output {
    let mut command = cluster.command(words[0]);
    command.args(&words[1..]).env("JSCHED_CONFIG", config);
    finish(command, "")
}

fn login(cluster: &Cluster, file: &Path, token: &str) -> Output {
    cluster.run("jqueue", ["login", "--config", file.to_str().unwrap(), token])
}

/// A folder with a `client.toml` for files beside it.
fn client_folder(cluster: &Cluster, name: &str) -> PathBuf {
    let folder = cluster.work.join(name);
    fs::create_dir(&folder).unwrap();
    let text = format!(
        "controllers = [\"{}\"]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\nca = \"ca.pem\"\n",
        address(cluster)
    );
    fs::write(folder.join("client.toml"), text).unwrap();
    folder
}

fn copy_secret(from: &Path, to: &Path) {
    // The mode comes along.
    fs::copy(from, to).unwrap();
}

fn address(cluster: &Cluster) -> SocketAddr {
    let text = fs::read_to_string(&cluster.config).unwrap();
    text.split('"').nth(1).unwrap().parse().unwrap()
}

fn now() -> WallTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    WallTime(i64::try_from(since.as_micros()).unwrap())
}
