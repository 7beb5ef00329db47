//! One attempt's output: from its node's file as long as node and file are there, else what is kept.

use std::time::Duration;

use quinn::Connection;
use tokio::time::Instant;

use crate::controller::office::{Office, lock};
use crate::model::ids::Uid;
use crate::net::frame::{FRAME_BYTES_MAX, FrameReader, FrameWriter, Patience};
use crate::store::output::{Kept, Key, OutputStore};
use crate::wire::codec::{decode, encode};
use crate::wire::data::{FileRead, From, ReadFile};
use crate::wire::node::AttemptRef;

/// How long a node may take for a window.
const PATIENCE: Duration = Duration::from_secs(5);
/// A node that has not answered for so long is not asked again for as long.
const SILENCE: Duration = Duration::from_secs(10);
/// What was said of a node longer ago says nothing of today.
const STALE: Duration = Duration::from_secs(60);
/// Between two tries when nobody says that there is more.
pub const AGAIN_EVERY: Duration = Duration::from_secs(1);

/// A node that did not answer.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    since: Instant,
    /// When that was last found.
    found: Instant,
    /// When it was last asked in vain.
    asked: Option<Instant>,
}

/// Why the node gave no window.
struct Trouble {
    words: String,
    /// It may be over in a moment.
    passing: bool,
    /// It is one user's file system, which may hang for hours.
    slow: bool,
}

impl Trouble {
    fn lasting(words: String) -> Trouble {
        Trouble { words, passing: false, slow: false }
    }
}

/// One attempt's output.
pub struct Source<'a> {
    /// What is shared.
    pub office: &'a Office,
    /// The node's name.
    pub name: String,
    /// Nothing is heard of the node.
    pub silent: bool,
    /// Under which it is kept.
    pub key: Key,
    /// The owner's name.
    pub user: String,
    /// The owner.
    pub uid: Uid,
    /// The file, if the job tells it.
    pub path: Option<String>,
    /// Only what is the attempt's own, rather than the whole file.
    pub region: bool,
    /// The attempt has ended.
    pub over: bool,
}

/// A piece of output.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// Where the bytes begin.
    pub offset: u64,
    /// They.
    pub bytes: Vec<u8>,
    /// Where the output ends, as far as known.
    pub size: u64,
    /// Why it does not come from the node; else empty.
    pub note: String,
    /// Where the attempt's own part begins.
    pub start: u64,
    /// It is known where the output ends.
    pub over: bool,
    /// In a moment there may be more than this.
    pub passing: bool,
}

