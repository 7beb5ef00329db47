//! How much room things take, without encoding them.

use crate::model::change::Change;

/// About how many bytes a change takes in the log: exact sizes would mean encoding everything twice.
pub fn rough_bytes(change: &Change) -> usize {
    match change {
        Change::Content { bytes, .. } => 64 + bytes.as_ref().map_or(0, Vec::len),
        Change::Job(_) => 512,
        Change::JobAgain { states, .. } => {
            1_024 + states.iter().map(|(_, set)| set.runs().len() * 8).sum::<usize>()
        }
        Change::Key(record) => 128 + record.reply.len(),
        Change::Waiting { set, .. } | Change::EndedUnstarted { set, .. } | Change::Live { set, .. } => {
            64 + set.runs().len() * 8
        }
        _ => 96,
    }
}
