//! Output without a shared disk: head and tail outlive node and file, attempts are told apart, followers get each byte
//! once over deaths of daemons, and one that stops reading holds up nobody.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod harness;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use harness::{Cluster, poll};
use nix::sys::signal::{Signal, kill};

/// What is kept from the beginning, and up to the end.
const HEAD: usize = 64 << 10;
const TAIL: usize = 1 << 20;

fn submit(cluster: &Cluster, args: &[&str]) -> String {
    cluster.run("jsubmit", ["--parsable"].iter().chain(args)).ok()
}

/// Bytes that `jqueue log` gives, and what it says.
fn log(cluster: &Cluster, args: &[&str]) -> (String, String) {
    let said = cluster.run("jqueue", ["log"].iter().chain(args));
    assert_eq!(said.code, 0, "{}", said.stderr);
    (said.stdout, said.stderr)
}

/// The bytes of all segments of kept output.
fn kept(cluster: &Cluster) -> Vec<u8> {
    let mut bytes = Vec::new();
    for folder in folders(&cluster.dir) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            bytes.extend(fs::read(entry.path()).unwrap_or_default());
        }
    }
    bytes
}

fn folders(base: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(base).into_iter().flatten().flatten().filter(|e| e.path().is_dir()) {
        if entry.file_name() == "output" {
            found.push(entry.path());
        } else if entry.file_name() == "state" || entry.path().parent() == Some(base) {
            found.extend(folders(&entry.path()));
        }
    }
    found
}

/// Waits until these bytes are kept.
fn until_kept(cluster: &Cluster, text: &str) {
    cluster.wait_until(&format!("{text:?} to be kept"), || {
        kept(cluster).windows(text.len()).any(|window| window == text.as_bytes())
    });
}

