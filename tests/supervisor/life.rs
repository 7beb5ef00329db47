//! Ordinary life: starts, ends, output, environment, limits.

use jsched::model::spec::{Output, Warning};
use jsched::model::state::{CauseKind, State};
use jsched::model::time::{Seconds, TimeLimit, WallTime};
use jsched::wire::supervisor::*;

use crate::node::*;

#[test]
fn exit_code_environment_and_output() {
    let mut node = Node::start();
    let mut job =
        node.job("echo out; echo err >&2; tr '\\0' '\\n' < /proc/$$/environ; echo \"args $# $2\"; exit 3");
    job.arguments = vec!["a b".into(), "c\nd".into()];
    job.environment = [
        "PATH=/usr/bin:/bin",
        "SLURM_JOB_ID=forged",
        "SLURM_ARRAY_TASK_ID=stale",
        "SLURM_MINE=kept",
        "JSCHED_JOB_ID=forged",
        "TMPDIR=/elsewhere",
        "BASH_FUNC_f%%=() {  echo hi\n}",
        "no entry",
        "=C:=x",
    ]
    .join("\0")
    .into_bytes();
    job.time_limit = TimeLimit(Some(Seconds(60)));
    let end = node.run_one(job);
    assert_eq!((end.state, end.exit_code, end.signal), (State::Failed, 3, 0));
    assert_eq!(end.cause.kind, CauseKind::Exit);
    assert!(end.usage.memory_peak_bytes > 100_000, "{end:?}");
    let started = node.start_of(&run(1));
    let out = node.read("out");
    assert!(out.starts_with("out\nerr\n"), "{out}");
    let (start, limit) = (end.start.unwrap(), 60);
    for line in [
        "SLURM_JOB_ID=123".to_owned(),
        "SLURM_MINE=kept".to_owned(),
        "JSCHED_JOB_ID=123".to_owned(),
        "JSCHED_ATTEMPT=1".to_owned(),
        "SLURM_SUBMIT_HOST=login".to_owned(),
        "SLURM_JOB_NODELIST=n1".to_owned(),
        "BASH_FUNC_f%%=() {  echo hi".to_owned(),
        "HOME=/".to_owned(),
        format!("SLURM_TASK_PID={}", started.pid),
        format!("SLURM_JOB_END_TIME={}", start.unix_seconds() + limit),
        "args 2 c".to_owned(),
    ] {
        assert!(out.lines().any(|have| have == line), "{line} is missing in {out}");
    }
    assert!(!out.contains("SLURM_ARRAY_TASK_ID") && !out.contains("forged"));
    let tmp = out.lines().find_map(|line| line.strip_prefix("TMPDIR=")).unwrap();
    assert!(tmp.starts_with(node.root.path().to_str().unwrap()));
    assert!(
        std::fs::read_dir(tmp).is_ok_and(|mut left| left.next().is_none()),
        "kept for the next, and empty"
    );
    assert_eq!(started.output, node.work().join("out").to_str().unwrap());
    node.finish();
}

#[test]
fn a_signal_of_its_own_is_told() {
    let mut node = Node::start();
    let job = node.job("kill -SEGV $$");
    let end = node.run_one(job);
    assert_eq!((end.state, end.signal, end.cause.kind), (State::Failed, 11, CauseKind::Signal));
    assert!(
        node.read("out").ends_with("BY A SIGNAL *** (signal 11; jqueue why 123)\n"),
        "{}",
        node.read("out")
    );
    node.finish();
}

#[test]
fn the_time_limit_decides_whatever_the_trap_says() {
    let mut node = Node::start();
    let mut job = node.job("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done");
    job.time_limit = TimeLimit(Some(Seconds(1)));
    let end = node.run_one(job);
    assert_eq!((end.state, end.exit_code, end.cause.kind), (State::Timeout, 0, CauseKind::TimeLimit));
    let out = node.read("out");
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0] == "ready" && lines.contains(&"bye"), "{out}");
    let last = lines.last().unwrap();
    assert!(last.starts_with("jsched: *** JOB 123 ON n1 CANCELLED AT "), "{out}");
    assert!(last.ends_with(" DUE TO TIME LIMIT *** (limit 00:00:01; jqueue why 123)"), "{out}");
    node.finish();
}

