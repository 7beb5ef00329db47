//! What people and programs see, word for word, in `tests/golden/render/`. Set `JSCHED_BLESS` to write them anew, and
//! read the difference.

use std::path::Path;

use serde_json::{Value, json};

use super::format::{Format, parse_sort, sort};
use super::sample::{ago, array, clock, ended, job, node, partition, task};
use super::*;
use crate::model::identity::Role;
use crate::model::ids::{Attempt, ContentHash, Epoch, Incarnation, JobId, Position, Uid};
use crate::model::policy::PartitionPolicy;
use crate::model::spec::{
    Files, JobSpec, MemoryRequest, Output, Place, Request, Restart, RetryOn, Times, WorkDir,
};
use crate::model::state::State;
use crate::model::time::{Seconds, TimeLimit, WallTime};
use crate::wire::client::{ActLine, Footer, Receipt, UsageBy};
use crate::wire::info as wire_info;
use crate::wire::info::{ClusterStatus, Condition, JobDetail, TimelineEntry, UsageRow, Whoami};

/// Compares with the golden text of that name.
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/render").join(name);
    if std::env::var_os("JSCHED_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{name} is not as it was:\n{text}\ninstead of:\n{expected}");
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

fn jobs() -> Vec<wire_info::JobInfo> {
    let mut rows: Vec<_> =
        State::ALL.iter().enumerate().map(|(k, state)| job(JobId(101 + k as u64), *state)).collect();
    rows.push(array(JobId(200)));
    rows.push(task(JobId(200), 7, State::Failed));
    rows
}

fn spec() -> JobSpec {
    JobSpec {
        name: "train".to_owned(),
        script: ContentHash([1; 32]),
        environment: ContentHash([2; 32]),
        arguments: vec!["--epochs".to_owned(), "3\u{1b}".to_owned()],
        work_dir: WorkDir::Path("/home/alice".to_owned()),
        submit_dir: "/home/alice".to_owned(),
        submit_host: "login1".to_owned(),
        umask: 0o22,
        files: Files {
            input: String::new(),
            output: Output::Pattern("jsched-%j.out".to_owned()),
            error: None,
            append: false,
        },
        request: Request {
            tasks: Some(2),
            memory: MemoryRequest::PerNode(3 << 29),
            nodes: Some((1, 1)),
            ..Request::default()
        },
        place: Place { exclude: vec!["n3".to_owned(), "n4".to_owned()], ..Place::default() },
        times: Times { limit: Some(TimeLimit(Some(Seconds(3_600)))), ..Times::default() },
        account: "physics".to_owned(),
        qos: String::new(),
        nice: 0,
        priority: None,
        array: None,
        dependencies: Default::default(),
        hold: false,
        restart: Restart {
            retries: 3,
            on: RetryOn { oom: true, ..RetryOn::default() },
            ..Restart::default()
        },
        signal: None,
        comment: String::new(),
        harmless: vec!["--mail-type=END".to_owned()],
        tied: false,
    }
}

fn detail(state: State) -> JobDetail {
    let waits = state == State::Pending;
    JobDetail {
        priority: vec![],
        info: job(JobId(123), state),
        spec: Some(Box::new(spec())),
        dependencies: if waits { vec!["afterok:120 (running)".to_owned()] } else { vec![] },
        timeline: vec![
            TimelineEntry { at: ago(7_200), attempt: Attempt(0), text: "submitted by alice".to_owned() },
            TimelineEntry { at: ago(600), attempt: Attempt(1), text: "started on n1\nfake line".to_owned() },
        ],
        ahead: waits.then_some(3),
        policy: PartitionPolicy::default(),
        conditions: if waits {
            vec![
                Condition {
                    code: "Resources".to_owned(),
                    nodes: 2,
                    text: "too few free cpus".to_owned(),
                    until: None,
                },
                Condition {
                    code: "Dependency".to_owned(),
                    nodes: 0,
                    text: "waits for 120".to_owned(),
                    until: Some(ago(-60)),
                },
            ]
        } else {
            vec![]
        },
        estimate: waits.then(|| WallTime(ago(0).0 + 1_800_000_000)),
        advice: vec![wire_info::Advice { change: "time=30:00".to_owned(), start: Some(ago(-120)) }],
        attempts: vec![],
    }
}

