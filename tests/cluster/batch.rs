//! Jobs of one task: where the program comes from, files, places, times, dependencies.

use std::os::unix::fs::PermissionsExt;

use crate::harness::Cluster;
use crate::{bash, done, holds, log, read, show, state, submit, until, until_gate, wait, write};

#[test]
fn batch_jobs() {
    let cluster = Cluster::builder().nodes(2).cpus(4).start();
    sources(&cluster);
    files(&cluster);
    places(&cluster);
    held_script_is_the_old_one(&cluster);
    times(&cluster);
    dependencies(&cluster);
    options_without_effect(&cluster);
}

/// A script with directives and arguments, `--wrap`, a command, a script on standard input.
fn sources(cluster: &Cluster) {
    let script = "#!/bin/bash\n#SBATCH --job-name='my job' -t5   # a comment\n##SBATCH --bogus\n#SBATCH --out=o-%x-%j\n\
                  #JSUB --mem=64M\necho \"$#:$1:$2\"\n#SBATCH -n 3\n";
    write(cluster, "s.sh", script);
    let said = cluster.run("jsubmit", ["s.sh", "one", "two words"]);
    let id = said.ok().strip_prefix("Submitted batch job ").unwrap().to_owned();
    holds(&said.stderr, &["warning", "line 7"]);
    assert_eq!(wait(cluster, &id), 0);
    assert_eq!(read(cluster, &format!("o-my job-{id}")), "2:one:two words\n");
    let job = show(cluster, &id);
    assert_eq!((&job["name"], &job["time_limit_seconds"]), (&"my job".into(), &300.into()));
    assert_eq!((&job["memory_limit_bytes"], &job["cpus"]), (&(64 << 20).into(), &1.into()));

    let id = done(cluster, ["--wrap", "echo $0 | wc -w"]);
    assert_eq!(read(cluster, &format!("jsched-{id}.out")), "1\n");
    let id = done(cluster, ["--", "echo", "a b", "$HOME"]);
    assert_eq!(log(cluster, &id), "a b $HOME");
    let id = cluster.run_with_input("jsubmit", ["--parsable", "-W"], "#!/bin/sh\ncat; echo read\n").ok();
    assert_eq!(log(cluster, &id), "read", "its own standard input is empty");
}

/// Patterns, `--open-mode`, `--input`, `--error`, `--chdir`, the umask, and a directory that is not there.
fn files(cluster: &Cluster) {
    write(cluster, "in.txt", "a\nb\n");
    let line = "wc -l; echo bad >&2";
    let id = done(
        cluster,
        [
            "-J",
            "f",
            "-i",
            "in.txt",
            "-o",
            "p-%x-%4a%%%N-%A",
            "-e",
            "e-%j",
            "-w",
            "n1",
            "-a",
            "7",
            "--wrap",
            line,
        ],
    );
    assert_eq!(read(cluster, &format!("p-f-0007%n1-{id}")), "2\n");
    assert_eq!(cluster.run("jqueue", ["log", &format!("{id}_7"), "--err"]).ok(), "bad");

    for (mode, expected) in [("append", "x\n"), ("append", "x\nx\n"), ("truncate", "x\n")] {
        done(cluster, ["-o", "m.txt", "--open-mode", mode, "--wrap", "echo x"]);
        assert_eq!(read(cluster, "m.txt"), expected);
    }
    let id = done(cluster, ["-o", "none", "--wrap", "echo x"]);
    assert_eq!(log(cluster, &id), "");

    std::fs::create_dir(cluster.work.join("sub")).unwrap();
    bash(cluster, "umask 027; jsubmit -W -D sub -o here.txt --wrap 'pwd; umask; touch made'").ok();
    let text = read(cluster, "sub/here.txt");
    assert_eq!(text, format!("{}\n0027\n", cluster.work.join("sub").canonicalize().unwrap().display()));
    let mode = std::fs::metadata(cluster.work.join("sub/made")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);

    // It never ran, so it has no code of its own.
    let id = submit(cluster, ["-o", "missing/x", "--wrap", "true"]);
    assert_eq!(wait(cluster, &id), 125);
    let why = cluster.run("jqueue", ["why", &id]).ok();
    holds(&why, &["missing/x", "n", "--output"]);
    assert_eq!(show(cluster, &id)["cause"]["kind"], "launch");
}

