//! The way from inside a job: through the socket that `JSCHED_SOCKET` names, without configuration, home or key.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::net::frame::HEADER_BYTES;
use crate::wire::codec;
use crate::wire::inside::{GATE_BYTES_MAX, Gate, JOB_REQUEST_BYTES_MAX};

use super::connection::{REPLY_TIMEOUT, SEND_TIMEOUT};
use super::error::{ClientError, Trouble};

/// How long the node daemon may take to let a command in: longer than it waits itself for the controller.
const GATE_TIMEOUT: Duration = Duration::from_secs(15);
/// Longer paths do not fit into a socket's address.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The socket of the job that this process belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    /// Its path.
    pub socket: PathBuf,
}

/// A request at the socket: one connection for each.
#[derive(Debug)]
pub(super) struct Conversation {
    stream: UnixStream,
    unread: BytesMut,
}

impl Inside {
    /// Connects and is let in; nothing has been asked yet.
    pub(super) async fn enter(&self) -> Result<Conversation, Trouble> {
        let stream = connect(&self.socket).await.map_err(|error| self.unreachable(&error))?;
        let mut conversation = Conversation { stream, unread: BytesMut::new() };
        conversation.enter().await?;
        Ok(conversation)
    }

    fn unreachable(&self, error: &io::Error) -> Trouble {
        let socket = self.socket.display();
        match error.kind() {
            // More callers than the kernel lets wait.
            io::ErrorKind::WouldBlock => {
                Trouble::Passing { sent: false, reason: format!("too many wait at {socket}") }
            }
            io::ErrorKind::PermissionDenied => Trouble::Final(ClientError::NotAdmitted {
                address: socket.to_string(),
                reason: "this is the socket of somebody else's job".to_owned(),
            }),
            _ => Trouble::Final(ClientError::NotReached(format!(
                "{socket}: {error}: the job that JSCHED_SOCKET is of does not run; unset it, or give --config"
            ))),
        }
    }
}

impl Conversation {
    /// Waits to be let in.
    async fn enter(&mut self) -> Result<(), Trouble> {
        let passing = |reason: String| Trouble::Passing { sent: false, reason };
        let gate = timeout(GATE_TIMEOUT, self.frame(GATE_BYTES_MAX)).await;
        let gate = match gate {
            Ok(Ok(Some(frame))) => codec::decode::<Gate>(&frame)
                .map_err(|error| Trouble::Final(ClientError::Protocol(error.to_string())))?,
            Ok(Ok(None)) => return Err(passing("the node closed the job's socket".to_owned())),
            Ok(Err(error)) => return Err(passing(format!("the job's socket: {error}"))),
            Err(_) => return Err(passing("the node daemon does not answer".to_owned())),
        };
        match gate {
            Gate::Open => Ok(()),
            Gate::Busy { reason } => Err(passing(reason)),
            Gate::Closed { reason } => {
                let address = "the job's socket".to_owned();
                Err(Trouble::Final(ClientError::NotAdmitted { address, reason }))
            }
        }
    }

    /// Sends an encoded request.
    pub(super) async fn request(&mut self, body: &[u8]) -> Result<(), Trouble> {
        let passing = |reason: String| Trouble::Passing { sent: true, reason };
        let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= JOB_REQUEST_BYTES_MAX);
        let Some(length) = length else {
            let words = format!("a request of {} bytes is over {JOB_REQUEST_BYTES_MAX}", body.len());
            return Err(Trouble::Final(ClientError::Protocol(words)));
        };
        let sending = async {
            self.stream.write_all(&length.to_le_bytes()).await?;
            self.stream.write_all(body).await
        };
        match timeout(SEND_TIMEOUT, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(passing(format!("the job's socket: {error}"))),
            Err(_) => Err(passing("the node takes too long to pass the request on".to_owned())),
        }
    }

    /// The next frame of a reply; `None` at the end.
    pub(super) async fn next(&mut self, bytes_max: usize) -> Result<Option<Bytes>, Trouble> {
        let passing = |reason: String| Trouble::Passing { sent: true, reason };
        // Between replies one waits as long as it takes; what has begun must come whole.
        if self.unread.is_empty() && !self.fill().await.map_err(|error| passing(error.to_string()))? {
            return Ok(None);
        }
        match timeout(REPLY_TIMEOUT, self.frame(bytes_max)).await {
            Ok(frame) => frame.map_err(|error| passing(format!("the job's socket: {error}"))),
            Err(_) => Err(passing("an answer did not arrive whole".to_owned())),
        }
    }

    async fn frame(&mut self, bytes_max: usize) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(header) = self.unread.first_chunk::<HEADER_BYTES>() {
                let length = usize::try_from(u32::from_le_bytes(*header)).unwrap_or(usize::MAX);
                if length > bytes_max {
                    return Err(io::Error::other(format!("a frame of {length} bytes is over {bytes_max}")));
                }
                if self.unread.len() - HEADER_BYTES >= length {
                    self.unread.advance(HEADER_BYTES);
                    return Ok(Some(self.unread.split_to(length).freeze()));
                }
            }
            if !self.fill().await? {
                let torn = io::Error::from(io::ErrorKind::UnexpectedEof);
                return if self.unread.is_empty() { Ok(None) } else { Err(torn) };
            }
        }
    }

    async fn fill(&mut self) -> io::Result<bool> {
        Ok(self.stream.read_buf(&mut self.unread).await? > 0)
    }
}

