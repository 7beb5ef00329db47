//! The socket by which a job's own commands ask the controller: it lies in the folder that only the daemon can change,
//! and only the job's user may connect. Who connects is known by what the kernel says of the peer, not by its claims.
//! What is said on it passes the supervisor by: accepted connections go to the node daemon as they are.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid};

use crate::wire::codec;
use crate::wire::inside::Gate as Answer;
use crate::worker::launch::Switch;

/// The name of the socket in the job's folder.
pub const GATE_FILE: &str = "socket";
/// The most connections that are taken at once; others wait their turn in the kernel.
pub const CALLERS_PER_TURN: usize = 32;

/// A listening socket.
#[derive(Debug)]
pub struct Gate {
    listener: UnixListener,
    path: PathBuf,
    uid: u32,
}

/// A process at the gate.
#[derive(Debug)]
pub struct Caller {
    /// Its connection.
    pub stream: UnixStream,
    /// Its number when it connected.
    pub pid: i32,
}

impl Gate {
    /// Listens in `folder`, for the user to switch to, or for the process's own user.
    ///
    /// # Errors
    /// What the system said.
    pub fn listen(folder: &Path, switch: Option<&Switch>) -> io::Result<Gate> {
        let path = folder.join(GATE_FILE);
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let opened = open(folder, flags, Mode::empty())?;
        // Socket addresses are short, folders need not be.
        let short = format!("/proc/self/fd/{}/{GATE_FILE}", opened.as_raw_fd());
        let listener = UnixListener::bind(short)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
        if let Some(switch) = switch {
            let (uid, gid) = (Uid::from_raw(switch.uid), Gid::from_raw(switch.gid));
            nix::unistd::fchownat(&opened, GATE_FILE, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        }
        listener.set_nonblocking(true)?;
        let uid = switch.map_or_else(|| nix::unistd::geteuid().as_raw(), |switch| switch.uid);
        Ok(Gate { listener, path, uid })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Becomes readable when somebody calls.
    pub fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Who has called, at most [`CALLERS_PER_TURN`]. Other users are refused.
    pub fn callers(&self) -> Vec<Caller> {
        let mut callers = Vec::new();
        for _ in 0..CALLERS_PER_TURN {
            let Ok((stream, _)) = self.listener.accept() else { break };
            match getsockopt(&stream, sockopt::PeerCredentials) {
                Ok(peer) if peer.uid() == self.uid => callers.push(Caller { stream, pid: peer.pid() }),
                _ => refuse(&stream, "this job is somebody else's"),
            }
        }
        callers
    }

    /// Nobody can call any more.
    pub fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Caller {
    /// Sends it away.
    pub fn refuse(&self) {
        refuse(&self.stream, "this process belongs to no running attempt of the job");
    }

    /// The connection, to be passed on.
    pub fn into_descriptor(self) -> OwnedFd {
        self.stream.into()
    }
}

fn refuse(stream: &UnixStream, reason: &str) {
    let Ok(body) = codec::encode(&Answer::Closed { reason: reason.to_owned() }) else { return };
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let frame = [&length.to_le_bytes()[..], &body].concat();
    // A new connection has room for a short word; and who does not take it is refused all the same.
    let _ = stream
        .set_nonblocking(true)
        .and_then(|()| crate::worker::descriptors::send(stream, &frame, None).map(drop));
}