/// `-w`, `-x`, `--exclusive`, `-p` as a list, `-A` and `-q`.
fn places(cluster: &Cluster) {
    for choice in [["-w", "n2"], ["-x", "n1"]] {
        let id = done(cluster, [choice[0], choice[1], "--wrap", "true"]);
        assert_eq!(show(cluster, &id)["nodes"], serde_json::json!(["n2"]));
    }
    let alone = submit(cluster, ["--exclusive", "-w", "n1", "--wrap", &until_gate("alone")]);
    until(cluster, &alone, "running");
    assert_eq!(show(cluster, &alone)["cpus"], 4, "the whole node is charged");
    let waits = submit(cluster, ["-w", "n1", "--mem", "1M", "--wrap", "true"]);
    let reason = show(cluster, &waits)["reason"]["code"].clone();
    assert_eq!(reason, "Resources");
    write(cluster, "alone", "");
    assert_eq!(wait(cluster, &waits), 0);

    cluster.run("jnode", ["partition", "set", "short", "max-time=1h"]).ok();
    let id = done(cluster, ["-p", "short,main", "-t", "2h", "--wrap", "echo $SLURM_JOB_PARTITION"]);
    assert_eq!(log(cluster, &id), "main");
    cluster.run("jnode", ["partition", "set", "short", "state=down"]).ok();
    let id = submit(cluster, ["-p", "short", "--wrap", "true"]);
    assert_eq!(show(cluster, &id)["reason"]["code"], "PartitionDown");
    cluster.run("jnode", ["partition", "set", "short", "state=up"]).ok();
    assert_eq!(wait(cluster, &id), 0);

    let said = cluster.run("jsubmit", ["-A", "physics", "-q", "high", "--wrap", "true"]);
    assert_eq!(said.stderr.matches("physics").count(), 1, "{}", said.stderr);
    assert_eq!(said.stderr.matches("high").count(), 1, "{}", said.stderr);
}

/// The script travels with the job: edited after the submit, the old text runs.
fn held_script_is_the_old_one(cluster: &Cluster) {
    write(cluster, "h.sh", "#!/bin/sh\necho old\n");
    let id = submit(cluster, ["--hold", "h.sh"]);
    assert_eq!(state(cluster, &id), "held");
    assert_eq!(show(cluster, &id)["reason"]["code"], "JobHeldUser");
    write(cluster, "h.sh", "#!/bin/sh\necho new\n");
    cluster.run("jqueue", ["set", &id, "comment=edited", "time=10", "nice=3"]).ok();
    cluster.run("jqueue", ["release", &id]).ok();
    assert_eq!(wait(cluster, &id), 0);
    assert_eq!(log(cluster, &id), "old");
    let job = show(cluster, &id);
    assert_eq!((&job["comment"], &job["time_limit_seconds"]), (&"edited".into(), &600.into()));
}

