//! The log's thread: appends what has gathered, syncs once, and says so; lets go of what exports hold.

use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use super::driver::{Driver, Gauges, Message};
use crate::model::ids::{Epoch, Position};
use crate::store::log::{Log, LogError, Room};

/// What the log's thread is given.
pub(super) enum LogWork {
    /// Append a group.
    Append(Position, Vec<u8>),
    /// Let go of the groups up to there.
    Trim(Position),
}

/// Appends what has gathered, syncs once, and says so.
pub(super) fn write_log<L: Log>(
    log: &mut L,
    epoch: Epoch,
    frames: &Receiver<LogWork>,
    driver: &Driver,
    gauges: &Gauges,
) {
    let fatal = |error: LogError| driver.send(Message::Fatal(format!("the journal failed: {error}")));
    while let Ok(first) = frames.recv() {
        let mut last = None;
        let mut next = Some(first);
        while let Some(work) = next {
            let result = match work {
                LogWork::Append(position, frame) => {
                    last = Some(position);
                    gauges.log_grown.fetch_add(frame.len() as u64, Ordering::Relaxed);
                    log.append(epoch, position, &frame)
                }
                LogWork::Trim(position) => log.trim(Position(position.0 + 1)),
            };
            if let Err(error) = result {
                return fatal(error);
            }
            next = frames.try_recv().ok();
        }
        if let Err(error) = log.sync() {
            return fatal(error);
        }
        if let Some(last) = last {
            driver.send(Message::LogDurable(last));
        }
        match log.room() {
            Ok(room) => gauges.reserve.store(matches!(room, Room::Reserve(_)), Ordering::Relaxed),
            Err(error) => return fatal(error),
        }
    }
    if let Err(error) = log.close() {
        tracing::error!(%error, "the journal was not closed in order");
    }
}
