//! How much output one user reads at once: what bounds the controller's memory against readers that do not read.
//!
//! A window is held from when it is read until the reader's side has all of it; a reader who stops reading holds his
//! window and nothing else, and when nothing is heard of him any more not even that. So followers of one user take at most [`WINDOWS_MAX`] × 256 KiB and, those that wait for
//! more, [`REQUESTS_MAX`] × [`WAITED_BYTES`]: 48 MiB.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::office::lock;

/// The most whole windows (256 KiB) of one user at once; more wait.
pub const WINDOWS_MAX: usize = 128;
/// The most requests for output of one user at once; more are refused.
pub const REQUESTS_MAX: usize = 1_024;
/// The most bytes that the answer to a waiting request brings.
pub const WAITED_BYTES: u32 = 16 << 10;

#[derive(Clone)]
struct Gates {
    windows: Arc<Semaphore>,
    requests: Arc<Semaphore>,
}

/// Who reads how much.
#[derive(Default)]
pub struct Windows {
    users: Mutex<BTreeMap<String, Gates>>,
}

/// A request that was let in.
pub struct Pass {
    windows: Arc<Semaphore>,
    _request: OwnedSemaphorePermit,
}

impl Windows {
    /// Lets a user's request in; `None`: he has too many.
    pub fn enter(&self, name: &str) -> Option<Pass> {
        let mut users = lock(&self.users);
        // Those who read nothing now need no gates.
        users.retain(|user, gates| user == name || gates.requests.available_permits() < REQUESTS_MAX);
        let gates = users.entry(name.to_owned()).or_insert_with(|| Gates {
            windows: Arc::new(Semaphore::new(WINDOWS_MAX)),
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
        });
        let request = gates.requests.clone().try_acquire_owned().ok()?;
        Some(Pass { windows: gates.windows.clone(), _request: request })
    }
}

impl Pass {
    /// Waits until the user may hold one more window.
    pub async fn window(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        self.windows.clone().acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_user_holds_so_many_and_others_do_not_notice() {
        let windows = Windows::default();
        let passes: Vec<Pass> = (0..REQUESTS_MAX).map(|_| windows.enter("ada").unwrap()).collect();
        assert!(windows.enter("ada").is_none());
        let mut held = Vec::new();
        for pass in &passes[..WINDOWS_MAX] {
            held.push(pass.window().await.unwrap());
        }
        assert!(tokio::time::timeout(std::time::Duration::ZERO, passes[999].window()).await.is_err());
        assert!(windows.enter("bob").unwrap().window().await.is_some());
        held.pop();
        assert!(passes[999].window().await.is_some());
        drop((passes, held));
        assert!(windows.enter("ada").is_some());
    }
}
