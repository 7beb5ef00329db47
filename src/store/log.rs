//! The log: the one order of everything that was decided, and what of it is durable.
//!
//! A payload is the changes of one group of whole commands, opaque here. Positions count groups, from 1 and
//! without gaps. The journal is the log of one controller; another implementation may keep it on several machines
//! behind the same trait, and has to pass the same conformance suite.

use thiserror::Error;

use super::disk::DiskError;
use crate::model::ids::{Epoch, Incarnation, Position};

/// An append-only log with one writer. Use: `open` once, then `append` and `sync`; tell what was decided at a
/// position only when `poll` gives [`Durability::Durable`] of that position or a later one.
pub trait Log: Send {
    /// Takes office. Everything read afterwards is durable, and the new epoch is, too.
    fn open(&mut self, claim: Claim) -> Result<Opened, LogError>;
    /// Adds the group of `position`, which must follow the last one. Not durable before `sync`; several may wait.
    ///
    /// # Errors
    /// [`LogError::NoRoom`] and [`LogError::TooLarge`] leave the log as it was; after [`LogError::Disk`] it is
    /// dead and the process has to end without telling what was not durable.
    fn append(&mut self, epoch: Epoch, position: Position, payload: &[u8]) -> Result<(), LogError>;
    /// Blocks until everything appended is durable. After a failure the log is dead, as with `append`.
    fn sync(&mut self) -> Result<(), LogError>;
    /// What is known to be durable.
    fn poll(&self) -> Durability;
    /// The durable groups from `from` on, in order. The iterator ends after the first error.
    fn read(&mut self, from: Position) -> Result<Groups<'_>, LogError>;
    /// How much can still be appended for certain. Tries to win room if there is little.
    fn room(&mut self) -> Result<Room, LogError>;
    /// Lets go of groups before `before`, as far as they fill whole segments. Only for groups that an export
    /// holds.
    fn trim(&mut self, before: Position) -> Result<(), LogError>;
    /// A clean stop: everything appended is durable, and known to be. The log is closed afterwards.
    fn close(&mut self) -> Result<(), LogError>;
}

/// What a [`Log::read`] gives, group by group: position and payload.
pub type Groups<'a> = Box<dyn Iterator<Item = Result<(Position, Vec<u8>), LogError>> + 'a>;

/// Whose log is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The incarnation that the cluster file names. A log of another one is refused.
    pub incarnation: Incarnation,
}

/// What was found at opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The epoch of this term of office: higher than any before, durably.
    pub epoch: Epoch,
    /// The first group that the log still holds; one above `end` if it holds none.
    pub start: Position,
    /// The last group; the first append takes the position after it.
    pub end: Position,
    /// The cluster's incarnation.
    pub incarnation: Incarnation,
    /// Bytes of a group cut short by a crash that were cut off. Nothing told is among them.
    pub torn_bytes: u64,
}

/// What a log knows about its own durability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Groups up to here are durable.
    Durable(Position),
    /// Somebody else took office: nothing that waits may be told.
    Deposed,
    /// Not open, or dead after a failure: nothing that waits may be told.
    Unknown,
}

/// How much can still be appended, the overhead of up to [`ROOM_GROUPS`] groups taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Enough to go on. Bytes of payload that certainly fit.
    Enough(u64),
    /// Below the reserve: admit only what ends, cancels or asks. Bytes of payload that certainly fit.
    Reserve(u64),
}

/// The number of groups for whose overhead [`Room`] allows.
pub const ROOM_GROUPS: u64 = 64;

/// The most bytes that a group's payload may have, with any log: a journal's segment of 64 MiB holds it.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024 - 4096;

/// Why a log does not do what it is asked.
#[derive(Debug, Error)]
pub enum LogError {
    /// What was durable once is not there or not what it was.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// The state folder has no journal.
    #[error(
        "no journal in the state folder, though its cluster file is there; \
         run `jctld verify DIR`, then `jctld restore`"
    )]
    Missing,
    /// A journal is there already, with groups in it.
    #[error("there is a journal with groups in the state folder; nothing was changed")]
    Exists,
    /// The log belongs to another incarnation than the claim.
    #[error(
        "{file} belongs to incarnation {found} of the cluster, the cluster file to {expected}; \
         run `jctld verify DIR`, then `jctld restore`"
    )]
    OtherIncarnation {
        /// Where that stands.
        file: String,
        /// Whose it is.
        found: Incarnation,
        /// Whose it should be.
        expected: Incarnation,
    },
    /// Written by a later version of jsched.
    #[error(
        "{file} at byte {offset} has format {found}, and this jctld reads up to {known}; run the newer one"
    )]
    Newer {
        /// The file.
        file: String,
        /// Where in it, in bytes.
        offset: u64,
        /// The version found.
        found: u16,
        /// The highest version known.
        known: u16,
    },
    /// Somebody with a higher epoch holds the office.
    #[error("epoch {given} is over, the log is in epoch {current}")]
    Deposed {
        /// The caller's epoch.
        given: Epoch,
        /// The log's.
        current: Epoch,
    },
    /// A position that does not follow the last one: a mistake in the caller.
    #[error("group {given} was appended where {expected} comes next")]
    OutOfOrder {
        /// The next free position.
        expected: Position,
        /// The one given.
        given: Position,
    },
    /// A position that was let go of: an export holds it.
    #[error("the log begins at group {start}, group {asked} is gone from it; read the newest export first")]
    Trimmed {
        /// The first group held.
        start: Position,
        /// The one asked for.
        asked: Position,
    },
    /// A payload above [`PAYLOAD_BYTES_MAX`].
    #[error("a group of {bytes} bytes is too large, the most is {most}; split the request")]
    TooLarge {
        /// The payload's size.
        bytes: usize,
        /// The most.
        most: usize,
    },
    /// There is no space for this group. Nothing was written.
    #[error("no room for {bytes} bytes in the journal; free space on the disk of the state folder")]
    NoRoom {
        /// What was needed.
        bytes: u64,
    },
    /// Not opened, closed, or dead after a failure.
    #[error("the log is not open; restart the daemon")]
    NotOpen,
    /// The second place failed, and nothing may be told without it.
    #[error("{why}; nothing is acknowledged without it, by `mirror_required`")]
    Mirror {
        /// What failed.
        why: String,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Damage in the log: where, and what was found. What the log says about everything before is true.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{file} is damaged at byte {offset}: {what}; nothing was changed. \
     Run `jctld verify DIR` to see how far it goes, then `jctld restore`"
)]
pub struct Damage {
    /// The file, relative to the state folder.
    pub file: String,
    /// Where in it, in bytes.
    pub offset: u64,
    /// What was found there.
    pub what: String,
}
