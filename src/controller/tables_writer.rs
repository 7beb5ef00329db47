//! The one writer of the tables, on a thread of its own behind the log: it takes what has become durable, several
//! groups at once if they have gathered, and says how far it is.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::driver::Message;
use crate::core::View;
use crate::core::state::{Cluster, Outdated, Touched};
use crate::model::change::Change;
use crate::model::ids::JobId;
use crate::model::time::{Seconds, WallTime};
use crate::store::prune;
use crate::store::results;
use crate::store::rows::rows_of;
use crate::store::tables::Tables;

/// How long changes gather before they are written as one.
const GATHER: std::time::Duration = std::time::Duration::from_millis(100);
/// Between two looks for what is too old to keep.
const PRUNE_PAUSE: Seconds = Seconds(600);

/// Something durable to write.
#[derive(Debug)]
pub struct Durable {
    /// What was touched.
    pub touched: Touched,
    /// The state afterwards.
    pub view: Arc<View>,
}

/// The writer's thread.
#[derive(Debug)]
pub struct TablesWriter {
    basket: Arc<Basket>,
    thread: JoinHandle<()>,
}

/// What gathers until the thread has time for it: of the views only the newest, since each keeps alive what memory
/// has let go of.
#[derive(Debug, Default)]
struct Basket {
    gathered: Mutex<Gathered>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Gathered {
    durable: Option<Durable>,
    closed: bool,
}

impl Basket {
    fn lock(&self) -> MutexGuard<'_, Gathered> {
        // What is in it is whole at any time: a panic elsewhere does not spoil it.
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something, lets more gather, and takes it all. `None`: closed and empty.
    fn take(&self) -> Option<Durable> {
        let mut gathered = self.lock();
        while gathered.durable.is_none() && !gathered.closed {
            gathered = self.bell.wait(gathered).unwrap_or_else(PoisonError::into_inner);
        }
        let closed = gathered.closed;
        drop(gathered);
        if !closed {
            // Nobody waits for the tables: what came and went meanwhile is not written at all.
            std::thread::sleep(GATHER);
        }
        self.lock().durable.take()
    }
}

impl TablesWriter {
    /// Starts the thread; it reports to the driver.
    pub fn start(
        tables: impl Tables + 'static,
        driver: crate::controller::driver::Driver,
    ) -> std::io::Result<TablesWriter> {
        let basket = Arc::<Basket>::default();
        let shared = basket.clone();
        let thread = std::thread::Builder::new()
            .name("tables".to_owned())
            .spawn(move || run(tables, &shared, &driver))?;
        Ok(TablesWriter { basket, thread })
    }

    /// Hands something over.
    pub fn write(&self, durable: Durable) {
        let mut gathered = self.basket.lock();
        match &mut gathered.durable {
            Some(older) => {
                older.touched.merge(durable.touched);
                older.view = durable.view;
            }
            None => {
                gathered.durable = Some(durable);
                self.basket.bell.notify_one();
            }
        }
    }

    /// Waits until everything is written and the tables are closed.
    pub fn stop(self) {
        self.basket.lock().closed = true;
        self.basket.bell.notify_one();
        let _ = self.thread.join();
    }
}

fn run(mut tables: impl Tables, basket: &Basket, driver: &crate::controller::driver::Driver) {
    let mut pruned: Option<WallTime> = None;
    while let Some(Durable { touched, view }) = basket.take() {
        let outdated = outdated_by(&touched, &view.cluster);
        let due = pruned.is_none_or(|at| at.plus(PRUNE_PAUSE) <= view.at);
        let written = rows_of(&view.cluster, &touched, view.position)
            .map_err(|error| error.to_string())
            .and_then(|mut rows| {
                let ends = results::rows(&tables, &touched.ended).map_err(|error| error.to_string())?;
                rows.extend(ends);
                if due {
                    // Before the rows of this batch: what they say comes after what is removed.
                    let old = prune::outdated(&tables, view.at).map_err(|error| error.to_string())?;
                    rows.splice(0..0, old);
                }
                tables.apply(&rows, view.position).map_err(|error| error.to_string())
            });
        if due {
            pruned = Some(view.at);
        }
        if let Err(error) = written {
            driver.send(Message::Fatal(format!("the tables failed: {error}")));
            return;
        }
        driver.send(Message::Tables { position: view.position, outdated });
    }
    if let Err(error) = tables.stop() {
        tracing::error!(%error, "the tables were not closed; they are rebuilt at the next start");
    }
}

/// What memory need not keep once these rows are written.
pub fn outdated_by(touched: &Touched, cluster: &Cluster) -> Vec<Outdated> {
    let mut outdated = Vec::new();
    for change in &touched.ended {
        match change {
            Change::Ended { task, end } => outdated.push(Outdated::End(*task, end.attempt)),
            Change::EndedUnstarted { job, set, .. } => {
                let first = set.runs().first().map_or(0, |run| u64::from(run.0));
                outdated.push(Outdated::EndSet(*job, first));
            }
            _ => {}
        }
    }
    for change in &touched.others {
        match change {
            Change::Key(record) => {
                outdated.push(Outdated::Key(record.owner.as_str().into(), record.key.as_str().into()));
            }
            Change::Content { owner, hash, .. } => outdated.push(Outdated::Content(*owner, *hash)),
            _ => {}
        }
    }
    let ended: BTreeSet<JobId> = touched
        .records
        .iter()
        .filter(|id| cluster.jobs.get::<JobId>(id).is_some_and(|job| job.ended.is_some()))
        .copied()
        .collect();
    outdated.extend(ended.into_iter().map(Outdated::Job));
    outdated
}
