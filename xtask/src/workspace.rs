//! Where things are in this workspace, and cargo itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::program;

/// The folder of the repository.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// The cargo that runs this task, in the repository's folder.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Builds the release binaries, with cargo's own progress on the terminal, and returns their folder.
pub fn build_release() -> Result<PathBuf, Failure> {
    let mut build = cargo();
    build.args(["build", "--release", "--locked", "--package", "jsched", "--bins"]);
    program::show(build)?;
    let mut metadata = cargo();
    metadata.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]);
    let metadata = program::collect(metadata)?.expect(0)?;
    let parsed: serde_json::Value = serde_json::from_str(&metadata.stdout)
        .map_err(|error| Failure::Wrong(format!("`{}` printed no JSON: {error}", metadata.command)))?;
    match parsed["target_directory"].as_str() {
        Some(target) => Ok(Path::new(target).join("release")),
        None => Err(Failure::Wrong(format!("`{}` names no target_directory", metadata.command))),
    }
}
