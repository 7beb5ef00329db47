//! What controller and node say on the node's second connection: bytes of output, apart from orders.

use serde::{Deserialize, Serialize};

use crate::model::ids::{Instance, Uid};
use crate::wire_body;

/// The most bytes of one chunk.
pub const CHUNK_BYTES_MAX: u32 = 256 << 10;

/// The node's only message on its data connection: which life of it this connection belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataHello {
    /// The same as on the control connection.
    pub instance: Instance,
}

/// The controller asks for a window of a file, on a stream of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadFile {
    /// As whom the file is opened.
    pub user: String,
    /// That user's uid.
    pub uid: Uid,
    /// Absolute.
    pub path: String,
    /// From where.
    pub from: From,
    /// At most so many bytes, and [`CHUNK_BYTES_MAX`].
    pub bytes: u32,
    /// If there is nothing yet: wait up to so many milliseconds for more.
    pub wait_ms: u32,
}

/// From where to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum From {
    /// From that byte.
    Offset(u64),
    /// From so many lines before the end.
    LastLines(u32),
}

/// The node's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileRead {
    /// Bytes from `offset` on, and how large the file was. Empty at its end.
    Chunk {
        /// Where the bytes begin.
        offset: u64,
        /// They.
        bytes: Vec<u8>,
        /// The file's size.
        size: u64,
    },
    /// It could not be read.
    Failed {
        /// Whether it is simply not there.
        missing: bool,
        /// Node, path and reason.
        text: String,
    },
}

wire_body! {
    DataHello = "node data hello", 1;
    ReadFile = "read request", 1;
    FileRead = "read answer", 1;
}
