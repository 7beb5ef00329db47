//! Arrays, lines of a file, and many jobs in one call.

use crate::harness::Cluster;
use crate::{done, holds, log, read, show, state, submit, until, wait, write};

#[test]
fn arrays_and_many_jobs() {
    let cluster = Cluster::builder().cpus(4).start();
    one_line_for_all(&cluster);
    only_the_failed_run_again(&cluster);
    lines_of_a_file(&cluster);
    many_jobs(&cluster);
}

/// The line of `jqueue`, `%limit`, `-r`, `-t`, parts of an array cancelled.
fn one_line_for_all(cluster: &Cluster) {
    let line =
        "until [ -e go.$SLURM_ARRAY_TASK_ID ]; do sleep 0.05; done; exit $((SLURM_ARRAY_TASK_ID == 2))";
    let id = submit(cluster, ["-J", "many", "--mem=10M", "-a", "1-9:1%2", "--wrap", line]);
    let tasks = || show(cluster, &id)["tasks"].clone();
    cluster.wait_until("two tasks to run", || tasks()["running"] == 2);
    assert_eq!(tasks()["pending"], 7, "the limit holds");
    let listed = cluster.run("jqueue", ["-o", "id,state_code,place"]).ok();
    let row = listed.lines().last().unwrap();
    assert_eq!(words(row), format!("{id}_[1-9%2] R 2 running of 9"));

    write(cluster, "go.1", "");
    write(cluster, "go.2", "");
    cluster.wait_until("the next two to run", || tasks()["running"] == 2 && tasks()["pending"] == 5);
    let listed = cluster.run("jqueue", ["-o", "place", "--no-header"]).ok();
    assert_eq!(words(&listed), "1 done, 1 failed, 2 running of 9");
    let running = cluster.run("jqueue", ["-r", "-t", "R", "--no-header", "-o", "id"]);
    let expected = format!("{id}_3\n{id}_4");
    assert_eq!(running.ok(), expected, "{running:?}; all: {}", cluster.run("jqueue", ["-r"]).stdout);

    let said = cluster.run("jcancel", [format!("{id}_[7-9]")]).ok();
    holds(&said, &[&format!("{id}_[7-9]"), "cancelled"]);
    assert_eq!(tasks()["cancelled"], 3);
    for task in 3..=6 {
        write(cluster, &format!("go.{task}"), "");
    }
    assert_eq!(wait(cluster, &id), 130, "the highest of 1 and 130");
    assert_eq!(tasks(), serde_json::json!({"completed": 5, "failed": 1, "cancelled": 3}));
    assert_eq!(state(cluster, &format!("{id}_8")), "cancelled");
}

/// `requeue -t bad` runs exactly the failed ones again, as attempt 2; a task has its own number.
fn only_the_failed_run_again(cluster: &Cluster) {
    let line = "echo $SLURM_JOB_ID $JSCHED_JOB_ID $JSCHED_ATTEMPT $SLURM_ARRAY_TASK_COUNT-$SLURM_ARRAY_TASK_MIN-\
                $SLURM_ARRAY_TASK_MAX-$SLURM_ARRAY_TASK_STEP >> ran.$SLURM_ARRAY_TASK_ID; \
                [ -e cured ] || exit $((SLURM_ARRAY_TASK_ID % 4 == 2 ? 7 : 0))";
    let id = submit(cluster, ["--mem=10M", "-a", "0-10:2", "--wrap", line]);
    assert_eq!(wait(cluster, &id), 7);
    let number: u64 = id.parse().unwrap();
    assert_eq!(cluster.run("jqueue", ["hist", "-j", &id, "-t", "bad", "-o", "tasks"]).ok(), "2,6,10");
    assert_eq!(show(cluster, &(number + 2).to_string())["id"], format!("{id}_2"), "by its own number");

    write(cluster, "cured", "");
    let said = cluster.run("jqueue", ["requeue", &id, "-t", "bad"]).ok();
    holds(&said, &["2,6,10"]);
    assert_eq!(wait(cluster, &id), 0);
    for (place, index) in (0..=10).step_by(2).enumerate() {
        let own = number + 1 + place as u64;
        let first = format!("{own} {id}_{index} 1 6-0-10-2\n");
        let second = format!("{own} {id}_{index} 2 6-0-10-2\n");
        let expected = if index % 4 == 2 { first + &second } else { first };
        assert_eq!(read(cluster, &format!("ran.{index}")), expected);
    }
    assert_eq!(show(cluster, &format!("{id}_6"))["attempt"], 2);
    assert_eq!(show(cluster, &format!("{id}_6"))["restarts"], 1);
    let next = submit(cluster, ["--wrap", "true"]);
    assert_eq!(next, (number + 7).to_string(), "an array of n tasks uses n+1 numbers");
}

fn lines_of_a_file(cluster: &Cluster) {
    write(cluster, "lines", "alpha\nbeta  two\n$(gamma)\n");
    let id =
        done(cluster, ["--each-line", "lines", "--wrap", "echo \"<$JSCHED_LINE>\" $SLURM_ARRAY_TASK_ID"]);
    for (task, text) in [(1, "<alpha> 1"), (2, "<beta  two> 2"), (3, "<$(gamma)> 3")] {
        assert_eq!(log(cluster, &format!("{id}_{task}")), text);
    }
    let id = done(cluster, ["--each-line", "lines", "-a", "2", "--wrap", "echo \"$JSCHED_LINE\""]);
    assert_eq!(log(cluster, &id), "beta  two");
    assert_eq!(show(cluster, &id)["tasks"], serde_json::json!({"completed": 1}));
}

/// `--jobs`: labels, dependencies on them, ids in the file's order; all or none.
fn many_jobs(cluster: &Cluster) {
    let file = r#"{"label": "a", "command": ["sh", "-c", "until [ -e go.jobs ]; do sleep 0.05; done"], "job-name": "A"}
{"label": "b", "command": ["false"], "dependency": "afterok:@a"}
{"command": ["echo", "two words"], "dependency": "afternotok:@b", "mem": "20M"}
{"command": ["true"], "dependency": "afterok:@b"}
"#;
    write(cluster, "jobs", file);
    let ids = cluster.run("jsubmit", ["--jobs", "jobs"]).ok();
    let ids: Vec<&str> = ids.lines().collect();
    assert_eq!(ids.len(), 4);
    until(cluster, ids[0], "running");
    assert_eq!(state(cluster, ids[2]), "pending");
    write(cluster, "go.jobs", "");
    let codes: Vec<i32> = ids.iter().map(|id| wait(cluster, id)).collect();
    assert_eq!(codes, [0, 1, 0, 125]);
    assert_eq!(log(cluster, ids[2]), "two words");

    let before = show(cluster, "last")["number"].clone();
    for (text, said) in [
        ("{\"command\": [\"true\"]}\n{\"command\": [\"true\"], \"bogus\": 1}\n", "line 2"),
        ("{\"command\": [\"true\"]}\n{\"command\": [\"true\"], \"dependency\": \"afterok:@z\"}\n", "`z`"),
        ("{\"command\": [\"true\"]}\n{\"command\"", "line 2"),
    ] {
        let output = cluster.run_with_input("jsubmit", ["--jobs", "-"], text);
        output.expect(65);
        holds(&output.stderr, &[said]);
    }
    let output = cluster.run_with_input(
        "jsubmit",
        ["--jobs", "-"],
        "{\"command\":[\"true\"]}\n{\"command\":[\"true\"],\"partition\":\"x\"}\n",
    );
    output.expect(1);
    assert_eq!(show(cluster, "last")["number"], before, "all or none");
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
