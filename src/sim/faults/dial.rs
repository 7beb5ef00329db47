//! How a daemon comes to a session, and loses it: what `worker/link` does.

use super::links::{Conn, Message, Way};
use super::world::{Event, World};
use crate::model::ids::Epoch;

impl World {
    pub fn dials(&mut self, node: usize, life: u32) {
        let host = &mut self.nodes[node];
        let Some(daemon) = host.daemon.as_mut().filter(|_| host.life == life) else { return };
        if daemon.conn.is_some() {
            return;
        }
        let epoch = daemon.agent.office().1;
        if let Some(given_up) = daemon.trying.take() {
            self.close(given_up, Way::Up);
        }
        let alone = self.nodes[node].cut.iter().any(|until| *until > self.now);
        let chance = self.rates.host / 4 + if alone { self.rates.long / 3 } else { 0 };
        if !self.calm && epoch > Epoch(1) && self.dice.chance(chance) {
            return self.dials_ghost(node, life, epoch);
        }
        if self.controller.up.is_none() {
            let wait = self.dice.between(100_000, 2_000_000);
            return self.after(wait, Event::Dials { node, life });
        }
        let now = self.node_now(node);
        let host = &self.nodes[node];
        let Some(daemon) = &host.daemon else { return };
        let hello = Box::new(host.hello(&daemon.agent, now));
        let conn = self.new_conn(Conn::new(node, life, Some(self.controller.life), true));
        self.set_trying(node, conn);
        self.send(conn, Way::Up, Message::Hello(hello));
        // Nobody may ever answer: then the node gives it up and dials again.
        self.after(30_000_000, Event::Dials { node, life });
    }

    pub fn set_trying(&mut self, node: usize, conn: u64) {
        if let Some(daemon) = &mut self.nodes[node].daemon {
            daemon.trying = Some(conn);
        }
    }

    /// The node's end of a connection is gone, or the dial came to nothing.
    pub fn node_disconnected(&mut self, node: usize, id: u64) {
        let Some(conn) = self.conns.get(&id) else { return };
        let host = &mut self.nodes[node];
        if conn.daemon != host.life {
            return;
        }
        let Some(daemon) = &mut host.daemon else { return };
        if daemon.conn == Some(id) {
            daemon.conn = None;
            daemon.agent.on_disconnected();
        } else if daemon.trying == Some(id) {
            daemon.trying = None;
        } else {
            return;
        }
        daemon.dialling = false;
        self.daemon_turn(node);
    }
}
