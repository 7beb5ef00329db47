//! What the end of an attempt is called, and its last line. Pure.

use crate::model::state::{Cause, CauseKind, State};
use crate::model::time::TimeLimit;
use crate::wire::supervisor::{KillReason, TEXT_BYTES_MAX};

/// How a first process ended, as the verdict needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its exit code, 0 if a signal ended it.
    pub exit_code: u8,
    /// The signal, 0 if none.
    pub signal: u8,
    /// How many processes of the attempt the kernel has killed for memory.
    pub memory_kills: u64,
}

/// The state and the cause of an end. What the system did to an attempt decides, whatever its own exit code; after
/// that, a kill for memory of which there is evidence; after that, its own exit.
pub fn verdict(outcome: Outcome, reason: Option<&KillReason>) -> (State, Cause) {
    if let Some(reason) = reason {
        let mut cause = reason.cause();
        cause.text = shortened(&cause.text);
        return (reason.state(), cause);
    }
    let Outcome { exit_code, signal, memory_kills } = outcome;
    let killed = format!("the kernel killed {memory_kills} of its processes for memory");
    match (signal, exit_code) {
        (0, 0) if memory_kills > 0 => (State::Completed, Cause::said(CauseKind::Exit, killed)),
        (0, 0) => (State::Completed, Cause::plain(CauseKind::Exit)),
        _ if memory_kills > 0 => (State::OutOfMemory, Cause::said(CauseKind::Memory, killed)),
        (0, _) => (State::Failed, Cause::plain(CauseKind::Exit)),
        _ => (State::Failed, Cause::plain(CauseKind::Signal)),
    }
}

/// What the last line is made of.
#[derive(Clone, Copy, Debug)]
pub struct LastLine<'a> {
    /// The id as users write it.
    pub id: &'a str,
    /// The node's name.
    pub node: &'a str,
    /// Local time, `2026-11-22T15:41:56`.
    pub at: &'a str,
    /// Its time limit.
    pub limit: TimeLimit,
    /// Its memory limit, 0 for none.
    pub memory_bytes: u64,
}

/// The line that an attempt gets which did not end by its own exit; `None` if it did.
pub fn last_line(state: State, cause: &Cause, signal: u8, facts: &LastLine<'_>) -> Option<String> {
    let LastLine { id, node, at, limit, memory_bytes } = *facts;
    let text = single_line(&cause.text);
    let (what, detail) = match cause.kind {
        CauseKind::Exit => return None,
        CauseKind::TimeLimit => ("CANCELLED AT {} DUE TO TIME LIMIT", format!("limit {limit}; ")),
        CauseKind::Cancel if cause.by.is_empty() => ("CANCELLED AT {}", said(&text)),
        CauseKind::Cancel => ("CANCELLED AT {}", format!("by {}; {}", single_line(&cause.by), said(&text))),
        CauseKind::Preempt => ("CANCELLED AT {} DUE TO PREEMPTION", said(&text)),
        CauseKind::Deadline => ("CANCELLED AT {} DUE TO DEADLINE", String::new()),
        CauseKind::Node => ("CANCELLED AT {} DUE TO NODE FAILURE", said(&text)),
        CauseKind::Memory => {
            let limit =
                if memory_bytes > 0 { format!("limit {} MiB; ", memory_bytes >> 20) } else { String::new() };
            ("KILLED AT {} DUE TO MEMORY LIMIT", format!("{limit}{}", said(&text)))
        }
        CauseKind::Launch => ("NOT STARTED AT {}", said(&text)),
        CauseKind::Signal if state == State::Failed => {
            ("ENDED AT {} BY A SIGNAL", format!("signal {signal}; "))
        }
        _ => ("ENDED AT {}", said(&text)),
    };
    let what = what.replace("{}", at);
    Some(format!("jsched: *** JOB {id} ON {node} {what} *** ({detail}jqueue why {id})\n"))
}

/// Cuts a text to what a report may carry.
pub fn shortened(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{text}; ") }
}

fn single_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Seconds;

    fn outcome(exit_code: u8, signal: u8, memory_kills: u64) -> Outcome {
        Outcome { exit_code, signal, memory_kills }
    }

    #[test]
    fn what_the_system_did_decides() {
        let cancel = KillReason::Cancel { by: "alice".into(), text: String::new() };
        let state = |outcome, reason| verdict(outcome, reason).0;
        assert_eq!(state(outcome(0, 0, 0), None), State::Completed);
        assert_eq!(state(outcome(3, 0, 0), None), State::Failed);
        assert_eq!(state(outcome(0, 9, 0), None), State::Failed, "signal 9 alone is no evidence");
        assert_eq!(state(outcome(0, 9, 1), None), State::OutOfMemory);
        assert_eq!(state(outcome(1, 0, 1), None), State::OutOfMemory);
        assert_eq!(state(outcome(0, 0, 1), None), State::Completed);
        assert_eq!(state(outcome(0, 0, 0), Some(&KillReason::TimeLimit)), State::Timeout);
        assert_eq!(state(outcome(0, 9, 1), Some(&cancel)), State::Cancelled);
    }

    #[test]
    fn the_last_line_is_slurms() {
        let facts = LastLine {
            id: "123",
            node: "n2",
            at: "2026-11-22T15:41:56",
            limit: TimeLimit(Some(Seconds(3_600))),
            memory_bytes: 2 << 30,
        };
        let line = last_line(State::Timeout, &Cause::plain(CauseKind::TimeLimit), 0, &facts);
        let wanted = "jsched: *** JOB 123 ON n2 CANCELLED AT 2026-11-22T15:41:56 DUE TO TIME LIMIT *** \
                      (limit 01:00:00; jqueue why 123)\n";
        assert_eq!(line.as_deref(), Some(wanted));
        assert_eq!(last_line(State::Completed, &Cause::plain(CauseKind::Exit), 0, &facts), None);
        let cause = Cause { kind: CauseKind::Cancel, by: "bob".into(), text: "too\nbig".into() };
        let line = last_line(State::Cancelled, &cause, 15, &facts).unwrap();
        assert!(line.ends_with("56 *** (by bob; too big; jqueue why 123)\n"), "{line}");
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let text = "é".repeat(TEXT_BYTES_MAX);
        assert_eq!(shortened(&text).len(), TEXT_BYTES_MAX);
        assert_eq!(shortened(&format!("a{text}")).len(), TEXT_BYTES_MAX - 1);
    }
}
