//! What the controller's other threads do: the log's, the tables' and the planner's.

use std::sync::atomic::Ordering;

use super::controller::{Running, Waiter, Work};
use super::world::{Event, World};
use crate::controller::driver;
use crate::controller::tables_writer::Durable;
use crate::core::Command;
use crate::model::ids::Position;
use crate::store::log::{Log, Room};
use crate::store::tables::Tables;

/// Steps of a plan.
const PLAN_STEPS: u64 = 100_000;

/// Between two looks for room, as the log's thread has it.
const ROOM_PAUSE_MICROS: u64 = 1_000_000;

impl World {
    pub fn log_writes(&mut self, life: u32) {
        if life != self.controller.life {
            return;
        }
        self.drive(|world, up| {
            up.log_is_due = false;
            world.write_log(up).unwrap_or_else(|error| world.controller_fails(&error))
        });
    }

    pub fn room_is_sought(&mut self, life: u32) {
        if life != self.controller.life {
            return;
        }
        self.drive(|world, up| {
            up.room_is_due = false;
            world.seek_room(up).map_or_else(|error| world.controller_fails(&error), |()| true)
        });
    }

    fn seek_room(&mut self, up: &mut Running) -> Result<(), String> {
        let room = up.journal.room().map_err(|error| error.to_string())?;
        let reserve = matches!(room, Room::Reserve(_));
        up.gauges.reserve.store(reserve, Ordering::Relaxed);
        if reserve && !up.room_is_due {
            up.room_is_due = true;
            self.after(ROOM_PAUSE_MICROS, Event::RoomIsSought { life: self.controller.life });
        }
        Ok(())
    }

    fn write_log(&mut self, up: &mut Running) -> Result<bool, String> {
        let mut last = None;
        while let Some(work) = up.log.pop_front() {
            match work {
                Work::Append(first, frames) => {
                    for (position, frame) in (first.0..).map(Position).zip(frames) {
                        last = Some(position);
                        up.gauges.log_grown.fetch_add(frame.len() as u64, Ordering::Relaxed);
                        let appended = up.journal.append(up.welcome.epoch, position, &frame);
                        appended.map_err(|error| error.to_string())?;
                        if self.controller_may_die("a group was appended") {
                            return Ok(false);
                        }
                    }
                }
                Work::Trim(position) => {
                    up.journal.trim(Position(position.0 + 1)).map_err(|error| error.to_string())?;
                    if self.controller_may_die("the journal was trimmed") {
                        return Ok(false);
                    }
                }
            }
        }
        up.journal.sync().map_err(|error| error.to_string())?;
        if let Some(position) = last {
            if let Err(what) = self.facts.durable(position) {
                self.fail(what);
            }
            if self.controller_may_die("groups were synced") {
                return Ok(false);
            }
            let wait = self.dice.between(20, 2_000);
            self.after(wait, Event::LogIsDurable { life: self.controller.life, position });
        }
        self.seek_room(up)?;
        Ok(true)
    }

    pub fn log_is_durable(&mut self, life: u32, position: Position) {
        if life != self.controller.life {
            return;
        }
        self.drive(|world, up| {
            for flying in up.pipeline.on_durable(position) {
                up.behind.push_back(Durable { touched: flying.touched, view: flying.view });
            }
            if !up.behind.is_empty() && !up.tables_are_due {
                up.tables_are_due = true;
                let slow = world.dice.chance(5_000);
                let wait = if slow { world.dice.between(1_000, 400_000) } else { world.dice.between(1, 500) };
                world.after(wait, Event::TablesWrite { life });
            }
            !world.controller_may_die("the core knows that they are durable")
        });
    }

    pub fn tables_write(&mut self, life: u32) {
        if life != self.controller.life {
            return;
        }
        self.drive(|world, up| {
            up.tables_are_due = false;
            world.write_tables(up).unwrap_or_else(|error| world.controller_fails(&error))
        });
    }

    fn write_tables(&mut self, up: &mut Running) -> Result<bool, String> {
        if self.controller_may_die("tables are to be written") {
            return Ok(false);
        }
        let Some(mut batch) = up.behind.pop_front() else { return Ok(true) };
        while let Some(more) = up.behind.pop_front() {
            batch.touched.merge(more.touched);
            batch.view = more.view;
        }
        up.writer.write(batch)?;
        if up.writer.tables().position() > self.facts.durable {
            let (tables, log) = (up.writer.tables().position(), self.facts.durable);
            self.fail(format!("the tables are at group {tables}, the log is durable up to {log}"));
        }
        if self.controller_may_die("tables were written") {
            return Ok(false);
        }
        let wall = self.controller_now().wall;
        let before = up.writer.tables().exports().newest().map(|newest| newest.number);
        up.writer.export_if_due(&mut Vec::new(), wall)?;
        let exported = before != up.writer.tables().exports().newest().map(|newest| newest.number);
        if exported && self.controller_may_die("an export was made") {
            return Ok(false);
        }
        while let Ok(message) = up.messages.try_recv() {
            match message {
                driver::Message::Tables { outdated, .. } => {
                    up.pipeline.on_tables(self.controller_now().boot, outdated);
                }
                driver::Message::Trim(position) => up.log.push_back(Work::Trim(position)),
                _ => {}
            }
        }
        Ok(true)
    }

    pub fn plans(&mut self, life: u32) {
        if life != self.controller.life {
            return;
        }
        self.drive(|world, up| {
            if up.plan_at.is_none_or(|at| at > world.now) {
                return true;
            }
            up.plan_at = None;
            std::mem::take(&mut up.notes).into_iter().for_each(|note| up.scheduler.note(note));
            let wall = world.controller_now().wall;
            let plan = up.scheduler.plan(wall, PLAN_STEPS);
            if !plan.done {
                world.plan_within(up, 1);
            } else if let Some(at) = plan.wake {
                world.plan_within(up, at.micros_since(wall).max(1_000));
            }
            if plan.places.is_empty() && plan.rights.is_empty() {
                return true;
            }
            up.waiting.push_back((Command::Plan(plan), Waiter::Nobody));
            !world.controller_may_die("a plan was made")
        });
    }

    pub fn plan_within(&mut self, up: &mut Running, wait: u64) {
        let at = self.now + wait;
        if up.plan_at.is_none_or(|known| at < known) {
            up.plan_at = Some(at);
            self.after(wait, Event::Plans { life: self.controller.life });
        }
    }
}
