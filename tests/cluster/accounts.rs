//! Accounts and qualities of service: any name while none are defined, none but the user's own afterwards.

use serde_json::{Value, json};

use crate::harness::{Cluster, Output, finish};
use crate::{log, show, submit, until, until_gate, wait, write};

#[test]
fn accounts() {
    let cluster = Cluster::builder().cpus(4).start();
    any_name_while_none_are_defined(&cluster);
    definitions_that_make_no_sense(&cluster);
    only_ones_own(&cluster);
    coordinators_act_below_their_own(&cluster);
    limits_when_submitting(&cluster);
    limits_on_what_runs(&cluster);
    a_spent_budget_starts_nothing(&cluster);
    qualities_of_service(&cluster);
    cluster.kill9("jctld");
    cluster.wait_until("the controller to be back", || cluster.run("jqueue", ["whoami"]).code == 0);
    they_outlive_the_controller(&cluster);
}

/// Who runs the tests.
fn me(cluster: &Cluster) -> String {
    cluster.run("jqueue", ["whoami", "--json"]).json()["data"]["name"].as_str().unwrap().to_owned()
}

#[track_caller]
fn jctld(cluster: &Cluster, words: &[&str]) -> String {
    cluster.run("jctld", words).ok()
}

/// A command ends with that code and says that.
#[track_caller]
fn fails(output: &Output, code: i32, with: &str) {
    output.expect(code);
    assert!(output.stderr.contains(with), "no `{with}` in {}", output.stderr);
}

/// As ben, who is no admin.
fn ben(cluster: &Cluster, words: &[&str]) -> Output {
    let mut command = cluster.command("jctld");
    command.args(words).env("JSCHED_CONFIG", cluster.work.join("ben/client.toml"));
    finish(command, "")
}

#[track_caller]
fn account(cluster: &Cluster, name: &str) -> Value {
    let all = cluster.run("jctld", ["account", "list", "--json"]).json();
    let found = all["data"].as_array().unwrap().iter().find(|one| one["name"] == name).cloned();
    found.unwrap_or(Value::Null)
}

fn any_name_while_none_are_defined(cluster: &Cluster) {
    let output = cluster.run("jsubmit", ["-A", "any", "-q", "any", "-H", "--parsable", "--wrap", "true"]);
    assert!(output.stderr.contains("no accounts or QOS are defined here"), "{}", output.stderr);
    assert_eq!(show(cluster, &output.ok())["account"], "any");
    assert_eq!(cluster.run("jctld", ["account", "list", "--json"]).json()["data"], json!([]));
}

fn definitions_that_make_no_sense(cluster: &Cluster) {
    let out = cluster.work.join("ben").display().to_string();
    jctld(cluster, &["user", "add", "ben", "--uid", "61234", "--out", &out]);
    let refused = |code: i32, words: &[&str], with: &str| fails(&cluster.run("jctld", words), code, with);
    refused(1, &["account", "set", "physics", "users=ben"], "no account `physics`");
    refused(1, &["account", "add", "physics", "users=nobody-here"], "users: there is no user");
    refused(1, &["account", "add", "physics", "parent=all"], "parent: there is no account `all`");
    refused(64, &["account", "add", "physics", "max-submitted=some"], "max-submitted");
    refused(64, &["account", "add", "physics", "colour=red"], "colour");
    refused(65, &["account", "add", "physics", "max-gpus=3"], "not supported yet: max-gpus");
    jctld(cluster, &["account", "add", "physics"]);
    jctld(cluster, &["account", "add", "atoms", "parent=physics"]);
    jctld(cluster, &["account", "add", "ions", "parent=atoms"]);
    refused(1, &["account", "add", "atoms"], "exists already");
    let circle = "parent: physics would stand above itself: physics below ions below atoms below physics";
    refused(1, &["account", "set", "physics", "parent=ions"], circle);
    refused(1, &["account", "remove", "atoms"], "account ions stands below atoms");
    refused(1, &["qos", "remove", "fast"], "no QOS `fast`");
    let unknown = cluster.run("jnode", ["partition", "set", "main", "accounts=chemistry"]);
    fails(&unknown, 1, "accounts: there is no account `chemistry`");
}

