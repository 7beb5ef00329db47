//! The bookkeeping of the tables: up to where they go, whose they are, and what should be in them.
//!
//! It stands in the one tree under table 0 and is written in the same batch as the rows. Little-endian: version
//! (2), incarnation (16), position (8), number of tables (2), for each its number (1), count (8) and digest (16);
//! CRC-32 over all of it.

use std::collections::BTreeMap;

use super::{Distrust, Table};
use crate::model::ids::{BootId, Incarnation, Position};

/// The version written, and the only one read: tables of another one are rebuilt.
pub const VERSION: u16 = 1;
/// The key in the one tree.
pub const LEDGER_KEY: &[u8] = b"\0ledger";

/// What a set of rows amounts to, in whatever order they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// How many rows.
    pub count: u64,
    /// The sum, modulo 2^128, of the first half of each row's BLAKE3 hash.
    pub sum: u128,
}

impl Digest {
    /// Adds a row.
    pub fn add(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(row_hash(table, key, value));
    }

    /// Takes a row out that is in.
    pub fn take(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(row_hash(table, key, value));
    }
}

/// What the tables must fit to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// The cluster's incarnation.
    pub incarnation: Incarnation,
    /// The kernel's boot id of this host, now.
    pub boot: BootId,
    /// The first position that the log still holds.
    pub start: Position,
    /// The last one.
    pub end: Position,
}

impl Fit {
    /// Whether tables that were left like that may be looked at: `boot` is the one in which they were opened.
    ///
    /// # Errors
    /// Why not.
    pub fn check_note(&self, boot: BootId, closed: bool) -> Result<(), Distrust> {
        if closed || boot == self.boot { Ok(()) } else { Err(Distrust::NotClosed) }
    }

    /// Whether tables of that bookkeeping belong to the log.
    ///
    /// # Errors
    /// Why not.
    pub fn check_ledger(&self, ledger: &Ledger) -> Result<(), Distrust> {
        if ledger.incarnation != self.incarnation {
            return Err(Distrust::Incarnation { found: ledger.incarnation });
        }
        if ledger.position > self.end || ledger.position.0.saturating_add(1) < self.start.0 {
            return Err(Distrust::Position { found: ledger.position });
        }
        Ok(())
    }
}

/// The bookkeeping itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Whose rows they are.
    pub incarnation: Incarnation,
    /// Up to which group of the log.
    pub position: Position,
    /// Of each live table that has rows.
    pub live: BTreeMap<Table, Digest>,
}

impl Ledger {
    /// That of empty tables.
    pub fn new(incarnation: Incarnation) -> Ledger {
        Ledger { incarnation, position: Position(0), live: BTreeMap::new() }
    }

    /// Notes that the value of a key changes from `old` to `new`.
    pub fn note(&mut self, table: Table, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) {
        if !table.is_live() {
            return;
        }
        let digest = self.live.entry(table).or_default();
        if let Some(old) = old {
            digest.take(table, key, old);
        }
        if let Some(new) = new {
            digest.add(table, key, new);
        }
        if *digest == Digest::default() {
            self.live.remove(&table);
        }
    }

    /// Compares with what was found while loading.
    pub fn compare(&self, found: &BTreeMap<Table, Digest>) -> Result<(), Distrust> {
        for table in self.live.keys().chain(found.keys()).copied() {
            let kept = self.live.get(&table).copied().unwrap_or_default();
            let found = found.get(&table).copied().unwrap_or_default();
            if kept != found {
                return Err(Distrust::Digest { table, found: found.count, kept: kept.count });
            }
        }
        Ok(())
    }

    /// As it stands under [`LEDGER_KEY`].
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(32 + self.live.len() * 25);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.incarnation.0);
        bytes.extend_from_slice(&self.position.0.to_le_bytes());
        // There are at most 127 live tables.
        bytes.extend_from_slice(&(self.live.len() as u16).to_le_bytes());
        for (table, digest) in &self.live {
            bytes.push(table.0);
            bytes.extend_from_slice(&digest.count.to_le_bytes());
            bytes.extend_from_slice(&digest.sum.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads it; `None` if it is not whole or of another version.
    pub fn decode(bytes: &[u8]) -> Option<Ledger> {
        let (covered, crc) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(covered) != u32::from_le_bytes(*crc) {
            return None;
        }
        let (version, rest) = covered.split_first_chunk()?;
        if u16::from_le_bytes(*version) != VERSION {
            return None;
        }
        let (incarnation, rest) = rest.split_first_chunk()?;
        let (position, rest) = rest.split_first_chunk()?;
        let (count, mut rest) = rest.split_first_chunk()?;
        let mut live = BTreeMap::new();
        for _ in 0..u16::from_le_bytes(*count) {
            let (table, after) = rest.split_first()?;
            let (count, after) = after.split_first_chunk()?;
            let (sum, after) = after.split_first_chunk()?;
            let digest = Digest { count: u64::from_le_bytes(*count), sum: u128::from_le_bytes(*sum) };
            live.insert(Table(*table), digest);
            rest = after;
        }
        let ledger = Ledger {
            incarnation: Incarnation(*incarnation),
            position: Position(u64::from_le_bytes(*position)),
            live,
        };
        rest.is_empty().then_some(ledger)
    }
}

fn row_hash(table: Table, key: &[u8], value: &[u8]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[table.0]);
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    let mut half = [0; 16];
    hasher.finalize_xof().fill(&mut half);
    u128::from_le_bytes(half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn old_ledgers_are_read_and_any_bit_is_seen() {
        let golden = include_bytes!("../../../tests/golden/store-ledger-1.bin");
        let mut ledger = Ledger::new(Incarnation([0xab; 16]));
        ledger.position = Position(7);
        ledger.note(Table::JOB, b"key", None, Some(b"value"));
        ledger.note(Table::NODE, b"", None, Some(b""));
        assert_eq!(Ledger::decode(golden), Some(ledger.clone()));
        assert_eq!(ledger.encode(), golden);
        for bit in 0..golden.len() * 8 {
            let mut bytes = golden.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Ledger::decode(&bytes), None, "bit {bit}");
        }
    }

    proptest! {
        /// However rows come and go, the ledger is that of what is left.
        #[test]
        fn the_order_does_not_matter(steps in prop::collection::vec((0u8..4, 0u8..4, prop::option::of(0u8..4)), 0..60)) {
            let mut rows: BTreeMap<(u8, u8), u8> = BTreeMap::new();
            let mut ledger = Ledger::new(Incarnation::default());
            for (table, key, new) in steps {
                let old = match new {
                    Some(value) => rows.insert((table, key), value),
                    None => rows.remove(&(table, key)),
                };
                let [old, new] = [old, new].map(|value| value.map(|value| vec![value]));
                ledger.note(Table(table), &[key], old.as_deref(), new.as_deref());
            }
            let mut found = BTreeMap::<Table, Digest>::new();
            for ((table, key), value) in rows.into_iter().rev().filter(|((table, _), _)| *table > 0) {
                found.entry(Table(table)).or_default().add(Table(table), &[key], &[value]);
            }
            prop_assert_eq!(ledger.compare(&found), Ok(()));
            prop_assert_eq!(&ledger.live, &found);
        }
    }
}
