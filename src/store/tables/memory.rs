//! Tables in memory, for tests and the simulator. They forget everything with the process.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::ledger::{Digest, Ledger};
use super::{
    Order, Pairs, Row, Table, Tables, TablesError, TablesRead, Visit, check, check_fill, full_bounds,
    full_key,
};
use crate::model::ids::{Incarnation, Position};

/// Rows in a map.
pub struct MemoryTables {
    shared: Arc<Shared>,
    ledger: Ledger,
}

impl MemoryTables {
    /// Empty tables.
    pub fn new(incarnation: Incarnation) -> MemoryTables {
        let shared = Arc::new(Shared(RwLock::new(Some(BTreeMap::new()))));
        MemoryTables { shared, ledger: Ledger::new(incarnation) }
    }
}

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// The rows, until `stop`.
struct Shared(RwLock<Option<Rows>>);

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, Option<Rows>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<Rows>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TablesRead for Shared {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, TablesError> {
        let rows = self.read();
        Ok(rows.as_ref().ok_or(TablesError::Closed)?.get(&full_key(table, key)).cloned())
    }

    fn range(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        order: Order,
        limit: usize,
    ) -> Result<Pairs, TablesError> {
        let rows = self.read();
        let rows = rows.as_ref().ok_or(TablesError::Closed)?;
        let Some(bounds) = full_bounds(table, from, to) else { return Ok(Pairs::new()) };
        let found = rows.range::<Vec<u8>, _>(bounds);
        let pair =
            |(key, value): (&Vec<u8>, &Vec<u8>)| (key.get(1..).unwrap_or_default().to_vec(), value.clone());
        Ok(match order {
            Order::Up => found.take(limit).map(pair).collect(),
            Order::Down => found.rev().take(limit).map(pair).collect(),
        })
    }
}

impl TablesRead for MemoryTables {
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

impl MemoryTables {
    fn put(&mut self, rows: &[Row]) -> Result<(), TablesError> {
        let mut map = self.shared.write();
        let map = map.as_mut().ok_or(TablesError::Closed)?;
        for row in rows {
            let full = full_key(row.table, &row.key);
            let old = match &row.value {
                Some(value) => map.insert(full, value.clone()),
                None => map.remove(&full),
            };
            self.ledger.note(row.table, &row.key, old.as_deref(), row.value.as_deref());
        }
        Ok(())
    }
}

impl Tables for MemoryTables {
    fn apply(&mut self, rows: &[Row], position: Position) -> Result<(), TablesError> {
        check(rows, self.ledger.position, position)?;
        self.put(rows)?;
        self.ledger.position = position;
        Ok(())
    }

    fn fill(&mut self, rows: &[Row]) -> Result<(), TablesError> {
        check_fill(rows, self.ledger.position)?;
        self.put(rows)
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
        let rows = self.shared.read();
        let rows = rows.as_ref().ok_or(TablesError::Closed)?;
        let mut found = BTreeMap::<Table, Digest>::new();
        for (full, value) in rows {
            let Some((table, key)) = full.split_first() else { continue };
            let table = Table(*table);
            if table.is_live() {
                found.entry(table).or_default().add(table, key, value);
                visit(table, key, value);
            }
        }
        Ok(self.ledger.compare(&found)?)
    }

    fn reset(&mut self, incarnation: Incarnation) -> Result<(), TablesError> {
        *self.shared.write() = Some(BTreeMap::new());
        self.ledger = Ledger::new(incarnation);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), TablesError> {
        self.shared.read().as_ref().map(drop).ok_or(TablesError::Closed)
    }

    fn stop(&mut self) -> Result<(), TablesError> {
        self.shared.write().take().map(drop).ok_or(TablesError::Closed)
    }

    fn reader(&self) -> Arc<dyn TablesRead> {
        self.shared.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conforms() {
        super::super::suite::run(&mut MemoryTables::new(super::super::suite::INCARNATION));
    }
}
