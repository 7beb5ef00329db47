//! Exports, backups and restores of a real controller: the state outlives its tables, the journal's beginning, and the
//! controller itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod evidence;
mod harness;

use std::fs;
use std::path::{Path, PathBuf};

use evidence::{SIGN, insist, job, ledger, submit, word};
use harness::daemons::{Daemons, kill_all};
use harness::{Cluster, poll};

fn names(folder: &Path, suffix: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(suffix))
        .collect();
    names.sort();
    names
}

fn state(cluster: &Cluster) -> PathBuf {
    cluster.dir.join("controller/state")
}

/// Flips a byte in the middle of a file.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[test]
fn the_journal_is_trimmed_behind_two_exports_and_the_tables_come_back_from_them() {
    let mut cluster = Cluster::start(1);
    let ended = submit(&cluster, "ended", &["-a", "1-20", "-o", "none", "--wrap", SIGN]);
    insist(&cluster, "jqueue", &["wait", &ended]).expect(0);
    let waits = submit(&cluster, "waits", &["-J", "waits", "-H", "-o", "none", "--wrap", SIGN]);
    let exports = state(&cluster).join("exports");
    let first_segment = names(&state(&cluster).join("journal"), ".seg").first().unwrap().clone();
    for _ in 0..3 {
        let said = cluster.run("jctld", ["export"]).ok();
        assert!(said.contains("live rows"), "{said}");
        // Another segment: only whole ones leave.
        cluster.kill9("jctld");
        insist(&cluster, "jctld", &["status"]).expect(0);
    }
    assert_eq!(names(&exports, ".manifest").len(), 2, "{:?}", names(&exports, ""));
    // A controller that was killed between its export and this has left it to the next.
    poll("the journal to be trimmed", || {
        !names(&state(&cluster).join("journal"), ".seg").contains(&first_segment)
    });
    cluster.run("jctld", ["verify"]).ok();
    cluster.stop();

    // Without tables; then also without the newest export: the one before and the journal still have everything.
    for with_damage in [false, true] {
        fs::remove_dir_all(state(&cluster).join("tables")).unwrap();
        if with_damage {
            let newest = names(&exports, ".live").pop().unwrap();
            damage(&exports.join(newest));
            let verified = cluster.run("jctld", [Path::new("verify"), &state(&cluster)]);
            assert!(verified.code == 1 && verified.stderr.contains(".live is damaged"), "{verified:?}");
        }
        cluster.start_again();
        let status = cluster.run("jctld", ["status", "--json"]).json()["data"].to_string();
        assert!(status.contains("built anew from export"), "{status}");
        let array = job(&cluster, &ended);
        assert_eq!(array["tasks"]["completed"], 20, "{array}");
        assert_eq!(word(&job(&cluster, &waits), "state"), "held");
        assert_eq!(cluster.run("jqueue", ["hist", "-j", &ended, "-o", "tasks"]).ok(), "1-20");
        cluster.stop();
    }
    cluster.start_again();
    cluster.run("jqueue", ["release", &waits]).ok();
    insist(&cluster, "jqueue", &["wait", &waits]).expect(0);
    let signed = ledger(&cluster);
    assert_eq!(signed.get("waits 1"), Some(&1), "{signed:?}");
}

