//! What every [`Log`] must do, whatever it stands on. Run by the tests of each implementation.

use super::log::{Claim, Durability, Log, LogError, PAYLOAD_BYTES_MAX, Room};
use crate::model::ids::{Epoch, Incarnation, Position};

/// The incarnation whose empty log the suite expects to find.
pub const INCARNATION: Incarnation = Incarnation([7; 16]);

/// Runs the suite. `start` gives a log that is not open, always on the same state, which is empty at first; the
/// log given before is dropped by then.
pub fn run(mut start: impl FnMut() -> Box<dyn Log>) {
    closed_logs_do_nothing(&mut *start());
    let first = takes_office(&mut *start(), 0, 0);
    appends_and_reads(&mut *start(), first);
    let later = takes_office(&mut *start(), 3, first.0 + 1);
    refusals_change_nothing(&mut *start(), later);
    trims(&mut start);
    takes_the_largest(&mut *start());
}

fn claim() -> Claim {
    Claim { incarnation: INCARNATION }
}

fn closed_logs_do_nothing(log: &mut dyn Log) {
    assert_eq!(log.poll(), Durability::Unknown);
    assert!(matches!(log.append(Epoch(1), Position(1), b"x"), Err(LogError::NotOpen)));
    assert!(matches!(log.sync(), Err(LogError::NotOpen)));
    assert!(matches!(log.read(Position(1)).map(drop), Err(LogError::NotOpen)));
    let other = Claim { incarnation: Incarnation([8; 16]) };
    assert!(matches!(log.open(other), Err(LogError::OtherIncarnation { .. })));
}

fn takes_office(log: &mut dyn Log, end: u64, above: u64) -> Epoch {
    let opened = log.open(claim()).unwrap();
    assert_eq!((opened.start, opened.end), (Position(1), Position(end)));
    assert!(opened.epoch.0 > above, "each term of office has a higher epoch");
    assert_eq!(opened.torn_bytes, 0);
    assert_eq!(log.poll(), Durability::Durable(Position(end)));
    let groups: Vec<_> = log.read(Position(1)).unwrap().map(|group| group.unwrap()).collect();
    assert_eq!(groups.len() as u64, end);
    opened.epoch
}

fn appends_and_reads(log: &mut dyn Log, above: Epoch) {
    let opened = log.open(claim()).unwrap();
    assert!(opened.epoch > above);
    let epoch = opened.epoch;
    log.append(epoch, Position(1), b"one").unwrap();
    log.append(epoch, Position(2), b"").unwrap();
    assert_eq!(log.poll(), Durability::Durable(Position(0)), "nothing was synced yet");
    assert_eq!(log.read(Position(1)).unwrap().count(), 0, "only durable groups are read");
    log.sync().unwrap();
    assert_eq!(log.poll(), Durability::Durable(Position(2)));
    log.append(epoch, Position(3), &[3; 100_000]).unwrap();
    log.sync().unwrap();
    let groups: Vec<_> = log.read(Position(2)).unwrap().map(|group| group.unwrap()).collect();
    assert_eq!(groups, [(Position(2), Vec::new()), (Position(3), vec![3; 100_000])]);
    log.close().unwrap();
    assert_eq!(log.poll(), Durability::Unknown);
}

fn refusals_change_nothing(log: &mut dyn Log, above: Epoch) {
    let epoch = log.open(claim()).unwrap().epoch;
    assert!(epoch > above);
    assert!(matches!(log.append(above, Position(4), b"x"), Err(LogError::Deposed { .. })));
    for wrong in [0, 3, 5] {
        let refused = log.append(epoch, Position(wrong), b"x");
        assert!(matches!(refused, Err(LogError::OutOfOrder { expected: Position(4), .. })));
    }
    let too_large = vec![0; PAYLOAD_BYTES_MAX + 1];
    assert!(matches!(log.append(epoch, Position(4), &too_large), Err(LogError::TooLarge { .. })));
    assert_eq!(log.poll(), Durability::Durable(Position(3)));
    assert!(matches!(log.room().unwrap(), Room::Enough(bytes) if bytes > 0));
}

fn trims(start: &mut impl FnMut() -> Box<dyn Log>) {
    let mut log = start();
    let epoch = log.open(claim()).unwrap().epoch;
    for position in 4..20 {
        log.append(epoch, Position(position), &vec![position as u8; 30_000]).unwrap();
    }
    log.sync().unwrap();
    log.trim(Position(12)).unwrap();
    drop(log);
    let mut log = start();
    let opened = log.open(claim()).unwrap();
    assert!(opened.start <= Position(12), "what is not before stays");
    assert_eq!(opened.end, Position(19));
    let groups: Vec<_> = log.read(Position(12)).unwrap().map(|group| group.unwrap()).collect();
    assert_eq!(groups.first(), Some(&(Position(12), vec![12; 30_000])));
    assert_eq!(groups.len(), 8);
    if opened.start > Position(1) {
        assert!(matches!(log.read(Position(1)).map(drop), Err(LogError::Trimmed { .. })));
    }
}

fn takes_the_largest(log: &mut dyn Log) {
    let opened = log.open(claim()).unwrap();
    let position = Position(opened.end.0 + 1);
    let payload = vec![0x5a; PAYLOAD_BYTES_MAX];
    log.append(opened.epoch, position, &payload).unwrap();
    log.sync().unwrap();
    let groups: Vec<_> = log.read(position).unwrap().map(|group| group.unwrap()).collect();
    assert!(groups == [(position, payload)], "the largest group comes back whole");
}