/// Connects, however long the path is.
async fn connect(socket: &Path) -> io::Result<UnixStream> {
    if socket.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return UnixStream::connect(socket).await;
    }
    let (Some(folder), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    let folder: OwnedFd = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(folder)?.into();
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    UnixStream::connect(short).await
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;
    use crate::client::fake::run;
    use crate::client::session::Client;
    use crate::wire::client::{Refusal, RefusalCode, Reply, Request};

    fn frame(body: &[u8]) -> Vec<u8> {
        [&u32::try_from(body.len()).unwrap().to_le_bytes()[..], body].concat()
    }

    /// Answers one caller after the other with what the script says; gives what each of them sent.
    fn serve(listener: UnixListener, script: Vec<(Gate, Vec<Reply>)>) -> tokio::task::JoinHandle<usize> {
        tokio::spawn(async move {
            let mut asked = 0;
            for (gate, replies) in script {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(&frame(&codec::encode(&gate).unwrap())).await.unwrap();
                if gate != Gate::Open {
                    continue;
                }
                let mut header = [0; HEADER_BYTES];
                stream.read_exact(&mut header).await.unwrap();
                let mut body = vec![0; u32::from_le_bytes(header) as usize];
                stream.read_exact(&mut body).await.unwrap();
                assert_eq!(codec::decode::<Request>(&body).unwrap(), Request::Whoami);
                asked += 1;
                for reply in replies {
                    stream.write_all(&frame(&codec::encode(&reply).unwrap())).await.unwrap();
                }
            }
            asked
        })
    }

    #[test]
    fn a_busy_node_and_a_broken_answer_are_asked_again_and_a_closed_gate_is_not() {
        run(async {
            let folder = tempfile::tempdir().unwrap();
            // Far longer than an address of a socket can be.
            let deep = folder.path().join("d".repeat(100)).join("e".repeat(100));
            std::fs::create_dir_all(&deep).unwrap();
            let socket = deep.join("socket");
            let short = folder.path().join("s");
            let listener = UnixListener::bind(&short).unwrap();
            std::fs::rename(&short, &socket).unwrap();
            let done = || Reply::Done { lines: vec!["well".to_owned()], warnings: vec![] };
            let refused = Reply::Refused(Refusal::new(RefusalCode::NotAllowed, "no", ""));
            let served = serve(
                listener,
                vec![
                    (Gate::Busy { reason: "not now".to_owned() }, vec![]),
                    (Gate::Open, vec![]),
                    (Gate::Open, vec![done()]),
                    (Gate::Open, vec![refused]),
                    (Gate::Closed { reason: "go away".to_owned() }, vec![]),
                ],
            );
            let mut client = Client::new(Inside { socket: socket.clone() });
            assert_eq!(client.ask(&Request::Whoami).await.unwrap(), done());
            assert_eq!(client.ask(&Request::Whoami).await.unwrap_err().exit_code(), 77);
            let error = client.ask(&Request::Whoami).await.unwrap_err();
            assert!(error.exit_code() == 77 && error.to_string().contains("go away"), "{error}");
            assert_eq!(served.await.unwrap(), 3);
            // Nobody listens any more: the job is over.
            let error = client.ask(&Request::Whoami).await.unwrap_err();
            assert!(error.exit_code() == 69 && error.to_string().contains("does not run"), "{error}");
            client.finish().await;
        });
    }
}
