//! The machine against the reference, and both against what the policy promises.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::ids::{JobId, NodeId};
use crate::model::resources::Resources;
use crate::model::time::{Seconds, WallTime};

const STEPS: u64 = u64::MAX;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Event {
    Note(Box<Note>),
    /// The n-th holding, counted round, loses so many slots.
    End(usize, u32),
    /// The n-th holding's tasks go on until a later time, as after a refill or a late start.
    Shift(usize, i64),
    /// Time passes, in seconds.
    Pass(i64),
    /// A plan; places whose bit is set are dropped by the caller.
    Plan(u32),
}

/// One cpu, for as long as it likes, in partition 0.
pub(super) fn plain_demand(job: u64) -> Demand {
    Demand {
        rank: Rank { tier: 0, priority: 0, order: 0, submit: job, job: JobId(job) },
        cpus: 1,
        memory: MemoryDemand::Fixed(0),
        tmp_bytes: 0,
        exclusive: false,
        slots: 1,
        limit: None,
        begin: None,
        latest_end: None,
        latest_start: None,
        partitions: Arc::from([PartitionId(0)]),
        only: None,
        except: Arc::from([]),
        refills: false,
        strict: false,
        planned: false,
        caps: Arc::from([]),
        ages_from: None,
        share: ShareId(0),
        counted_cpus: 1,
        version: 1,
    }
}

fn time(seconds: i64) -> WallTime {
    WallTime(seconds * 1_000_000)
}

fn some_time() -> impl Strategy<Value = Option<WallTime>> {
    prop_oneof![10 => Just(None), 1 => (0i64..60).prop_map(|seconds| Some(time(seconds)))]
}

fn partitions() -> impl Strategy<Value = Vec<PartitionId>> {
    prop_oneof![6 => Just(vec![0]), 1 => Just(vec![1]), 1 => Just(vec![0, 1]), 1 => Just(vec![1, 2])]
        .prop_map(|all| all.into_iter().map(PartitionId).collect())
}

fn nodes() -> impl Strategy<Value = Arc<[NodeId]>> {
    prop::collection::vec((0u32..5).prop_map(NodeId), 0..3).prop_map(Into::into)
}

fn demand(job: u64) -> impl Strategy<Value = Demand> {
    let memory = prop_oneof![
        4 => (0u64..5).prop_map(MemoryDemand::Fixed),
        2 => Just(MemoryDemand::Share),
        1 => Just(MemoryDemand::Whole)
    ];
    let only = prop_oneof![9 => Just(None), 1 => nodes().prop_map(Some)];
    let except = prop_oneof![4 => Just(Arc::from([])), 1 => nodes()];
    let size = (1u32..5, memory, 0u64..2, prop::bool::weighted(0.1), 0u32..4);
    let limit = prop_oneof![1 => Just(None), 3 => (1u64..20).prop_map(|s| Some(Seconds(s)))];
    let when = (limit, some_time(), some_time(), some_time());
    let order = prop_oneof![3 => Just(0u64), 1 => 0u64..3];
    let manner = (any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.3), order);
    let caps = prop_oneof![2 => Just(0usize), 5 => 1usize..6];
    let ages = prop_oneof![1 => Just(None), 2 => (0i64..60).prop_map(|from| Some(time(from)))];
    let rank = (prop_oneof![4 => Just(0i32), 1 => 0i32..2], 0i64..4, ages, 0u32..4);
    (rank, size, when, (partitions(), only, except), manner, 0u64..3, caps).prop_map(
        move |(rank, size, when, place, (refills, strict, planned, order), version, caps)| Demand {
            rank: Rank { tier: rank.0, priority: rank.1, order, submit: job, job: JobId(job) },
            ages_from: rank.2,
            share: ShareId(rank.3),
            cpus: size.0,
            memory: size.1,
            tmp_bytes: size.2,
            exclusive: size.3,
            slots: size.4,
            limit: when.0,
            begin: when.1,
            latest_end: when.2,
            latest_start: when.3,
            partitions: place.0.into(),
            only: place.1,
            except: place.2,
            refills,
            strict,
            planned,
            caps: shared_bounds(caps),
            // Nodes have at most 5.
            counted_cpus: if size.3 { 5 } else { size.0 },
            version,
        },
    )
}

