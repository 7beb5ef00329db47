//! Keeps output that nodes send: a thread of its own makes it durable, what has gathered meanwhile with one sync, and lets
//! go of what is too old.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::sync::oneshot;

use super::clock;
use super::driver::{Driver, Message};
use crate::model::record::HISTORY_KEPT;
use crate::model::time::WallTime;
use crate::store::output::{OutputStore, Piece};

/// How long shipments gather before they are written as one.
const GATHER: Duration = Duration::from_millis(20);
/// What is written at once, in bytes, unless a single shipment has more.
const TOGETHER_BYTES: usize = 8 << 20;
/// Between two looks for what is too old to keep.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);

type Kept = Result<(), String>;
type Batch = (Vec<Piece>, oneshot::Sender<Kept>);

/// The kept output, and the way to its thread.
pub struct Keeper {
    /// What is kept.
    pub store: Arc<OutputStore>,
    batches: Sender<Batch>,
}

impl Keeper {
    /// Starts the thread. A failure of the disk goes to the driver.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub fn start(store: OutputStore, driver: Driver) -> std::io::Result<Keeper> {
        let store = Arc::new(store);
        let (batches, waiting) = channel();
        let own = store.clone();
        std::thread::Builder::new().name("output".to_owned()).spawn(move || run(&own, &waiting, &driver))?;
        Ok(Keeper { store, batches })
    }

    /// Keeps pieces; durable when it returns.
    ///
    /// # Errors
    /// In words, if they can't be kept now.
    pub async fn keep(&self, pieces: Vec<Piece>) -> Kept {
        let (answer, answered) = oneshot::channel();
        let gone = || "the controller is stopping".to_owned();
        self.batches.send((pieces, answer)).map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn run(store: &OutputStore, waiting: &Receiver<Batch>, driver: &Driver) {
    loop {
        let first = match waiting.recv_timeout(PRUNE_EVERY) {
            Ok(first) => Some(first),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let outcome = match first {
            Some(first) => write(store, first, waiting),
            None => prune(store).map(|()| Vec::new()),
        };
        match outcome {
            Ok(answers) => answers.into_iter().for_each(|answer| drop(answer.send(Ok(())))),
            Err(error) => return driver.send(Message::Fatal(format!("kept output: {error}"))),
        }
    }
}

/// Writes what has gathered; whom to tell so.
fn write(
    store: &OutputStore,
    (mut pieces, answer): Batch,
    waiting: &Receiver<Batch>,
) -> Result<Vec<oneshot::Sender<Kept>>, crate::store::disk::DiskError> {
    std::thread::sleep(GATHER);
    let mut answers = vec![answer];
    let mut bytes: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
    while bytes < TOGETHER_BYTES {
        let Ok((more, answer)) = waiting.try_recv() else { break };
        bytes += more.iter().map(|piece| piece.bytes.len()).sum::<usize>();
        pieces.extend(more);
        answers.push(answer);
    }
    match store.keep(&pieces) {
        Ok(()) => Ok(answers),
        Err(error) if error.is_no_room() => {
            tracing::warn!(%error, "no room for output of jobs");
            answers.into_iter().for_each(|answer| drop(answer.send(Err(error.to_string()))));
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// As long as a job's history, and not longer.
fn prune(store: &OutputStore) -> Result<(), crate::store::disk::DiskError> {
    let kept = i64::try_from(HISTORY_KEPT.micros()).unwrap_or(i64::MAX);
    store.forget_before(WallTime(clock::wall().0.saturating_sub(kept)))
}
