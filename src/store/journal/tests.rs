use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::store::disk::memory::{Fault, MemoryDisk};
use crate::store::disk::real::RealDisk;
use crate::store::log_suite::{self, INCARNATION};

const CLAIM: Claim = Claim { incarnation: INCARNATION };

/// Small enough that a few dozen groups fill several segments.
const SMALL: Limits =
    Limits { segment_bytes: 4096, chunk_bytes: 1024, ahead_bytes: 1500, reserve_bytes: 1200 };

fn made() -> MemoryDisk {
    let disk = MemoryDisk::new();
    Journal::create(&disk, INCARNATION).unwrap();
    disk
}

fn small(disk: &MemoryDisk) -> Journal {
    Journal::with_limits(Arc::new(disk.clone()), SMALL)
}

/// The payload of a position: its length differs, its content says which it is.
fn payload(position: u64) -> Vec<u8> {
    let length = (position * 37 % 300) as usize;
    position.to_le_bytes().into_iter().cycle().take(length).collect()
}

fn append(journal: &mut Journal, epoch: Epoch, positions: std::ops::RangeInclusive<u64>) {
    for position in positions {
        journal.append(epoch, Position(position), &payload(position)).unwrap();
    }
}

/// Opens what is on `disk`, checks every payload, and gives the end.
fn reopened(disk: &MemoryDisk) -> Result<(Journal, Opened), LogError> {
    let mut journal = small(disk);
    let opened = journal.open(CLAIM)?;
    let groups: Result<Vec<_>, _> = journal.read(opened.start)?.collect();
    let mut next = opened.start.0;
    for (position, found) in groups? {
        assert_eq!(position.0, next);
        assert_eq!(found, payload(next), "group {next} is another one");
        next += 1;
    }
    assert_eq!(next, opened.end.0 + 1, "every group up to the end is read");
    Ok((journal, opened))
}

#[test]
fn conforms_in_memory() {
    let disk = made();
    log_suite::run(|| Box::new(Journal::new(Arc::new(disk.clone()))));
}

#[test]
fn conforms_on_a_file_system() {
    let folder = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(folder.path()).unwrap();
    Journal::create(&disk, INCARNATION).unwrap();
    log_suite::run(|| Box::new(Journal::new(Arc::new(disk.clone()))));
}

#[test]
fn a_folder_without_journal_is_not_taken_for_a_new_one() {
    let disk = MemoryDisk::new();
    assert!(matches!(small(&disk).open(CLAIM), Err(LogError::Missing)));
    Journal::create(&disk, INCARNATION).unwrap();
    // An interrupted `init` may be repeated, a used journal never made anew.
    Journal::create(&disk, INCARNATION).unwrap();
    let (mut journal, opened) = reopened(&disk).unwrap();
    append(&mut journal, opened.epoch, 1..=1);
    assert!(matches!(Journal::create(&disk, INCARNATION), Err(LogError::Exists)));
}

#[test]
fn what_a_failed_sync_dropped_is_written_anew_before_it_is_told() {
    let disk = made();
    let (mut journal, opened) = reopened(&disk).unwrap();
    append(&mut journal, opened.epoch, 1..=3);
    journal.sync().unwrap();
    append(&mut journal, opened.epoch, 4..=6);
    disk.plan(Fault::Sync(0));
    assert!(matches!(journal.sync(), Err(LogError::Disk(_))));
    assert_eq!(journal.poll(), Durability::Unknown);
    assert!(matches!(journal.sync(), Err(LogError::NotOpen)), "a dead journal stays dead");
    // The next process sees in the page cache what never reached the disk.
    let disk = disk.restart();
    let (_, opened) = reopened(&disk).unwrap();
    assert_eq!(opened.end, Position(6));
    for seed in 0..20 {
        let (_, again) = reopened(&disk.crash(seed)).unwrap();
        assert!(again.end >= opened.end, "it was told, and is gone");
    }
}

