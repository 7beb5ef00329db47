//! Plays `tests/scenarios/sched/*.txt` to the scheduler. Lines that begin with `> ` are commands, `#` opens a
//! comment, all else is what the commands print. `JSCHED_REWRITE=1 cargo test --test sched_scenarios` writes the
//! transcripts anew; read the difference before you commit it.
//!
//! Commands (times in seconds since the start, memory and disk in bare units):
//! `node n1 cpus=4 [mem=8] [tmp=2] [weight=1] [parts=0,1] [down]` · `gone n1` · `job A [cpus=1] [mem=1|share|whole]
//! [tmp=1] [limit=60] [prio=1] [slots=9] [begin=5] [start-by=9] [end-by=9] [parts=0] [only=n1] [except=n2]
//! [exclusive] [refills]
//! [strict] [planned] [order=1] [caps=1,2]` · `cancel A` · `end A n1 [slots]` · `refilled A n1` (all its tasks there have just
//! started) · `bound 1 [slots=2] [cpus=8]` (for jobs with `caps=1`) · `at 30` · `plan` · `why A`.

#![allow(clippy::unwrap_used)] // A test may panic.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use jsched::model::ids::{JobId, NodeId};
use jsched::model::resources::Resources;
use jsched::model::time::{Seconds, WallTime};
use jsched::sched::{
    Bound, CapId, Demand, Held, MemoryDemand, Note, PartitionId, Plan, Rank, Refill, Release, Scheduler,
    ShareId, Supply, View, plan_from_scratch,
};

#[test]
fn scenarios_go_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/sched");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no scenarios in {}", folder.display());
    for file in files {
        let written = std::fs::read_to_string(&file).unwrap();
        let played = play(&written);
        if std::env::var_os("JSCHED_REWRITE").is_some() {
            std::fs::write(&file, played).unwrap();
        } else {
            assert_eq!(written, played, "{} goes otherwise", file.display());
        }
    }
}

fn play(script: &str) -> String {
    let mut stage = Stage::default();
    let mut transcript = String::new();
    for line in script.lines().filter(|line| line.starts_with(['#', '>']) || line.is_empty()) {
        writeln!(transcript, "{line}").unwrap();
        if let Some(command) = line.strip_prefix("> ") {
            transcript.push_str(&stage.command(command));
        }
    }
    transcript
}

#[derive(Default)]
struct Stage {
    now: i64,
    scheduler: Scheduler,
    view: View,
    jobs: Vec<String>,
}

type Options<'a> = BTreeMap<&'a str, &'a str>;

impl Stage {
    fn command(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let options: Options =
            words.iter().skip(2).map(|word| word.split_once('=').unwrap_or((word, ""))).collect();
        match words[0] {
            "node" => self.note(Note::Node { node: node(words[1]), supply: Some(supply(&options)) }),
            "gone" => self.note(Note::Node { node: node(words[1]), supply: None }),
            "job" => {
                let job = self.job(words[1]);
                self.note(Note::Job { job, demand: Some(demand(job, &options)) });
            }
            "cancel" => {
                let job = self.job(words[1]);
                self.note(Note::Job { job, demand: None });
            }
            "end" => self.end(words[1], words[2], words.get(3).map_or(1, |slots| slots.parse().unwrap())),
            "bound" => {
                let count = |key| number(&options, key).map(|count| count as u64);
                let bound = Bound { slots: count("slots"), cpus: count("cpus") };
                self.note(Note::Cap { cap: cap(words[1]), bound });
            }
            "refilled" => self.refilled(words[1], words[2]),
            "at" => self.now = words[1].parse().unwrap(),
            "plan" => return self.plan(),
            "why" => return self.why(words[1]),
            other => panic!("unknown command {other}"),
        }
        String::new()
    }

    fn note(&mut self, note: Note) {
        self.view.note(note.clone());
        self.scheduler.note(note);
    }

    fn job(&mut self, name: &str) -> JobId {
        let at = self.jobs.iter().position(|known| known == name).unwrap_or_else(|| {
            self.jobs.push(name.to_owned());
            self.jobs.len() - 1
        });
        JobId(at as u64 + 1)
    }

    fn name(&self, job: JobId) -> &str {
        &self.jobs[job.0 as usize - 1]
    }

    fn end(&mut self, job: &str, on: &str, slots: u32) {
        let (job, node) = (self.job(job), node(on));
        let mut held = self.view.held[&(job, node)].clone();
        let left = held.slots - slots;
        let part = |amount: u64| amount / u64::from(held.slots) * u64::from(left);
        held.charge = Resources {
            cpus: part(u64::from(held.charge.cpus)) as u32,
            memory_bytes: part(held.charge.memory_bytes),
            tmp_bytes: part(held.charge.tmp_bytes),
        };
        held.slots = left;
        held.releases.retain_mut(|release| {
            release.slots = release.slots.min(left);
            release.slots > 0
        });
        self.note(Note::Held { job, node, held: Some(held).filter(|held| held.slots > 0) });
    }

    fn refilled(&mut self, job: &str, on: &str) {
        let (job, node) = (self.job(job), node(on));
        let end = self.view.jobs[&job].limit.map(|limit| time(self.now).plus(limit));
        let held = &self.view.held[&(job, node)];
        let releases = vec![Release { end, slots: held.slots }];
        let held = Held { releases, ..held.clone() };
        self.note(Note::Held { job, node, held: Some(held) });
    }

