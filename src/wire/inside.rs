//! What is said for commands inside a job, on their way from the job's socket over the node daemon to the controller.
//!
//! A command connects to `JSCHED_SOCKET`, is told [`Gate`], sends its request as a client of the controller would, and
//! keeps its side open until it has all replies. The node daemon opens a stream for it on a connection of its own
//! kind, whose first stream began with [`JobsHello`]; the stream begins with [`JobCall`], and what follows it is the
//! request and the replies, byte for byte. Who asks follows from the node's certificate, the hello and the call: there
//! is nothing in the request that could say otherwise.

use serde::{Deserialize, Serialize};

use crate::model::ids::{Attempt, Instance, TaskRef};
use crate::wire_body;

/// The environment variable of a job that leads its commands to their socket.
pub const SOCKET_VARIABLE: &str = "JSCHED_SOCKET";
/// The most bytes of a request from inside a job.
pub const JOB_REQUEST_BYTES_MAX: usize = 16 << 20;
/// The most bytes of a [`Gate`] or a [`JobCall`].
pub const GATE_BYTES_MAX: usize = 4 << 10;
/// The most requests from jobs of one node that the controller answers at once.
pub const JOB_STREAMS_MAX: u32 = 512;

/// The first message to a command at the job's socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gate {
    /// The controller listens: ask.
    Open,
    /// Not now; nothing was accepted, and asking later may help.
    Busy {
        /// Why.
        reason: String,
    },
    /// Not ever.
    Closed {
        /// Why.
        reason: String,
    },
}

/// The node's first message on its connection for jobs: which life of it this connection belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobsHello {
    /// The same as on the control connection.
    pub instance: Instance,
}

/// In whose name the rest of a stream is said: an attempt that runs in this life of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobCall {
    /// The task.
    pub task: TaskRef,
    /// Which try.
    pub attempt: Attempt,
}

wire_body! {
    Gate = "answer at the job's socket", 1;
    JobsHello = "node hello for jobs", 1;
    JobCall = "call from a job", 1;
}
