//! Certificates renew themselves, and whatever expires, no job is lost and the admin gets in again.

use std::fs;
use std::thread;

use crate::harness::{finish, poll};
use crate::site::{Site, clock_library, now};
use jsched::cli::render::quantity::rfc3339;
use jsched::model::identity::Role;
use jsched::model::time::Seconds;
use jsched::pki::certificate::Subject;
use jsched::pki::credentials::{CredentialFiles, Credentials};

/// The serial in a folder of credentials.
fn serial(site: &Site, folder: &str) -> String {
    let loaded = Credentials::load(&CredentialFiles::in_folder(&site.path(folder))).unwrap();
    loaded.bearer().identity.serial.to_string()
}

#[test]
fn renewed_in_time_by_those_who_bear_them() {
    // Short lives of the daemon's own make it look often; it is given longer ones below.
    let mut site = Site::init("controller_certificates = \"30s\"\n");
    site.start_controller();
    site.join_node("n1");
    let (admin, uid) = jsched::controller::init::whoami();
    let bearers = [
        ("n1", Subject::node("n1").unwrap()),
        ("etc/controller", Subject::controller()),
        (".config/jsched", Subject::person(Role::Admin, &admin, uid).unwrap()),
    ];
    let folders = bearers.each_ref().map(|(folder, _)| *folder);
    let keys = folders.map(|folder| fs::read(site.path(folder).join("key.pem")).unwrap());
    // All three are past two thirds of their lives. The node's ends soon, while it is connected with it.
    for (folder, subject) in &bearers {
        let left = if *folder == "n1" { 15 } else { 86_400 };
        site.give(folder, subject, -10 * 86_400, left);
    }
    let before = folders.map(|folder| serial(&site, folder));
    site.start_worker("n1");
    poll("the node and the controller to renew theirs", || {
        serial(&site, "n1") != before[0] && serial(&site, "etc/controller") != before[1]
    });
    // Several commands at once: all do their work, and one renews.
    thread::scope(|scope| {
        let runs: Vec<_> = (0..6).map(|_| scope.spawn(|| site.run("jqueue", &["whoami"]))).collect();
        runs.into_iter().for_each(|run| assert!(run.join().unwrap().ok().contains("good until")));
    });
    assert_ne!(serial(&site, ".config/jsched"), before[2]);
    assert_eq!(folders.map(|folder| fs::read(site.path(folder).join("key.pem")).unwrap()), keys);
    let listed = site.run("jctld", &["ca", "list", "--json"]).json();
    let of_admin = listed["data"].as_array().unwrap().iter().filter(|one| one["role"] == "admin").count();
    assert_eq!(of_admin, 3, "the first, the one that was due, and one renewal: {listed}");

    let job = site
        .run("jsubmit", &["--parsable", "--chdir", "/tmp", "--output", "none", "--wrap", "sleep 1001"])
        .ok();
    site.run("jqueue", &["wait", "--for", "start", &job]).ok();
    // The connections that were made with the first certificate end with it, and others take their place.
    let connected = site.said("jctld").matches("node connected").count();
    poll("the node's first certificate to end", || {
        site.said("jctld").contains("a certificate ended while it was connected")
    });
    poll("the node to be back", || site.said("jctld").matches("node connected").count() > connected);
    let shown = site.run("jqueue", &["show", &job, "--json"]).json();
    assert_eq!(
        (&shown["data"]["state"], &shown["data"]["attempt"]),
        (&"running".into(), &1.into()),
        "{shown}"
    );
    let cert =
        site.run("jnode", &["--json"]).json()["data"][0]["certificate_expires"].as_str().unwrap().to_owned();
    assert!(cert > rfc3339(now().plus(Seconds(86_400))).unwrap(), "{cert}");
}

