//! Limits of accounts and qualities of service are kept at every moment, whatever happens meanwhile.

use proptest::prelude::*;

use super::model::{OnNode, World, end};
use crate::core::accounting::Scope;
use crate::core::tests_spec::spec;
use crate::core::{Command, Core};
use crate::model::account::{AccountRecord, Budget, Caps, Limits, QosRecord};
use crate::model::change::Change;
use crate::model::ids::{JobId, NodeId, Position, Uid};
use crate::model::spec::JobSpec;
use crate::model::state::End;
use crate::model::time::{Seconds, WallTime};
use crate::wire::account::Used;
use crate::wire::client::{Reply, Verb};
use crate::wire::node::{Ended, Report};

#[derive(Clone, Debug)]
pub(super) enum Step {
    Submit { account: usize, qos: usize, cpus: u32, tasks: Option<u32>, priority: u32 },
    Start(u32, usize),
    End(u32, usize, u8),
    Cancel(u64),
    Requeue(u64),
    Hold(u64),
    Release(u64),
    Reboot(u32),
    Reconnect(u32),
    Lose(u32),
    Plan,
    Pass(u64),
    Bound(usize, Caps, Caps),
}

const ACCOUNTS: [&str; 3] = ["all", "one", "two"];
const QUALITIES: [&str; 2] = ["normal", "fast"];

fn caps() -> impl Strategy<Value = Caps> {
    let running = prop_oneof![1 => Just(None), 2 => (0u32..6).prop_map(Some)];
    let cpus = prop_oneof![1 => Just(None), 2 => (0u32..9).prop_map(Some)];
    (running, cpus).prop_map(|(running, cpus)| Caps { running, cpus, submitted: None })
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let submit = (0usize..3, 0usize..2, 1u32..4, prop::option::of(1u32..30), 0u32..3);
    prop_oneof![
        4 => submit.prop_map(|(account, qos, cpus, tasks, priority)| Step::Submit {
            account, qos, cpus, tasks, priority,
        }),
        4 => (1u32..4, 1usize..9).prop_map(|(node, count)| Step::Start(node, count)),
        4 => (1u32..4, 1usize..9, prop_oneof![3 => Just(0u8), 1 => 1u8..4])
            .prop_map(|(node, count, code)| Step::End(node, count, code)),
        1 => (1u64..60).prop_map(Step::Cancel),
        1 => (1u64..60).prop_map(Step::Requeue),
        1 => (1u64..60).prop_map(Step::Hold),
        1 => (1u64..60).prop_map(Step::Release),
        1 => (1u32..4).prop_map(Step::Reboot),
        1 => (1u32..4).prop_map(Step::Reconnect),
        1 => (1u32..4).prop_map(Step::Lose),
        4 => Just(Step::Plan),
        1 => (1u64..400).prop_map(Step::Pass),
        1 => (0usize..5, caps(), caps()).prop_map(|(which, all, each)| Step::Bound(which, all, each)),
    ]
}

/// Account `all` with `one` and `two` below it, and two qualities of service.
pub(super) fn define(world: &mut World, which: usize, all: Caps, each_user: Caps) {
    let limits = Limits { all, each_user, time_max: None };
    let change = match ACCOUNTS.get(which) {
        Some(name) => {
            let parent = (which > 0).then(|| "all".to_owned());
            let users = vec!["ada".to_owned()];
            Change::Account(Box::new(AccountRecord { parent, users, limits, ..AccountRecord::new(name) }))
        }
        None => {
            let name = QUALITIES[which - ACCOUNTS.len()].to_owned();
            Change::Qos(Box::new(QosRecord { name, priority: 0, limits }))
        }
    };
    world.apply(Command::Change(Box::new(change)));
}

