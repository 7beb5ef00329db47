//! One user's files: which of them are due for a look, and what of them is shipped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::Instant;

use super::look::{Seen, Want, look};
use super::{Event, OutputFile, Shared};
use crate::wire::data::{PIECES_MAX, Piece, SHIPMENT_BYTES};
use crate::wire::node::AttemptRef;
use crate::worker::readers::Who;
use crate::worker::watches::FALLBACK;

/// Between two looks at the file of a running attempt that is written to.
pub const SHIP_EVERY: Duration = Duration::from_secs(1);
/// How long ends gather before their files are looked at together.
const GATHER: Duration = Duration::from_millis(100);
/// What could not be read or kept is tried again after that.
const TROUBLE_PAUSE: Duration = Duration::from_secs(30);
/// A user's output is not shipped faster than that.
pub const BYTES_PER_SECOND_MAX: u64 = 8 << 20;

/// A file of an attempt, and how far it is shipped.
#[derive(Debug)]
struct Shipping {
    attempt: AttemptRef,
    error: bool,
    private: bool,
    file: OutputFile,
    /// Up to here.
    sent: u64,
    /// Whether anything was.
    any: bool,
    ended: bool,
    due: Option<Instant>,
    looked: Option<Instant>,
}

/// The files of one user.
struct User {
    shared: Arc<Shared>,
    who: Who,
    tell: UnboundedSender<Event>,
    files: BTreeMap<u64, Shipping>,
    of_attempt: BTreeMap<AttemptRef, Vec<u64>>,
    due: BTreeSet<(Instant, u64)>,
    next: u64,
}

/// Works for ever; costs nothing while nothing happens.
pub(super) async fn run(
    shared: Arc<Shared>,
    who: Who,
    tell: UnboundedSender<Event>,
    mut told: UnboundedReceiver<Event>,
) {
    let (files, of_attempt, due) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    let mut user = User { shared, who, tell, files, of_attempt, due, next: 0 };
    loop {
        let at = user.due.first().map(|(at, _)| *at);
        tokio::select! {
            event = told.recv() => match event {
                Some(event) => user.take(event),
                None => return,
            },
            () = tokio::time::sleep_until(at.unwrap_or_else(Instant::now)), if at.is_some() => {}
        }
        while let Ok(event) = told.try_recv() {
            user.take(event);
        }
        if user.due.first().is_some_and(|(at, _)| *at <= Instant::now()) {
            user.ship().await;
        }
    }
}

