//! What a supervisor was given and what it has to say: the queue and the reports. Pure.

use std::collections::VecDeque;

use super::seen::Seen;
use crate::model::state::{End, State};
use crate::model::time::WallTime;
use crate::wire::supervisor::{AttemptRef, News, QUEUED_TASKS_MAX, REPORTS_MAX, Report, TaskRun, Which};

/// How many reports go into one message.
const REPORTS_PER_MESSAGE: usize = 512;

/// The queue of tasks ahead, and the reports that are not yet acknowledged.
#[derive(Debug, Default)]
pub struct Desk {
    queue: VecDeque<TaskRun>,
    seen: Seen,
    reports: VecDeque<Report>,
    last_number: u64,
    last_sent: u64,
}

impl Desk {
    /// Takes a task. A known attempt is passed over: an attempt starts at most once. Without room for it, it is
    /// reported `Never`.
    pub fn add(&mut self, run: TaskRun) {
        if !self.seen.note(run.task) {
            return;
        }
        if self.queue.len() >= QUEUED_TASKS_MAX {
            self.report(run.task, News::Never);
        } else {
            self.queue.push_back(run);
        }
    }

    /// Takes an attempt back, if it has not been started: it is reported `Never`, also when nothing was known of
    /// it, and then never taken. `false`: it had left the queue; unless it runs, a report about it was made.
    pub fn withdraw(&mut self, task: AttemptRef) -> bool {
        if let Some(at) = self.queue.iter().position(|run| run.task == task) {
            self.queue.remove(at);
        } else if !self.seen.note(task) {
            let is_never = |report: &Report| report.task == task && report.news == News::Never;
            return self.reports.iter().any(is_never);
        }
        self.report(task, News::Never);
        true
    }

    /// Takes the queued attempts that are meant out of the queue.
    pub fn take(&mut self, which: &Which) -> Vec<TaskRun> {
        let is_meant = |run: &TaskRun| match which {
            Which::All => true,
            Which::These(tasks) => tasks.contains(&run.task),
        };
        let (taken, kept) = self.queue.drain(..).partition(is_meant);
        self.queue = kept;
        Vec::from(taken)
    }

    /// The next task to start. Those whose time to start has passed are reported `Never`. None while too many
    /// reports wait: whoever should acknowledge them is away, and must find room for all of them.
    pub fn next(&mut self, now: WallTime) -> Option<TaskRun> {
        loop {
            if self.reports.len() >= REPORTS_MAX {
                return None;
            }
            let run = self.queue.pop_front()?;
            if run.not_after.is_none_or(|latest| now <= latest) {
                return Some(run);
            }
            self.report(run.task, News::Never);
        }
    }

    /// Puts a task back that could not be started for a while.
    pub fn put_back(&mut self, run: TaskRun) {
        self.queue.push_front(run);
    }

    /// Reports what became of an attempt.
    pub fn report(&mut self, task: AttemptRef, news: News) {
        self.last_number += 1;
        self.reports.push_back(Report { number: self.last_number, task, news });
    }

    /// Forgets reports up to `up_to`; gives those.
    pub fn acknowledge(&mut self, up_to: u64) -> Vec<Report> {
        let count = self.reports.iter().take_while(|report| report.number <= up_to).count();
        self.reports.drain(..count).collect()
    }

    /// The next batch of reports that this connection has not had; empty when it has had all.
    pub fn unsent(&mut self) -> Vec<Report> {
        let from = self.reports.partition_point(|report| report.number <= self.last_sent);
        let batch: Vec<Report> = self.reports.iter().skip(from).take(REPORTS_PER_MESSAGE).cloned().collect();
        if let Some(last) = batch.last() {
            self.last_sent = last.number;
        }
        batch
    }

    /// Whether there are reports that this connection has not had.
    pub fn has_unsent(&self) -> bool {
        self.last_sent < self.last_number
    }

    /// All reports, for a new connection, which has had them with that.
    pub fn all_reports(&mut self) -> Vec<Report> {
        self.last_sent = self.last_number;
        self.reports.iter().cloned().collect()
    }

