//! `jctld audit`: who did what, when, from where, allowed or refused, in a chain that outlives the controller.

use serde_json::Value;

use crate::harness::{Cluster, Output, finish};
use crate::{holds, submit};

#[test]
fn the_audit_tells_who_did_what() {
    let cluster = Cluster::start(1);
    let folder = cluster.work.join("alice");
    let out = folder.display().to_string();
    cluster.run("jctld", ["user", "add", "alice", "--uid", "61234", "--out", &out]).ok();
    let alice = |args: &[&str]| -> Output {
        let mut command = cluster.command(args[0]);
        command.args(&args[1..]).env("JSCHED_CONFIG", folder.join("client.toml"));
        finish(command, "")
    };
    let id = submit(&cluster, ["--hold", "--wrap", "true"]);
    for _ in 0..3 {
        alice(&["jcancel", &id]).expect(77);
        alice(&["jctld", "audit"]).expect(77);
    }
    cluster.run("jnode", ["drain", "n1", "--reason", "\u{1b}[2Jhot"]).ok();
    cluster.run("jcancel", ["--reason", "enough", &id]).ok();
    cluster.run("jnode", ["resume", "n1"]).ok();

    // The tables are some milliseconds behind the log.
    cluster.wait_until("the last of it to be there", || {
        audit(&cluster, &[]).iter().any(|record| record["what"] == "resume")
    });
    let all = audit(&cluster, &[]);
    let words: Vec<&str> = all.iter().map(|record| record["what"].as_str().unwrap()).collect();
    for what in ["add user alice, uid 61234", "drain: \u{1b}[2Jhot", "cancel: enough", "resume"] {
        assert_eq!(words.iter().filter(|word| **word == what).count(), 1, "{what}: {words:#?}");
    }
    // The same refusal is recorded once, not as often as somebody likes.
    let refused = audit(&cluster, &["--who", "alice"]);
    let refused: Vec<&Value> = refused.iter().filter(|record| record["allowed"] == false).collect();
    assert_eq!(refused.len(), 2, "{refused:#?}");
    assert!(refused.iter().all(|record| record["who"] == "user alice" && record["from"] != ""));
    let of_job = audit(&cluster, &["--job", &id]);
    assert_eq!((of_job.len(), &of_job[0]["what"]), (1, &"cancel: enough".into()));
    assert_eq!(audit(&cluster, &["--node", "n1", "--what", "DRAIN"]).len(), 1);
    assert_eq!(audit(&cluster, &["-S", "now+1h"]).len() + audit(&cluster, &["-E", "now-1h"]).len(), 0);
    let table = cluster.run("jctld", ["audit"]).ok();
    assert!(!table.contains('\u{1b}'), "escaped: {table}");
    holds(&table, &["TIME", "FROM", "drain: \\u{1b}[2Jhot", "n1"]);

    let whole = cluster.run("jctld", ["audit", "--verify"]).ok();
    holds(&whole, &["whole", "records 1 to"]);
    cluster.kill9("jctld");
    cluster.wait_until("the controller to be back", || cluster.run("jqueue", [""; 0]).code == 0);
    cluster.run("jnode", ["drain", "n1", "--reason", "again"]).ok();
    let later = audit(&cluster, &[]);
    let numbers: Vec<u64> = later.iter().map(|record| record["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=later.len() as u64).collect::<Vec<_>>());
    assert!(later.len() > all.len());
    holds(&cluster.run("jctld", ["audit", "--verify"]).ok(), &["whole"]);
}

#[track_caller]
fn audit(cluster: &Cluster, args: &[&str]) -> Vec<Value> {
    let output = cluster.run("jctld", [&["audit", "--json"], args].concat());
    output.ok();
    output.json()["data"].as_array().unwrap().clone()
}
