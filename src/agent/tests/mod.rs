//! The agent between a model of supervisors and a model of the controller, under everything that can die or repeat.

mod binding;
mod messages;
mod world;

use messages::*;
use proptest::prelude::*;
use world::*;

use super::jobs::State;
use super::*;
use crate::model::ids::*;
use crate::model::time::BootTime;
use crate::wire::node::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn no_attempt_starts_twice_and_no_end_is_lost(
        steps in prop::collection::vec((0u8..100, 0u8..11, 0usize..60), 1..300)
    ) {
        let mut world = World::new();
        for (kind, what, n) in steps {
            match kind {
                0..=19 => world.controller_acts(what % 7, n),
                20..=39 => world.node_hears(),
                40..=84 => world.supervisor_acts(what, n),
                85 | 86 => world.disconnect(),
                87..=91 => world.connect(),
                92..=95 => world.flush(Some(n % 8)),
                96 if what == 0 => world.reboot(),
                97 => world.now.boot = BootTime(world.now.boot.0 + FINISH_LINGER_MICROS),
                _ => {}
            }
            if n % 3 > 0 {
                world.flush(None);
            }
            if kind == 99 {
                world.flush(None);
                world.log = world.agent.as_ref().unwrap().snapshot();
            }
            world.check();
        }
        prop_assert!(world.come_to_rest());
        prop_assert!(world.agent.as_ref().unwrap().contents_match(&world.contents));
    }
}

#[test]
fn a_supervisor_is_given_so_many_and_no_more() {
    let mut world = World::new();
    world.connect();
    world.flush(None);
    let last = Ordinal(GIVEN_MAX as u32);
    let attempts = vec![TaskRun { first: Ordinal(0), last, attempt: Attempt(1) }];
    let (body, contents) = (Some(body()), contents());
    world.order(
        JobId(1),
        Act::Launch(Launch { body, contents, attempts, unstarted: Vec::new(), slots: 2, not_after: None }),
    );
    for ordinal in 0..=last.0 {
        let which = Try { attempt: Attempt(1), ordinal: Ordinal(ordinal) };
        world.ordered.insert((JobId(1), which), world.instance.boot);
    }
    let mut step = |what| {
        world.node_hears();
        world.supervisor_acts(what, 0);
        world.flush(None);
        world.processes.values().map(|process| process.queue.len()).sum::<usize>()
    };
    while step(2) == 0 {
        step(0);
    }
    assert_eq!(step(2), GIVEN_MAX);
    assert_eq!(step(5), GIVEN_MAX - 1);
    step(2);
    assert_eq!(step(0), GIVEN_MAX, "a start makes room for the one that was held");
    assert!(world.agent.as_ref().unwrap().jobs[&JobId(1)].held.is_empty());
}

/// One that was started ahead is given tasks at once, and may say only then that it can't take the job, for want of room in
/// the spool: its tasks would be starting for ever.
#[test]
fn what_was_given_to_a_supervisor_that_does_not_take_its_job_ends() {
    let mut world = World::new();
    world.connect();
    world.flush(None);
    let attempts = vec![TaskRun { first: Ordinal(0), last: Ordinal(1), attempt: Attempt(1) }];
    let (body, contents) = (Some(body()), contents());
    world.order(
        JobId(1),
        Act::Launch(Launch { body, contents, attempts, unstarted: Vec::new(), slots: 2, not_after: None }),
    );
    for _ in 0..8 {
        world.node_hears();
        world.supervisor_acts(2, 0);
        world.supervisor_acts(0, 0);
        world.flush(None);
    }
    let now = world.now;
    let agent = world.agent.as_mut().unwrap();
    let given = |agent: &Agent| {
        let states = agent.jobs[&JobId(1)].entries.values().map(|entry| entry.state.clone());
        states.filter(|state| matches!(state, State::Given(_))).count()
    };
    assert_eq!(given(agent), 2);
    let id = *agent.supervisors.keys().next().unwrap();
    agent.on_supervisor_failed(now, id, "no room");
    let entries = &agent.jobs[&JobId(1)].entries;
    assert!(entries.values().all(|entry| matches!(entry.state, State::Ended(None, _))), "{entries:?}");
}
