//! Fair share: use decays as the closed form says whatever happens, is the same after a replay, and ranks.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::limits::{define, pass, step, take};
use super::model::World;
use crate::core::priority::points;
use crate::core::share::Member;
use crate::core::state::{Cluster, Touched};
use crate::core::tests_spec::spec;
use crate::core::{Command, Core};
use crate::model::account::{AccountRecord, Caps};
use crate::model::change::Change;
use crate::model::ids::{JobId, NodeId, Position};
use crate::model::priority::{DecayedUse, PriorityRecord};
use crate::model::spec::JobSpec;
use crate::model::time::{Seconds, WallTime};
use crate::wire::client::Verb;

fn prioritise(world: &mut World, record: PriorityRecord) {
    world.apply(Command::Change(Box::new(Change::Priority(Box::new(record)))));
}

fn defined(world: &mut World) {
    (0..5).for_each(|which| define(world, which, Caps::default(), Caps::default()));
}

/// What everybody holds, in cpus, worked out from nothing but the slots.
fn held(core: &Core) -> BTreeMap<Member, f64> {
    let mut held = BTreeMap::new();
    for job in core.cluster().jobs.values() {
        for (node, slots) in &job.slots {
            let total = core.cluster().nodes[node].record.hardware.as_ref().unwrap().resources;
            let memory = slots.charge.memory_bytes as f64 / total.memory_bytes as f64 * f64::from(total.cpus);
            let cpus = (memory.max(f64::from(slots.charge.cpus)) * 1e3).floor() / 1e3;
            let member: Member = (job.record.spec.account.as_str().into(), job.record.user.clone());
            *held.entry(member).or_insert(0.0) += cpus * f64::from(slots.count);
        }
    }
    held
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn use_decays_as_the_closed_form_says(
        half_life in prop_oneof![1 => Just(None), 4 => (60u64..5_000).prop_map(Some)],
        steps in prop::collection::vec(step(), 1..100),
    ) {
        let mut world = World::with_lease(&[4, 4, 2], Seconds(100));
        defined(&mut world);
        let half_life = half_life.map(Seconds);
        prioritise(&mut world, PriorityRecord { half_life, fair_share: 1_000, ..PriorityRecord::default() });
        let mut line: Vec<(WallTime, BTreeMap<Member, f64>)> = vec![(world.now.wall, BTreeMap::new())];
        for step in steps {
            take(&mut world, step);
            line.push((world.now.wall, held(&world.core)));
        }
        pass(&mut world, 77);
        let end = world.now.wall;
        let mut closed: BTreeMap<Member, f64> = BTreeMap::new();
        for (at, (from, held)) in line.iter().enumerate() {
            let until = line.get(at + 1).map_or(end, |(until, _)| *until);
            let seconds = until.micros_since(*from) as f64 / 1e6;
            let ago = end.micros_since(until) as f64 / 1e6;
            let counts = half_life.map_or(seconds, |half_life| {
                let h = half_life.0 as f64;
                let ln2 = std::f64::consts::LN_2;
                h / ln2 * (-ago / h).exp2() * -(-seconds / h * ln2).exp_m1()
            });
            for (member, cpus) in held {
                *closed.entry(member.clone()).or_insert(0.0) += cpus * counts;
            }
        }
        let accounting = &world.core.cluster().accounting;
        for (member, closed) in &closed {
            let found = accounting.use_at(member, end).cpu_seconds();
            prop_assert!((found - closed).abs() <= 1e-9 * closed.max(1e-6), "{member:?}: {found} for {closed}");
        }
        prop_assert!(accounting.uses.decayed.keys().all(|member| closed.contains_key(member)));
        world.check_replay();
    }

    /// Against the formulas, worked out member by member.
    #[test]
    fn fair_share_is_the_closed_form(
        parents in prop::collection::vec((prop::option::of(0usize..8), 0u32..5), 1..8),
        users in prop::collection::vec((0usize..8, 0usize..4, 0u32..4), 0..16),
        uses in prop::collection::vec((0usize..8, 0usize..4, 0u32..1_000_000), 0..16),
    ) {
        let at = WallTime(9_000_000);
        let mut cluster = Cluster::default();
        let count = parents.len();
        let mut records: Vec<AccountRecord> = parents.iter().enumerate().map(|(at, (parent, share))| AccountRecord {
            parent: parent.filter(|parent| *parent < at).map(|parent| format!("a{parent}")),
            share: *share,
            ..AccountRecord::new(&format!("a{at}"))
        }).collect();
        for (account, user, share) in &users {
            let (record, user) = (&mut records[account % count], format!("u{user}"));
            if !record.users.contains(&user) {
                record.users.push(user.clone());
                record.user_shares.push((user, *share));
                record.users.sort();
                record.user_shares.sort();
            }
        }
        let mut used: BTreeMap<(String, String), f64> = BTreeMap::new();
        for (account, user, seconds) in uses {
            used.insert((format!("a{}", account % count), format!("u{user}")), f64::from(seconds));
        }
        let mut changes: Vec<Change> =
            records.iter().map(|record| Change::Account(Box::new(record.clone()))).collect();
        changes.extend(used.iter().map(|((account, user), seconds)| Change::Use {
            account: account.clone(), user: user.clone(), used: Some(DecayedUse::new(*seconds, at)),
        }));
        changes.iter().for_each(|change| cluster.absorb(change, &mut Touched::default()));

        let of = |name: &str| records.iter().find(|record| record.name == name).unwrap();
        let total: f64 = used.values().sum();
        let below = |name: &str, above: &str| {
            std::iter::successors(Some(of(name)), |one| one.parent.as_deref().map(of)).any(|one| one.name == above)
        };
        let part = |seconds: f64| if total > 0.0 { seconds / total } else { 0.0 };
        let sum = |keep: &dyn Fn(&str) -> bool| {
            let mine = used.iter().filter(|((account, _), _)| keep(account));
            part(mine.map(|(_, seconds)| *seconds).sum())
        };
        let siblings = |parent: Option<&str>| -> f64 {
            let accounts = records.iter().filter(|one| one.parent.as_deref() == parent).map(|one| one.share);
            let users = parent.map(of).map_or(vec![], |one| one.user_shares.iter().map(|(_, share)| *share).collect());
            accounts.chain(users).map(f64::from).sum()
        };
        let fraction = |share: u32, parent: Option<&str>| {
            let all = siblings(parent);
            if all > 0.0 { f64::from(share) / all } else { 0.0 }
        };
        let stand = |name: &str| {
            let mut way: Vec<&AccountRecord> =
                std::iter::successors(Some(of(name)), |one| one.parent.as_deref().map(of)).collect();
            way.reverse();
            way.iter().fold((1.0, None), |(shares, above): (f64, Option<f64>), one| {
                let fraction = fraction(one.share, one.parent.as_deref());
                let used = sum(&|account| below(account, &one.name));
                (shares * fraction, Some(above.map_or(used, |above| used + (above - used) * fraction)))
            })
        };
        let accounting = &cluster.accounting;
        let fairness = accounting.fairness(at, 0);
        let near = |one: f64, two: f64| (one - two).abs() <= 1e-9;
        for record in &records {
            let (shares, effective) = stand(&record.name);
            let found = fairness.of_account(&record.name);
            prop_assert!(near(found.shares, shares) && near(found.effective, effective.unwrap()), "{found:?}");
            for (user, share) in &record.user_shares {
                let fraction = fraction(*share, Some(&record.name));
                let used = part(used.get(&(record.name.clone(), user.clone())).copied().unwrap_or_default());
                let (shares, effective) = (shares * fraction, used + (effective.unwrap() - used) * fraction);
                let found = fairness.of_member(accounting, &(record.name.as_str().into(), user.as_str().into()));
                let factor = if shares > 0.0 { 2f64.powf(-effective / shares) } else { 0.0 };
                prop_assert!(near(found.shares, shares) && near(found.used, used), "{found:?}");
                prop_assert!(near(found.effective, effective) && near(found.factor(), factor), "{found:?}");
            }
        }
    }
}

