//! Requests about many jobs, taken on in steps while others come and go.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::model::{World, caller};
use crate::core::pipeline::{Held, Pipeline};
use crate::core::state::Touched;
use crate::core::tests_spec::{settings, spec};
use crate::core::work::STEP_JOBS;
use crate::core::{Caller, Cluster, Command, Core, Found, invariants};
use crate::model::change::Change;
use crate::model::ids::{ContentHash, Epoch, Incarnation, JobId, Position, Uid};
use crate::model::spec::JobSpec;
use crate::model::state::State;
use crate::model::time::Now;
use crate::sched::Note;
use crate::wire::client::{Act, Filter, RefusalCode, Reply, Request, Selection, Submit, Verb};
use crate::wire::node::Content;

const MANY: usize = STEP_JOBS * 3 + 1;

/// A pipeline whose log is durable when the test says so.
struct Line {
    pipeline: Pipeline<u32>,
    now: Now,
    log: Vec<Change>,
    replies: BTreeMap<u32, Reply>,
    asked: u32,
}

fn user(name: &str, uid: u32) -> Caller {
    let mut caller = caller();
    (caller.identity.name, caller.identity.uid) = (name.to_owned(), Some(Uid(uid)));
    caller
}

impl Line {
    fn new() -> Line {
        let world = World::new(&[4]);
        let (now, position) = (world.now, Position(9));
        Line {
            pipeline: Pipeline::new(world.core, position),
            now,
            log: world.log,
            replies: BTreeMap::new(),
            asked: 0,
        }
    }

    fn ask(&mut self, caller: &Caller, request: Request) -> u32 {
        self.asked += 1;
        let hash = Some(ContentHash::of(format!("{request:?}").as_bytes()));
        let found = Box::new(Found { request_hash: hash, ..Found::default() });
        let command = Command::Client { caller: caller.clone(), request: Box::new(request), found };
        self.pipeline.apply(self.now, command, self.asked);
        self.asked
    }

    fn submit(&mut self, caller: &Caller, key: &str, specs: Vec<JobSpec>) -> u32 {
        let contents = vec![Content { hash: ContentHash::of(b"x"), bytes: b"x".to_vec() }];
        let specs = specs.into_iter().map(Arc::new).collect();
        self.ask(caller, Request::Submit(Submit { key: key.to_owned(), specs, contents, test_only: false }))
    }

    fn on_all(&mut self, caller: &Caller, verb: Verb) -> u32 {
        let filter = Filter { own: true, ..Filter::default() };
        let selection = Selection { filter, ..Selection::default() };
        let key = format!("all {}", self.asked);
        self.ask(caller, Request::Act(Act { key, verb, selection, dry_run: false }))
    }

    /// Makes durable what there is, and takes what may be told then.
    fn flush(&mut self) {
        if let Some(group) = self.pipeline.close(self.now.wall) {
            let position = group.position();
            self.log.extend(group.parts.concat());
            self.pipeline.on_durable(position);
        }
        while let Some(Held { waiter, outcome }) = self.pipeline.release() {
            if let Some(reply) = outcome.reply.filter(|_| waiter > 0) {
                assert!(self.replies.insert(waiter, reply).is_none(), "{waiter} is answered twice");
            }
        }
        invariants::check(self.pipeline.core().cluster()).unwrap();
    }

    fn finish(&mut self) {
        while self.pipeline.may_go_on() {
            self.pipeline.go_on(self.now);
            self.flush();
        }
        self.flush();
    }

