//! History as it is written, batch by batch, into the chunk that the next export will close.
//!
//! The open chunk is not synced: what a crash takes of it, the journal still has. After a restart it counts as far as
//! it follows without a gap to where the tables are; if it does not reach there, history is lacking, and the next
//! export writes all of it anew from the tables.

use std::sync::Arc;

use super::manifest::{Chunk, Manifest};
use super::rows_file::{Batch, Head, Kind, RowsFault, RowsReader, RowsWriter};
use super::{FOLDER, HISTORY_SUFFIX, numbers};
use crate::model::ids::{Incarnation, Position};
use crate::model::time::WallTime;
use crate::store::disk::{Access, Disk, DiskError};
use crate::store::tables::Row;

/// The chunks that no export names yet.
pub struct Feed {
    disk: Arc<dyn Disk>,
    incarnation: Incarnation,
    next: u64,
    closed: Vec<Chunk>,
    open: Option<Open>,
    whole: bool,
}

struct Open {
    writer: RowsWriter,
    number: u64,
    after: Position,
    position: Position,
}

/// What came of reading one chunk again.
enum Kept {
    /// All of it, or its beginning up to where the tables are.
    Chunk(Chunk),
    /// Nothing of it.
    Nothing,
}

impl Feed {
    /// Takes up the chunks behind the newest export, as far as they lead to where the tables are.
    ///
    /// # Errors
    /// The disk.
    pub fn open(
        disk: Arc<dyn Disk>,
        incarnation: Incarnation,
        newest: Option<&Manifest>,
        tables: Position,
        now: WallTime,
    ) -> Result<Feed, DiskError> {
        let listed = newest.and_then(|manifest| manifest.history.last()).map_or(0, |chunk| chunk.number);
        let mut found = numbers(&*disk, HISTORY_SUFFIX)?;
        found.retain(|number| *number > listed);
        let next = found.last().copied().unwrap_or(listed) + 1;
        let mut feed = Feed { disk, incarnation, next, closed: Vec::new(), open: None, whole: true };
        let mut reached = newest.map_or(Position(0), |manifest| manifest.position);
        for number in found {
            let kept =
                if reached < tables { feed.take_up(number, reached, tables, now)? } else { Kept::Nothing };
            match kept {
                Kept::Chunk(chunk) => {
                    reached = chunk.position;
                    feed.closed.push(chunk);
                }
                Kept::Nothing => feed.disk.remove(&chunk_path(number))?,
            }
        }
        if reached != tables {
            feed.lacks()?;
        }
        Ok(feed)
    }

    /// Whether it has everything since the newest export.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Begins again behind `position`, all of whose history an export has.
    ///
    /// # Errors
    /// The disk.
    pub fn restart(&mut self) -> Result<(), DiskError> {
        self.lacks()?;
        self.whole = true;
        Ok(())
    }

    /// Adds one batch of rows, those of history alone. Without room it is lacking from then on, and no more.
    ///
    /// # Errors
    /// The disk.
    pub fn append(
        &mut self,
        rows: &[Row],
        after: Position,
        position: Position,
        at: WallTime,
    ) -> Result<(), DiskError> {
        if !self.whole {
            return Ok(());
        }
        match self.try_append(rows, after, position, at) {
            Err(error) if error.is_no_room() => self.lacks(),
            other => other,
        }
    }

    /// Closes the open chunk, durably, and gives all that no export names yet. They stay here until
    /// `listed` or `restart`.
    ///
    /// # Errors
    /// The disk.
    pub fn close(&mut self, now: WallTime) -> Result<Vec<Chunk>, DiskError> {
        if let Some(open) = self.open.take() {
            let file = open.writer.finish()?;
            let (number, after, position) = (open.number, open.after, open.position);
            self.closed.push(Chunk { file, number, after, position, newest: now });
        }
        Ok(self.closed.clone())
    }

    /// An export names all closed chunks now.
    pub fn listed(&mut self) {
        self.closed.clear();
    }

    /// A number for a chunk that somebody else writes.
    pub fn take_number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    fn try_append(
        &mut self,
        rows: &[Row],
        after: Position,
        position: Position,
        at: WallTime,
    ) -> Result<(), DiskError> {
        if self.open.is_none() {
            let number = self.take_number();
            let head = Head { kind: Kind::History, incarnation: self.incarnation, number };
            let writer = RowsWriter::create(&*self.disk, &chunk_path(number), head)?;
            self.open = Some(Open { writer, number, after, position: after });
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let history = rows.iter().filter(|row| !row.table.is_live());
        open.writer.append(Batch { after, position, at, last: true }, history)?;
        open.position = position;
        Ok(())
    }

    /// What was gathered is of no use without what is missing.
    fn lacks(&mut self) -> Result<(), DiskError> {
        let open = self.open.take().map(|open| open.writer.path().to_owned());
        for path in self.closed.drain(..).map(|chunk| chunk.file.path).chain(open) {
            self.disk.remove(&path)?;
        }
        self.whole = false;
        Ok(())
    }

    /// Reads a chunk that was left, and cuts it behind the last whole batch that the tables have.
    fn take_up(
        &self,
        number: u64,
        reached: Position,
        tables: Position,
        now: WallTime,
    ) -> Result<Kept, DiskError> {
        let path = chunk_path(number);
        let mut reader = match RowsReader::open(&*self.disk, &path) {
            Ok(reader) => reader,
            Err(RowsFault::Disk(error)) => return Err(error),
            Err(RowsFault::Damage { .. }) => return Ok(Kept::Nothing),
        };
        if reader.head() != (Head { kind: Kind::History, incarnation: self.incarnation, number }) {
            return Ok(Kept::Nothing);
        }
        let (mut position, mut note) = (reached, None);
        loop {
            match reader.block() {
                Ok(Some((batch, _))) if batch.after == position && batch.position <= tables => {
                    if batch.last {
                        position = batch.position;
                        note = Some(reader.note());
                    }
                }
                Err(RowsFault::Disk(error)) => return Err(error),
                _ => break,
            }
        }
        let Some(note) = note else { return Ok(Kept::Nothing) };
        let mut file = self.disk.open(&path, Access::Write)?;
        file.truncate(note.bytes)?;
        file.sync_data()?;
        Ok(Kept::Chunk(Chunk { file: note, number, after: reached, position, newest: now }))
    }
}

/// Where the chunk of that number lies.
pub fn chunk_path(number: u64) -> String {
    format!("{FOLDER}/{number:010}{HISTORY_SUFFIX}")
}
