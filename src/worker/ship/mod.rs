//! Ships head and tail of what attempts write to the controller, so that it outlives this node: about once a second while
//! they run, and when they end. Nothing is looked at that did not change: the kernel tells of writes.
//!
//! Each user has a task of his own (`user`), whose reading is done in his thread (`look`); what they send goes over one
//! stream of the data connection (`Sender`), one shipment at a time.

mod look;
mod user;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quinn::Connection;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};

use super::readers::{Readers, Who};
use super::watches::Watches;
use crate::model::ids::{Attempt, JobId, TaskRef};
use crate::model::spec::WorkDir;
use crate::wire::data::{Piece, SHIPMENT_BYTES, Shipment, Shipped};
use crate::wire::node::{AttemptRef, JobBody};
use crate::wire::supervisor::{FromSupervisor, News, StartedAttempt};

/// The most attempts with output that are kept in mind; of more, the output is not shipped.
pub const ATTEMPTS_MAX: usize = 200_000;
/// How long the controller may take to answer a shipment, and to take it in.
const ANSWER_PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// One file of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputFile {
    /// Absolute.
    pub path: String,
    /// Where the attempt's part of it begins.
    pub start: u64,
}

/// The files of an attempt that runs, or whose output is not shipped yet: output and, if it is another one, error.
pub type Files = [Option<OutputFile>; 2];

/// What is said to a user's task.
#[derive(Debug)]
enum Event {
    Started { attempt: AttemptRef, files: Files, private: bool },
    Ended(AttemptRef),
    Changed(u64),
}

/// A shipment on its way, and whom to tell how it went.
struct Package {
    pieces: Vec<Piece>,
    answer: oneshot::Sender<Result<(), String>>,
}

impl std::fmt::Debug for Shipper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shipper({} attempts)", lock(&self.shared.live).len())
    }
}

/// Ships output. Clones are the same one.
#[derive(Clone)]
pub struct Shipper {
    shared: Arc<Shared>,
}

struct Shared {
    readers: Readers,
    watches: Watches,
    live: Mutex<BTreeMap<AttemptRef, Files>>,
    users: Mutex<BTreeMap<Who, UnboundedSender<Event>>>,
    packages: UnboundedSender<Package>,
    waiting: tokio::sync::Mutex<UnboundedReceiver<Package>>,
    /// Whether there is a way to the controller.
    open: watch::Sender<bool>,
}

impl Shipper {
    /// Reads through `readers`. To be called inside a runtime.
    pub fn new(readers: Readers, watches: Watches) -> Shipper {
        let (packages, waiting) = unbounded_channel();
        let shared = Shared {
            readers,
            watches,
            live: Mutex::default(),
            users: Mutex::default(),
            packages,
            waiting: tokio::sync::Mutex::new(waiting),
            open: watch::channel(false).0,
        };
        Shipper { shared: Arc::new(shared) }
    }

    /// Hears what a supervisor says.
    pub fn hear(&self, job: JobId, body: Option<&JobBody>, message: &FromSupervisor) {
        let Some(body) = body else { return };
        match message {
            FromSupervisor::Started { attempts } => self.started(job, body, attempts),
            FromSupervisor::Reports { reports } => {
                let ended = reports.iter().filter(|report| matches!(report.news, News::Ended(_)));
                self.ended(job, body, ended.map(|report| report.task));
            }
            FromSupervisor::Welcome { inventory, .. } => {
                self.started(job, body, &inventory.running);
                self.started(job, body, &inventory.ended);
                self.ended(job, body, inventory.ended.iter().map(|one| one.task));
            }
            _ => {}
        }
    }

    /// A supervisor is dead: its attempts have ended.
    pub fn lost(&self, job: JobId, body: Option<&JobBody>) {
        let Some(body) = body else { return };
        let attempts: Vec<AttemptRef> =
            lock(&self.shared.live).keys().filter(|one| one.task.job == job).copied().collect();
        let Some(user) = self.user(body) else { return };
        for attempt in attempts {
            let _ = user.send(Event::Ended(attempt));
        }
    }

    /// The files of an attempt that is known here.
    pub fn files(&self, attempt: &AttemptRef) -> Option<Files> {
        lock(&self.shared.live).get(attempt).cloned()
    }

    /// Where a later attempt of the same task began in that file, as far as it is known here.
    pub fn end(&self, attempt: &AttemptRef, path: &str, start: u64) -> Option<u64> {
        self.shared.end(attempt, path, start)
    }

    /// For tests: an attempt whose output file is that one, from `start` on.
    #[cfg(test)]
    pub fn know(&self, attempt: AttemptRef, path: &str, start: u64) {
        let file = OutputFile { path: path.to_owned(), start };
        lock(&self.shared.live).insert(attempt, [Some(file), None]);
    }

    /// Ships over this connection until it is over or breaks the rules.
    pub async fn serve(&self, connection: &Connection) -> String {
        let mut waiting = self.shared.waiting.lock().await;
        self.shared.open.send_replace(true);
        let why = over(connection, &mut waiting).await;
        self.shared.open.send_replace(false);
        // Whoever waits for an answer hears that there is none, and sends again.
        while waiting.try_recv().is_ok() {}
        why
    }

