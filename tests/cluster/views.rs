//! Live views and waiting over the controller's deaths.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::Cluster;
use crate::{submit, until, until_gate, wait, write};

/// Jobs that run at once, most of them as tasks of an array.
const SINGLE: usize = 60;
const TASKS: usize = 440;

/// Lines of a live view, folded by id.
#[derive(Default)]
struct Folded {
    jobs: BTreeMap<String, Value>,
    position: u64,
    /// How often each id was told as ended.
    ends: BTreeMap<String, u32>,
}

impl Folded {
    fn take(&mut self, line: &Value) {
        let here = line["position"].as_u64().unwrap();
        assert!(here >= self.position, "positions never go back");
        self.position = here;
        let jobs = match line["snapshot"].as_array() {
            Some(rows) => rows.clone(),
            None => vec![line["job"].clone()],
        };
        for job in jobs {
            let id = job["array_id"].as_str().unwrap_or_else(|| job["id"].as_str().unwrap()).to_owned();
            if job["end_time"].is_string() {
                *self.ends.entry(id.clone()).or_default() += 1;
            }
            self.jobs.insert(id, job);
        }
    }
}

#[test]
fn a_live_view_misses_nothing_while_the_controller_dies() {
    let cluster = Cluster::builder().nodes(2).cpus(256).start();
    let mut child = start(cluster.command("jqueue"), &["--watch", "--json"]);
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut view = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let mut folded = Folded::default();
    let first = view.next().unwrap();
    assert!(first["snapshot"].is_array(), "{first}");
    folded.take(&first);

    // All of them block on one pipe until somebody opens it for writing.
    nix::unistd::mkfifo(&cluster.work.join("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let line = |code: usize| format!("read x < gate; exit {code}");
    let jobs: String = (0..SINGLE)
        .map(|number| {
            let command = ["sh", "-c", &line(number % 3)];
            serde_json::json!({"command": command, "mem": "1M", "output": "none"}).to_string() + "\n"
        })
        .collect();
    let told = cluster.run_with_input("jsubmit", ["--jobs", "-"], &jobs).ok();
    let mut ids: BTreeSet<String> = told.lines().map(str::to_owned).collect();
    let range = format!("1-{TASKS}");
    ids.insert(submit(&cluster, ["-a", &range, "--mem=1M", "-o", "none", "--wrap", &line(0)]));
    cluster.wait_until("all of them to run", || {
        let rows = cluster.run("jqueue", ["--json", "-t", "running", "-r"]).json();
        rows["data"].as_array().unwrap().len() == SINGLE + TASKS
    });
    cluster.kill9("jctld");
    // The pipe stays open until every reader has come and gone.
    let gate = std::fs::File::options().write(true).open(cluster.work.join("gate")).unwrap();
    drop(gate);
    cluster.wait_until("the controller to be back", || cluster.run("jqueue", [""; 0]).code == 0);
    cluster.kill9("jctld");
    while !ids.iter().all(|id| folded.ends.contains_key(id)) {
        folded.take(&view.next().unwrap());
    }
    // A job more, so that a second telling of an end would have come before it.
    let last = submit(&cluster, ["-o", "none", "--wrap", "true"]);
    while !folded.ends.contains_key(&last) {
        folded.take(&view.next().unwrap());
    }
    let twice: Vec<_> = folded.ends.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let listed = cluster.run("jqueue", ["--json", "-t", "all"]).json();
    let listed = listed["data"].as_array().unwrap();
    assert_eq!(listed.len(), ids.len() + 1);
    for job in listed {
        let id = job["array_id"].as_str().unwrap_or_else(|| job["id"].as_str().unwrap());
        for field in ["state", "exit_code", "tasks", "start_time", "end_time", "restarts"] {
            assert_eq!(folded.jobs[id][field], job[field], "{field} of {id}");
        }
    }
}

/// What happens while nobody looks is told afterwards, over a restart, too.
#[test]
fn a_view_goes_on_from_its_position() {
    let mut cluster = Cluster::builder().cpus(8).start();
    let line = |gate: &str| format!("{}; exit 4", until_gate(gate));
    let leaves = submit(&cluster, ["--wrap", &line("leaves")]);
    let stays = submit(&cluster, ["--wrap", &line("stays")]);
    until(&cluster, &leaves, "running");
    until(&cluster, &stays, "running");
    let (first, _) = seen(&cluster, &["-t", "running"], |line| line["snapshot"].is_array());
    assert_eq!(first["snapshot"].as_array().unwrap().len(), 2);
    let position = first["position"].to_string();
    write(&cluster, "leaves", "");
    assert_eq!(wait(&cluster, &leaves), 4);
    let told = |line: &Value| line["job"]["id"] == *leaves;
    for restarted in [false, true] {
        if restarted {
            cluster.stop();
            cluster.start_again();
        }
        let (end, before) = seen(&cluster, &["-t", "running", "--position", &position], told);
        assert_eq!((&end["job"]["state"], &end["job"]["exit_code"]), (&"failed".into(), &4.into()));
        assert!(before.iter().all(|line| line["snapshot"].is_null()), "{before:?}");
    }
    // From after the end on it is not told again; what comes next is.
    let (first, _) = seen(&cluster, &["-t", "running"], |line| line["snapshot"].is_array());
    let position = first["position"].to_string();
    write(&cluster, "stays", "");
    assert_eq!(wait(&cluster, &stays), 4);
    let (_, before) = seen(&cluster, &["--position", &position], |line| line["job"]["end_time"].is_string());
    assert!(before.iter().all(|line| line["job"]["id"] != *leaves), "{before:?}");
}

/// Commands that wait outlive the controller's death, and are told at the end.
#[test]
fn waiting_outlives_the_controller() {
    let cluster = Cluster::builder().cpus(8).start();
    let gated = |code: u8| format!("echo begun; {}; echo done; exit {code}", until_gate("go"));
    let one = submit(&cluster, ["--wrap", &gated(3)]);
    let other = submit(&cluster, ["--wrap", &gated(5)]);
    let held = submit(&cluster, ["--hold", "--wrap", "true"]);
    until(&cluster, &one, "running");
    let waits = start(cluster.command("jqueue"), &["wait", &one, &other]);
    let starts = start(cluster.command("jqueue"), &["wait", "--for", "start", &held]);
    let drained = start(cluster.command("jnode"), &["wait", "n1", "--for", "drained"]);
    let mut nodes = start(cluster.command("jnode"), &["--watch", "--json"]);
    let mut nodes_said = BufReader::new(nodes.0.stdout.take().unwrap()).lines();
    assert!(nodes_said.next().unwrap().unwrap().contains("snapshot"));
    let mut follows = start(cluster.command("jsubmit"), &["--follow", "--wrap", &gated(7)]);
    let mut output = BufReader::new(follows.0.stdout.take().unwrap());
    let mut text = String::new();
    output.read_line(&mut text).unwrap();
    let before = cluster.kill9("jctld");
    cluster.wait_until("a new controller", || cluster.pid("jctld").is_some_and(|pid| pid != before));
    cluster.wait_until("it to answer", || cluster.run("jqueue", ["release", &held]).code == 0);
    write(&cluster, "go", "");
    output.read_to_string(&mut text).unwrap();
    assert_eq!(text, "begun\ndone\n");
    cluster.run("jnode", ["drain", "n1", "--reason", "enough"]).ok();
    assert_eq!(codes([waits, starts, drained, follows]), [5, 0, 0, 7]);
    // Told by push: the drain is in the view that was open all the time.
    assert!(nodes_said.any(|line| line.unwrap().contains("drained")));
}

/// `--tied`: the job ends with the command, and not with the controller.
#[test]
fn a_tied_job_ends_with_its_command() {
    let cluster = Cluster::start(1);
    for signal in [Signal::SIGHUP, Signal::SIGTERM] {
        let mut child =
            start(cluster.command("jsubmit"), &["--tied", "--parsable", "--wrap", "exec sleep 600"]);
        let mut id = String::new();
        BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut id).unwrap();
        let id = id.trim();
        until(&cluster, id, "running");
        if signal == Signal::SIGTERM {
            cluster.kill9("jctld");
            cluster.wait_until("the controller to be back", || cluster.run("jqueue", [""; 0]).code == 0);
            until(&cluster, id, "running");
        }
        kill(Pid::from_raw(child.0.id().cast_signed()), signal).unwrap();
        let mut said = String::new();
        child.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(child.0.wait().unwrap().code(), Some(130), "{said}");
        assert!(said.contains(&format!("{id} is cancelled")), "{said}");
        let job = crate::show(&cluster, id);
        assert_eq!((&job["state"], &job["request"]["tied"]), (&"cancelled".into(), &true.into()));
    }
    // One whose command has gone before it could hold it is `jcancel`led by the controller, in a minute: the core's
    // scenario `tied` passes the time.
    assert_eq!(cluster.run("jsubmit", ["--tied", "--wrap", "exit 6"]).code, 6);
}

/// The first line of a live view that is the wanted one, and those before it.
fn seen(cluster: &Cluster, args: &[&str], wanted: impl Fn(&Value) -> bool) -> (Value, Vec<Value>) {
    let mut child = start(cluster.command("jqueue"), &[&["--watch", "--json"], args].concat());
    let mut before = Vec::new();
    for line in BufReader::new(child.0.stdout.take().unwrap()).lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if wanted(&line) {
            return (line, before);
        }
        before.push(line);
    }
    panic!("the view ended: {before:?}");
}

fn codes<const N: usize>(children: [Running; N]) -> [i32; N] {
    children.map(|mut child| child.0.wait().unwrap().code().unwrap())
}

/// A command that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(mut command: Command, args: &[&str]) -> Running {
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running(command.spawn().unwrap())
}
