//! What breaks by itself, now and then: hosts, disks, clocks, spools, and whole directions of the network.

use super::world::{Event, World};
use crate::store::disk::memory::Fault;

/// Between two tries at mischief, in microseconds.
const PAUSE: (u64, u64) = (500_000, 4_000_000);
/// How far wall clocks jump, in microseconds.
const JUMPS: [i64; 6] = [-3_600_000_000, -10_000_000, -300_000, 2_000_000, 3_600_000_000, 86_400_000_000];

impl World {
    pub fn mischief(&mut self) {
        if self.calm {
            return;
        }
        let wait = self.dice.between(PAUSE.0, PAUSE.1);
        self.after(wait, Event::Mischief);
        self.break_disk();
        self.break_network();
        if !self.dice.chance(self.rates.host) {
            return;
        }
        let node = self.dice.below(self.nodes.len() as u64) as usize;
        match self.dice.below(9) {
            0..=1 => self.turn_clock(node),
            2..=3 => {
                if self.nodes[node].on {
                    self.counts.fired("fault", "node without power");
                    self.node_loses_power(node);
                }
            }
            4 => {
                if self.nodes[node].on && !self.nodes[node].wiped {
                    self.wipe(node);
                }
            }
            5..=6 => self.clone_speaks(node),
            7 => self.confirm_dead(node),
            _ => {
                let power = self.dice.chance(self.rates.power);
                self.note("the controller dies, anywhere".to_owned());
                if self.controller.up.is_some() {
                    self.controller_dies(power);
                }
            }
        }
    }

    fn break_disk(&mut self) {
        if !self.dice.chance(self.rates.disk) {
            return;
        }
        let after = self.dice.below(6) as u32;
        match self.dice.below(3) {
            0 => {
                self.counts.fired("fault", "disk write fails");
                self.controller.disk.plan(Fault::Write(after));
            }
            1 => {
                self.counts.fired("fault", "disk sync fails");
                self.controller.disk.plan(Fault::Sync(after));
            }
            _ => {
                self.counts.fired("fault", "disk full");
                let room = self.dice.between(0, 40_000);
                let used = self.controller.disk.used();
                self.controller.disk.set_capacity(used + room);
                let wait = self.dice.between(1_000_000, 20_000_000);
                self.after(wait, Event::DiskHasRoom);
            }
        }
        self.note("the controller's disk will fail".to_owned());
    }

    fn break_network(&mut self) {
        let long = self.dice.chance(self.rates.long / 6);
        if !long && !self.dice.chance(self.rates.drop * 40) {
            return;
        }
        let mut until = self.now + self.dice.between(500_000, 25_000_000);
        if !long && self.dice.chance(3_000) {
            let client = self.dice.below(self.clients.len() as u64) as usize;
            self.clients[client].cut = until;
            return;
        }
        let node = self.dice.below(self.nodes.len() as u64) as usize;
        let ways = self.dice.below(3);
        if long {
            self.counts.fired("fault", "node cut off for long");
            until = self.now + self.dice.between(20_000_000, 50_000_000);
        }
        self.note(format!("n{node} is cut off, way {ways}"));
        if ways != 1 {
            self.nodes[node].cut[0] = until;
        }
        if ways != 0 {
            self.nodes[node].cut[1] = until;
        }
    }

    fn turn_clock(&mut self, node: usize) {
        self.counts.fired("fault", "wall clock jumps");
        let jump = self.dice.pick(&JUMPS).unwrap_or_default();
        self.note(format!("a wall clock jumps by {jump}"));
        if self.dice.chance(5_000) {
            self.controller.wall_off += jump;
        } else {
            self.nodes[node].wall_off += jump;
        }
    }
}