#[test]
fn room_runs_out_before_a_group_is_decided_and_comes_back() {
    let disk = made();
    let limits =
        Limits { segment_bytes: 64_000, chunk_bytes: 4096, ahead_bytes: 12_000, reserve_bytes: 10_000 };
    let mut journal = Journal::with_limits(Arc::new(disk.clone()), limits);
    let epoch = journal.open(CLAIM).unwrap().epoch;
    let mut position = 0;
    while segment::sequences(&disk).unwrap().len() < 4 {
        position += 1;
        journal.append(epoch, Position(position), &payload(position)).unwrap();
        journal.sync().unwrap();
        assert!(matches!(journal.room().unwrap(), Room::Enough(_)), "the disk has room, group {position}");
    }
    disk.set_capacity(disk.used());
    while matches!(journal.room().unwrap(), Room::Enough(_)) {
        position += 1;
        journal.append(epoch, Position(position), &payload(position)).unwrap();
        journal.sync().unwrap();
    }
    // What was promised as the reserve is really there, whatever the pieces.
    let mut left = match journal.room().unwrap() {
        Room::Enough(_) => 0,
        Room::Reserve(bytes) => bytes,
    };
    assert!(left > 4000, "the reserve is worth something: {left}");
    while left >= payload(position + 1).len() as u64 {
        position += 1;
        left -= payload(position).len() as u64;
        journal.append(epoch, Position(position), &payload(position)).unwrap();
    }
    journal.sync().unwrap();
    let mut refused = position;
    let error = loop {
        refused += 1;
        match journal.append(epoch, Position(refused), &payload(refused)) {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LogError::NoRoom { .. }), "{error}");
    journal.sync().unwrap();
    // Opening has to write a new segment, and says so if it can't; nothing is lost meanwhile.
    drop(journal);
    let disk = disk.restart();
    disk.set_capacity(disk.used());
    assert!(matches!(reopened(&disk), Ok(_) | Err(LogError::NoRoom { .. })));
    let disk = disk.restart();
    disk.set_capacity(u64::MAX);
    let (mut journal, opened) = reopened(&disk).unwrap();
    assert_eq!(opened.end.0, refused - 1);
    assert!(matches!(journal.room().unwrap(), Room::Enough(_)));
}

#[test]
fn segments_and_frames_keep_their_limits() {
    let disk = made();
    let mut journal = small(&disk);
    let epoch = journal.open(CLAIM).unwrap().epoch;
    let most = SMALL.largest_payload() as usize;
    journal.append(epoch, Position(1), &vec![1; most]).unwrap();
    let refused = journal.append(epoch, Position(2), &vec![1; most + 1]);
    assert!(matches!(refused, Err(LogError::TooLarge { .. })));
    journal.append(epoch, Position(2), &vec![1; most]).unwrap();
    journal.sync().unwrap();
    for sequence in segment::sequences(&disk).unwrap() {
        let length = disk.length(&segment::path(sequence)).unwrap().unwrap();
        assert!(length <= SMALL.segment_bytes, "segment {sequence} has {length} bytes");
    }
    drop(journal);
    assert_eq!(small(&disk).open(CLAIM).unwrap().end, Position(2));
}

#[test]
fn many_restarts_leave_no_space_behind() {
    let disk = made();
    let mut end = 0;
    for _ in 0..50 {
        let (mut journal, opened) = reopened(&disk).unwrap();
        append(&mut journal, opened.epoch, end + 1..=end + 1);
        journal.sync().unwrap();
        end += 1;
    }
    let frames: u64 = (1..=end).map(|position| (payload(position).len() + OVERHEAD_BYTES) as u64).sum();
    let headers = segment::sequences(&disk).unwrap().len() as u64 * segment::HEADER_BYTES;
    let ahead = 2 * SMALL.segment_bytes + 8192;
    assert!(disk.used() <= frames + headers + ahead, "{} bytes", disk.used());
}

#[test]
fn a_missing_segment_or_a_missing_end_is_damage() {
    let disk = made();
    let (mut journal, opened) = reopened(&disk).unwrap();
    append(&mut journal, opened.epoch, 1..=60);
    journal.close().unwrap();
    let sequences = segment::sequences(&disk).unwrap();
    assert!(sequences.len() > 3);
    for lost in &sequences[1..] {
        let disk = copy(&disk);
        disk.remove(&segment::path(*lost)).unwrap();
        assert!(matches!(small(&disk).open(CLAIM), Err(LogError::Damage(_))), "segment {lost}");
    }
    let last = segment::path(*sequences.last().unwrap());
    disk.open(&last, crate::store::disk::Access::Write).unwrap().truncate(70).unwrap();
    let error = small(&disk).open(CLAIM).err().unwrap().to_string();
    assert!(
        error.contains(&last) && error.contains("was durable") && error.contains("jctld verify"),
        "{error}"
    );
}

#[test]
fn a_later_group_proves_what_a_stale_mark_does_not_know() {
    let disk = made();
    let (mut journal, opened) = reopened(&disk).unwrap();
    let stale = disk.contents(MARK_FILE).unwrap();
    for position in 1..=9 {
        append(&mut journal, opened.epoch, position..=position);
        journal.sync().unwrap();
    }
    drop(journal);
    let path = segment::path(*segment::sequences(&disk).unwrap().last().unwrap());
    let disk = disk.restart();
    let mut mark = disk.open(MARK_FILE, crate::store::disk::Access::Write).unwrap();
    mark.write_at(0, &stale).unwrap();
    // In the fourth group; the ninth knew it to be durable.
    let frames: usize = (1..4).map(|position| payload(position).len() + OVERHEAD_BYTES).sum();
    disk.flip(&path, (segment::HEADER_BYTES + frames as u64 + 60) * 8);
    let error = reopened(&disk).map(drop).unwrap_err().to_string();
    assert!(error.contains("proves that it was durable"), "{error}");
}