#[test]
fn a_backup_becomes_a_controller_that_nodes_obey_once_it_is_accepted() {
    let cluster = Cluster::builder().cpus(4).start();
    let backup = cluster.dir.join("backup");
    let settings = cluster.dir.join("controller/jctld.toml");
    let until = |file: &str| format!("{SIGN}; until test -e {file}; do sleep 0.05; done");
    let runs = submit(&cluster, "runs", &["-J", "runs", "-o", "none", "--wrap", &until("end-runs")]);
    insist(&cluster, "jqueue", &["wait", "--for", "start", &runs]).expect(0);
    let starts_later =
        submit(&cluster, "later", &["-J", "later", "-H", "-o", "none", "--wrap", &until("end-later")]);
    let waits =
        submit(&cluster, "waits", &["-J", "waits", "--begin", "now+1day", "-o", "none", "--wrap", SIGN]);
    let ended = submit(&cluster, "ended", &["-o", "ended.txt", "--wrap", "echo last words; exit 3"]);
    insist(&cluster, "jqueue", &["wait", &ended]).expect(3);
    poll("the output to be kept", || {
        let segments = fs::read_dir(state(&cluster).join("output")).unwrap();
        let mut kept = segments.flat_map(|segment| fs::read(segment.unwrap().path()).unwrap_or_default());
        let words = b"last words";
        let mut at = 0;
        kept.any(|byte| {
            at = if words.get(at) == Some(&byte) { at + 1 } else { usize::from(byte == words[0]) };
            at == words.len()
        })
    });
    let said = cluster.run("jctld", [Path::new("backup"), &backup]).ok();
    assert!(said.contains("jctld restore --from"), "{said}");
    let again = cluster.run("jctld", [Path::new("backup"), &backup]);
    assert!(again.code == 1 && again.stderr.contains("is not empty"), "{again:?}");
    // What the backup does not know: a job of before starts, another is submitted.
    cluster.run("jqueue", ["release", &starts_later]).ok();
    let lost = submit(&cluster, "lost", &["-J", "lost", "-o", "none", "--wrap", &until("end-lost")]);
    for id in [&starts_later, &lost] {
        insist(&cluster, "jqueue", &["wait", "--for", "start", id]).expect(0);
    }
    kill_all(&cluster, &["jctld", "n1"]);
    cluster.run("jctld", [Path::new("verify"), &backup]).ok();

    let restore = [Path::new("--settings"), &settings, Path::new("restore"), Path::new("--from"), &backup];
    let refused = cluster.run("jctld", restore);
    assert!(refused.code != 0 && refused.stderr.contains("is not empty"), "{refused:?}");
    fs::rename(state(&cluster), cluster.dir.join("old-state")).unwrap();
    let said = cluster.run("jctld", restore).ok();
    assert!(said.contains("jctld accept"), "{said}");
    let mut daemons = Daemons::default();
    daemons.start(&cluster, "jctld", "--settings", &settings);
    daemons.start(&cluster, "jworkerd", "--dir", &cluster.dir.join("n1"));
    let node = |key: &str| insist(&cluster, "jnode", &["--json"]).json()["data"][0][key].clone();
    let log = || fs::read_to_string(cluster.dir.join("logs/jworkerd.log")).unwrap_or_default();
    poll("the node to refuse", || log().contains("jctld accept"));
    assert_ne!(node("state"), "mixed");

    cluster.run("jctld", ["accept"]).ok();
    assert_eq!(cluster.run("jctld", ["accept"]).code, 1);
    poll("the node to come over", || node("state") == "mixed");
    assert_eq!(word(&job(&cluster, &runs), "state"), "running");
    let adopted = job(&cluster, &starts_later);
    assert_eq!((word(&adopted, "state"), &adopted["attempt"]), ("running", &1.into()), "{adopted}");
    assert_eq!(word(&job(&cluster, &waits), "state"), "held");
    assert_eq!(job(&cluster, &ended)["exit_code"], 3);
    fs::remove_file(cluster.work.join("ended.txt")).unwrap();
    assert_eq!(insist(&cluster, "jqueue", &["log", &ended]).stdout, "last words\n");
    assert_eq!(cluster.run("jqueue", ["show", &lost]).code, 1);
    assert!(node("reason").as_str().unwrap_or_default().contains("foreign"), "{}", node("reason"));
    let fresh = submit(&cluster, "fresh", &["-J", "fresh", "-o", "none", "--wrap", SIGN]);
    assert!(fresh.parse::<u64>().unwrap() > 1_000_000, "{fresh}");
    for file in ["end-runs", "end-later", "end-lost"] {
        fs::write(cluster.work.join(file), "").unwrap();
    }
    for id in [&runs, &starts_later, &fresh] {
        insist(&cluster, "jqueue", &["wait", id]).expect(0);
    }
    let signed = ledger(&cluster);
    assert!(signed.values().all(|times| *times == 1), "{signed:?}");
    assert_eq!(signed.len(), 4, "{signed:?}");
}

/// A journal that has lost something is refused, with the place, and the command that goes on makes a controller of what is
/// whole and says what it gives up.
#[test]
fn a_damaged_journal_is_refused_and_what_is_whole_is_restored() {
    let mut cluster = Cluster::builder().cpus(1).start();
    let held = |name: &str| submit(&cluster, name, &["-J", name, "-H", "-o", "none", "--wrap", SIGN]);
    let first = held("first");
    let _last = held("last");
    cluster.stop();
    let journal = state(&cluster).join("journal");
    let segment = journal.join(names(&journal, ".seg").pop().unwrap());
    let mut bytes = fs::read(&segment).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[used - 9] ^= 0x10;
    fs::write(&segment, bytes).unwrap();
    let settings = cluster.dir.join("controller/jctld.toml");
    let run = [Path::new("--settings"), &settings, Path::new("run")];
    let refused = cluster.run("jctld", run);
    assert_ne!(refused.code, 0);
    for words in
        ["is damaged at byte", segment.file_name().unwrap().to_str().unwrap(), "jctld restore --from"]
    {
        assert!(refused.stderr.contains(words), "{words}: {refused:?}");
    }
    let verified = cluster.run("jctld", [Path::new("verify"), &state(&cluster)]);
    assert!(verified.code == 1 && verified.stderr.contains("is damaged at byte"), "{verified:?}");
    let old = cluster.dir.join("old-state");
    fs::rename(state(&cluster), &old).unwrap();
    let restore = [Path::new("--settings"), &settings, Path::new("restore"), Path::new("--from"), &old];
    let said = cluster.run("jctld", restore).ok();
    assert!(said.contains("given up: what came behind group"), "{said}");
    let mut daemons = Daemons::default();
    daemons.start(&cluster, "jctld", "--settings", &settings);
    assert_eq!(word(&job(&cluster, &first), "state"), "held");
}
