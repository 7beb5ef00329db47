//! First come first started, and EASY: only the first that does not fit has a reservation, and nothing delays it.

use super::machine::{Machine, Start};
use super::ordered::{Cursor, Entry, Gap};
use super::{Backfill, Order};

impl Machine {
    pub(super) fn pass_easy(&mut self, now: i64, starts: &mut Vec<Start>) {
        if self.queue.processors_min() > self.free {
            return;
        }
        if matches!(self.policy.order, Order::Wfp3 | Order::Smart) {
            return self.pass_moving(now, starts);
        }
        while let Some(first) = self.queue.first().filter(|first| first.processors <= self.free) {
            self.start(now, first, false, starts);
        }
        let Some(head) = self.queue.first() else { return };
        if self.policy.backfill == Backfill::None || self.queue.processors_min() > self.free {
            return;
        }
        let Some(mut gap) = self.gap_beside(now, head) else { return };
        let mut cursor = Cursor::default();
        loop {
            let list = self.shortest.as_ref().unwrap_or(&self.queue);
            let Some((found, entry)) = list.next_fit(cursor, gap) else { return };
            // The head itself never fits: it takes more than is free.
            cursor = found;
            take(&mut gap, &entry);
            self.start(now, entry, true, starts);
        }
    }

    /// What may start beside the reservation of the head.
    fn gap_beside(&mut self, now: i64, head: Entry) -> Option<Gap> {
        self.correct(now);
        let missing = u64::from(head.processors).checked_sub(u64::from(self.free))?;
        let (shadow, sum) = self.running.key_of_sum(missing)?;
        let extra = u32::try_from(sum - missing).unwrap_or(u32::MAX);
        Some(Gap { free: self.free, window: shadow - now, extra })
    }

    /// The same where the order changes with time.
    fn pass_moving(&mut self, now: i64, starts: &mut Vec<Start>) {
        let mut ranked: Vec<Rank> = Vec::with_capacity(self.queue.len());
        let mut mind = self.mind.take();
        for entry in self.queue.iter() {
            let wait = now - self.submitted(entry.slot);
            let (behind, key) = match &mut mind {
                Some(mind) => mind.rank(entry.slot, wait),
                None => (true, wfp3(wait, entry)),
            };
            ranked.push((behind, key, entry.index, *entry));
        }
        self.mind = mind;
        let before =
            |one: &Rank, two: &Rank| one.0.cmp(&two.0).then(one.1.total_cmp(&two.1)).then(one.2.cmp(&two.2));
        let head = loop {
            let first = ranked.iter().enumerate().min_by(|one, two| before(one.1, two.1));
            let Some((at, (.., entry))) = first.map(|(at, rank)| (at, *rank)) else { return };
            if entry.processors > self.free {
                break entry;
            }
            ranked.swap_remove(at);
            self.start(now, entry, false, starts);
        };
        let Some(mut gap) = self.gap_beside(now, head) else { return };
        ranked.retain(|(.., entry)| gap.holds(entry.processors, entry.estimate));
        ranked.sort_unstable_by(before);
        for (.., entry) in ranked {
            if gap.holds(entry.processors, entry.estimate) {
                take(&mut gap, &entry);
                self.start(now, entry, true, starts);
            }
        }
    }
}

/// Behind the late or not, the key, the index, the job: in this order.
type Rank = (bool, f64, u64, Entry);

fn wfp3(wait: i64, entry: &Entry) -> f64 {
    let share = wait as f64 / entry.estimate as f64;
    -(share * share * share * f64::from(entry.processors))
}

fn take(gap: &mut Gap, entry: &Entry) {
    if entry.estimate > gap.window {
        gap.extra -= entry.processors;
    }
    gap.free -= entry.processors;
}