    /// The ends that are not acknowledged, in order.
    pub fn ends(&self) -> impl Iterator<Item = (AttemptRef, &End)> {
        self.reports.iter().filter_map(|report| match &report.news {
            News::Ended(end) => Some((report.task, end.as_ref())),
            News::Never => None,
        })
    }

    /// The queued attempts in order.
    pub fn queued(&self) -> impl Iterator<Item = AttemptRef> {
        self.queue.iter().map(|run| run.task)
    }

    /// Whether nothing waits and nothing is left to be said.
    pub fn is_clear(&self) -> bool {
        self.queue.is_empty() && self.reports.is_empty()
    }

    /// Whether a task waits that could be started if a slot were free.
    pub fn has_next(&self) -> bool {
        !self.queue.is_empty() && self.reports.len() < REPORTS_MAX
    }
}

/// The end of an attempt that never ran.
pub fn end_without_start(
    state: State,
    cause: crate::model::state::Cause,
    at: WallTime,
    task: AttemptRef,
) -> End {
    End {
        state,
        exit_code: 0,
        signal: 0,
        cause,
        node: None,
        start: None,
        end: at,
        usage: crate::model::state::Usage::default(),
        attempt: task.attempt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{Attempt, JobId, Ordinal};

    fn run(ordinal: u32) -> TaskRun {
        TaskRun {
            task: AttemptRef { ordinal: Ordinal(ordinal), attempt: Attempt(1) },
            index: None,
            number: JobId(1),
            restarts: 0,
            line: None,
            not_after: (ordinal == 9).then_some(WallTime(10)),
        }
    }

    fn never(desk: &Desk) -> Vec<u32> {
        let nevers = desk.reports.iter().filter(|report| report.news == News::Never);
        nevers.map(|report| report.task.ordinal.0).collect()
    }

    #[test]
    fn a_withdrawn_attempt_is_never_taken() {
        let mut desk = Desk::default();
        desk.add(run(1));
        desk.add(run(1));
        desk.add(run(2));
        assert!(desk.withdraw(run(1).task) && desk.withdraw(run(3).task));
        desk.add(run(3));
        desk.add(run(1));
        assert_eq!(desk.next(WallTime(0)).map(|run| run.task.ordinal.0), Some(2));
        assert_eq!(desk.next(WallTime(0)), None);
        assert!(!desk.withdraw(run(2).task), "it has started");
        assert!(desk.withdraw(run(3).task), "asked again, the answer is the same");
        assert_eq!(never(&desk), [1, 3]);
    }

    #[test]
    fn reports_are_repeated_until_acknowledged() {
        let mut desk = Desk::default();
        (1..=3).for_each(|ordinal| desk.report(run(ordinal).task, News::Never));
        assert_eq!(desk.unsent().len(), 3);
        assert_eq!(desk.unsent().len(), 0);
        assert_eq!(desk.acknowledge(2).len(), 2);
        assert_eq!(desk.acknowledge(2).len(), 0);
        assert_eq!(desk.all_reports().iter().map(|report| report.number).collect::<Vec<_>>(), [3]);
        desk.report(run(4).task, News::Never);
        assert_eq!(desk.unsent().iter().map(|report| report.number).collect::<Vec<_>>(), [4]);
        assert_eq!(desk.acknowledge(u64::MAX).len(), 2);
        assert!(desk.is_clear());
    }

    #[test]
    fn limits_at_their_edges() {
        let mut desk = Desk::default();
        let count = QUEUED_TASKS_MAX as u32;
        (100..=100 + count).for_each(|ordinal| desk.add(run(ordinal)));
        assert_eq!(never(&desk), [100 + count]);
        (1..REPORTS_MAX as u32 - 1).for_each(|ordinal| desk.report(run(ordinal).task, News::Never));
        assert!(desk.next(WallTime(0)).is_some());
        desk.report(run(0).task, News::Never);
        assert!(desk.next(WallTime(0)).is_none());
        desk.acknowledge(1);
        assert!(desk.next(WallTime(0)).is_some());
    }

    #[test]
    fn too_late_is_never() {
        let mut desk = Desk::default();
        desk.add(run(9));
        assert_eq!(desk.next(WallTime(11)), None);
        assert_eq!(never(&desk), [9]);
    }
}
