//! Random events never break an invariant, never start an attempt twice, and end in rest.

use proptest::prelude::*;

use super::model::World;
use crate::core::tests_spec::spec;
use crate::model::ids::{JobId, NodeId};
use crate::model::state::State;
use crate::wire::client::{Reply, Verb};

#[derive(Clone, Debug)]
enum Step {
    Submit { cpus: u32, tasks: u32, array: bool, limit: Option<u64> },
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
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1u32..5, 1u32..40, any::<bool>(), prop::option::of(1u64..100))
            .prop_map(|(cpus, tasks, array, limit)| Step::Submit { cpus, tasks, array, limit }),
        4 => (1u32..4, 1usize..9).prop_map(|(node, count)| Step::Start(node, count)),
        4 => (1u32..4, 1usize..9, prop_oneof![3 => Just(0u8), 1 => 1u8..4]).prop_map(|(n, c, e)| Step::End(n, c, e)),
        1 => (1u64..60).prop_map(Step::Cancel),
        1 => (1u64..60).prop_map(Step::Requeue),
        1 => (1u64..60).prop_map(Step::Hold),
        1 => (1u64..60).prop_map(Step::Release),
        1 => (1u32..4).prop_map(Step::Reboot),
        1 => (1u32..4).prop_map(Step::Reconnect),
        1 => (1u32..4).prop_map(Step::Lose),
        4 => Just(Step::Plan),
        1 => (1u64..400).prop_map(Step::Pass),
    ]
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::Submit { cpus, tasks, array, limit } => {
            let tasks = array.then(|| format!("0-{}", tasks - 1));
            let reply = world.submit(spec(cpus, limit, tasks.as_deref()));
            assert!(matches!(reply, Reply::Submitted { .. } | Reply::Refused(_)));
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
            // What the controller sends from now on is lost until the node connects again; the controller hears of
            // it at once.
            let session = world.nodes.get_mut(&NodeId(node)).and_then(|model| model.session.take());
            if let Some(session) = session {
                world.apply(crate::core::Command::NodeGone { node: NodeId(node), session });
            }
        }
        Step::Plan => world.plan(),
        Step::Pass(seconds) => {
            let span = crate::model::time::Seconds(seconds);
            world.now.wall = world.now.wall.plus(span);
            world.now.boot = world.now.boot.plus(span);
            world.apply(crate::core::Command::Tick);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_or_doubled(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::with_lease(&[4, 4, 2], crate::model::time::Seconds(100));
        for step in steps {
            take(&mut world, step);
        }
        // The faults stop: everything that is not held comes to an end.
        for node in 1..4 {
            world.connect(NodeId(node));
        }
        let jobs: Vec<JobId> = world.core.cluster().jobs.keys().copied().collect();
        for job in jobs {
            world.act(Verb::Release, job, vec![]);
        }
        for _ in 0..3_000 {
            world.plan();
            for node in 1..4 {
                world.start(NodeId(node), 100);
                world.end(NodeId(node), 100, 0);
            }
            if world.core.cluster().jobs.values().all(|job| job.ended.is_some()) {
                break;
            }
        }
        world.check_replay();
        for job in world.core.cluster().jobs.values() {
            prop_assert!(job.ended.is_some(), "job {} does not end: {:?}", job.id(), job.tasks.counts());
        }
        for (key, starts) in &world.starts {
            prop_assert!(*starts == 1, "{key:?} was started {starts} times");
        }
    }
}

#[test]
fn requeue_bad_runs_exactly_the_failed_ones_again() {
    let mut world = World::new(&[4]);
    world.submit(spec(1, None, Some("0-9")));
    let id = JobId(1);
    while world.core.cluster().jobs[&id].ended.is_none() {
        world.plan();
        world.start(NodeId(1), 1);
        let failed = world.core.cluster().jobs[&id].tasks.ended().is_multiple_of(3);
        world.end(NodeId(1), 1, u8::from(failed));
    }
    let failed = world.core.cluster().jobs[&id].tasks.counted(State::Failed);
    assert_eq!(failed, 4);
    let bad: Vec<State> = State::ALL.into_iter().filter(|state| state.is_bad()).collect();
    let before = world.starts.len();
    world.act(Verb::Requeue, id, bad);
    assert_eq!(world.core.cluster().jobs[&id].pending(), 4);
    assert_eq!(world.core.cluster().jobs[&id].worst.as_ref().unwrap().state, State::Completed);
    while world.core.cluster().jobs[&id].ended.is_none() {
        world.plan();
        world.start(NodeId(1), 9);
        world.end(NodeId(1), 9, 0);
    }
    assert_eq!(world.starts.len() - before, 4);
    assert!(world.starts.keys().filter(|(_, attempt)| attempt.0 == 2).count() == 4);
    assert_eq!(world.core.cluster().jobs[&id].tasks.counted(State::Completed), 10);
    assert_eq!(world.core.cluster().jobs[&id].worst.as_ref().unwrap().state, State::Completed);
}

