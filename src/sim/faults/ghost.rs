//! A controller that was deposed and does not know: it answers a node with an old epoch, confirms what it is told and
//! gives orders of its own. Nodes must obey it in nothing.

use super::controller::INCARNATION;
use super::links::{Conn, Message, Way};
use super::node::GHOST_JOB;
use super::world::{Event, World};
use crate::core::tests_spec::spec;
use crate::model::ids::{Attempt, ContentHash, Epoch, Ordinal, Position, SessionId, Uid};
use crate::model::resources::Resources;
use crate::model::spec::LostPolicy;
use crate::model::time::{Seconds, TimeLimit, WallTime};
use crate::wire::node::{Act, Content, FromNode, JobBody, Launch, Order, TaskRun, ToNode, Welcome};

impl World {
    pub fn dials_ghost(&mut self, node: usize, life: u32, epoch: Epoch) {
        self.counts.fired("fault", "deposed controller dialled");
        self.note(format!("n{node} reaches a controller that is deposed"));
        let conn = self.new_conn(Conn::new(node, life, None, true));
        self.set_trying(node, conn);
        let old = Epoch(epoch.0 - 1);
        let (session, position) = (SessionId(1), Position(1 << 40));
        let welcome = Welcome {
            incarnation: INCARNATION,
            epoch: old,
            position,
            session,
            cluster: "sim".to_owned(),
            beat: Seconds(3),
            lease: Seconds(15),
            comes_over: false,
        };
        self.send(conn, Way::Down, Message::Welcome(Box::new(welcome)));
        let content = Content { hash: ContentHash::of(b"x"), bytes: b"x".to_vec() };
        let run = TaskRun { first: Ordinal(0), last: Ordinal(0), attempt: Attempt(1) };
        let launch = Launch {
            body: Some(Box::new(body())),
            contents: vec![content],
            attempts: vec![run],
            unstarted: vec![],
            slots: 1,
            not_after: None,
        };
        let order = Order {
            incarnation: INCARNATION,
            epoch: old,
            position,
            session,
            instance: self.nodes[node].instance(),
            job: GHOST_JOB,
            act: Act::Launch(launch),
        };
        self.send(conn, Way::Down, Message::ToNode(Box::new(ToNode::Order(order))));
        let longest = if self.rates.long > 0 { 20_000_000 } else { 6_000_000 };
        let wait = self.dice.between(1_000_000, longest);
        self.after(wait, Event::Lost { conn, way: Way::Down });
        self.after(wait, Event::Lost { conn, way: Way::Up });
    }

    /// It confirms and answers everything.
    pub fn ghost_hears(&mut self, conn: u64, message: Message) {
        let Message::FromNode(message) = message else { return };
        let answer = match *message {
            FromNode::Report(report) => ToNode::Confirmed { report: report.number },
            FromNode::Beat(beat) => ToNode::Beat { number: beat.number },
            FromNode::Refused(_) => return,
        };
        self.send(conn, Way::Down, Message::ToNode(Box::new(answer)));
    }
}

fn body() -> JobBody {
    let spec = spec(1, None, None);
    JobBody {
        name: spec.name,
        user: "u".to_owned(),
        uid: Uid(1_000),
        partition: "main".to_owned(),
        account: String::new(),
        qos: String::new(),
        script: spec.script,
        environment: spec.environment,
        arguments: vec![],
        work_dir: spec.work_dir,
        submit_dir: spec.submit_dir,
        submit_host: spec.submit_host,
        umask: 0o22,
        files: spec.files,
        resources: Resources { cpus: 1, memory_bytes: 1, tmp_bytes: 0 },
        tasks: None,
        tasks_per_node: None,
        cpus_per_task: None,
        memory_per_node_bytes: None,
        memory_per_cpu_bytes: None,
        limit: TimeLimit(None),
        grace: Seconds(1),
        warning: None,
        lost: LostPolicy::Fenced(None),
        indexes: None,
        lines: None,
        submit_time: WallTime(0),
    }
}