fn only_ones_own(cluster: &Cluster) {
    let me = me(cluster);
    fails(&cluster.run("jsubmit", ["--wrap", "true"]), 1, "is in no account");
    jctld(cluster, &["account", "set", "physics", &format!("users=+{me}")]);
    let (users, default) = (format!("users={me},ben"), format!("default-for={me}"));
    jctld(cluster, &["account", "set", "atoms", &users, &default]);
    let ions = cluster.run("jsubmit", ["-A", "ions", "--wrap", "true"]);
    fails(&ions, 1, "is not in account `ions`");
    fails(&ions, 1, "yours: atoms, physics");
    fails(&cluster.run("jsubmit", ["-A", "any", "--wrap", "true"]), 1, "no account `any`");
    let plain = submit(cluster, ["--wrap", "true"]);
    let named = submit(cluster, ["-A", "physics", "--wrap", "true"]);
    assert_eq!(show(cluster, &plain)["account"], "atoms");
    assert_eq!(show(cluster, &named)["account"], "physics");
    let who = cluster.run("jqueue", ["whoami", "--json"]).json();
    assert_eq!(who["data"]["accounts"], json!(["atoms", "physics"]));
    let held = submit(cluster, ["-H", "--wrap", "true"]);
    fails(&cluster.run("jqueue", ["set", &held, "account=ions"]), 1, "is not in account `ions`");
    cluster.run("jqueue", ["set", &held, "account=physics"]).ok();
    assert_eq!(show(cluster, &held)["account"], "physics");
    // A partition may be for some accounts alone.
    cluster.run("jnode", ["partition", "set", "beams", "accounts=physics", "nodes=all"]).ok();
    fails(&cluster.run("jsubmit", ["-p", "beams", "--wrap", "true"]), 1, "not `atoms`");
    cluster.run("jsubmit", ["-p", "beams", "-A", "physics", "-H", "--wrap", "true"]).ok();
    jctld(cluster, &["account", "remove", "ions"]);
    let held = submit(cluster, ["-H", "--wrap", "true"]);
    fails(&cluster.run("jctld", ["account", "remove", "atoms"]), 1, "is of account atoms");
    cluster.run("jcancel", [&held]).ok();
}

fn coordinators_act_below_their_own(cluster: &Cluster) {
    ben(cluster, &["account", "list"]).expect(77);
    ben(cluster, &["account", "add", "optics", "parent=physics"]).expect(77);
    jctld(cluster, &["account", "set", "physics", "coordinators=ben"]);
    ben(cluster, &["account", "add", "optics", "parent=physics", "users=ben", "max-time=1h"]).ok();
    ben(cluster, &["account", "list"]).ok();
    ben(cluster, &["account", "set", "physics", "users=+ben"]).expect(77);
    ben(cluster, &["account", "add", "other", "users=ben"]).expect(77);
    ben(cluster, &["account", "set", "optics", "parent="]).expect(77);
    ben(cluster, &["account", "remove", "physics"]).expect(77);
    ben(cluster, &["qos", "add", "fast", "priority=9"]).expect(77);
    ben(cluster, &["account", "set", "optics", "users=-ben"]).ok();
    ben(cluster, &["account", "remove", "optics"]).ok();
    assert_eq!(account(cluster, "optics"), Value::Null);
}

fn limits_when_submitting(cluster: &Cluster) {
    jctld(cluster, &["account", "set", "atoms", "max-time=1h", "max-submitted=3"]);
    // What ran before is over, so that only what follows counts.
    cluster.wait_until("earlier jobs to end", || account(cluster, "atoms")["used"]["submitted"] == 0);
    let array = cluster.run("jsubmit", ["-H", "-a", "0-3", "--wrap", "true"]);
    fails(&array, 1, "account atoms may have 3 unfinished jobs; there are 0, and 4 more are too many");
    let long = cluster.run("jsubmit", ["-t", "2h", "--wrap", "true"]);
    fails(&long, 1, "is more than account atoms allows: 01:00:00");
    let array = submit(cluster, ["-H", "-a", "0-2", "--wrap", "true"]);
    assert_eq!(show(cluster, &array)["time_limit_seconds"], 3_600);
    assert_eq!(account(cluster, "atoms")["used"]["submitted"], 3);
    assert!(account(cluster, "physics")["used"]["submitted"].as_u64() > Some(3), "with all below it");
    fails(&cluster.run("jsubmit", ["--wrap", "true"]), 1, "AssocGrpSubmitJobsLimit");
    cluster.run("jcancel", [&array]).ok();
    assert_eq!(account(cluster, "atoms")["used"]["submitted"], 0);
    submit(cluster, ["-H", "--wrap", "true"]);
}

/// Who is over a limit waits and says so; others pass; an array keeps within it while the node refills its slots.
fn limits_on_what_runs(cluster: &Cluster) {
    jctld(cluster, &["account", "set", "atoms", "max-submitted=", "max-time="]);
    jctld(cluster, &["account", "set", "physics", "max-cpus=2"]);
    fails(&cluster.run("jsubmit", ["-c3", "--wrap", "true"]), 1, "account physics allows 2 at once");
    let gate = until_gate("limit");
    let job = |account: &str, cpus: &str| {
        submit(cluster, ["-A", account, "-c", cpus, "--mem=10M", "-t", "10", "--wrap", &gate])
    };
    let (first, second, third) = (job("atoms", "1"), job("physics", "1"), job("atoms", "1"));
    until(cluster, &second, "running");
    let waiting = || show(cluster, &third)["reason"]["code"] == "AssocGrpCpuLimit";
    cluster.wait_until("the third job to wait for the limit", waiting);
    let why = cluster.run("jqueue", ["why", &third]).ok();
    let (used, me) = ("account physics allows 2 cpus at once; 2 are in use", me(cluster));
    assert!(why.contains(used) && why.contains(&format!("({me} 2)")), "{why}");
    let used = account(cluster, "physics")["used"].clone();
    assert_eq!((&used["running"], &used["cpus"]), (&2.into(), &2.into()));
    let array = submit(
        cluster,
        ["-a", "0-19", "--mem=10M", "-t", "10", "--wrap", "date +%s%N; sleep 0.05; date +%s%N"],
    );
    write(cluster, "limit", "");
    for id in [&first, &second, &third, &array] {
        assert_eq!(wait(cluster, id), 0);
    }
    assert!(at_once(cluster, &array) <= 2);
    assert_eq!(account(cluster, "physics")["used"]["cpus"], 0);
}

