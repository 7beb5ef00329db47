//! Tables in sled, believed only as far as they can be checked.
//!
//! sled does not sync what it calls flushed, and after losing a page it may open stale or empty, or panic, without
//! ever giving an error. So it holds nothing that can't be rebuilt, is opened and called under `catch_unwind`, and
//! is used only if the host has not been restarted since or the stop was clean, its position lies within the log,
//! and the digests agree while it is loaded. Otherwise its folder is set aside and a fresh one is begun.
//!
//! The folder holds `sled/` and `note`: the boot of the host in which the tables were opened, and whether they
//! were closed since.

mod folder;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use sled::{Batch, Db};

use self::folder::Note;
pub use super::ledger::Fit;
use super::ledger::{Digest, LEDGER_KEY, Ledger};
use super::{
    Distrust, FullBounds, Order, Pairs, Row, Table, Tables, TablesError, TablesRead, Visit, check,
    check_fill, full_bounds, full_key,
};
use crate::model::bug::{self, Bug};
use crate::model::ids::{BootId, Incarnation, Position};
use crate::store::rows::USED;

/// How much of the tables sled may keep in memory.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;
/// How long sled may keep writes to itself. What the end of the process takes is read again from the log.
const FLUSH_EVERY_MILLISECONDS: u64 = 5000;
/// How many rows are read at a time while loading.
const PAGE_ROWS: usize = 1024;

/// How many rows stand in one batch of sled.
const BATCH_ROWS: usize = 256;

/// What was there when the tables were opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Tables that can be used, once `load_live` has agreed.
    Kept,
    /// None; they begin empty.
    Nothing,
    /// Tables that can't be believed; they were set aside, and new ones begin empty.
    SetAside(Distrust),
}

/// Tables in one sled tree.
pub struct SledTables {
    folder: PathBuf,
    boot: BootId,
    shared: Arc<Shared>,
    ledger: Ledger,
}

impl SledTables {
    /// Opens the tables in `folder`, or begins new ones there.
    ///
    /// # Errors
    /// Only if not even new ones can be made.
    pub fn open(folder: &Path, fit: &Fit) -> Result<(SledTables, Found), TablesError> {
        let found = match take(folder, fit) {
            Ok(Some((db, ledger))) => {
                let shared = Shared::new(folder, db);
                let tables = SledTables { folder: folder.to_owned(), boot: fit.boot, shared, ledger };
                return Ok((tables, Found::Kept));
            }
            Ok(None) => Found::Nothing,
            Err(TablesError::Distrusted(why)) => Found::SetAside(why),
            Err(other) => return Err(other),
        };
        if found == Found::Nothing {
            // What an interrupted beginning left is worth nothing.
            folder::remove(folder)?;
        } else {
            folder::set_aside(folder)?;
        }
        let ledger = Ledger::new(fit.incarnation);
        let db = begin(folder, fit.boot, &ledger)?;
        let shared = Shared::new(folder, db);
        Ok((SledTables { folder: folder.to_owned(), boot: fit.boot, shared, ledger }, found))
    }

    /// Has somebody told when sled turns out to be broken; it is not believed at the next opening then.
    pub fn when_broken(&self, bell: impl Fn(&str) + Send + Sync + 'static) {
        let _ = self.shared.bell.set(Box::new(bell));
    }

    /// Sets the folder aside, as `tables.aside` in place of an older one, and begins anew, empty: what is done when
    /// `load_live` says [`TablesError::Distrusted`]. Readers follow.
    pub fn set_aside(&mut self) -> Result<(), TablesError> {
        self.shared.close();
        folder::set_aside(&self.folder)?;
        self.begin(self.ledger.incarnation)
    }

    /// Puts all rows in place, and then the position. sled goes through a batch in the order of a hash, and keeps what
    /// it replaces until the batch ends: a long one would hardly ever find the page at hand in its cache, and takes
    /// memory without bound. So rows go in short batches, each with the ledger that fits to it; as long as rows are
    /// missing the position stays what it was, and the log from there on leads to the same rows.
    fn put(&mut self, rows: &[Row], position: Position) -> Result<(), TablesError> {
        let mut parts = parts(rows, BATCH_ROWS).into_iter().peekable();
        loop {
            let part = parts.next().unwrap_or_default();
            let whole = parts.peek().is_none();
            self.put_part(&part, if whole { position } else { self.ledger.position })?;
            if whole {
                return Ok(());
            }
        }
    }

