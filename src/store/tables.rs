//! The tables: rows by key, built from the durable part of the log, always local, and rebuildable at any time.
//!
//! A table is one byte in front of its keys. *Live* tables hold what the core has in memory; the count and an
//! order-independent digest of each is kept, in the same atomic step as the rows, the position of the log up to
//! which they go, and the incarnation. So a copy that lost a page is found out while it is loaded. History tables
//! and indexes are not digested; they are trusted as far as the live ones beside them.

pub mod ledger;
pub mod memory;
pub mod sled;
#[cfg(test)]
mod suite;

use std::io;
use std::ops::Bound;
use std::sync::Arc;

use thiserror::Error;

use self::ledger::Digest;
use crate::model::ids::{Incarnation, Position};

/// The most bytes of a key, without its table.
pub const KEY_BYTES_MAX: usize = 1024;
/// The most bytes of a value.
pub const VALUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One of the tables: 1 to 127 are live, 128 to 255 history and indexes. 0 is the tables' own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table(pub u8);

impl Table {
    /// Jobs, and the shared bodies of arrays.
    pub const JOB: Table = Table(1);
    /// States of tasks, packed by chunk.
    pub const TASKS: Table = Table(2);
    /// Nodes.
    pub const NODE: Table = Table(3);
    /// Partitions.
    pub const PARTITION: Table = Table(4);
    /// Users.
    pub const USER: Table = Table(5);
    /// Keys of requests, with what was answered.
    pub const KEY: Table = Table(6);
    /// Join and login tokens.
    pub const TOKEN: Table = Table(7);
    /// Certificates issued and revoked.
    pub const CERT: Table = Table(8);
    /// Single values: counters, settings.
    pub const META: Table = Table(9);
    /// Scripts, arguments and environments up to 64 KiB, by hash, with their reference counts.
    pub const CONTENT: Table = Table(10);
    /// Jobs that have ended.
    pub const ENDED: Table = Table(128);
    /// Results of tasks, packed by chunk.
    pub const RESULT: Table = Table(129);
    /// What happened to a job, in order.
    pub const HISTORY: Table = Table(130);
    /// Index: owner and name to jobs.
    pub const BY_NAME: Table = Table(131);
    /// Who did what.
    pub const AUDIT: Table = Table(132);
    /// Index: end time to jobs.
    pub const BY_END: Table = Table(133);

    /// Whether its rows are part of the queue as it is now, and therefore digested.
    pub fn is_live(self) -> bool {
        (1..128).contains(&self.0)
    }
}

/// An assignment: this key has this value from now on, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The table.
    pub table: Table,
    /// The key in it; at most [`KEY_BYTES_MAX`].
    pub key: Vec<u8>,
    /// The value, at most [`VALUE_BYTES_MAX`]; `None` removes the row.
    pub value: Option<Vec<u8>>,
}

/// In which order a range is read, and from which end the limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Lowest key first.
    Up,
    /// Highest key first.
    Down,
}

/// Keys (without the table) and values, in order.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Takes a row: table, key, value.
pub type Visit<'a> = &'a mut dyn FnMut(Table, &[u8], &[u8]);

/// Reading, from any thread. Each call sees whole rows; what several calls see need not be of one group.
pub trait TablesRead: Send + Sync {
    /// The value of a key.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, TablesError>;
    /// Up to `limit` rows with keys between `from` and `to`.
    fn range(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        order: Order,
        limit: usize,
    ) -> Result<Pairs, TablesError>;
}

/// The one writer.
pub trait Tables: TablesRead + Send {
    /// Applies all rows, in order, as one step that goes up to `position` of the log. Only what the log holds
    /// durably may be given. Afterwards `position()` is `position`, in the same step also for any later opening.
    ///
    /// # Errors
    /// [`TablesError::Rewind`], [`TablesError::BadTable`] and [`TablesError::TooLarge`] change nothing.
    fn apply(&mut self, rows: &[Row], position: Position) -> Result<(), TablesError>;
    /// Adds rows without moving the position, which must be 0: tables that are being rebuilt are not to be believed
    /// until all rows are there and `apply` has moved it.
    ///
    /// # Errors
    /// [`TablesError::Rewind`] above position 0; the same limits as for `apply`.
    fn fill(&mut self, rows: &[Row]) -> Result<(), TablesError>;
    /// Up to which position of the log the rows go. Replay goes on behind it.
    fn position(&self) -> Position;
    /// Whose rows they are.
    fn incarnation(&self) -> Incarnation;
    /// Count and digest of a live table as kept; zero for the others.
    fn digest(&self, table: Table) -> Digest;
    /// Gives every live row, in order of table and key, and then says whether count and digest of each table
    /// agree. To be done before anything else is believed.
    ///
    /// # Errors
    /// [`TablesError::Distrusted`]: what was visited must be forgotten, and the tables set aside or reset.
    fn load_live(&self, visit: Visit<'_>) -> Result<(), TablesError>;
    /// Forgets everything; begins at position 0 of `incarnation`.
    fn reset(&mut self, incarnation: Incarnation) -> Result<(), TablesError>;
    /// Hands everything to the operating system, so that the end of this process loses nothing. A power cut may.
    fn flush(&mut self) -> Result<(), TablesError>;
    /// A clean stop: everything durable, and marked as such. Nothing can be done with the tables afterwards.
    fn stop(&mut self) -> Result<(), TablesError>;
    /// A handle for reading from other threads. It follows `reset`, and fails after `stop`.
    fn reader(&self) -> Arc<dyn TablesRead>;
}

/// Why tables on disk are not believed. They are set aside and rebuilt from the log; nothing is lost by it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Distrust {
    /// No note of how the last use ended.
    #[error("there is no readable note of how they were left")]
    NoNote,
    /// The host was started again without a clean stop in between.
    #[error("the host has been restarted, and they were not closed before")]
    NotClosed,
    /// They are another cluster's, or from before a restore.
    #[error("they belong to incarnation {found}")]
    Incarnation {
        /// Whose they are.
        found: Incarnation,
    },
    /// They are newer or much older than the log.
    #[error("they are at group {found}, outside of the log")]
    Position {
        /// Where they are.
        found: Position,
    },
    /// Their own bookkeeping is missing or broken.
    #[error("their bookkeeping is missing or damaged")]
    Ledger,
    /// The rows are not those that were written.
    #[error("table {} has {found} rows of {kept}, or other ones than were written", .table.0)]
    Digest {
        /// Which table.
        table: Table,
        /// The rows found.
        found: u64,
        /// The rows that there should be.
        kept: u64,
    },
    /// The store below failed or panicked.
    #[error("the store below them says: {0}")]
    Broken(String),
}

