//! The third connection: on it the node daemon opens a stream for each command that asks from inside a job.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::watch;

use super::link::{self, JOBS};
use super::own::Own;
use crate::model::ids::Instance;
use crate::net::client::dial;
use crate::net::frame::{FRAME_BYTES_MAX, FrameWriter};
use crate::net::reconnect;
use crate::pki::credentials::Credentials;
use crate::wire::codec;
use crate::wire::inside::{JOB_STREAMS_MAX, JobsHello};

/// How long the controller may take to take in the hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(30);
/// What the replies to one command may have in flight towards the node.
const REPLIES_WINDOW_BYTES: u32 = 64 << 10;

/// The connection, while there is one.
pub type Shared = watch::Sender<Option<quinn::Connection>>;

/// Keeps a connection for jobs, as long as this future is not dropped.
pub async fn keep(own: &Own, address: &str, instance: Instance, shared: &Shared) -> Infallible {
    let mut failures = 0;
    let addresses = [address.to_owned()];
    let shared = Published(shared);
    loop {
        match serve(&own.now(), &addresses, instance, &shared).await {
            Ok(()) => failures = 1,
            Err(reason) => {
                failures += 1;
                tracing::debug!(%reason, failures, "no connection for jobs");
            }
        }
        tokio::time::sleep(reconnect::pause(failures, link::random())).await;
    }
}

/// What is published is taken back when the connection is over, or nobody keeps it any more.
struct Published<'a>(&'a Shared);

impl Drop for Published<'_> {
    fn drop(&mut self) {
        self.0.send_replace(None);
    }
}

/// Serves one connection until it ends; an error if it did not come to be.
async fn serve(
    credentials: &Credentials,
    addresses: &[String],
    instance: Instance,
    shared: &Published<'_>,
) -> Result<(), String> {
    let link = dial(credentials, addresses).await.map_err(|error| error.to_string())?;
    let connection = link.connection();
    // Many streams, and none of them that is not read may stand in the way of the others.
    connection.set_receive_window((REPLIES_WINDOW_BYTES * JOB_STREAMS_MAX).into());
    let (stream, _unused) = connection.open_bi().await.map_err(|error| error.to_string())?;
    let mut writer = FrameWriter::new(stream, FRAME_BYTES_MAX);
    let hello = codec::encode(&JobsHello { instance }).map_err(|error| error.to_string())?;
    writer.push(JOBS).and_then(|()| writer.push(&hello)).map_err(|error| error.to_string())?;
    writer.flush(HELLO_TIMEOUT).await.map_err(|error| error.to_string())?;
    shared.0.send_replace(Some(connection.clone()));
    let error = connection.closed().await;
    shared.0.send_replace(None);
    tracing::debug!(%error, "the connection for jobs is over");
    Ok(())
}
