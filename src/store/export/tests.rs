//! Exports against a model: whatever batches came, whatever was cut or flipped, tables built from an export and the
//! batches behind it are those that a map would be.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use proptest::prelude::*;

use super::manifest::Manifest;
use super::rebuild::rebuild;
use super::rows_file::{BLOCK_BYTES, Batch, Head, Kind, RowsReader, RowsWriter};
use super::{EXPORTS_KEPT, Exports, files, verify};
use crate::model::ids::{Epoch, Incarnation, Position};
use crate::model::time::WallTime;
use crate::store::disk::Disk;
use crate::store::disk::memory::MemoryDisk;
use crate::store::fed::Fed;
use crate::store::tables::memory::MemoryTables;
use crate::store::tables::{Order, Row, Table, Tables, VALUE_BYTES_MAX};

const INCARNATION: Incarnation = Incarnation([7; 16]);
const NOW: WallTime = WallTime(1_000_000);

type Map = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

#[derive(Clone, Debug)]
enum Step {
    /// One batch of rows: table, key, value.
    Batch(Vec<(u8, u8, Option<u8>)>),
    /// An export.
    Export,
    /// The process ends and another begins; the tables may have fallen behind by so many batches.
    Restart(usize),
    /// The power goes; the tables are not believed afterwards.
    PowerCut(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = (prop::sample::select(vec![4u8, 5, 128, 140, 255]), 0u8..6, prop::option::of(any::<u8>()));
    let step = prop_oneof![
        6 => prop::collection::vec(row, 0..5).prop_map(Step::Batch),
        2 => Just(Step::Export),
        1 => (0usize..3).prop_map(Step::Restart),
        1 => any::<u64>().prop_map(Step::PowerCut),
    ];
    prop::collection::vec(step, 0..40)
}

/// A state folder whose log is a plain list of batches.
struct World {
    disk: MemoryDisk,
    log: Vec<Vec<Row>>,
    fed: Fed<MemoryTables>,
}

impl World {
    fn new() -> World {
        let disk = MemoryDisk::new();
        let fed = Fed::new(MemoryTables::new(INCARNATION), open(&disk), NOW).unwrap();
        World { disk, log: Vec::new(), fed }
    }

    fn batch(&mut self, rows: Vec<Row>) {
        self.log.push(rows);
        let position = Position(self.log.len() as u64);
        self.fed.apply(self.log.last().unwrap(), position).unwrap();
    }

    /// Begins anew on `disk` with `tables`, and replays the log behind them.
    fn begin(&mut self, disk: MemoryDisk, tables: MemoryTables, exports: Exports) {
        self.disk = disk;
        self.fed = Fed::new(tables, exports, NOW).unwrap();
        let from = self.fed.position().0 as usize;
        for index in from..self.log.len() {
            self.fed.apply(&self.log[index], Position(index as u64 + 1)).unwrap();
        }
    }

    fn model(&self, batches: usize) -> Map {
        let mut map = Map::new();
        for row in self.log.iter().take(batches).flatten() {
            let key = (row.table.0, row.key.clone());
            match &row.value {
                Some(value) => map.insert(key, value.clone()),
                None => map.remove(&key),
            };
        }
        map
    }
}

fn open(disk: &MemoryDisk) -> Exports {
    Exports::open(Arc::new(disk.clone()), INCARNATION).unwrap()
}

fn rows_in(tables: &dyn Tables) -> Map {
    let mut map = Map::new();
    for table in 1..=255 {
        let found = tables.range(Table(table), Bound::Unbounded, Bound::Unbounded, Order::Up, 1_000).unwrap();
        map.extend(found.into_iter().map(|(key, value)| ((table, key), value)));
    }
    map
}

/// Tables from the newest export.
fn built(disk: &MemoryDisk, manifest: &Manifest) -> MemoryTables {
    let mut tables = MemoryTables::new(INCARNATION);
    rebuild(disk, manifest, &mut tables).unwrap();
    tables
}

fn row(table: u8, key: u8, value: Option<u8>) -> Row {
    Row { table: Table(table), key: vec![key], value: value.map(|value| vec![value]) }
}

proptest! {
    #[test]
    fn tables_from_an_export_and_the_log_behind_it_are_the_tables(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Batch(rows) => {
                    world.batch(rows.into_iter().map(|(table, key, value)| row(table, key, value)).collect());
                }
                Step::Export => {
                    world.fed.export(Epoch(1), NOW).unwrap();
                }
                Step::Restart(behind) => {
                    let disk = world.disk.restart();
                    let exports = open(&disk);
                    let floor = exports.newest().map_or(0, |newest| newest.position.0 as usize);
                    let at = world.log.len().saturating_sub(behind).max(floor);
                    let mut tables = MemoryTables::new(INCARNATION);
                    for (index, rows) in world.log.iter().take(at).enumerate() {
                        tables.apply(rows, Position(index as u64 + 1)).unwrap();
                    }
                    world.begin(disk, tables, exports);
                }
                Step::PowerCut(seed) => {
                    let disk = world.disk.crash(seed);
                    let exports = open(&disk);
                    let tables = match exports.newest() {
                        Some(newest) => built(&disk, newest),
                        None => MemoryTables::new(INCARNATION),
                    };
                    world.begin(disk, tables, exports);
                }
            }
            let exports = open(&world.disk);
            prop_assert!(exports.all().len() <= EXPORTS_KEPT);
            for manifest in exports.all() {
                verify(&world.disk, manifest).unwrap();
                let tables = built(&world.disk, manifest);
                prop_assert_eq!(tables.position(), manifest.position);
                let model = world.model(manifest.position.0 as usize);
                prop_assert_eq!(rows_in(&tables), model);
            }
            prop_assert_eq!(rows_in(&world.fed), world.model(world.log.len()));
        }
    }
}

