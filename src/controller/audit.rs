//! Reading the audit back, and proving that nothing was changed in it or taken out.

use std::ops::Bound;

use crate::core::audit::AuditHead;
use crate::model::change::AuditRecord;
use crate::model::time::WallTime;
use crate::store::rows::{AUDIT_BY_TIME, audit_time_key};
use crate::store::tables::{Order, Table, TablesError, TablesRead};
use crate::wire::client::AuditQuery;
use crate::wire::codec::decode;

/// Records read at once, and the most of one frame.
pub const PAGE: usize = 1_000;

/// Reads a span of the audit, page by page.
#[derive(Debug)]
pub struct Reading {
    query: AuditQuery,
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
}

impl Reading {
    /// From the first record of the span on. The index by time leads there; nothing before it is looked at.
    pub fn new(query: AuditQuery) -> Reading {
        let edge = |at: Option<WallTime>| at.map(|at| audit_time_key(at, 0));
        Reading {
            from: edge(query.since).map_or(Bound::Unbounded, Bound::Included),
            to: edge(query.until).map_or(Bound::Unbounded, Bound::Excluded),
            query,
        }
    }

    /// Those of the next [`PAGE`] records that pass; `None` at the end.
    ///
    /// # Errors
    /// What the tables said.
    pub fn page(&mut self, tables: &dyn TablesRead) -> Result<Option<Vec<AuditRecord>>, TablesError> {
        let (low, high) = (self.from.as_ref().map(Vec::as_slice), self.to.as_ref().map(Vec::as_slice));
        let keys = tables.range(AUDIT_BY_TIME, low, high, Order::Up, PAGE)?;
        let Some((last, _)) = keys.last() else { return Ok(None) };
        self.from = Bound::Excluded(last.clone());
        let mut records = Vec::new();
        for (key, _) in &keys {
            let Some(number) = key.last_chunk::<8>() else { continue };
            // One that is not there was taken out since, or by somebody: `verify` tells which.
            let Some(bytes) = tables.get(Table::AUDIT, number)? else { continue };
            let record: AuditRecord =
                decode(&bytes).map_err(|error| TablesError::Broken { what: error.to_string() })?;
            if passes(&self.query, &record) {
                records.push(record);
            }
        }
        Ok(Some(records))
    }
}

fn passes(query: &AuditQuery, record: &AuditRecord) -> bool {
    let name = record.who.split_once(' ').map_or(record.who.as_str(), |(_, name)| name);
    let about = |(first, last): &(crate::model::ids::JobId, crate::model::ids::JobId)| {
        query.job.is_some_and(|job| (*first..=*last).contains(&job))
    };
    (query.who.is_empty() || query.who == record.who || query.who == name)
        && (query.what.is_empty() || record.what.to_lowercase().contains(&query.what.to_lowercase()))
        && (query.job.is_none() || record.jobs.iter().any(about))
        && (query.node.is_empty() || record.nodes.contains(&query.node))
}

/// What came of a check of the whole chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chain {
    /// It is whole: first and last record that are kept.
    Whole(Option<(u64, u64)>),
    /// It is broken, in words.
    Broken(String),
}

/// Checks every record that is kept against the one before it, and the last one against the end that the state knows.
///
/// # Errors
/// What the tables said.
pub fn verify(tables: &dyn TablesRead, head: AuditHead) -> Result<Chain, TablesError> {
    let mut from = Bound::Unbounded;
    let mut first = None;
    let mut before: Option<AuditHead> = None;
    loop {
        let low = from.as_ref().map(Vec::as_slice);
        let page = tables.range(Table::AUDIT, low, Bound::Unbounded, Order::Up, PAGE)?;
        let Some((last, _)) = page.last() else { break };
        from = Bound::Excluded(last.clone());
        for (key, bytes) in &page {
            let number = key.as_slice().try_into().map(u64::from_be_bytes).unwrap_or_default();
            if number > head.count {
                // Recorded after the view was taken that the check began with.
                return Ok(end(first, before, head));
            }
            let record: AuditRecord = match decode(bytes) {
                Ok(record) => record,
                Err(error) => return Ok(broken(number, &format!("it can't be read: {error}"))),
            };
            if record.number != number {
                return Ok(broken(number, &format!("record {} stands in its place", record.number)));
            }
            if let Some(before) = before {
                if number != before.count + 1 {
                    let text = format!("records {} to {} are missing", before.count + 1, number - 1);
                    return Ok(broken(number, &text));
                }
                if record.before != before.hash {
                    let text = format!("record {} before it is not what it was", before.count);
                    return Ok(broken(number, &text));
                }
            }
            first = first.or(Some(number));
            before = Some(AuditHead { count: number, hash: *blake3::hash(bytes).as_bytes() });
        }
    }
    Ok(end(first, before, head))
}

fn end(first: Option<u64>, last: Option<AuditHead>, head: AuditHead) -> Chain {
    match (first, last) {
        (Some(first), Some(last)) if last == head => Chain::Whole(Some((first, last.count))),
        (Some(_), Some(last)) if last.count == head.count => {
            broken(last.count, "the last record is not what it was")
        }
        (_, Some(last)) => {
            Chain::Broken(format!("records {} to {} are missing at the end", last.count + 1, head.count))
        }
        _ if head.count == 0 => Chain::Whole(None),
        _ => Chain::Broken(format!("all {} records are missing", head.count)),
    }
}