/// A job is under nothing, an account, or an account, the one above it, and a quality of service.
fn shared_bounds(which: usize) -> Arc<[CapId]> {
    let lists: [&[u32]; 6] = [&[], &[0], &[0, 1], &[0, 2], &[1, 3], &[0, 1, 3]];
    lists[which].iter().map(|cap| CapId(*cap)).collect()
}

fn bound() -> impl Strategy<Value = Bound> {
    let slots = prop_oneof![1 => Just(None), 2 => (0u64..6).prop_map(Some)];
    let cpus = prop_oneof![1 => Just(None), 2 => (0u64..12).prop_map(Some)];
    (slots, cpus).prop_map(|(slots, cpus)| Bound { slots, cpus })
}

fn supply() -> impl Strategy<Value = Supply> {
    let total = (1u32..6, 0u64..7, 0u64..3);
    let parts = prop_oneof![2 => Just(vec![PartitionId(0)]), 1 => partitions()];
    (total, prop::bool::weighted(0.9), parts, 0u32..2, 0u64..3).prop_map(
        |((cpus, memory_bytes, tmp_bytes), accepts, partitions, weight, version)| Supply {
            total: Resources { cpus, memory_bytes, tmp_bytes },
            accepts,
            partitions,
            weight,
            version,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let job = (1u64..20).prop_flat_map(|job| {
        let demand = prop_oneof![1 => Just(None), 8 => demand(job).prop_map(Some)];
        demand.prop_map(move |demand| Event::Note(Box::new(Note::Job { job: JobId(job), demand })))
    });
    let node = (0u32..5).prop_flat_map(|node| {
        let supply = prop_oneof![1 => Just(None), 8 => supply().prop_map(Some)];
        supply.prop_map(move |supply| Event::Note(Box::new(Note::Node { node: NodeId(node), supply })))
    });
    let cap = (0u32..4, bound())
        .prop_map(|(cap, bound)| Event::Note(Box::new(Note::Cap { cap: CapId(cap), bound })));
    // Now and then somebody sets the clock back, or another weight.
    let ageing = (prop_oneof![8 => Just(4i64), 1 => 0i64..9], prop_oneof![8 => Just(9u64), 1 => 0u64..20]);
    let ageing = prop_oneof![9 => (ageing, 0i64..90).prop_map(Some), 1 => Just(None)];
    let ageing = ageing.prop_map(|given| {
        let ageing = given.map(|((weight, span), at)| Ageing { weight, span: Seconds(span), at: time(at) });
        Event::Note(Box::new(Note::Ageing(ageing)))
    });
    let share = (1u32..4, -3i64..4)
        .prop_map(|(share, standing)| Event::Note(Box::new(Note::Share { share: ShareId(share), standing })));
    prop_oneof![
        9 => job,
        2 => ageing,
        1 => share,
        2 => node,
        1 => cap,
        5 => (any::<usize>(), 1u32..4).prop_map(|(at, slots)| Event::End(at, slots)),
        1 => (any::<usize>(), 1i64..9).prop_map(|(at, seconds)| Event::Shift(at, seconds)),
        3 => (0i64..7).prop_map(Event::Pass),
        6 => prop_oneof![4 => Just(0u32), 1 => any::<u32>()].prop_map(Event::Plan),
    ]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let first = prop::collection::vec(supply(), 2..5);
    (first, prop::collection::vec(event(), 1..80)).prop_map(|(supplies, events)| {
        let nodes = supplies.into_iter().enumerate().map(|(at, supply)| {
            Event::Note(Box::new(Note::Node { node: NodeId(at as u32), supply: Some(supply) }))
        });
        nodes.chain(events).collect()
    })
}

/// A caller with two schedulers, one of them always short of budget, and the view that they should have.
#[derive(Default)]
struct World {
    now: i64,
    view: View,
    /// Some job got slots of unlike charge on one node. Then nobody can say which of them comes free first.
    uneven: bool,
    whole: Scheduler,
    chopped: Scheduler,
}

impl World {
    fn note(&mut self, note: Note) {
        self.view.note(note.clone());
        self.whole.note(note.clone());
        self.chopped.note(note);
    }

    /// What a job holds counts against the bounds that it has now: the caller says both.
    fn count_anew(&mut self, job: JobId, caps: &Arc<[CapId]>) {
        let mine = self.view.held.iter().filter(|((holder, _), held)| *holder == job && held.caps != *caps);
        let mine: Vec<(NodeId, Held)> = mine.map(|((_, node), held)| (*node, held.clone())).collect();
        for (node, held) in mine {
            let held = Some(Held { caps: Arc::clone(caps), ..held });
            self.note(Note::Held { job, node, held });
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Note(note) => {
                if let Note::Job { job, demand: Some(demand) } = &*note {
                    self.count_anew(*job, &demand.caps);
                }
                self.note(*note);
            }
            Event::Pass(seconds) => self.now += seconds,
            Event::End(at, slots) => {
                if let Some((job, node, held)) = self.holding(at) {
                    let held = after_end(held, slots);
                    self.note(Note::Held { job, node, held });
                }
            }
            Event::Shift(at, seconds) => {
                if let Some((job, node, mut held)) = self.holding(at) {
                    let later = |end: WallTime| WallTime(end.0 + time(seconds).0);
                    held.releases.iter_mut().for_each(|release| release.end = release.end.map(later));
                    self.note(Note::Held { job, node, held: Some(held) });
                }
            }
            Event::Plan(dropped) => self.plan(dropped)?,
        }
        Ok(())
    }

    fn holding(&self, at: usize) -> Option<(JobId, NodeId, Held)> {
        let count = self.view.held.len().max(1);
        let ((job, node), held) = self.view.held.iter().nth(at % count)?;
        Some((*job, *node, held.clone()))
    }

    fn plan(&mut self, dropped: u32) -> Result<(), TestCaseError> {
        let now = time(self.now);
        let wanted = plan_from_scratch(&self.view, now);
        let mut plan = self.whole.plan(now, STEPS);
        plan.steps = 0;
        prop_assert_eq!(&plan, &wanted);
        prop_assert_eq!(&self.in_bits(now), &wanted);
        let before = self.view.clone();
        self.view.assume(&plan, now);
        keeps_within_nodes(&before, &self.view, &plan)?;
        keeps_within_bounds(&before, &self.view, &plan, now)?;
        let again = plan_from_scratch(&self.view, now);
        self.uneven |= plan.places.iter().any(|place| {
            let old = before.held.get(&(place.job, place.node));
            old.is_some_and(|old| old.charge != place.charge.times(old.slots))
        });
        if !self.uneven {
            keeps_promises(&plan, &again)?;
        }
        for (at, place) in plan.places.iter().enumerate() {
            let drop = dropped & (1 << (at % 32)) != 0;
            self.answer(&before, place, drop);
        }
        Ok(())
    }

    fn in_bits(&mut self, now: WallTime) -> Plan {
        let mut all = Plan::default();
        loop {
            let next = self.chopped.plan(now, 2);
            all.places.extend(next.places);
            if next.done {
                return Plan { places: all.places, steps: 0, ..next };
            }
        }
    }

    fn answer(&mut self, before: &View, place: &Place, drop: bool) {
        let (job, node) = (place.job, place.node);
        let from = if drop { before } else { &self.view };
        let demand = from.jobs.get(&job).cloned();
        let held = from.held.get(&(job, node)).cloned();
        self.note(Note::Held { job, node, held });
        self.note(Note::Job { job, demand });
    }
}

fn after_end(mut held: Held, slots: u32) -> Option<Held> {
    let left = held.slots.checked_sub(slots).filter(|left| *left > 0)?;
    let one = Resources {
        cpus: held.charge.cpus / held.slots,
        memory_bytes: held.charge.memory_bytes / u64::from(held.slots),
        tmp_bytes: held.charge.tmp_bytes / u64::from(held.slots),
    };
    held.charge = one.times(left);
    held.slots = left;
    let mut gone = slots;
    held.releases.retain_mut(|release| {
        let here = gone.min(release.slots);
        gone -= here;
        release.slots -= here;
        release.slots > 0
    });
    Some(held)
}

/// A second look at once starts nothing more, and no reservation has moved back for what started beside it.
fn keeps_promises(first: &Plan, second: &Plan) -> Result<(), TestCaseError> {
    prop_assert!(second.places.is_empty() && second.rights.is_empty(), "{first:?}, then {second:?}");
    for promise in &first.reservations {
        let kept = second.reservations.iter().find(|kept| kept.job == promise.job);
        let start = |reservation: &Reservation| reservation.start.unwrap_or(room::FAR);
        let in_time = kept.is_none_or(|kept| start(kept) <= start(promise));
        prop_assert!(in_time, "{first:?}, then {second:?}");
    }
    Ok(())
}

/// No plan brings what is held over a bound, however many share it, and where more is held nobody refills.
fn keeps_within_bounds(before: &View, after: &View, plan: &Plan, now: WallTime) -> Result<(), TestCaseError> {
    for (cap, bound) in &after.bounds {
        let used = |view: &View| {
            let here = view.held.values().filter(|held| held.caps.contains(cap));
            here.fold((0u64, 0u64), |sum, held| {
                (sum.0 + u64::from(held.slots), sum.1 + u64::from(held.charge.cpus))
            })
        };
        let (old, new) = (used(before), used(after));
        prop_assert!(new.0 <= bound.slots.unwrap_or(u64::MAX).max(old.0), "{cap:?} {bound:?}: {plan:?}");
        prop_assert!(new.1 <= bound.cpus.unwrap_or(u64::MAX).max(old.1), "{cap:?} {bound:?}: {plan:?}");
        let over =
            bound.slots.is_some_and(|most| new.0 > most) || bound.cpus.is_some_and(|most| new.1 > most);
        for ((job, node), held) in after.held.iter().filter(|(_, held)| over && held.caps.contains(cap)) {
            let refills = after.jobs.get(job).is_some_and(|demand| demand.refills);
            let there = after.nodes.contains_key(node);
            let dry = rights::effective(held.refill, now) == Refill::Never;
            prop_assert!(!refills || !there || dry, "{job:?} refills over {cap:?}");
        }
    }
    Ok(())
}

/// Nobody is placed where he may not be, nothing is promised twice, and who wants to be alone is.
fn keeps_within_nodes(before: &View, after: &View, plan: &Plan) -> Result<(), TestCaseError> {
    for place in &plan.places {
        let (demand, supply) = (&before.jobs[&place.job], &before.nodes[&place.node]);
        prop_assert!(supply.accepts);
        prop_assert!(supply.partitions.iter().any(|partition| demand.partitions.contains(partition)));
        prop_assert!(!demand.except.contains(&place.node));
        prop_assert!(demand.only.as_ref().is_none_or(|only| only.contains(&place.node)));
        let here = after.held.iter().filter(|((_, node), _)| *node == place.node);
        let (mut used, mut loners, mut slots) = (Resources::default(), 0, 0);
        for (_, held) in here {
            used = used.plus(&held.charge);
            slots += held.slots;
            loners += u32::from(held.exclusive);
        }
        let total = &supply.total;
        prop_assert!(used.cpus <= total.cpus, "{used:?} of {total:?}");
        // A node can shrink under its jobs; then at least nobody asks for more of what it lacks.
        let (memory, tmp) = (place.charge.memory_bytes, place.charge.tmp_bytes);
        prop_assert!(memory == 0 || used.memory_bytes <= total.memory_bytes, "{used:?} of {total:?}");
        prop_assert!(tmp == 0 || used.tmp_bytes <= total.tmp_bytes, "{used:?} of {total:?}");
        prop_assert!(loners == 0 || slots == 1, "an exclusive slot has company");
    }
    for (job, demand) in &before.jobs {
        let placed: u32 = plan.places.iter().filter(|place| place.job == *job).map(|place| place.slots).sum();
        prop_assert!(placed <= demand.slots);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 20_000, ..ProptestConfig::default() })]
    #[test]
    fn incremental_equals_from_scratch(events in events()) {
        let mut world = World::default();
        for event in events {
            world.happen(event)?;
        }
        world.happen(Event::Plan(0))?;
    }
}

