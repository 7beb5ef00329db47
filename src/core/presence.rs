//! Who is there: hello, beats, silence, refusals. What is seen of nodes is not in the log; what follows from it is.

use std::sync::Arc;

use super::Core;
use super::command::{Effect, Outcome};
use super::dispatch::add_to_runs;
use crate::agent::MISSING_CONTENT;
use crate::model::bug::{self, Bug};
use crate::model::change::Change;
use crate::model::ids::{JobId, NodeId, SessionId};
use crate::model::record::{Live, NodeRecord, Phase};
use crate::model::text::{NODE_WORDS_BYTES_MAX, clip};
use crate::model::time::{BootTime, Now, Seconds};
use crate::session::NodeSession;
use crate::wire::node::{Beat, Hello, OrderRefused, TaskRun, ToNode};

impl Core {
    pub(super) fn on_hello(&mut self, now: Now, name: &str, mut hello: Box<Hello>, outcome: &mut Outcome) {
        let hardware = &mut hello.hardware;
        for words in [&mut hardware.limits, &mut hardware.system, &mut hello.version] {
            clip(words, NODE_WORDS_BYTES_MAX);
        }
        let Some(node) = self.cluster.node_named(name).cloned() else {
            let reason = format!("node {name} is not known here; add it with `jnode add {name}`");
            return outcome.effects.push(Effect::Close { name: name.to_owned(), session: None, reason });
        };
        let id = node.record.id;
        if let Err(reason) = self.check_instance(id, name, &hello) {
            outcome.effects.push(Effect::Alarm(reason.clone()));
            return outcome.effects.push(Effect::Close { name: name.to_owned(), session: None, reason });
        }
        if let Some(old) = self.sessions.remove(&id) {
            let reason = "the node has connected again".to_owned();
            outcome.effects.push(Effect::Close { name: name.to_owned(), session: Some(old.id), reason });
        }
        let record = NodeRecord {
            hardware: Some(hello.hardware.clone()),
            instance: Some(hello.instance),
            version: hello.version.clone(),
            only_uid: hello.only_uid,
            boot_time: Some(hello.boot_time),
            version_number: node.record.version_number,
            ..(*node.record).clone()
        };
        if record != *node.record {
            let record = NodeRecord { version_number: record.version_number + 1, ..record };
            self.commit(Change::Node(Box::new(record)), outcome);
        }
        let session = self.new_session();
        self.sessions.insert(id, NodeSession::new(session, hello.instance));
        let sight = self.sight(id);
        sight.session = Some(session);
        sight.instance = Some(hello.instance);
        sight.ready = false;
        sight.set_clock(now.wall, hello.clock);
        self.untold.nodes.insert(id);
        self.heard(now, id);
        let comes_over = hello.incarnation.is_some_and(|seen| seen != self.cluster.incarnation);
        outcome.effects.push(Effect::Welcome { node: id, session, comes_over });
    }

    /// A new spool in the same boot, or a second life of a name while the first still speaks, changes nothing.
    fn check_instance(&self, id: NodeId, name: &str, hello: &Hello) -> Result<(), String> {
        if let Some(seen) = hello.incarnation.filter(|seen| *seen != self.cluster.incarnation) {
            self.may_come_over(name, seen)?;
        }
        let old = self.cluster.nodes.get(&id).and_then(|node| node.record.instance);
        let Some(old) = old.filter(|old| *old != hello.instance) else { return Ok(()) };
        let speaks = self.sights.get(&id).is_some_and(|sight| sight.session.is_some() && !sight.unreachable);
        if speaks {
            return Err(format!("a second node daemon says that it is {name}; stop one of them"));
        }
        let holds = self.cluster.on_node.range((id, JobId(0))..=(id, JobId(u64::MAX))).next().is_some()
            || self.cluster.has_abandoned(id);
        if old.boot == hello.instance.boot && holds {
            return Err(format!(
                "node {name} came back with another spool in the same boot while jobs may run there; bring the spool \
                 back, or say `jnode down {name} --confirmed-dead` once they are dead"
            ));
        }
        Ok(())
    }

    pub(super) fn on_beat(
        &mut self,
        now: Now,
        node: NodeId,
        session: SessionId,
        beat: &Beat,
        outcome: &mut Outcome,
    ) {
        if self.sessions.get(&node).is_none_or(|open| open.id != session) {
            return;
        }
        self.heard(now, node);
        let sight = self.sight(node);
        sight.load_hundredths = beat.load_hundredths;
        let gets_work_again = sight.clock_unsure;
        sight.set_clock(now.wall, beat.clock);
        if gets_work_again {
            self.untold.nodes.insert(node);
        }
        let message = Box::new(ToNode::Beat { number: beat.number });
        outcome.effects.push(Effect::Send { node, session, message });
    }

