//! The site's fence command: it makes sure that a silent node is dead, and says so. What ran there may then start again
//! at once, without waiting for leases.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command as Process;

use super::driver::{Driver, Message};
use crate::core::Command;
use crate::model::ids::NodeId;
use crate::model::time::Seconds;

/// How long the command may take.
pub const FENCE_PATIENCE: Duration = Duration::from_secs(300);
/// Of what it says so much is logged.
const SAID_BYTES_MAX: usize = 1_000;

/// Runs the command.
#[derive(Clone, Debug)]
pub struct Fence {
    /// The command, absolute; without one nothing is fenced.
    pub command: Option<PathBuf>,
    /// How long to wait before it is run again for a node that it could not vouch for.
    pub pause: Seconds,
    /// Who is told.
    pub driver: Driver,
    /// Where it runs.
    pub runtime: tokio::runtime::Handle,
}

impl Fence {
    /// A node has been silent for the node timeout: asks the command about it, in the background.
    pub fn ask(&self, node: NodeId, name: String) {
        let Some(command) = self.command.clone() else { return };
        let (pause, driver) = (Duration::from_secs(self.pause.0), self.driver.clone());
        self.runtime.spawn(async move {
            tracing::info!(node = name, "the fence command is run");
            let dead = match vouch(&command, &name).await {
                Ok(()) => true,
                Err(why) => {
                    tracing::warn!(node = name, why, "the fence command does not vouch for its death");
                    tokio::time::sleep(pause).await;
                    false
                }
            };
            let command = Box::new(Command::Fenced { node, dead });
            driver.send(Message::Command { command, answer: None, link: None });
        });
    }
}

/// Nothing of the caller's surroundings reaches the command, and the name is an argument, not text for a shell.
async fn vouch(command: &PathBuf, name: &str) -> Result<(), String> {
    let mut process = Process::new(command);
    process.arg(name).env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    process.env("JSCHED_NODE", name).current_dir("/").kill_on_drop(true);
    process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let ended = tokio::time::timeout(FENCE_PATIENCE, process.output()).await;
    let ended = ended.map_err(|_| format!("{} took longer than {FENCE_PATIENCE:?}", command.display()))?;
    let ended = ended.map_err(|error| format!("{} can't be run: {error}", command.display()))?;
    if ended.status.success() {
        return Ok(());
    }
    let said = ended.stderr.get(..ended.stderr.len().min(SAID_BYTES_MAX)).unwrap_or_default();
    Err(format!("{}: {}: {}", command.display(), ended.status, String::from_utf8_lossy(said).trim()))
}
