//! Deliberate mistakes, for the simulator's own test: each is switched on by a test and must be found. In every build
//! but the tests' they are constants that say no, and cost nothing.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A group counts as durable without having been synced.
    SkipSync,
    /// What waits for the log is told at once.
    TellEarly,
    /// What changes nothing, like the answer to a repeated key, does not wait for what it rests on.
    AnswerEarly,
    /// A node obeys a controller of a lower epoch.
    ForgetEpoch,
    /// A node believes the confirmations of a controller that it does not obey.
    HeedDeposed,
    /// A next attempt gets the number of the last.
    ReuseAttempt,
    /// What was given to an earlier boot is sent again to the new one.
    LaunchToNewBoot,
    /// A task that is wanted back is free before its node has said that it never starts.
    FreeWithoutNever,
    /// A node does not say again, in its next session, what has ended.
    DropRepeat,
    /// A report after a missing one is taken.
    TakeGap,
    /// The end of an earlier attempt is taken for that of the current one.
    LateToNew,
    /// An end that is reported again is recorded again.
    EndedTwice,
    /// A kill is not passed on to what may be starting.
    CancelLost,
    /// The next number is not in the log.
    IdReuse,
    /// The answer to a key is not kept.
    ForgetKey,
    /// The tables get what is not durable.
    TablesAhead,
    /// Tables that are empty are believed to be new.
    EmptyIsNew,
    /// Sums and removals are not written together with the position.
    SumsApart,
    /// A start that a dead supervisor meant to make is made again.
    IntentAgain,
    /// A tombstone is not in the node's log.
    ForgetTombstone,
    /// An order names a position of the log that is not there yet.
    PositionAhead,
    /// A job that must not start again does.
    RestartNever,
    /// A node counts its lease from the arrival of an answer.
    LeaseOnArrival,
    /// The answer of a controller that is not obeyed counts as contact.
    LeaseOfDeposed,
    /// The next attempt does not wait for what freezing may take.
    FreezeForgotten,
    /// A controller that takes office does not wait for the leases that others gave.
    OfficeForgetsLeases,
    /// What a crash has left of a group of several parts is believed.
    HalfGroup,
    /// What a crash has left of a submission that nobody was told of stays.
    HalfSubmission,
}

impl Bug {
    /// All of them.
    #[cfg(test)]
    pub const ALL: [Bug; 28] = [
        Bug::SkipSync,
        Bug::TellEarly,
        Bug::AnswerEarly,
        Bug::ForgetEpoch,
        Bug::HeedDeposed,
        Bug::ReuseAttempt,
        Bug::LaunchToNewBoot,
        Bug::FreeWithoutNever,
        Bug::DropRepeat,
        Bug::TakeGap,
        Bug::LateToNew,
        Bug::EndedTwice,
        Bug::CancelLost,
        Bug::IdReuse,
        Bug::ForgetKey,
        Bug::TablesAhead,
        Bug::EmptyIsNew,
        Bug::SumsApart,
        Bug::IntentAgain,
        Bug::ForgetTombstone,
        Bug::PositionAhead,
        Bug::RestartNever,
        Bug::LeaseOnArrival,
        Bug::LeaseOfDeposed,
        Bug::FreezeForgotten,
        Bug::OfficeForgetsLeases,
        Bug::HalfGroup,
        Bug::HalfSubmission,
    ];
}

/// Whether a mistake is made.
#[cfg(not(test))]
#[inline(always)]
pub const fn is_made(_: Bug) -> bool {
    false
}

#[cfg(test)]
pub use switch::{is_made, make};

#[cfg(test)]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static MADE: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether a mistake is made on this thread.
    pub fn is_made(bug: Bug) -> bool {
        MADE.get() == Some(bug)
    }

    /// Makes a mistake from now on, on this thread, or none.
    pub fn make(bug: Option<Bug>) {
        MADE.set(bug);
    }
}