/// How many tasks of an array ran at once at most, by what each of them printed when it started and ended.
fn at_once(cluster: &Cluster, array: &str) -> usize {
    let mut moments: Vec<(u128, i32)> = Vec::new();
    for task in 0..20 {
        let times = log(cluster, &format!("{array}_{task}"));
        let times: Vec<u128> = times.lines().map(|line| line.parse().unwrap()).collect();
        moments.extend([(times[0], 1), (times[1], -1)]);
    }
    moments.sort_unstable();
    let mut now = 0;
    moments
        .iter()
        .map(|(_, step)| {
            now += step;
            now
        })
        .max()
        .unwrap() as usize
}

/// A budget that is spent at once, for want of time: a job of a whole node's memory counts as the node.
fn a_spent_budget_starts_nothing(cluster: &Cluster) {
    jctld(cluster, &["account", "set", "physics", "budget=1cpu-hours"]);
    let before = submit(cluster, ["--mem=10M", "--wrap", "sleep 0.2"]);
    assert_eq!(wait(cluster, &before), 0);
    let spent = account(cluster, "physics")["budget"]["used_cpu_hours"].as_f64().unwrap();
    assert!(spent > 0.0 && spent < 0.1, "{spent}");
    jctld(cluster, &["account", "set", "physics", "budget=0"]);
    let late = cluster.run("jsubmit", ["--parsable", "--mem=10M", "--wrap", "true"]);
    assert!(late.stderr.contains("account physics has used 0 of 0 cpu-hours since"), "{}", late.stderr);
    let late = late.ok();
    assert_eq!(show(cluster, &late)["reason"]["code"], "AssocGrpCPUMinutesLimit");
    let why = cluster.run("jqueue", ["why", &late]).ok();
    assert!(why.contains("has used 0 of 0 cpu-hours since"), "{why}");
    let usage = cluster.run("jqueue", ["usage", "--by", "account", "--json"]).json();
    let physics = usage["data"].as_array().unwrap().iter().find(|row| row["account"] == "physics").unwrap();
    assert_eq!(physics["budget_cpu_hours"], 0);
    jctld(cluster, &["account", "set", "physics", "budget=10"]);
    assert_eq!(wait(cluster, &late), 0);
}

fn qualities_of_service(cluster: &Cluster) {
    jctld(cluster, &["account", "set", "atoms", "max-submitted=3"]);
    jctld(cluster, &["qos", "add", "normal", "max-submitted-per-user=2"]);
    jctld(cluster, &["qos", "add", "fast", "priority=500"]);
    fails(&cluster.run("jsubmit", ["-q", "slow", "--wrap", "true"]), 1, "no QOS `slow`");
    let plain = show(cluster, &submit(cluster, ["-H", "--wrap", "true"]));
    let fast = show(cluster, &submit(cluster, ["-H", "-q", "fast", "--wrap", "true"]));
    assert_eq!((&plain["qos"], &fast["qos"]), (&"normal".into(), &"fast".into()));
    assert_eq!(fast["priority"].as_i64().unwrap() - plain["priority"].as_i64().unwrap(), 500);
    let many = cluster.run("jsubmit", ["-H", "-A", "physics", "-a", "1-2", "--wrap", "true"]);
    fails(&many, 1, "QOSMaxSubmitJobPerUserLimit");
    fails(&cluster.run("jctld", ["qos", "remove", "fast"]), 1, "is of QOS fast");
}

fn they_outlive_the_controller(cluster: &Cluster) {
    let atoms = account(cluster, "atoms");
    assert_eq!((&atoms["parent"], &atoms["limits"]["submitted"]), (&"physics".into(), &3.into()));
    assert_eq!(atoms["used"]["submitted"], 3, "counted anew from the jobs: {atoms}");
    assert_eq!(atoms["default_for"], json!([me(cluster)]));
    let physics = account(cluster, "physics");
    assert_eq!(physics["budget"]["cpu_hours"], 10);
    assert!(physics["budget"]["used_cpu_hours"].as_f64() > Some(0.0), "what is spent stays spent: {physics}");
    jctld(cluster, &["user", "remove", "ben"]);
    assert_eq!(account(cluster, "physics")["coordinators"], json!([]));
}
