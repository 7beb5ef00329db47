//! One node as the scheduler sees it: who is there, when they leave, and for whom it is reserved.

use std::collections::BTreeMap;

use crate::model::ids::{JobId, NodeId};
use crate::model::resources::Resources;
use crate::model::time::WallTime;

use super::note::{Held, Rank, Refill, Supply};
use super::room::{Axes, FAR, Room, Shape, UNLIMITED, earlier, later};

/// A node.
#[derive(Clone, Debug)]
pub(crate) struct Yard {
    pub(crate) id: NodeId,
    /// `None`: it is gone, or was only named by somebody who holds something there.
    pub(crate) supply: Option<Supply>,
    pub(crate) held: BTreeMap<JobId, Held>,
    /// Reservations in force, in the order in which they were made, which is that of rank.
    pub(crate) reserved: Vec<Reserved>,
    /// Some slots here belong to an array that refills them, whether it may do so at present or not.
    pub(crate) refills: bool,
    room: Room,
    /// By time.
    departures: Vec<Departure>,
}

/// A reservation on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reserved {
    pub(crate) rank: Rank,
    /// When it will fit by the latest ends, which may have passed already.
    pub(crate) due: WallTime,
    pub(crate) shape: Shape,
}

/// What an array that refills its slots says about how long it will stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) rank: Rank,
    pub(crate) span: u64,
    /// What it may do as long as nobody minds.
    pub(crate) right: Refill,
}

/// A room that lasts for a while: what takes no longer than `span` may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stair {
    pub(crate) span: u64,
    pub(crate) axes: Axes,
}

#[derive(Clone, Copy, Debug)]
struct Departure {
    at: WallTime,
    freed: Resources,
    slots: u32,
    exclusive: bool,
    /// Of an array that refills its slots: its rank, and until when it may stay if it is let.
    stays: Option<(Rank, WallTime)>,
}

impl Departure {
    /// When the slots come free, as somebody of that rank must expect: slots that refill he can only claim
    /// from those below him.
    fn at_for(&self, rank: Rank) -> WallTime {
        self.stays.filter(|(theirs, _)| *theirs <= rank).map_or(self.at, |(_, at)| at)
    }
}

impl Reserved {
    /// Not before now: who is overdue may leave at any moment.
    pub(crate) fn start(&self, now: WallTime) -> WallTime {
        self.due.max(now)
    }

    fn active(&self, at: WallTime, now: WallTime) -> bool {
        let end = self.shape.end(self.start(now));
        self.start(now) <= at && (at < end || end == FAR)
    }
}

impl Yard {
    pub(crate) fn new(id: NodeId) -> Yard {
        Yard {
            id,
            supply: None,
            held: BTreeMap::new(),
            reserved: Vec::new(),
            refills: false,
            room: Room::default(),
            departures: Vec::new(),
        }
    }

    /// Works out rooms and departures again, after `held` or the terms of one of its holders changed.
    pub(crate) fn refresh(&mut self, terms: impl Fn(JobId) -> Option<Terms>) {
        self.room = Room::default();
        self.departures.clear();
        self.refills = false;
        for (job, held) in &self.held {
            self.room.enter(&held.charge, held.slots, held.exclusive);
            let terms = terms(*job);
            self.refills |= terms.is_some();
            depart(held, terms, &mut self.departures);
        }
        self.departures.sort_by_key(|departure| departure.at);
    }

    pub(crate) fn accepts(&self) -> bool {
        self.supply.as_ref().is_some_and(|supply| supply.accepts)
    }

    pub(crate) fn total(&self) -> Resources {
        self.supply.as_ref().map_or(Resources::default(), |supply| supply.total)
    }

    /// The room of the node when nobody is there. Nothing, if it accepts nobody.
    pub(crate) fn whole_axes(&self) -> Axes {
        if self.accepts() { Room::default().axes(&self.total()) } else { Axes::NOTHING }
    }

    /// What is free now, reservations or not.
    pub(crate) fn free_axes(&self) -> Axes {
        if self.accepts() { self.room.axes(&self.total()) } else { Axes::NOTHING }
    }

    /// What may be used for ever, beside all reservations.
    pub(crate) fn lasting_axes(&self, now: WallTime) -> Axes {
        let free = self.free_axes();
        self.reserved.iter().fold(free, |axes, reserved| axes.and(&self.beside(reserved, now)))
    }

