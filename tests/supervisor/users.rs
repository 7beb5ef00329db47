//! Other users, and control groups: what only root can do.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jsched::model::ids::Uid;
use jsched::model::state::State;
use jsched::wire::supervisor::*;

use crate::node::*;

pub const NOBODY: u32 = 65_534;

pub fn as_nobody(job: Job) -> Job {
    let user = User {
        name: "nobody".into(),
        uid: Uid(NOBODY),
        gid: NOBODY,
        groups: vec![NOBODY],
        home: "/nonexistent".into(),
        shell: "/bin/sh".into(),
        switch: true,
    };
    Job { user, root_allowed: false, ..job }
}

#[test]
fn a_job_is_its_user_and_nobody_else() {
    if !is_root("become another user") {
        return;
    }
    let mut node = Node::start();
    let lines = "id -u; id -G; touch $TMPDIR/x mine; chmod 700 $TMPDIR; ls $(dirname $0) 2>&1 || echo hidden
        cat $0 | head -n 1; (echo x > $(dirname $0)/records) 2>/dev/null || echo refused
        (exec 3<> $(dirname $0)/socket) 2>/dev/null || echo closed
        mv $TMPDIR /tmp/stolen 2>/dev/null || echo stays; ls /proc/self/fd | wc -l; kill -9 $PPID 2>/dev/null || echo safe
        cat /proc/self/oom_score_adj";
    let job = as_nobody(node.job(lines));
    let end = node.run_one(job);
    assert_eq!(end.state, State::Completed, "{:?} {}", end, node.read("out"));
    let out = node.read("out");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..2], ["65534", "65534"]);
    assert!(out.contains("hidden\n#!/bin/sh\nrefused\nclosed\nstays\n4\nsafe\n0\n"), "{out}");
    for name in ["out", "mine"] {
        assert_eq!(std::fs::metadata(node.work().join(name)).unwrap().uid(), NOBODY);
    }
    let script = std::fs::metadata(node.folder.join("script")).unwrap();
    assert_eq!((script.uid(), script.mode() & 0o7777), (NOBODY, 0o500));
    for (name, mode) in [("records", 0o600), ("log", 0o600), ("socket", 0o600)] {
        let file = std::fs::metadata(node.folder.join(name)).unwrap();
        assert_eq!((file.uid(), file.mode() & 0o777), (0, mode), "{name}");
    }
    node.finish();
}

#[test]
fn a_links_target_is_not_written_by_the_daemon() {
    if !is_root("own what others can't write") {
        return;
    }
    let mut node = Node::start();
    let secret = node.root.path().join("secret");
    std::fs::write(&secret, "root's").unwrap();
    // The job replaces its own output by a link before it is killed: the last line must not follow it as root; and
    // fills its private folder with links before that is removed.
    let lines = format!(
        "ln -s {0} $TMPDIR/link; mkdir $TMPDIR/d; ln -sf {0} out; echo ready > ready; sleep 1000",
        secret.display()
    );
    let job = as_nobody(node.job(&lines));
    node.send(ToSupervisor::Job(Box::new(job)));
    node.send(ToSupervisor::Run { tasks: vec![run(1)] });
    wait_for(|| node.work().join("ready").exists().then_some(()));
    let reason = KillReason::Cancel { by: "x".into(), text: String::new() };
    node.send(ToSupervisor::Kill { which: Which::All, reason, grace: None });
    assert_eq!(node.end_of(&run(1)).state, State::Cancelled);
    node.finish();
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "root's");
}

#[test]
fn root_runs_nothing_unless_allowed() {
    if !is_root("be uid 0") {
        return;
    }
    let mut node = Node::start();
    let job = Job { root_allowed: false, ..node.job("echo ran") };
    let end = node.run_one(job);
    assert_eq!(end.state, State::NodeFail);
    assert!(end.cause.text.contains("uid 0"), "{}", end.cause.text);
    assert!(!node.work().join("out").exists());
    node.finish();
}

/// Control groups of their own for a test; `None` where there are none to use.
fn trees(name: &str) -> Vec<Cgroups> {
    let mut found = Vec::new();
    let freezer = Path::new("/sys/fs/cgroup/freezer").join(name);
    let cpu = Path::new("/sys/fs/cgroup/cpuacct").join(name);
    if std::fs::create_dir(&freezer).is_ok() && std::fs::create_dir(&cpu).is_ok() {
        let pair = |controller: &str, path: &Path| (controller.to_owned(), path.to_str().unwrap().to_owned());
        found.push(Cgroups::V1 { trees: vec![pair("freezer", &freezer), pair("cpuacct", &cpu)] });
    }
    for root in ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"] {
        let folder = Path::new(root).join(name);
        let is_v2 = Path::new(root).join("cgroup.controllers").exists();
        if is_v2 && std::fs::create_dir(&folder).is_ok() {
            found.push(Cgroups::V2 { path: folder.to_str().unwrap().into(), memory: false });
        }
    }
    if found.is_empty() {
        println!("skipped: no control groups can be made here");
    }
    found
}

