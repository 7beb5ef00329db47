//! Hears INT and TERM while a command waits: they end the waiting, not the job.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::ClientError;

/// Listens from when it is made.
pub struct Interrupt {
    int: Signal,
    term: Signal,
}

impl Interrupt {
    /// Begins to listen; from here on neither signal ends the process by itself.
    ///
    /// # Errors
    /// [`ClientError::System`].
    pub fn listen() -> Result<Interrupt, ClientError> {
        let hear = |kind| signal(kind).map_err(|error| ClientError::System(format!("signals: {error}")));
        Ok(Interrupt { int: hear(SignalKind::interrupt())?, term: hear(SignalKind::terminate())? })
    }

    /// Returns when one of them comes.
    pub async fn heard(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}