    /// What may be used for how long; the last of them for ever.
    pub(crate) fn stairs(&self, now: WallTime) -> Vec<Stair> {
        let mut starts: Vec<&Reserved> = self.reserved.iter().collect();
        starts.sort_by_key(|reserved| reserved.start(now));
        let mut axes = self.free_axes();
        let mut stairs = Vec::with_capacity(starts.len() + 1);
        for reserved in starts {
            stairs.push(Stair { span: span_until(reserved.start(now), now), axes });
            axes = axes.and(&self.beside(reserved, now));
        }
        stairs.push(Stair { span: UNLIMITED, axes });
        stairs
    }

    /// How many slots may start now without delaying a reservation.
    pub(crate) fn count(&self, shape: &Shape, now: WallTime) -> u32 {
        if !self.accepts() {
            return 0;
        }
        let total = self.total();
        let in_the_way = self.reserved.iter().filter(|r| shape.span > span_until(r.start(now), now));
        in_the_way.fold(self.room.count(shape, &total), |count, reserved| {
            count.min(self.room_for(reserved, now).count(shape, &total))
        })
    }

    /// How late `slots` of them may still start, for the sake of the reservations. `None`: whenever.
    pub(crate) fn not_after(&self, shape: &Shape, slots: u32, now: WallTime) -> Option<WallTime> {
        let total = self.total();
        let bound = |reserved: &Reserved| {
            let start = reserved.start(now);
            let beside = self.room_for(reserved, now).count(shape, &total);
            (start != FAR && beside < slots).then(|| earlier(start, shape.span))
        };
        self.reserved.iter().filter_map(bound).min()
    }

    /// When one slot of `shape` will fit at the latest, by what runs here and by the reservations in force,
    /// seen from `rank`. A time that has passed means that somebody is overdue. `None`: never, or after `best`.
    pub(crate) fn earliest(
        &self,
        shape: &Shape,
        rank: Rank,
        now: WallTime,
        best: WallTime,
    ) -> Option<WallTime> {
        let need = shape.need();
        if !self.whole_axes().holds(&need) {
            return None;
        }
        if self.reserved.is_empty() && !self.refills {
            return self.earliest_plain(&need, best);
        }
        self.as_seen_by(rank).earliest_beside(shape, now, best)
    }

    /// The room when one slot of `job` has left, reservations aside.
    pub(crate) fn axes_without_one_of(&self, job: JobId) -> Axes {
        let (Some(held), true) = (self.held.get(&job), self.accepts()) else { return Axes::NOTHING };
        let mut room = self.room;
        room.leave(&part(&held.charge, 0, 1, held.slots), 1, held.exclusive);
        room.axes(&self.total())
    }

    /// Whether a reservation also holds if all slots that refill below its rank stay for ever.
    pub(crate) fn stands_beside_refills(&self, reserved: &Reserved, now: WallTime) -> bool {
        let mut seen = self.clone();
        for departure in &mut seen.departures {
            let below = departure.stays.is_some_and(|(theirs, _)| theirs > reserved.rank);
            departure.at = if below { FAR } else { departure.at_for(reserved.rank) };
            departure.stays = None;
        }
        seen.departures.sort_by_key(|departure| departure.at);
        let before = seen.reserved.iter().position(|other| other == reserved).unwrap_or(0);
        seen.reserved.truncate(before);
        let room = seen.room_at(reserved.due, reserved.start(now), reserved.rank, now);
        room.count(&reserved.shape, &seen.total()) > 0
    }

    fn earliest_plain(&self, need: &Axes, best: WallTime) -> Option<WallTime> {
        let total = self.total();
        let mut room = self.room;
        let mut departures = self.departures.iter().peekable();
        while let Some(departure) = departures.next() {
            if departure.at > best {
                return None;
            }
            room.leave(&departure.freed, departure.slots, departure.exclusive);
            let last = departures.peek().is_none_or(|next| next.at > departure.at);
            if last && room.axes(&total).holds(need) {
                return Some(departure.at);
            }
        }
        (best == FAR).then_some(FAR)
    }