impl User {
    fn take(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Started { attempt, files, private } => {
                for (file, error) in files.into_iter().zip([false, true]) {
                    let Some(file) = file else { continue };
                    let id = self.next;
                    self.next += 1;
                    let (sent, any, ended, due) = (file.start, false, false, None);
                    let shipping =
                        Shipping { attempt, error, private, file, sent, any, ended, due, looked: None };
                    self.files.insert(id, shipping);
                    self.of_attempt.entry(attempt).or_default().push(id);
                    self.set_due(id, now + SHIP_EVERY);
                }
            }
            Event::Ended(attempt) => {
                for id in self.of_attempt.get(&attempt).cloned().unwrap_or_default() {
                    if let Some(file) = self.files.get_mut(&id) {
                        file.ended = true;
                        self.set_due(id, now + GATHER);
                    }
                }
            }
            Event::Changed(id) => {
                let Some(file) = self.files.get(&id).filter(|file| file.due.is_none()) else { return };
                let next = file.looked.map_or(now, |looked| looked + SHIP_EVERY);
                self.set_due(id, next.max(now));
            }
        }
    }

    fn set_due(&mut self, id: u64, at: Instant) {
        let Some(file) = self.files.get_mut(&id) else { return };
        if let Some(old) = file.due.replace(at) {
            self.due.remove(&(old, id));
        }
        self.due.insert((at, id));
    }

    /// The files that are due, soon ones with them.
    fn take_due(&mut self) -> Vec<u64> {
        let soon = Instant::now() + GATHER;
        let mut ids = Vec::new();
        while let Some((at, id)) = self.due.first().copied() {
            if at > soon || ids.len() >= PIECES_MAX / 2 {
                break;
            }
            self.due.pop_first();
            if let Some(file) = self.files.get_mut(&id) {
                file.due = None;
                ids.push(id);
            }
        }
        ids
    }

    async fn ship(&mut self) {
        self.shared.way_is_open().await;
        let ids = self.take_due();
        let wants: Vec<(u64, Want)> = ids
            .iter()
            .filter_map(|id| self.files.get(id).map(|file| (*id, file)))
            .map(|(id, Shipping { attempt, file: OutputFile { path, start }, sent, ended, .. })| {
                let end = self.shared.end(attempt, path, *start);
                (id, Want { path: path.clone(), start: *start, sent: *sent, ended: *ended, end })
            })
            .collect();
        let watches = self.shared.watches.clone();
        let looked = self.shared.readers.run(&self.who, move || {
            let (mut seen, mut bytes) = (Vec::new(), 0);
            for (id, want) in wants {
                if bytes >= SHIPMENT_BYTES {
                    break;
                }
                let one = look(&want, &watches);
                if let Ok(Some(Seen { pieces, .. })) = &one {
                    bytes += pieces.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
                }
                seen.push((id, want, one));
            }
            seen
        });
        let seen = match looked.await {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!(who = ?self.who, %error, "output can't be read");
                return ids.into_iter().for_each(|id| self.trouble(id));
            }
        };
        let now = Instant::now();
        let left: BTreeSet<u64> = ids.into_iter().collect();
        let done: BTreeSet<u64> = seen.iter().map(|(id, ..)| *id).collect();
        left.difference(&done).for_each(|id| self.set_due(*id, now));
        let mut pieces = Vec::new();
        let mut after = Vec::new();
        for (id, want, one) in seen {
            self.note(id, &want, one, &mut pieces, &mut after);
        }
        self.send(pieces, after).await;
    }

    /// Puts what was seen of a file into pieces.
    fn note(
        &mut self,
        id: u64,
        want: &Want,
        seen: std::io::Result<Option<Seen>>,
        pieces: &mut Vec<Piece>,
        after: &mut Vec<(u64, u64, bool)>,
    ) {
        let Some(file) = self.files.get_mut(&id) else { return };
        file.looked = Some(Instant::now());
        let seen = match seen {
            Ok(seen) => seen,
            Err(error) => {
                tracing::debug!(path = %want.path, %error, "output can't be read");
                if !want.ended {
                    return self.trouble(id);
                }
                None
            }
        };
        let is_there = seen.is_some();
        // What is gone ends where it was last seen.
        let seen =
            seen.unwrap_or(Seen { start: want.start, size: want.sent, pieces: Vec::new(), changed: None });
        file.file.start = seen.start;
        let piece = |(offset, bytes)| Piece {
            attempt: file.attempt,
            error: file.error,
            path: if file.private { want.path.clone() } else { String::new() },
            start: seen.start,
            offset,
            bytes,
            size: seen.size,
            last: want.ended,
        };
        // Where an attempt ended is worth a word also without bytes, except of what never wrote anything.
        let is_end = want.ended && (file.any || seen.start > 0);
        let count = pieces.len();
        pieces.extend(seen.pieces.into_iter().map(piece));
        if pieces.len() == count && is_end {
            pieces.push(piece((seen.size, Vec::new())));
        }
        after.push((id, seen.size, want.ended));
        if want.ended {
            return;
        }
        match seen.changed {
            Some(changed) => {
                let tell = self.tell.clone();
                tokio::spawn(async move {
                    if changed.await.is_ok() {
                        let _ = tell.send(Event::Changed(id));
                    }
                });
            }
            None if is_there => self.set_due(id, Instant::now() + FALLBACK),
            // It may come back, but nobody says so; at the end there is one more look.
            None => {}
        }
    }

    async fn send(&mut self, pieces: Vec<Piece>, after: Vec<(u64, u64, bool)>) {
        let bytes: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
        if !pieces.is_empty() {
            loop {
                match self.shared.send(pieces.clone()).await {
                    Some(Ok(())) => break,
                    Some(Err(why)) => {
                        tracing::warn!(%why, "the controller does not keep output");
                        return after.into_iter().for_each(|(id, ..)| self.trouble(id));
                    }
                    None => {
                        // Sent into a way that was just lost.
                        tokio::time::sleep(GATHER).await;
                        self.shared.way_is_open().await;
                    }
                }
            }
        }
        for (id, size, ended) in after {
            if ended {
                self.forget(id);
            } else if let Some(file) = self.files.get_mut(&id) {
                file.any |= size > file.sent;
                file.sent = size;
            }
        }
        let pause = (bytes as u64).saturating_mul(1_000) / BYTES_PER_SECOND_MAX;
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    fn trouble(&mut self, id: u64) {
        self.set_due(id, Instant::now() + TROUBLE_PAUSE);
    }

    fn forget(&mut self, id: u64) {
        let Some(file) = self.files.remove(&id) else { return };
        if let Some(due) = file.due {
            self.due.remove(&(due, id));
        }
        if let Some(ids) = self.of_attempt.get_mut(&file.attempt) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.of_attempt.remove(&file.attempt);
                self.shared.forget(&file.attempt);
            }
        }
    }
}