#[test]
fn lists_of_jobs() {
    let clock = clock();
    let mut rows = jobs();
    golden("jqueue.txt", &Format::standard(false).text(&rows, &clock, true, None));
    golden("jqueue-long.txt", &Format::standard(true).text(&rows, &clock, true, None));
    golden("jqueue-narrow.txt", &Format::standard(false).text(&rows, &clock, true, Some(80)));
    sort(&mut rows, &parse_sort("-state,-id").unwrap(), &clock);
    let slurm = Format::parse("%.10i|%-12j|%t|%M|%R|%k").unwrap();
    golden("jqueue-format.txt", &slurm.text(&rows, &clock, true, None));
    golden("jqueue-help.txt", &format::help().text(true, None));
}

#[test]
fn jobs_as_json() {
    let clock = clock();
    let rows = [
        job(JobId(1), State::Pending),
        job(JobId(2), State::Cancelled),
        array(JobId(200)),
        task(JobId(200), 7, State::Timeout),
    ];
    let rows: Vec<Value> = rows.iter().map(|row| Value::Object(job_json::job_json(row, &clock))).collect();
    golden("jobs.json", &pretty(&Value::Array(rows)));
    golden("detail.json", &pretty(&Value::Object(job_json::detail_json(&detail(State::Failed), &clock))));
    let foreign = wire_info::JobInfo { private: None, ..job(JobId(3), State::Running) };
    let object = job_json::job_json(&foreign, &clock);
    for name in ["work_dir", "output", "error", "comment", "script_hash"] {
        assert_eq!(object.get(name), Some(&Value::Null), "{name}");
    }
}

#[test]
fn one_job_in_words() {
    let clock = clock();
    for state in [State::Pending, State::Running, State::Failed] {
        golden(&format!("show-{state}.txt"), &show::show(&detail(state), &clock));
    }
    let array = JobDetail { info: array(JobId(200)), spec: None, ..detail(State::Running) };
    golden("show-array.txt", &show::show(&array, &clock));
    let tail = "Traceback\n\u{1b}[31mMemoryError\n";
    let whys: Vec<String> =
        [State::Pending, State::Running, State::Timeout, State::OutOfMemory, State::NodeFail]
            .iter()
            .map(|state| why::why(&detail(*state), tail, &clock))
            .collect();
    golden("why.txt", &whys.join("\n"));
    golden(
        "why.json",
        &pretty(&json!([
            why::why_json(&detail(State::Pending), ""),
            why::why_json(&detail(State::Timeout), tail),
        ])),
    );
    golden("prio.txt", &why::prio(&detail(State::Pending)));
}

#[test]
fn what_has_ended() {
    let clock = clock();
    let rows: Vec<_> = [
        (3, State::Failed),
        (17, State::Timeout),
        (91, State::Cancelled),
        (90, State::Completed),
        (92, State::OutOfMemory),
    ]
    .iter()
    .map(|(index, state)| ended(JobId(200), Some(*index), *state))
    .collect();
    golden("hist.txt", &hist::hist(&rows, &clock).text(true, None));
    golden("eff.txt", &eff::eff(&rows).text(true, None));
    golden("eff.json", &pretty(&Value::Object(eff::eff_json(&rows[0]))));
    assert_eq!(hist::task_indexes(&rows).unwrap(), vec!["3,17,90-92"]);
    let mut mixed = rows;
    mixed.push(ended(JobId(300), Some(1), State::Failed));
    mixed.push(ended(JobId(301), None, State::Failed));
    assert_eq!(hist::task_indexes(&mixed).unwrap(), vec!["200_[3,17,90-92]", "300_[1]"]);
}

#[test]
fn nodes_and_partitions() {
    let clock = clock();
    let nodes = [node("n1", "mixed", 8), node("n2", "idle", 0), node("n10", "drained", 0)];
    golden("jnode.txt", &super::node::nodes(&nodes, &clock).text(true, None));
    golden("jnode-show.txt", &super::node::node_show(&nodes[2], &clock));
    golden("jnode.json", &pretty(&Value::Object(super::node::node_json(&nodes[0]))));
    let partitions = [partition(&nodes)];
    golden("jnode-summary.txt", &super::partition::summary(&partitions, &nodes).text(true, None));
    golden("partitions.txt", &super::partition::partitions(&partitions).text(true, None));
}