    fn plan(&mut self) -> String {
        let now = time(self.now);
        let reference = plan_from_scratch(&self.view, now);
        let plan = self.scheduler.plan(now, u64::MAX);
        assert_eq!(Plan { steps: 0, ..plan.clone() }, reference);
        self.view.assume(&plan, now);
        let mut out = String::new();
        for place in &plan.places {
            let charge = &place.charge;
            write!(out, "start {} on n{}", self.name(place.job), place.node).unwrap();
            write!(out, " x{} cpus={} mem={}", place.slots, charge.cpus, charge.memory_bytes).unwrap();
            let until = place.not_after.map_or(String::new(), |last| format!(" not after {}", seconds(last)));
            writeln!(out, "{until}").unwrap();
        }
        for right in &plan.rights {
            let refill = match right.refill {
                Refill::Never => "no longer".to_owned(),
                Refill::Until(last) => format!("until {}", seconds(last)),
                Refill::Always => "as it likes".to_owned(),
            };
            writeln!(out, "{} refills n{} {refill}", self.name(right.job), right.node).unwrap();
        }
        for reservation in &plan.reservations {
            let start =
                reservation.start.map_or("some time".to_owned(), |start| format!("at {}", seconds(start)));
            writeln!(out, "reserved n{} for {} {start}", reservation.node, self.name(reservation.job))
                .unwrap();
        }
        if let Some(wake) = plan.wake {
            writeln!(out, "wake at {}", seconds(wake)).unwrap();
        }
        if out.is_empty() { "nothing\n".to_owned() } else { out }
    }

    fn why(&mut self, name: &str) -> String {
        let job = self.job(name);
        let why = self.scheduler.explain(job, time(self.now));
        let mut out =
            format!("{name} waits: {}, {} ahead, {} nodes", why.reason.word(), why.ahead, why.nodes);
        for condition in &why.conditions {
            write!(out, ", {} {}", condition.nodes, condition.reason.word()).unwrap();
        }
        if let Some(behind) = why.behind {
            write!(out, ", behind {}", self.name(behind)).unwrap();
        }
        if let Some(node) = why.node {
            let start = why.start.map_or("some time".to_owned(), |start| format!("at {}", seconds(start)));
            write!(out, ", starts on n{node} {start}").unwrap();
        }
        out + "\n"
    }
}

fn supply(options: &Options) -> Supply {
    Supply {
        total: Resources {
            cpus: number(options, "cpus").unwrap_or(1) as u32,
            memory_bytes: number(options, "mem").unwrap_or(0) as u64,
            tmp_bytes: number(options, "tmp").unwrap_or(0) as u64,
        },
        accepts: !options.contains_key("down"),
        partitions: partitions(options),
        weight: number(options, "weight").unwrap_or(1) as u32,
        version: 0,
    }
}

fn demand(job: JobId, options: &Options) -> Demand {
    let moment = |key| number(options, key).map(time);
    Demand {
        rank: Rank {
            tier: number(options, "tier").unwrap_or(0) as i32,
            priority: number(options, "prio").unwrap_or(0),
            order: number(options, "order").unwrap_or(0) as u64,
            submit: job.0,
            job,
        },
        cpus: number(options, "cpus").unwrap_or(1) as u32,
        memory: match options.get("mem") {
            Some(&"share") => MemoryDemand::Share,
            Some(&"whole") => MemoryDemand::Whole,
            _ => MemoryDemand::Fixed(number(options, "mem").unwrap_or(0) as u64),
        },
        tmp_bytes: number(options, "tmp").unwrap_or(0) as u64,
        exclusive: options.contains_key("exclusive"),
        slots: number(options, "slots").unwrap_or(1) as u32,
        limit: number(options, "limit").map(|limit| Seconds(limit as u64)),
        begin: moment("begin"),
        latest_end: moment("end-by"),
        latest_start: moment("start-by"),
        partitions: partitions(options).into(),
        only: options.get("only").map(|list| list.split(',').map(node).collect()),
        except: options.get("except").map_or(Vec::new(), |list| list.split(',').map(node).collect()).into(),
        refills: options.contains_key("refills"),
        strict: options.contains_key("strict"),
        planned: options.contains_key("planned"),
        caps: options.get("caps").map_or(Vec::new(), |list| list.split(',').map(cap).collect()).into(),
        ages_from: moment("ages"),
        share: ShareId(number(options, "share").unwrap_or(0) as u32),
        counted_cpus: number(options, "cpus").unwrap_or(1) as u32,
        version: 0,
    }
}

fn cap(number: &str) -> CapId {
    CapId(number.parse().unwrap())
}

fn partitions(options: &Options) -> Vec<PartitionId> {
    let list = options.get("parts").unwrap_or(&"0");
    list.split(',').map(|part| PartitionId(part.parse().unwrap())).collect()
}

fn number(options: &Options, key: &str) -> Option<i64> {
    options.get(key).map(|text| text.parse().unwrap())
}

fn node(name: &str) -> NodeId {
    NodeId(name.trim_start_matches('n').parse().unwrap())
}

fn time(seconds: i64) -> WallTime {
    WallTime(seconds * 1_000_000)
}

/// In seconds, to the microsecond where there are any.
fn seconds(at: WallTime) -> String {
    match at.0 % 1_000_000 {
        0 => (at.0 / 1_000_000).to_string(),
        _ => format!("{:.6}", at.0 as f64 / 1e6),
    }
}