fn job(account: &str, cpus: u32) -> JobSpec {
    JobSpec { account: account.to_owned(), ..spec(cpus, Some(50), None) }
}

/// Jobs in the order in which the scheduler has them.
fn order(world: &World, jobs: &[u64]) -> Vec<u64> {
    let mut order: Vec<u64> = jobs.to_vec();
    order.sort_by_key(|job| world.scheduler.explain(JobId(*job), world.now.wall).ahead);
    order
}

/// Who has used less comes first, as soon as that is reckoned, with no job told anew; and what was used is forgotten.
#[test]
fn who_has_used_less_comes_first() {
    let mut world = World::new(&[4]);
    defined(&mut world);
    let record = PriorityRecord {
        half_life: Some(Seconds(1_000)),
        fair_share: 1_000,
        age: 10,
        age_max: Seconds(100_000),
        ..PriorityRecord::default()
    };
    prioritise(&mut world, record);
    world.submit(job("one", 4));
    world.plan();
    for account in ["one", "two", "one", "two"] {
        world.submit(job(account, 4));
    }
    world.plan();
    // Nobody has used anything that counts yet.
    assert_eq!(order(&world, &[2, 3, 4, 5]), [2, 3, 4, 5]);
    world.start(NodeId(1), 1);
    pass(&mut world, 59);
    world.apply(Command::Tick);
    world.plan();
    assert_eq!(order(&world, &[2, 3, 4, 5]), [2, 3, 4, 5], "the period is not over");
    assert_eq!(world.core.next_timer().map(|at| at.micros_since(world.now.wall)), Some(1_000_000));
    pass(&mut world, 1);
    world.apply(Command::Tick);
    let notes = world.core.take_notes();
    let jobs = notes.iter().filter(|note| matches!(note, crate::sched::Note::Job { .. }));
    assert_eq!(jobs.count(), 0, "{notes:?}");
    notes.into_iter().for_each(|note| world.scheduler.note(note));
    world.plan();
    assert_eq!(order(&world, &[2, 3, 4, 5]), [3, 5, 2, 4]);
    let view = world.core.view(Position(0), world.now.wall);
    let parts = view.priority_parts(&view.cluster.jobs[&JobId(2)]);
    let words: Vec<(&str, Option<u32>, &str)> =
        parts.iter().map(|part| (part.name.as_str(), part.weight, part.text.as_str())).collect();
    let share =
        "ada in one has 33.3 % of the shares and 100.0 % of what was used, 100.0 % with those alongside";
    assert_eq!(words[0], ("age", Some(10), "it has waited for 60 of 100000 seconds"));
    assert_eq!(words[1].2, share, "{words:?}");
    let now = world.now;
    let sum: i64 = parts.iter().map(|part| part.units).sum();
    let points = points(&view.cluster, &view.standing, &view.cluster.jobs[&JobId(2)]);
    assert_eq!(points, sum.div_euclid(1_024));
    let used = |world: &World| {
        let member: Member = ("one".into(), "ada".into());
        world.core.cluster().accounting.use_at(&member, world.now.wall).cpu_seconds()
    };
    let before = used(&world);
    world.end(NodeId(1), 1, 0);
    world.now.wall = now.wall.plus(Seconds(1_000));
    assert!((used(&world) / before - 0.5).abs() < 1e-12);
    // Somebody sets the clock back by a day: that does not stop the reckoning.
    world.now.wall = WallTime(world.now.wall.0 - 86_400_000_000);
    world.apply(Command::Tick);
    assert!(world.core.next_timer().is_some_and(|at| at <= world.now.wall));
    world.plan();
    let next = world.core.next_timer().map(|at| at.micros_since(world.now.wall));
    assert_eq!(next, Some(60_000_000));
    world.check_replay();
}

/// `first` goes before age, too.
#[test]
fn who_was_put_first_is_as_old_as_who_was() {
    let mut world = World::new(&[4]);
    prioritise(&mut world, PriorityRecord { age: 1_000, ..PriorityRecord::default() });
    world.submit(job("", 4));
    world.plan();
    for _ in 0..3 {
        pass(&mut world, 1_000);
        world.submit(job("", 4));
        world.plan();
    }
    assert_eq!(order(&world, &[2, 3, 4]), [2, 3, 4]);
    world.act(Verb::First, JobId(4), vec![]);
    world.plan();
    assert_eq!(order(&world, &[2, 3, 4]), [4, 2, 3]);
}
