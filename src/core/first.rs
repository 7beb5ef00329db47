//! `jqueue first`: ahead of the owner's other waiting jobs. The jobs of one owner change places among themselves,
//! so that nobody else's job loses its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Core;
use super::command::Outcome;
use super::job::Job;
use super::notes::tier;
use super::priority::fixed;
use super::select::Chosen;
use crate::model::change::Change;
use crate::model::ids::{JobId, Uid};
use crate::model::time::WallTime;
use crate::wire::client::{Refusal, RefusalCode};

/// The most jobs that one request moves.
pub const FIRST_JOBS_MAX: usize = 10_000;

/// A job's place, and since when it ages: who takes the one takes the other.
type Place = (u64, WallTime);
/// What stands before it.
type Own = (i32, i64);

impl Core {
    /// Puts the chosen jobs, in the order in which they were chosen, before the others of their owners that have the
    /// same priority. Gives for each job that moved how many stay ahead of it because theirs is higher.
    ///
    /// # Errors
    /// More than [`FIRST_JOBS_MAX`] would have to move.
    pub(super) fn first(
        &mut self,
        chosen: &[&Chosen],
        outcome: &mut Outcome,
    ) -> Result<BTreeMap<JobId, u64>, Refusal> {
        let mut wanted: BTreeMap<(Uid, Own), Vec<JobId>> = BTreeMap::new();
        for one in chosen {
            let id = one.job.id();
            let Some(job) = self.cluster.jobs.get(&id).filter(|job| job.unfinished() > 0) else { continue };
            let list = wanted.entry((job.record.uid, self.own_priority(job))).or_default();
            if !list.contains(&id) {
                list.push(id);
            }
        }
        let mut places: Vec<(JobId, Place)> = Vec::new();
        let mut ahead = BTreeMap::new();
        for ((uid, own), first) in wanted {
            let (line, higher) = self.line_of(uid, own);
            let waiting: BTreeSet<JobId> = line.iter().map(|(_, id)| *id).collect();
            let first: Vec<JobId> = first.into_iter().filter(|id| waiting.contains(id)).collect();
            let last = line.iter().rposition(|(_, id)| first.contains(id)).map_or(0, |at| at + 1);
            let moved = line.get(..last).unwrap_or_default();
            let chosen: BTreeSet<&JobId> = first.iter().collect();
            let rest = moved.iter().map(|(_, id)| *id).filter(|id| !chosen.contains(id));
            let order = first.iter().copied().chain(rest);
            places.extend(order.zip(moved).map(|(id, (place, _))| (id, *place)));
            ahead.extend(first.iter().map(|id| (*id, higher)));
        }
        if places.len() > FIRST_JOBS_MAX {
            let message = format!("{} jobs would change places, more than {FIRST_JOBS_MAX}", places.len());
            return Err(Refusal::new(
                RefusalCode::Limit,
                message,
                "raise the nice value of the others instead",
            ));
        }
        for (id, (place, since)) in places {
            let Some(job) = self.cluster.jobs.get(&id).filter(|job| job.record.place != place) else {
                continue;
            };
            let mut record = (*job.record).clone();
            (record.place, record.since) = (place, since);
            record.version += 1;
            self.commit(Change::Job(Arc::new(record)), outcome);
        }
        Ok(ahead)
    }

    /// What decides about a job among those of its owner before their places do.
    fn own_priority(&self, job: &Job) -> Own {
        (tier(&self.cluster, job), fixed(&self.cluster, job))
    }

    /// An owner's waiting jobs of that priority in the order of their places, and how many have a higher one.
    fn line_of(&self, uid: Uid, own: Own) -> (Vec<(Place, JobId)>, u64) {
        let ids = self.cluster.by_user.range((uid, JobId(0))..=(uid, JobId(u64::MAX)));
        let jobs = ids.filter_map(|(_, id)| self.cluster.jobs.get(id));
        let (mut line, mut higher) = (Vec::new(), 0);
        for job in jobs.filter(|job| job.ended.is_none() && job.unfinished() > job.live.len() as u32) {
            match self.own_priority(job) {
                theirs if theirs == own => line.push(((job.record.place, job.record.since), job.id())),
                theirs => higher += u64::from(theirs > own),
            }
        }
        line.sort_unstable();
        (line, higher)
    }
}