#[test]
fn whoever_ignores_term_is_killed_and_the_first_reason_stays() {
    let mut node = Node::start();
    let mut job = node.job("trap '' TERM; echo ready; while :; do sleep 0.01; done");
    job.kill_grace = Seconds(1);
    node.send(ToSupervisor::Job(Box::new(job)));
    node.send(ToSupervisor::Run { tasks: vec![run(1)] });
    wait_for(|| node.read("out").contains("ready").then_some(()));
    let reason = KillReason::Cancel { by: "alice".into(), text: "wrong input".into() };
    node.send(ToSupervisor::Kill { which: Which::All, reason, grace: None });
    node.send(ToSupervisor::Kill { which: Which::All, reason: KillReason::Deadline, grace: None });
    let end = node.end_of(&run(1));
    assert_eq!((end.state, end.signal), (State::Cancelled, 9));
    assert_eq!((end.cause.kind, end.cause.by.as_str()), (CauseKind::Cancel, "alice"));
    node.finish();
}

#[test]
fn the_warning_comes_before_the_limit() {
    let mut node = Node::start();
    // The shell catches the signal; its child does not and is ended by it.
    let mut job = node.job("trap 'echo warned' USR1; echo ready; sleep 1000; echo after; exit 5");
    job.time_limit = TimeLimit(Some(Seconds(3_600)));
    job.warning = Some(Warning { signal: 10, before: Seconds(3_599), batch_only: false });
    let end = node.run_one(job);
    assert_eq!((end.state, end.exit_code), (State::Failed, 5));
    let out = node.read("out");
    assert!(out.contains("warned\n") && out.ends_with("after\n"), "{out}");
    node.finish();
}

#[test]
fn nothing_is_left_of_a_tree() {
    let mut node = Node::start();
    // A child, a daemon in a session of its own, one without environment whose parents are gone, and one that
    // ignores TERM.
    let lines = "sleep 1000 &
        setsid sh -c 'echo $$ >> pids; sleep 1000 & echo $! >> pids; wait' &
        (setsid env -i sh -c 'echo $$ >> pids; exec sleep 1000' &)
        (trap '' TERM; sh -c 'echo $$ >> pids; sleep 1000; sleep 1000' &)
        echo $! >> pids
        while [ $(cat pids | wc -l) -lt 5 ]; do sleep 0.01; done; exit 0";
    let job = node.job(lines);
    let end = node.run_one(job);
    assert_eq!((end.state, end.exit_code), (State::Completed, 0));
    let pids = node.read("pids");
    assert_eq!(pids.lines().count(), 5);
    for pid in pids.lines() {
        let left = jsched::worker::tree::process(pid.parse().unwrap());
        assert!(left.is_none_or(|process| !process.is_alive()), "{left:?}");
    }
    assert_eq!(node.marked(), 0);
    node.finish();
}