pub(super) fn take(world: &mut World, step: Step) {
    match step {
        Step::Submit { account, qos, cpus, tasks, priority } => {
            let tasks = tasks.map(|tasks| format!("0-{}", tasks - 1));
            let (account, qos) = (ACCOUNTS[account].to_owned(), QUALITIES[qos].to_owned());
            let nice = -(priority as i32) + 3;
            let job = JobSpec { account, qos, nice, ..spec(cpus, Some(50), tasks.as_deref()) };
            assert!(matches!(world.submit(job), Reply::Submitted { .. } | Reply::Refused(_)));
        }
        Step::Start(node, count) => world.start(NodeId(node), count),
        Step::End(node, count, code) => world.end(NodeId(node), count, code),
        Step::Cancel(job) => drop(world.act(Verb::Cancel { reason: String::new() }, JobId(job), vec![])),
        Step::Requeue(job) => drop(world.act(Verb::Requeue, JobId(job), vec![])),
        Step::Hold(job) => drop(world.act(Verb::Hold, JobId(job), vec![])),
        Step::Release(job) => drop(world.act(Verb::Release, JobId(job), vec![])),
        Step::Reboot(node) => world.reboot(NodeId(node)),
        Step::Reconnect(node) => world.connect(NodeId(node)),
        Step::Lose(node) => {
            let session = world.nodes.get_mut(&NodeId(node)).and_then(|model| model.session.take());
            if let Some(session) = session {
                world.apply(Command::NodeGone { node: NodeId(node), session });
            }
        }
        Step::Plan => world.plan(),
        Step::Pass(seconds) => {
            world.now.wall = world.now.wall.plus(Seconds(seconds));
            world.now.boot = world.now.boot.plus(Seconds(seconds));
            world.apply(Command::Tick);
        }
        Step::Bound(which, all, each_user) => define(world, which, all, each_user),
    }
}

fn scopes() -> Vec<Scope> {
    let accounts = ACCOUNTS
        .iter()
        .flat_map(|name| [Scope::Account((*name).into()), Scope::AccountUser((*name).into(), Uid(1_000))]);
    let qualities = QUALITIES
        .iter()
        .flat_map(|name| [Scope::Qos((*name).into()), Scope::QosUser((*name).into(), Uid(1_000))]);
    accounts.chain(qualities).collect()
}

/// Nothing is above its limit that was not before, by a limit that was lowered.
fn within_limits(core: &Core, before: &[Used]) -> Vec<Used> {
    let accounting = &core.cluster().accounting;
    let look = |(scope, before): (&Scope, &Used)| {
        let (caps, used) = (accounting.caps(scope), accounting.used(scope));
        let running = caps.running.map_or(u64::MAX, u64::from).max(before.running);
        let cpus = caps.cpus.map_or(u64::MAX, u64::from).max(before.cpus);
        assert!(used.running <= running && used.cpus <= cpus, "{scope:?}: {used:?} of {caps:?}");
        used
    };
    scopes().iter().zip(before).map(look).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn limits_hold_at_every_moment(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::with_lease(&[4, 4, 2], Seconds(100));
        let running = |most| Caps { running: Some(most), ..Caps::default() };
        define(&mut world, 0, Caps { cpus: Some(6), ..Caps::default() }, Caps::default());
        define(&mut world, 1, running(3), Caps::default());
        define(&mut world, 2, Caps::default(), running(2));
        define(&mut world, 3, Caps::default(), Caps::default());
        define(&mut world, 4, Caps::default(), Caps { cpus: Some(4), ..Caps::default() });
        let mut used = vec![Used::default(); scopes().len()];
        for step in steps {
            take(&mut world, step);
            used = within_limits(&world.core, &used);
        }
        world.check_replay();
        // Whoever waited for a limit starts once there is room.
        for which in 0..5 {
            define(&mut world, which, Caps { running: Some(4), cpus: Some(4), submitted: None }, Caps::default());
        }
        for node in 1..4 {
            world.connect(NodeId(node));
        }
        let jobs: Vec<JobId> = world.core.cluster().jobs.keys().copied().collect();
        for job in jobs {
            world.act(Verb::Release, job, vec![]);
        }
        for _ in 0..3_000 {
            world.plan();
            used = within_limits(&world.core, &used);
            for node in 1..4 {
                world.start(NodeId(node), 100);
                world.end(NodeId(node), 100, 0);
            }
            if world.core.cluster().jobs.values().all(|job| job.ended.is_some()) {
                break;
            }
        }
        for job in world.core.cluster().jobs.values() {
            let view = world.core.view(Position(0), WallTime(0));
            prop_assert!(job.ended.is_some(), "job {}: {:?}, {:?}", job.id(), job.tasks.counts(), view.limits(job));
        }
    }
}

