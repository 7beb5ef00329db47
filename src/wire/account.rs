//! Accounts and qualities of service, as commands set and see them.

use serde::{Deserialize, Serialize};

use crate::model::account::{AccountRecord, QosRecord};
use crate::model::time::{Seconds, WallTime};

/// A change to accounts and qualities of service, or a look at them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountAct {
    /// Make or change an account.
    Set {
        /// It must not exist yet; else it must.
        new: bool,
        /// What.
        settings: Box<AccountSettings>,
    },
    /// Forget an account.
    Remove {
        /// Its name.
        name: String,
    },
    /// All of them. Answered with [`super::client::Reply::Accounts`].
    List,
    /// Make or change a quality of service (admin).
    QosSet {
        /// It must not exist yet; else it must.
        new: bool,
        /// What.
        settings: Box<QosSettings>,
    },
    /// Forget a quality of service (admin).
    QosRemove {
        /// Its name.
        name: String,
    },
    /// All of them. Answered with [`super::client::Reply::Accounts`].
    QosList,
}

/// What `jctld account add` and `set` change; `None` leaves it, `Some(None)` takes it away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSettings {
    /// Its name.
    pub name: String,
    /// The account above it.
    pub parent: Option<Option<String>>,
    /// What it counts among those beside it.
    pub share: Option<u32>,
    /// Who may use it.
    pub users: Option<Names>,
    /// Who may change what is below it.
    pub coordinators: Option<Names>,
    /// Whose jobs are its own when they name no account.
    pub default_for: Option<Names>,
    /// Bounds.
    pub limits: LimitSettings,
    /// Cpus times hours; counted from now on unless there is a budget already.
    pub budget: Option<Option<u64>>,
    /// When the budget ends.
    pub until: Option<Option<WallTime>>,
    /// What users count among all right below it, those who count otherwise than 1.
    pub user_shares: Option<Vec<(String, u32)>>,
}

/// What `jctld qos add` and `set` change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QosSettings {
    /// Its name.
    pub name: String,
    /// Added to the priority of its jobs.
    pub priority: Option<i32>,
    /// Bounds.
    pub limits: LimitSettings,
}

/// Bounds to be set; `None` leaves one, `Some(None)` takes it away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitSettings {
    /// Running jobs of all together.
    pub running: Option<Option<u32>>,
    /// Cpus of all together.
    pub cpus: Option<Option<u32>>,
    /// Unfinished jobs of all together.
    pub submitted: Option<Option<u32>>,
    /// Running jobs of each user.
    pub user_running: Option<Option<u32>>,
    /// Cpus of each user.
    pub user_cpus: Option<Option<u32>>,
    /// Unfinished jobs of each user.
    pub user_submitted: Option<Option<u32>>,
    /// Time limit of a job.
    pub time: Option<Option<Seconds>>,
}

/// A list of names to be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Names {
    /// These and no others.
    All(Vec<String>),
    /// As before, with some and without others.
    Edit {
        /// These too.
        add: Vec<String>,
        /// These no longer.
        remove: Vec<String>,
    },
}

/// An account and what it uses, with all below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountInfo {
    /// What is kept of it.
    pub record: AccountRecord,
    /// What it uses now.
    pub used: Used,
    /// What is spent of its budget, in cpu milliseconds.
    pub spent_cpu_ms: u64,
}

/// A quality of service and what it uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QosInfo {
    /// What is kept of it.
    pub record: QosRecord,
    /// What it uses now.
    pub used: Used,
}

/// What is used now of what limits bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Running jobs; each task of an array is one.
    pub running: u64,
    /// Cpus held.
    pub cpus: u64,
    /// Unfinished jobs; each task of an array is one.
    pub submitted: u64,
}
