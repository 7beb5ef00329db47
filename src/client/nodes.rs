//! A live view of the nodes, over any number of restarts of the controller.

use crate::wire::client::{Reply, Request};
use crate::wire::info::{NodeInfo, PartitionInfo};

use super::connection::encode;
use super::error::{ClientError, Trouble};
use super::session::Client;
use super::wait::unexpected;

impl Client {
    /// Tells `view` how the nodes are, and again whenever something is different, until it gives a value.
    ///
    /// # Errors
    /// [`ClientError::NotReached`] only before the controller was first reached; refusals; what `view` gives.
    pub async fn watch_nodes<T, E: From<ClientError>>(
        &mut self,
        mut view: impl FnMut(Vec<NodeInfo>, Vec<PartitionInfo>) -> Result<Option<T>, E>,
    ) -> Result<T, E> {
        let body = encode(&Request::WatchNodes)?;
        loop {
            let trouble = match self.send(&body).await {
                Err(trouble) => trouble,
                Ok(mut replies) => loop {
                    match self.next(&mut replies).await {
                        Ok(Some(Reply::Nodes { nodes, partitions })) => {
                            if let Some(value) = view(nodes, partitions)? {
                                return Ok(value);
                            }
                        }
                        Ok(Some(other)) => return Err(unexpected(&other).into()),
                        Ok(None) => {
                            let reason = "the controller ended the view".to_owned();
                            break Trouble::Passing { sent: true, reason };
                        }
                        Err(trouble) => break trouble,
                    }
                },
            };
            self.outlive(trouble).await?;
        }
    }
}