#[test]
fn lines_for_people() {
    let clock = clock();
    let line = |id: &str, old: &str, new: &str, note: &str, tasks| ActLine {
        id: id.to_owned(),
        old: old.to_owned(),
        new: new.to_owned(),
        note: note.to_owned(),
        tasks,
    };
    let lines = [
        line("12", "running", "cancelled", "", 1),
        line("13_[0-9]", "pending", "held", "", 10),
        line("14", "completed", "completed", "already ended", 0),
    ];
    let mut text: String = lines.iter().map(|line| act::act_line(line) + "\n").collect();
    text += &(act::act_total(&lines, true).unwrap() + "\n");
    text += &(act::act_total(&lines, false).unwrap() + "\n");
    assert_eq!(act::act_total(&lines[..1], false), None);
    let set = ActLine { new: lines[0].old.clone(), tasks: 2, ..lines[0].clone() };
    assert_eq!(act::act_total(&[set], false).as_deref(), Some("changed 1 job (2 tasks)"));
    let understood = Receipt {
        partition: "main".to_owned(),
        cpus: 1,
        memory_bytes: 2 << 30,
        memory_is_default: true,
        limit: TimeLimit(Some(Seconds(1_800))),
        start: Some(WallTime(ago(0).0 + 3_600_000_000)),
        nodes: vec!["n1".to_owned()],
        output: "jsched-123.out".to_owned(),
        tasks: 1,
    };
    text += &(receipt::receipt(&understood, &clock) + "\n");
    let soon =
        Receipt { start: Some(ago(0)), tasks: 100, memory_bytes: 0, limit: TimeLimit(None), ..understood };
    text += &(receipt::receipt(&soon, &clock) + "\n");
    let footer = Footer { others: 2, ended_lately: 3, failed_lately: 1, failed_example: Some(JobId(124)) };
    text += &(receipt::footer(&footer).unwrap() + "\n");
    assert_eq!(receipt::footer(&Footer::default()), None);
    golden("lines.txt", &text);
}

#[test]
fn the_cluster_and_the_caller() {
    let clock = clock();
    let rows = [UsageRow {
        shares: vec![],
        name: "alice".to_owned(),
        running: 3,
        pending: 40,
        cpus: 12,
        memory_bytes: 5 << 30,
        cpu_ms: 9_000_000,
        budget: Some((306_000_000, 100)),
    }];
    let mut text = usage::usage(&rows, UsageBy::User).text(true, None);
    text += &usage::usage(&rows, UsageBy::Account).text(true, None);
    let who = Whoami {
        accounts: vec!["physics".to_owned(), "atoms".to_owned()],
        coordinates: vec![],
        name: "alice".to_owned(),
        uid: Some(Uid(1000)),
        role: Role::User,
        cluster: "c1".to_owned(),
        version: "0.1.0".to_owned(),
        clock: ago(2),
        jobs: 43,
        jobs_max: 100_000,
    };
    let side = whoami::Side { controller: "c1:6815".to_owned(), certificate_expires: Some(ago(-86_400)) };
    text += &whoami::whoami(&who, &side, &clock);
    let status = ClusterStatus {
        cluster: "c1".to_owned(),
        version: "0.1.0".to_owned(),
        incarnation: Incarnation([0xcd; 16]),
        epoch: Epoch(3),
        position: Position(1_000),
        tables_position: Position(990),
        recovery: "clean".to_owned(),
        started: ago(90_000),
        jobs: 43,
        pending: 40,
        live: 3,
        nodes: (3, 2),
        connections: 5,
        log_bytes: 7 << 20,
        memory_bytes: 30 << 20,
        warnings: vec!["UDP buffers are small".to_owned()],
        refused: vec![("failed handshake".to_owned(), 3), ("malformed request".to_owned(), 1)],
    };
    text += &status::status(&status, &clock);
    let table = [["TIME", "WHO"], ["1795362116", "ali\u{7}ce"]].map(|row| row.map(str::to_owned).to_vec());
    text += &lines::lines_table(&table, &clock).text(false, None);
    golden("cluster.txt", &text);
    let all = json!([
        usage::usage_json(&rows, UsageBy::User),
        whoami::whoami_json(&who, &side, &clock),
        status::status_json(&status),
        lines::lines_json(&table),
    ]);
    golden("cluster.json", &pretty(&all));
}
