//! Deaths of the daemon and of the supervisor, and hostile or broken peers.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jsched::model::state::State;
use jsched::model::time::Seconds;
use jsched::wire::supervisor::*;
use jsched::worker::supervisor::client::{self, SocketPath};
use jsched::worker::supervisor::clock;
use jsched::worker::supervisor::records::{self, Fate};
use jsched::worker::tree;

use crate::node::*;

#[test]
fn the_daemon_dies_and_nothing_is_lost() {
    let mut node = Node::without_supervisor();
    // A shell stands for the daemon: the supervisor is its child, and it is killed.
    let line = "mkdir -m 711 \"$2\"; \"$1\" supervise --folder \"$2\" --id \"$3\" & wait";
    let mut daemon = Command::new("/bin/sh")
        .args(["-c", line, "daemon", env!("CARGO_BIN_EXE_jworkerd")])
        .arg(&node.folder)
        .arg(&node.id)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    node.connect();
    let lines =
        "echo start $SLURM_ARRAY_TASK_ID; while [ ! -e go ]; do sleep 0.01; done; exit $SLURM_ARRAY_TASK_ID";
    let job = as_array(node.job(lines), 3, 2);
    node.send(ToSupervisor::Job(Box::new(job.clone())));
    node.send(ToSupervisor::Run { tasks: (0..3).map(array_run).collect() });
    node.start_of(&array_run(1));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    node.link = None;
    std::fs::write(node.work().join("go"), "").unwrap();
    wait_for(|| node.read("out").contains("start 2").then_some(()));

    let ends = wait_for(|| {
        let inventory = node.connect();
        (inventory.reports.len() == 3).then_some(inventory.reports)
    });
    let mut codes: Vec<(u32, u8)> = ends
        .iter()
        .map(|report| match &report.news {
            News::Ended(end) => (report.task.ordinal.0, end.exit_code),
            News::Never => panic!("{report:?}"),
        })
        .collect();
    codes.sort_unstable();
    assert_eq!(codes, [(0, 0), (1, 1), (2, 2)]);
    // The daemon repeats what it does not know to have arrived.
    node.send(ToSupervisor::Job(Box::new(job)));
    node.send(ToSupervisor::Run { tasks: (0..3).map(array_run).collect() });
    node.send(ToSupervisor::Acknowledge { up_to: ends[1].number });
    let inventory = node.connect();
    assert_eq!(inventory.reports, ends[2..]);
    assert_eq!(inventory.queued, []);
    assert_eq!(node.read("out").lines().count(), 3, "none ran twice");
    let recorded = records::read(&node.folder).unwrap();
    assert_eq!(recorded.attempts.len(), 3);
    assert!(recorded.attempts.values().all(|fate| matches!(fate, Fate::Ended(_))));
    node.send(ToSupervisor::Acknowledge { up_to: u64::MAX });
    node.send(ToSupervisor::Finish);
    wait_for(|| (!node.folder.join("socket").exists()).then_some(()));
}

#[test]
fn one_started_ahead_has_its_job_or_goes() {
    let program = Path::new(env!("CARGO_BIN_EXE_jworkerd"));
    let hello = encode(&ToSupervisor::Hello { version: VERSION }).unwrap();
    for has_job in [false, true] {
        let mut node = Node::without_supervisor();
        let ahead = node.root.path().join("spool/ahead");
        let (mut process, mut link) = client::start_ahead(program, &ahead, &node.id).unwrap();
        wait_for(|| ahead.join("socket").exists().then_some(()));
        std::fs::rename(&ahead, &node.folder).unwrap();
        let job = encode(&ToSupervisor::Job(Box::new(node.job("cat $0; exit 6")))).unwrap();
        let tasks = encode(&ToSupervisor::Run { tasks: vec![run(1)] }).unwrap();
        let words = if has_job { [&hello[..], &job, &tasks].concat() } else { hello.clone() };
        link.write_all(&words).unwrap();
        // The daemon dies before it hears anything.
        drop(link);
        if !has_job {
            assert!(process.wait().unwrap().success());
            assert!(!node.folder.join("socket").exists() && !node.folder.join("records").exists());
            continue;
        }
        node.process = Some(process);
        let inventory = node.connect();
        assert_eq!(inventory.job.map(|job| job.0), Some(123));
        node.send(ToSupervisor::Run { tasks: vec![run(1)] });
        let end = wait_for(|| match node.connect().reports.first()?.news {
            News::Ended(ref end) => Some(end.exit_code),
            News::Never => None,
        });
        assert_eq!(end, 6, "{}", node.read("out"));
        assert!(node.read("out").contains("exit 6"), "the script lies where the folder is now");
        node.finish();
    }
}

