//! Changes: assignments by value, the only thing that is written to the log. Replay from any earlier position
//! converges, since none of them is a sum and none depends on what was there before.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::account::{AccountRecord, QosRecord};
use super::identity::Serial;
use super::ids::{Attempt, ContentHash, Epoch, Incarnation, JobId, NodeId, Ordinal, TaskRef, Uid};
use super::priority::{DecayedUse, PriorityRecord};
use super::record::{
    CancelNote, CertificateRecord, Exception, JobRecord, KeyRecord, Live, NodeRecord, PartitionRecord,
    Restored, Slots, SpentToken, TokenRecord, UserRecord,
};
use super::state::{End, State};
use super::task_set::TaskSet;
use super::time::{Seconds, WallTime};

/// One assignment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A controller takes office.
    Office {
        /// Which life of the state.
        incarnation: Incarnation,
        /// Which term.
        epoch: Epoch,
        /// When.
        at: WallTime,
    },
    /// The next job number.
    NextJob(JobId),
    /// The next node number.
    NextNode(NodeId),
    /// A job as it is now. New ones begin with all tasks pending (or held, as the record says).
    Job(Arc<JobRecord>),
    /// These tasks wait, or are held; they are on no node.
    Waiting {
        /// Of which job.
        job: JobId,
        /// Which.
        set: TaskSet,
        /// Held rather than pending.
        held: bool,
    },
    /// These tasks are on a node.
    Live {
        /// Of which job.
        job: JobId,
        /// Which.
        set: TaskSet,
        /// Where and how far.
        live: Live,
    },
    /// What is out of the ordinary about a task.
    Exception {
        /// Which.
        task: TaskRef,
        /// What; the default value removes it.
        exception: Exception,
    },
    /// An attempt ended; unless a [`Change::Waiting`] follows, so did its task.
    Ended {
        /// Which task.
        task: TaskRef,
        /// How.
        end: Box<End>,
    },
    /// Tasks that never got an attempt ended, all in the same way.
    EndedUnstarted {
        /// Of which job.
        job: JobId,
        /// Which.
        set: TaskSet,
        /// How.
        end: Box<End>,
    },
    /// What a job holds on a node; `None`: nothing any more.
    Slots {
        /// Which job.
        job: JobId,
        /// Which node.
        node: NodeId,
        /// What.
        slots: Option<Slots>,
    },
    /// Who asked for the end of a job's live tasks.
    CancelNote {
        /// Which job.
        job: JobId,
        /// Who and why.
        note: CancelNote,
    },
    /// All tasks of a job have ended.
    JobEnded {
        /// Which.
        job: JobId,
        /// When.
        at: WallTime,
    },
    /// An ended job is wanted again: it is back among the living as it was, before its tasks change.
    JobAgain {
        /// Its record.
        record: Arc<JobRecord>,
        /// Its tasks by state.
        states: Vec<(State, TaskSet)>,
        /// What is out of the ordinary about them.
        exceptions: Vec<(Ordinal, Exception)>,
    },
    /// A node.
    Node(Box<NodeRecord>),
    /// A node was forgotten.
    NodeRemoved(NodeId),
    /// A partition.
    Partition(Box<PartitionRecord>),
    /// A partition was forgotten.
    PartitionRemoved(String),
    /// A user.
    User(UserRecord),
    /// A user was forgotten.
    UserRemoved(String),
    /// A token.
    Token(TokenRecord),
    /// A token has expired or was taken back, used or not.
    TokenUsed(ContentHash),
    /// A certificate was issued or revoked.
    Certificate(CertificateRecord),
    /// A certificate's record is not needed any more.
    CertificateDropped(Serial),
    /// The answer to a key.
    Key(Box<KeyRecord>),
    /// A script or an environment.
    Content {
        /// Who has sent it.
        owner: Uid,
        /// Its hash.
        hash: ContentHash,
        /// The bytes; `None`: they lie in a file of that hash, which was durable before this record.
        bytes: Option<Vec<u8>>,
    },
    /// Somebody did something, or was refused.
    Audit(Box<AuditRecord>),
    /// The state came out of a backup.
    Restored(Restored),
    /// A token was used: it is remembered as such until it would have expired.
    TokenSpent(Box<SpentToken>),
    /// An attempt was given up without its end being known; `None`: it is known by now, or it is live again.
    Abandoned {
        /// Which task.
        task: TaskRef,
        /// Which attempt.
        attempt: Attempt,
        /// On which node.
        node: NodeId,
        /// What was known of it.
        live: Option<Live>,
    },
    /// The end of an attempt that was given up; its task is another attempt's by now.
    LateEnd {
        /// Which task.
        task: TaskRef,
        /// How.
        end: Box<End>,
    },
    /// How long fenced attempts run on without contact, unless their job says otherwise.
    Lease(Seconds),
    /// Only in the log, and there the first change of its group: the group is one part of a larger one.
    Part {
        /// Which part, from 0.
        index: u32,
        /// Of how many.
        of: u32,
    },
    /// An account.
    Account(Box<AccountRecord>),
    /// An account was forgotten.
    AccountRemoved(String),
    /// A quality of service.
    Qos(Box<QosRecord>),
    /// A quality of service was forgotten.
    QosRemoved(String),
    /// How much of an account's budget is spent.
    BudgetSpent {
        /// Whose.
        account: String,
        /// Cpus times milliseconds, in all.
        cpu_ms: u64,
    },
    /// The jobs of these numbers, from the first to before the second, belong to a submission that is not accepted yet as
    /// a whole; `None`: there is none such.
    Unsettled(Option<(JobId, JobId)>),
    /// How priorities are worked out.
    Priority(Box<PriorityRecord>),
    /// What a user has used in an account, for fair share.
    Use {
        /// In which; empty while none are defined.
        account: String,
        /// Who.
        user: String,
        /// How much; `None`: it is forgotten.
        used: Option<DecayedUse>,
    },
}

/// Who did what, when, from where, allowed or refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Counted from 1, without gaps.
    pub number: u64,
    /// BLAKE3 of the encoded record before it; zeros before the first.
    pub before: [u8; 32],
    /// When.
    pub at: WallTime,
    /// Role and name in the certificate.
    pub who: String,
    /// From which address, if it came over the network.
    pub from: String,
    /// What.
    pub what: String,
    /// To which jobs: first and last of runs of numbers, at most [`AUDIT_RUNS_MAX`].
    pub jobs: Vec<(JobId, JobId)>,
    /// To which nodes.
    pub nodes: Vec<String>,
    /// Whether it was allowed.
    pub allowed: bool,
}

/// The most runs of job numbers in one audit record; more make further records.
pub const AUDIT_RUNS_MAX: usize = 4_096;

/// What stands in one frame of the log: the changes of whole commands, in order, or a part of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// They.
    pub changes: Vec<Change>,
}
