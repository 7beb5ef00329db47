//! What one bearer, and all of them together, may cost the controller. All bounds stand here; those of connections
//! before anybody is known stand in `net::endpoint` and `net::transport`.
//!
//! With everything used up by peers who do their worst, the daemon holds at most [`WORST_BYTES`] for them beside
//! what the queue itself takes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use quinn::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::office::{REVOKED, lock};
use crate::model::identity::{Identity, Role, Serial};
use crate::model::time::WallTime;
use crate::net::close::CloseCode;
use crate::net::transport;
use crate::pki::certificate::Bearer as Credential;

/// The most connections of one bearer. Idle ones make room for a new one, the longest idle first.
pub const BEARER_CONNECTIONS_MAX: usize = 256;
/// The most requests of one bearer that wait, watch or follow; below the connections, so that whoever waits with all he
/// has can still give commands.
pub const BEARER_WAITING_MAX: usize = 224;
/// The most connections of one node; the oldest makes room for a new one, since it may be dead already.
pub const NODE_CONNECTIONS_MAX: usize = 8;
/// The most connections that join at once, which anybody can ask for.
pub const JOINING_MAX: usize = 64;
/// The most connections of users, operators and admins together; nodes are not counted.
pub const CLIENT_CONNECTIONS_MAX: usize = 4_096;
/// The most requests of one bearer at once, waiting ones included.
pub const BEARER_REQUESTS_MAX: usize = 1_024;
/// The most changing requests of one bearer that the core has before it; further ones wait their turn.
pub const BEARER_CHANGES_MAX: usize = 128;
/// From so many jobs on a submission waits until no other such one is before the core: whoever changes one thing goes
/// between.
pub const BULK_JOBS: usize = 1_000;
/// The most listings of one bearer at once; further ones wait.
pub const BEARER_LISTINGS_MAX: usize = 2;
/// The most listings of all bearers at once; further ones wait.
pub const LISTINGS_MAX: usize = 16;
/// A request above this size needs room of its own before it is read.
pub const SMALL_BYTES: usize = 64 << 10;
/// Room for the large requests of one bearer.
pub const BEARER_LARGE_BYTES: usize = 48 << 20;
/// Room for the large requests of all bearers.
pub const LARGE_BYTES: usize = 144 << 20;
/// What decoding can make of a byte that was sent, at most about.
pub const DECODED_FACTOR: usize = 8;

/// What everything together can take: windows of all client connections in both directions, small requests, large
/// ones and what they decode to.
pub const WORST_BYTES: usize = CLIENT_CONNECTIONS_MAX
    * (transport::CLIENT_WINDOW_BYTES as usize + transport::SEND_WINDOW_BYTES as usize)
    + LARGE_BYTES * DECODED_FACTOR;

/// Counted in this.
const UNIT_BYTES: usize = 1 << 10;

type BearerKey = (Role, String);

/// Who is connected, and what each of them holds.
#[derive(Debug)]
pub struct Quotas {
    state: Mutex<State>,
    large: Arc<Semaphore>,
    listings: Arc<Semaphore>,
    joining: Arc<Semaphore>,
    bulk: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    bearers: BTreeMap<BearerKey, Arc<Bearer>>,
    open: BTreeMap<u64, Entry>,
    clients: usize,
}

#[derive(Debug)]
struct Entry {
    identity: Identity,
    connection: Connection,
    /// When its certificate ends.
    expires: WallTime,
    busy: Arc<AtomicUsize>,
}

