use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::ids::{Attempt, JobId, NodeId, Ordinal, TaskRef};
use crate::store::disk::memory::{Fault, MemoryDisk};

fn key(job: u64) -> Key {
    let task = TaskRef { job: JobId(job), ordinal: Ordinal(0) };
    Key { task, attempt: Attempt(1), node: NodeId(3), error: false }
}

fn piece(job: u64, offset: u64, bytes: &[u8]) -> Piece {
    let size = offset + bytes.len() as u64;
    let (key, at, path) = (key(job), WallTime(7), String::new());
    Piece { key, uid: Uid(5), start: 0, offset, size, last: false, at, path, bytes: bytes.to_vec() }
}

fn open(disk: &MemoryDisk, limits: Limits) -> OutputStore {
    OutputStore::open(Arc::new(disk.clone()), limits).unwrap()
}

/// All that is kept, with the gaps as dots.
fn all(store: &OutputStore, key: &Key) -> Vec<(u64, Vec<u8>)> {
    let Some(kept) = store.find(key) else { return Vec::new() };
    let (mut found, mut from) = (Vec::new(), 0);
    loop {
        let (offset, bytes) = store.read(&kept, from, u64::MAX, 1 << 30).unwrap();
        if bytes.is_empty() {
            return found;
        }
        from = offset + bytes.len() as u64;
        found.push((offset, bytes));
    }
}

#[test]
fn head_and_tail_outlive_restarts_and_the_middle_goes() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk, Limits::default());
    let chunk = |n: u64| vec![n as u8; 300_000];
    for n in 0..12 {
        store.keep(&[piece(1, n * 300_000, &chunk(n)), piece(2, n, b"x")]).unwrap();
        if n % 5 == 4 {
            store = open(&disk.crash(n), Limits::default());
        }
    }
    let found = all(&store, &key(1));
    let (tail_at, tail) = found.last().unwrap();
    assert_eq!(found[0].0, 0);
    assert!(found[0].1.len() as u64 >= HEAD_BYTES && *tail_at + tail.len() as u64 == 3_600_000);
    assert!(tail.len() as u64 >= TAIL_BYTES && *tail_at > 300_000, "{tail_at}");
    assert_eq!(all(&store, &key(2)), [(0, b"x".repeat(12))]);
    assert_eq!(store.find(&key(1)).unwrap().size, 3_600_000);
}

#[test]
fn what_was_said_to_be_kept_outlives_every_crash() {
    for seed in 0..60 {
        let disk = MemoryDisk::new();
        let store = open(&disk, Limits::default());
        store.keep(&[piece(1, 0, b"kept")]).unwrap();
        disk.plan(if seed % 2 == 0 { Fault::Sync(0) } else { Fault::Write(0) });
        assert!(store.keep(&[piece(1, 4, b"lost"), piece(2, 0, b"lost")]).is_err());
        let store = open(&disk.crash(seed), Limits::default());
        let found = all(&store, &key(1));
        assert!(found == [(0, b"kept".to_vec())] || found == [(0, b"keptlost".to_vec())], "{found:?}");
        store.keep(&[piece(1, 4, b"more")]).unwrap();
        assert_eq!(all(&store, &key(1)), [(0, b"keptmore".to_vec())]);
    }
}

#[test]
fn a_flipped_bit_is_a_gap_and_never_other_bytes() {
    let whole = |store: &OutputStore| all(store, &key(1)).into_iter().flat_map(|(_, bytes)| bytes).count();
    for bit in (0..8 * 400).step_by(61) {
        let disk = MemoryDisk::new();
        let store = open(&disk, Limits::default());
        let pieces: Vec<Piece> = (0..3).map(|n| piece(1, n * 10, &[n as u8; 10])).collect();
        store.keep(&pieces).unwrap();
        disk.flip(&segments::path(0), bit);
        for store in [store, open(&disk, Limits::default())] {
            for (offset, bytes) in all(&store, &key(1)) {
                for (at, byte) in bytes.iter().enumerate() {
                    assert_eq!(u64::from(*byte), (offset + at as u64) / 10);
                }
            }
            assert!(whole(&store) >= 20, "one record at most is lost");
        }
    }
}

