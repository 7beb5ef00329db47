//! The one writer of the tables, on a thread of its own behind the log: it takes what has become durable, several
//! groups at once if they have gathered, and says how far it is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::driver::Message;
use crate::core::View;
use crate::core::state::{Cluster, Outdated, Touched};
use crate::model::change::Change;
use crate::model::ids::JobId;
use crate::model::time::{Seconds, WallTime};
use crate::store::collect;
use crate::store::content::Content;
use crate::store::prune;
use crate::store::rows::rows_of;
use crate::store::tables::Tables;
use crate::store::used::used_rows;

/// How long changes gather before they are written as one.
const GATHER: std::time::Duration = std::time::Duration::from_millis(20);
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
    sender: Sender<Durable>,
    thread: JoinHandle<()>,
}

impl TablesWriter {
    /// Starts the thread; it reports to the driver.
    pub fn start(
        tables: impl Tables + 'static,
        content: Arc<Content>,
        driver: crate::controller::driver::Driver,
    ) -> std::io::Result<TablesWriter> {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("tables".to_owned())
            .spawn(move || run(tables, &content, &receiver, &driver))?;
        Ok(TablesWriter { sender, thread })
    }

    /// Hands something over.
    pub fn write(&self, durable: Durable) {
        // The thread ends only with the process or after a failure that it has reported.
        let _ = self.sender.send(durable);
    }

    /// Waits until everything is written and the tables are closed.
    pub fn stop(self) {
        drop(self.sender);
        let _ = self.thread.join();
    }
}

fn run(
    mut tables: impl Tables,
    content: &Content,
    receiver: &Receiver<Durable>,
    driver: &crate::controller::driver::Driver,
) {
    let mut pruned: Option<WallTime> = None;
    while let Ok(first) = receiver.recv() {
        let mut touched = first.touched;
        let mut view = first.view;
        // Nobody waits for the tables: what gathers meanwhile is written as one, and what came and went not at all.
        std::thread::sleep(GATHER);
        while let Ok(more) = receiver.try_recv() {
            touched.merge(more.touched);
            view = more.view;
        }
        let outdated = outdated_by(&touched, &view.cluster);
        let due = pruned.is_none_or(|at| at.plus(PRUNE_PAUSE) <= view.at);
        let written = rows_of(&view.cluster, &touched, view.position)
            .map_err(|error| error.to_string())
            .and_then(|mut rows| {
                let used = used_rows(&tables, &view.cluster, &touched).map_err(|error| error.to_string())?;
                rows.extend(used);
                if due {
                    // Before the rows of this batch: what they say comes after what is removed.
                    let mut old = prune::outdated(&tables, view.at).map_err(|error| error.to_string())?;
                    let living = || collect::used_by_living(&view.cluster);
                    let content = collect::outdated(&tables, view.at, living);
                    old.extend(content.map_err(|error| error.to_string())?);
                    rows.splice(0..0, old);
                }
                tables.apply(&rows, view.position).map_err(|error| error.to_string())
            });
        if due && written.is_ok() {
            pruned = Some(view.at);
            // Files that stay a while longer harm nobody: what failed is tried again with the next pass.
            if let Err(error) = collect::sweep(&tables, content, || collect::used_by_living(&view.cluster)) {
                tracing::error!(%error, "content that nothing names was not removed");
            }
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