    fn jobs(&self, asked: u32) -> Vec<JobId> {
        match self.replies.get(&asked) {
            Some(Reply::Submitted { jobs, .. }) => jobs.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn cluster(&self) -> &Cluster {
        self.pipeline.core().cluster()
    }

    fn told_of(&mut self) -> Vec<JobId> {
        let notes = self.pipeline.take_notes();
        let jobs = notes.into_iter().filter_map(|note| match note {
            Note::Job { job, .. } => Some(job),
            _ => None,
        });
        jobs.collect()
    }
}

fn many() -> Vec<JobSpec> {
    vec![spec(1, None, None); MANY]
}

/// Others are answered while a large submission is under way, and the same user's requests wait for it.
#[test]
fn others_are_not_held_up() {
    let (ada, eve) = (user("ada", 1_000), user("eve", 1_001));
    let mut line = Line::new();
    line.told_of();
    let large = line.submit(&ada, "large", many());
    let hold = line.on_all(&ada, Verb::Hold);
    for _ in 0..3 {
        line.pipeline.go_on(line.now);
    }
    let small = line.submit(&eve, "small", vec![spec(1, None, None)]);
    line.flush();
    assert!(line.replies.contains_key(&small) && !line.replies.contains_key(&large));
    while line.cluster().unsettled.is_none() {
        line.pipeline.go_on(line.now);
    }
    line.flush();
    let other = line.jobs(small)[0];
    assert_eq!(line.told_of(), [other], "the scheduler hears of a submission that is not accepted");
    assert!(line.cluster().jobs.len() > 1 && !line.replies.contains_key(&large));
    while line.cluster().unsettled.is_some() {
        line.pipeline.go_on(line.now);
    }
    assert_eq!(line.told_of().len(), MANY);
    line.finish();
    let jobs = line.jobs(large);
    assert_eq!(jobs, (1..=MANY as u64).map(JobId).collect::<Vec<_>>());
    assert!(other > JobId(MANY as u64), "a number that was set aside was given to {other}");
    let Some(Reply::Acted { lines }) = line.replies.get(&hold) else { panic!("the hold is not answered") };
    assert_eq!(lines.len(), MANY, "the hold came before what was asked for before it");
    assert!(line.cluster().jobs[&other].tasks.counted(State::Held) == 0);
}

/// What one of them can't be makes none, however far behind it stands; and its numbers are free again.
#[test]
fn all_or_none() {
    let ada = user("ada", 1_000);
    let mut line = Line::new();
    let mut specs = many();
    specs.push(JobSpec { name: String::new(), ..spec(1, None, None) });
    let bad = line.submit(&ada, "bad", specs);
    line.finish();
    let Some(Reply::Refused(refusal)) = line.replies.get(&bad) else { panic!("it is taken") };
    assert_eq!(refusal.code, RefusalCode::Invalid);
    assert!(line.cluster().jobs.is_empty() && line.cluster().unsettled.is_none());
    let good = line.submit(&ada, "good", many());
    line.finish();
    assert_eq!(line.jobs(good)[0], JobId(1));
    // Asked again it is the same answer, and no job more.
    let again = line.submit(&ada, "good", many());
    line.finish();
    assert_eq!(line.jobs(again), line.jobs(good));
    assert_eq!(line.cluster().jobs.len(), MANY);
}

/// A controller that dies in the middle of a submission takes back at its next start what stands of it.
#[test]
fn a_half_submission_is_taken_back() {
    let ada = user("ada", 1_000);
    for stop in 0..30 {
        let mut line = Line::new();
        line.submit(&ada, "large", many());
        for _ in 0..stop {
            line.pipeline.go_on(line.now);
            line.flush();
        }
        let done = !line.replies.is_empty();
        let mut cluster = Cluster { next_job: JobId(1), ..Cluster::default() };
        for change in &line.log {
            cluster.absorb(change, &mut Touched::default());
        }
        let half = cluster.unsettled.is_some();
        assert!(!(half && done));
        let mut core = Core::new(cluster, settings(), Position(99));
        let office = Command::Office { incarnation: Incarnation([7; 16]), epoch: Epoch(2) };
        core.apply(line.now, Position(99), office);
        assert!(core.cluster().unsettled.is_none());
        let open = core.cluster().jobs.values().filter(|job| job.ended.is_none()).count();
        assert_eq!(open, if done { MANY } else { 0 }, "after {stop} steps");
        invariants::check(core.cluster()).unwrap();
        if stop == 29 {
            assert!(done, "the test stops too early");
        }
    }
}

/// Any size of a step does the same to all of somebody's jobs, and two users' work takes turns.
#[test]
fn verbs_in_steps() {
    let (ada, eve) = (user("ada", 1_000), user("eve", 1_001));
    let mut line = Line::new();
    for (user, key) in [(&ada, "a"), (&eve, "e")] {
        line.submit(user, key, many());
        line.finish();
    }
    let (first, second) = (line.on_all(&ada, Verb::Hold), line.on_all(&eve, Verb::Hold));
    let mut held = (0, 0);
    while !line.replies.contains_key(&first) || !line.replies.contains_key(&second) {
        line.pipeline.go_on(line.now);
        line.flush();
        let of = |uid| {
            let mine = line.cluster().jobs.values().filter(move |job| job.record.uid == Uid(uid));
            mine.filter(|job| job.tasks.counted(State::Held) > 0).count()
        };
        held = (of(1_000), of(1_001));
        assert!(held.0.abs_diff(held.1) <= STEP_JOBS, "one user's work waits for the other's: {held:?}");
    }
    assert_eq!(held, (MANY, MANY));
}

/// Whoever is refused in a later step is on record as whoever is at once.
#[test]
fn refusals_are_audited() {
    let ada = user("ada", 1_000);
    let mut line = Line::new();
    let mut specs = many();
    specs.push(JobSpec { priority: Some(5), ..spec(1, None, None) });
    let raised = line.submit(&ada, "raised", specs);
    line.finish();
    let Some(Reply::Refused(refusal)) = line.replies.get(&raised) else { panic!("it is taken") };
    assert_eq!(refusal.code, RefusalCode::NotAllowed);
    let of_it = |change: &&Change| matches!(change, Change::Audit(record) if !record.allowed && record.what.contains("submit"));
    assert_eq!(line.log.iter().filter(of_it).count(), 1);
}
