//! The one writer of the tables, on a thread of its own behind the log: it takes what has become durable, several
//! groups at once if they have gathered, and says how far it is. It also makes the exports, when the journal has grown
//! enough or somebody asks: the tables stand still meanwhile, and nobody waits for them.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::driver::{Driver, Gauges, Message};
use super::mirror::Mirror;
use crate::core::View;
use crate::core::state::{Cluster, Outdated, Touched};
use crate::model::change::Change;
use crate::model::ids::{Epoch, JobId};
use crate::model::time::{Seconds, WallTime};
use crate::store::collect;
use crate::store::content::Content;
use crate::store::export::ExportError;
use crate::store::export::manifest::Manifest;
use crate::store::fed::Fed;
use crate::store::prune;
use crate::store::results;
use crate::store::rows::rows_of;
use crate::store::tables::Tables;
use crate::store::used::used_rows;

/// How long changes gather before they are written as one.
const GATHER: std::time::Duration = std::time::Duration::from_millis(100);
/// Between two looks for what is too old to keep.
const PRUNE_PAUSE: Seconds = Seconds(600);

/// How much less of a scarce processor the tables' thread gets: about a third of another's (sched(7), nice value).
const NICENESS: i32 = 5;

/// An export that failed by itself is tried again after so long.
const EXPORT_PAUSE: Seconds = Seconds(300);

/// Where the outcome of an export goes.
pub type ExportAnswer = tokio::sync::oneshot::Sender<Result<Manifest, String>>;

/// Something durable to write.
#[derive(Debug)]
pub struct Durable {
    /// What was touched.
    pub touched: Touched,
    /// The state afterwards.
    pub view: Arc<View>,
}

/// When an export is due.
pub struct ExportRule {
    /// Once the log has grown by so many bytes, or by as many as the last export's live part if that is more.
    pub bytes: u64,
    /// The term that is written into it.
    pub epoch: Epoch,
    /// Counts the log's growth.
    pub gauges: Arc<Gauges>,
    /// Who gets each export before the journal is trimmed behind it.
    pub mirror: Option<Mirror>,
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
    exports: Vec<ExportAnswer>,
    closed: bool,
}

impl Basket {
    fn lock(&self) -> MutexGuard<'_, Gathered> {
        // What is in it is whole at any time: a panic elsewhere does not spoil it.
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something, lets more gather, and takes it all. `None`: closed and empty.
    fn take(&self) -> Option<(Option<Durable>, Vec<ExportAnswer>)> {
        let mut gathered = self.lock();
        while gathered.durable.is_none() && gathered.exports.is_empty() && !gathered.closed {
            gathered = self.bell.wait(gathered).unwrap_or_else(PoisonError::into_inner);
        }
        let wait = !gathered.closed && gathered.exports.is_empty();
        drop(gathered);
        if wait {
            // Nobody waits for the tables: what came and went meanwhile is not written at all.
            std::thread::sleep(GATHER);
        }
        let mut gathered = self.lock();
        let (durable, exports) = (gathered.durable.take(), std::mem::take(&mut gathered.exports));
        (durable.is_some() || !exports.is_empty()).then_some((durable, exports))
    }
}

/// Nobody waits for the tables, and somebody for almost everything else: where processors are scarce, this thread and
/// those that it starts get less of them.
fn give_way() {
    // Of this thread alone, as Linux has it (setpriority(2), "C library/kernel differences").
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "the tables' thread is as eager as the others");
    }
}

impl TablesWriter {
    /// Starts the thread; it reports to the driver.
    pub fn start(
        tables: Fed<impl Tables + 'static>,
        content: Arc<Content>,
        rule: ExportRule,
        driver: Driver,
    ) -> std::io::Result<TablesWriter> {
        let basket = Arc::<Basket>::default();
        let shared = Arc::clone(&basket);
        let mut writer = Writer::new(tables, content, rule, driver);
        let thread = std::thread::Builder::new().name("tables".to_owned()).spawn(move || {
            give_way();
            writer.run(&shared);
        })?;
        Ok(TablesWriter { basket, thread })
    }

    /// Hands something over.
    pub fn write(&self, durable: Durable) {
        // The thread ends only with the process or after a failure that it has reported.
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

    /// Asks for an export of everything that was handed over before.
    pub fn export(&self, answer: ExportAnswer) {
        self.basket.lock().exports.push(answer);
        self.basket.bell.notify_one();
    }

    /// Waits until everything is written and the tables are closed.
    pub fn stop(self) {
        self.basket.lock().closed = true;
        self.basket.bell.notify_one();
        let _ = self.thread.join();
    }
}

/// What the thread does, step by step.
pub struct Writer<T: Tables> {
    tables: Fed<T>,
    content: Arc<Content>,
    rule: ExportRule,
    driver: Driver,
    pruned: Option<WallTime>,
    /// Not before then, after one that failed.
    export_after: Option<WallTime>,
}

impl<T: Tables> Writer<T> {
    /// A writer that reports to the driver.
    pub fn new(tables: Fed<T>, content: Arc<Content>, rule: ExportRule, driver: Driver) -> Writer<T> {
        Writer { tables, content, rule, driver, pruned: None, export_after: None }
    }

