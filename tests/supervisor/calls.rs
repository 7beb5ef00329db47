//! Who may call at a job's socket: processes of its own, of its own user.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use jsched::wire::supervisor::*;

use crate::node::*;
use crate::users::{NOBODY, as_nobody};

/// A command that everybody can execute.
fn jqueue(node: &Node) -> PathBuf {
    let copy = node.root.path().join("jqueue");
    std::fs::copy(env!("CARGO_BIN_EXE_jqueue"), &copy).unwrap();
    std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
    copy
}

#[test]
fn calls_are_passed_on_with_the_attempt_they_come_from() {
    let mut node = Node::start();
    let jqueue = jqueue(&node);
    // Also what has left its session and its parent.
    let line = format!("(setsid {} whoami; echo $? > code) & sleep 1000", jqueue.display());
    let job = Job { slots: 2, ..node.job(&line) };
    node.send(ToSupervisor::Job(Box::new(job)));
    node.send(ToSupervisor::Run { tasks: vec![run(1), run(2)] });
    for wanted in [run(1).task, run(2).task] {
        node.hear(|message| {
            matches!(message, FromSupervisor::Call { task } if *task == wanted).then_some(())
        });
    }
    let reason = KillReason::Cancel { by: "x".into(), text: String::new() };
    node.send(ToSupervisor::Kill { which: Which::All, reason, grace: None });
    node.end_of(&run(1));
    node.end_of(&run(2));
    node.finish();
}

#[test]
fn other_users_and_strangers_are_refused() {
    if !is_root("become another user") {
        return;
    }
    let mut node = Node::start();
    let jqueue = jqueue(&node);
    let job = as_nobody(node.job("echo $JSCHED_SOCKET > way.new; mv way.new way; sleep 1000"));
    node.send(ToSupervisor::Job(Box::new(job)));
    node.send(ToSupervisor::Run { tasks: vec![run(1)] });
    wait_for(|| node.work().join("way").exists().then_some(()));
    let socket = node.read("way").trim().to_owned();
    let ask = |uid: u32| {
        let mut command = Command::new(&jqueue);
        command.arg("whoami").env_clear().env("JSCHED_SOCKET", &socket).uid(uid).gid(uid).current_dir("/");
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (uid, words) in
        [(0, "somebody else's"), (NOBODY, "belongs to no running attempt"), (NOBODY - 1, "somebody else's")]
    {
        let (code, said) = ask(uid);
        assert!(code == Some(77) && said.contains(words), "{uid}: {code:?} {said}");
    }
    let called = node.heard.iter().any(|message| matches!(message, FromSupervisor::Call { .. }));
    assert!(!called, "none of them got through");
    let reason = KillReason::Cancel { by: "x".into(), text: String::new() };
    node.send(ToSupervisor::Kill { which: Which::All, reason, grace: None });
    node.end_of(&run(1));
    node.finish();
    assert!(!std::path::Path::new(&socket).exists(), "it goes with the job");
}
