//! How attempts ended, packed: neighbouring tasks of a job stand in one row, 38 bytes an attempt.

use std::collections::BTreeMap;

use super::rows::task_key;
use super::tables::{Row, Table, TablesError, TablesRead};
use crate::model::change::Change;
use crate::model::ids::{Attempt, NodeId, Ordinal, TaskRef};
use crate::model::state::{Cause, CauseKind, End, State, Usage};
use crate::model::time::WallTime;

/// Tasks whose ends stand in one row.
const ROW_TASKS: u32 = 64;
/// The version of packed results.
const RESULT_VERSION: u8 = 1;
/// The bytes of a packed result.
pub const RESULT_BYTES: usize = 37;
/// The same behind the place of its task in the row.
const ENTRY_BYTES: usize = 1 + RESULT_BYTES;

/// The ends in one row, by the place of their task and their attempt.
type Pack = BTreeMap<(u8, u32), [u8; RESULT_BYTES]>;

/// The rows of attempts that ended, what stands in them already included; without the words of their causes.
///
/// # Errors
/// What the tables said.
pub fn rows(tables: &dyn TablesRead, ended: &[Change]) -> Result<Vec<Row>, TablesError> {
    let mut packs: BTreeMap<Vec<u8>, Pack> = BTreeMap::new();
    for change in ended {
        let Change::Ended { task, end } = change else { continue };
        let pack_of = packs.entry(row_key(*task)).or_default();
        pack_of.insert((place(task.ordinal), end.attempt.0), pack(end));
    }
    let mut rows = Vec::with_capacity(packs.len());
    for (key, mut entries) in packs {
        let old = tables.get(Table::RESULT, &key)?.unwrap_or_default();
        for (place, bytes) in entries_of(&old) {
            let attempt = unpack(bytes).map_or(0, |end| end.attempt.0);
            if let Ok(bytes) = bytes.try_into() {
                entries.entry((place, attempt)).or_insert(bytes);
            }
        }
        let mut value = Vec::with_capacity(entries.len() * ENTRY_BYTES);
        for ((place, _), bytes) in &entries {
            value.push(*place);
            value.extend_from_slice(bytes);
        }
        rows.push(Row { table: Table::RESULT, key, value: Some(value) });
    }
    Ok(rows)
}

/// How the attempts of a task ended that the tables know of, first to last; without the words of their causes.
///
/// # Errors
/// What the tables said.
pub fn ends_of(tables: &dyn TablesRead, task: TaskRef) -> Result<Vec<End>, TablesError> {
    let bytes = tables.get(Table::RESULT, &row_key(task))?.unwrap_or_default();
    let own = entries_of(&bytes).filter(|(at, _)| *at == place(task.ordinal));
    Ok(own.filter_map(|(_, bytes)| unpack(bytes)).collect())
}

fn row_key(task: TaskRef) -> Vec<u8> {
    task_key(task.job, Ordinal(task.ordinal.0 / ROW_TASKS))
}

fn place(ordinal: Ordinal) -> u8 {
    (ordinal.0 % ROW_TASKS) as u8
}

fn entries_of(value: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    value.chunks_exact(ENTRY_BYTES).filter_map(|entry| entry.split_first().map(|(place, end)| (*place, end)))
}