    /// The tables.
    pub fn tables(&self) -> &Fed<T> {
        &self.tables
    }

    fn run(&mut self, basket: &Basket) {
        while let Some((durable, mut asked)) = basket.take() {
            let written = durable.map_or(Ok(()), |durable| self.write(durable));
            if let Err(error) = written.and_then(|()| self.export_if_due(&mut asked, super::clock::wall())) {
                self.driver.send(Message::Fatal(error));
                return;
            }
        }
        if let Err(error) = self.tables.stop() {
            tracing::error!(%error, "the tables were not closed; they are rebuilt at the next start");
        }
    }

    /// Writes what has become durable, and says so.
    ///
    /// # Errors
    /// In words; the process has to end.
    pub fn write(&mut self, durable: Durable) -> Result<(), String> {
        let Durable { touched, view } = durable;
        self.tables.at(view.at);
        let outdated = outdated_by(&touched, &view.cluster);
        let failed = |error: &dyn std::fmt::Display| format!("the tables failed: {error}");
        let mut rows = rows_of(&view.cluster, &touched, view.position).map_err(|error| failed(&error))?;
        rows.extend(results::rows(&self.tables, &touched.ended).map_err(|error| failed(&error))?);
        rows.extend(used_rows(&self.tables, &view.cluster, &touched).map_err(|error| failed(&error))?);
        let due = self.pruned.is_none_or(|at| at.plus(PRUNE_PAUSE) <= view.at);
        let living = || collect::used_by_living(&view.cluster);
        if due {
            // Before the rows of this batch: what they say comes after what is removed.
            let mut old = prune::outdated(&self.tables, view.at).map_err(|error| failed(&error))?;
            let content = collect::outdated(&self.tables, view.at, living);
            old.extend(content.map_err(|error| failed(&error))?);
            rows.splice(0..0, old);
            self.pruned = Some(view.at);
        }
        self.tables.apply(&rows, view.position).map_err(|error| failed(&error))?;
        if due && let Err(error) = collect::sweep(&self.tables, &self.content, living) {
            // Files that stay a while longer harm nobody: what failed is tried again with the next pass.
            tracing::error!(%error, "content that nothing names was not removed");
        }
        self.driver.send(Message::Tables { position: view.position, outdated });
        Ok(())
    }

    /// Makes an export if the log has grown enough or somebody has asked. That there is no room for it is no reason
    /// to stop: it is said, and tried again later.
    ///
    /// # Errors
    /// In words; the process has to end.
    pub fn export_if_due(&mut self, asked: &mut Vec<ExportAnswer>, now: WallTime) -> Result<(), String> {
        let live = self.tables.exports().newest().map_or(0, |newest| newest.live.bytes);
        let grown = self.rule.gauges.log_grown.load(Ordering::Relaxed);
        let due = grown >= self.rule.bytes.max(live) && self.export_after.is_none_or(|after| after <= now);
        if !due && asked.is_empty() {
            return Ok(());
        }
        let made = self.tables.export(self.rule.epoch, now).cloned();
        let outcome = match made {
            Ok(manifest) => {
                self.rule.gauges.log_grown.fetch_sub(grown, Ordering::Relaxed);
                self.export_after = None;
                tracing::info!(number = manifest.number, position = manifest.position.0, "exported");
                if let Some(mirror) = &self.rule.mirror {
                    let exports = self.tables.exports();
                    mirror.take_exports(&**exports.disk(), exports.all())?;
                }
                if let Some(before) = self.tables.exports().trimmable() {
                    self.driver.send(Message::Trim(before));
                }
                Ok(manifest)
            }
            Err(ExportError::Disk(error)) if !error.is_no_room() => return Err(error.to_string()),
            Err(error @ ExportError::Tables(_)) => return Err(error.to_string()),
            Err(error) => {
                self.export_after = Some(now.plus(EXPORT_PAUSE));
                tracing::warn!(%error, "no export could be made; the journal grows on");
                Err(error.to_string())
            }
        };
        for answer in asked.drain(..) {
            let _ = answer.send(outcome.clone());
        }
        Ok(())
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