/// What one bearer holds, over all its connections.
#[derive(Debug)]
pub struct Bearer {
    connections: Mutex<Vec<u64>>,
    requests: AtomicUsize,
    waiting: Arc<Semaphore>,
    changes: Arc<Semaphore>,
    bulk: Arc<Semaphore>,
    listings: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// A connection that was let in.
#[derive(Debug)]
pub struct Admitted {
    quotas: Arc<Quotas>,
    id: u64,
    /// What its bearer holds.
    pub bearer: Arc<Bearer>,
    /// How many streams it has open.
    pub busy: Arc<AtomicUsize>,
}

impl Default for Quotas {
    /// Nobody is connected.
    fn default() -> Quotas {
        Quotas {
            state: Mutex::default(),
            large: Arc::new(Semaphore::new(LARGE_BYTES / UNIT_BYTES)),
            listings: Arc::new(Semaphore::new(LISTINGS_MAX)),
            joining: Arc::new(Semaphore::new(JOINING_MAX)),
            bulk: Arc::new(Semaphore::new(1)),
        }
    }
}

impl Quotas {
    /// Enters a connection. Those on which nothing is asked make room for it.
    ///
    /// # Errors
    /// In words for the peer, if there is no room.
    pub fn enter(
        self: &Arc<Self>,
        credential: &Credential,
        connection: &Connection,
    ) -> Result<Admitted, &'static str> {
        let identity = &credential.identity;
        let key = (identity.role, identity.name.clone());
        let is_client = identity.role != Role::Node;
        let mut state = lock(&self.state);
        let bearer = state.bearers.entry(key.clone()).or_insert_with(|| Arc::new(Bearer::new())).clone();
        let mine = lock(&bearer.connections).clone();
        if !is_client
            && mine.len() >= NODE_CONNECTIONS_MAX
            && let Some(oldest) = mine.first()
        {
            state.remove(*oldest, CloseCode::Busy);
        }
        if is_client && mine.len() >= BEARER_CONNECTIONS_MAX && !state.make_room(&mine) {
            return Err("too many connections at once; close some");
        }
        if is_client && state.clients >= CLIENT_CONNECTIONS_MAX {
            let all: Vec<u64> = state.open.keys().copied().collect();
            if !state.make_room(&all) {
                if lock(&bearer.connections).is_empty() {
                    state.bearers.remove(&key);
                }
                return Err("the controller has as many connections as it can have; try again");
            }
        }
        state.next += 1;
        let id = state.next;
        let busy = Arc::new(AtomicUsize::new(0));
        let entry = Entry {
            identity: identity.clone(),
            connection: connection.clone(),
            expires: credential.validity.not_after,
            busy: busy.clone(),
        };
        state.open.insert(id, entry);
        state.clients += usize::from(is_client);
        lock(&bearer.connections).push(id);
        Ok(Admitted { quotas: self.clone(), id, bearer, busy })
    }

    /// A place for somebody who joins, if there is one.
    pub fn join(&self) -> Option<OwnedSemaphorePermit> {
        self.joining.clone().try_acquire_owned().ok()
    }

    /// How many connections are open.
    pub fn connection_count(&self) -> usize {
        lock(&self.state).open.len()
    }

    /// Ends every connection of a certificate.
    pub fn cut_off(&self, serial: Serial) {
        let state = lock(&self.state);
        for entry in state.open.values().filter(|entry| entry.identity.serial == serial) {
            entry.connection.close(CloseCode::Revoked.varint(), REVOKED.as_bytes());
        }
    }

    /// Ends every connection whose certificate has ended: a new one is made with the renewed certificate.
    pub fn cut_off_expired(&self, now: WallTime) {
        let state = lock(&self.state);
        for entry in state.open.values().filter(|entry| entry.expires < now) {
            let Identity { role, name, .. } = &entry.identity;
            tracing::info!(%role, name, "a certificate ended while it was connected");
            entry.connection.close(CloseCode::Ended.varint(), b"this certificate has ended");
        }
    }

    /// What a user holds, on whose behalf a job asks over its node's connection.
    pub fn of_user(&self, name: &str) -> Arc<Bearer> {
        let key = (Role::User, name.to_owned());
        lock(&self.state).bearers.entry(key).or_insert_with(|| Arc::new(Bearer::new())).clone()
    }

    /// A turn to submit very many jobs: one at a time, and the bearers by turns.
    pub async fn bulk(&self, bearer: &Bearer) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let own = bearer.bulk.clone().acquire_owned().await.ok()?;
        let shared = self.bulk.clone().acquire_owned().await.ok()?;
        Some((own, shared))
    }

    /// A turn to read much of the queue.
    pub async fn listing(&self, bearer: &Bearer) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let own = bearer.listings.clone().acquire_owned().await.ok()?;
        let shared = self.listings.clone().acquire_owned().await.ok()?;
        Some((own, shared))
    }

    /// Room for a large request.
    pub async fn large(
        &self,
        bearer: &Bearer,
        bytes: usize,
    ) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let units = u32::try_from(bytes.min(BEARER_LARGE_BYTES).div_ceil(UNIT_BYTES)).ok()?;
        let own = bearer.large.clone().acquire_many_owned(units).await.ok()?;
        let shared = self.large.clone().acquire_many_owned(units).await.ok()?;
        Some((own, shared))
    }
}

