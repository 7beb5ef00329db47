//! A piece of the state for readers.

use std::sync::Arc;

use imbl::OrdMap;

use super::state::Cluster;
use crate::model::ids::{NodeId, Position};
use crate::model::time::WallTime;

/// A piece of the state at one position of the log, shared with readers.
#[derive(Clone, Debug)]
pub struct View {
    /// The state.
    pub cluster: Cluster,
    /// What the log does not decide: who is reachable, and how loaded.
    pub nodes: OrdMap<NodeId, Arc<super::NodeSight>>,
    /// Of which position.
    pub position: Position,
    /// When it was taken.
    pub at: WallTime,
    /// How ages and shares stood when they were last reckoned.
    pub standing: Arc<super::priority::Standing>,
}
