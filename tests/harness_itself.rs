//! The harness tested on a stand-in for `jctld dev`, a shell script: it finds the daemons, tells the end of its
//! patience from success, and leaves no process and no file behind, not even those that hid from it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use harness::Cluster;

/// Starts two daemons again whenever they die, and a job that left its session, its parent and its environment.
const STAND_IN: &str = r#"#!/bin/bash
[ "$1 $2" = "dev --dir" ] || { echo "usage: $*" >&2; exit 64; }
dir=$3
mkdir -p "$dir" && echo "log of $*" >> "$dir/jctld.log"
keep() {
    while :; do
        sleep 1000 &
        echo "$!" > "$dir/$1.pid"
        (
            # Two of these write the same file: what was read first must not be put in place last.
            flock 9
            { echo "jctld $(cat "$dir/jctld.pid")"; echo "n1 $(cat "$dir/n1.pid")"; } > "$dir/pids.new" 2> "$dir/errors"
            mv "$dir/pids.new" "$dir/pids"
        ) 9> "$dir/lock"
        wait "$!"
    done
}
keep jctld & a=$!
keep n1 & b=$!
(cd "$dir" && env -i setsid sleep 2000 < /dev/null > /dev/null 2>&1 &)
trap 'kill $a $b; exit 0' TERM
until grep -q 'n1 [0-9]' "$dir/pids" 2> "$dir/errors"; do sleep 0.01; done
echo "ready: export JSCHED_CONFIG=$dir/client.toml"
wait
"#;

#[test]
fn finds_daemons_runs_commands_and_cleans_up() {
    let programs = stand_in();
    let mut cluster = Cluster::builder().programs(programs.path()).nodes(2).cpus(4).set("a=1s").start();
    let root = cluster.dir.parent().unwrap().to_path_buf();

    assert_eq!(cluster.config, cluster.dir.join("client.toml"));
    assert!(cluster.tails().contains("--nodes 2 --cpus 4 --set a=1s"), "{}", cluster.tails());
    let before = cluster.pid("n1").unwrap();
    cluster.wait_until("jctld in pids", || cluster.pid("jctld").is_some());
    assert_eq!(cluster.pid("n"), None);
    assert_eq!(cluster.kill9("n1"), before);
    cluster.wait_until("n1 again", || cluster.pid("n1").is_some_and(|pid| pid != before));
    cluster.wait_until("the job", || cluster.processes().iter().any(|line| line.ends_with("sleep 2000")));

    let mut shell = cluster.command("/bin/sh");
    shell.args(["-c", "cat; echo $JSCHED_CONFIG >&2; pwd -P >&2; kill -9 $$"]);
    let output = harness::finish(shell, "text");
    assert_eq!((output.code, output.stdout.as_str()), (137, "text"));
    assert!(output.stderr.contains("client.toml") && output.stderr.contains("/work"), "{output:?}");
    assert_eq!(cluster.run("jctld", ["nonsense"]).code, 64);

    assert!(cluster.stop().success());
    cluster.start_again();
    drop(cluster);
    assert!(!root.exists());
    assert_eq!(left_over(&root), Vec::<String>::new());
}

#[test]
fn cleans_up_after_a_panic() {
    let programs = stand_in();
    let mut root = None;
    let result = catch_unwind(AssertUnwindSafe(|| {
        let cluster = Cluster::builder().programs(programs.path()).start();
        root = cluster.dir.parent().map(Path::to_path_buf);
        panic!("on purpose");
    }));
    assert!(result.is_err());
    let root = root.unwrap();
    assert!(!root.exists());
    assert_eq!(left_over(&root), Vec::<String>::new());
}

#[test]
fn says_when_the_daemon_ends_before_it_is_ready() {
    let programs = tempfile::tempdir().unwrap();
    write_program(&programs.path().join("jctld"), "#!/bin/sh\nexit 78\n");
    let result = catch_unwind(|| Cluster::builder().programs(programs.path()).start());
    let message = result.err().unwrap().downcast::<String>().unwrap();
    assert!(message.contains("ended before it was ready") && message.contains("78"), "{message}");
}

fn stand_in() -> tempfile::TempDir {
    let programs = tempfile::tempdir().unwrap();
    write_program(&programs.path().join("jctld"), STAND_IN);
    programs
}

fn write_program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The processes that still name the folder, found without the harness' own search.
fn left_over(root: &Path) -> Vec<String> {
    let root = root.to_str().unwrap();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let texts = entries.filter(|entry| entry.file_name() != *std::process::id().to_string()).map(|entry| {
        let place = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        format!("{} {}", place.display(), String::from_utf8_lossy(&arguments))
    });
    texts.filter(|text| text.contains(root)).collect()
}
