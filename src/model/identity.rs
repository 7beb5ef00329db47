//! Who somebody is. An identity comes from a certificate, never from a field of a message.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::{Attempt, Instance, NodeId, TaskRef, Uid};

/// What a certificate lets its bearer be. Bound at issue; one certificate, one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Submits and manages own jobs.
    User,
    /// Also manages everybody's jobs, and nodes.
    Operator,
    /// Also manages users, certificates and configuration.
    Admin,
    /// A node daemon.
    Node,
    /// A login host that may vouch for its users (not issued yet).
    Login,
    /// The controller.
    Controller,
    /// A running job, through its supervisor.
    Job,
}

impl Role {
    /// All roles, lowest first.
    pub const ALL: [Role; 7] =
        [Role::User, Role::Operator, Role::Admin, Role::Node, Role::Login, Role::Controller, Role::Job];

    /// The word used in certificates, configuration and messages.
    pub fn word(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Operator => "operator",
            Role::Admin => "admin",
            Role::Node => "node",
            Role::Login => "login",
            Role::Controller => "controller",
            Role::Job => "job",
        }
    }

    /// The role of that exact word.
    pub fn from_word(word: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.word() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Serial number of a certificate, as the CA gave it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Serial(pub [u8; 16]);

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A running attempt in whose name its processes ask, as the node that runs it attests. It is worth nothing once that
/// attempt has ended, or from another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Within {
    /// The task.
    pub task: TaskRef,
    /// Which try.
    pub attempt: Attempt,
    /// Which node says so.
    pub node: NodeId,
    /// In which of its lives.
    pub instance: Instance,
}

/// The one behind a request, as its certificate says; for a job, as the certificate of its node says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// What the certificate lets it be.
    pub role: Role,
    /// User name, node name or `controller`.
    pub name: String,
    /// The numeric user id, for users, operators and admins.
    pub uid: Option<Uid>,
    /// Which certificate.
    pub serial: Serial,
    /// For role `job` the attempt that asks, and for no other role.
    pub within: Option<Within>,
}

impl Identity {
    /// The name for records of what was done: with the job, if it was one.
    pub fn actor(&self) -> String {
        match &self.within {
            Some(within) => format!("{} (job {})", self.name, within.task.job),
            None => self.name.clone(),
        }
    }
}

/// The most bytes that a user or node name may have.
pub const NAME_BYTES_MAX: usize = 63;

/// Whether `name` can be a user's, node's, partition's or account's name: 1 to 63 of ASCII letters, digits,
/// `-`, `_` and `.`, beginning with a letter, digit or `_`. Exact match is the only comparison ever made, so
/// nothing that could look like something else gets in.
pub fn name_is_valid(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first_fits = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    first_fits
        && name.len() <= NAME_BYTES_MAX
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !name.ends_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_at_their_edges() {
        assert!(name_is_valid("n1"));
        assert!(name_is_valid(&"a".repeat(NAME_BYTES_MAX)));
        assert!(!name_is_valid(&"a".repeat(NAME_BYTES_MAX + 1)));
        for bad in ["", "-n", "a/b", "a b", "a.", "a,b", "a\0", "é", "n1\n"] {
            assert!(!name_is_valid(bad), "{bad:?}");
        }
    }
}
