//! Making an export from the tables.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::feed::{Feed, chunk_path};
use super::manifest::{Chunk, Manifest};
use super::rows_file::{BLOCK_BYTES, Batch, FileNote, Head, Kind, RowsWriter, read_noted};
use super::{CHUNKS_MAX, ExportError, Exports, FOLDER, live_path};
use crate::model::ids::{ContentHash, Epoch, Position, Uid};
use crate::model::record::HISTORY_KEPT;
use crate::model::time::{Seconds, WallTime};
use crate::store::disk::{Disk, DiskError};
use crate::store::rows::{JobRow, SENT, content_key};
use crate::store::tables::{Order, Row, Table, Tables, TablesError, TablesRead};
use crate::wire::codec::decode;

/// A chunk stays this much longer than history itself, for clocks that differ.
const CHUNK_MARGIN: Seconds = Seconds(86_400);
/// Rows of history are read from the tables so many at a time.
const PAGE_ROWS: usize = 1_024;
/// The first and the last table of history.
const HISTORY_TABLES: std::ops::RangeInclusive<u8> = 128..=255;

impl Exports {
    /// Writes an export of the tables as they are, reads it back, and puts its manifest in place. Without room
    /// nothing has changed, and the exports before still count.
    ///
    /// # Errors
    /// The disk, or tables that are not what they should be.
    pub fn make(
        &mut self,
        tables: &dyn Tables,
        feed: &mut Feed,
        epoch: Epoch,
        now: WallTime,
    ) -> Result<&Manifest, ExportError> {
        let number = self.next_number()?;
        let position = tables.position();
        let head = Head { kind: Kind::Live, incarnation: self.incarnation, number };
        let live = self.attempt(&live_path(number), |disk, path| live_rows(disk, path, head, tables, now))?;
        let history = match self.history(tables, feed, now) {
            Ok(history) => history,
            Err(error) => {
                self.disk.remove(&live.path)?;
                return Err(error);
            }
        };
        self.disk.sync_folder(FOLDER)?;
        let fresh = unread(self.newest(), &history);
        for note in std::iter::once(&live).chain(fresh) {
            read_noted(&*self.disk, note, &mut |_, _| Ok(())).map_err(ExportError::ReadBack)?;
        }
        let incarnation = self.incarnation;
        let manifest = Manifest { number, incarnation, epoch, position, at: now, live, history };
        manifest.write(&*self.disk)?;
        feed.listed();
        self.push(manifest.clone())?;
        match self.newest() {
            Some(newest) => Ok(newest),
            None => Err(ExportError::Disk(DiskError::Missing { path: Manifest::path(number) })),
        }
    }

    /// The chunks that the new export names.
    fn history(
        &mut self,
        tables: &dyn Tables,
        feed: &mut Feed,
        now: WallTime,
    ) -> Result<Vec<Chunk>, ExportError> {
        let old = self.newest().map(|newest| newest.history.clone()).unwrap_or_default();
        let fresh = feed.close(now)?;
        if feed.is_whole() && old.len() + fresh.len() <= CHUNKS_MAX {
            let until = now.0.saturating_sub(micros(HISTORY_KEPT) + micros(CHUNK_MARGIN));
            return Ok(old.into_iter().filter(|chunk| chunk.newest.0 >= until).chain(fresh).collect());
        }
        let number = feed.take_number();
        let head = Head { kind: Kind::History, incarnation: self.incarnation, number };
        let file =
            self.attempt(&chunk_path(number), |disk, path| all_history(disk, path, head, tables, now))?;
        feed.restart()?;
        Ok(vec![Chunk { file, number, after: Position(0), position: tables.position(), newest: now }])
    }

    /// Writes one file; what failed for lack of room is taken away again.
    fn attempt(
        &self,
        path: &str,
        write: impl FnOnce(&dyn Disk, &str) -> Result<FileNote, ExportError>,
    ) -> Result<FileNote, ExportError> {
        let written = write(&*self.disk, path);
        if let Err(ExportError::Disk(error)) = &written
            && error.is_no_room()
            && self.disk.length(path)?.is_some()
        {
            self.disk.remove(path)?;
        }
        written
    }
}