    fn started(&self, job: JobId, body: &JobBody, attempts: &[StartedAttempt]) {
        let private = body.work_dir == WorkDir::Private;
        let mut user = None;
        for one in attempts {
            let file = |path: &str, start| {
                let is_kept = !path.is_empty() && path != "/dev/null";
                is_kept.then(|| OutputFile { path: path.to_owned(), start })
            };
            let error = if one.error == one.output { None } else { file(&one.error, one.error_start) };
            let files = [file(&one.output, one.output_start), error];
            if files == [None, None] {
                continue;
            }
            let attempt = attempt(job, one.task);
            let mut live = lock(&self.shared.live);
            if live.contains_key(&attempt) || live.len() >= ATTEMPTS_MAX {
                continue;
            }
            live.insert(attempt, files.clone());
            drop(live);
            if user.is_none() {
                user = self.user(body);
            }
            if let Some(user) = &user {
                let _ = user.send(Event::Started { attempt, files, private });
            }
        }
    }

    fn ended(
        &self,
        job: JobId,
        body: &JobBody,
        tasks: impl Iterator<Item = crate::wire::supervisor::AttemptRef>,
    ) {
        let mut user = None;
        for task in tasks {
            let attempt = attempt(job, task);
            if !lock(&self.shared.live).contains_key(&attempt) {
                continue;
            }
            if user.is_none() {
                user = self.user(body);
            }
            if let Some(user) = &user {
                let _ = user.send(Event::Ended(attempt));
            }
        }
    }

    fn user(&self, body: &JobBody) -> Option<UnboundedSender<Event>> {
        let who = Who::User { name: body.user.clone(), uid: body.uid };
        let mut users = lock(&self.shared.users);
        if let Some(user) = users.get(&who).filter(|user| !user.is_closed()) {
            return Some(user.clone());
        }
        let (tell, told) = unbounded_channel();
        users.insert(who.clone(), tell.clone());
        tokio::spawn(user::run(Arc::clone(&self.shared), who, tell.clone(), told));
        Some(tell)
    }
}

impl Shared {
    /// Returns when there is a way to the controller.
    async fn way_is_open(&self) {
        let mut open = self.open.subscribe();
        let _ = open.wait_for(|open| *open).await;
    }

    /// Sends pieces; the controller's answer. `None`: the way is lost, and they are to be sent again.
    async fn send(&self, pieces: Vec<Piece>) -> Option<Result<(), String>> {
        let (answer, answered) = oneshot::channel();
        self.packages.send(Package { pieces, answer }).ok()?;
        answered.await.ok()
    }

    fn end(&self, attempt: &AttemptRef, path: &str, start: u64) -> Option<u64> {
        let later = AttemptRef { attempt: Attempt(attempt.attempt.0.saturating_add(1)), ..*attempt };
        let last = AttemptRef { attempt: Attempt(u32::MAX), ..*attempt };
        let live = lock(&self.live);
        let files = live.range(later..=last).flat_map(|(_, files)| files.iter().flatten());
        files.filter(|file| file.path == path && file.start >= start).map(|file| file.start).min()
    }

    fn forget(&self, attempt: &AttemptRef) {
        lock(&self.live).remove(attempt);
    }
}

fn attempt(job: JobId, task: crate::wire::supervisor::AttemptRef) -> AttemptRef {
    AttemptRef { task: TaskRef { job, ordinal: task.ordinal }, attempt: task.attempt }
}

/// Sends shipments one after the other; small ones of several users together.
async fn over(connection: &Connection, waiting: &mut UnboundedReceiver<Package>) -> String {
    use crate::net::frame::{FRAME_BYTES_MAX, FrameReader, FrameWriter, Patience};
    use crate::wire::codec::{decode, encode};
    let (send, receive) = match connection.open_bi().await {
        Ok(opened) => opened,
        Err(error) => return error.to_string(),
    };
    let mut writer = FrameWriter::new(send, FRAME_BYTES_MAX);
    let mut reader = FrameReader::new(receive, FRAME_BYTES_MAX);
    loop {
        let first = tokio::select! {
            first = waiting.recv() => first,
            error = connection.closed() => return error.to_string(),
        };
        let Some(Package { mut pieces, answer }) = first else { return "the daemon ends".to_owned() };
        let mut answers = vec![answer];
        let size = |pieces: &[Piece]| pieces.iter().map(|piece| piece.bytes.len()).sum::<usize>();
        while size(&pieces) < SHIPMENT_BYTES && pieces.len() < crate::wire::data::PIECES_MAX / 2 {
            let Ok(more) = waiting.try_recv() else { break };
            pieces.extend(more.pieces);
            answers.push(more.answer);
        }
        let said = async {
            let frame = encode(&Shipment { pieces }).map_err(|error| error.to_string())?;
            writer.push(&frame).map_err(|error| error.to_string())?;
            writer.flush(ANSWER_PATIENCE).await.map_err(|error| error.to_string())?;
            let answer =
                reader.next(Patience::of(ANSWER_PATIENCE)).await.map_err(|error| error.to_string())?;
            decode::<Shipped>(&answer.ok_or("the stream ended")?).map_err(|error| error.to_string())
        };
        match said.await {
            Ok(shipped) => {
                let outcome = match shipped {
                    Shipped::Kept => Ok(()),
                    Shipped::NotKept(why) => Err(why),
                };
                answers.into_iter().for_each(|answer| drop(answer.send(outcome.clone())));
            }
            Err(error) => return error,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves what is behind these locks whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
