//! The whole cluster as one file: written, changed, put in force, refused with the line.

use crate::harness::{Cluster, Output};
use crate::write;

#[test]
fn configuration() {
    let cluster = Cluster::builder().cpus(4).start();
    let jctld = |words: &[&str]| cluster.run("jctld", words);
    let path = cluster.work.join("cluster.toml").display().to_string();
    let me = cluster.run("jqueue", ["whoami", "--json"]).json()["data"]["name"].as_str().unwrap().to_owned();

    let exported = jctld(&["config", "export"]).ok();
    assert!(exported.contains("[partition.main]\n"), "{exported}");
    write(&cluster, "cluster.toml", &exported);
    let same = jctld(&["config", "apply", &path]);
    assert!(same.stderr.contains("nothing to change"), "{}", same.stderr);
    assert_eq!(same.ok(), "");

    // More of everything, at first only to see.
    let policy = "policy = \"priority-easy\"";
    assert!(exported.contains(policy), "{exported}");
    let more = exported.replace(policy, "policy = \"sjf-easy\"")
        + &format!(
            "\n[account.all]\n[account.physics]\nparent = \"all\"\nusers = [\"{me}\"]\nmax-running = 2\n\n\
             [qos.normal]\npriority = 5\n"
        );
    write(&cluster, "cluster.toml", &more);
    let wanted = format!(
        "partition main: policy priority-easy -> sjf-easy\naccount all: added share=1 users=\n\
         account physics: added parent=all share=1 users={me} max-running=2\nqos normal: added priority=5\n"
    );
    assert_eq!(jctld(&["config", "apply", &path, "--dry-run"]).ok(), wanted.trim_end());
    assert_eq!(jctld(&["config", "export"]).ok(), exported);

    // One mistake, and nothing changes.
    let line = more.lines().position(|line| line == "parent = \"all\"").unwrap() + 1;
    write(&cluster, "cluster.toml", &more.replace("parent = \"all\"", "parent = \"physics\""));
    let circle = jctld(&["config", "apply", &path, "--json"]);
    let error = &circle.json()["error"];
    assert_eq!((circle.code, &error["line"], &error["file"]), (1, &line.into(), &path.as_str().into()));
    let refused = |output: Output, code: i32, with: &str| {
        output.expect(code);
        assert!(output.stderr.contains(with), "no `{with}` in {}", output.stderr);
    };
    refused(jctld(&["config", "apply", &path]), 1, "account.physics parent: accounts in a circle");
    write(&cluster, "cluster.toml", &more.replace("sjf-easy", "sjf-eazy"));
    refused(jctld(&["config", "apply", &path]), 65, "partition.main: policy: `sjf-eazy` is no policy");
    write(&cluster, "cluster.toml", &(more.clone() + "[node.n77]\nweight = 3\n"));
    refused(jctld(&["config", "apply", &path]), 1, "node.n77: there is no node `n77`");
    assert_eq!(jctld(&["config", "export"]).ok(), exported);

    write(&cluster, "cluster.toml", &more);
    let applied = jctld(&["config", "apply", &path]);
    assert!(applied.stderr.contains("from now on jobs are taken only from users who are in an account"));
    assert_eq!(applied.ok(), wanted.trim_end());
    let job = cluster.run("jsubmit", ["-H", "--parsable", "--wrap", "true"]).ok();
    let shown = cluster.run("jqueue", ["show", &job, "--json"]).json();
    assert_eq!((&shown["data"]["account"], &shown["data"]["qos"]), (&"physics".into(), &"normal".into()));

    // What is used does not go; all of it is there after a restart, and in the audit.
    write(&cluster, "cluster.toml", &("account = {}\nqos = {}\n".to_owned() + &exported));
    refused(
        jctld(&["config", "apply", &path]),
        1,
        &format!("account.physics: it would go, and job {job} is of it"),
    );
    let now = jctld(&["config", "export"]).ok();
    cluster.kill9("jctld");
    cluster.wait_until("the controller to be back", || cluster.run("jqueue", ["whoami"]).code == 0);
    assert_eq!(jctld(&["config", "export"]).ok(), now);
    let audit = jctld(&["audit", "--what", "apply a configuration"]).ok();
    assert!(audit.contains("partition main, account all, account physics, qos normal"), "{audit}");
    cluster.run("jcancel", [&job]).ok();
    let gone = jctld(&["config", "apply", &path]).ok();
    assert!(gone.contains("account physics: removed\nqos normal: removed"), "{gone}");
}