fn remove(trees: &Cgroups) {
    let folders: Vec<&String> = match trees {
        Cgroups::V1 { trees } => trees.iter().map(|(_, path)| path).collect(),
        Cgroups::V2 { path, .. } => vec![path],
    };
    for folder in folders {
        wait_for(|| std::fs::remove_dir(folder).is_ok().then_some(()));
    }
}

#[test]
fn the_kernel_limits_memory_where_it_can() {
    let name = format!("jsched-test-memory-{}", std::process::id());
    let folders =
        ["freezer", "cpuacct", "memory"].map(|tree| Path::new("/sys/fs/cgroup").join(tree).join(&name));
    if !folders.iter().all(|folder| std::fs::create_dir(folder).is_ok()) {
        folders.iter().for_each(|folder| drop(std::fs::remove_dir(folder)));
        println!("skipped: no memory control groups of version 1 can be made here");
        return;
    }
    let pair = |folder: &std::path::PathBuf| {
        let tree = folder.parent().unwrap().file_name().unwrap().to_str().unwrap();
        (tree.to_owned(), folder.to_str().unwrap().to_owned())
    };
    let trees = Cgroups::V1 { trees: folders.iter().map(pair).collect() };
    let mut node = Node::start();
    node.cgroups = Some(trees.clone());
    let lines = "[ $SLURM_ARRAY_TASK_ID = 2 ] && exit 0
        head -c 400000000 /dev/zero | tail -c 300000000 > /dev/null; exit 5";
    let mut job = as_array(node.job(lines), 3, 1);
    job.granted.memory_bytes = 100 << 20;
    node.send(ToSupervisor::Job(Box::new(job)));
    node.send(ToSupervisor::Run { tasks: vec![array_run(1), array_run(2)] });
    let end = node.end_of(&array_run(1));
    assert_eq!((end.state, end.exit_code), (State::OutOfMemory, 5), "{end:?}");
    assert!(end.cause.text.contains("the kernel killed"), "{}", end.cause.text);
    let peak = end.usage.memory_peak_bytes;
    assert!((50 << 20..=101 << 20).contains(&peak), "{peak}");
    let end = node.end_of(&array_run(2));
    assert_eq!(end.state, State::Completed, "the next attempt inherits nothing: {end:?}");
    assert!(end.usage.memory_peak_bytes < 50 << 20, "{end:?}");
    node.finish();
    remove(&trees);
}

#[test]
fn control_groups_hold_what_hides() {
    for trees in trees(&format!("jsched-test-hold-{}", std::process::id())) {
        let mut node = Node::start();
        node.cgroups = Some(trees.clone());
        let lines =
            "(setsid env -i sh -c 'trap \"\" TERM; while :; do sleep 1000; done' &); cat /proc/self/cgroup
            i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; exit 2";
        let job = node.job(lines);
        let end = node.run_one(job);
        assert_eq!((end.state, end.exit_code), (State::Failed, 2));
        assert!(node.read("out").contains(&format!("{}/0", node.id)), "{}", node.read("out"));
        assert!(end.usage.cpu_ms > 0);
        node.finish();
        remove(&trees);
    }
}

#[test]
fn control_groups_freeze_and_outlive_their_supervisor() {
    for trees in trees(&format!("jsched-test-freeze-{}", std::process::id())) {
        let mut node = Node::start();
        node.cgroups = Some(trees.clone());
        let job =
            node.job("(setsid env -i sh -c 'while :; do echo x >> beat; sleep 0.005; done' &); sleep 1000");
        node.send(ToSupervisor::Job(Box::new(job)));
        node.send(ToSupervisor::Run { tasks: vec![run(1)] });
        wait_for(|| (!node.read("beat").is_empty()).then_some(()));
        node.send(ToSupervisor::Suspend { which: Which::All });
        let group = jsched::worker::cgroup::Group::create(&trees, &node.id, "0", 0).unwrap();
        wait_for(|| group.is_frozen().then_some(()));
        assert!(group.pids().len() >= 3);
        let mut process = node.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
        let remains =
            jsched::worker::tree::Remains { supervisor: &node.id, firsts: &[], cgroups: Some(&trees) };
        jsched::worker::tree::end_all(&remains).unwrap();
        assert!(group.pids().is_empty());
        drop(group);
        drop(node);
        remove(&trees);
    }
}
