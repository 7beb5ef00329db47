//! What stands in for sled: rows that outlive their process only as far as sled would let them. A killed process
//! leaves any prefix of what it wrote, perhaps with half a batch behind it; a power cut leaves what nobody may
//! believe; and sometimes rows are simply not those that were written.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::dice::Dice;
use crate::model::ids::{BootId, Incarnation, Position};
use crate::store::tables::ledger::{Digest, Fit, Ledger};
use crate::store::tables::memory::MemoryTables;
use crate::store::tables::sled::parts;
use crate::store::tables::{Distrust, Order, Pairs, Row, Table, Tables, TablesError, TablesRead, Visit};

/// How many rows go into a part of a batch: few, so that batches are torn in short runs, too.
const PART_ROWS: usize = 3;

type Rows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// What lies on the disk.
#[derive(Debug, Default)]
struct Shelf {
    rows: Rows,
    position: Position,
    /// Batches that the process has written and the disk may not have.
    pending: Vec<(Vec<Row>, Position)>,
    /// In which boot they were opened, and whether they were closed; `None`: there are none.
    note: Option<(BootId, bool)>,
    damaged: bool,
}

/// The folder of the tables, so to speak.
#[derive(Clone, Debug, Default)]
pub struct Folder(Arc<Mutex<Shelf>>);

impl Folder {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process is gone. Gives the words for what became of its rows.
    pub fn crash(&self, dice: &mut Dice, power: bool) -> Vec<&'static str> {
        let mut shelf = self.shelf();
        let pending = std::mem::take(&mut shelf.pending);
        let mut words = Vec::new();
        let kept = dice.between(0, pending.len() as u64) as usize;
        if kept < pending.len() {
            words.push("tables stale");
        }
        for (at, (rows, position)) in pending.into_iter().enumerate() {
            if at < kept {
                put(&mut shelf.rows, &rows);
                shelf.position = position;
            } else if at == kept && dice.chance(5_000) {
                // sled takes a long batch in parts, and the position goes with the last.
                let parts = parts(&rows, PART_ROWS);
                let count = dice.below(parts.len() as u64) as usize;
                if count > 0 {
                    words.push("tables torn");
                }
                for row in parts.into_iter().take(count).flatten() {
                    put(&mut shelf.rows, std::slice::from_ref(row));
                }
            }
        }
        if dice.chance(500) && !shelf.rows.is_empty() {
            shelf.damaged = true;
            words.push("tables damaged");
        }
        if power && shelf.note.is_some_and(|(_, closed)| !closed) {
            words.push("tables without power");
        }
        words
    }

    /// Opens what is there, as sled's would be opened, and says how it was found.
    pub fn open(&self, fit: &Fit) -> (ShelfTables, String) {
        let mut shelf = self.shelf();
        let distrust = match shelf.note {
            None => Some("there were no tables yet".to_owned()),
            Some((boot, closed)) => {
                let mut ledger = Ledger::new(fit.incarnation);
                ledger.position = shelf.position;
                let checked = fit.check_note(boot, closed).and_then(|()| fit.check_ledger(&ledger));
                checked.err().map(|why| why.to_string())
            }
        };
        if distrust.is_some() {
            *shelf = Shelf::default();
        }
        shelf.note = Some((fit.boot, false));
        let mut inner = MemoryTables::new(fit.incarnation);
        let rows: Vec<Row> = shelf
            .rows
            .iter()
            .map(|((table, key), value)| Row { table: *table, key: key.clone(), value: Some(value.clone()) })
            .collect();
        let position = shelf.position;
        let filled = inner.fill(&rows).and_then(|()| match position {
            Position(0) => Ok(()),
            _ => inner.apply(&[], position),
        });
        debug_assert!(filled.is_ok());
        let damaged = shelf.damaged;
        drop(shelf);
        let words = distrust.unwrap_or_else(|| "the tables were sound".to_owned());
        (ShelfTables { inner, folder: self.clone(), damaged }, words)
    }
}

fn put(to: &mut Rows, rows: &[Row]) {
    for row in rows {
        let key = (row.table, row.key.clone());
        match &row.value {
            Some(value) => drop(to.insert(key, value.clone())),
            None => drop(to.remove(&key)),
        }
    }
}

/// Tables of one process.
pub struct ShelfTables {
    inner: MemoryTables,
    folder: Folder,
    damaged: bool,
}

impl ShelfTables {
    /// Begins anew, empty.
    pub fn set_aside(&mut self) -> Result<(), TablesError> {
        let incarnation = self.inner.incarnation();
        self.reset(incarnation)
    }
}

impl TablesRead for ShelfTables {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, TablesError> {
        self.inner.get(table, key)
    }

    fn range(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        order: Order,
        limit: usize,
    ) -> Result<Pairs, TablesError> {
        self.inner.range(table, from, to, order, limit)
    }
}

impl Tables for ShelfTables {
    fn apply(&mut self, rows: &[Row], position: Position) -> Result<(), TablesError> {
        self.inner.apply(rows, position)?;
        self.folder.shelf().pending.push((rows.to_vec(), position));
        Ok(())
    }

    fn fill(&mut self, rows: &[Row]) -> Result<(), TablesError> {
        self.inner.fill(rows)?;
        put(&mut self.folder.shelf().rows, rows);
        Ok(())
    }

    fn position(&self) -> Position {
        self.inner.position()
    }

    fn incarnation(&self) -> Incarnation {
        self.inner.incarnation()
    }

    fn digest(&self, table: Table) -> Digest {
        self.inner.digest(table)
    }

    fn load_live(&self, visit: Visit<'_>) -> Result<(), TablesError> {
        self.inner.load_live(visit)?;
        if self.damaged {
            return Err(Distrust::Digest { table: Table::JOB, found: 1, kept: 2 }.into());
        }
        Ok(())
    }

    fn reset(&mut self, incarnation: Incarnation) -> Result<(), TablesError> {
        let mut shelf = self.folder.shelf();
        *shelf = Shelf { note: shelf.note, ..Shelf::default() };
        drop(shelf);
        self.damaged = false;
        self.inner.reset(incarnation)
    }

    fn flush(&mut self) -> Result<(), TablesError> {
        self.inner.flush()
    }

    fn stop(&mut self) -> Result<(), TablesError> {
        let mut shelf = self.folder.shelf();
        for (rows, position) in std::mem::take(&mut shelf.pending) {
            put(&mut shelf.rows, &rows);
            shelf.position = position;
        }
        if let Some(note) = &mut shelf.note {
            note.1 = true;
        }
        drop(shelf);
        self.inner.stop()
    }

    fn reader(&self) -> Arc<dyn TablesRead> {
        self.inner.reader()
    }
}
