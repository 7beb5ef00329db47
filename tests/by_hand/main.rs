//! The README's section "By hand, on separate machines", word for word: controller, two nodes and a login machine that
//! share no folder. Only the text of tokens crosses.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

#[path = "../harness/mod.rs"]
mod harness;
mod machines;

use std::fs;
use std::path::Path;

use harness::{Output, poll};
use machines::Machine;

/// The section's title in the README.
const SECTION: &str = "## By hand, on separate machines";
/// What stands before each block of commands, with a name.
const MARK: &str = "<!-- by hand: ";

#[test]
fn the_readme_by_hand() {
    if let Some(why) = machines::missing() {
        println!("SKIPPED: the test of an installation on separate machines: {why}");
        return;
    }
    let root = tempfile::Builder::new().prefix("jsched-test-").tempdir().unwrap();
    let hosts = "127.0.0.1 localhost\n10.77.0.1 ctl\n10.77.0.2 n1\n10.77.0.3 n2\n10.77.0.4 login\n";
    let programs = Path::new(env!("CARGO_BIN_EXE_jctld")).parent().unwrap();
    let start = |name: &str| Machine::start(root.path(), programs, name, hosts);
    let switch = start("switch");
    switch.ip(&["link", "add", "name", "switch", "type", "bridge"]);
    switch.ip(&["link", "set", "switch", "up"]);
    let mut ctl = start("ctl");
    let mut nodes = [start("n1"), start("n2")];
    let login = start("login");
    ctl.connect(&switch, "10.77.0.1");
    nodes[0].connect(&switch, "10.77.0.2");
    nodes[1].connect(&switch, "10.77.0.3");
    login.connect(&switch, "10.77.0.4");
    // They share no folder.
    fs::write(login.inside("/home/mine"), "x").unwrap();
    assert_eq!(login.run("cat /home/mine", false).ok(), "x");
    assert!(ctl.run("cat /home/mine", false).code != 0);
    assert!(ctl.run(&format!("ls {}", root.path().display()), false).code != 0);

    let [init, serve, add] = commands("ctl");
    says(&ctl.run(&init, false), &serve);
    says(
        &ctl.run("cat /etc/jsched/jctld.service", false),
        "/mnt/jctld\" --settings \"/etc/jsched/jctld.toml\" run",
    );
    ctl.start_daemon(&serve);
    poll("the controller to serve", || ctl.said().contains("serving"));
    says_text(&ctl.said(), &add);
    let added = ctl.run(&add, false);
    let tokens: Vec<String> = added.ok().lines().map(str::to_owned).collect();
    assert_eq!(tokens.len(), 2, "{added:?}");

    let [join, run] = commands("node");
    for (node, token) in nodes.iter_mut().zip(&tokens) {
        // With the token itself only on a terminal.
        says(&added, &join);
        let join = join.replace("TOKEN", token);
        says(&node.run(&join, false), &run);
        node.start_daemon(&run);
    }
    poll("both nodes to be up", || {
        ctl.run("jnode --no-header", false).stdout.lines().filter(|line| line.contains("idle")).count() == 2
    });

    let [user] = commands("user");
    let added = ctl.run(&user, false);
    let [log_in, whoami, submit, log] = commands("login");
    let log_in = log_in.replace("TOKEN", &added.ok());
    says(&added, &log_in);
    let logged_in = login.run(&log_in, true);
    says(&logged_in, &whoami);
    says(&logged_in, submit.split("--wrap").next().unwrap());
    let who = login.run(&whoami, true).ok();
    assert!(
        who.contains("ann (uid 4321)") && who.contains("ctl:6815") && who.contains("good until"),
        "{who}"
    );
    login.run(&submit, true).ok();
    let output = login.run(&log, true).ok();
    assert!(["hello from n1", "hello from n2"].contains(&output.as_str()), "{output}");
    // The node made the file as her, and the login machine has none.
    let written = nodes.iter().flat_map(|node| fs::read_dir(node.inside("/tmp")).unwrap().flatten());
    let owners: Vec<u32> =
        written.map(|file| std::os::unix::fs::MetadataExt::uid(&file.metadata().unwrap())).collect();
    assert_eq!(owners, [machines::ANN]);
    assert_eq!(fs::read_dir(login.inside("/tmp")).unwrap().count(), 0);

    let listed = ctl.run("jnode --json", false).json();
    for node in listed["data"].as_array().unwrap() {
        assert_eq!(node["version"], env!("CARGO_PKG_VERSION"), "{node}");
        assert!(node["certificate_expires"].is_string(), "{node}");
    }
    doctors(&ctl, &nodes);
}

/// Nothing is wrong; then the controller's answers no longer reach a node.
fn doctors(ctl: &Machine, nodes: &[Machine; 2]) {
    for (machine, doctor) in
        [(ctl, "jctld doctor"), (&nodes[0], "jworkerd doctor"), (&nodes[1], "jworkerd doctor")]
    {
        let found = machine.run(doctor, false);
        assert_eq!(found.code, 0, "{}: {found:?}", machine.name);
    }
    ctl.ip(&["route", "add", "blackhole", "10.77.0.2/32"]);
    let found = nodes[0].run("jworkerd doctor --json", false);
    assert_eq!(found.code, 1, "{found:?}");
    let found = found.json();
    let wrong: Vec<_> =
        found["data"].as_array().unwrap().iter().filter(|one| one["verdict"] == "wrong").cloned().collect();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert_eq!(wrong[0]["about"], "address ctl:6815");
    assert!(wrong[0]["text"].as_str().unwrap().contains("no answer"), "{wrong:?}");
    assert!(wrong[0]["next"].as_str().unwrap().contains("drops UDP"), "{wrong:?}");
    ctl.ip(&["route", "del", "blackhole", "10.77.0.2/32"]);
    poll("the node to be reached again", || nodes[0].run("jworkerd doctor", false).code == 0);
}

/// A command has ended well, and said what to paste next.
#[track_caller]
fn says(output: &Output, next: &str) {
    output.ok();
    says_text(&format!("{}{}", output.stdout, output.stderr), next);
}

#[track_caller]
fn says_text(text: &str, next: &str) {
    assert!(text.contains(next.trim()), "no `{next}` in: {text}");
}

/// The commands of a block of the section, a line each.
fn commands<const N: usize>(block: &str) -> [String; N] {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, section) = readme.split_once(SECTION).expect("README.md has the section");
    let section = section.split("\n## ").next().unwrap();
    let (_, text) = section.split_once(&format!("{MARK}{block} -->")).expect("the section has the block");
    let text = text.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.try_into().unwrap_or_else(|lines: Vec<String>| panic!("{block}: {} lines", lines.len()))
}