fn with_two_exports() -> World {
    let mut world = World::new();
    for number in 0..6 {
        world.batch(vec![row(4, number, Some(1)), row(200, number, Some(2))]);
        if number % 2 == 1 {
            world.fed.export(Epoch(1), NOW).unwrap();
        }
    }
    world
}

#[test]
fn every_flipped_byte_is_found() {
    let world = with_two_exports();
    let exports = open(&world.disk);
    let manifest = exports.newest().unwrap();
    for note in files(manifest) {
        for byte in 0..note.bytes {
            let bit = byte * 8 + byte % 8;
            assert!(world.disk.flip(&note.path, bit));
            assert!(verify(&world.disk, manifest).is_err(), "{} byte {byte}", note.path);
            let mut tables = MemoryTables::new(INCARNATION);
            assert!(rebuild(&world.disk, manifest, &mut tables).is_err());
            assert_eq!(tables.position(), Position(0), "it must not pass for whole");
            assert!(world.disk.flip(&note.path, bit));
        }
    }
    verify(&world.disk, manifest).unwrap();
    let path = Manifest::path(manifest.number);
    for byte in 0..world.disk.length(&path).unwrap().unwrap() {
        world.disk.flip(&path, byte * 8);
        assert_eq!(open(&world.disk).newest().unwrap().number, manifest.number - 1, "byte {byte}");
        world.disk.flip(&path, byte * 8);
    }
}

#[test]
fn files_cut_short_are_found() {
    let world = with_two_exports();
    let exports = open(&world.disk);
    let manifest = exports.newest().unwrap();
    let whole = world.disk.contents(&manifest.live.path).unwrap();
    for length in 0..whole.len() {
        let mut file = world.disk.open(&manifest.live.path, crate::store::disk::Access::Write).unwrap();
        file.truncate(length as u64).unwrap();
        drop(file);
        assert!(verify(&world.disk, manifest).is_err(), "{length}");
        let mut file = world.disk.create(&manifest.live.path).unwrap();
        file.allocate(0, whole.len() as u64).unwrap();
        file.write_at(0, &whole).unwrap();
    }
    verify(&world.disk, manifest).unwrap();
}

#[test]
fn without_room_nothing_has_changed_and_the_next_one_is_whole() {
    let mut world = with_two_exports();
    for number in 0..40 {
        world.batch(vec![row(4, number, Some(1)), row(200, number, Some(3))]);
    }
    let used = world.disk.used();
    world.disk.set_capacity(used);
    let before: Vec<u64> = open(&world.disk).all().iter().map(|manifest| manifest.number).collect();
    world.fed.export(Epoch(1), NOW).unwrap_err();
    // History goes on without a place to write it.
    world.batch(vec![row(200, 77, Some(9)), row(200, 78, Some(9))]);
    assert_eq!(open(&world.disk).all().iter().map(|manifest| manifest.number).collect::<Vec<_>>(), before);
    world.disk.set_capacity(u64::MAX);
    let manifest = world.fed.export(Epoch(1), NOW).unwrap().clone();
    assert_eq!(rows_in(&built(&world.disk, &manifest)), world.model(world.log.len()));
}

#[test]
fn the_largest_rows_pass_and_blocks_stay_below_their_limit() {
    let disk = MemoryDisk::new();
    disk.make_folder(super::FOLDER).unwrap();
    let head = Head { kind: Kind::History, incarnation: INCARNATION, number: 1 };
    let mut writer = RowsWriter::create(&disk, "exports/x", head).unwrap();
    let large = Row { table: Table(200), key: vec![1; 1024], value: Some(vec![2; VALUE_BYTES_MAX]) };
    let nearly = Row { table: Table(200), key: vec![3], value: Some(vec![4; BLOCK_BYTES - 100]) };
    let batch = Batch { after: Position(0), position: Position(1), at: NOW, last: true };
    let rows = vec![nearly, large, row(200, 5, None)];
    writer.append(batch, &rows).unwrap();
    let note = writer.finish().unwrap();
    let mut reader = RowsReader::open(&disk, "exports/x").unwrap();
    let mut read = Vec::new();
    while let Some((_, rows)) = reader.block().unwrap() {
        read.extend(rows);
    }
    assert_eq!((read, reader.note()), (rows, note));
}
