//! A power cut on the real controller: everything that it does to its files is recorded (`recorder`), it is killed at a
//! random moment under load, and goes on with what a disk may have kept of that: what was synced, and of the rest anything
//! between all and nothing. Every acknowledgement must be there, each time.
//!
//! `cargo xtask powercut --cuts 200 --seed S` runs as many as it is told.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

#[path = "../evidence/mod.rs"]
mod evidence;
#[path = "../harness/mod.rs"]
mod harness;
mod platter;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use evidence::{Dice, SIGN, ended_job, jobs, ledger, submit, word};
use harness::daemons::{Daemons, kill_all};
use harness::{Cluster, Output, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use platter::{Mercy, Platter};
use tempfile::TempDir;

/// So many cuts on each change; `JSCHED_CUTS` has another number.
const CUTS: u64 = 10;
/// Clients that submit, cancel and wait meanwhile.
const CLIENTS: usize = 5;
/// No client submits more between two cuts, however slow the machine is.
const JOBS_BETWEEN_CUTS_MAX: u64 = 25;

/// What a client was told.
#[derive(Clone)]
enum Told {
    Submitted { tag: String, id: String, signs: bool },
    Cancelled { id: String },
    Completed { id: String },
}

/// A controller whose disk forgets.
struct Rig<'a> {
    cluster: &'a Cluster,
    _node: Daemons,
    jctld: Child,
    folder: TempDir,
    platter: Platter,
    life: u64,
    mercy: Mercy,
    /// Files of which no sync is done.
    deaf: Option<&'static str>,
}