/// Packs an end, without the words of its cause.
pub fn pack(end: &End) -> [u8; RESULT_BYTES] {
    let mut bytes = [0; RESULT_BYTES];
    let node = end.node.map_or(u32::MAX, |node| node.0);
    let start = end.start.map_or(i64::MIN, |start| start.0);
    let cpu = u32::try_from(end.usage.cpu_ms).unwrap_or(u32::MAX);
    let memory = u32::try_from(end.usage.memory_peak_bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    let head = [RESULT_VERSION, end.state as u8, end.cause.kind as u8, end.exit_code, end.signal];
    let parts: [&[u8]; 7] = [
        &head,
        &end.attempt.0.to_le_bytes(),
        &node.to_le_bytes(),
        &start.to_le_bytes(),
        &end.end.0.to_le_bytes(),
        &cpu.to_le_bytes(),
        &memory.to_le_bytes(),
    ];
    for (to, from) in bytes.iter_mut().zip(parts.concat()) {
        *to = from;
    }
    bytes
}

/// Unpacks an end; the words of its cause are stored beside it.
pub fn unpack(bytes: &[u8]) -> Option<End> {
    let bytes: &[u8; RESULT_BYTES] = bytes.try_into().ok()?;
    let u32_at = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let i64_at = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(i64::from_le_bytes);
    if bytes[0] != RESULT_VERSION {
        return None;
    }
    let node = u32_at(9)?;
    let start = i64_at(13)?;
    Some(End {
        state: State::from_number(bytes[1])?,
        exit_code: bytes[3],
        signal: bytes[4],
        cause: Cause::plain(*CauseKind::ALL.get(usize::from(bytes[2]))?),
        node: (node != u32::MAX).then_some(NodeId(node)),
        start: (start != i64::MIN).then_some(WallTime(start)),
        end: WallTime(i64_at(21)?),
        usage: Usage { cpu_ms: u64::from(u32_at(29)?), memory_peak_bytes: u64::from(u32_at(33)?) * 1024 },
        attempt: Attempt(u32_at(5)?),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::ids::{Incarnation, JobId, Ordinal, Position};
    use crate::store::tables::Tables;
    use crate::store::tables::memory::MemoryTables;

    fn end(attempt: Attempt, exit_code: u8) -> End {
        End {
            state: State::Failed,
            exit_code,
            signal: 0,
            cause: Cause::plain(CauseKind::Exit),
            node: None,
            start: None,
            end: WallTime(7),
            usage: Usage::default(),
            attempt,
        }
    }

    proptest! {
        #[test]
        fn packed_results_come_back(
            state in 7u8..16, kind in 0u8..11, exit in any::<u8>(), signal in any::<u8>(), attempt in any::<u32>(),
            node in prop::option::of(0u32..1_000), start in prop::option::of(0i64..1 << 50), end in any::<i64>(),
            cpu in any::<u32>(), memory in 0u64..1 << 30,
        ) {
            let end = End {
                state: State::from_number(state).unwrap(),
                exit_code: exit,
                signal,
                cause: Cause::plain(CauseKind::ALL[usize::from(kind)]),
                node: node.map(NodeId),
                start: start.map(WallTime),
                end: WallTime(end),
                usage: Usage { cpu_ms: u64::from(cpu), memory_peak_bytes: memory * 1024 },
                attempt: Attempt(attempt),
            };
            prop_assert_eq!(unpack(&pack(&end)), Some(end));
        }

        /// Whatever comes in whatever batches, also twice, each attempt is found once, and nothing else is.
        #[test]
        fn all_attempts_of_a_task_are_found(
            ends in prop::collection::vec((0u64..2, 0u32..200, 1u32..3, any::<u8>()), 0..60),
            cuts in prop::collection::vec(0usize..60, 0..4),
        ) {
            let mut tables = MemoryTables::new(Incarnation([1; 16]));
            let mut plain: BTreeMap<(TaskRef, Attempt), u8> = BTreeMap::new();
            let mut batch = Vec::new();
            for (at, (job, ordinal, attempt, code)) in ends.into_iter().enumerate() {
                let (task, attempt) = (TaskRef { job: JobId(job), ordinal: Ordinal(ordinal) }, Attempt(attempt));
                plain.insert((task, attempt), code);
                batch.push(Change::Ended { task, end: Box::new(end(attempt, code)) });
                if cuts.contains(&at) {
                    tables.apply(&rows(&tables, &batch).unwrap(), Position(at as u64 + 1)).unwrap();
                }
            }
            tables.apply(&rows(&tables, &batch).unwrap(), Position(100)).unwrap();
            for job in 0..2 {
                for ordinal in 0..200 {
                    let task = TaskRef { job: JobId(job), ordinal: Ordinal(ordinal) };
                    let here = plain.range((task, Attempt(0))..=(task, Attempt(u32::MAX)));
                    let here: Vec<End> = here.map(|((_, attempt), code)| end(*attempt, *code)).collect();
                    prop_assert_eq!(ends_of(&tables, task).unwrap(), here);
                }
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = unpack(&bytes);
        }
    }
}
