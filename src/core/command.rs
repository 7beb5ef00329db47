//! What goes into the core and what comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::audit::Deed;
use super::job::Job;
use super::tie::Held;
use super::tokens::Joining;
use crate::model::change::{AuditRecord, Change};
use crate::model::identity::{Identity, Serial};
use crate::model::ids::{ContentHash, Epoch, Incarnation, JobId, NodeId, SessionId};
use crate::model::record::{CertificateRecord, KeyRecord, TokenRecord};
use crate::model::time::Seconds;
use crate::sched::{Demand, Plan};
use crate::wire::client::{Reply, Request};
use crate::wire::node::{Beat, Hello, OrderRefused, Report, ToNode};

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Command {
    /// This controller takes office.
    Office {
        /// Which life of the state.
        incarnation: Incarnation,
        /// Which term.
        epoch: Epoch,
    },
    /// A mutating request.
    Client {
        /// Whose.
        caller: Caller,
        /// What.
        request: Box<Request>,
        /// What the shell found in history for it.
        found: Box<Found>,
    },
    /// A node says hello on a new connection; its name is from its certificate.
    Hello {
        /// The name.
        name: String,
        /// What it says.
        hello: Box<Hello>,
    },
    /// A node reports.
    Report {
        /// Which node.
        node: NodeId,
        /// On which session.
        session: SessionId,
        /// What.
        report: Box<Report>,
    },
    /// A node is alive.
    Beat {
        /// Which node.
        node: NodeId,
        /// On which session.
        session: SessionId,
        /// What it says.
        beat: Beat,
    },
    /// A node did not obey.
    NodeRefused {
        /// Which node.
        node: NodeId,
        /// On which session.
        session: SessionId,
        /// What and why.
        refused: OrderRefused,
    },
    /// A node's connection is gone.
    NodeGone {
        /// Which node.
        node: NodeId,
        /// Which session.
        session: SessionId,
    },
    /// The scheduler has planned.
    Plan(Plan),
    /// Somebody without a certificate shows a token's secret.
    Join(Joining),
    /// A certificate was signed; its record must be durable before it is handed over.
    Issued(CertificateRecord),
    /// A change that the shell makes by itself (the first partition at `init`, content that lies in a file).
    Change(Box<Change>),
    /// A reader was refused, or saw what belongs to somebody else: for the audit.
    Noted {
        /// Who.
        caller: Caller,
        /// What.
        deed: Deed,
        /// Whether it was allowed.
        allowed: bool,
    },
    /// A command that jobs are tied to is there, or is not there any more.
    Tie {
        /// Whose command.
        caller: Caller,
        /// The jobs.
        jobs: Vec<JobId>,
        /// What became of it.
        held: Held,
    },
    /// Time has passed.
    Tick,
    /// The fence command has been asked about a silent node.
    Fenced {
        /// Which.
        node: NodeId,
        /// Whether it vouches for its death.
        dead: bool,
    },
}

/// Who is behind a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// From the certificate.
    pub identity: Identity,
    /// The address, for the audit.
    pub from: String,
}

/// What lies in history and matters for a request.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The answer to the request's key, if the tables hold one.
    pub key: Option<KeyRecord>,
    /// BLAKE3 of the encoded request.
    pub request_hash: Option<ContentHash>,
    /// Ended jobs that the request names, as they were.
    pub jobs: BTreeMap<JobId, Arc<Job>>,
    /// Hashes that the caller has sent before and that are kept.
    pub contents: BTreeSet<ContentHash>,
    /// Content too large for the log, which lies in files by now.
    pub files: BTreeSet<ContentHash>,
}

/// What came of a command.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The answer, for those who asked.
    pub reply: Option<Reply>,
    /// To make durable, in this order.
    pub changes: Vec<Change>,
    /// To carry out once that is so.
    pub effects: Vec<Effect>,
    /// Jobs that are different now: whoever waits for them wants to know.
    pub jobs: BTreeSet<JobId>,
    /// What the first job of a submission that is only tried would ask the scheduler for.
    pub demand: Option<Box<Demand>>,
}

/// Something for the shell to do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Tell a node, if the session is still the node's.
    Send {
        /// Which.
        node: NodeId,
        /// On which session.
        session: SessionId,
        /// What.
        message: Box<ToNode>,
    },
    /// Answer a node's hello: the session is open.
    Welcome {
        /// The node.
        node: NodeId,
        /// Its session.
        session: SessionId,
        /// It obeyed another incarnation, and may obey this one.
        comes_over: bool,
    },
    /// Refuse a node's hello, or end its session.
    Close {
        /// The node's name.
        name: String,
        /// Its session, if it had one.
        session: Option<SessionId>,
        /// Why; the node shows it.
        reason: String,
    },
    /// A token was good: sign a certificate for this.
    Issue(TokenRecord),
    /// End every connection of that certificate.
    CutOff(Serial),
    /// Make sure that a silent node is dead, if that can be done; [`Command::Fenced`] says what came of it.
    Fence {
        /// Which.
        node: NodeId,
        /// Its name.
        name: String,
    },
    /// Write an audit line.
    Audit(AuditRecord),
    /// An admin should know.
    Alarm(String),
    /// Stop in order.
    Stop,
}

/// How the cluster is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name.
    pub cluster: String,
    /// How long a node may be silent before it counts as unreachable.
    pub node_timeout: Seconds,
    /// How long a fenced job may run on after its node's last answered beat.
    pub lease: Seconds,
    /// From TERM to KILL.
    pub kill_grace: Seconds,
    /// The most unfinished jobs of one user.
    pub jobs_per_user_max: u32,
    /// Whether uid 0 may run jobs.
    pub allow_root: bool,
    /// Whether jobs may submit jobs.
    pub submit_from_jobs: bool,
    /// Where the controller is reached, for tokens.
    pub addresses: Vec<String>,
    /// Hash of the CA's certificate, for tokens.
    pub fingerprint: [u8; 32],
}