#[test]
fn the_supervisor_dies_and_nothing_of_its_jobs_stays() {
    let mut node = Node::start();
    let lines = "(setsid sleep 1000 &); setsid sleep 1000 & echo ready; wait";
    let job = as_array(node.job(lines), 3, 2);
    node.send(ToSupervisor::Job(Box::new(job)));
    node.send(ToSupervisor::Run { tasks: (0..3).map(array_run).collect() });
    wait_for(|| (node.read("out").lines().count() == 2 && node.marked() == 6).then_some(()));
    let mut process = node.process.take().unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    let recorded = records::read(&node.folder).unwrap();
    let firsts: Vec<(i32, u64)> = recorded
        .attempts
        .values()
        .map(|fate| match fate {
            Fate::Started { pid, start_ticks, .. } => (*pid as i32, *start_ticks),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(firsts.len(), 2, "the third was never meant to start");
    assert!(firsts.iter().all(|(pid, ticks)| tree::process(*pid).unwrap().start_ticks == *ticks));
    tree::end_all(&tree::Remains { supervisor: &node.id, firsts: &firsts, cgroups: None }).unwrap();
    assert_eq!(node.marked(), 0);
}

#[test]
fn broken_peers_are_refused_and_change_nothing() {
    let mut node = Node::start();
    let job = node.job("while [ ! -e go ]; do sleep 0.01; done");
    node.send(ToSupervisor::Job(Box::new(job)));
    node.send(ToSupervisor::Run { tasks: vec![run(1)] });
    node.start_of(&run(1));
    node.link = None;
    let hello = encode(&ToSupervisor::Hello { version: VERSION }).unwrap();
    let finish = encode(&ToSupervisor::Finish).unwrap();
    let too_long = (FRAME_BYTES_MAX as u32 + 1).to_le_bytes().to_vec();
    let nonsense = [&hello[..], &[3, 0, 0, 0, 250, 1, 2]].concat();
    let old = encode(&ToSupervisor::Hello { version: 0 }).unwrap();
    let cases = [
        (finish, "must be Hello"),
        (too_long, "above the limit"),
        (nonsense, "can't be read"),
        (old, "older"),
    ];
    let socket = SocketPath::of(&node.folder).unwrap();
    for (bytes, words) in cases {
        let mut stream = UnixStream::connect(socket.path()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(String::from_utf8_lossy(&answer).contains(words), "{words}");
    }
    let inventory = node.connect();
    assert_eq!(inventory.running.len(), 1);
    std::fs::write(node.work().join("go"), "").unwrap();
    assert_eq!(node.end_of(&run(1)).state, State::Completed);
    node.finish();
}

#[test]
fn jobs_that_are_not_for_this_daemon_do_not_run() {
    let cases: [(fn(&mut Job), &str); 3] = [
        (|job| job.user.uid.0 += 1, "another user"),
        (|job| job.work_dir = jsched::model::spec::WorkDir::Path("relative".into()), "not absolute"),
        (|job| job.slots = SLOTS_MAX + 1, "too many slots"),
    ];
    for (spoil, words) in cases {
        let mut node = Node::start();
        let mut job = node.job("echo ran");
        spoil(&mut job);
        let end = node.run_one(job);
        assert_eq!(end.state, State::NodeFail);
        assert!(end.cause.text.contains(words), "{}", end.cause.text);
        assert!(!node.work().join("out").exists());
        node.finish();
    }
}

/// What was wrong with a node may be mended while a supervisor is there: the next task is tried anew.
#[test]
fn a_mended_node_runs_what_it_could_not() {
    let mut node = Node::start();
    let job = as_array(node.job("echo ran"), 3, 1);
    let tmp = PathBuf::from(&job.tmp_base);
    std::fs::rename(&tmp, tmp.with_extension("away")).unwrap();
    std::fs::write(&tmp, "").unwrap();
    node.send(ToSupervisor::Job(Box::new(job)));
    for ordinal in 0..2 {
        node.send(ToSupervisor::Run { tasks: vec![array_run(ordinal)] });
        let end = node.end_of(&array_run(ordinal));
        assert_eq!(end.state, State::NodeFail);
        assert!(end.cause.text.contains("Not a directory"), "{}", end.cause.text);
    }
    std::fs::remove_file(&tmp).unwrap();
    std::fs::rename(tmp.with_extension("away"), &tmp).unwrap();
    node.send(ToSupervisor::Run { tasks: vec![array_run(2)] });
    let end = node.end_of(&array_run(2));
    assert_eq!(end.state, State::Completed, "{}", end.cause.text);
    node.finish();
}

#[test]
fn a_supervisor_is_no_daemon_by_accident() {
    let output =
        Command::new(Path::new(env!("CARGO_BIN_EXE_jworkerd"))).args(["supervise", "--id", "a/b"]).output();
    assert_eq!(output.unwrap().status.code(), Some(64));
}

/// What has lost its lease may have been started elsewhere: it gets no time to go in.
#[test]
fn without_a_lease_there_is_no_grace() {
    let mut node = Node::start();
    let lines = "trap 'echo term >> out2' TERM; echo ready; while :; do sleep 0.05; done";
    let lease = Seconds(2);
    let job = Job { lease: Some(lease), kill_grace: Seconds(600), ..node.job(lines) };
    node.send(ToSupervisor::Job(Box::new(job)));
    node.send(ToSupervisor::Run { tasks: vec![run(1)] });
    let mut contact = clock::boot();
    wait_for(|| {
        contact = clock::boot();
        node.send(ToSupervisor::Contact { at: contact });
        node.read("out").contains("ready").then_some(())
    });
    let first = node.start_of(&run(1)).pid;
    wait_for(|| {
        let table = tree::table();
        let all = tree::with_descendants(&table, [first as i32]);
        let mut states = all.iter().filter_map(|pid| table.get(pid)).filter(|process| process.is_alive());
        let still = states.all(|process| process.is_stopped() || process.state == b'D');
        (still && clock::boot() >= contact.plus(lease)).then_some(())
    });
    let reason = KillReason::Preempt { text: "requeued".to_owned() };
    node.send(ToSupervisor::Kill { which: Which::All, reason, grace: None });
    let end = node.end_of(&run(1));
    assert_eq!((end.state, end.signal), (State::Preempted, 9));
    assert!(!node.work().join("out2").exists(), "it went on to hear TERM");
    node.finish();
}
