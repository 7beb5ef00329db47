//! Says what the agent must remember over its own death, as records of its spool log, and lives from them again.
//!
//! Starts are not in here: the supervisors' own records are the truth about those. Replaying a log twice, or a log
//! that was written anew from [`super::Agent::snapshot`], gives the same memory.

use serde::{Deserialize, Serialize};

use crate::model::ids::{Attempt, BootId, Epoch, Incarnation, JobId, Ordinal, Position};
use crate::model::state::End;
use crate::model::time::WallTime;
use crate::wire::node::{JobBody, TaskRun};
use crate::wire_body;

/// One try at one task of a job that is known from the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Try {
    /// Which try; first, so that sorted tries fold into runs.
    pub attempt: Attempt,
    /// At which task.
    pub ordinal: Ordinal,
}

/// One record of the agent's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// What follows happened in this boot of the host.
    Boot(BootId),
    /// Whom the node obeys. Must be on the disk before the first order of that office is obeyed.
    Office {
        /// The cluster's state.
        incarnation: Incarnation,
        /// Its controller's epoch.
        epoch: Epoch,
    },
    /// The highest log position seen in an order.
    Seen(Position),
    /// What all tasks of a job have in common. Its contents are kept before this is written.
    Body {
        /// The job.
        job: JobId,
        /// That.
        body: Box<JobBody>,
    },
    /// These attempts were ordered; they exist from here on.
    Ordered {
        /// Of which job.
        job: JobId,
        /// Which.
        attempts: Vec<TaskRun>,
        /// How many at once, from now on.
        slots: u32,
        /// Not to be started later.
        not_after: Option<WallTime>,
    },
    /// These are wanted back; whatever has not started never will.
    Withdrawing {
        /// Of which job.
        job: JobId,
        /// Which.
        attempts: Vec<TaskRun>,
    },
    /// Tombstones: these never started and never will.
    Never {
        /// Of which job.
        job: JobId,
        /// Which.
        attempts: Vec<TaskRun>,
    },
    /// Ends that stand in no living supervisor's records.
    Ended {
        /// Of which job.
        job: JobId,
        /// Whose, and how.
        ends: Vec<(Try, End)>,
    },
    /// The controller holds their ends durably (or their boot is over): nothing has to be known of them any more.
    Forgotten {
        /// Of which job.
        job: JobId,
        /// Which.
        attempts: Vec<TaskRun>,
    },
    /// Of the tasks of these attempts, so many earlier attempts never started.
    Unstarted {
        /// Of which job.
        job: JobId,
        /// Which, and how many.
        attempts: Vec<(Try, u32)>,
    },
}

wire_body! { Record = "record of the agent", 1; }

impl Record {
    /// Whether it must be on the disk, not just with the kernel, before the agent acts on it.
    pub fn must_sync(&self) -> bool {
        matches!(self, Record::Office { .. } | Record::Boot(_))
    }
}

/// Folds tries into runs; sorted ones into as few as there can be.
pub fn runs_of(tries: impl IntoIterator<Item = Try>) -> Vec<TaskRun> {
    let mut runs: Vec<TaskRun> = Vec::new();
    for Try { attempt, ordinal } in tries {
        match runs.last_mut() {
            Some(run) if run.attempt == attempt && run.last.0.checked_add(1) == Some(ordinal.0) => {
                run.last = ordinal;
            }
            _ => runs.push(TaskRun { first: ordinal, last: ordinal, attempt }),
        }
    }
    runs
}

/// The tries of runs, one by one.
pub fn tries_of(runs: &[TaskRun]) -> impl Iterator<Item = Try> + '_ {
    runs.iter().flat_map(|run| {
        let attempt = run.attempt;
        (run.first.0..=run.last.0).map(move |ordinal| Try { attempt, ordinal: Ordinal(ordinal) })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::codec;

    #[test]
    fn old_bytes_are_read_for_ever() {
        let run = |first, last| TaskRun { first: Ordinal(first), last: Ordinal(last), attempt: Attempt(1) };
        let golden: [(Record, &[u8]); 6] = [
            (
                Record::Boot(BootId([9; 16])),
                &[1, 0, 17, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9],
            ),
            (Record::Seen(Position(300)), &[1, 0, 4, 0, 0, 0, 2, 251, 44, 1]),
            (
                Record::Ordered {
                    job: JobId(7),
                    attempts: vec![run(0, 9)],
                    slots: 2,
                    not_after: Some(WallTime(5)),
                },
                &[1, 0, 9, 0, 0, 0, 4, 7, 1, 0, 9, 1, 2, 1, 10],
            ),
            (
                Record::Never { job: JobId(7), attempts: vec![run(3, 3)] },
                &[1, 0, 6, 0, 0, 0, 6, 7, 1, 3, 3, 1],
            ),
            (
                Record::Forgotten { job: JobId(7), attempts: vec![run(0, 250)] },
                &[1, 0, 6, 0, 0, 0, 8, 7, 1, 0, 250, 1],
            ),
            (
                Record::Unstarted {
                    job: JobId(7),
                    attempts: vec![(Try { attempt: Attempt(2), ordinal: Ordinal(3) }, 1)],
                },
                &[1, 0, 6, 0, 0, 0, 9, 7, 1, 2, 3, 1],
            ),
        ];
        for (record, bytes) in golden {
            assert_eq!(codec::encode(&record).unwrap(), bytes, "{record:?}");
            assert_eq!(codec::decode::<Record>(bytes).unwrap(), record);
        }
    }

    proptest! {
        #[test]
        fn runs_and_tries_say_the_same(members in prop::collection::btree_set((1u32..4, 0u32..60), 0..80)) {
            let tries: Vec<Try> = members
                .iter()
                .map(|&(attempt, ordinal)| Try { attempt: Attempt(attempt), ordinal: Ordinal(ordinal) })
                .collect();
            let runs = runs_of(tries.iter().copied());
            prop_assert_eq!(tries_of(&runs).collect::<Vec<_>>(), tries);
            let touching = |pair: &[TaskRun]| {
                pair[0].attempt == pair[1].attempt && pair[0].last.0 + 1 >= pair[1].first.0
            };
            prop_assert!(!runs.windows(2).any(touching), "{:?}", runs);
        }
    }
}