impl Source<'_> {
    /// What there is from there on.
    pub async fn read(&self, from: From, bytes: u32, wait: Duration) -> Window {
        let kept = self.office.kept.store.find(&self.key);
        if self.region
            && self.over
            && matches!(from, From::LastLines(_))
            && kept.as_ref().is_some_and(|kept| kept.last)
        {
            // The last lines of the file may be a later attempt's; of this one's they are kept.
            let none = Trouble::lasting(String::new());
            return Window { note: String::new(), ..self.look_up(kept, from, bytes, none) };
        }
        let from = match (from, self.region) {
            (From::Offset(0), true) => From::Offset(self.start(kept.as_ref()).await),
            (from, _) => from,
        };
        let trouble = match self.ask_node(from, bytes, wait).await {
            Ok((offset, bytes, size, start)) => {
                let kept_start = kept.as_ref().map(|kept| kept.start);
                let start = start.or(kept_start).unwrap_or(0);
                // Whoever wrote it anew after the attempt's end did not write its output.
                let is_other = self.over && kept.as_ref().is_some_and(|kept| kept.last && size < kept.size);
                if !is_other {
                    let window = Window { offset, bytes, size, start, over: true, ..Window::default() };
                    return self.clamped(window);
                }
                Trouble::lasting(format!("node {}: the file was changed after the end", self.name))
            }
            Err(trouble) => trouble,
        };
        self.look_up(kept, from, bytes, trouble)
    }

    /// Waits for more than `seen`, which was empty.
    pub async fn wait(&self, from: From, bytes: u32, wait: Duration, seen: &Window) -> Window {
        if seen.note.is_empty() {
            return self.read(from, bytes, wait).await;
        }
        // Nobody there to wait for more: what may come is an end, a connection, or an answer to another try.
        if !seen.passing {
            tokio::time::sleep(wait).await;
            return seen.clone();
        }
        let until = Instant::now() + wait;
        loop {
            tokio::time::sleep(AGAIN_EVERY.min(until.saturating_duration_since(Instant::now()))).await;
            let left = until.saturating_duration_since(Instant::now());
            let more = self.read(from, bytes, left).await;
            if !more.passing || left.is_zero() {
                return more;
            }
        }
    }

    /// Whether the node may answer yet if it is asked again.
    pub fn may_answer(&self) -> bool {
        let unanswered = lock(&self.office.unanswered);
        unanswered.get(&self.key.node).is_none_or(|silence| silence.since.elapsed() < SILENCE)
    }

    /// Where the attempt's own part of the file begins.
    async fn start(&self, kept: Option<&Kept>) -> u64 {
        match kept {
            Some(kept) => kept.start,
            None => {
                self.ask_node(From::Offset(0), 0, Duration::ZERO).await.map_or(0, |read| read.3.unwrap_or(0))
            }
        }
    }

    /// Cut where the attempt's part ends, if that is what is wanted.
    fn clamped(&self, mut window: Window) -> Window {
        if !(self.region && self.over) {
            return window;
        }
        let store = &self.office.kept.store;
        let own = store.find(&self.key).filter(|kept| kept.last).map(|kept| kept.size);
        // What a later attempt appended to the same file is not this one's.
        let next = store.next_start(&self.key).filter(|next| *next >= window.start);
        let end = [own, next].into_iter().flatten().min().unwrap_or(window.size);
        window.size = window.size.min(end);
        let room = usize::try_from(end.saturating_sub(window.offset)).unwrap_or(usize::MAX);
        window.bytes.truncate(room);
        window
    }

    /// Offset, bytes, size of the file, and the attempt's start if the node knows; else why not.
    async fn ask_node(
        &self,
        from: From,
        bytes: u32,
        wait: Duration,
    ) -> Result<(u64, Vec<u8>, u64, Option<u64>), Trouble> {
        let name = &self.name;
        let silence =
            |passing| Trouble { words: format!("node {name} does not answer"), passing, slow: false };
        if self.silent {
            return Err(silence(false));
        }
        if self.is_given_up() {
            return Err(silence(true));
        }
        let Some(link) = lock(&self.office.data_links).get(&self.key.node).cloned() else {
            self.found_silent(false);
            return Err(silence(true));
        };
        let kept_path = || self.office.kept.store.find(&self.key).map(|kept| kept.path.to_string());
        let path = self.path.clone().or_else(kept_path).unwrap_or_default();
        let request = ReadFile {
            user: self.user.clone(),
            uid: self.uid,
            path,
            attempt: AttemptRef { task: self.key.task, attempt: self.key.attempt },
            error: self.key.error,
            from,
            bytes,
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
        };
        let answer = tokio::time::timeout(PATIENCE + wait, ask(&link, &request)).await;
        match &answer {
            Ok(Ok(_)) => drop(lock(&self.office.unanswered).remove(&self.key.node)),
            Ok(Err(_)) => self.found_silent(false),
            Err(_) => self.found_silent(true),
        }
        let on_node = |text: &str| format!("node {name}: {text}");
        match answer {
            Ok(Ok(FileRead::Chunk { offset, bytes, size, start })) => Ok((offset, bytes, size, start)),
            Ok(Ok(FileRead::Failed { missing: true, .. })) => {
                Err(Trouble::lasting(format!("the file is not there any more on node {name}")))
            }
            Ok(Ok(FileRead::Failed { text, .. })) => Err(Trouble::lasting(on_node(&text))),
            Ok(Ok(FileRead::Slow { text })) => {
                Err(Trouble { words: on_node(&text), passing: true, slow: true })
            }
            Ok(Err(error)) => {
                let words = format!("node {name} does not answer ({error})");
                Err(Trouble { words, passing: true, slow: false })
            }
            Err(_) => Err(silence(true)),
        }
    }

    /// It has not answered for long, and was asked a moment ago.
    fn is_given_up(&self) -> bool {
        let unanswered = lock(&self.office.unanswered);
        unanswered.get(&self.key.node).is_some_and(|silence| {
            let asked = silence.asked.is_some_and(|asked| asked.elapsed() < SILENCE);
            asked && silence.since.elapsed() >= SILENCE
        })
    }

    fn found_silent(&self, asked: bool) {
        let now = Instant::now();
        let mut unanswered = lock(&self.office.unanswered);
        let silence =
            unanswered.entry(self.key.node).or_insert(Silence { since: now, found: now, asked: None });
        if now.saturating_duration_since(silence.found) > STALE {
            silence.since = now;
        }
        silence.found = now;
        if asked {
            silence.asked = Some(now);
        }
    }

    fn look_up(&self, kept: Option<Kept>, from: From, bytes: u32, trouble: Trouble) -> Window {
        let Trouble { words: why, passing, slow } = trouble;
        let passing = passing && kept.as_ref().is_none_or(|kept| !kept.last && !slow);
        let Some(kept) = kept else {
            let note = format!("{why}, and none of it is kept here");
            let offset = if let From::Offset(offset) = from { offset } else { 0 };
            return Window { offset, note, size: offset, passing, ..Window::default() };
        };
        let later = if kept.last || !self.over { "" } else { "; what it wrote last may be missing" };
        let next = self.office.kept.store.next_start(&self.key).filter(|next| *next >= kept.start);
        let size = next.map_or(kept.size, |next| kept.size.min(next));
        let mut note = format!("{why}; this is what the controller has kept{later}");
        let store = &self.office.kept.store;
        let offset = match from {
            From::Offset(offset) => offset.max(kept.start),
            From::LastLines(lines) => last_lines(store, &kept, size, lines),
        };
        let read = store.read(&kept, offset, size, bytes as usize);
        let (offset, bytes) = read.unwrap_or_else(|error| {
            note = format!("{why}, and what is kept can't be read: {error}");
            (offset, Vec::new())
        });
        // Nothing more: the end is the end, whatever is missing before it.
        let offset = if bytes.is_empty() { offset.min(size) } else { offset };
        Window { offset, bytes, size, note, start: kept.start, over: kept.last, passing }
    }
}

