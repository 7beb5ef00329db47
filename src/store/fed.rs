//! Tables whose history is also fed to the next export, batch by batch as it is written.

use std::ops::Bound;
use std::sync::Arc;

use super::disk::DiskError;
use super::export::feed::Feed;
use super::export::manifest::Manifest;
use super::export::{ExportError, Exports};
use super::tables::ledger::Digest;
use super::tables::{Order, Pairs, Row, Table, Tables, TablesError, TablesRead, Visit};
use crate::model::ids::{Epoch, Incarnation, Position};
use crate::model::time::WallTime;

/// Tables, and the exports that are made of them.
pub struct Fed<T: Tables> {
    tables: T,
    exports: Exports,
    feed: Feed,
    now: WallTime,
}

impl<T: Tables> Fed<T> {
    /// Puts tables that are believed, and the exports of the same state, together.
    ///
    /// # Errors
    /// The disk.
    pub fn new(tables: T, exports: Exports, now: WallTime) -> Result<Fed<T>, DiskError> {
        let (disk, incarnation) = (exports.disk().clone(), tables.incarnation());
        let feed = Feed::open(disk, incarnation, exports.newest(), tables.position(), now)?;
        Ok(Fed { tables, exports, feed, now })
    }

    /// The time, for what is written from now on.
    pub fn at(&mut self, now: WallTime) {
        self.now = now;
    }

    /// The tables themselves.
    pub fn inner(&self) -> &T {
        &self.tables
    }

    /// The exports.
    pub fn exports(&self) -> &Exports {
        &self.exports
    }

    /// Makes an export of what the tables hold.
    ///
    /// # Errors
    /// See [`Exports::make`].
    pub fn export(&mut self, epoch: Epoch, now: WallTime) -> Result<&Manifest, ExportError> {
        self.exports.make(&self.tables, &mut self.feed, epoch, now)
    }
}

impl<T: Tables> TablesRead for Fed<T> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, TablesError> {
        self.tables.get(table, key)
    }

    fn range(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        order: Order,
        limit: usize,
    ) -> Result<Pairs, TablesError> {
        self.tables.range(table, from, to, order, limit)
    }
}

impl<T: Tables> Tables for Fed<T> {
    fn apply(&mut self, rows: &[Row], position: Position) -> Result<(), TablesError> {
        // The feed first: what it has beyond the tables is cut off at the next opening, a gap would be for good.
        let fed = self.feed.append(rows, self.tables.position(), position, self.now);
        fed.map_err(|error| TablesError::Broken { what: error.to_string() })?;
        self.tables.apply(rows, position)
    }

    fn fill(&mut self, rows: &[Row]) -> Result<(), TablesError> {
        self.tables.fill(rows)
    }

    fn position(&self) -> Position {
        self.tables.position()
    }

    fn incarnation(&self) -> Incarnation {
        self.tables.incarnation()
    }

    fn digest(&self, table: Table) -> Digest {
        self.tables.digest(table)
    }

    fn load_live(&self, visit: Visit<'_>) -> Result<(), TablesError> {
        self.tables.load_live(visit)
    }

    fn reset(&mut self, incarnation: Incarnation) -> Result<(), TablesError> {
        self.tables.reset(incarnation)
    }

    fn flush(&mut self) -> Result<(), TablesError> {
        self.tables.flush()
    }

    fn stop(&mut self) -> Result<(), TablesError> {
        self.tables.stop()
    }

    fn reader(&self) -> Arc<dyn TablesRead> {
        self.tables.reader()
    }
}
