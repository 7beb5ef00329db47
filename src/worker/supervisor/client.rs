//! The daemon's end: starts a supervisor, and finds its socket.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::link::SOCKET_FILE;
use crate::wire::supervisor::{FrameDecoder, FromSupervisor, ToSupervisor, encode};

/// The file in a supervisor's folder that takes what it prints; empty as a rule.
pub const LOG_FILE: &str = "log";

/// Makes `folder` and starts a supervisor in it: `program supervise --folder FOLDER --id ID`. The folders above
/// it must let the job's user pass (mode 0711), because the script lies in it. `id` is random and used once: ASCII
/// letters, digits and `-`. The child is to be reaped when it exits; it may outlive the caller.
pub fn start(program: &Path, folder: &Path, id: &str) -> io::Result<Child> {
    command(program, folder, id)?.stdin(Stdio::null()).spawn()
}

/// The same for one that is to have its job later. It is spoken to through the connection that comes with it, and
/// exits if that ends before it has a job. When it gets its job, its folder is moved first: from then on it is found
/// there by its socket, whoever dies.
pub fn start_ahead(program: &Path, folder: &Path, id: &str) -> io::Result<(Child, UnixStream)> {
    let (ours, its) = UnixStream::pair()?;
    let mut command = command(program, folder, id)?;
    command.args(["--link", "stdin"]).stdin(OwnedFd::from(its));
    Ok((command.spawn()?, ours))
}

fn command(program: &Path, folder: &Path, id: &str) -> io::Result<Command> {
    std::fs::DirBuilder::new().mode(0o711).create(folder)?;
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
    let log = open(
        &folder.join(LOG_FILE),
        OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC,
        Mode::S_IRUSR | Mode::S_IWUSR,
    )?;
    let mut command = Command::new(program);
    command.arg("supervise").arg("--folder").arg(folder).args(["--id", id]);
    // Nothing that the daemon was started with concerns the supervisor, and nothing of a user gets here.
    command.env_clear().stdout(Stdio::null()).stderr(log).current_dir("/");
    crate::net::points::pass_on(&mut command);
    Ok(command)
}

/// A way to a supervisor's socket that is short enough for a socket address, however deep its folder lies. It
/// works as long as this value lives.
#[derive(Debug)]
pub struct SocketPath {
    folder: OwnedFd,
}

impl SocketPath {
    /// Of the supervisor in that folder.
    pub fn of(folder: &Path) -> io::Result<SocketPath> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(SocketPath { folder: open(folder, flags, Mode::empty())? })
    }

    /// To be connected to. `NotFound` while the supervisor has not come up, and after it has finished;
    /// `ConnectionRefused` when it has died.
    pub fn path(&self) -> PathBuf {
        self.to(SOCKET_FILE)
    }

    /// The same for another file in that folder.
    pub fn to(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.folder.as_raw_fd()))
    }
}

/// A connection for callers that may block.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    decoder: FrameDecoder,
}

impl Connection {
    /// Connects to the supervisor in that folder.
    pub fn open(folder: &Path) -> io::Result<Connection> {
        let stream = UnixStream::connect(SocketPath::of(folder)?.path())?;
        Ok(Connection { stream, decoder: FrameDecoder::new() })
    }

    /// Sends a message.
    pub fn send(&mut self, message: &ToSupervisor) -> io::Result<()> {
        let frame = encode(message).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        self.stream.write_all(&frame)
    }

    /// Waits for the next message; `None` when the supervisor has closed.
    pub fn receive(&mut self) -> io::Result<Option<FromSupervisor>> {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let message =
                self.decoder.cut().map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            if message.is_some() {
                return Ok(message);
            }
            match self.stream.read(&mut bytes)? {
                0 => return Ok(None),
                count => self.decoder.push(bytes.get(..count).unwrap_or_default()),
            }
        }
    }
}
