//! The cluster's configuration as a whole: partitions, nodes' settings, accounts and qualities of service.

use serde::{Deserialize, Serialize};

use super::account::{AccountSettings, QosSettings};
use super::client::{PartitionSettings, Refusal};
use crate::model::configured::Value;
use crate::model::priority::PriorityRecord;

/// A look at the configuration, or a change of it. Admins only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigAct {
    /// All of it. Answered with [`super::client::Reply::Configuration`].
    Export,
    /// Put this in force, all or nothing. Answered with [`super::client::Reply::Configured`], or
    /// [`super::client::Reply::Misconfigured`].
    Apply {
        /// What.
        wanted: Box<Wanted>,
        /// Only say what would change.
        dry_run: bool,
    },
}

/// What shall be so. Each entry says all of itself: what it leaves out is as in a new one. `None`: as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// All partitions.
    pub partitions: Option<Vec<PartitionSettings>>,
    /// Settings of these nodes; the others stay as they are, since nodes come and go by joining.
    pub nodes: Vec<NodeSettings>,
    /// All accounts.
    pub accounts: Option<Vec<AccountSettings>>,
    /// All qualities of service.
    pub qos: Option<Vec<QosSettings>>,
    /// How priorities are worked out.
    pub priority: Option<PriorityRecord>,
}

/// Settings of nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSettings {
    /// How the file calls them: a name or a list.
    pub entry: String,
    /// Which.
    pub names: Vec<String>,
    /// Features.
    pub features: Vec<String>,
    /// Lower is used first.
    pub weight: u32,
}

/// A part of the configuration, by the word that begins its tables in TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Section {
    /// Partitions.
    Partition,
    /// Nodes.
    Node,
    /// Accounts.
    Account,
    /// Qualities of service.
    Qos,
    /// How priorities are worked out: one entry without a name.
    Priority,
}

impl Section {
    /// All of them, in the order of the file.
    pub const ALL: [Section; 5] =
        [Section::Priority, Section::Partition, Section::Node, Section::Account, Section::Qos];

    /// How an entry of that name is spoken of: `account physics`, `priority`.
    pub fn entry(self, name: &str, between: &str) -> String {
        if name.is_empty() { self.word().to_owned() } else { format!("{}{between}{name}", self.word()) }
    }

    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Section::Priority => "priority",
            Section::Partition => "partition",
            Section::Node => "node",
            Section::Account => "account",
            Section::Qos => "qos",
        }
    }
}

/// Something that is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigEntry {
    /// Of which part.
    pub section: Section,
    /// Its name; of nodes a list.
    pub name: String,
    /// What is said of it.
    pub keys: Vec<(String, Value)>,
}

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Becomes {
    /// It is new.
    Added,
    /// It says something else.
    Changed,
    /// It goes.
    Removed,
}

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// Of which part.
    pub section: Section,
    /// Whose.
    pub name: String,
    /// What becomes of it.
    pub becomes: Becomes,
    /// Keys with what they said and what they say now.
    pub keys: Vec<KeyChange>,
}

/// A key with what it said and what it says now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// The key.
    pub key: String,
    /// Before; `None`: nothing.
    pub from: Option<Value>,
    /// From now on.
    pub to: Option<Value>,
}

/// What can't be put in force, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Misfit {
    /// In which part.
    pub section: Section,
    /// In which entry, as the file calls it; one that is not there shall go.
    pub name: String,
    /// At which key; empty: the entry as a whole.
    pub key: String,
    /// Why.
    pub refusal: Refusal,
}