    fn earliest_beside(&self, shape: &Shape, now: WallTime, best: WallTime) -> Option<WallTime> {
        let ends = self.reserved.iter().map(|reserved| reserved.shape.end(reserved.start(now)));
        let mut times: Vec<WallTime> = self.departures.iter().map(|departure| departure.at).collect();
        times.extend(ends);
        times.sort_unstable();
        times.dedup();
        let first = times.into_iter().filter(|at| *at < FAR).find(|at| self.fits_from(shape, *at, now));
        first.or(Some(FAR)).filter(|at| *at <= best)
    }

    fn fits_from(&self, shape: &Shape, due: WallTime, now: WallTime) -> bool {
        let (total, start) = (self.total(), due.max(now));
        let end = shape.end(start);
        let before_end = |at: WallTime| at < end || end == FAR;
        let mut coming = self.reserved.iter().filter(|r| r.start(now) > start && before_end(r.start(now)));
        self.room_at(due, start, Rank::default(), now).count(shape, &total) > 0
            && coming.all(|reserved| self.room_for(reserved, now).count(shape, &total) > 0)
    }

    fn beside(&self, reserved: &Reserved, now: WallTime) -> Axes {
        self.room_for(reserved, now).axes(&self.total())
    }

    /// The room when a reservation starts, itself and others that are active by then deducted. None beside one
    /// that waits for something without limit: whoever else has none would only have to be waited for, too.
    fn room_for(&self, reserved: &Reserved, now: WallTime) -> Room {
        if reserved.due == FAR {
            return Room { loners: 1, ..self.room };
        }
        self.room_at(reserved.due, reserved.start(now), reserved.rank, now)
    }

    /// The room when all have left whom somebody of that rank expects to leave until `due`, and the
    /// reservations active at `at` are used.
    fn room_at(&self, due: WallTime, at: WallTime, rank: Rank, now: WallTime) -> Room {
        let mut room = self.room;
        let leaving = self.departures.iter().take_while(|departure| departure.at <= due);
        for departure in leaving.filter(|departure| departure.at_for(rank) <= due) {
            room.leave(&departure.freed, departure.slots, departure.exclusive);
        }
        for reserved in self.reserved.iter().filter(|reserved| reserved.active(at, now)) {
            room.enter(&reserved.shape.charge(&self.total()), 1, reserved.shape.exclusive);
        }
        room
    }

    /// With the departures as somebody of that rank must expect them.
    fn as_seen_by(&self, rank: Rank) -> Yard {
        let mut seen = self.clone();
        for departure in &mut seen.departures {
            departure.at = departure.at_for(rank);
            departure.stays = None;
        }
        seen.departures.sort_by_key(|departure| departure.at);
        seen
    }
}

/// How long something may take from now on to have ended by `start`.
fn span_until(start: WallTime, now: WallTime) -> u64 {
    if start == FAR { UNLIMITED - 1 } else { start.micros_since(now) }
}

fn depart(held: &Held, terms: Option<Terms>, departures: &mut Vec<Departure>) {
    let mut gone = 0;
    let never = super::note::Release { end: None, slots: u32::MAX };
    for release in held.releases.iter().chain([&never]) {
        let slots = release.slots.min(held.slots - gone);
        if slots == 0 {
            continue;
        }
        let at = release.end.unwrap_or(FAR);
        let stays = terms.map(|terms| {
            // Not by the right that it has at present: that may be given back, and whoever ranks below it has to
            // reckon with that. So what he was promised does not depend on who else waits.
            let until = match terms.right {
                Refill::Never => at,
                Refill::Until(_) if terms.span == UNLIMITED => FAR,
                Refill::Until(last_start) => later(last_start, terms.span).max(at),
                Refill::Always => FAR,
            };
            (terms.rank, until)
        });
        let freed = part(&held.charge, gone, slots, held.slots);
        departures.push(Departure { at, freed, slots, exclusive: held.exclusive, stays });
        gone += slots;
    }
}

/// The part of a charge that slots `from..from + count` out of `all` have. All parts add up to the charge.
fn part(charge: &Resources, from: u32, count: u32, all: u32) -> Resources {
    let cut = |amount: u64| {
        let upto = |n: u32| u128::from(amount) * u128::from(n) / u128::from(all.max(1));
        u64::try_from(upto(from.saturating_add(count)) - upto(from)).unwrap_or(u64::MAX)
    };
    Resources {
        cpus: u32::try_from(cut(u64::from(charge.cpus))).unwrap_or(u32::MAX),
        memory_bytes: cut(charge.memory_bytes),
        tmp_bytes: cut(charge.tmp_bytes),
    }
}
