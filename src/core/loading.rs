//! What goes from the state into the tables as a whole, and what of it is put back when they are loaded.

use std::sync::Arc;

use super::state::{Cluster, Touched};
use crate::model::ids::JobId;
use crate::model::record::CancelNote;
use crate::model::state::End;
use crate::model::time::WallTime;

impl Cluster {
    /// All that is kept of a job is to be written: the tables may have let go of it when it had ended.
    pub(super) fn touch_whole(&self, id: JobId, touched: &mut Touched) {
        let Some(job) = self.jobs.get(&id) else { return };
        touched.chunks.extend((0..job.tasks.chunk_count()).map(|chunk| (id, chunk)));
        touched.exceptions.extend(job.exceptions.keys().map(|ordinal| (id, *ordinal)));
    }

    /// Puts back what a job knows besides its record and its tasks.
    pub fn restore_job(
        &mut self,
        id: JobId,
        cancel: Option<CancelNote>,
        ended: Option<WallTime>,
        first_start: Option<WallTime>,
        worst: Option<End>,
    ) {
        self.set_ended(id, ended, &mut Touched::default());
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let job = Arc::make_mut(job);
        job.cancel = cancel.map(Arc::new);
        job.first_start = first_start;
        job.worst = worst.map(Arc::new);
    }

    /// Puts back the states of a chunk of a job's tasks. False if there is no such job or chunk.
    pub fn restore_chunk(&mut self, id: JobId, chunk: u32, bytes: &[u8]) -> bool {
        let mut done = false;
        self.with_job(id, &mut Touched::default(), |job, _| done = job.tasks.restore_chunk(chunk, bytes));
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tests_spec::job_record;
    use crate::model::change::Change;
    use crate::model::ids::{Attempt, Ordinal, TaskRef};
    use crate::model::record::Exception;

    /// A job that is wanted again while memory still has it, though the tables have let go of it, is written as a whole
    /// (seed 514 of the simulator: an attempt number was used again after a restart).
    #[test]
    fn what_is_wanted_again_is_written_anew() {
        let mut cluster = Cluster::default();
        let (id, ordinal) = (JobId(1), Ordinal(0));
        let exception = Exception { attempts: Attempt(1), unstarted: 1, retries: 0 };
        let record = Box::new(job_record(id));
        for change in [
            Change::Job(record.clone()),
            Change::Exception { task: TaskRef { job: id, ordinal }, exception },
            Change::JobEnded { job: id, at: WallTime(1) },
        ] {
            cluster.absorb(&change, &mut Touched::default());
        }
        let mut touched = Touched::default();
        let again = Change::JobAgain { record, states: vec![], exceptions: vec![(ordinal, exception)] };
        cluster.absorb(&again, &mut touched);
        assert!(touched.exceptions.contains(&(id, ordinal)) && touched.chunks.contains(&(id, 0)));
    }
}
