//! Reading the groups of an open journal, segment after segment.

use super::FOLDER;
use super::segment::{self, Cursor, Header, Step, damage};
use crate::model::ids::Position;
use crate::store::disk::Disk;
use crate::store::log::LogError;

/// Reads groups across segments.
pub(super) struct Reading<'a> {
    disk: &'a dyn Disk,
    headers: Vec<Header>,
    index: usize,
    cursor: Option<Cursor>,
    from: Position,
    end: Position,
}

impl<'a> Reading<'a> {
    /// Reads groups `from` to `end` out of the segments with these headers, of which the first holds `from`.
    pub(super) fn new(
        disk: &'a dyn Disk,
        headers: Vec<Header>,
        from: Position,
        end: Position,
    ) -> Reading<'a> {
        Reading { disk, headers, index: 0, cursor: None, from, end }
    }
}

impl Iterator for Reading<'_> {
    type Item = Result<(Position, Vec<u8>), LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.from > self.end {
            return None;
        }
        let group = self.group();
        match &group {
            Ok((position, _)) => self.from = Position(position.0 + 1),
            Err(_) => self.end = Position(0),
        }
        Some(group)
    }
}

impl Reading<'_> {
    /// The group at `self.from`.
    fn group(&mut self) -> Result<(Position, Vec<u8>), LogError> {
        loop {
            let Some(header) = self.headers.get(self.index).copied() else {
                return Err(damage(FOLDER, 0, format!("group {} is gone", self.from)).into());
            };
            let next_first = self.headers.get(self.index + 1).map(|header| header.first);
            if next_first.is_some_and(|first| first <= self.from) {
                self.index += 1;
                self.cursor = None;
                continue;
            }
            let path = segment::path(header.sequence);
            let cursor = match &mut self.cursor {
                Some(cursor) => cursor,
                none => none.insert(Cursor::open(self.disk, &path, &header)?),
            };
            let offset = cursor.offset();
            match cursor.step()? {
                Step::Frame { frame, .. } if frame.position == self.from => {
                    return Ok((frame.position, frame.payload.to_vec()));
                }
                Step::Frame { .. } => {}
                Step::Stop(stop) => return Err(damage(&path, offset, stop.to_string()).into()),
            }
        }
    }
}
