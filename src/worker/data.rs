//! The second connection: the controller opens a stream on it for each file that it wants to read from.

use std::convert::Infallible;
use std::time::Duration;

use quinn::{RecvStream, SendStream};

use super::link::{self, DATA};
use super::own::Own;
use super::read_file;
use super::readers::Readers;
use super::ship::Shipper;
use super::watches::Watches;
use crate::model::ids::Instance;
use crate::net::client::dial;
use crate::net::frame::{FRAME_BYTES_MAX, FrameReader, FrameWriter, Patience};
use crate::net::reconnect;
use crate::pki::credentials::Credentials;
use crate::wire::codec;
use crate::wire::data::{DataHello, ReadFile};

/// How long the controller may take to say what it wants on a stream that it opened, and to take the answer in.
const STREAM_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of a request.
const REQUEST_BYTES_MAX: usize = 64 << 10;

/// The most windows that the controller reads or waits for at once.
const STREAMS_MAX: u32 = 4_096;

/// What is behind a data connection.
#[derive(Clone)]
pub struct Output {
    /// Users' threads.
    pub readers: Readers,
    /// Watched files.
    pub watches: Watches,
    /// What is sent unasked.
    pub shipper: Shipper,
}

/// Keeps a data connection, as long as this future is not dropped.
pub async fn keep(own: &Own, address: &str, instance: Instance, output: &Output) -> Infallible {
    let mut failures = 0;
    let addresses = [address.to_owned()];
    loop {
        match serve(&own.now(), &addresses, instance, output).await {
            Ok(()) => failures = 1,
            Err(reason) => {
                failures += 1;
                tracing::debug!(%reason, failures, "no data connection");
            }
        }
        tokio::time::sleep(reconnect::pause(failures, link::random())).await;
    }
}

/// Serves one connection until it ends; an error if it did not come to be.
async fn serve(
    credentials: &Credentials,
    addresses: &[String],
    instance: Instance,
    output: &Output,
) -> Result<(), String> {
    let link = dial(credentials, addresses).await.map_err(|error| error.to_string())?;
    let (stream, _unused) = link.connection().open_bi().await.map_err(|error| error.to_string())?;
    let mut writer = FrameWriter::new(stream, FRAME_BYTES_MAX);
    let hello = codec::encode(&DataHello { instance }).map_err(|error| error.to_string())?;
    writer.push(DATA).and_then(|()| writer.push(&hello)).map_err(|error| error.to_string())?;
    writer.flush(STREAM_TIMEOUT).await.map_err(|error| error.to_string())?;
    link.connection().set_max_concurrent_bi_streams(STREAMS_MAX.into());
    let mut streams = tokio::task::JoinSet::new();
    let shipping = output.shipper.serve(link.connection());
    tokio::pin!(shipping);
    loop {
        tokio::select! {
            accepted = link.connection().accept_bi() => match accepted {
                Ok((send, receive)) => drop(streams.spawn(answer(send, receive, output.clone()))),
                Err(error) => {
                    tracing::debug!(%error, "the data connection is over");
                    return Ok(());
                }
            },
            why = &mut shipping => {
                tracing::debug!(%why, "output is not shipped any more; the data connection begins anew");
                return Ok(());
            }
            Some(_) = streams.join_next(), if !streams.is_empty() => {}
        }
    }
}

/// Answers the requests of one stream, one after the other.
async fn answer(send: SendStream, receive: RecvStream, output: Output) {
    let mut reader = FrameReader::new(receive, REQUEST_BYTES_MAX);
    let mut writer = FrameWriter::new(send, FRAME_BYTES_MAX);
    loop {
        // A stuck reader holds its own window and nothing else; an idle one keeps its stream as long as it likes.
        let frame = match reader.next(Patience::for_events(STREAM_TIMEOUT)).await {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(_) => break,
        };
        let Ok(request) = codec::decode::<ReadFile>(&frame) else { break };
        let answer = read_file::read(request, &output).await;
        let Ok(bytes) = codec::encode(&answer) else { break };
        if writer.push(&bytes).is_err() || writer.flush(STREAM_TIMEOUT).await.is_err() {
            return;
        }
    }
    let _ = writer.finish(STREAM_TIMEOUT).await;
}
