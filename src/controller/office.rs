//! What every connection of the controller shares.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quinn::Connection;

use super::backup::Sources;
use super::config::Config;
use super::driver::{Driver, Gauges};
use super::handlers::log_source::Silence;
use super::history;
use super::kept::Keeper;
use super::mirror::Mirror;
use super::planner::Explainer;
use super::published::Published;
use super::quota::Quotas;
use super::strangers::Strangers;
use super::windows::Windows;
use crate::core::Settings;
use crate::model::ids::{ContentHash, Epoch, Incarnation, NodeId, Uid};
use crate::model::time::WallTime;
use crate::pki::authority::Authority;
use crate::store::content::Content;
use crate::store::disk::Disk;
use crate::store::tables::TablesRead;

/// The most bytes of content that memory keeps for nodes that are about to ask.
pub const CONTENT_CACHE_BYTES_MAX: usize = 64 << 20;
/// What the bearer of a revoked certificate is told.
pub const REVOKED: &str =
    "this certificate was revoked; an admin gives a new token: `jctld user add` or `jnode add`";
/// How long content that was accepted may take to be found in the tables.
const CONTENT_PATIENCE: Duration = Duration::from_secs(10);

/// Shared by all connections.
pub struct Office {
    /// The core.
    pub driver: Driver,
    /// The newest durable view.
    pub published: Arc<Published>,
    /// What has ended.
    pub tables: Arc<dyn TablesRead>,
    /// Large content.
    pub content: Arc<Content>,
    /// The second place of what is acknowledged.
    pub mirror: Option<Mirror>,
    /// Output of jobs, as far as it is kept here.
    pub kept: Keeper,
    /// Who reads how much output at once.
    pub windows: Windows,
    /// Nodes that did not answer when they were asked for output.
    pub unanswered: Mutex<BTreeMap<NodeId, Silence>>,
    /// Says when a node's second connection comes or goes.
    pub data_links_changed: tokio::sync::watch::Sender<()>,
    /// The state folder's files, with the lock.
    pub disk: Arc<dyn Disk>,
    /// Why jobs wait.
    pub explainer: Explainer,
    /// How the cluster is set up.
    pub settings: Settings,
    /// The CA.
    pub authority: Authority,
    /// The authorities to believe, PEM: more than one while one replaces the other.
    pub authorities: String,
    /// The daemon's settings.
    pub config: Config,
    /// Numbers for `status`.
    pub gauges: Arc<Gauges>,
    /// The state's life.
    pub incarnation: Incarnation,
    /// The controller's term.
    pub epoch: Epoch,
    /// Since when it runs.
    pub started: WallTime,
    /// How the state was come by.
    pub recovery: String,
    /// What an admin should know about the set-up.
    pub warnings: Vec<String>,
    /// Where the state lies.
    pub state_folder: PathBuf,
    /// What belongs into a backup beside the state.
    pub sources: Sources,
    /// Who is connected, and what each may cost.
    pub quotas: Arc<Quotas>,
    /// What is turned away.
    pub strangers: Strangers,
    /// The nodes' second connections.
    pub data_links: Mutex<BTreeMap<NodeId, Connection>>,
    /// Content on its way.
    pub cache: Mutex<ContentCache>,
}

/// Content that was just sent, oldest first out.
#[derive(Debug, Default)]
pub struct ContentCache {
    bytes: usize,
    order: std::collections::VecDeque<(Uid, ContentHash)>,
    map: BTreeMap<(Uid, ContentHash), Arc<Vec<u8>>>,
}

impl ContentCache {
    /// Keeps content for a while.
    pub fn put(&mut self, owner: Uid, hash: ContentHash, bytes: Arc<Vec<u8>>) {
        let size = bytes.len();
        if size > CONTENT_CACHE_BYTES_MAX || self.map.insert((owner, hash), bytes).is_some() {
            return;
        }
        self.bytes += size;
        self.order.push_back((owner, hash));
        while self.bytes > CONTENT_CACHE_BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            self.bytes -= self.map.remove(&oldest).map_or(0, |old| old.len());
        }
    }

    /// Content, if it is still here.
    pub fn get(&self, owner: Uid, hash: ContentHash) -> Option<Arc<Vec<u8>>> {
        self.map.get(&(owner, hash)).cloned()
    }
}

impl Office {
    /// Content that an owner has sent: from memory, the tables, or its file.
    ///
    /// # Errors
    /// In words, if it is nowhere.
    pub async fn content(&self, owner: Uid, hash: ContentHash) -> Result<Arc<Vec<u8>>, String> {
        let begun = tokio::time::Instant::now();
        loop {
            if let Some(bytes) = lock(&self.cache).get(owner, hash) {
                return Ok(bytes);
            }
            match history::content(&*self.tables, owner, hash) {
                Ok(Some(Some(bytes))) => return Ok(Arc::new(bytes)),
                Ok(Some(None)) => {
                    return self.content.get(hash).map(Arc::new).map_err(|error| error.to_string());
                }
                Ok(None) if begun.elapsed() < CONTENT_PATIENCE => {
                    // It was pushed out of memory before the tables had it; they are on their way.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Ok(None) => return Err(format!("content {hash} is gone")),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

/// A panic elsewhere must not take this down: what is behind these locks is always whole.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
