//! The log's thread: appends what has gathered, syncs once, and says so; lets go of what exports hold.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::driver::{Driver, Gauges, Message};
use crate::commit::Closed;
use crate::model::change::{Change, Group};
use crate::model::ids::{Epoch, Position};
use crate::net::points;
use crate::store::log::{Log, LogError, Room};
use crate::wire::codec::encode;

/// Between two looks whether there is room again.
const ROOM_PAUSE: Duration = Duration::from_secs(1);

/// What the log's thread is given.
pub(super) enum LogWork {
    /// Append a group.
    Append(Closed<Change>),
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
    // Encoded here rather than on the core's thread, which has enough to do.
    let append = |log: &mut L, first: Position, parts: Vec<Vec<Change>>| {
        for (position, changes) in (first.0..).map(Position).zip(parts) {
            let frame =
                encode(&Group { changes }).map_err(|error| format!("a group can't be encoded: {error}"))?;
            gauges.log_grown.fetch_add(frame.len() as u64, Ordering::Relaxed);
            log.append(epoch, position, &frame).map_err(|error| format!("the journal failed: {error}"))?;
        }
        Ok(())
    };
    loop {
        let mut last = None;
        // Nothing that is refused for want of room comes this way: who would see that there is room again (seed 9414 of
        // the simulator)?
        let mut next = match gauges.reserve.load(Ordering::Relaxed) {
            true => match frames.recv_timeout(ROOM_PAUSE) {
                Err(RecvTimeoutError::Disconnected) => break,
                other => other.ok(),
            },
            false => match frames.recv() {
                Err(_) => break,
                Ok(first) => Some(first),
            },
        };
        while let Some(work) = next {
            let result = match work {
                LogWork::Append(group) => {
                    last = Some(group.position());
                    append(log, group.first, group.parts)
                }
                LogWork::Trim(position) => {
                    log.trim(Position(position.0 + 1)).map_err(|error| format!("the journal failed: {error}"))
                }
            };
            if let Err(why) = result {
                return driver.send(Message::Fatal(why));
            }
            next = frames.try_recv().ok();
        }
        points::reach("controller.appended");
        if let Err(error) = log.sync() {
            return fatal(error);
        }
        points::reach("controller.synced");
        if let Some(last) = last {
            driver.send(Message::LogDurable(last));
        }
        match log.room() {
            Ok(room) => {
                let little = matches!(room, Room::Reserve(_)) || gauges.tables_halted.load(Ordering::Relaxed);
                gauges.reserve.store(little, Ordering::Relaxed);
            }
            Err(error) => return fatal(error),
        }
    }
    if let Err(error) = log.close() {
        tracing::error!(%error, "the journal was not closed in order");
    }
}
