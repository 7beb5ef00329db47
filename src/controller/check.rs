//! `verify`: everything on disk is read and checked; nothing is changed.

use std::path::Path;

use crate::store::disk::Disk;
use crate::store::disk::real::RealDisk;
use crate::store::verify::verify;

/// Checks the state of the running daemon, whose own handle is given: nobody else has the lock.
///
/// # Errors
/// What is wrong, with place and command.
pub fn verify_disk(disk: &dyn Disk) -> Result<Vec<String>, String> {
    let report = verify(disk).map_err(|error| error.to_string())?;
    let text = report.to_string();
    if report.is_sound() {
        Ok(text.lines().map(str::to_owned).collect())
    } else {
        Err(text.trim_end().to_owned())
    }
}

/// Checks a folder whose daemon is stopped.
///
/// # Errors
/// As [`verify_disk`]; also when a daemon has the folder, with its pid.
pub fn verify_folder(folder: &Path) -> Result<Vec<String>, String> {
    let disk = RealDisk::open(folder).map_err(|error| error.to_string())?;
    verify_disk(&disk)
}
