//! The commands as processes, against a controller that answers what the test wants: what goes to standard output and
//! to standard error, and how they exit.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use jsched::{client, model, net, pki, wire};

#[allow(dead_code, reason = "shared with the tests of the client")]
#[path = "../src/client/fake.rs"]
mod fake;

use fake::{Answer, FakeController};
use model::ids::{Attempt, JobId, Position};
use model::spec::JobSpec;
use model::state::State;
use model::time::{Seconds, TimeLimit, WallTime};
use wire::client::{
    ActLine, Footer, Receipt, Refusal, RefusalCode, Reply, Request, Selector, Verb, WaitOutcome,
};
use wire::info::{JobInfo, Reason};

fn command(fake: &FakeController, name: &str, arguments: &[&str]) -> Command {
    let path = match name {
        "jsubmit" => env!("CARGO_BIN_EXE_jsubmit"),
        "jqueue" => env!("CARGO_BIN_EXE_jqueue"),
        "jcancel" => env!("CARGO_BIN_EXE_jcancel"),
        _ => env!("CARGO_BIN_EXE_jnode"),
    };
    let mut command = Command::new(path);
    command.args(arguments).env("JSCHED_CONFIG", fake.config_file()).env_remove("JSCHED_SOCKET");
    command
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(fake: &FakeController, name: &str, arguments: &[&str]) -> (i32, String, String) {
    told(command(fake, name, arguments).output().unwrap())
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Starts it and ends it when the test is over, also when that fails.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Running {
        Running(command.spawn().unwrap())
    }

    fn end(mut self) -> (i32, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.0.wait().unwrap().code().unwrap(), out, err)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn submitted(ids: &[u64]) -> Reply {
    let receipt = Receipt { partition: "main".to_owned(), cpus: 1, ..Receipt::default() };
    Reply::Submitted {
        jobs: ids.iter().map(|id| JobId(*id)).collect(),
        receipt,
        warnings: vec!["mind\u{7}".to_owned()],
    }
}

fn outcome(id: u64, state: State, code: u8) -> WaitOutcome {
    WaitOutcome { id: id.to_string(), state, code }
}

fn job(id: u64, name: &str, state: State) -> JobInfo {
    JobInfo {
        id: id.to_string(),
        job: JobId(id),
        task: None,
        number: JobId(id),
        name: name.to_owned(),
        user: "alice".to_owned(),
        account: String::new(),
        qos: String::new(),
        partition: "main".to_owned(),
        state,
        reason: Reason { code: "Priority".to_owned(), text: String::new() },
        nodes: vec![],
        cpus: 1,
        memory_bytes: 1 << 30,
        limit: TimeLimit(Some(Seconds(60))),
        priority: 0,
        submit_time: WallTime(0),
        eligible_time: None,
        start_time: None,
        end_time: None,
        end: None,
        attempt: Attempt(0),
        restarts: 0,
        tasks: vec![],
        handed: 0,
        private: None,
    }
}

fn rows(jobs: Vec<JobInfo>) -> Answer {
    Answer::Replies(vec![Reply::Jobs { jobs, position: Position(1), footer: Some(Footer::default()) }])
}

fn specs(fake: &FakeController) -> Vec<Arc<JobSpec>> {
    let of = |request| if let Request::Submit(submit) = request { submit.specs } else { vec![] };
    fake.requests().into_iter().flat_map(of).collect()
}

#[test]
fn the_id_is_all_that_stands_on_standard_output() {
    let fake = FakeController::start(|_| Answer::Replies(vec![submitted(&[123])]));
    let (code, out, err) = run(&fake, "jsubmit", &["-J", "n", "--wrap", "true"]);
    assert_eq!((code, out.as_str()), (0, "Submitted batch job 123\n"));
    assert_eq!(err, "jsubmit: warning: mind\\u{7}\n");
    assert_eq!(run(&fake, "jsubmit", &["--parsable", "--wrap", "true"]).1, "123\n");
    let (_, out, err) = run(&fake, "jsubmit", &["--json", "--wrap", "true"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((json["schema"].as_str(), json["data"]["id"].as_str()), (Some("jsched/1"), Some("123")));
    assert_eq!((json["warnings"][0].as_str(), err.as_str()), (Some("mind\u{7}"), ""));
    assert_eq!(specs(&fake)[0].name, "n");
}

#[test]
fn many_jobs_print_an_id_a_line_in_the_files_order() {
    let fake = FakeController::start(|_| Answer::Replies(vec![submitted(&[5, 6])]));
    let mut child = command(&fake, "jsubmit", &["--jobs", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let lines =
        "{\"command\":[\"true\"],\"label\":\"a\"}\n{\"command\":[\"true\"],\"dependency\":\"afterok:@a\"}\n";
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let (code, out, err) = told(child.wait_with_output().unwrap());
    assert_eq!((code, out.as_str()), (0, "5\n6\n"), "{err}");
}

#[test]
fn exit_codes_say_what_is_known() {
    let mut fake = FakeController::start(|_| {
        let refusal = Refusal::new(RefusalCode::Impossible, "no node has 99 cpus", "the largest has 4");
        Answer::Replies(vec![Reply::Refused(refusal)])
    });
    let (code, out, err) = run(&fake, "jsubmit", &["--wrap", "true"]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (1, "", "jsubmit: no node has 99 cpus\n  the largest has 4\n")
    );
    let (code, out, _) = run(&fake, "jsubmit", &["--json", "--wrap", "true"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, json["error"]["code"].as_str(), json["error"]["hint"].as_str()),
        (1, Some("impossible"), Some("the largest has 4"))
    );

    fake.kill();
    let (code, out, err) = run(&fake, "jsubmit", &["--wrap", "true"]);
    assert_eq!((code, out.as_str()), (69, ""));
    assert!(err.contains("nothing was accepted"), "{err}");

    let mut without = command(&fake, "jsubmit", &["--wrap", "true"]);
    let (code, _, err) = told(without.env("JSCHED_CONFIG", "/nowhere/client.toml").output().unwrap());
    assert_eq!(code, 78);
    assert!(err.contains("/nowhere/client.toml"), "{err}");

    let (code, _, err) = run(&fake, "jcancel", &[]);
    assert_eq!(code, 64, "{err}");
}

#[test]
fn waiting_gives_the_highest_code_and_following_the_output_alone() {
    let fake = FakeController::start({
        let mut logs = 0;
        move |request| match request {
            Request::Submit(submit) => {
                let ids: Vec<u64> = (0..submit.specs.len() as u64).map(|k| 7 + k).collect();
                Answer::Replies(vec![submitted(&ids)])
            }
            Request::Wait(wait) if wait.start => {
                Answer::Replies(vec![Reply::Waited { outcomes: vec![outcome(7, State::Running, 0)] }])
            }
            Request::Wait(_) => Answer::Replies(vec![Reply::Waited {
                outcomes: vec![outcome(7, State::Failed, 3), outcome(8, State::Timeout, 124)],
            }]),
            Request::Log(_) => {
                logs += 1;
                let (offset, bytes, state) = match logs {
                    1 => (0, b"live ".to_vec(), State::Running),
                    2 => return Answer::Die(vec![]),
                    3 => (5, b"and late\n".to_vec(), State::Failed),
                    _ => (14, vec![], State::Failed),
                };
                let note = String::new();
                let output = wire::client::Output {
                    id: "7".into(),
                    state,
                    attempt: Attempt(1),
                    offset,
                    bytes,
                    size: 14,
                    note,
                    start: 0,
                    over: state.is_end(),
                    latest: Attempt(1),
                    node: Default::default(),
                };
                Answer::Replies(vec![Reply::Output(output)])
            }
            other => panic!("{other:?}"),
        }
    });
    let (code, out, err) = run(&fake, "jsubmit", &["--parsable", "--wait", "--wrap", "true"]);
    assert_eq!((code, out.as_str()), (124, "7\n"));
    assert!(err.contains("7: failed (3): `jqueue why 7`"), "{err}");
    let (code, out, err) = run(&fake, "jsubmit", &["--follow", "--wrap", "true"]);
    assert_eq!((code, out.as_str()), (124, "live and late\n"), "{err}");
    assert!(err.starts_with("Submitted batch job 7\n"), "{err}");
    let (code, _, _) = run(&fake, "jsubmit", &["--follow", "-a", "1-3", "--wrap", "true"]);
    assert_eq!(code, 64);
}

#[test]
fn a_signal_ends_the_waiting_and_not_the_job() {
    let fake = FakeController::start(|request| match request {
        Request::Submit(_) => Answer::Replies(vec![submitted(&[7])]),
        _ => Answer::Hold(vec![]),
    });
    for signal in [nix::sys::signal::Signal::SIGINT, nix::sys::signal::Signal::SIGTERM] {
        let mut running = Running::start(command(&fake, "jsubmit", &["--wait", "--wrap", "true"]));
        let mut line = String::new();
        let mut out = BufReader::new(running.0.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "Submitted batch job 7\n");
        // The id is out before the waiting begins; the signal counts once the controller was asked to wait.
        let waits = |fake: &FakeController| {
            fake.requests().iter().filter(|request| matches!(request, Request::Wait(_))).count()
        };
        let before = if signal == nix::sys::signal::Signal::SIGINT { 0 } else { 1 };
        while waits(&fake) == before {
            std::thread::yield_now();
        }
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(running.0.id() as i32), signal).unwrap();
        running.0.stdout =
            Some(Command::new("true").stdout(Stdio::piped()).spawn().unwrap().stdout.take().unwrap());
        let (code, _, err) = running.end();
        assert_eq!(code, 75);
        assert!(err.ends_with("7 goes on: `jqueue wait 7`, `jcancel 7`\n"), "{err}");
    }
    assert!(!fake.requests().iter().any(|request| matches!(request, Request::Act(_))));
}

#[test]
fn lists_are_columns_or_json_and_a_gone_reader_ends_them_quietly() {
    let fake = FakeController::start(|request| match request {
        Request::List(list) if list.selection.filter.own => {
            rows(vec![job(1, "a\u{1b}b", State::Pending), job(2, "c", State::Running)])
        }
        Request::List(_) => rows((0..20_000).map(|id| job(id, "x", State::Pending)).collect()),
        other => panic!("{other:?}"),
    });
    let (code, out, err) = run(&fake, "jqueue", &["-o", "id,name,state", "-S", "-id"]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "JOBID NAME     STATE\n2     c        running\n1     a\\u{1b}b pending\n", "")
    );
    let (_, out, _) = run(&fake, "jqueue", &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["data"][0]["name"].as_str(), Some("a\u{1b}b"));

    let mut running = Running::start(command(&fake, "jqueue", &["-a"]));
    let mut first = [0; 5];
    let mut out = running.0.stdout.take().unwrap();
    out.read_exact(&mut first).unwrap();
    drop(out);
    let mut err = String::new();
    running.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((running.0.wait().unwrap().code(), err.as_str()), (Some(0), ""));
}

#[test]
fn acts_say_old_and_new_state_and_send_what_was_meant() {
    let fake = FakeController::start(|_| {
        let line = |id: &str, note: &str| ActLine {
            id: id.to_owned(),
            old: "running".to_owned(),
            new: "cancelled".to_owned(),
            note: note.to_owned(),
            tasks: 1,
        };
        Answer::Replies(vec![Reply::Acted { lines: vec![line("7", ""), line("8", "by bob\u{1b}")] }])
    });
    let (code, out, err) = run(&fake, "jcancel", &["7", "8", "--reason", "why not", "--key", "k1"]);
    assert_eq!((code, out.as_str()), (0, "7: running → cancelled\n8: running → cancelled (by bob\\u{1b})\n"));
    assert_eq!(err, "changed 2 jobs\n");
    run(&fake, "jqueue", &["requeue", "9", "-t", "bad", "--dry-run"]);
    let acts: Vec<wire::client::Act> = fake
        .requests()
        .into_iter()
        .map(|request| if let Request::Act(act) = request { act } else { panic!() })
        .collect();
    assert_eq!((acts[0].key.as_str(), &acts[0].verb), ("k1", &Verb::Cancel { reason: "why not".to_owned() }));
    assert_eq!(acts[0].selection.selectors, vec![Selector::Number(JobId(7)), Selector::Number(JobId(8))]);
    assert!(acts[1].dry_run && acts[1].key.len() == 32 && !acts[1].selection.filter.own);
    assert!(acts[1].selection.filter.states.iter().all(|state| state.is_bad()));
}

#[test]
fn a_lost_answer_is_asked_for_again_and_named_when_it_stays_away() {
    let fake = FakeController::start({
        let mut tries = 0;
        move |_| {
            tries += 1;
            if tries < 3 { Answer::Die(vec![]) } else { Answer::Replies(vec![submitted(&[7])]) }
        }
    });
    let (code, out, _) = run(&fake, "jsubmit", &["--parsable", "--wrap", "true"]);
    assert_eq!((code, out.as_str()), (0, "7\n"));
    let keys: std::collections::BTreeSet<String> = fake
        .requests()
        .into_iter()
        .map(|request| if let Request::Submit(submit) = request { submit.key } else { panic!() })
        .collect();
    assert_eq!(keys.len(), 1);
}

#[test]
fn tokens_carry_the_secrets_whose_hashes_were_sent() {
    let fake = FakeController::start(|_| {
        Answer::Replies(vec![Reply::Tokens {
            addresses: vec!["c1:6815".to_owned()],
            cluster: "c1".to_owned(),
            fingerprint: [7; 32],
            expires: WallTime(1_795_362_116_000_000),
        }])
    });
    let (code, out, err) = run(&fake, "jnode", &["add", "n[1-2]"]);
    assert_eq!(code, 0, "{err}");
    let Some(Request::NodeAct(wire::client::NodeAct::Add { nodes, secrets, .. })) = fake.requests().pop()
    else {
        panic!("no such request");
    };
    let tokens: Vec<pki::token::JoinToken> =
        out.lines().map(|line| pki::token::JoinToken::decode(line).unwrap()).collect();
    let hashes: Vec<[u8; 32]> = tokens.iter().map(|token| token.secret().hash().0).collect();
    assert_eq!(hashes, secrets.iter().map(|secret| secret.0).collect::<Vec<_>>());
    let names: Vec<String> = tokens
        .iter()
        .map(
            |token| if let pki::token::TokenName::One(name) = token.name() { name.clone() } else { panic!() },
        )
        .collect();
    assert_eq!(
        (names, nodes),
        (vec!["n1".to_owned(), "n2".to_owned()], vec!["n1".to_owned(), "n2".to_owned()])
    );
    assert!(out.lines().all(|line| !err.contains(line)));
}