    fn put_part(&mut self, rows: &[&Row], position: Position) -> Result<(), TablesError> {
        let mut ledger = self.ledger.clone();
        ledger.position = position;
        let mut batch = Batch::default();
        self.shared.with(|db| {
            for Row { table, key, value } in rows.iter().copied() {
                let full = full_key(*table, key);
                if table.is_live() {
                    let old = db.get(&full)?;
                    ledger.note(*table, key, old.as_deref(), value.as_deref());
                }
                match value {
                    Some(value) => batch.insert(full, value.as_slice()),
                    None => batch.remove(full),
                }
            }
            batch.insert(LEDGER_KEY, ledger.encode());
            db.apply_batch(batch)
        })?;
        self.ledger = ledger;
        Ok(())
    }

    fn begin(&mut self, incarnation: Incarnation) -> Result<(), TablesError> {
        let ledger = Ledger::new(incarnation);
        let db = begin(&self.folder, self.boot, &ledger)?;
        self.shared.replace(db);
        self.ledger = ledger;
        Ok(())
    }
}

/// The rows in the parts in which they are put in place, of so many each: the last row of a key counts. The position
/// moves with the last part.
pub fn parts(rows: &[Row], part_rows: usize) -> Vec<Vec<&Row>> {
    let last: BTreeMap<(Table, &[u8]), &Row> =
        rows.iter().map(|row| ((row.table, row.key.as_slice()), row)).collect();
    // From the highest table down: what belongs to a job comes before the job itself. What would not come out the same
    // when the log behind the position is read again goes with the position: sums, to which the same would be added
    // once more, and removals, since what a job has lost of its rows would be taken for what it never had.
    let apart = bug::is_made(Bug::SumsApart);
    let at_last = |row: &&Row| !apart && (row.table == USED || (row.table.is_live() && row.value.is_none()));
    let (sums, all): (Vec<&Row>, Vec<&Row>) = last.into_values().rev().partition(at_last);
    let mut parts: Vec<Vec<&Row>> = all.chunks(part_rows.max(1)).map(<[&Row]>::to_vec).collect();
    match parts.last_mut() {
        Some(part) => part.extend(sums),
        None => parts.push(sums),
    }
    parts
}

/// Opens what is in `folder` and checks what can be checked without reading the rows. `None` if nothing is there.
fn take(folder: &Path, fit: &Fit) -> Result<Option<(Db, Ledger)>, TablesError> {
    if !folder::store(folder).exists() {
        return Ok(None);
    }
    let note = Note::load(folder).ok_or(Distrust::NoNote)?;
    fit.check_note(note.boot, note.closed)?;
    Note { boot: fit.boot, closed: false }.save(folder)?;
    let db = open(folder).map_err(Distrust::Broken)?;
    let bytes = calmly(|| db.get(LEDGER_KEY)).map_err(Distrust::Broken)?.ok_or(Distrust::Ledger)?;
    let ledger = Ledger::decode(&bytes).ok_or(Distrust::Ledger)?;
    fit.check_ledger(&ledger)?;
    Ok(Some((db, ledger)))
}

/// Makes empty tables in `folder`, which is not there.
fn begin(folder: &Path, boot: BootId, ledger: &Ledger) -> Result<Db, TablesError> {
    let broken = |what| TablesError::Broken { what };
    folder::make(folder)?;
    Note { boot, closed: false }.save(folder)?;
    let db = open(folder).map_err(broken)?;
    calmly(|| db.insert(LEDGER_KEY, ledger.encode())).map_err(broken)?;
    Ok(db)
}

fn open(folder: &Path) -> Result<Db, String> {
    let config = sled::Config::new()
        .path(folder::store(folder))
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(FLUSH_EVERY_MILLISECONDS));
    calmly(|| config.open())
}

/// Calls sled, and takes a panic for the failure that it is.
fn calmly<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("panic: {}", text.unwrap_or("without a word")))
        }
    }
}

/// Who wants to know that the tables are broken, in sled's words.
type Bell = Box<dyn Fn(&str) + Send + Sync>;

/// The tree, for the writer and the readers, until `stop`.
struct Shared {
    db: RwLock<Option<Db>>,
    folder: PathBuf,
    bell: OnceLock<Bell>,
}

impl Shared {
    fn new(folder: &Path, db: Db) -> Arc<Shared> {
        let db = RwLock::new(Some(db));
        Arc::new(Shared { db, folder: folder.to_owned(), bell: OnceLock::new() })
    }