#[test]
fn ends_of_neighbours_do_not_touch_each_other() {
    let mut node = Node::start();
    let lines = "(setsid sh -c 'echo $$ > daemon.$SLURM_ARRAY_TASK_ID; exec sleep 1000' &)
        while [ ! -s daemon.$SLURM_ARRAY_TASK_ID ]; do sleep 0.01; done; echo > ready.$SLURM_ARRAY_TASK_ID
        [ $SLURM_ARRAY_TASK_ID = 0 ] && exit 0
        while [ ! -e go ]; do sleep 0.01; done; exit 4";
    let job = as_array(node.job(lines), 2, 2);
    node.send(ToSupervisor::Job(Box::new(job)));
    node.send(ToSupervisor::Run { tasks: vec![array_run(1)] });
    wait_for(|| node.work().join("ready.1").exists().then_some(()));
    node.send(ToSupervisor::Run { tasks: vec![array_run(0)] });
    assert_eq!(node.end_of(&array_run(0)).state, State::Completed);
    let lives = |node: &Node, task: u32| {
        let pid = node.read(&format!("daemon.{task}")).trim().parse().unwrap();
        jsched::worker::tree::process(pid).is_some_and(|process| process.is_alive())
    };
    assert!(!lives(&node, 0) && lives(&node, 1));
    std::fs::write(node.work().join("go"), "").unwrap();
    assert_eq!(node.end_of(&array_run(1)).exit_code, 4);
    assert!(!lives(&node, 1));
    assert_eq!(node.marked(), 0);
    node.finish();
}

#[test]
fn slots_refill_and_tasks_can_be_taken_back() {
    let mut node = Node::start();
    let lines = "echo $SLURM_ARRAY_TASK_ID $SLURM_JOB_ID; while [ ! -e go ]; do sleep 0.01; done";
    let job = as_array(node.job(lines), 10, 2);
    node.send(ToSupervisor::Job(Box::new(job.clone())));
    node.send(ToSupervisor::Job(Box::new(job)));
    let late = TaskRun { not_after: Some(WallTime(1)), ..array_run(3) };
    let tasks = vec![array_run(0), array_run(1), array_run(2), late, array_run(4), array_run(5)];
    node.send(ToSupervisor::Run { tasks: tasks.clone() });
    node.send(ToSupervisor::Run { tasks });
    node.start_of(&array_run(1));
    let back = [1, 4, 9].map(|ordinal| array_run(ordinal).task).to_vec();
    node.send(ToSupervisor::Withdraw { tasks: back });
    node.send(ToSupervisor::Run { tasks: vec![array_run(9)] });
    node.hear(|message| match message {
        FromSupervisor::Kept { tasks } if *tasks == [array_run(1).task] => Some(()),
        _ => None,
    });
    std::fs::write(node.work().join("go"), "").unwrap();
    for ordinal in [0, 1, 2, 5] {
        assert_eq!(node.end_of(&array_run(ordinal)).state, State::Completed);
    }
    let inventory = node.connect();
    let mut never: Vec<u32> = Vec::new();
    let mut ended: Vec<u32> = Vec::new();
    for report in &inventory.reports {
        if report.news == News::Never { &mut never } else { &mut ended }.push(report.task.ordinal.0);
    }
    never.sort_unstable();
    ended.sort_unstable();
    assert_eq!((never, ended), (vec![3, 4, 9], vec![0, 1, 2, 5]));
    let mut lines: Vec<String> = node.read("out").lines().map(str::to_owned).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["0 124", "1 125", "2 126", "5 129"],
        "one file for all is appended to, never truncated"
    );
    node.finish();
}

#[test]
fn output_is_truncated_once_and_appended_later() {
    for (restarts, wanted) in [(0, "new\n"), (1, "old\nnew\n")] {
        let mut node = Node::start();
        std::fs::write(node.work().join("out"), "old\n").unwrap();
        let job = node.job("echo new");
        node.send(ToSupervisor::Job(Box::new(job)));
        let run = TaskRun { restarts, ..run(1) };
        node.send(ToSupervisor::Run { tasks: vec![run.clone()] });
        assert_eq!(node.start_of(&run).truncated, restarts == 0);
        node.end_of(&run);
        assert_eq!(node.read("out"), wanted);
        node.finish();
    }
}

