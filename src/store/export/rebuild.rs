//! Tables from an export: what is done when they can't be believed.

use super::manifest::Manifest;
use super::rows_file::{Batch, RowsFault, read_noted};
use crate::model::ids::Position;
use crate::store::disk::Disk;
use crate::store::tables::{Row, Tables, TablesError};

/// Why tables could not be built from an export.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The export is damaged.
    #[error(transparent)]
    Export(#[from] RowsFault),
    /// The tables failed.
    #[error(transparent)]
    Tables(#[from] TablesError),
}

impl RebuildError {
    /// Whether it is no use to try an older export.
    pub fn is_fatal(&self) -> bool {
        match self {
            RebuildError::Export(fault) => fault.is_fatal(),
            RebuildError::Tables(_) => true,
        }
    }
}

/// Empties the tables and fills them from an export. Their position stays 0 until everything is there, so that an
/// interruption is seen. Every byte that the export names is checked on the way.
///
/// # Errors
/// Damage of the export, after which the tables are empty or partly filled at position 0; or the tables'.
pub fn rebuild(disk: &dyn Disk, manifest: &Manifest, tables: &mut dyn Tables) -> Result<(), RebuildError> {
    tables.reset(manifest.incarnation)?;
    let mut failure = None;
    let mut fill = |_: Batch, rows: Vec<Row>| {
        if failure.is_none() {
            failure = tables.fill(&rows).err();
        }
        Ok(())
    };
    for chunk in &manifest.history {
        read_noted(disk, &chunk.file, &mut fill)?;
    }
    read_noted(disk, &manifest.live, &mut fill)?;
    if let Some(error) = failure {
        return Err(error.into());
    }
    if manifest.position > Position(0) {
        tables.apply(&[], manifest.position)?;
    }
    Ok(())
}
