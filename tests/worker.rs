//! The real node daemon, with real supervisors and processes, against a controller that is only its protocol.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "worker/controller.rs"]
mod controller;

use controller::{Cluster, run, supervisors, supervisors_ahead, until};
use jsched::model::ids::{Attempt, Epoch, JobId, Ordinal, TaskRef, Uid};
use jsched::model::state::{CauseKind, State};
use jsched::net::frame::{FRAME_BYTES_MAX, FrameReader, FrameWriter, Patience};
use jsched::wire::codec;
use jsched::wire::data::{FileRead, From, ReadFile};
use jsched::wire::node::{Act, AttemptRef, KillReason, Order, ToNode};

/// A job that says that it is there, waits for `go`, says so, and fails with 3; and ends when its folder is gone.
const WAITS: &str = "echo begun $SLURM_ARRAY_TASK_ID
until [ -e \"$1/go\" ] || [ ! -d \"$1\" ]; do sleep 0.02; done
echo gone; exit 3";

fn open_gate(cluster: &Cluster) {
    std::fs::write(cluster.work().join("go"), "").unwrap();
}

#[tokio::test]
async fn a_job_starts_once_ends_once_and_is_forgotten() {
    let mut cluster = Cluster::new();
    cluster.start_daemon();
    let mut session = cluster.session().await;
    let mut said = session.inventory().await;
    assert!(said.ended.is_empty() && said.queued.is_empty() && session.hello.hardware.resources.cpus > 0);
    let order = cluster.order(
        &session,
        7,
        cluster.launch("echo task $SLURM_ARRAY_TASK_ID; echo $JSCHED_JOB_ID >> \"$1/starts\"", 0, 9, 3),
    );
    // Repeats of an order change nothing.
    for _ in 0..3 {
        session.send(ToNode::Order(order.clone())).await;
    }
    session.hear(&mut said, |said| said.ended.len() >= 10).await;
    session.confirm(said.last_report).await;
    let jobs = cluster.node().join("spool/jobs");
    until("the spool is cleared", || std::fs::read_dir(&jobs).unwrap().next().is_none()).await;
    until("the supervisor has gone", || supervisors(&cluster.node()).is_empty()).await;
    assert_eq!(said.ended.len(), 10, "{said:?}");
    assert!(
        said.ended.iter().all(|(_, end)| end.state == State::Completed && end.exit_code == 0),
        "{said:?}"
    );
    assert_eq!(std::fs::read_to_string(cluster.work().join("starts")).unwrap().lines().count(), 10);
    assert_eq!(std::fs::read_to_string(cluster.work().join("out-4")).unwrap(), "task 4\n");
    assert!(said.refused.is_empty(), "{said:?}");
    cluster.stop_daemon();
}

#[tokio::test]
async fn a_killed_daemon_changes_nothing_for_its_jobs() {
    let mut cluster = Cluster::new();
    cluster.start_daemon();
    let mut session = cluster.session().await;
    let mut said = session.inventory().await;
    let order = cluster.order(&session, 7, cluster.launch(WAITS, 1, 3, 2));
    session.send(ToNode::Order(order)).await;
    session.hear(&mut said, |said| said.started.len() >= 2).await;
    let instance = session.hello.instance;
    cluster.kill_daemon();

    cluster.start_daemon();
    let mut session = cluster.session().await;
    assert_eq!(session.hello.instance, instance);
    let said = session.inventory().await;
    assert_eq!((said.started.len(), said.queued.len(), said.ended.len()), (2, 1, 0), "{said:?}");
    // Dead again, and the jobs end meanwhile.
    cluster.kill_daemon();
    open_gate(&cluster);
    until("all tasks end", || {
        let ended = |task: u32| std::fs::read_to_string(cluster.work().join(format!("out-{task}")));
        (1..=3).all(|task| ended(task).is_ok_and(|text| text == format!("begun {task}\ngone\n")))
    })
    .await;

    cluster.start_daemon();
    let mut session = cluster.session().await;
    let mut said = session.inventory().await;
    session.hear(&mut said, |said| said.ended.len() >= 3).await;
    assert!(said.ended.iter().all(|(_, end)| (end.state, end.exit_code) == (State::Failed, 3)), "{said:?}");
    // Not confirmed: said again to the next session, as often as it takes.
    session.connection.close(0u32.into(), b"enough");
    let mut session = cluster.session().await;
    let said = session.inventory().await;
    assert_eq!(said.ended.len(), 3, "{said:?}");
    session.confirm(said.last_report).await;
    let jobs = cluster.node().join("spool/jobs");
    until("the spool is cleared", || std::fs::read_dir(&jobs).unwrap().next().is_none()).await;
    session.connection.close(0u32.into(), b"enough");
    let said = cluster.session().await.inventory().await;
    assert!(said.ended.is_empty() && said.started.is_empty(), "{said:?}");
}

#[tokio::test]
async fn what_is_withdrawn_never_starts_and_old_epochs_are_not_obeyed() {
    let mut cluster = Cluster::new();
    cluster.epoch = 5;
    cluster.start_daemon();
    let mut session = cluster.session().await;
    let mut said = session.inventory().await;
    let launch = cluster.launch(WAITS, 0, 3, 1);
    let order = cluster.order(&session, 7, launch.clone());
    session.send(ToNode::Order(Order { epoch: Epoch(4), ..order.clone() })).await;
    session.hear(&mut said, |said| !said.refused.is_empty()).await;
    assert!(said.refused[0].contains("deposed"), "{said:?}");
    session.send(ToNode::Order(order)).await;
    session.hear(&mut said, |said| !said.started.is_empty()).await;
    let order = cluster.order(&session, 7, Act::Withdraw { attempts: vec![run(0, 2), run(50, 50)] });
    session.send(ToNode::Order(order)).await;
    session.hear(&mut said, |said| said.never.len() >= 3).await;
    said.never.sort_unstable();
    assert_eq!(said.never, [(7, 1), (7, 2), (7, 50)], "{said:?}");
    let reason = KillReason::Cancel { by: "ann".to_owned(), text: String::new() };
    let order = cluster.order(&session, 7, Act::Kill { attempts: vec![run(0, 0)], reason });
    session.send(ToNode::Order(order)).await;
    session.hear(&mut said, |said| said.started.contains(&(7, 3)) && !said.ended.is_empty()).await;
    let ((_, task), end) = &said.ended[0];
    assert_eq!((*task, end.state, &*end.cause.by), (0, State::Cancelled, "ann"), "{said:?}");
    assert!(!cluster.work().join("out-1").exists() && !cluster.work().join("out-2").exists());

    // The epoch is remembered over the daemon's death.
    cluster.kill_daemon();
    cluster.epoch = 4;
    cluster.start_daemon();
    let mut session = cluster.session().await;
    assert_eq!(session.hello.epoch, Epoch(5));
    let mut said = session.inventory().await;
    let order = cluster.order(&session, 8, launch);
    session.send(ToNode::Order(order)).await;
    session.hear(&mut said, |said| !said.refused.is_empty()).await;
    assert!(said.refused[0].contains("deposed"), "{said:?}");
}

#[tokio::test]
async fn a_lost_supervisor_is_reported_when_nothing_of_it_runs() {
    let mut cluster = Cluster::new();
    cluster.start_daemon();
    let mut session = cluster.session().await;
    let mut said = session.inventory().await;
    let script = format!("echo $$ > \"$1/pid-$SLURM_ARRAY_TASK_ID\"; {WAITS}");
    let order = cluster.order(&session, 7, cluster.launch(&script, 0, 1, 1));
    session.send(ToNode::Order(order)).await;
    let pid_file = cluster.work().join("pid-0");
    until("the job runs", || std::fs::read_to_string(&pid_file).is_ok_and(|text| text.ends_with('\n'))).await;
    let pid = std::fs::read_to_string(&pid_file).unwrap().trim().to_owned();
    // Before it has said so, its records need not know of the start.
    session.hear(&mut said, |said| !said.started.is_empty()).await;
    for supervisor in supervisors(&cluster.node()) {
        let supervisor = nix::unistd::Pid::from_raw(supervisor);
        nix::sys::signal::kill(supervisor, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    session.hear(&mut said, |said| !said.ended.is_empty()).await;
    let ((_, task), end) = &said.ended[0];
    assert_eq!((*task, end.state, end.cause.kind), (0, State::NodeFail, CauseKind::Supervisor), "{said:?}");
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    assert!(line.is_empty(), "reported as lost, and still there");
    // What it had not touched runs under another one.
    open_gate(&cluster);
    session.hear(&mut said, |said| said.ended.len() >= 2).await;
    let ((_, task), end) = &said.ended[1];
    assert_eq!((*task, end.state, end.exit_code), (1, State::Failed, 3), "{said:?}");
    session.confirm(said.last_report).await;
    let left = |name: &str| std::fs::read_dir(cluster.node().join(name)).unwrap().count();
    until("nothing of either is left", || left("spool/jobs") == 0 && left("tmp") == 0).await;
}

#[tokio::test]
async fn only_starts_count_as_restarts() {
    let mut cluster = Cluster::new();
    cluster.start_daemon();
    let mut session = cluster.session().await;
    let mut said = session.inventory().await;
    let lines = "until [ -e \"$1/go\" ] || [ ! -d \"$1\" ]; do sleep 0.02; done
        echo ${SLURM_RESTART_COUNT-none} $JSCHED_RESTART_COUNT $JSCHED_ATTEMPT";
    // Attempt, how many before it never started, and what the job finds.
    let tasks = [(1, 0, "none 0 1\n"), (2, 1, "none 0 2\n"), (4, 2, "1 1 4\n"), (3, 0, "2 2 3\n")];
    for (task, (attempt, unstarted, _)) in (0..).zip(tasks) {
        let mut act = cluster.launch(lines, task, task, 1);
        let Act::Launch(launch) = &mut act else { panic!() };
        launch.attempts[0].attempt = Attempt(attempt);
        launch.unstarted = (unstarted > 0).then_some((Ordinal(task), unstarted)).into_iter().collect();
        let order = cluster.order(&session, 7, act);
        session.send(ToNode::Order(order)).await;
    }
    session.hear(&mut said, |said| !said.started.is_empty()).await;
    // What the supervisor has not been given yet comes out of the daemon's log.
    for supervisor in supervisors(&cluster.node()) {
        let supervisor = nix::unistd::Pid::from_raw(supervisor);
        nix::sys::signal::kill(supervisor, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    cluster.kill_daemon();
    open_gate(&cluster);
    cluster.start_daemon();
    let mut session = cluster.session().await;
    let mut said = session.inventory().await;
    session.hear(&mut said, |said| said.ended.len() >= tasks.len()).await;
    for (task, (_, _, found)) in (0..).zip(tasks).skip(1) {
        assert_eq!(std::fs::read_to_string(cluster.work().join(format!("out-{task}"))).unwrap(), found);
    }
}

#[tokio::test]
async fn supervisors_started_ahead_are_taken_and_go_with_their_daemon() {
    let kill = |pid: &i32| {
        let pid = nix::unistd::Pid::from_raw(*pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    };
    let mut cluster = Cluster::new();
    cluster.start_daemon();
    let mut session = cluster.session().await;
    let mut said = session.inventory().await;
    let node = cluster.node();
    until("some are there", || supervisors_ahead(&node).len() >= 2).await;
    let order = cluster.order(&session, 7, cluster.launch(WAITS, 1, 1, 1));
    let before = supervisors_ahead(&node);
    session.send(ToNode::Order(order)).await;
    session.hear(&mut said, |said| !said.started.is_empty()).await;
    let taken = supervisors(&node);
    assert!(taken.len() == 1 && before.contains(&taken[0]), "{taken:?} {before:?}");
    until("its place is taken again", || supervisors_ahead(&node).len() == before.len()).await;
    // One that is dead when it is wanted costs nobody anything.
    supervisors_ahead(&node).iter().for_each(kill);
    let order = cluster.order(&session, 8, cluster.launch("exit 4", 1, 1, 1));
    session.send(ToNode::Order(order)).await;
    session.hear(&mut said, |said| !said.ended.is_empty()).await;
    assert_eq!((said.ended[0].0, said.ended[0].1.exit_code), ((8, 1), 4), "{said:?}");
    let status = cluster.status();
    assert_eq!(
        (&status["node"], &status["controller"]["connected"]),
        (&"n1".into(), &true.into()),
        "{status}"
    );
    let jobs = status["jobs"].as_array().unwrap();
    assert!(jobs.iter().any(|job| (&job["id"], &job["running"]) == (&"7".into(), &1.into())), "{status}");
    // They go with the daemon; whoever has a job stays.
    until("some are there again", || supervisors_ahead(&node).len() >= 2).await;
    cluster.kill_daemon();
    until("those without a job have gone", || supervisors_ahead(&node).is_empty()).await;
    assert!(supervisors(&node).contains(&taken[0]));
    cluster.start_daemon();
    open_gate(&cluster);
    let mut session = cluster.session().await;
    let mut said = session.inventory().await;
    session.hear(&mut said, |said| said.ended.iter().any(|(task, _)| *task == (7, 1))).await;
    let (_, end) = said.ended.iter().find(|(task, _)| *task == (7, 1)).unwrap();
    assert_eq!((end.state, end.exit_code, end.attempt.0), (State::Failed, 3, 1));
}

#[tokio::test]
async fn output_is_read_over_the_data_connection() {
    let mut cluster = Cluster::new();
    cluster.start_daemon();
    let session = cluster.session().await;
    let (connection, hello) = cluster.data().await;
    assert_eq!(hello.instance, session.hello.instance);
    let path = cluster.work().join("out");
    std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
    let (send, receive) = connection.open_bi().await.unwrap();
    let (mut writer, mut reader) =
        (FrameWriter::new(send, FRAME_BYTES_MAX), FrameReader::new(receive, FRAME_BYTES_MAX));
    for (from, expected, start) in [(From::Offset(4), "two\nthree\n", 4), (From::LastLines(1), "three\n", 8)]
    {
        let uid = nix::unistd::geteuid();
        let user = nix::unistd::User::from_uid(uid).unwrap().map_or("me".to_owned(), |user| user.name);
        let path = path.to_str().unwrap().to_owned();
        let task = TaskRef { job: JobId(1), ordinal: Ordinal(0) };
        let attempt = AttemptRef { task, attempt: Attempt(1) };
        let (uid, error) = (Uid(uid.as_raw()), false);
        let request = ReadFile { user, uid, path, attempt, error, from, bytes: 1 << 20, wait_ms: 0 };
        writer.push(&codec::encode(&request).unwrap()).unwrap();
        writer.flush(controller::PATIENCE).await.unwrap();
        let frame = reader.next(Patience::of(controller::PATIENCE)).await.unwrap().unwrap();
        let read = codec::decode::<FileRead>(&frame).unwrap();
        let bytes = expected.as_bytes().to_vec();
        assert_eq!(read, FileRead::Chunk { offset: start, bytes, size: 14, start: None });
    }
}
