//! What readers see: the newest durable view, and who wants to hear of which job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::Notify;

use crate::core::View;
use crate::model::ids::JobId;

/// The most changed jobs that a live view is told one by one; beyond that it starts again from a snapshot.
pub const CHANGED_MAX: usize = 10_000;

/// The published view and those who listen.
#[derive(Debug)]
pub struct Published {
    view: RwLock<Arc<View>>,
    listeners: Mutex<Listeners>,
}

#[derive(Debug, Default)]
struct Listeners {
    next: u64,
    by_job: BTreeMap<JobId, BTreeMap<u64, Arc<Notify>>>,
    all: BTreeMap<u64, Arc<Inbox>>,
}

/// Changed jobs that a live view has not shown yet.
#[derive(Debug, Default)]
pub struct Inbox {
    changed: Mutex<Option<BTreeSet<JobId>>>,
    notify: Notify,
}

impl Published {
    /// Begins with a view.
    pub fn new(view: View) -> Published {
        Published { view: RwLock::new(Arc::new(view)), listeners: Mutex::default() }
    }

    /// The newest durable view.
    pub fn view(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a newer view in place and tells those who listen for these jobs.
    pub fn publish(&self, view: Arc<View>, changed: &BTreeSet<JobId>) {
        let old = std::mem::replace(&mut *self.view.write().unwrap_or_else(PoisonError::into_inner), view);
        drop(old);
        if changed.is_empty() {
            return;
        }
        let listeners = lock(&self.listeners);
        if !listeners.by_job.is_empty() {
            for notify in
                changed.iter().filter_map(|job| listeners.by_job.get(job)).flat_map(BTreeMap::values)
            {
                notify.notify_one();
            }
        }
        for inbox in listeners.all.values() {
            inbox.add(changed);
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

    /// Wants to be told of every changed job.
    pub fn listen_all(self: &Arc<Self>) -> ListeningAll {
        let inbox = Arc::new(Inbox::default());
        *lock(&inbox.changed) = Some(BTreeSet::new());
        let mut listeners = lock(&self.listeners);
        listeners.next += 1;
        let id = listeners.next;
        listeners.all.insert(id, inbox.clone());
        ListeningAll { published: self.clone(), id, inbox }
    }
}

impl Inbox {
    fn add(&self, jobs: &BTreeSet<JobId>) {
        let mut changed = lock(&self.changed);
        if let Some(set) = changed.as_mut() {
            set.extend(jobs);
            if set.len() > CHANGED_MAX {
                *changed = None;
            }
        }
        drop(changed);
        self.notify.notify_one();
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

/// A subscription to all jobs; ends when dropped.
#[derive(Debug)]
pub struct ListeningAll {
    published: Arc<Published>,
    id: u64,
    inbox: Arc<Inbox>,
}

impl ListeningAll {
    /// The jobs that changed since the last call, as soon as there are any. `None`: too many to name.
    pub async fn changed(&self) -> Option<BTreeSet<JobId>> {
        loop {
            {
                let mut changed = lock(&self.inbox.changed);
                match changed.as_mut() {
                    Some(set) if set.is_empty() => {}
                    Some(set) => return Some(std::mem::take(set)),
                    None => {
                        *changed = Some(BTreeSet::new());
                        return None;
                    }
                }
            }
            self.inbox.notify.notified().await;
        }
    }
}

impl Drop for ListeningAll {
    fn drop(&mut self) {
        lock(&self.published.listeners).all.remove(&self.id);
    }
}

/// A panic elsewhere must not take the readers down with it: the data is a cache of what is durable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
