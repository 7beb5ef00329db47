//! Which orders and which controllers bind a node.

use super::super::*;
use super::messages::{launch, welcome};
use crate::model::ids::*;
use crate::model::time::Now;
use crate::wire::node::*;

/// An agent in its first session, and an order that it would obey.
fn agent_and_order() -> (Agent, Order) {
    let instance = Instance { spool: SpoolId([1; 16]), boot: BootId([1; 16]) };
    let facts = Facts { instance, records: vec![], supervisors: vec![], contents: vec![] };
    let mut agent = Agent::new(Now::default(), facts);
    agent.on_connected(Now::default(), &welcome(Incarnation([5; 16]), 7, 90));
    agent.flush(Now::default());
    let order = Order {
        incarnation: Incarnation([5; 16]),
        epoch: Epoch(7),
        position: Position(100),
        session: SessionId(1),
        instance,
        job: JobId(1),
        act: launch(Try { attempt: Attempt(1), ordinal: Ordinal(0) }),
    };
    (agent, order)
}

fn refusal(agent: &mut Agent, order: Order) -> Option<String> {
    let before = agent.snapshot();
    agent.on_order(Now::default(), order);
    let effects = agent.flush(Now::default());
    let reason = effects.iter().find_map(|effect| match effect {
        Effect::Refuse(refused) => Some(refused.reason.clone()),
        _ => None,
    });
    if reason.is_some() {
        assert_eq!(agent.snapshot(), before, "refused, and yet something was done");
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Start { .. } | Effect::Tell { .. })));
    }
    reason
}

#[test]
fn orders_that_do_not_bind_are_refused() {
    type Change = fn(&mut Order);
    let changes: [(&str, Change); 9] = [
        ("session", |order| order.session = SessionId(2)),
        ("instance", |order| order.instance.boot = BootId([2; 16])),
        ("instance", |order| order.instance.spool = SpoolId([2; 16])),
        ("incarnation", |order| order.incarnation = Incarnation([6; 16])),
        ("deposed", |order| order.epoch = Epoch(6)),
        ("attempt 0", |order| order.act = launch(Try { attempt: Attempt(0), ordinal: Ordinal(0) })),
        ("tasks", |order| order.act = Act::Withdraw { attempts: vec![many(ORDER_TASKS_MAX)] }),
        (MISSING_CONTENT, |order| {
            if let Act::Launch(launch) = &mut order.act {
                launch.contents.pop();
            }
        }),
        ("hash", |order| {
            if let Act::Launch(launch) = &mut order.act {
                launch.contents[0].bytes.push(0);
            }
        }),
    ];
    for (word, change) in changes {
        let (mut agent, mut order) = agent_and_order();
        change(&mut order);
        let reason = refusal(&mut agent, order);
        assert!(reason.as_ref().is_some_and(|reason| reason.contains(word)), "{word}: {reason:?}");
    }
    let (mut agent, mut order) = agent_and_order();
    order.act = Act::Withdraw { attempts: vec![many(ORDER_TASKS_MAX - 1)] };
    assert_eq!(refusal(&mut agent, order), None);
    let (mut agent, order) = agent_and_order();
    assert_eq!(refusal(&mut agent, order), None);
}

fn many(last: u64) -> TaskRun {
    TaskRun { first: Ordinal(0), last: Ordinal(last as u32), attempt: Attempt(1) }
}

#[test]
fn controllers_that_lost_something_are_not_obeyed() {
    for (word, other) in [
        ("rewound", welcome(Incarnation([5; 16]), 8, 99)),
        ("deposed", welcome(Incarnation([5; 16]), 6, 100)),
        ("accept", welcome(Incarnation([6; 16]), 8, 100)),
    ] {
        let (mut agent, order) = agent_and_order();
        assert_eq!(refusal(&mut agent, order.clone()), None);
        let facts = Facts {
            instance: order.instance,
            records: agent.snapshot(),
            supervisors: vec![],
            contents: vec![],
        };
        let mut agent = Agent::new(Now::default(), facts);
        agent.on_connected(Now::default(), &other);
        assert!(agent.disobeys().is_some_and(|reason| reason.contains(word)), "{word}");
        agent.flush(Now::default());
        let (incarnation, epoch, position) = (other.incarnation, other.epoch, Position(200));
        assert!(refusal(&mut agent, Order { incarnation, epoch, position, ..order }).is_some());
        assert_eq!(agent.office(), (Some(Incarnation([5; 16])), Epoch(7), Position(100)));
    }
}

#[test]
fn an_order_from_before_the_hello_is_rewound() {
    let (mut agent, order) = agent_and_order();
    assert_eq!(refusal(&mut agent, order.clone()), None);
    agent.on_connected(Now::default(), &welcome(Incarnation([5; 16]), 7, 100));
    let reason = refusal(&mut agent, Order { position: Position(99), ..order.clone() });
    assert!(reason.is_some_and(|reason| reason.contains("rewound")));
    assert_eq!(refusal(&mut agent, order), None);
}