    fn with<T>(&self, call: impl FnOnce(&Db) -> sled::Result<T>) -> Result<T, TablesError> {
        let guard = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let db = guard.as_ref().ok_or(TablesError::Closed)?;
        calmly(|| call(db)).map_err(|what| {
            // Only live rows are looked at when they are loaded: history shows its damage when somebody reads it.
            // Without the note the next opening believes nothing and has all of it built anew.
            folder::distrust(&self.folder);
            if let Some(bell) = self.bell.get() {
                bell(&what);
            }
            TablesError::Broken { what }
        })
    }

    /// Takes sled from everybody and ends it.
    fn close(&self) {
        let db = self.db.write().unwrap_or_else(PoisonError::into_inner).take();
        // It flushes and joins its thread when dropped, and may panic once more.
        let _ = calmly(|| {
            drop(db);
            Ok(())
        });
    }

    fn replace(&self, db: Db) {
        *self.db.write().unwrap_or_else(PoisonError::into_inner) = Some(db);
    }

    fn pairs(&self, bounds: FullBounds, order: Order, limit: usize) -> Result<Pairs, TablesError> {
        let pair = |row: sled::Result<(sled::IVec, sled::IVec)>| {
            row.map(|(key, value)| (key.to_vec(), value.to_vec()))
        };
        self.with(|db| {
            let found = db.range(bounds);
            match order {
                Order::Up => found.take(limit).map(pair).collect(),
                Order::Down => found.rev().take(limit).map(pair).collect(),
            }
        })
    }
}

impl TablesRead for Shared {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, TablesError> {
        self.with(|db| Ok(db.get(full_key(table, key))?.map(|value| value.to_vec())))
    }

    fn range(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        order: Order,
        limit: usize,
    ) -> Result<Pairs, TablesError> {
        let Some(bounds) = full_bounds(table, from, to) else { return Ok(Pairs::new()) };
        let mut pairs = self.pairs(bounds, order, limit)?;
        pairs.iter_mut().for_each(|(key, _)| drop(key.drain(..1)));
        Ok(pairs)
    }
}

impl TablesRead for SledTables {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, TablesError> {
        self.shared.get(table, key)
    }

    fn range(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        order: Order,
        limit: usize,
    ) -> Result<Pairs, TablesError> {
        self.shared.range(table, from, to, order, limit)
    }
}

impl Tables for SledTables {
    fn apply(&mut self, rows: &[Row], position: Position) -> Result<(), TablesError> {
        check(rows, self.ledger.position, position)?;
        self.put(rows, position)
    }

    fn fill(&mut self, rows: &[Row]) -> Result<(), TablesError> {
        check_fill(rows, self.ledger.position)?;
        self.put(rows, Position(0))
    }

    fn position(&self) -> Position {
        self.ledger.position
    }

    fn incarnation(&self) -> Incarnation {
        self.ledger.incarnation
    }

    fn digest(&self, table: Table) -> Digest {
        self.ledger.live.get(&table).copied().unwrap_or_default()
    }

    fn load_live(&self, visit: Visit<'_>) -> Result<(), TablesError> {
        let mut found = BTreeMap::<Table, Digest>::new();
        let mut from = Bound::Included(vec![1]);
        loop {
            let bounds = (from, Bound::Excluded(vec![128]));
            let page = self.shared.pairs(bounds, Order::Up, PAGE_ROWS).map_err(|error| match error {
                TablesError::Broken { what } => Distrust::Broken(what).into(),
                other => other,
            })?;
            for (full, value) in &page {
                let Some((table, key)) = full.split_first() else { continue };
                let table = Table(*table);
                found.entry(table).or_default().add(table, key, value);
                visit(table, key, value);
            }
            match page.into_iter().last() {
                Some((full, _)) => from = Bound::Excluded(full),
                None => return Ok(self.ledger.compare(&found)?),
            }
        }
    }

    fn reset(&mut self, incarnation: Incarnation) -> Result<(), TablesError> {
        self.shared.close();
        folder::remove(&self.folder)?;
        self.begin(incarnation)
    }

    fn flush(&mut self) -> Result<(), TablesError> {
        self.shared.with(|db| db.flush()).map(drop)
    }

    fn stop(&mut self) -> Result<(), TablesError> {
        self.flush()?;
        self.shared.close();
        folder::sync(&folder::store(&self.folder))?;
        Note { boot: self.boot, closed: true }.save(&self.folder)
    }

    fn reader(&self) -> Arc<dyn TablesRead> {
        self.shared.clone()
    }
}

#[cfg(test)]
mod tests;
