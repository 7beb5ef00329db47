//! Accounts and qualities of service: in whose name the cluster is used, and how much of it at once.

use serde::{Deserialize, Serialize};

use super::time::{Seconds, WallTime};

/// So many accounts stand one above the other at most.
pub const ACCOUNT_DEPTH_MAX: usize = 16;
/// The most accounts, and the most qualities of service.
pub const ACCOUNTS_MAX: usize = 10_000;
/// The most names in one list of an account.
pub const ACCOUNT_NAMES_MAX: usize = 10_000;
/// What an account counts among those beside it, of which nobody has said so.
pub const SHARE_DEFAULT: u32 = 1;
/// The quality of service of jobs that name none, if one of that name is defined.
pub const QOS_NORMAL: &str = "normal";

/// An account. Those below it name it as their parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// Its name.
    pub name: String,
    /// The account above it.
    pub parent: Option<String>,
    /// What it counts among those beside it.
    pub share: u32,
    /// Who may use it, by name, in order.
    pub users: Vec<String>,
    /// Who may change what is below it, by name, in order.
    pub coordinators: Vec<String>,
    /// Those of its users whose jobs are its own when they name no account.
    pub default_for: Vec<String>,
    /// Bounds on what it and all below it use together.
    pub limits: Limits,
    /// What it and all below it may use in all.
    pub budget: Option<Budget>,
    /// What its users count among all that stand right below it, those of whom somebody has said so; by name, in order.
    pub user_shares: Vec<(String, u32)>,
}

impl AccountRecord {
    /// What a user counts.
    pub fn share_of(&self, user: &str) -> u32 {
        let at = self.user_shares.binary_search_by(|(name, _)| name.as_str().cmp(user)).ok();
        at.and_then(|at| self.user_shares.get(at)).map_or(SHARE_DEFAULT, |(_, share)| *share)
    }

    /// One without anything.
    pub fn new(name: &str) -> AccountRecord {
        AccountRecord {
            name: name.to_owned(),
            parent: None,
            share: SHARE_DEFAULT,
            users: Vec::new(),
            coordinators: Vec::new(),
            default_for: Vec::new(),
            limits: Limits::default(),
            budget: None,
            user_shares: Vec::new(),
        }
    }
}

/// A quality of service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QosRecord {
    /// Its name.
    pub name: String,
    /// Added to the priority of its jobs.
    pub priority: i32,
    /// Bounds on what its jobs use together.
    pub limits: Limits,
}

/// Bounds. `None`: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Of all together.
    pub all: Caps,
    /// Of each user.
    pub each_user: Caps,
    /// The longest time limit of a job.
    pub time_max: Option<Seconds>,
}

/// How much at once. `None`: no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caps {
    /// Running jobs; each task of an array is one.
    pub running: Option<u32>,
    /// Cpus held.
    pub cpus: Option<u32>,
    /// Unfinished jobs; each task of an array is one.
    pub submitted: Option<u32>,
}

/// How much in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Cpus times hours.
    pub cpu_hours: u64,
    /// What was used before does not count.
    pub since: WallTime,
    /// From then on nothing more is given.
    pub until: Option<WallTime>,
}