impl State {
    /// Closes the oldest of these connections on which nothing is asked; false if there is none.
    fn make_room(&mut self, among: &[u64]) -> bool {
        let idle = |id: &&u64| {
            self.open
                .get(id)
                .is_some_and(|e| e.busy.load(Ordering::Acquire) == 0 && e.identity.role != Role::Node)
        };
        let Some(id) = among.iter().find(idle).copied() else { return false };
        self.remove(id, CloseCode::Idle);
        true
    }

    fn remove(&mut self, id: u64, code: CloseCode) {
        let Some(entry) = self.open.remove(&id) else { return };
        entry.connection.close(code.varint(), b"idle");
        self.clients -= usize::from(entry.identity.role != Role::Node);
        let key = (entry.identity.role, entry.identity.name);
        if let Some(bearer) = self.bearers.get(&key) {
            let mut connections = lock(&bearer.connections);
            connections.retain(|other| *other != id);
            let over = connections.is_empty() && bearer.requests.load(Ordering::Acquire) == 0;
            drop(connections);
            if over {
                self.bearers.remove(&key);
            }
        }
    }
}

impl Bearer {
    fn new() -> Bearer {
        Bearer {
            connections: Mutex::default(),
            requests: AtomicUsize::new(0),
            waiting: Arc::new(Semaphore::new(BEARER_WAITING_MAX)),
            changes: Arc::new(Semaphore::new(BEARER_CHANGES_MAX)),
            bulk: Arc::new(Semaphore::new(1)),
            listings: Arc::new(Semaphore::new(BEARER_LISTINGS_MAX)),
            large: Arc::new(Semaphore::new(BEARER_LARGE_BYTES / UNIT_BYTES)),
        }
    }

    /// One request more, unless there are too many.
    pub fn request(self: &Arc<Self>) -> Option<OneRequest> {
        let before = self.requests.fetch_add(1, Ordering::AcqRel);
        let one = OneRequest(self.clone());
        (before < BEARER_REQUESTS_MAX).then_some(one)
    }

    /// A place for a request that waits, if there is one.
    pub fn wait(&self) -> Option<OwnedSemaphorePermit> {
        self.waiting.clone().try_acquire_owned().ok()
    }

    /// A turn to change something.
    pub async fn change(&self) -> Option<OwnedSemaphorePermit> {
        self.changes.clone().acquire_owned().await.ok()
    }
}

/// A request that is being served.
#[derive(Debug)]
pub struct OneRequest(Arc<Bearer>);

impl Drop for OneRequest {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        lock(&self.quotas.state).remove(self.id, CloseCode::Done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_at_the_edge() {
        let bearer = Arc::new(Bearer::new());
        let held: Vec<OneRequest> = (0..BEARER_REQUESTS_MAX).filter_map(|_| bearer.request()).collect();
        assert_eq!(held.len(), BEARER_REQUESTS_MAX);
        assert!(bearer.request().is_none());
        drop(held);
        assert!(bearer.request().is_some());
        let held: Vec<_> = (0..BEARER_WAITING_MAX).filter_map(|_| bearer.wait()).collect();
        assert!(held.len() == BEARER_WAITING_MAX && bearer.wait().is_none());
        const { assert!(BEARER_WAITING_MAX < BEARER_CONNECTIONS_MAX) };
    }

    #[tokio::test]
    async fn large_requests_wait_for_room() {
        let quotas = Quotas::default();
        let (one, two) = (Bearer::new(), Bearer::new());
        let first = quotas.large(&one, BEARER_LARGE_BYTES + 1).await;
        assert!(first.is_some());
        // No more of the same bearer, but of another one.
        let now = std::time::Duration::from_millis(1);
        assert!(tokio::time::timeout(now, quotas.large(&one, UNIT_BYTES)).await.is_err());
        assert!(quotas.large(&two, UNIT_BYTES).await.is_some());
        drop(first);
        assert!(quotas.large(&one, UNIT_BYTES).await.is_some());
    }

    #[test]
    fn the_stated_bound_holds_what_it_is_made_of() {
        const { assert!(WORST_BYTES < 3 << 30) };
    }
}
