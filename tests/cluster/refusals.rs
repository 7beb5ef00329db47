//! What is not accepted: the message, the exit code, and that nothing is queued.

use std::fs;
use std::net::UdpSocket;

use crate::harness::{Cluster, Output};
use crate::{bash, holds, log, show, submit, write};

#[test]
fn bad_input() {
    let cluster = Cluster::builder().cpus(4).start();
    wrong_requests(&cluster);
    no_controller_or_no_right(&cluster);
    assert_eq!(cluster.run("jqueue", ["-a", "-t", "all", "--json"]).json()["data"], serde_json::json!([]));
    keys(&cluster);
    foreign_jobs(&cluster);
}

/// With no node known yet a job waits, whatever it asks for.
#[test]
fn no_node_yet() {
    let cluster = Cluster::start(0);
    let id = submit(&cluster, ["-c", "5000", "--wrap", "true"]);
    assert_eq!(show(&cluster, &id)["reason"]["code"], "NoNodes");
    holds(&cluster.run("jqueue", ["why", &id]).ok(), &["no node"]);
    assert_eq!(cluster.run("jcancel", [&id]).code, 0);
}

fn wrong_requests(cluster: &Cluster) {
    let scripts = [
        ("bad.sh", "#!/bin/bash\n#SBATCH --nodez=3\n"),
        ("time.sh", "#!/bin/bash\n\n#SBATCH -t 5:xx:1\n"),
        ("crlf.sh", "#!/bin/bash\r\ntrue\r\n"),
        ("none.sh", "true\n"),
    ];
    for (name, text) in scripts {
        write(cluster, name, text);
    }
    cluster.run("jnode", ["drain", "n1", "--reason", "sizes of drained nodes count"]).ok();
    cluster.run("jnode", ["partition", "set", "small", "max-time=1h"]).ok();
    let cases: &[(i32, &[&str], &[&str])] = &[
        (65, &["bad.sh"], &["unknown option --nodez", "bad.sh line 2", "did you mean --nodes?"]),
        (65, &["time.sh"], &["--time", "`5:xx:1`", "time.sh line 3", "HH:MM:SS"]),
        (65, &["crlf.sh"], &["DOS line breaks", "dos2unix"]),
        (65, &["none.sh"], &["#!"]),
        (1, &["missing.sh"], &["no such file: missing.sh"]),
        (65, &["/bin/true"], &["a program", "jsubmit -- PROGRAM"]),
        (1, &["-c", "5", "--wrap", "true"], &["5 cpus", "n1", "offers 4 cpus"]),
        (1, &["--mem", "900T", "--wrap", "true"], &["900 TiB", "n1", "offers"]),
        (1, &["-p", "small", "-t", "2h", "--wrap", "true"], &["small", "01:00:00"]),
        (1, &["-p", "none", "--wrap", "true"], &["no partition `none`", "main"]),
        (1, &["-w", "n7", "--wrap", "true"], &["no node `n7`"]),
        (1, &["-d", "afterok:4711", "--wrap", "true"], &["4711", "not known"]),
        (64, &["-t", "soon", "--wrap", "true"], &["--time", "`soon`"]),
        (64, &["--mem=1G", "--mem-per-cpu=1G", "--wrap", "true"], &["exclude each other"]),
        (64, &["--nodez", "--wrap", "true"], &["--nodez", "--nodes"]),
        (64, &["-h", "--wrap", "true"], &["--no-header"]),
        (65, &["-N", "2", "--wrap", "true"], &["not supported yet", "--nodes=2"]),
        (65, &["--gres", "gpu:1", "--wrap", "true"], &["not supported yet", "--gres=gpu:1"]),
        (65, &["--checkpoint", "x", "--wrap", "true"], &["not supported yet", "--checkpoint"]),
        (65, &["--keep-copies=2", "--wrap", "true"], &["not supported yet", "--keep-copies"]),
        (65, &["--reservation", "r", "--wrap", "true"], &["not supported yet", "--reservation"]),
        (65, &["-L", "l", "--wrap", "true"], &["not supported yet", "--licenses"]),
        (1, &["-C", "f", "--wrap", "true"], &["no node of partition main may run it"]),
    ];
    for (code, args, said) in cases {
        refused(&cluster.run("jsubmit", *args), *code, said);
    }
    let reason = |bytes: usize| cluster.run("jcancel", ["--reason", &"r".repeat(bytes), "4711"]);
    refused(&reason(1_025), 1, &["a reason of 1025 bytes", "1024"]);
    // One byte less, and it is only that there is no such job.
    refused(&reason(1_024), 1, &["4711"]);
    refused(&cluster.run("jrun", ["hostname"]), 65, &["not supported yet: jrun", "jsubmit --follow"]);
    let error = cluster.run("jsubmit", ["--json", "-p", "none", "--wrap", "true"]);
    assert_eq!((&error.json()["error"]["code"], error.code), (&"no_such_partition".into(), 1));
    cluster.run("jnode", ["partition", "remove", "small"]).ok();
    cluster.run("jnode", ["resume", "n1"]).ok();
}

