//! A job or array in memory: its record, the states of its tasks, and full records only of what is live.

use std::sync::Arc;

use imbl::OrdMap;

use super::tasks::TaskTable;
use crate::model::ids::{Attempt, JobId, NodeId, Ordinal, TaskIndex};
use crate::model::record::{CancelNote, Exception, Hold, JobRecord, Live, Phase, Slots};
use crate::model::state::{Cause, CauseKind, End, State, Usage};
use crate::model::time::WallTime;

/// A job or array. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Job {
    /// Everything but its tasks.
    pub record: Arc<JobRecord>,
    /// The states of its tasks. Tasks handed to a node ahead of their start count as `Starting` here.
    pub tasks: TaskTable,
    /// What is on nodes.
    pub live: OrdMap<Ordinal, Live>,
    /// What is out of the ordinary.
    pub exceptions: OrdMap<Ordinal, Exception>,
    /// What it holds on nodes.
    pub slots: OrdMap<NodeId, Slots>,
    /// Who asked for the end of its live tasks.
    pub cancel: Option<Arc<CancelNote>>,
    /// When all of it had ended.
    pub ended: Option<WallTime>,
    /// When its first task started.
    pub first_start: Option<WallTime>,
    /// The end with the highest exit code so far; of a job that is no array its only end.
    pub worst: Option<Arc<End>>,
    /// Tasks that are handed to a node ahead of their start.
    pub handed: u32,
    /// No task below this waits.
    pub cursor: u32,
}

impl Job {
    /// A job as its record describes it, with all tasks waiting.
    pub fn new(record: Arc<JobRecord>) -> Job {
        let count = record.spec.array.as_ref().map_or(1, |array| array.indexes.count());
        let state = if record.hold == Hold::No { State::Pending } else { State::Held };
        Job {
            record,
            tasks: TaskTable::new(count, state),
            live: OrdMap::new(),
            exceptions: OrdMap::new(),
            slots: OrdMap::new(),
            cancel: None,
            ended: None,
            first_start: None,
            worst: None,
            handed: 0,
            cursor: 0,
        }
    }

    /// Its number.
    pub fn id(&self) -> JobId {
        self.record.id
    }

    /// Whether it is an array.
    pub fn is_array(&self) -> bool {
        self.record.spec.array.is_some()
    }

    /// The index of a task, if it is an array.
    pub fn index(&self, ordinal: Ordinal) -> Option<TaskIndex> {
        self.record.spec.index_of(ordinal)
    }

    /// The id of a task as users write it.
    pub fn task_id(&self, ordinal: Ordinal) -> String {
        match self.index(ordinal) {
            Some(index) => format!("{}_{index}", self.id()),
            None => self.id().to_string(),
        }
    }

    /// Tasks that wait and are on no node.
    pub fn pending(&self) -> u32 {
        self.tasks.counted(State::Pending)
    }

    /// Tasks that have not ended.
    pub fn unfinished(&self) -> u32 {
        self.tasks.count() - self.tasks.ended()
    }

    /// Finds the worst end anew after tasks came back from their ends, if the one that was the worst may be
    /// among them; true if it has changed. Their states are known here, their ends only in history: what stays is
    /// told by its state, and of a failed task the code 1.
    pub(super) fn mend_worst(&mut self) -> bool {
        let counted = |state| self.tasks.counted(state) > 0;
        if self.is_array() && self.worst.as_ref().is_some_and(|worst| counted(worst.state)) {
            return false;
        }
        let stays =
            State::ALL.into_iter().filter(|state| state.is_end() && counted(*state)).map(|state| End {
                state,
                exit_code: u8::from(state == State::Failed),
                signal: 0,
                cause: Cause::plain(CauseKind::Exit),
                node: None,
                start: None,
                end: self.record.submit_time,
                usage: Usage::default(),
                attempt: Attempt(0),
            });
        let worst = stays.max_by_key(waiting_code).map(Arc::new);
        let changed = self.worst != worst;
        self.worst = worst;
        changed
    }

    /// The number of a task's next attempt.
    pub fn next_attempt(&self, ordinal: Ordinal) -> Attempt {
        self.exceptions.get(&ordinal).copied().unwrap_or_default().attempts.next()
    }

    /// How many tasks it has on a node.
    pub fn live_on(&self, node: NodeId) -> u32 {
        self.live.values().filter(|live| live.node == node).count() as u32
    }

    /// The state of one task as people are shown it: what was only handed out still waits.
    pub fn shown_state(&self, ordinal: Ordinal) -> Option<State> {
        match self.live.get(&ordinal).map(|live| live.phase) {
            Some(Phase::Handed) => Some(State::Pending),
            Some(Phase::Starting) => Some(State::Starting),
            Some(Phase::Running) => Some(State::Running),
            Some(Phase::Suspended) => Some(State::Suspended),
            Some(Phase::Completing) => Some(State::Completing),
            None => self.tasks.get(ordinal).map(|state| self.shown_waiting(state)),
        }
    }

    /// Whether what the table holds back only waits for its counterparts in other arrays.
    pub fn waits_back(&self) -> bool {
        self.record.hold == Hold::No && self.record.waits_by_task()
    }

    /// A state of the table as people are shown it, for a task on no node.
    pub fn shown_waiting(&self, state: State) -> State {
        if state == State::Held && self.waits_back() { State::Pending } else { state }
    }
}

/// The state in the table of a task that is on a node.
pub fn table_state(phase: Phase) -> State {
    match phase {
        Phase::Handed | Phase::Starting => State::Starting,
        Phase::Running => State::Running,
        Phase::Suspended => State::Suspended,
        Phase::Completing => State::Completing,
    }
}

/// The exit code of a command that waited for this end (INTERFACE, "Waiting").
pub fn waiting_code(end: &End) -> u8 {
    match end.state {
        State::Completed => 0,
        State::Failed if end.signal != 0 => 128u8.saturating_add(end.signal),
        State::Failed if end.exit_code != 0 => end.exit_code,
        State::Timeout => 124,
        State::OutOfMemory => 137,
        State::Cancelled => 130,
        _ => 125,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::state::{Cause, CauseKind, Usage};

    #[test]
    fn waiting_gives_the_code_of_the_end() {
        let code = |state: State, exit_code: u8, signal: u8| {
            let cause = Cause::plain(CauseKind::Exit);
            let (start, end, usage, attempt) = (None, WallTime(0), Usage::default(), Attempt(1));
            waiting_code(&End { state, exit_code, signal, cause, node: None, start, end, usage, attempt })
        };
        assert_eq!(code(State::Completed, 0, 0), 0);
        assert_eq!(code(State::Failed, 3, 0), 3);
        assert_eq!(code(State::Failed, 0, 9), 137);
        assert_eq!(code(State::Failed, 0, 0), 125, "it could not be launched: it has no code of its own");
        // A trap that exits 0 at the time limit, and a cancel that came before the end: the state decides.
        assert_eq!(code(State::Timeout, 0, 0), 124);
        assert_eq!(code(State::Cancelled, 0, 15), 130);
        assert_eq!(code(State::OutOfMemory, 0, 9), 137);
        for state in [State::NodeFail, State::Preempted, State::Deadline, State::DependencyFailed] {
            assert_eq!(code(state, 0, 0), 125, "{state}");
        }
    }
}
