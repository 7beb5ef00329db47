//! What controller and node say on the node's second connection: bytes of output, apart from orders.

use serde::{Deserialize, Serialize};

use super::node::AttemptRef;
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
    /// Absolute; of an attempt that runs or has just ended the node knows better.
    pub path: String,
    /// Whose output it is.
    pub attempt: AttemptRef,
    /// The error file rather than the output file.
    pub error: bool,
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
        #[serde(with = "super::bytes")]
        bytes: Vec<u8>,
        /// The file's size.
        size: u64,
        /// Where the attempt's own part of the file begins, if the node knows.
        start: Option<u64>,
    },
    /// It could not be read.
    Failed {
        /// Whether it is simply not there.
        missing: bool,
        /// Node, path and reason.
        text: String,
    },
    /// Its file system has not answered yet; worth another try.
    Slow {
        /// Path and reason.
        text: String,
    },
}

/// The most pieces of one [`Shipment`].
pub const PIECES_MAX: usize = 1_024;
/// A shipment is closed when its pieces have so many bytes.
pub const SHIPMENT_BYTES: usize = 2 << 20;
/// The most bytes of one piece.
pub const PIECE_BYTES_MAX: usize = 1 << 20;

/// Pieces of output that the node sends, on a stream that it opened, for the controller to keep. The next one comes when
/// the controller has answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipment {
    /// They, of each file in the order of their offsets.
    pub pieces: Vec<Piece>,
}

/// Some bytes of an attempt's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Whose.
    pub attempt: AttemptRef,
    /// Of the error file.
    pub error: bool,
    /// The file, if the job does not tell it (`--chdir=job`); else empty.
    pub path: String,
    /// Where the attempt's part of the file begins.
    pub start: u64,
    /// Where these bytes begin.
    pub offset: u64,
    /// They; at most [`PIECE_BYTES_MAX`].
    #[serde(with = "super::bytes")]
    pub bytes: Vec<u8>,
    /// The file's size when they were read.
    pub size: u64,
    /// The attempt has ended, and this is its end.
    pub last: bool,
}

/// The controller's answer to a shipment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shipped {
    /// What it wanted of it is durable.
    Kept,
    /// It can't keep it now, and why; worth another try later.
    NotKept(String),
}

wire_body! {
    Shipment = "shipment of output", 1;
    Shipped = "answer to a shipment", 1;
    DataHello = "node data hello", 1;
    ReadFile = "read request", 1;
    FileRead = "read answer", 1;
}