#[track_caller]
fn refused(output: &Output, code: i32, said: &[&str]) {
    assert_eq!((output.code, output.stdout.as_str()), (code, ""), "{output:?}");
    holds(&output.stderr, said);
}

/// No controller there, another cluster's certificate, an expired one, no configuration; a user who wants more.
fn no_controller_or_no_right(cluster: &Cluster) {
    let address = controller(cluster);
    let nobody = {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().to_string()
    };
    let own = fs::read_to_string(&cluster.config).unwrap();
    let absolute = own.replace("\"client/", &format!("\"{}/client/", cluster.dir.display()));
    write(cluster, "nobody.toml", &absolute.replace(&address, &nobody));
    refused(&with(cluster, "nobody.toml", "jsubmit --wrap true"), 69, &[&nobody, "nothing was accepted"]);
    refused(&with(cluster, "missing.toml", "jsubmit --wrap true"), 78, &["missing.toml"]);

    let other = Cluster::start(0);
    let theirs = fs::read_to_string(&other.config).unwrap();
    let theirs = theirs.replace("\"client/", &format!("\"{}/client/", other.dir.display()));
    write(cluster, "other.toml", &theirs.replace(&controller(&other), &address));
    refused(&with(cluster, "other.toml", "jsubmit --wrap true"), 78, &[&address]);

    let settings = cluster.dir.join("controller/jctld.toml").display().to_string();
    let issue =
        ["--settings", &settings, "ca", "issue", "short", "--uid", "4242", "--ttl", "1s", "--out", "short"];
    cluster.run("jctld", issue).ok();
    cluster.wait_until("the certificate to expire", || {
        with(cluster, "short/client.toml", "jqueue whoami").code != 0
    });
    refused(
        &with(cluster, "short/client.toml", "jsubmit --wrap true"),
        78,
        &["certificate", "refuses it by its clock"],
    );

    cluster.run("jctld", ["user", "add", "eve", "--uid", "4243", "--out", "eve"]).ok();
    for line in [
        "jnode drain n1 --reason x",
        "jnode down n1 --reason x",
        "jnode add n9",
        "jnode remove n1",
        "jnode partition set main state=down",
        "jctld user list",
        "jctld user add root2 --uid 4299",
        "jctld ca list",
        "jctld stop",
        "jctld audit",
    ] {
        let output = with(cluster, "eve/client.toml", line);
        assert_eq!((output.code, output.stdout.as_str()), (77, ""), "{line}: {output:?}");
    }

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for size in [0, 1, 20, 1200, 1472, 9000] {
        let garbage: Vec<u8> =
            (0..size).map(|byte: u32| (byte.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        socket.send_to(&garbage, &address).unwrap();
    }
    let before = cluster.pid("jctld");
    cluster.run("jqueue", ["whoami"]).ok();
    assert_eq!(cluster.pid("jctld"), before);
}

/// A key used again: the same request gets the same answer, another is refused.
fn keys(cluster: &Cluster) {
    let first = submit(cluster, ["--key", "k", "--wrap", "true"]);
    assert_eq!(submit(cluster, ["--key", "k", "--wrap", "true"]), first);
    refused(&cluster.run("jsubmit", ["--key", "k", "--wrap", "false"]), 1, &["key", "`k`"]);
    let all = cluster.run("jqueue", ["-a", "-t", "all", "--json"]).json();
    assert_eq!(all["data"].as_array().map(Vec::len), Some(1));
}

/// Seen in the queue, but neither changed nor read.
fn foreign_jobs(cluster: &Cluster) {
    let id = submit(cluster, ["--hold", "--comment", "secret", "--wrap", "echo secret"]);
    for line in ["jcancel", "jqueue log", "jqueue release", "jqueue requeue", "jqueue set comment=x"] {
        let output = with(cluster, "eve/client.toml", &format!("{line} {id}"));
        assert!([64, 77].contains(&output.code) && output.stdout.is_empty(), "{line}: {output:?}");
        assert_eq!(output.code, if line.contains("set") { output.code } else { 77 }, "{line}: {output:?}");
    }
    let seen = with(cluster, "eve/client.toml", &format!("jqueue show {id} --json"));
    holds(&seen.ok(), &["\"state\":\"held\""]);
    assert!(!seen.stdout.contains("secret"), "{}", seen.stdout);
    assert_eq!(with(cluster, "eve/client.toml", "jqueue --no-header").ok(), "");
    assert_eq!(with(cluster, "eve/client.toml", "jcancel 4711").code, 1);
    cluster.run("jqueue", ["release", &id]).ok();
    assert_eq!(crate::wait(cluster, &id), 0);
    assert_eq!(log(cluster, &id), "secret");
}

/// A line of bash with another configuration.
fn with(cluster: &Cluster, config: &str, line: &str) -> Output {
    bash(cluster, &format!("export JSCHED_CONFIG=$PWD/{config}; {line}"))
}

fn controller(cluster: &Cluster) -> String {
    let text = fs::read_to_string(&cluster.config).unwrap();
    text.lines().next().unwrap().split('"').nth(1).unwrap().to_owned()
}
