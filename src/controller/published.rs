//! What readers see: the newest durable view, and who wants to hear of which job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::{Notify, watch};

use super::recent::Recent;
use crate::core::View;
use crate::model::ids::{JobId, Position};

/// The published view and those who listen.
#[derive(Debug)]
pub struct Published {
    view: RwLock<Arc<View>>,
    listeners: Mutex<Listeners>,
    recent: Mutex<Recent>,
    /// Told of every publication: what is seen of nodes may be different with each.
    any: watch::Sender<()>,
    /// Told when jobs changed.
    jobs: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Listeners {
    next: u64,
    by_job: BTreeMap<JobId, BTreeMap<u64, Arc<Notify>>>,
}

impl Published {
    /// Begins with a view, and with what changed lately before it.
    pub fn new(view: View, recent: Recent) -> Published {
        Published {
            view: RwLock::new(Arc::new(view)),
            listeners: Mutex::default(),
            recent: Mutex::new(recent),
            any: watch::Sender::new(()),
            jobs: watch::Sender::new(()),
        }
    }

    /// Which jobs changed after a position. Without, if that is not known any more: from where on it is.
    ///
    /// # Errors
    /// The oldest position from which on changes are known.
    pub fn changed_since(&self, position: Position) -> Result<BTreeSet<JobId>, (Position, BTreeSet<JobId>)> {
        let recent = lock(&self.recent);
        recent.since(position).ok_or_else(|| (recent.from(), recent.since(recent.from()).unwrap_or_default()))
    }

    /// Told of every publication.
    pub fn publications(&self) -> watch::Receiver<()> {
        self.any.subscribe()
    }

    /// Told when any job changed. Which ones: [`Published::changed_since`].
    pub fn job_changes(&self) -> watch::Receiver<()> {
        self.jobs.subscribe()
    }

    /// The newest durable view.
    pub fn view(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a newer view in place and tells those who listen for these jobs.
    pub fn publish(&self, view: Arc<View>, changed: &BTreeSet<JobId>) {
        // First what a live view may have missed, then the position that it would go on from.
        lock(&self.recent).push(view.position, changed);
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = view;
        self.any.send_replace(());
        if changed.is_empty() {
            return;
        }
        self.jobs.send_replace(());
        let listeners = lock(&self.listeners);
        if !listeners.by_job.is_empty() {
            for notify in
                changed.iter().filter_map(|job| listeners.by_job.get(job)).flat_map(BTreeMap::values)
            {
                notify.notify_one();
            }
        }
    }

    /// Wants to be told when one of these jobs changes. Look at the view *after* subscribing.
    pub fn listen(self: &Arc<Self>, jobs: impl IntoIterator<Item = JobId>) -> Listening {
        let notify = Arc::new(Notify::new());
        let mut listeners = lock(&self.listeners);
        listeners.next += 1;
        let id = listeners.next;
        let jobs: Vec<JobId> = jobs.into_iter().collect();
        for job in &jobs {
            listeners.by_job.entry(*job).or_default().insert(id, notify.clone());
        }
        Listening { published: self.clone(), id, jobs, notify }
    }
}

/// A subscription to some jobs; ends when dropped.
#[derive(Debug)]
pub struct Listening {
    published: Arc<Published>,
    id: u64,
    jobs: Vec<JobId>,
    notify: Arc<Notify>,
}

impl Listening {
    /// Returns when one of the jobs may have changed since the last call.
    pub async fn changed(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut listeners = lock(&self.published.listeners);
        for job in &self.jobs {
            if let Some(here) = listeners.by_job.get_mut(job) {
                here.remove(&self.id);
                if here.is_empty() {
                    listeners.by_job.remove(job);
                }
            }
        }
    }
}

/// A panic elsewhere must not take the readers down with it: the data is a cache of what is durable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