fn broken(number: u64, why: &str) -> Chain {
    Chain::Broken(format!("the chain is broken at record {number}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::audit::hash;
    use crate::model::ids::{Incarnation, JobId, Position};
    use crate::store::tables::memory::MemoryTables;
    use crate::store::tables::{Row, Tables};
    use crate::wire::codec::encode;

    /// Tables with that many records, an hour between two, and the chain's end.
    fn filled(count: u64) -> (MemoryTables, AuditHead) {
        let mut tables = MemoryTables::new(Incarnation([1; 16]));
        let mut head = AuditHead::default();
        for number in 1..=count {
            let record = AuditRecord {
                number,
                before: head.hash,
                at: at(number),
                who: format!("user u{}", number % 3),
                from: "127.0.0.1:9".to_owned(),
                what: "cancel".to_owned(),
                jobs: vec![(JobId(number), JobId(number + 1))],
                nodes: vec![format!("n{}", number % 2)],
                allowed: true,
            };
            head = AuditHead { count: number, hash: hash(&record) };
            let rows = [
                Row {
                    table: Table::AUDIT,
                    key: number.to_be_bytes().to_vec(),
                    value: Some(encode(&record).unwrap()),
                },
                Row { table: AUDIT_BY_TIME, key: audit_time_key(record.at, number), value: Some(vec![]) },
            ];
            tables.apply(&rows, Position(number)).unwrap();
        }
        (tables, head)
    }

    fn at(number: u64) -> WallTime {
        WallTime(number as i64 * 3_600_000_000)
    }

    fn numbers(tables: &MemoryTables, query: AuditQuery) -> Vec<u64> {
        let mut reading = Reading::new(query);
        let mut found = Vec::new();
        while let Some(page) = reading.page(tables).unwrap() {
            found.extend(page.iter().map(|record| record.number));
        }
        found
    }

    #[test]
    fn a_span_and_every_filter() {
        let (tables, _) = filled(PAGE as u64 + 5);
        assert_eq!(numbers(&tables, AuditQuery::default()).len(), PAGE + 5);
        let span = AuditQuery { since: Some(at(10)), until: Some(at(13)), ..AuditQuery::default() };
        assert_eq!(numbers(&tables, span.clone()), [10, 11, 12]);
        assert_eq!(numbers(&tables, AuditQuery { who: "u2".to_owned(), ..span.clone() }), [11]);
        assert_eq!(numbers(&tables, AuditQuery { who: "user u2".to_owned(), ..span.clone() }), [11]);
        assert_eq!(numbers(&tables, AuditQuery { job: Some(JobId(11)), ..span.clone() }), [10, 11]);
        assert_eq!(numbers(&tables, AuditQuery { node: "n0".to_owned(), ..span.clone() }), [10, 12]);
        assert_eq!(numbers(&tables, AuditQuery { what: "CANC".to_owned(), ..span.clone() }).len(), 3);
        assert!(numbers(&tables, AuditQuery { what: "drain".to_owned(), ..span }).is_empty());
    }

    #[test]
    fn what_was_changed_or_taken_out_is_found() {
        let count = PAGE as u64 + 5;
        let (mut tables, head) = filled(count);
        assert_eq!(verify(&tables, head).unwrap(), Chain::Whole(Some((1, count))));
        // A record more than the check knows of.
        let earlier = AuditHead { count: 0, hash: [0; 32] };
        assert_eq!(verify(&tables, earlier).unwrap(), Chain::Whole(None));
        let said = |tables: &MemoryTables| match verify(tables, head).unwrap() {
            Chain::Broken(text) => text,
            whole => panic!("{whole:?}"),
        };
        let bytes = |number: u64| tables.get(Table::AUDIT, &number.to_be_bytes()).unwrap().unwrap();
        let (third, last) = (bytes(3), bytes(count));
        let mut put = |number: u64, value: Option<Vec<u8>>| {
            let row = Row { table: Table::AUDIT, key: number.to_be_bytes().to_vec(), value };
            let position = Position(tables.position().0 + 1);
            tables.apply(&[row], position).unwrap();
            said(&tables)
        };
        let mut other: AuditRecord = decode(&third).unwrap();
        other.who = "user somebody".to_owned();
        assert!(put(3, Some(encode(&other).unwrap())).contains("broken at record 4"));
        assert!(put(3, None).contains("records 3 to 3 are missing"));
        let _ = tables.apply(
            &[Row { table: Table::AUDIT, key: 3u64.to_be_bytes().to_vec(), value: Some(third) }],
            Position(count + 50),
        );
        assert_eq!(verify(&tables, head).unwrap(), Chain::Whole(Some((1, count))));
        let mut other: AuditRecord = decode(&last).unwrap();
        other.allowed = false;
        let rows = |value| [Row { table: Table::AUDIT, key: count.to_be_bytes().to_vec(), value }];
        tables.apply(&rows(Some(encode(&other).unwrap())), Position(count + 51)).unwrap();
        assert!(said(&tables).contains("the last record"));
        tables.apply(&rows(None), Position(count + 52)).unwrap();
        assert!(said(&tables).contains("missing at the end"));
    }
}
