//! What every [`Tables`] must do. Run by the tests of each implementation.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

/// The incarnation of the empty tables that the suite begins with.
pub const INCARNATION: Incarnation = Incarnation([7; 16]);

/// Runs the suite on empty tables, and stops them at its end.
pub fn run(tables: &mut dyn Tables) {
    assert_eq!((tables.position(), tables.incarnation()), (Position(0), INCARNATION));
    refusals_change_nothing(tables);
    tables.reset(INCARNATION).unwrap();
    behaves_like_a_map(tables);
    reset_forgets(tables);
    let reader = tables.reader();
    tables.flush().unwrap();
    tables.stop().unwrap();
    assert!(matches!(reader.get(Table::JOB, b"x"), Err(TablesError::Closed)));
    assert!(matches!(tables.apply(&[], Position(u64::MAX)), Err(TablesError::Closed)));
}

/// A row.
pub fn row(table: Table, key: &[u8], value: Option<&[u8]>) -> Row {
    Row { table, key: key.to_vec(), value: value.map(<[u8]>::to_vec) }
}

fn refusals_change_nothing(tables: &mut dyn Tables) {
    let largest = row(Table::JOB, &[1; KEY_BYTES_MAX], Some(&vec![2; VALUE_BYTES_MAX]));
    tables.apply(std::slice::from_ref(&largest), Position(5)).unwrap();
    let digest = tables.digest(Table::JOB);
    assert_eq!(digest.count, 1);
    let good = row(Table::JOB, b"k", Some(b"v"));
    let long_key = row(Table::JOB, &[1; KEY_BYTES_MAX + 1], None);
    let long_value = row(Table::JOB, b"k", Some(&vec![2; VALUE_BYTES_MAX + 1]));
    for bad in [long_key, long_value] {
        let refused = tables.apply(&[good.clone(), bad], Position(6));
        assert!(matches!(refused, Err(TablesError::TooLarge { .. })));
    }
    let refused = tables.apply(&[good.clone(), row(Table(0), b"k", Some(b"v"))], Position(6));
    assert!(matches!(refused, Err(TablesError::BadTable { .. })));
    for late in [4, 5] {
        assert!(matches!(
            tables.apply(std::slice::from_ref(&good), Position(late)),
            Err(TablesError::Rewind { .. })
        ));
    }
    assert_eq!((tables.position(), tables.digest(Table::JOB)), (Position(5), digest));
    assert_eq!(tables.get(Table::JOB, b"k").unwrap(), None);
    assert_eq!(tables.get(Table::JOB, &largest.key).unwrap(), largest.value);
}

/// Random batches, compared with a map after each.
fn behaves_like_a_map(tables: &mut dyn Tables) {
    let key = || prop::collection::vec(prop::sample::select(vec![0u8, 1, 255]), 0..3);
    let table = || prop::sample::select(vec![1u8, 2, 127, 128, 255]);
    let rows = prop::collection::vec((table(), key(), prop::option::of(any::<u8>())), 0..8);
    let question = (table(), key(), key(), 0u8..9, any::<bool>(), 0usize..5);
    let tables = std::cell::RefCell::new(tables);
    let model = std::cell::RefCell::new(BTreeMap::<(Table, Vec<u8>), Vec<u8>>::new());
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(300) });
    let result = runner.run(&(rows, question), |(rows, question)| {
        let (mut tables, mut model) = (tables.borrow_mut(), model.borrow_mut());
        let rows: Vec<Row> = rows
            .iter()
            .map(|(table, key, value)| row(Table(*table), key, value.as_ref().map(std::slice::from_ref)))
            .collect();
        for row in &rows {
            match &row.value {
                Some(value) => model.insert((row.table, row.key.clone()), value.clone()),
                None => model.remove(&(row.table, row.key.clone())),
            };
        }
        let position = Position(tables.position().0 + 1);
        tables.apply(&rows, position).unwrap();
        prop_assert_eq!(tables.position(), position);
        compare(&**tables, &model)?;
        ask(&**tables, &model, question)
    });
    result.unwrap();
}

/// All live rows, their digests, and each row by its key.
fn compare(tables: &dyn Tables, model: &BTreeMap<(Table, Vec<u8>), Vec<u8>>) -> Result<(), TestCaseError> {
    let mut live = Vec::new();
    tables.load_live(&mut |table, key, value| live.push(((table, key.to_vec()), value.to_vec()))).unwrap();
    let expected: Vec<_> = model
        .iter()
        .filter(|((table, _), _)| table.is_live())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    prop_assert_eq!(&live, &expected);
    for number in [1, 2, 127, 128] {
        let mut digest = Digest::default();
        live.iter()
            .filter(|((table, _), _)| table.0 == number)
            .for_each(|((table, key), value)| digest.add(*table, key, value));
        prop_assert_eq!(tables.digest(Table(number)), digest);
    }
    let reader = tables.reader();
    for ((table, key), value) in model {
        let got = reader.get(*table, key).unwrap();
        prop_assert_eq!(got.as_ref(), Some(value));
    }
    Ok(())
}

fn ask(
    tables: &dyn Tables,
    model: &BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    (table, low, high, kinds, up, limit): (u8, Vec<u8>, Vec<u8>, u8, bool, usize),
) -> Result<(), TestCaseError> {
    let bound = |kind: u8, key: &'static [u8]| match kind {
        0 => Bound::Included(key),
        1 => Bound::Excluded(key),
        _ => Bound::Unbounded,
    };
    // Leaked on purpose: a handful of bytes in a test, for bounds that outlive the closure.
    let (from, to) = (bound(kinds % 3, low.leak()), bound(kinds / 3, high.leak()));
    let inside = |key: &[u8]| {
        (match from {
            Bound::Included(low) => key >= low,
            Bound::Excluded(low) => key > low,
            Bound::Unbounded => true,
        }) && (match to {
            Bound::Included(high) => key <= high,
            Bound::Excluded(high) => key < high,
            Bound::Unbounded => true,
        })
    };
    let mut expected: Pairs = model
        .iter()
        .filter(|((in_table, key), _)| in_table.0 == table && inside(key))
        .map(|((_, key), value)| (key.clone(), value.clone()))
        .collect();
    let order = if up { Order::Up } else { Order::Down };
    if !up {
        expected.reverse();
    }
    expected.truncate(limit);
    prop_assert_eq!(tables.range(Table(table), from, to, order, limit).unwrap(), expected);
    Ok(())
}

fn reset_forgets(tables: &mut dyn Tables) {
    let reader = tables.reader();
    tables.apply(&[row(Table::AUDIT, b"x", Some(b"y"))], Position(1_000)).unwrap();
    assert!(reader.get(Table::AUDIT, b"x").unwrap().is_some());
    let other = Incarnation([8; 16]);
    tables.reset(other).unwrap();
    assert_eq!((tables.position(), tables.incarnation()), (Position(0), other));
    assert_eq!(tables.digest(Table::JOB), Digest::default());
    assert_eq!(reader.get(Table::AUDIT, b"x").unwrap(), None, "a reader follows");
    let all = |table| tables.range(Table(table), Bound::Unbounded, Bound::Unbounded, Order::Up, 9).unwrap();
    assert!((0..=255).filter(|&table| table > 0).all(|table| all(table).is_empty()));
}