/// Where the last lines begin, as far as they are kept.
fn last_lines(store: &OutputStore, kept: &Kept, size: u64, lines: u32) -> u64 {
    let floor = size.saturating_sub(crate::store::output::TAIL_BYTES).max(kept.start);
    let (mut begin, mut tail) = (floor, Vec::new());
    let mut from = floor;
    while from < size {
        let Ok((offset, bytes)) = store.read(kept, from, size, 1 << 20) else { break };
        if bytes.is_empty() {
            break;
        }
        if offset != from {
            (begin, tail) = (offset, Vec::new());
        }
        from = offset.saturating_add(bytes.len() as u64);
        tail.extend_from_slice(&bytes);
    }
    if lines == 0 {
        return size;
    }
    let ends = tail.iter().enumerate().rev().filter(|(at, byte)| **byte == b'\n' && at + 1 < tail.len());
    let nth = ends.map(|(at, _)| at + 1).nth(usize::try_from(lines).unwrap_or(usize::MAX).saturating_sub(1));
    begin.saturating_add(nth.unwrap_or(0) as u64)
}

async fn ask(link: &Connection, request: &ReadFile) -> Result<FileRead, String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let (send, receive) = link.open_bi().await.map_err(|error| words(&error))?;
    let mut writer = FrameWriter::new(send, FRAME_BYTES_MAX);
    writer.push(&encode(request).map_err(|error| words(&error))?).map_err(|error| words(&error))?;
    writer.finish(PATIENCE).await.map_err(|error| words(&error))?;
    let mut reader = FrameReader::new(receive, FRAME_BYTES_MAX);
    let frame = reader.next(Patience::for_events(PATIENCE)).await.map_err(|error| words(&error))?;
    let frame = frame.ok_or("no answer")?;
    decode(&frame).map_err(|error| words(&error))
}