#[test]
fn backfill_never_delays_the_head() {
    let mut world = World::new(&[4]);
    let a = spec(3, Some(60), None);
    let b = spec(4, Some(60), None);
    let c = spec(1, Some(30), None);
    let d = spec(1, Some(600), None);
    for job in [a, b, c, d] {
        world.submit(job);
        world.plan();
    }
    let states = |world: &World| -> Vec<State> {
        let jobs = world.core.cluster().jobs.values();
        jobs.map(|job| job.shown_state(crate::model::ids::Ordinal(0)).unwrap()).collect()
    };
    assert_eq!(states(&world), [State::Starting, State::Pending, State::Starting, State::Pending]);
    world.start(NodeId(1), 9);
    world.end(NodeId(1), 9, 0);
    world.plan();
    assert_eq!(states(&world)[1], State::Starting);
    assert_eq!(states(&world)[3], State::Pending);
}

/// A node whose clock is ahead takes for late what is not (seed 320 of the simulator: sent there again at once, it came
/// back at once, as fast as the network went). What is too late when is said by its own clock, and if that was set
/// since, it gets nothing before its next beat.
#[test]
fn a_node_with_another_clock_is_asked_once() {
    let mut world = World::new(&[4]);
    for job in [spec(3, Some(60), None), spec(4, Some(60), None), spec(1, Some(30), None)] {
        world.submit(job);
        world.plan();
    }
    let (job, node) = (JobId(3), NodeId(1));
    let live = |world: &World| world.core.cluster().jobs[&job].live.values().next().copied();
    let first = live(&world).unwrap();
    assert!(world.core.cluster().jobs[&job].slots[&node].not_after.is_some(), "it fills a gap");
    let task = crate::model::ids::TaskRef { job, ordinal: crate::model::ids::Ordinal(0) };
    let model = world.nodes.get_mut(&node).unwrap();
    model.holds.remove(&(task, first.attempt));
    model.never.push(crate::wire::node::AttemptRef { task, attempt: first.attempt });
    world.send(node, crate::wire::node::Report::default());
    world.plan();
    assert_eq!(live(&world), None);
    let clock = world.now.wall.plus(crate::model::time::Seconds(3_600));
    let session = world.nodes[&node].session.unwrap();
    let beat = crate::wire::node::Beat { number: 1, load_hundredths: 0, clock };
    world.apply(crate::core::Command::Beat { node, session, beat });
    world.plan();
    assert!(live(&world).is_some_and(|live| live.attempt > first.attempt));
    let sight = world.core.view(crate::model::ids::Position(0), world.now.wall).nodes[&node].clone();
    assert_eq!(sight.by_its_clock(world.now.wall), clock);
}

/// A limit that was changed while a node was away reaches what had started there unheard, and what waits there (seed
/// 848 of the simulator).
#[test]
fn a_changed_limit_reaches_what_started_unheard() {
    let mut world = World::new(&[4]);
    world.submit(spec(1, None, None));
    world.plan();
    let (job, node) = (JobId(1), NodeId(1));
    let model = world.nodes.get_mut(&node).unwrap();
    model.holds.values_mut().for_each(|at| *at = super::model::OnNode::Running);
    let session = model.session.take().unwrap();
    world.apply(crate::core::Command::NodeGone { node, session });
    let limit = crate::model::time::TimeLimit(Some(crate::model::time::Seconds(60)));
    let settings = crate::wire::client::Settings { time: Some(limit), ..Default::default() };
    world.act(Verb::Set(Box::new(settings)), job, vec![]);
    world.connect(node);
    assert_eq!(world.nodes[&node].limits, [(job, limit)]);
}