#[test]
fn what_the_node_lacks_is_named() {
    let gone = "/nowhere/at/all";
    let cases: [(fn(&mut Job), &str); 4] = [
        (|job| job.work_dir = jsched::model::spec::WorkDir::Path("/nowhere/at/all".into()), "--chdir=job"),
        (|job| job.files.output = Output::Pattern("/nowhere/at/all/x".into()), "--output=none"),
        (|job| job.files.input = "/nowhere/at/all".into(), "--input"),
        (|job| job.script = b"#!/nowhere/at/all\n".to_vec(), "first line of the script"),
    ];
    for (spoil, way_out) in cases {
        let mut node = Node::start();
        let mut job = node.job("true");
        spoil(&mut job);
        let end = node.run_one(job);
        assert_eq!((end.state, end.cause.kind, end.start), (State::Failed, CauseKind::Launch, None));
        let text = &end.cause.text;
        assert!(text.starts_with("n1: /") && text.contains("No such file or directory"), "{text}");
        assert!(text.contains(way_out) && (text.contains(gone) || text.contains("script")), "{text}");
        node.finish();
    }
}

#[test]
fn too_much_memory_is_found_by_metering() {
    let mut node = Node::start();
    let mut job = node.job("head -c 300000000 /dev/zero | tail -c 300000000 | sleep 1000");
    job.granted.memory_bytes = 100 << 20;
    let end = node.run_one(job);
    assert_eq!((end.state, end.cause.kind), (State::OutOfMemory, CauseKind::Memory));
    assert!(end.cause.text.contains("the limit is 100 MiB"), "{}", end.cause.text);
    assert!(end.usage.memory_peak_bytes > 100 << 20);
    node.finish();
}

#[test]
fn usage_counts_all_processes() {
    let mut node = Node::start();
    let job = node.job("sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'");
    let end = node.run_one(job);
    assert_eq!(end.state, State::Completed);
    assert!(end.usage.cpu_ms >= 30, "{:?}", end.usage);
    node.finish();
}

#[test]
fn suspended_processes_stand_still() {
    let mut node = Node::start();
    let job = node.job("sh -c 'while :; do echo x >> beat; sleep 0.005; done' & sleep 1000");
    node.send(ToSupervisor::Job(Box::new(job)));
    node.send(ToSupervisor::Run { tasks: vec![run(1)] });
    let first = node.start_of(&run(1)).pid;
    wait_for(|| (!node.read("beat").is_empty()).then_some(()));
    // A shell that was stopped while its new child had not yet executed its program waits for that in state D.
    let stand_still = || {
        let table = jsched::worker::tree::table();
        let all = jsched::worker::tree::with_descendants(&table, [first as i32]);
        let mut states = all.iter().filter_map(|pid| table.get(pid)).filter(|process| process.is_alive());
        states.all(|process| process.is_stopped() || process.state == b'D').then_some(())
    };
    node.send(ToSupervisor::Suspend { which: Which::All });
    wait_for(stand_still);
    let before = node.read("beat").len();
    node.send(ToSupervisor::Resume { which: Which::All });
    wait_for(|| (node.read("beat").len() > before).then_some(()));
    node.send(ToSupervisor::Suspend { which: Which::All });
    wait_for(stand_still);
    let reason = KillReason::Preempt { text: String::new() };
    node.send(ToSupervisor::Kill { which: Which::All, reason, grace: None });
    assert_eq!(node.end_of(&run(1)).state, State::Preempted);
    assert_eq!(node.marked(), 0);
    node.finish();
}

#[test]
fn a_private_working_directory_outlives_the_supervisor() {
    let mut node = Node::start();
    let mut job = node.job("mkdir -p a/b; echo x > a/b/c; ln -s /etc a/link; pwd");
    job.work_dir = jsched::model::spec::WorkDir::Private;
    let end = node.run_one(job);
    assert_eq!(end.state, State::Completed);
    let output = node.start_of(&run(1)).output;
    let folder = std::fs::read_to_string(&output).unwrap();
    assert_eq!(std::path::Path::new(folder.trim()).join("out"), std::path::Path::new(&output));
    node.finish();
    assert!(std::path::Path::new(folder.trim()).join("a/b/c").exists());
}