#[test]
fn everything_expired_and_the_controller_down() {
    let mut site = Site::init("");
    site.start_controller();
    site.start_node("n1");
    let flag = site.path("go");
    let line = format!("until test -e '{}'; do sleep 0.1; done", flag.display());
    let job =
        site.run("jsubmit", &["--parsable", "--chdir", "/tmp", "--output", "none", "--wrap", &line]).ok();
    site.run("jqueue", &["wait", "--for", "start", &job]).ok();
    site.kill("jctld");
    let (admin, uid) = jsched::controller::init::whoami();
    site.give("n1", &Subject::node("n1").unwrap(), -90 * 86_400, -60);
    site.give("etc/controller", &Subject::controller(), -90 * 86_400, -60);
    site.give(".config/jsched", &Subject::person(Role::Admin, &admin, uid).unwrap(), -90 * 86_400, -60);

    // The admin gets in by the CA's host, and the controller by itself.
    let out = site.path("rescue").display().to_string();
    let issued =
        site.ctl(&["ca", "issue", "--role", "admin", "--uid", "0", "--ttl", "1d", "rescue", "--out", &out]);
    assert!(issued.ok().contains("JSCHED_CONFIG="), "{issued:?}");
    site.start_controller();
    let rescue = site.path("rescue/client.toml").display().to_string();
    let asked = |program: &str, words: &[&str]| {
        let mut command = site.command(program);
        command.args(words).env("JSCHED_CONFIG", &rescue);
        finish(command, "")
    };
    assert!(asked("jqueue", &["whoami"]).ok().contains("admin"));
    // The old one is refused with both clocks, and with what to do.
    let refused = site.run("jqueue", &["whoami"]);
    assert_eq!(refused.code, 78, "{refused:?}");
    assert!(
        refused.stderr.contains("which says 20") && refused.stderr.contains("the clock here says 20"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("jqueue login"), "{refused:?}");
    // The node's doctor and its daemon say the same.
    let found = site.worker("n1", &["doctor"]);
    assert_eq!(found.code, 1, "{found:?}");
    assert!(
        found.stdout.contains("it ended at 20") && found.stdout.contains("jnode add n1 --replace"),
        "{found:?}"
    );
    poll("the node's daemon to say what to do", || site.said("n1").contains("jnode add n1 --replace"));

    // It joins again; its job has gone on all the time, and its end is heard.
    let token = asked("jnode", &["add", "n1", "--replace"]).ok();
    site.worker("n1", &["join", &token]).ok();
    poll("the node to be back", || {
        let nodes = asked("jnode", &["--json"]).json();
        ["mixed", "full"].contains(&nodes["data"][0]["state"].as_str().unwrap_or_default())
    });
    let shown = asked("jqueue", &["show", &job, "--json"]).json();
    assert_eq!(
        (&shown["data"]["state"], &shown["data"]["attempt"]),
        (&"running".into(), &1.into()),
        "{shown}"
    );
    fs::write(&flag, "").unwrap();
    asked("jqueue", &["wait", &job]).ok();
}

/// A clock that is off is found by both sides' words.
#[test]
fn a_clock_that_is_off() {
    let mut site = Site::init("");
    let Some(library) = clock_library(site.root.path()) else {
        return println!("SKIPPED: clocks that are off, for want of a C compiler");
    };
    site.start_controller();
    site.start_node("n1");
    let at = |ahead: &str, program: &str, words: &[&str]| {
        let mut command = site.command(program);
        command.args(words).env("LD_PRELOAD", &library).env("CLOCK_AHEAD", ahead);
        finish(command, "")
    };
    let node = site.path("n1").display().to_string();
    let doctor = ["--dir", &node, "doctor"];
    assert!(
        !at("0", "jworkerd", &doctor).stdout.contains("wrong clock"),
        "the library moves nothing by itself"
    );
    let found = at("3600", "jworkerd", &doctor);
    assert_eq!(found.code, 1, "{found:?}");
    let said = found.stdout.lines().find(|line| line.starts_with("wrong") && line.contains("clock")).unwrap();
    assert!(said.contains("s ahead of it") && found.stdout.contains("NTP"), "{found:?}");
    let who = at("3600", "jqueue", &["whoami"]).ok();
    assert!(who.contains("ahead of the controller's"), "{who}");
    // So far ahead that no certificate is left, and so far behind that none has begun.
    for (ahead, word) in [("40000000", "it ended at"), ("-86400", "it begins at")] {
        let found = at(ahead, "jworkerd", &doctor);
        assert_eq!(found.code, 1, "{found:?}");
        assert!(found.stdout.contains(word) && found.stdout.contains("the clock here says"), "{found:?}");
        let refused = at(ahead, "jqueue", &["whoami"]);
        assert_eq!(refused.code, 78, "{refused:?}");
        assert!(refused.stderr.contains("the clock here says"), "{refused:?}");
    }
    let settings = site.settings().display().to_string();
    let found = at("-86400", "jctld", &["--settings", &settings, "doctor"]);
    assert_eq!(found.code, 1, "{found:?}");
    assert!(found.stdout.contains("it was set back by"), "{found:?}");
}