/// The files of `history` that the export before does not name: those that nobody has read back yet.
fn unread<'a>(before: Option<&Manifest>, history: &'a [Chunk]) -> impl Iterator<Item = &'a FileNote> {
    let known: BTreeSet<u64> =
        before.into_iter().flat_map(|manifest| manifest.history.iter().map(|chunk| chunk.number)).collect();
    history.iter().filter(move |chunk| !known.contains(&chunk.number)).map(|chunk| &chunk.file)
}

/// Rows that gather to blocks of about [`BLOCK_BYTES`].
struct Gather {
    writer: RowsWriter,
    rows: Vec<Row>,
    bytes: usize,
    batch: Batch,
}

impl Gather {
    fn add(&mut self, row: Row) -> Result<(), DiskError> {
        self.bytes += row.key.len() + row.value.as_ref().map_or(0, Vec::len);
        self.rows.push(row);
        if self.bytes >= BLOCK_BYTES {
            self.bytes = 0;
            self.writer.append(Batch { last: false, ..self.batch }, &std::mem::take(&mut self.rows))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<FileNote, DiskError> {
        self.writer.append(self.batch, &self.rows)?;
        self.writer.finish()
    }
}

/// All live rows, checked against the tables' own count and digest, and the content that live jobs name.
fn live_rows(
    disk: &dyn Disk,
    path: &str,
    head: Head,
    tables: &dyn Tables,
    now: WallTime,
) -> Result<FileNote, ExportError> {
    let batch = Batch { after: Position(0), position: tables.position(), at: now, last: true };
    let mut gather =
        Gather { writer: RowsWriter::create(disk, path, head)?, rows: Vec::new(), bytes: 0, batch };
    let mut failure = None;
    let mut named = BTreeSet::new();
    tables.load_live(&mut |table, key, value| {
        if failure.is_some() {
            return;
        }
        if table == Table::JOB {
            named.extend(content_of(value));
        }
        let row = Row { table, key: key.to_vec(), value: Some(value.to_vec()) };
        failure = gather.add(row).err();
    })?;
    if let Some(error) = failure {
        return Err(error.into());
    }
    for (owner, hash) in named {
        let key = content_key(owner, hash);
        if let Some(value) = tables.get(SENT, &key)? {
            gather.add(Row { table: SENT, key, value: Some(value) })?;
        }
    }
    Ok(gather.finish()?)
}

/// What a job's row names: a live job's script must outlive the chunk of history in which it was sent.
fn content_of(row: &[u8]) -> Vec<(Uid, ContentHash)> {
    let Ok(row) = decode::<JobRow>(row) else { return Vec::new() };
    let spec = &row.record.spec;
    let lines = spec.array.as_ref().and_then(|array| array.lines);
    [Some(spec.script), Some(spec.environment), lines]
        .into_iter()
        .flatten()
        .map(|hash| (row.record.uid, hash))
        .collect()
}

/// All history that the tables have, as one batch.
fn all_history(
    disk: &dyn Disk,
    path: &str,
    head: Head,
    tables: &dyn Tables,
    now: WallTime,
) -> Result<FileNote, ExportError> {
    let batch = Batch { after: Position(0), position: tables.position(), at: now, last: true };
    let mut gather =
        Gather { writer: RowsWriter::create(disk, path, head)?, rows: Vec::new(), bytes: 0, batch };
    for table in HISTORY_TABLES.map(Table) {
        each_row(tables, table, &mut |key, value| Ok(gather.add(Row { table, key, value: Some(value) })?))?;
    }
    Ok(gather.finish()?)
}

fn each_row(
    tables: &(impl TablesRead + ?Sized),
    table: Table,
    take: &mut dyn FnMut(Vec<u8>, Vec<u8>) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let mut from: Bound<Vec<u8>> = Bound::Unbounded;
    loop {
        let page: Result<_, TablesError> =
            tables.range(table, from.as_ref().map(Vec::as_slice), Bound::Unbounded, Order::Up, PAGE_ROWS);
        let page = page?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        from = Bound::Excluded(last.clone());
        for (key, value) in page {
            take(key, value)?;
        }
    }
}

fn micros(span: Seconds) -> i64 {
    i64::try_from(span.micros()).unwrap_or(i64::MAX / 4)
}
