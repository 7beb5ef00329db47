//! A look at a file, in its user's thread: what is new in it, as pieces.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

use tokio::sync::oneshot::Receiver;

use crate::worker::readers::open_regular;
use crate::worker::watches::Watches;

/// So many bytes from the beginning of each attempt's output are shipped.
pub const HEAD_BYTES: u64 = 64 << 10;
/// And so many up to its end.
pub const TAIL_BYTES: u64 = 1 << 20;

/// What is to be looked at.
#[derive(Clone, Debug)]
pub(super) struct Want {
    pub path: String,
    /// Where the attempt's part begins.
    pub start: u64,
    /// What was shipped already.
    pub sent: u64,
    /// The attempt has ended: no watch is needed.
    pub ended: bool,
    /// Where a later attempt began in the same file.
    pub end: Option<u64>,
}

/// Bytes and where they begin.
pub(super) type Bytes = (u64, Vec<u8>);

/// What was seen.
#[derive(Debug)]
pub(super) struct Seen {
    /// Where the attempt's part begins now: the job may have made the file shorter.
    pub start: u64,
    pub size: u64,
    pub pieces: Vec<Bytes>,
    /// Resolves at the next change; `None`: it can't be watched, or need not.
    pub changed: Option<Receiver<()>>,
}

/// Looks. `None`: the file is not there any more, or is none.
pub(super) fn look(want: &Want, watches: &Watches) -> io::Result<Option<Seen>> {
    let file = match open_regular(&want.path) {
        Ok((file, _)) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let changed = if want.ended { None } else { watches.watch(&file) };
    let size = file.metadata()?.len();
    let size = want.end.map_or(size, |end| size.min(end.max(want.sent)));
    let (start, sent) = match want {
        Want { start, sent, .. } if size >= *sent => (*start, *sent),
        Want { start, .. } => ((*start).min(size), (*start).min(size)),
    };
    let mut pieces = Vec::new();
    if size - sent > TAIL_BYTES {
        let head_end = start.saturating_add(HEAD_BYTES);
        if sent < head_end {
            pieces.push((sent, read(&file, sent, head_end.min(size - TAIL_BYTES))?));
        }
        pieces.push((size - TAIL_BYTES, read(&file, size - TAIL_BYTES, size)?));
    } else if size > sent {
        pieces.push((sent, read(&file, sent, size)?));
    }
    pieces.retain(|(_, bytes)| !bytes.is_empty());
    Ok(Some(Seen { start, size, pieces, changed }))
}

/// What is between the two, or less if the file has become shorter meanwhile.
fn read(file: &File, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or_default()];
    let mut have = 0;
    while let Some(rest) = bytes.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, from + have as u64) {
            Ok(0) => break,
            Ok(count) => have += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(have);
    Ok(bytes)
}