    pub(super) fn on_refused(
        &mut self,
        now: Now,
        node: NodeId,
        session: SessionId,
        refused: &OrderRefused,
        outcome: &mut Outcome,
    ) {
        if self.sessions.get(&node).is_none_or(|open| open.id != session) {
            return;
        }
        self.heard(now, node);
        let name = self.cluster.nodes.get(&node).map_or("?", |node| node.record.name.as_str());
        let text = format!("node {name} refused an order about job {}: {}", refused.job, refused.reason);
        outcome.effects.push(Effect::Alarm(text));
        if refused.reason.starts_with(MISSING_CONTENT) {
            return self.launch_again(node, refused.job, outcome);
        }
        // It will not obey this session in anything: no more work goes there until it has connected anew.
        self.sight(node).ready = false;
        self.untold.nodes.insert(node);
    }

    /// The node has forgotten what a job is: the whole launch is sent once more, with the body.
    fn launch_again(&mut self, node: NodeId, id: JobId, outcome: &mut Outcome) {
        let Some(job) = self.cluster.jobs.get(&id).cloned() else { return };
        let Some(slots) = job.slots.get(&node).copied() else { return };
        if let Some(session) = self.sessions.get_mut(&node) {
            session.forget_body(id);
        }
        let mut again: Vec<TaskRun> = Vec::new();
        let unstarted = |live: &Live| matches!(live.phase, Phase::Handed | Phase::Starting);
        for (ordinal, live) in job.live.iter().filter(|(_, live)| live.node == node && unstarted(live)) {
            add_to_runs(&mut again, *ordinal, live.attempt);
        }
        self.send_launch(&job, node, again, slots, outcome);
    }

    pub(super) fn on_gone(&mut self, now: Now, node: NodeId, session: SessionId) {
        if self.sessions.get(&node).is_none_or(|open| open.id != session) {
            return;
        }
        self.sessions.remove(&node);
        let sight = self.sight(node);
        sight.session = None;
        sight.ready = false;
        self.untold.nodes.insert(node);
        self.heard(now, node);
    }

    pub(super) fn end_session(&mut self, node: NodeId, reason: &str, outcome: &mut Outcome) {
        let Some(session) = self.sessions.remove(&node) else { return };
        let name = self.cluster.nodes.get(&node).map_or_else(String::new, |node| node.record.name.clone());
        let sight = self.sight(node);
        sight.session = None;
        sight.ready = false;
        self.untold.nodes.insert(node);
        let effect = Effect::Close { name, session: Some(session.id), reason: reason.to_owned() };
        outcome.effects.push(effect);
    }

    pub(super) fn sight(&mut self, node: NodeId) -> &mut super::NodeSight {
        self.looked = true;
        Arc::make_mut(self.sights.entry(node).or_default())
    }

    pub(super) fn heard(&mut self, now: Now, node: NodeId) {
        let sight = self.sight(node);
        sight.heard = now.boot;
        sight.heard_at = Some(now.wall);
        if std::mem::take(&mut sight.unreachable) {
            self.untold.nodes.insert(node);
        }
    }

    /// Time has passed: silent nodes become unreachable, deadlines and delayed dependencies come up.
    pub(super) fn on_tick(&mut self, now: Now, outcome: &mut Outcome) {
        let timeout = self.settings.node_timeout;
        let silent: Vec<NodeId> = self
            .sights
            .iter()
            .filter(|(_, sight)| !sight.unreachable && sight.heard.plus(timeout) <= now.boot)
            .map(|(node, _)| *node)
            .collect();
        for node in silent {
            self.end_session(node, "nothing was heard for the node timeout", outcome);
            let sight = self.sight(node);
            (sight.unreachable, sight.give_up_at) = (true, Some(now.boot));
            self.untold.nodes.insert(node);
            outcome.jobs.extend(self.jobs_on(node));
            self.fence(node, outcome);
        }
        self.give_up_due(now, outcome);
        self.end_untied(now, outcome);
        while let Some((at, job)) = self.timers.first().copied().filter(|(at, _)| *at <= now.wall) {
            self.timers.remove(&(at, job));
            self.on_timer(now, job, outcome);
        }
        self.on_drains(now, outcome);
    }

    /// After taking office: every node that has jobs or was up is waited for from now on.
    pub fn expect_nodes(&mut self, now: Now) {
        let nodes: Vec<NodeId> = self.cluster.nodes.keys().copied().collect();
        for node in nodes {
            let sight = self.sight(node);
            sight.heard = if bug::is_made(Bug::OfficeForgetsLeases) { BootTime(0) } else { now.boot };
        }
    }
}

/// How often a node says that it is alive, for a given node timeout.
pub fn beat_interval(node_timeout: Seconds) -> Seconds {
    Seconds((node_timeout.0 / 5).max(1))
}