/// The reason names the limit, its value and who uses it.
#[test]
fn the_reason_says_who_uses_the_limit() {
    let mut world = World::new(&[8]);
    define(&mut world, 0, Caps { cpus: Some(4), ..Caps::default() }, Caps::default());
    define(&mut world, 1, Caps::default(), Caps { running: Some(2), ..Caps::default() });
    let job = |account: &str, cpus| JobSpec { account: account.to_owned(), ..spec(cpus, Some(50), None) };
    for (account, cpus) in [("all", 3), ("all", 2), ("one", 1), ("one", 5)] {
        let reply = world.submit(job(account, cpus));
        assert_eq!(matches!(reply, Reply::Refused(_)), cpus > 4, "{reply:?}");
        world.plan();
    }
    let view = world.core.view(Position(0), WallTime(0));
    let reasons = |id: u64| view.limits(&view.cluster.jobs[&JobId(id)]);
    let text = "account all allows 4 cpus at once; 3 are in use (uid 1000 3), and it asks for 2";
    assert_eq!(reasons(2), [("AssocGrpCpuLimit", text.to_owned())]);
    // The second job closes the account's limit to the third, which would fit.
    assert_eq!(view.cluster.jobs[&JobId(3)].slots.len(), 0);
    world.act(Verb::Hold, JobId(2), vec![]);
    world.plan();
    assert_eq!(world.core.cluster().jobs[&JobId(3)].slots.len(), 1);
}

/// Every attempt is charged once, to its account and those above it, whatever is reported twice; a spent budget starts
/// nothing and refills nothing.
#[test]
fn attempts_are_charged_once() {
    let mut world = World::new(&[4]);
    define(&mut world, 0, Caps::default(), Caps::default());
    define(&mut world, 1, Caps::default(), Caps::default());
    let record = |world: &World, name: &str| (*world.core.cluster().accounting.accounts[name]).clone();
    for (name, cpu_hours) in [("all", 5), ("one", 100)] {
        let budget = Some(Budget { cpu_hours, since: WallTime(0), until: None });
        let change = Change::Account(Box::new(AccountRecord { budget, ..record(&world, name) }));
        world.apply(Command::Change(Box::new(change)));
    }
    let spec = JobSpec { account: "one".to_owned(), ..spec(2, Some(50_000), Some("0-29")) };
    world.submit(spec);
    world.plan();
    let spent = |world: &World| {
        let accounting = &world.core.cluster().accounting;
        (accounting.spent_ms("all") / 3_600_000, accounting.spent_ms("one") / 3_600_000)
    };
    world.start(NodeId(1), 10);
    let began = world.now.wall;
    pass(&mut world, 3_600);
    end_one(&mut world, began);
    assert_eq!(spent(&world), (2, 2));
    // The node says it again, and comes back with it once more.
    let again = world.nodes[&NodeId(1)].unconfirmed.clone();
    world.send(NodeId(1), Report { ended: again, ..Report::default() });
    world.connect(NodeId(1));
    assert_eq!(spent(&world), (2, 2));
    // It can't have run for longer than the node has had it.
    end_one(&mut world, WallTime(0));
    assert_eq!(spent(&world), (4, 4));
    world.plan();
    world.start(NodeId(1), 10);
    pass(&mut world, 3_600);
    end_one(&mut world, began.plus(Seconds(3_600)));
    assert_eq!(spent(&world), (6, 6));
    // What a node has by now runs; nothing more is given to it.
    for _ in 0..20 {
        world.plan();
        world.start(NodeId(1), 10);
        world.end(NodeId(1), 10, 0);
    }
    let job = world.core.cluster().jobs[&JobId(1)].clone();
    assert!(job.slots.is_empty() && job.pending() > 0, "{:?}", job.slots);
    let view = world.core.view(Position(0), WallTime(0));
    let text = "account all has used 6 of 5 cpu-hours since 1 January 1970".to_owned();
    assert_eq!(view.limits(&job).first(), Some(&("AssocGrpCPUMinutesLimit", text)));
    world.check_replay();
}

pub(super) fn pass(world: &mut World, seconds: u64) {
    world.now.wall = world.now.wall.plus(Seconds(seconds));
    world.now.boot = world.now.boot.plus(Seconds(seconds));
}

/// A running task of the first node ends, which has run since then.
fn end_one(world: &mut World, started: WallTime) {
    let now = world.now.wall;
    let model = world.nodes.get_mut(&NodeId(1)).unwrap();
    let (task, attempt) = *model.holds.iter().find(|(_, at)| **at == OnNode::Running).unwrap().0;
    model.holds.remove(&(task, attempt));
    model.tombs.insert((task, attempt));
    let end = End { start: Some(started), ..end(attempt, 0, now) };
    model.unconfirmed.push(Ended { task, end });
    world.send(NodeId(1), Report::default());
}