/// Why tables do not do what they are asked.
#[derive(Debug, Error)]
pub enum TablesError {
    /// What is on disk can't be believed: set it aside and rebuild.
    #[error("the tables are rebuilt from the journal: {0}")]
    Distrusted(#[from] Distrust),
    /// Rows of a position that is contained already: a mistake in the caller.
    #[error("the tables are at group {have}, group {given} was given after it")]
    Rewind {
        /// Where they are.
        have: Position,
        /// What was given.
        given: Position,
    },
    /// Table 0 belongs to the tables themselves: a mistake in the caller.
    #[error("table {} can't be used", .table.0)]
    BadTable {
        /// As given.
        table: Table,
    },
    /// A key or value above its limit.
    #[error("a {what} of {bytes} bytes is too large for table {}, the most is {most}", .table.0)]
    TooLarge {
        /// `key` or `value`.
        what: &'static str,
        /// Which table.
        table: Table,
        /// Its size.
        bytes: usize,
        /// The most.
        most: usize,
    },
    /// The store below failed or panicked while in use; restart the daemon, which will look at it anew.
    #[error("the tables are broken ({what}); restart the daemon, it rebuilds them if need be")]
    Broken {
        /// What it said.
        what: String,
    },
    /// Stopped, or lost on the way to a rebuild.
    #[error("the tables are closed")]
    Closed,
    /// A file operation beside the store failed.
    #[error("cannot {what} the tables at {path}: {source}; check the disk, then restart the daemon")]
    File {
        /// The operation, as a verb.
        what: &'static str,
        /// On which file or folder.
        path: String,
        /// The reason.
        source: io::Error,
    },
}

/// Whether the rows can be applied at all.
fn check(rows: &[Row], have: Position, given: Position) -> Result<(), TablesError> {
    if given <= have {
        return Err(TablesError::Rewind { have, given });
    }
    check_sizes(rows)
}

/// Whether the rows can be filled in.
fn check_fill(rows: &[Row], have: Position) -> Result<(), TablesError> {
    if have > Position(0) {
        return Err(TablesError::Rewind { have, given: Position(0) });
    }
    check_sizes(rows)
}

fn check_sizes(rows: &[Row]) -> Result<(), TablesError> {
    for row in rows {
        let table = row.table;
        if table.0 == 0 {
            return Err(TablesError::BadTable { table });
        }
        let value_bytes = row.value.as_ref().map_or(0, Vec::len);
        let sizes = [("key", row.key.len(), KEY_BYTES_MAX), ("value", value_bytes, VALUE_BYTES_MAX)];
        if let Some((what, bytes, most)) = sizes.into_iter().find(|(_, bytes, most)| bytes > most) {
            return Err(TablesError::TooLarge { what, table, bytes, most });
        }
    }
    Ok(())
}

/// The key as it stands in the one tree: table, then key.
fn full_key(table: Table, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 1);
    full.push(table.0);
    full.extend_from_slice(key);
    full
}

/// Bounds in the one tree.
type FullBounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// Bounds in the one tree, or `None` if nothing can lie between them.
fn full_bounds(table: Table, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Option<FullBounds> {
    let low = match from {
        Bound::Unbounded => Bound::Included(vec![table.0]),
        bound => bound.map(|key| full_key(table, key)),
    };
    let high = match (to, table.0.checked_add(1)) {
        (Bound::Unbounded, Some(next)) => Bound::Excluded(vec![next]),
        (Bound::Unbounded, None) => Bound::Unbounded,
        (bound, _) => bound.map(|key| full_key(table, key)),
    };
    let empty = match (&low, &high) {
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high) | Bound::Excluded(high)) => {
            low >= high
        }
        _ => false,
    };
    (!empty).then_some((low, high))
}
