//! The states that `-t` picks: `bad`, `all`, `ended`, Slurm's codes and names, in either case.

use super::excerpt;
use crate::model::state::State;

/// A set of states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateSet(u16);

/// Why a list of states was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatesError {
    /// No such state.
    #[error(
        "`{0}` is no state: write `bad`, `all`, `ended`, a code such as `PD` or `F`, or a name such as `running`"
    )]
    Unknown(String),
}

impl StateSet {
    /// Every state.
    pub const ALL: StateSet = StateSet(u16::MAX);

    /// The states for which `test` holds.
    pub fn of(test: impl Fn(State) -> bool) -> StateSet {
        StateSet(State::ALL.into_iter().filter(|state| test(*state)).fold(0, |bits, state| bits | bit(state)))
    }

    /// Whether `state` is in it.
    pub fn contains(self, state: State) -> bool {
        self.0 & bit(state) != 0
    }

    /// What is in either.
    pub fn union(self, other: StateSet) -> StateSet {
        StateSet(self.0 | other.0)
    }

    /// The states in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = State> {
        State::ALL.into_iter().filter(move |state| self.contains(*state))
    }

    /// Whether an end is in it, so that ended jobs have to be looked for.
    pub fn has_ends(self) -> bool {
        self.iter().any(State::is_end)
    }
}

/// Reads states between commas. `PD` and `pending` include held jobs, which Slurm counts as pending.
pub fn set(text: &str) -> Result<StateSet, StatesError> {
    text.split(',').try_fold(StateSet(0), |sum, word| Ok(sum.union(one(word.trim())?)))
}

fn one(word: &str) -> Result<StateSet, StatesError> {
    let lower = word.to_ascii_lowercase().replace('-', "_");
    match lower.as_str() {
        "all" => return Ok(StateSet::ALL),
        "bad" => return Ok(StateSet::of(State::is_bad)),
        "ended" => return Ok(StateSet::of(State::is_end)),
        "pd" | "pending" => return Ok(StateSet::of(|state| matches!(state, State::Pending | State::Held))),
        _ => {}
    }
    // Slurm's names that differ from ours.
    let ours = match lower.as_str() {
        "configuring" => "starting",
        "canceled" => "cancelled",
        "oom" | "outofmemory" => "out_of_memory",
        other => other,
    };
    let found = State::ALL
        .into_iter()
        .find(|state| state.word() == ours || state.code().eq_ignore_ascii_case(&lower));
    found.map(|state| StateSet(bit(state))).ok_or_else(|| StatesError::Unknown(excerpt(word)))
}

fn bit(state: State) -> u16 {
    1 << (state as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_and_codes() {
        assert_eq!(set("PD"), set("pending"));
        assert!(set("PD").unwrap().contains(State::Held));
        assert!(!set("held").unwrap().contains(State::Pending));
        assert_eq!(set("r,F").unwrap().iter().collect::<Vec<_>>(), [State::Running, State::Failed]);
        assert_eq!(set("OUT_OF_MEMORY"), set("oom"));
        assert!(set("bad").unwrap().iter().all(State::is_bad));
        assert!(set("bad,R").unwrap().contains(State::Running));
        assert!(!set("R,PD").unwrap().has_ends());
        assert!(set("all").unwrap().has_ends());
        for bad in ["", "R,", "nope", "R F"] {
            assert!(set(bad).is_err(), "{bad}");
        }
        for state in State::ALL {
            assert!(set(state.word()).unwrap().contains(state), "{state}");
            assert!(set(state.code()).unwrap().contains(state), "{state}");
        }
    }

    proptest! {
        #[test]
        fn no_string_is_too_strange(text in "\\PC{0,12}") {
            let _ = set(&text);
        }
    }
}
