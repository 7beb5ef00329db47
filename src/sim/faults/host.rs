//! What happens to a node's host and spool as a whole.

use super::links::{Conn, Message};
use super::world::{Event, World};
use crate::model::ids::{BootId, Position, SpoolId, TaskRef};
use crate::model::time::WallTime;

impl World {
    /// The host goes down, and comes back.
    pub fn node_loses_power(&mut self, node: usize) {
        if !self.nodes[node].on {
            return;
        }
        self.note(format!("n{node} loses power"));
        self.end_daemon(node);
        let id = self.nodes[node].id;
        self.facts.excuse_node(id);
        let lose_tail = !self.calm;
        let host = &mut self.nodes[node];
        host.on = false;
        host.power += 1;
        host.wiped = false;
        if lose_tail {
            let kept = self.dice.between(host.synced as u64, host.records.len() as u64) as usize;
            host.records.truncate(kept);
            let dice = &mut self.dice;
            host.contents.retain(|_, _| !dice.chance(2_000));
        }
        for (task, attempt) in std::mem::take(&mut host.strays).into_keys() {
            self.facts.stopped(task, attempt);
        }
        for process in self.nodes[node].supervisors.values_mut() {
            let kept = self.dice.between(0, process.records() as u64) as usize;
            let job = process.job;
            for task in process.lose_power(kept) {
                self.facts.stopped(TaskRef { job, ordinal: task.ordinal }, task.attempt);
            }
        }
        let wait = self.dice.between(500_000, 20_000_000);
        self.after(wait, Event::NodeStarts { node });
    }

    /// Somebody deletes the spool under a daemon that is down; what runs goes on, and nobody can reach it.
    pub fn wipe(&mut self, node: usize) {
        self.counts.fired("fault", "spool wiped");
        self.note(format!("n{node}'s spool is wiped"));
        self.end_daemon(node);
        let id = self.nodes[node].id;
        self.facts.excuse_node(id);
        let host = &mut self.nodes[node];
        host.spools += 1;
        host.spool = SpoolId([host.id.0 as u8 + 16 * host.spools; 16]);
        host.records.clear();
        host.synced = 0;
        host.contents.clear();
        host.wiped = true;
        for (_, process) in std::mem::take(&mut host.supervisors) {
            let job = process.job;
            let alive = process.alive;
            for task in process.running.keys() {
                let still = alive.then(|| process.stands_still_at(*task, host.booted));
                host.strays.insert((TaskRef { job, ordinal: task.ordinal }, task.attempt), still);
            }
        }
        let power = host.power;
        let wait = self.dice.between(10_000, 3_000_000);
        self.after(wait, Event::DaemonStarts { node, power });
    }

    /// A copy of the spool on another machine says hello while the node itself is connected.
    pub fn clone_speaks(&mut self, node: usize) {
        let host = &self.nodes[node];
        let Some(up) = &self.controller.up else { return };
        let sight = up.pipeline.core().view(Position(0), WallTime(0)).nodes.get(&host.id).cloned();
        let speaks = sight.is_some_and(|sight| sight.session.is_some() && !sight.unreachable);
        let Some(daemon) = host.daemon.as_ref().filter(|_| speaks && up.waiting.is_empty()) else { return };
        let mut hello = host.hello(&daemon.agent, self.node_now(node));
        hello.instance.boot = BootId([0xcc; 16]);
        self.counts.fired("fault", "spool cloned");
        self.note(format!("a clone of n{node} says hello"));
        let life = self.controller.life;
        let conn = self.new_conn(Conn::new(node, u32::MAX, Some(life), false));
        self.controller_hears(conn, Message::Hello(Box::new(hello)));
    }

    /// Faults stop: a node that can't come back by itself is rebooted, as its admin is told to do.
    pub fn mend_node(&mut self, node: usize) {
        if self.nodes[node].wiped && self.nodes[node].on {
            self.node_loses_power(node);
        }
    }
}