/// The end of a parent changes nothing about a child that was cancelled (seed 302 of the simulator: its record was
/// written once more, and after a restart, without the tables that had let go of the job, the job ran).
#[test]
fn a_cancelled_child_is_left_alone() {
    let mut world = World::new(&[4]);
    world.submit(spec(1, None, None));
    world.plan();
    let mut child = spec(1, None, None);
    child.dependencies.conditions.push(crate::model::spec::Dependency {
        kind: crate::model::spec::DependencyKind::AfterAny,
        parent: crate::model::spec::Parent::Job(JobId(1)),
        delay: crate::model::time::Seconds(0),
    });
    world.submit(child);
    world.act(Verb::Cancel { reason: String::new() }, JobId(2), vec![]);
    assert!(world.core.cluster().jobs[&JobId(2)].ended.is_some());
    let before = world.log.len();
    world.start(NodeId(1), 1);
    world.end(NodeId(1), 1, 0);
    assert!(world.core.cluster().jobs[&JobId(1)].ended.is_some());
    let changes = world.log.iter().skip(before);
    let of_child = changes.filter(
        |change| matches!(change, crate::model::change::Change::Job(record) if record.id == JobId(2)),
    );
    assert_eq!(of_child.count(), 0);
}

/// Hundreds of jobs that each want to be alone of their name wait for one job each, and cancelling them all touches each
/// of them a few times only, whatever the order.
#[test]
fn alone_of_a_name_costs_one_number_a_job() {
    const JOBS: usize = 600;
    let mut world = World::new(&[4]);
    let mut alone = spec(1, None, None);
    alone.dependencies.conditions.push(crate::model::spec::Dependency {
        kind: crate::model::spec::DependencyKind::Singleton,
        parent: crate::model::spec::Parent::Nobody,
        delay: crate::model::time::Seconds(0),
    });
    let submit = crate::wire::client::Submit {
        key: "many".to_owned(),
        specs: std::iter::repeat_n(std::sync::Arc::new(alone), JOBS).collect(),
        contents: vec![crate::wire::node::Content {
            hash: crate::model::ids::ContentHash::of(b"x"),
            bytes: b"x".to_vec(),
        }],
        test_only: false,
    };
    world.ask(crate::wire::client::Request::Submit(submit.clone()));
    let waits = |world: &World| -> usize {
        let jobs = world.core.cluster().jobs.values().filter(|job| job.ended.is_none());
        jobs.map(|job| job.record.waits_for.len()).sum()
    };
    assert_eq!(waits(&world), JOBS - 1);
    // The edge of what one user's jobs may wait for.
    let more = |key: &str, jobs| crate::wire::client::Submit {
        key: key.to_owned(),
        specs: vec![submit.specs[0].clone(); jobs],
        ..submit.clone()
    };
    let most = super::super::depend::WAITS_PER_USER_MAX as usize;
    let reply = world.ask(crate::wire::client::Request::Submit(more("more", most - JOBS + 2)));
    assert!(
        matches!(&reply, crate::wire::client::Reply::Refused(why) if why.message.contains("more than 700")),
        "{reply:?}"
    );
    let reply = world.ask(crate::wire::client::Request::Submit(more("most", most - JOBS + 1)));
    assert!(matches!(reply, crate::wire::client::Reply::Submitted { .. }), "{reply:?}");
    for job in (JOBS as u64 + 1..).take(most - JOBS + 1) {
        world.act(Verb::Cancel { reason: String::new() }, JobId(job), vec![]);
    }
    // From the middle on, so that those behind have to find others to wait for.
    for job in (300..400).chain(1..300) {
        let before = world.log.len();
        world.act(Verb::Cancel { reason: String::new() }, JobId(job), vec![]);
        assert!(world.log.len() - before < 10);
    }
    assert_eq!(waits(&world), JOBS - 400);
    world.plan();
    assert_eq!(world.core.cluster().jobs.values().filter(|job| !job.live.is_empty()).count(), 1);
}

#[test]
fn so_many_tasks_run_again_at_once_and_no_more() {
    let most = crate::core::again::REQUEUE_TASKS_MAX;
    for (tasks, accepted) in [(most, true), (most + 1, false)] {
        let mut world = World::new(&[4]);
        world.submit(spec(1, None, Some(&format!("1-{tasks}"))));
        world.act(Verb::Cancel { reason: String::new() }, JobId(1), vec![]);
        let reply = world.act(Verb::Requeue, JobId(1), vec![]);
        assert_eq!(matches!(reply, crate::wire::client::Reply::Acted { .. }), accepted, "{reply:?}");
        assert_eq!(
            u64::from(world.core.cluster().jobs[&JobId(1)].pending()),
            if accepted { tasks } else { 0 }
        );
    }
}