impl<'a> Rig<'a> {
    fn start(cluster: &'a Cluster, mercy: Mercy, deaf: Option<&'static str>) -> Rig<'a> {
        kill_all(cluster, &["jctld", "n1"]);
        let folder = tempfile::Builder::new().prefix("jsched-record-").tempdir().unwrap();
        let mut node = Daemons::default();
        node.start(cluster, "jworkerd", "--dir", &cluster.dir.join("n1"));
        let platter = Platter::of(&platter::read(&cluster.dir.join("controller/state")));
        let jctld = spawn(cluster, &folder, 1, deaf);
        Rig { cluster, _node: node, jctld, folder, platter, life: 1, mercy, deaf }
    }

    fn state(&self) -> PathBuf {
        self.cluster.dir.join("controller/state")
    }

    fn end(&mut self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.jctld.id().cast_signed()), signal);
        self.jctld.wait().unwrap();
    }

    /// What the process has done to its files, since it was started.
    fn record(&self) -> Vec<u8> {
        fs::read(self.folder.path().join(format!("record{}", self.life))).unwrap_or_default()
    }

    /// The power is gone, and comes back.
    fn cut(&mut self, dice: &mut Dice) {
        self.end(Signal::SIGKILL);
        self.platter.play(&self.record());
        let left = self.platter.cut(dice, self.mercy);
        platter::write(&self.state(), &left);
        let _ = fs::remove_file(self.folder.path().join(format!("record{}", self.life)));
        self.platter = Platter::of(&left);
        self.life += 1;
        self.jctld = spawn(self.cluster, &self.folder, self.life, self.deaf);
    }

    /// Waits until the controller serves: it listens once it has recovered.
    fn served(&mut self) -> Result<(), String> {
        let settings = fs::read_to_string(self.cluster.dir.join("controller/jctld.toml")).unwrap();
        let listen = settings.lines().find_map(|line| line.strip_prefix("listen = ")).unwrap();
        let port: u16 = listen.trim_matches('"').rsplit_once(':').unwrap().1.parse().unwrap();
        let mut ended = None;
        poll("the controller to serve or to end", || {
            ended = self.jctld.try_wait().unwrap();
            let sockets = fs::read_to_string("/proc/net/udp").unwrap();
            ended.is_some() || sockets.contains(&format!(":{port:04X} "))
        });
        match ended {
            None => Ok(()),
            Some(status) => Err(format!("the controller does not go on: {status}\n{}", self.cluster.tails())),
        }
    }

    /// Whether all that was told is so.
    fn check(&self, told: &[Told]) -> Result<(), String> {
        let mut by_id: BTreeMap<String, serde_json::Value> = BTreeMap::new();
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        for job in jobs(self.cluster) {
            let (id, name) = (word(&job, "id").to_owned(), word(&job, "name").to_owned());
            if let Some(other) = names.insert(name.clone(), id.clone()) {
                return Err(format!("{name} is both job {other} and job {id}"));
            }
            by_id.insert(id, job);
        }
        let state = |id: &String| by_id.get(id).map(|job| word(job, "state").to_owned());
        for one in told {
            match one {
                Told::Submitted { tag, id, .. } if names.get(tag) != Some(id) => {
                    return Err(format!("{tag}, job {id}, was acknowledged and is not there"));
                }
                Told::Cancelled { id } => match state(id).as_deref() {
                    // One that may have started waits for its node to say so; at last all have ended.
                    Some("cancelled" | "completing" | "starting") => {}
                    other => return Err(format!("job {id} was cancelled and is {other:?}")),
                },
                Told::Completed { id } if state(id).as_deref() != Some("completed") => {
                    return Err(format!("job {id} had completed and is {:?}", state(id)));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn spawn(cluster: &Cluster, folder: &TempDir, life: u64, deaf: Option<&str>) -> Child {
    let boot = folder.path().join("boot_id");
    fs::write(&boot, format!("00000000-0000-4000-8000-{life:012x}\n")).unwrap();
    let own = std::env::current_exe().unwrap();
    let library = own.with_file_name("libjsched_recorder.so");
    assert!(library.exists(), "{} is not there: it is built with the tests", library.display());
    let settings = cluster.dir.join("controller/jctld.toml");
    let mut command = Daemons::command(cluster, "jctld", "--settings", &settings);
    command.env("LD_PRELOAD", library);
    command.env("JSCHED_RECORD", folder.path().join(format!("record{life}")));
    command.env("JSCHED_RECORD_BELOW", cluster.dir.join("controller/state"));
    command.env("JSCHED_RECORD_BOOT", boot);
    if let Some(deaf) = deaf {
        command.env("JSCHED_RECORD_DEAF", deaf);
    }
    command.spawn().unwrap()
}

/// What clients and cuts have in common.
#[derive(Default)]
struct Yard {
    told: Mutex<Vec<Told>>,
    over: AtomicBool,
    allowed: AtomicU64,
}

impl Yard {
    /// Runs a command until its answer is certain; `None` once all is over.
    fn ask(&self, cluster: &Cluster, program: &str, args: &[&str]) -> Option<Output> {
        while !self.over.load(Ordering::Relaxed) {
            let output = cluster.run(program, args);
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            // Not reached, or the outcome is unknown: both allow to repeat.
            if !matches!(output.code, 69 | 75) {
                return Some(output);
            }
        }
        None
    }

    fn tell(&self, one: Told) {
        self.told.lock().unwrap().push(one);
    }
}

/// One who submits, cancels and waits until it is over.
fn client(cluster: &Cluster, number: usize, dice: &mut Dice, yard: &Yard) -> Option<()> {
    let mut count = 0;
    while !yard.over.load(Ordering::Relaxed) {
        dice.pause(40);
        if count >= yard.allowed.load(Ordering::Relaxed) {
            continue;
        }
        let tag = format!("c{number}n{count}");
        count += 1;
        let stays = dice.below(3) == 0;
        let what: &[&str] = match (stays, dice.below(2)) {
            (false, _) => &["--wrap", SIGN],
            (true, 0) => &["-H", "--wrap", "true"],
            (true, _) => &["--wrap", "sleep 10000"],
        };
        let key = format!("key-of-{tag}");
        let usual = ["--parsable", "--quiet", "--key", &key, "-J", &tag, "-o", "none"];
        let id = yard.ask(cluster, "jsubmit", &[&usual, what].concat())?.expect(0);
        yard.tell(Told::Submitted { tag, id: id.clone(), signs: !stays });
        if stays {
            // It ends by this alone: that it has ended already is the answer to a repeat.
            let output = yard.ask(cluster, "jcancel", &[&id])?;
            assert!(matches!(output.code, 0 | 1), "{output:?}");
            yard.tell(Told::Cancelled { id });
        } else if dice.below(2) == 0 {
            yard.ask(cluster, "jqueue", &["wait", &id])?.expect(0);
            yard.tell(Told::Completed { id });
        }
    }
    Some(())
}

/// So many cuts under load; what does not hold, and after which of them.
fn cuts(count: u64, mercy: Mercy, deaf: Option<&'static str>) -> Result<(), String> {
    let mut dice = Dice::new("power cuts");
    // The node must not be given up because a machine is slow; small exports are made often.
    let cluster = Cluster::builder().cpus(4).set("node_timeout=300s").set("export_bytes=200000").start();
    let mut rig = Rig::start(&cluster, mercy, deaf);
    rig.served()?;
    let yard = Yard::default();
    let outcome = thread::scope(|scope| {
        let _over = Over(&yard.over, &cluster);
        for number in 0..CLIENTS {
            let (mut dice, cluster, yard) = (dice.fork(), &cluster, &yard);
            scope.spawn(move || client(cluster, number, &mut dice, yard));
        }
        for cut in 1..=count {
            yard.allowed.fetch_add(JOBS_BETWEEN_CUTS_MAX, Ordering::Relaxed);
            dice.pause(800);
            let told = yard.told.lock().unwrap().clone();
            rig.cut(&mut dice);
            if dice.below(4) == 0 {
                // Again, while it finds out what has become of it.
                dice.pause(400);
                rig.cut(&mut dice);
            }
            let after = |what| format!("after cut {cut} of {count}: {what}");
            rig.served().and_then(|()| rig.check(&told)).map_err(after)?;
        }
        Ok(())
    });
    outcome.and_then(|()| at_last(&mut rig, &yard.told.into_inner().unwrap()))
}

/// Clients end, also when a check fails.
struct Over<'a>(&'a AtomicBool, &'a Cluster);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        // Commands wait long for a controller that does not come back; one may just be starting.
        for _ in 0..4 {
            for process in self.1.processes() {
                let (pid, line) = process.split_once(' ').unwrap();
                if ["/jsubmit ", "/jqueue ", "/jcancel "].iter().any(|name| line.contains(name)) {
                    let _ = kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL);
                }
            }
            thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

/// Everything ends as it was told, each job that ran did so once, a key has its answer still; and the record is whole.
fn at_last(rig: &mut Rig<'_>, told: &[Told]) -> Result<(), String> {
    let mut ids: BTreeMap<&str, &str> = BTreeMap::new();
    let mut signs: BTreeSet<&str> = BTreeSet::new();
    let mut cancels = 0;
    for one in told {
        match one {
            Told::Submitted { tag, id, signs: does } => {
                ids.insert(tag, id);
                signs.extend(does.then_some(tag.as_str()));
            }
            Told::Cancelled { id } => {
                cancels += 1;
                if word(&ended_job(rig.cluster, id), "state") != "cancelled" {
                    return Err(format!("job {id} was cancelled and has another end"));
                }
            }
            Told::Completed { .. } => {}
        }
    }
    for tag in &signs {
        let ended = ended_job(rig.cluster, ids[tag]);
        if word(&ended, "state") != "completed" || ended["attempt"] != 1 {
            return Err(format!("{tag} ran otherwise than once: {ended:#}"));
        }
    }
    let once: BTreeMap<String, usize> = signs.iter().map(|tag| (format!("{tag} 1"), 1)).collect();
    let signed = ledger(rig.cluster);
    // One that was not acknowledged when all was over may have run, too.
    let wrong = once.iter().find(|(line, _)| signed.get(*line) != Some(&1));
    if let Some((line, _)) = wrong.or_else(|| signed.iter().find(|(_, times)| **times != 1)) {
        return Err(format!("the ledger has `{line}` {:?} times", signed.get(line)));
    }
    for (tag, id) in ids.iter().filter(|(tag, _)| signs.contains(**tag)).step_by(9) {
        let again = submit(rig.cluster, &format!("key-of-{tag}"), &["-J", tag, "-o", "none", "--wrap", SIGN]);
        if again != **id {
            return Err(format!("{tag} was job {id} and is job {again} when it is asked for again"));
        }
    }
    rig.check(told)?;
    println!("{} jobs and {cancels} cancels were acknowledged, none is lost", ids.len());
    rig.end(Signal::SIGTERM);
    rig.platter.play(&rig.record());
    let (seen, there) = (rig.platter.seen(), platter::read(&rig.state()));
    let other = there.iter().find(|(path, content)| seen.get(*path) != Some(content)).map(|(path, _)| path);
    match other.or_else(|| seen.keys().find(|path| !there.contains_key(*path))) {
        None => Ok(()),
        Some(path) => Err(format!("the record is not whole: {path} is not what it says")),
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_power_cuts() {
    let count = std::env::var("JSCHED_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(CUTS);
    if let Err(what) = cuts(count, Mercy::Random, None) {
        panic!("{what}");
    }
}

/// The layer works: a journal that is not synced loses what was acknowledged.
#[test]
fn a_journal_that_is_not_synced_is_found_out() {
    let outcome = cuts(3, Mercy::None, Some("journal/spare"));
    let what = outcome.expect_err("nothing was synced, and nothing was missed");
    assert!(!what.contains("the record is not whole"), "{what}");
    println!("found: {}", what.lines().next().unwrap_or_default());
}