/// `--begin`, `--time` with a trap, `--signal`, `--start-by`.
fn times(cluster: &Cluster) {
    let later = submit(cluster, ["--begin", "now+1h", "--wrap", "true"]);
    assert_eq!(show(cluster, &later)["reason"]["code"], "BeginTime");
    cluster.run("jqueue", ["set", &later, "begin=now"]).ok();
    assert_eq!(wait(cluster, &later), 0);

    let line = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
    let limited = submit(cluster, ["-t", "1s", "--wrap", line]);
    let warned = "trap 'echo warned; exit 4' USR1; while :; do sleep 0.1; done";
    let warned = submit(cluster, ["-t", "1m", "--signal", "B:USR1@57", "--wrap", warned]);
    let late = submit(cluster, ["--hold", "--start-by", "now+1s", "--wrap", "true"]);
    assert_eq!(wait(cluster, &limited), 124);
    assert_eq!(state(cluster, &limited), "timeout");
    let text = log(cluster, &limited);
    let last = text.lines().last().unwrap();
    holds(
        last,
        &["jsched: *** JOB ", "CANCELLED AT 2", "DUE TO TIME LIMIT ***", "(limit 00:00:01; jqueue why"],
    );
    assert_eq!(wait(cluster, &warned), 4);
    assert_eq!(log(cluster, &warned), "warned");
    assert_eq!(wait(cluster, &late), 125);
    assert_eq!(state(cluster, &late), "deadline");
}

/// Every kind, on a parent that failed, and one that still runs.
fn dependencies(cluster: &Cluster) {
    let bad = submit(cluster, ["-J", "parent", "--wrap", "exit 2"]);
    assert_eq!(wait(cluster, &bad), 2);
    for (kind, code) in [("afterok", 125), ("afterany", 0), ("afternotok", 0), ("after", 0)] {
        let id = submit(cluster, ["-d", &format!("{kind}:{bad}"), "--wrap", "true"]);
        assert_eq!(wait(cluster, &id), code, "{kind}");
    }
    let held = submit(cluster, ["-d", "afterok:name:parent", "--on-dep-fail=hold", "--wrap", "true"]);
    assert_eq!(state(cluster, &held), "held");
    done(cluster, ["-d", &format!("afterok:{bad}"), "--on-dep-fail=run", "--wrap", "true"]);

    let parent = submit(cluster, ["-J", "one", "--wrap", &until_gate("parent")]);
    let child = submit(cluster, ["-d", &format!("afterok:{parent},afterany:{bad}"), "--wrap", "true"]);
    let any = submit(cluster, ["-d", &format!("afterok:{parent}?afterany:{bad}"), "--wrap", "true"]);
    let single = submit(cluster, ["-J", "one", "-d", "singleton", "--wrap", "true"]);
    assert_eq!(wait(cluster, &any), 0);
    for waiting in [&child, &single] {
        assert_eq!(show(cluster, waiting)["reason"]["code"], "Dependency");
    }
    assert_eq!(show(cluster, &child)["dependencies"], serde_json::json!([format!("afterok:{parent}")]));
    write(cluster, "parent", "");
    assert_eq!((wait(cluster, &child), wait(cluster, &single)), (0, 0));
}

/// Harmless options are named in one warning; what cannot be honoured is refused with its line.
fn options_without_effect(cluster: &Cluster) {
    write(
        cluster,
        "m.sh",
        "#!/bin/sh\n#SBATCH --mail-type=ALL\n#SBATCH --hint=nomultithread\n#SBATCH -N 1\ntrue\n",
    );
    let said = cluster.run("jsubmit", ["m.sh"]);
    said.ok();
    assert_eq!(said.stderr.lines().filter(|line| line.contains("warning")).count(), 1, "{}", said.stderr);
    holds(&said.stderr, &["--mail-type=ALL", "--hint=nomultithread"]);
    write(cluster, "g.sh", "#!/bin/sh\n#SBATCH -N 4\n\n#SBATCH --gres=gpu:2\ntrue\n");
    let said = cluster.run("jsubmit", ["g.sh"]);
    said.expect(65);
    holds(&said.stderr, &["not supported yet: --nodes=4 (g.sh line 2)", "--gres=gpu:2 (g.sh line 4)"]);
    let shown = cluster.run("jsubmit", ["--test-only", "--json", "g.sh"]);
    assert_eq!((&shown.json()["data"]["request"]["nodes"], shown.code), (&4.into(), 0));
}