#[test]
fn so_many_tasks_of_one_user_and_no_more() {
    let most = crate::core::submit::TASKS_PER_USER_MAX;
    let mut world = World::new(&[4]);
    let taken = |reply| matches!(reply, crate::wire::client::Reply::Submitted { .. });
    assert!(taken(world.submit(spec(1, None, Some(&format!("1-{}", most - 1))))));
    assert!(!taken(world.submit(spec(1, None, Some("1-2")))));
    assert!(taken(world.submit(spec(1, None, None))));
    assert!(!taken(world.submit(spec(1, None, None))));
    world.act(Verb::Cancel { reason: String::new() }, JobId(1), vec![]);
    assert!(taken(world.submit(spec(1, None, Some(&format!("1-{}", most - 1))))));
}

/// An answer about very many jobs stays as small as it must; what has no line of its own is told of together.
#[test]
fn an_answer_has_room_for_so_much() {
    let mut world = World::new(&[4]);
    for _ in 0..100 {
        world.submit(spec(1, None, None));
    }
    let act = crate::wire::client::Act {
        key: "all".to_owned(),
        verb: Verb::Cancel { reason: String::new() },
        selection: crate::wire::client::Selection {
            filter: crate::wire::client::Filter { own: true, ..Default::default() },
            ..Default::default()
        },
        dry_run: false,
    };
    let reply = world.ask(crate::wire::client::Request::Act(act));
    let crate::wire::client::Reply::Acted { lines } = &reply else { panic!("{reply:?}") };
    let last = lines.last().unwrap();
    assert_eq!(
        (last.id.clone(), last.tasks),
        (format!("{} jobs more", 101 - lines.len()), 101 - lines.len() as u64)
    );
    assert!(crate::wire::codec::encode(&reply).unwrap().len() <= crate::core::acting::LINES_BYTES_MAX + 200);
    assert!(world.core.cluster().jobs.values().all(|job| job.ended.is_some()));
}

/// Nobody waits for himself, also not by way of those that somebody who wants to be alone of his name waits for later on.
#[test]
fn no_circle_of_those_who_wait() {
    use crate::model::spec::{Dependencies, Dependency, DependencyKind, Parent};
    let on = |kind, parent| Dependency { kind, parent, delay: crate::model::time::Seconds(0) };
    let mut world = World::new(&[4]);
    for _ in 0..3 {
        world.submit(spec(1, None, None));
    }
    let mut alone = spec(1, None, None);
    alone.dependencies.conditions.push(on(DependencyKind::Singleton, Parent::Nobody));
    world.submit(alone);
    let mut last = spec(1, None, None);
    last.name = "other".to_owned();
    last.dependencies.conditions.push(on(DependencyKind::AfterAny, Parent::Job(JobId(4))));
    world.submit(last);
    let wait_for = |world: &mut World, job, parent| {
        let wanted = Dependencies {
            conditions: vec![on(DependencyKind::AfterAny, Parent::Job(JobId(parent)))],
            ..Dependencies::default()
        };
        let settings = crate::wire::client::Settings { dependencies: Some(wanted), ..Default::default() };
        let reply = world.act(Verb::Set(Box::new(settings)), JobId(job), vec![]);
        matches!(reply, crate::wire::client::Reply::Acted { .. })
    };
    for job in 1..=5 {
        assert!(!wait_for(&mut world, job, 5), "{job} is waited for by 5");
    }
    assert!(wait_for(&mut world, 3, 1) && wait_for(&mut world, 2, 3));
    assert!(!wait_for(&mut world, 1, 2));
}

#[test]
fn a_description_has_room_for_so_much() {
    let mut world = World::new(&[4]);
    let mut long = spec(1, None, None);
    long.harmless = vec![String::new()];
    let room = crate::model::spec::SPEC_BYTES_MAX - long.rough_bytes();
    for (bytes, taken) in [(room, true), (room + 1, false)] {
        long.harmless = vec!["x".repeat(bytes)];
        let reply = world.submit(long.clone());
        assert_eq!(matches!(reply, crate::wire::client::Reply::Submitted { .. }), taken, "{reply:?}");
    }
    let nodes = vec!["n1".to_owned(); crate::model::spec::SPEC_BYTES_MAX / 4];
    let settings = crate::wire::client::Settings { exclude: Some(nodes), ..Default::default() };
    let reply = world.act(Verb::Set(Box::new(settings)), JobId(1), vec![]);
    assert!(matches!(reply, crate::wire::client::Reply::Refused(_)), "{reply:?}");
}
