//! What the controller answers to commands.

use serde::{Deserialize, Serialize};

use super::account::{AccountInfo, QosInfo};
use super::config::{ConfigChange, ConfigEntry, Misfit};
use super::info::{ClusterStatus, EndedRow, JobDetail, JobInfo, NodeInfo, PartitionInfo, UsageRow, Whoami};
use crate::model::change::AuditRecord;
use crate::model::ids::{Attempt, JobId, NodeId, Position};
use crate::model::state::State;
use crate::model::time::{TimeLimit, WallTime};
use crate::wire_body;

/// A reply. Every request can be answered with [`Reply::Refused`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// No.
    Refused(Refusal),
    /// Accepted and durable: the jobs' numbers in order, and what there is to say.
    Submitted {
        /// The numbers.
        jobs: Vec<JobId>,
        /// What was understood, of the first job.
        receipt: Receipt,
        /// Words for stderr.
        warnings: Vec<String>,
    },
    /// Rows of a listing or of a snapshot.
    Jobs {
        /// The rows.
        jobs: Vec<JobInfo>,
        /// Of which position.
        position: Position,
        /// What the footer counts; in the last frame.
        footer: Option<Footer>,
    },
    /// Jobs that are different now, for a live view.
    Changed {
        /// The newest state of each.
        jobs: Vec<JobInfo>,
        /// As of then.
        position: Position,
    },
    /// Jobs in full.
    Detail(Vec<JobDetail>),
    /// What was done, a line per job.
    Acted {
        /// The lines.
        lines: Vec<ActLine>,
    },
    /// What was waited for has happened.
    Waited {
        /// A line per job or array.
        outcomes: Vec<WaitOutcome>,
    },
    /// How far an array is.
    Progress {
        /// Ended tasks.
        ended: u64,
        /// Of them other than completed.
        bad: u64,
        /// Running tasks.
        running: u64,
        /// All tasks.
        total: u64,
    },
    /// Some output.
    Output(Output),
    /// Ended tasks.
    Ended {
        /// The rows.
        rows: Vec<EndedRow>,
        /// Whether that was all.
        last: bool,
    },
    /// Use.
    Usage(Vec<UsageRow>),
    /// The caller.
    Whoami(Whoami),
    /// Nodes and partitions.
    Nodes {
        /// The nodes.
        nodes: Vec<NodeInfo>,
        /// The partitions.
        partitions: Vec<PartitionInfo>,
    },
    /// Done, with lines to print.
    Done {
        /// For stdout.
        lines: Vec<String>,
        /// For stderr.
        warnings: Vec<String>,
    },
    /// What one-use tokens need besides their secrets, which the asker has.
    Tokens {
        /// Where the controller says that it is reached.
        addresses: Vec<String>,
        /// The cluster.
        cluster: String,
        /// Hash of the CA's certificate.
        fingerprint: [u8; 32],
        /// Until when.
        expires: WallTime,
    },
    /// The daemon.
    Status(Box<ClusterStatus>),
    /// Lines of a table: header first.
    Lines(Vec<Vec<String>>),
    /// A certificate in place of the old one.
    Renewed {
        /// The certificate, PEM.
        certificate: String,
        /// The authorities to believe from now on, PEM.
        authorities: String,
    },
    /// Audit records, in order.
    Audit {
        /// They.
        records: Vec<AuditRecord>,
        /// Whether that was all.
        last: bool,
    },
    /// Accounts, or qualities of service.
    Accounts {
        /// The accounts, by name.
        accounts: Vec<AccountInfo>,
        /// The qualities of service, by name.
        qos: Vec<QosInfo>,
    },
    /// What is configured.
    Configuration(Vec<ConfigEntry>),
    /// What has changed, or would change.
    Configured {
        /// The differences, in the order of the file.
        changes: Vec<ConfigChange>,
        /// Words for stderr.
        warnings: Vec<String>,
    },
    /// A configuration that was refused as a whole because of one place in it.
    Misconfigured(Box<Misfit>),
}

/// A refusal, in words and as a code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind; decides the exit code.
    pub code: RefusalCode,
    /// What was wrong, and where.
    pub message: String,
    /// What to do next; may be empty.
    pub hint: String,
}

impl Refusal {
    /// A refusal with a hint.
    pub fn new(code: RefusalCode, message: impl Into<String>, hint: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into(), hint: hint.into() }
    }
}

/// Kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalCode {
    /// No such job.
    NoSuchJob,
    /// No such node.
    NoSuchNode,
    /// No such partition.
    NoSuchPartition,
    /// No such user.
    NoSuchUser,
    /// No node or partition could ever run it.
    Impossible,
    /// A limit of the cluster, partition or user.
    Limit,
    /// The key belongs to another request.
    KeyReused,
    /// The table does not allow it.
    NotAllowed,
    /// Understood, but not in this version.
    NotSupported,
    /// Makes no sense.
    Invalid,
    /// The state it is in does not permit that.
    Conflict,
    /// No room in the log: only cancels, ends and status are taken.
    NoRoom,
    /// Too many requests at once; try again.
    Busy,
    /// The controller is stopping; try again.
    Stopping,
    /// No such account.
    NoSuchAccount,
    /// No such quality of service.
    NoSuchQos,
}

impl RefusalCode {
    /// The word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            RefusalCode::NoSuchJob => "no_such_job",
            RefusalCode::NoSuchNode => "no_such_node",
            RefusalCode::NoSuchPartition => "no_such_partition",
            RefusalCode::NoSuchUser => "no_such_user",
            RefusalCode::Impossible => "impossible",
            RefusalCode::Limit => "limit",
            RefusalCode::KeyReused => "key_reused",
            RefusalCode::NotAllowed => "not_allowed",
            RefusalCode::NotSupported => "not_supported",
            RefusalCode::Invalid => "invalid",
            RefusalCode::Conflict => "conflict",
            RefusalCode::NoRoom => "no_room",
            RefusalCode::Busy => "busy",
            RefusalCode::Stopping => "stopping",
            RefusalCode::NoSuchAccount => "no_such_account",
            RefusalCode::NoSuchQos => "no_such_qos",
        }
    }

    /// The exit code of the command that was refused (INTERFACE: exit codes).
    pub fn exit_code(self) -> u8 {
        match self {
            RefusalCode::NotAllowed => 77,
            RefusalCode::NotSupported => 65,
            RefusalCode::Busy | RefusalCode::Stopping => 75,
            _ => 1,
        }
    }
}

/// What was understood of a submission, with the cluster's defaults filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Where.
    pub partition: String,
    /// Cpus.
    pub cpus: u32,
    /// Memory; 0: the whole node's.
    pub memory_bytes: u64,
    /// Whether that is a default.
    pub memory_is_default: bool,
    /// Limit.
    pub limit: TimeLimit,
    /// About when it starts, if that can be said.
    pub start: Option<WallTime>,
    /// Where, if that can be said.
    pub nodes: Vec<String>,
    /// Its output pattern.
    pub output: String,
    /// Tasks.
    pub tasks: u32,
}

/// What a listing did not show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footer {
    /// Unfinished jobs of others.
    pub others: u64,
    /// Own jobs that ended in the last hour, as far as history has them: it is a moment behind.
    pub ended_lately: u64,
    /// Of them badly.
    pub failed_lately: u64,
    /// One of those.
    pub failed_example: Option<JobId>,
}

/// What a verb did to one job or some tasks of one array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActLine {
    /// The id as users write it.
    pub id: String,
    /// The state before, in words.
    pub old: String,
    /// The state after, in words.
    pub new: String,
    /// What there is to say ("already ended"); may be empty.
    pub note: String,
    /// How many tasks it hit.
    pub tasks: u64,
}

/// How something that was waited for came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitOutcome {
    /// The id as users write it.
    pub id: String,
    /// The state; of an array the one with the highest exit code.
    pub state: State,
    /// The exit code by the rules of INTERFACE ("Waiting").
    pub code: u8,
}

/// Output of one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Whose, as users write it.
    pub id: String,
    /// The state of the task.
    pub state: State,
    /// Which try.
    pub attempt: Attempt,
    /// Where the bytes begin.
    pub offset: u64,
    /// The bytes.
    #[serde(with = "super::bytes")]
    pub bytes: Vec<u8>,
    /// The file's size as far as known.
    pub size: u64,
    /// Why there is nothing, or why it comes from what is kept rather than from the node; else empty.
    pub note: String,
    /// Where this attempt's own part of the file begins.
    pub start: u64,
    /// The attempt has ended, and `size` is where its output ends.
    pub over: bool,
    /// The newest attempt that has started.
    pub latest: Attempt,
    /// Where this one ran; 0 if it never did.
    pub node: NodeId,
}

wire_body! {
    Reply = "reply", 1;
}
