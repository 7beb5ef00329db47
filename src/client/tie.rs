//! Holds the tie of `jsubmit --tied`: as long as it runs, the controller does not end the jobs.

use std::convert::Infallible;

use crate::model::ids::JobId;
use crate::wire::client::{Reply, Request};

use super::connection::encode;
use super::error::{ClientError, Trouble};
use super::session::Client;

impl Client {
    /// Holds the tie over any number of restarts of the controller; ends only with an error. Dropping the future lets
    /// go.
    ///
    /// # Errors
    /// Refusals, and [`ClientError::NotReached`] before the controller was first reached.
    pub async fn hold_tie(&mut self, jobs: &[JobId]) -> Result<Infallible, ClientError> {
        let body = encode(&Request::Tied(jobs.to_vec()))?;
        loop {
            let trouble = match self.try_hold(&body).await {
                Ok(never) => match never {},
                Err(trouble) => trouble,
            };
            self.outlive(trouble).await?;
        }
    }

    async fn try_hold(&mut self, body: &[u8]) -> Result<Infallible, Trouble> {
        let mut replies = self.send(body).await?;
        loop {
            match self.next(&mut replies).await? {
                Some(Reply::Done { .. }) => {}
                Some(other) => return Err(Trouble::Final(super::wait::unexpected(&other))),
                None => {
                    let reason = "the controller ended the tie".to_owned();
                    return Err(Trouble::Passing { sent: true, reason });
                }
            }
        }
    }
}
