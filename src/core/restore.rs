//! Putting a job back that was read from the tables.

use std::sync::Arc;

use super::state::Cluster;
use super::tasks::TaskTable;
use super::touched::Touched;
use crate::model::ids::JobId;
use crate::model::record::CancelNote;
use crate::model::state::{End, State};
use crate::model::time::WallTime;

impl Cluster {
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
        // Chunks that have no row are as they were at the submission, whoever holds the job by now.
        job.tasks = TaskTable::new(job.tasks.count(), State::Pending);
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
