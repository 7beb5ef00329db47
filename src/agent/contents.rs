//! Which contents the spool has to keep, and which idle jobs' bodies are kept for the next launch.
//!
//! A body is needed as long as an attempt of its job is known, and its contents as long as the body is. Beyond
//! that, the last [`IDLE_JOBS_MAX`] idle jobs are kept, so that a job whose slots ran dry needs nothing sent again.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::ids::ContentHash;
use crate::wire::node::{Content, JobBody};

/// The most jobs without attempts whose bodies are kept.
pub const IDLE_JOBS_MAX: usize = 1_024;

/// How the reason of a refusal begins when a launch came without a body or content that is not here (any more);
/// sent again with all of them it is obeyed.
pub const MISSING_CONTENT: &str = "not held on this node:";

/// Counts who needs which content.
#[derive(Debug, Default)]
pub(super) struct Contents {
    users: BTreeMap<ContentHash, u32>,
    unused: BTreeSet<ContentHash>,
}

impl Contents {
    /// What the spool was found to hold.
    pub(super) fn found(hashes: impl IntoIterator<Item = ContentHash>) -> Contents {
        let unused: BTreeSet<ContentHash> = hashes.into_iter().collect();
        Contents { users: unused.iter().map(|hash| (*hash, 0)).collect(), unused }
    }

    /// Whether it is here.
    pub(super) fn has(&self, hash: &ContentHash) -> bool {
        self.users.contains_key(hash)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.users.len()
    }

    /// Takes one in; false if it was here already.
    pub(super) fn add(&mut self, content: &Content) -> bool {
        let new = !self.has(&content.hash);
        if new {
            self.users.insert(content.hash, 0);
            self.unused.insert(content.hash);
        }
        new
    }

    /// A body needs its contents from now on.
    pub(super) fn claim(&mut self, body: &JobBody) {
        for hash in needed(body) {
            *self.users.entry(hash).or_insert(0) += 1;
            self.unused.remove(&hash);
        }
    }

    /// A body does not need its contents any more.
    pub(super) fn release(&mut self, body: &JobBody) {
        for hash in needed(body) {
            if let Some(users) = self.users.get_mut(&hash) {
                *users = users.saturating_sub(1);
                if *users == 0 {
                    self.unused.insert(hash);
                }
            }
        }
    }

    /// Forgets what nobody needs, and says what that is.
    pub(super) fn sweep(&mut self) -> BTreeSet<ContentHash> {
        for hash in &self.unused {
            self.users.remove(hash);
        }
        std::mem::take(&mut self.unused)
    }
}

/// The contents that a body names.
pub(super) fn needed(body: &JobBody) -> impl Iterator<Item = ContentHash> {
    [Some(body.script), Some(body.environment), body.lines].into_iter().flatten()
}