#[test]
fn quotas_are_held_and_the_oldest_go_first() {
    let disk = MemoryDisk::new();
    let limits =
        Limits { user_bytes: 10 * (ENTRY_BYTES + 100_000), all_bytes: 40 << 20, ..Limits::default() };
    let store = open(&disk, limits);
    let other = Piece { uid: Uid(6), ..piece(1_000, 0, b"his") };
    store.keep(&[other]).unwrap();
    for job in 1..=400 {
        store.keep(&[piece(job, 0, &[7; 100_000])]).unwrap();
    }
    let kept = (1..=400).filter(|job| store.find(&key(*job)).is_some()).collect::<Vec<u64>>();
    assert_eq!(kept, (392..=400).collect::<Vec<u64>>());
    assert!(store.find(&key(1_000)).is_some(), "one user's mass does not push out another's");
    let (_, length) = store.usage();
    assert!(length <= 3 * SEGMENT_BYTES, "{length} bytes of segments are left");
    store.forget_before(WallTime(8)).unwrap();
    assert_eq!(store.usage().0, 0);
}

#[test]
fn so_many_outputs_are_kept_and_not_one_more() {
    let disk = MemoryDisk::new();
    let limits = Limits { entries: 100, ..Limits::default() };
    let store = open(&disk, limits);
    store.keep(&(1..=100).map(|job| piece(job, 0, b"x")).collect::<Vec<_>>()).unwrap();
    assert!(store.find(&key(1)).is_some());
    store.keep(&[Piece { uid: Uid(6), ..piece(1_000, 0, b"his") }]).unwrap();
    for store in [&store, &open(&disk, limits)] {
        assert_eq!(store.find(&key(1)), None, "the oldest of whoever has the most goes");
        assert!((2..=100).chain([1_000]).all(|job| store.find(&key(job)).is_some()));
    }
}

/// Output that looks like a record of somebody else, in front of which a header is damaged.
#[test]
fn what_a_user_writes_is_never_a_record() {
    let mut forged = Vec::new();
    let his = Piece { uid: Uid(6), ..piece(7, 0, b"forged") };
    record::encode(&his, 0, &record::Secret::default(), &mut forged);
    let disk = MemoryDisk::new();
    let store = open(&disk, Limits::default());
    store.keep(&[piece(1, 0, &forged.repeat(50)), piece(2, 0, b"behind")]).unwrap();
    // The first byte of the first record.
    disk.flip(&segments::path(0), 8 * 56);
    let store = open(&disk, Limits::default());
    assert_eq!((store.find(&key(7)), store.find(&key(1))), (None, None));
    assert_eq!(all(&store, &key(2)), [(0, b"behind".to_vec())]);
}

#[test]
fn the_bound_of_all_and_a_full_disk() {
    let disk = MemoryDisk::new();
    let store =
        open(&disk, Limits { user_bytes: u64::MAX, all_bytes: 3 * SEGMENT_BYTES, ..Limits::default() });
    for job in 1..=100 {
        store.keep(&[piece(job, 0, &[7; 1 << 20])]).unwrap();
    }
    assert!(store.usage().1 <= 4 * SEGMENT_BYTES);
    assert!(store.find(&key(100)).is_some());
    disk.set_capacity(disk.used());
    let mut refused = 0;
    for job in 101..=130 {
        while let Err(error) = store.keep(&[piece(job, 0, &[7; 1 << 20])]) {
            assert!(error.is_no_room(), "{error}");
            refused += 1;
            assert!(refused < 100, "room is made by letting go");
        }
    }
    assert!(store.find(&key(130)).is_some());
}

#[test]
fn a_file_that_was_made_shorter_begins_anew() {
    let disk = MemoryDisk::new();
    let store = open(&disk, Limits::default());
    store.keep(&[piece(1, 0, b"first life")]).unwrap();
    store.keep(&[piece(1, 0, b"new"), piece(1, 3, b"er")]).unwrap();
    for store in [&store, &open(&disk, Limits::default())] {
        assert_eq!(all(store, &key(1)), [(0, b"newer".to_vec())]);
    }
    // Many small pieces become few, and stay whole.
    for n in 5..200 {
        store.keep(&[piece(1, n, b"x")]).unwrap();
    }
    assert!(store.find(&key(1)).unwrap().extents.len() <= PIECES_MAX + 1);
    assert_eq!(all(&open(&disk, Limits::default()), &key(1))[0].1.len(), 200);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn arbitrary_bytes_are_no_records_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = record::decode(&bytes);
        let disk = MemoryDisk::new();
        disk.make_folder(FOLDER).unwrap();
        let mut file = disk.create(&segments::path(4)).unwrap();
        if !bytes.is_empty() {
            file.allocate(0, bytes.len() as u64).unwrap();
        }
        file.write_at(0, &bytes).unwrap();
        drop(file);
        let store = open(&disk, Limits::default());
        store.keep(&[piece(1, 0, b"x")]).unwrap();
        prop_assert_eq!(all(&store, &key(1)), vec![(0, b"x".to_vec())]);
    }
}
