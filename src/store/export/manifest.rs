//! What an export consists of. An export counts once its manifest is there: everything that it names was durable and
//! had been read back before.

use serde::{Deserialize, Serialize};

use super::rows_file::FileNote;
use super::{FOLDER, MANIFEST_SUFFIX};
use crate::model::ids::{Epoch, Incarnation, Position};
use crate::model::time::WallTime;
use crate::store::disk::{Disk, DiskError, read_all, write_whole};
use crate::wire::codec::{decode, encode};
use crate::wire_body;

/// The most bytes of a manifest file.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;

const MAGIC: [u8; 8] = *b"jsexport";
const CRC_BYTES: usize = 4;

/// An export: the whole state at one position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its number; later ones are higher.
    pub number: u64,
    /// Of which life of the state.
    pub incarnation: Incarnation,
    /// In which term it was made.
    pub epoch: Epoch,
    /// The position of the log up to which it goes.
    pub position: Position,
    /// When it was made.
    pub at: WallTime,
    /// The live rows, and the content that live jobs name.
    pub live: FileNote,
    /// History, oldest first, shared with the exports before.
    pub history: Vec<Chunk>,
}

/// A closed piece of history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Its file.
    pub file: FileNote,
    /// Its number.
    pub number: u64,
    /// It holds what came after that position,
    pub after: Position,
    /// up to that one.
    pub position: Position,
    /// Nothing in it is newer.
    pub newest: WallTime,
}

wire_body! {
    Manifest = "export manifest", 1;
}

impl Manifest {
    /// Where a manifest of that number lies.
    pub fn path(number: u64) -> String {
        format!("{FOLDER}/{number:010}{MANIFEST_SUFFIX}")
    }

    /// Bytes of everything that it names.
    pub fn bytes(&self) -> u64 {
        self.live.bytes + self.history.iter().map(|chunk| chunk.file.bytes).sum::<u64>()
    }

    /// Writes it, durably.
    ///
    /// # Errors
    /// The disk, or no room, which harms nothing.
    pub fn write(&self, disk: &dyn Disk) -> Result<(), DiskError> {
        let body = encode(self).map_err(|error| failed(&Manifest::path(self.number), error.to_string()))?;
        let mut bytes = [MAGIC.as_slice(), &body].concat();
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        write_whole(disk, FOLDER, &format!("{FOLDER}/manifest.new"), &Manifest::path(self.number), &bytes)
    }

    /// Reads one. The inner result says why it can't be believed.
    pub fn read(disk: &dyn Disk, path: &str) -> Result<Result<Manifest, String>, DiskError> {
        let length = disk.length(path)?.unwrap_or_default();
        if length > MANIFEST_BYTES_MAX {
            return Ok(Err(format!("{path} has {length} bytes, more than any manifest")));
        }
        let bytes = read_all(disk, path, MANIFEST_BYTES_MAX)?;
        Ok(parse(&bytes).map_err(|what| format!("{path} is damaged: {what}")))
    }
}

fn parse(bytes: &[u8]) -> Result<Manifest, String> {
    let Some((covered, crc)) = bytes.split_last_chunk::<CRC_BYTES>() else {
        return Err("it is too short".to_owned());
    };
    if crc32fast::hash(covered) != u32::from_le_bytes(*crc) {
        return Err("its checksum is wrong".to_owned());
    }
    let body = covered.strip_prefix(MAGIC.as_slice()).ok_or("it is no manifest")?;
    decode(body).map_err(|error| error.to_string())
}

fn failed(path: &str, what: String) -> DiskError {
    DiskError::Failed { what: "encode", path: path.to_owned(), source: std::io::Error::other(what) }
}
