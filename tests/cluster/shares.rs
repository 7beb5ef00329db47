//! Fair share and age on a real cluster: who has used less goes first, and what was used outlives the controller.

use serde_json::Value;

use crate::harness::Cluster;
use crate::{show, submit, until, until_gate, wait, write};

const CONFIGURATION: &str = r#"
[priority]
half-life = "1-00:00:00"
calc-period = "1s"
max-age = "1-00:00:00"
weight-age = 10
weight-fair-share = 100000

[account.all]
[account.physics]
parent = "all"
share = 3
users = ["ME"]
[account.chemistry]
parent = "all"
users = ["ME"]
"#;

#[test]
fn shares() {
    let cluster = Cluster::builder().cpus(4).start();
    let me = cluster.run("jqueue", ["whoami", "--json"]).json()["data"]["name"].as_str().unwrap().to_owned();
    write(&cluster, "cluster.toml", &CONFIGURATION.replace("ME", &me));
    let path = cluster.work.join("cluster.toml").display().to_string();
    let said = cluster.run("jctld", ["config", "apply", &path]).ok();
    assert!(said.contains(", calc-period 00:01:00 -> 00:00:01, "), "{said}");

    // Physics uses the whole node while one of each waits, physics first.
    let blocker = submit(&cluster, ["-A", "physics", "-c4", "--mem=10M", "--wrap", &until_gate("go")]);
    until(&cluster, &blocker, "running");
    let job = |account: &str| submit(&cluster, ["-A", account, "-c4", "--mem=10M", "--wrap", "true"]);
    let (physics, chemistry) = (job("physics"), job("chemistry"));
    let prio = |id: &str| cluster.run("jqueue", ["prio", id, "--json"]).json()["data"].clone();
    cluster.wait_until("chemistry to come first", || {
        prio(&chemistry)["rank"] == 1 && prio(&physics)["rank"] == 2
    });
    let part = |id: &str, name: &str| -> Value {
        let parts = prio(id)["parts"].clone();
        parts.as_array().unwrap().iter().find(|part| part["name"] == name).cloned().unwrap_or(Value::Null)
    };
    let share = part(&chemistry, "fair-share");
    // It has used nothing itself; what is used beside it counts by its quarter.
    assert_eq!((&share["weight"], share["factor"].as_f64()), (&100_000.into(), Some(0.5)), "{share}");
    // Three quarters of the shares, all of the use: 2^(−1/0.75).
    let factor = part(&physics, "fair-share")["factor"].as_f64().unwrap();
    assert!((factor - 2f64.powf(-4.0 / 3.0)).abs() < 1e-6, "{factor}");
    let words = cluster.run("jqueue", ["prio", &physics]).ok();
    let wanted = format!("{me} in physics has 75.0 % of the shares and 100.0 % of what was used");
    assert!(words.contains(&wanted) && words.contains(" of 10 age: it has waited for "), "{words}");

    write(&cluster, "go", "");
    assert_eq!((wait(&cluster, &blocker), wait(&cluster, &chemistry), wait(&cluster, &physics)), (0, 0, 0));
    let start =
        |id: &str| show(&cluster, id)["start_time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(start(&chemistry) <= start(&physics), "who has used less starts first");

    // Time takes from all alike, so that the parts stay to the last digit, over a crash, too.
    let usage = || cluster.run("jqueue", ["usage", "--by", "account", "--json"]).json()["data"].clone();
    let used = |usage: &Value| -> Vec<f64> {
        let of = |row: &Value| row["shares"][0]["used"].as_f64().unwrap();
        ["all", "chemistry", "physics"]
            .map(|name| of(usage.as_array().unwrap().iter().find(|row| row["account"] == name).unwrap()))
            .to_vec()
    };
    let before = used(&usage());
    assert!(before[2] > before[1] && before[1] > 0.0, "{before:?}");
    cluster.kill9("jctld");
    cluster.wait_until("the controller to be back", || cluster.run("jqueue", ["whoami"]).code == 0);
    let after = used(&usage());
    // They are told in billionths.
    let same = before.iter().zip(&after).all(|(one, two)| (one - two).abs() < 1.5e-9);
    assert!(same, "{before:?}, then {after:?}");
    let table = cluster.run("jqueue", ["usage", "--by", "account"]).ok();
    assert!(table.contains("75.0%, used "), "{table}");
}
