//! Bytes of messages and records as this version writes them: later versions must read them for ever. New bytes are
//! added beside the old ones (`JSCHED_BLESS=1` writes files that are missing); old ones are never rewritten.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Debug;
use std::path::Path;

use jsched::model::change::{Change, Group};
use jsched::model::ids::{
    Attempt, BootId, ContentHash, Epoch, Incarnation, Instance, JobId, NodeId, Ordinal, Position, SessionId,
    SpoolId, TaskRef,
};
use jsched::model::record::{Hardware, Live, Phase, Slots, Wanted};
use jsched::model::resources::Resources;
use jsched::model::state::{Cause, CauseKind, End, State, Usage};
use jsched::model::task_set::TaskSet;
use jsched::model::time::WallTime;
use jsched::wire::client::{Act, Filter, Reply, Request, Selection, Selector, Verb};
use jsched::wire::codec::{Body, decode, encode};
use jsched::wire::data::{From, Piece, ReadFile, Shipment, Shipped};
use jsched::wire::node::{Act as Do, AttemptRef, Hello, KillReason, Order, TaskRun, ToNode};

fn hold<T: Body + PartialEq + Debug>(name: &str, value: &T) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/wire").join(format!("{name}.hex"));
    let hex: String = encode(value).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    if std::env::var_os("JSCHED_BLESS").is_some() && !path.exists() {
        std::fs::write(&path, format!("{hex}\n")).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    let bytes: Vec<u8> = kept
        .trim()
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    assert_eq!(decode::<T>(&bytes).unwrap(), *value, "{name}: old bytes mean something else now");
    assert_eq!(hex, kept.trim(), "{name}: written otherwise under the same version");
}

fn instance() -> Instance {
    Instance { spool: SpoolId([1; 16]), boot: BootId([2; 16]) }
}

fn end() -> End {
    End {
        state: State::Failed,
        exit_code: 3,
        signal: 0,
        cause: Cause { kind: CauseKind::Exit, by: String::new(), text: "said so".to_owned() },
        node: Some(NodeId(7)),
        start: Some(WallTime(1_000)),
        end: WallTime(2_000),
        usage: Usage { cpu_ms: 12, memory_peak_bytes: 4_096 },
        attempt: Attempt(2),
    }
}

#[test]
fn messages_of_nodes() {
    let resources = Resources { cpus: 4, memory_bytes: 1 << 34, tmp_bytes: 1 << 30 };
    let hello = Hello {
        instance: instance(),
        hardware: Hardware {
            resources,
            sockets: 1,
            threads: 8,
            limits: "cgroup v2".to_owned(),
            system: "Linux".to_owned(),
        },
        version: "0.1.0".to_owned(),
        only_uid: None,
        boot_time: WallTime(5),
        incarnation: Some(Incarnation([3; 16])),
        epoch: Epoch(9),
        position: Position(300),
        clock: WallTime(6),
    };
    hold("hello", &hello);
    let run = TaskRun { first: Ordinal(0), last: Ordinal(299), attempt: Attempt(1) };
    let kill = KillReason::Cancel { by: "ada".to_owned(), text: "enough".to_owned() };
    let order = Order {
        incarnation: Incarnation([3; 16]),
        epoch: Epoch(9),
        position: Position(301),
        session: SessionId(4),
        instance: instance(),
        job: JobId(123),
        act: Do::Kill { attempts: vec![run], reason: kill },
    };
    hold("order", &ToNode::Order(order));
    let run_task = TaskRef { job: JobId(123), ordinal: Ordinal(4) };
    let read = ReadFile {
        user: "ada".to_owned(),
        uid: jsched::model::ids::Uid(1_000),
        path: "/home/ada/out".to_owned(),
        attempt: AttemptRef { task: run_task, attempt: Attempt(2) },
        error: true,
        from: From::LastLines(10),
        bytes: 4_096,
        wait_ms: 0,
    };
    hold("read_file", &read);
    let piece = Piece {
        attempt: AttemptRef { task: run_task, attempt: Attempt(2) },
        error: true,
        path: "/tmp/own".to_owned(),
        start: 7,
        offset: 9,
        bytes: b"bytes".to_vec(),
        size: 14,
        last: true,
    };
    hold("shipment", &Shipment { pieces: vec![piece] });
    hold("shipped", &Shipped::NotKept("no room".to_owned()));
}

#[test]
fn messages_of_commands() {
    let selection = Selection { selectors: vec![Selector::Number(JobId(7))], filter: Filter::default() };
    let verb = Verb::Cancel { reason: "enough".to_owned() };
    hold("cancel", &Request::Act(Act { key: "k".to_owned(), verb, selection, dry_run: false }));
    hold("done", &Reply::Done { lines: vec!["n1 drained".to_owned()], warnings: vec![] });
}

#[test]
fn groups_of_the_log() {
    let task = TaskRef { job: JobId(123), ordinal: Ordinal(4) };
    let live = Live {
        node: NodeId(7),
        instance: instance(),
        attempt: Attempt(2),
        phase: Phase::Running,
        given: WallTime(900),
        start: Some(WallTime(1_000)),
        wanted: Wanted::Run,
    };
    let charge = Resources { cpus: 1, memory_bytes: 1 << 30, tmp_bytes: 0 };
    let slots = Slots { count: 3, charge, exclusive: false, refills: true, not_after: None };
    let changes = vec![
        Change::NextJob(JobId(200)),
        Change::Live { job: JobId(123), set: TaskSet::from_runs(vec![(4, 4), (9, 20)]), live },
        Change::Slots { job: JobId(123), node: NodeId(7), slots: Some(slots) },
        Change::Ended { task, end: Box::new(end()) },
        Change::Waiting { job: JobId(123), set: TaskSet::one(Ordinal(4)), held: false },
        Change::Content {
            owner: jsched::model::ids::Uid(1_000),
            hash: ContentHash::of(b"x"),
            bytes: Some(b"x".to_vec()),
        },
    ];
    hold("group", &Group { changes });
}