fn follower(cluster: &Cluster, id: &str) -> Child {
    let mut command = cluster.command("jqueue");
    command.args(["log", "-f", id]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn head_and_tail_outlive_file_and_node() {
    let mut cluster = Cluster::builder().cpus(2).start();
    let line = "seq 1 400000; echo the end of $JSCHED_JOB_ID";
    let id = submit(&cluster, &["--wait", "-o", "big.txt", "--wrap", line]);
    let whole = fs::read(cluster.work.join("big.txt")).unwrap();
    let (out, err) = log(&cluster, &[&id]);
    assert!(out.as_bytes() == whole && err.is_empty(), "whole while node and file are there: {err}");
    let small = submit(
        &cluster,
        &["--wait", "-o", "small.txt", "-e", "err.txt", "--wrap", "echo small; echo bad >&2"],
    );
    for text in [format!("the end of {id}\n"), "small\n".to_owned(), "bad\n".to_owned()] {
        until_kept(&cluster, &text);
    }
    fs::remove_file(cluster.work.join("big.txt")).unwrap();
    let tail_at = whole.len() - TAIL;
    let head_and_tail = [&whole[..HEAD], &whole[tail_at..]].concat();
    let gap = format!("bytes {HEAD} to {tail_at} of the output are missing");
    let check = |cluster: &Cluster, why: &str| {
        let (out, err) = log(cluster, &[&id]);
        assert!(out.as_bytes() == head_and_tail, "{} bytes; {err}", out.len());
        assert!(err.contains(&gap) && err.contains(why), "{err}");
        let (out, err) = log(cluster, &["-n", "2", &id]);
        assert_eq!(out, format!("400000\nthe end of {id}\n"), "{err}");
    };
    check(&cluster, "not there any more");

    // The node is there, and speaks no more: what is kept comes all the same, and it is said why.
    let node = cluster.pid("n1").unwrap();
    kill(node, Signal::SIGSTOP).unwrap();
    fs::remove_file(cluster.work.join("small.txt")).unwrap();
    fs::remove_file(cluster.work.join("err.txt")).unwrap();
    let (out, err) = log(&cluster, &[&small]);
    assert!(out == "small\n" && err.contains("node n1 does not answer"), "{out:?} {err}");
    assert_eq!(log(&cluster, &["--err", &small]).0, "bad\n");
    cluster.kill9("jctld");
    cluster.wait_until("the controller", || cluster.run("jqueue", ["show", &id]).code == 0);
    check(&cluster, "node n1 does not answer");
    kill(node, Signal::SIGCONT).unwrap();
    cluster.stop();
}

#[test]
fn attempts_are_told_apart_also_after_the_file_is_gone() {
    let cluster = Cluster::builder().cpus(2).start();
    let line = "echo try $JSCHED_ATTEMPT; [ $JSCHED_RESTART_COUNT -gt 0 ] || sleep 600";
    let id = submit(&cluster, &["-o", "out.txt", "--wrap", line]);
    let mut following = follower(&cluster, &id);
    let file = || fs::read_to_string(cluster.work.join("out.txt")).unwrap_or_default();
    cluster.wait_until("the first try", || file() == "try 1\n");
    cluster.run("jqueue", ["requeue", &id]).ok();
    assert_eq!(cluster.run("jqueue", ["wait", &id]).code, 0);
    let whole = file();
    let (first, second) = whole.split_at(whole.find("try 2").unwrap());
    assert!(
        first.starts_with("try 1\n")
            && first.contains("jsched: *** JOB ")
            && first.contains(" ON n1 CANCELLED AT "),
        "{first}"
    );
    let mut seen = String::new();
    following.stdout.take().unwrap().read_to_string(&mut seen).unwrap();
    assert!(following.wait().unwrap().success());
    assert_eq!(seen, whole, "a follower reads one attempt after the other");
    for gone in [false, true] {
        if gone {
            until_kept(&cluster, second);
            fs::remove_file(cluster.work.join("out.txt")).unwrap();
        }
        assert_eq!(log(&cluster, &["--attempt", "1", &id]).0, first, "gone: {gone}");
        assert_eq!(log(&cluster, &["--attempt", "2", &id]).0, second, "gone: {gone}");
        assert_eq!(log(&cluster, &[&id]).0, if gone { second } else { &whole });
    }
    assert_eq!(cluster.run("jqueue", ["log", "--attempt", "3", &id]).code, 1);

    // Many tasks, few messages; equal ends once.
    let line = "echo same; exit 3";
    let array = submit(&cluster, &["-a", "1-20", "-o", "a-%a", "--wrap", line]);
    assert_eq!(cluster.run("jqueue", ["wait", &array]).code, 3);
    let ids: Vec<String> = (1..=20).map(|task| format!("{array}_{task}")).collect();
    assert_eq!(log(&cluster, &["-t", "bad", &array]).0, format!("==> {} <==\nsame\n", ids.join(" ")));
}

#[test]
fn each_byte_once_over_deaths_of_daemons() {
    let cluster = Cluster::builder().cpus(2).start();
    let go = cluster.work.join("go");
    let line = format!(
        "i=0; until [ -e {} ]; do i=$((i+1)); echo line $i; sleep 0.05; done; pwd > where; cat where",
        go.display()
    );
    let mut command = cluster.command("jsubmit");
    command.args(["--follow", "--chdir=job", "--wrap", &line]);
    let mut following = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    cluster.wait_until("the job", || cluster.run("jqueue", ["show", "last"]).code == 0);
    let id = "last";
    for daemon in ["jctld", "n1", "jctld"] {
        let has = || cluster.run("jqueue", ["log", id]).stdout.lines().count();
        let mut before = None;
        cluster.wait_until("more output", || has() > *before.get_or_insert_with(has));
        cluster.kill9(daemon);
    }
    fs::write(&go, "").unwrap();
    let (mut seen, mut said) = (String::new(), String::new());
    following.stdout.take().unwrap().read_to_string(&mut seen).unwrap();
    following.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(following.wait().unwrap().success(), "{said}");
    let count = seen.lines().count() - 1;
    let lines: String = (1..=count).map(|i| format!("line {i}\n")).collect();
    let folder = seen.strip_prefix(&lines).unwrap_or_else(|| panic!("{seen}\n{said}")).trim();
    assert_eq!(
        fs::read_to_string(Path::new(folder).join("where")).unwrap().trim(),
        folder,
        "it stays for a while"
    );
    assert_eq!(log(&cluster, &[id]).0, seen);
}

#[test]
fn a_follower_that_stops_reading_holds_up_nobody() {
    let cluster = Cluster::builder().cpus(4).start();
    let line = "yes 0123456789abcdef0123456789abcdef | head -c 8000000; touch written; until [ -e go ]; do sleep 0.1; done";
    let id = submit(&cluster, &["-o", "big.txt", "--wrap", line]);
    // They never read a byte.
    let mut stuck: Vec<Child> = (0..20).map(|_| follower(&cluster, &id)).collect();
    cluster.wait_until("the output", || cluster.work.join("written").exists());
    let other = submit(&cluster, &["--wait", "--wrap", "echo other"]);
    assert_eq!(log(&cluster, &[&other]), ("other\n".to_owned(), String::new()));
    let mut reading = follower(&cluster, &id);
    let mut bytes = vec![0; 8_000_000];
    reading.stdout.as_mut().unwrap().read_exact(&mut bytes).unwrap();
    assert!(bytes.chunks(33).all(|line| line == &b"0123456789abcdef0123456789abcdef\n"[..line.len()]));
    let controller = cluster.pid("jctld").unwrap();
    let status = fs::read_to_string(format!("/proc/{controller}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 200 << 10, "the controller had {peak} KiB");
    // A node daemon that is just being started again is waited for: head and tail would pass for all there is.
    cluster.kill9("n1");
    let (out, err) = log(&cluster, &[&id]);
    assert!(out.as_bytes() == bytes && err.is_empty(), "{} bytes; {err}", out.len());
    fs::write(cluster.work.join("go"), "").unwrap();
    assert_eq!(cluster.run("jqueue", ["wait", &id]).code, 0);
    assert!(reading.wait().unwrap().success());
    for child in &mut stuck {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    poll("the controller to be well", || cluster.run("jqueue", ["show", &id]).code == 0);
}
