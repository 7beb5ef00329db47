//! Hears INT and TERM while a command waits: they end the waiting, not the job.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::ClientError;

/// Listens from when it is made.
pub struct Interrupt {
    int: Signal,
    term: Signal,
    hup: Option<Signal>,
}

impl Interrupt {
    /// Begins to listen; from here on neither signal ends the process by itself.
    ///
    /// # Errors
    /// [`ClientError::System`].
    pub fn listen() -> Result<Interrupt, ClientError> {
        let hear = |kind| signal(kind).map_err(|error| ClientError::System(format!("signals: {error}")));
        Ok(Interrupt { int: hear(SignalKind::interrupt())?, term: hear(SignalKind::terminate())?, hup: None })
    }

    /// HUP, too: for what must not end without a word when its terminal is closed.
    ///
    /// # Errors
    /// [`ClientError::System`].
    pub fn with_hangup(mut self) -> Result<Interrupt, ClientError> {
        let hup = signal(SignalKind::hangup());
        self.hup = Some(hup.map_err(|error| ClientError::System(format!("signals: {error}")))?);
        Ok(self)
    }

    /// Returns when one of them comes.
    pub async fn heard(&mut self) {
        let hup = async {
            match &mut self.hup {
                Some(hup) => hup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
            _ = hup => {}
        }
    }
}