/// One node of 4 cpus. A job that wants all of it waits while others, of higher priority to begin with, keep coming
/// faster than they can be served: it starts once it is so old that no newcomer ranks before it, and those who came
/// before that are through.
#[test]
fn nobody_starves_under_priority_with_age() {
    // Nobody waits for so long that he ages no more.
    const SPAN: i64 = 1_000;
    const PERIOD: i64 = 5;
    const LONGEST: u64 = 9;
    let weight = 25_000;
    let lead = weight / SPAN * 20;
    proptest!(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) },
        |(others in prop::collection::vec((0i64..lead, 1u32..5, 1..=LONGEST), 400), planned in any::<bool>())| {
        let mut scheduler = Scheduler::new();
        let total = Resources { cpus: 4, memory_bytes: 0, tmp_bytes: 0 };
        let supply = Supply { total, accepts: true, partitions: vec![PartitionId(0)], weight: 1, version: 0 };
        scheduler.note(Note::Node { node: NodeId(0), supply: Some(supply) });
        let mut running: Vec<(i64, JobId)> = Vec::new();
        // Until then somebody may come who ranks before it, and each of those may have the node to himself.
        let overtaken = 20 + PERIOD;
        let bound = overtaken + (overtaken + 2) * (LONGEST as i64 + 1);
        let mut started = None;
        for (now, (priority, cpus, limit)) in (0..bound).zip(others) {
            if now % PERIOD == 0 {
                scheduler.note(Note::Ageing(Some(Ageing { weight, span: Seconds(SPAN as u64), at: time(now) })));
            }
            for (_, job) in running.extract_if(.., |(end, _)| *end <= now) {
                scheduler.note(Note::Held { job, node: NodeId(0), held: None });
            }
            let mut come = |job: u64, priority, cpus, limit| {
                let mut demand = Demand { cpus, limit: Some(Seconds(limit)), planned, ..plain_demand(job) };
                (demand.rank.priority, demand.ages_from) = (priority, Some(time(now)));
                scheduler.note(Note::Job { job: JobId(job), demand: Some(demand) });
            };
            if now == 0 {
                come(1_000_000, 0, 4, LONGEST);
            }
            come(now as u64 + 1, priority, cpus, limit);
            let plan = scheduler.plan(time(now), STEPS);
            for place in plan.places {
                let limit = scheduler_limit(&scheduler, place.job);
                running.push((now + limit, place.job));
                let end = Some(time(now + limit));
                let held = Held { slots: 1, charge: place.charge, releases: vec![Release { end, slots: 1 }], ..Held::default() };
                scheduler.note(Note::Job { job: place.job, demand: None });
                scheduler.note(Note::Held { job: place.job, node: NodeId(0), held: Some(held) });
                if place.job == JobId(1_000_000) {
                    started = Some(now);
                }
            }
        }
        prop_assert!(started.is_some(), "not within {bound} s");
    });
}

fn scheduler_limit(scheduler: &Scheduler, job: JobId) -> i64 {
    scheduler.jobs.get(&job).and_then(|entry| entry.demand.limit).map_or(0, |limit| limit.0 as i64)
}