/// A disk with the same journal.
fn copy(disk: &MemoryDisk) -> MemoryDisk {
    let copy = MemoryDisk::new();
    for name in disk.list(FOLDER).unwrap() {
        let path = format!("{FOLDER}/{name}");
        copy.create(&path).unwrap().write_at(0, &disk.contents(&path).unwrap()).unwrap();
    }
    copy
}

/// Writes that went to the wrong place leave frames that are whole in themselves.
#[test]
fn whole_frames_of_another_history_are_not_taken() {
    let one = made();
    let (mut journal, opened) = reopened(&one).unwrap();
    append(&mut journal, opened.epoch, 1..=3);
    journal.close().unwrap();
    let two = copy(&one);
    for (disk, letter) in [(&one, b"a"), (&two, b"b")] {
        let mut journal = small(disk);
        let epoch = journal.open(CLAIM).unwrap().epoch;
        journal.append(epoch, Position(4), letter).unwrap();
        journal.append(epoch, Position(5), letter).unwrap();
        journal.close().unwrap();
    }
    let path = segment::path(*segment::sequences(&one).unwrap().last().unwrap());
    let other = two.contents(&path).unwrap();
    let frame_bytes = OVERHEAD_BYTES + 1;
    let first = segment::HEADER_BYTES as usize;
    let cases = [
        (first, first + frame_bytes, "does not follow"),
        (first, first + 2 * frame_bytes, "group 5 is not the one that was durable"),
    ];
    for (from, to, what) in cases {
        let disk = copy(&one);
        let mut file = disk.open(&path, crate::store::disk::Access::Write).unwrap();
        file.write_at(from as u64, &other[from..to]).unwrap();
        let error = small(&disk).open(CLAIM).map(drop).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn old_segment_headers_are_read_for_ever() {
    let golden = include_bytes!("../../../tests/golden/store-segment-1.bin");
    let header = Header {
        incarnation: Incarnation([0xab; 16]),
        epoch: Epoch(3),
        sequence: 2,
        first: Position(7),
        previous: 0xdead_beef,
    };
    assert_eq!(header.encode(), golden);
    let disk = MemoryDisk::new();
    let mut file = disk.create("x").unwrap();
    file.write_at(0, golden).unwrap();
    assert_eq!(Header::load(&*file, "x").unwrap(), header);
    for bit in 0..56 * 8 {
        disk.flip("x", bit);
        assert!(Header::load(&*file, "x").is_err(), "bit {bit}");
        disk.flip("x", bit);
    }
}

/// What happens to a journal.
#[derive(Clone, Debug)]
enum Event {
    Append(u64),
    Sync,
    Room,
    /// The process goes and comes back.
    Restart,
    /// The power goes.
    Crash(u64),
    /// The power goes, and a sync or write of the next opening fails.
    Stumble(u64, u32),
    /// A write or sync fails some operations from now.
    FailWrite(u32),
    FailSync(u32),
    Trim(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (1u64..6).prop_map(Event::Append),
        6 => Just(Event::Sync),
        1 => Just(Event::Room),
        1 => Just(Event::Restart),
        2 => any::<u64>().prop_map(Event::Crash),
        2 => (any::<u64>(), 0u32..12).prop_map(|(seed, after)| Event::Stumble(seed, after)),
        1 => (0u32..8).prop_map(Event::FailWrite),
        1 => (0u32..8).prop_map(Event::FailSync),
        1 => (0u64..40).prop_map(Event::Trim),
    ]
}

/// A journal, and what it told.
struct Trial {
    disk: MemoryDisk,
    journal: Journal,
    epoch: Epoch,
    appended: u64,
    /// The last position ever reported durable.
    told: u64,
    /// The highest position before which a trim was asked for.
    trimmed: u64,
}

impl Trial {
    fn new() -> Trial {
        let disk = made();
        let (journal, opened) = reopened(&disk).unwrap();
        Trial { disk, journal, epoch: opened.epoch, appended: 0, told: 0, trimmed: 0 }
    }

    /// Takes the log over after the process died.
    fn recover(&mut self) {
        let (journal, opened) = reopened(&self.disk).expect("a crash is no damage");
        self.take_office(journal, opened);
    }

    /// The same, with a failure on the way and another crash after it.
    fn stumble(&mut self, seed: u64, fault: Fault) {
        self.disk.plan(fault);
        match reopened(&self.disk) {
            Ok((journal, opened)) => self.take_office(journal, opened),
            Err(LogError::Disk(_)) => {
                self.disk = if seed.is_multiple_of(2) { self.disk.crash(seed) } else { self.disk.restart() };
                self.recover();
            }
            Err(error) => panic!("a failure is no damage: {error}"),
        }
    }

    fn take_office(&mut self, journal: Journal, opened: Opened) {
        assert!(opened.end.0 >= self.told, "group {} was durable, the log ends at {}", self.told, opened.end);
        assert!(opened.start.0 <= self.trimmed.max(1), "more was let go of than asked");
        assert!(opened.epoch > self.epoch, "the epoch rises");
        (self.journal, self.epoch) = (journal, opened.epoch);
        (self.appended, self.told) = (opened.end.0, opened.end.0);
    }

    fn restart(&mut self) {
        self.disk = self.disk.restart();
        self.recover();
    }

    /// An operation failed: the process dies, as it must.
    fn died(&mut self, error: &LogError) {
        assert!(matches!(error, LogError::Disk(_)), "{error}");
        assert_eq!(self.journal.poll(), Durability::Unknown);
        self.restart();
    }

    fn play(&mut self, event: &Event) {
        match *event {
            Event::Append(count) => {
                for _ in 0..count {
                    let position = self.appended + 1;
                    match self.journal.append(self.epoch, Position(position), &payload(position)) {
                        Ok(()) => self.appended = position,
                        Err(error) => return self.died(&error),
                    }
                }
            }
            Event::Sync => match self.journal.sync() {
                Ok(()) => assert_eq!(self.journal.poll(), Durability::Durable(Position(self.appended))),
                Err(error) => return self.died(&error),
            },
            Event::Room => {
                if let Err(error) = self.journal.room() {
                    return self.died(&error);
                }
            }
            Event::Trim(back) => {
                let before = self.told.saturating_sub(back);
                self.trimmed = self.trimmed.max(before);
                if let Err(error) = self.journal.trim(Position(before)) {
                    return self.died(&error);
                }
            }
            Event::Restart => self.restart(),
            Event::Crash(seed) => {
                self.disk = self.disk.crash(seed);
                self.recover();
            }
            Event::Stumble(seed, after) => {
                self.disk = self.disk.crash(seed);
                let fault = if seed % 3 == 0 { Fault::Write(after) } else { Fault::Sync(after) };
                self.stumble(seed / 3, fault);
            }
            Event::FailWrite(after) => self.disk.plan(Fault::Write(after)),
            Event::FailSync(after) => self.disk.plan(Fault::Sync(after)),
        }
        if let Durability::Durable(position) = self.journal.poll() {
            self.told = position.0;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// P1 at the level of the disk: whatever was reported durable is there after every crash and failure, nothing
    /// else but true groups in their order is read, and no crash is ever called damage.
    #[test]
    fn what_was_told_is_never_lost(events in prop::collection::vec(event(), 1..60)) {
        let mut trial = Trial::new();
        events.iter().for_each(|event| trial.play(event));
        trial.disk = trial.disk.crash(events.len() as u64);
        trial.recover();
    }

    /// Any one bit turned over anywhere in the journal's files is either without consequence or refused: never a
    /// wrong payload, never a group missing that was durable, never a later start of the log.
    #[test]
    fn a_flipped_bit_is_never_believed(
        groups in 1u64..60,
        waiting in 0u64..4,
        settled in any::<bool>(),
        file in any::<prop::sample::Index>(),
        bit in any::<prop::sample::Index>(),
    ) {
        let disk = made();
        let (mut journal, opened) = reopened(&disk).unwrap();
        append(&mut journal, opened.epoch, 1..=groups);
        journal.sync().unwrap();
        append(&mut journal, opened.epoch, groups + 1..=groups + waiting);
        if settled {
            journal.close().unwrap();
        }
        let told = if settled { groups + waiting } else { groups };
        let names = disk.list(FOLDER).unwrap();
        let path = format!("{FOLDER}/{}", names[file.index(names.len())]);
        let bits = disk.length(&path).unwrap().unwrap() * 8;
        prop_assume!(bits > 0);
        disk.flip(&path, bit.index(bits as usize) as u64);
        let disk = disk.restart();
        match reopened(&disk) {
            Ok((_, opened)) => {
                prop_assert!(opened.end.0 >= told);
                prop_assert_eq!(opened.start, Position(1));
            }
            Err(LogError::Damage(_)) => {}
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
