//! The supervisor's end of its socket: one connection at a time, the newest; only from the daemon's own user.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::sys::socket::{getsockopt, sockopt};

use crate::wire::supervisor::{FrameDecoder, FrameError, FromSupervisor, ToSupervisor, encode};
use crate::worker::descriptors::send;

/// The name of the socket in the supervisor's folder.
pub const SOCKET_FILE: &str = "socket";
/// With so many unsent bytes no further news is put into words.
pub const OUTBOX_BYTES_MAX: usize = 1 << 20;

const READ_BYTES: usize = 64 << 10;

/// The listening socket and the connection, if there is one.
#[derive(Debug)]
pub struct Link {
    listener: UnixListener,
    bytes: Vec<u8>,
    peer: Option<Peer>,
}

#[derive(Debug)]
struct Peer {
    stream: UnixStream,
    decoder: FrameDecoder,
    outbox: Vec<u8>,
    written: usize,
    /// What goes along, each with the byte of the outbox at that place.
    along: VecDeque<(usize, OwnedFd)>,
}

impl Peer {
    fn new(stream: UnixStream) -> Peer {
        let (decoder, along) = (FrameDecoder::new(), VecDeque::new());
        Peer { stream, decoder, outbox: Vec::new(), written: 0, along }
    }
}

/// The connection that this process was given as its standard input, where `/dev/null` lies from now on.
pub fn inherited() -> io::Result<UnixStream> {
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    nix::unistd::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    Ok(stream)
}

impl Link {
    /// Listens on the socket file in `folder`, which only the owner can use. The path is relative to the current
    /// directory, which becomes that folder: absolute ones can be too long for a socket. `first` is a connection
    /// that is there already.
    pub fn listen(folder: &Path, first: Option<UnixStream>) -> io::Result<Link> {
        std::env::set_current_dir(folder)?;
        let new = format!("{SOCKET_FILE}.new");
        let _ = std::fs::remove_file(&new);
        let listener = UnixListener::bind(&new)?;
        std::fs::set_permissions(&new, PermissionsExt::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        // Whoever sees the final name can connect.
        std::fs::rename(&new, SOCKET_FILE)?;
        if let Some(stream) = &first {
            stream.set_nonblocking(true)?;
        }
        Ok(Link { listener, bytes: vec![0; READ_BYTES], peer: first.map(Peer::new) })
    }

    /// The listening socket.
    pub fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// The connection, and whether it has bytes to write.
    pub fn peer(&self) -> Option<(BorrowedFd<'_>, bool)> {
        self.peer.as_ref().map(|peer| (peer.stream.as_fd(), !peer.outbox.is_empty()))
    }

    /// Takes new connections; the newest of the right user replaces the one before. Whether there is a new one.
    pub fn accept(&mut self) -> bool {
        let mut is_new = false;
        while let Ok((stream, _)) = self.listener.accept() {
            let uid = getsockopt(&stream, sockopt::PeerCredentials).map(|credentials| credentials.uid());
            if uid == Ok(nix::unistd::geteuid().as_raw()) && stream.set_nonblocking(true).is_ok() {
                self.peer = Some(Peer::new(stream));
                is_new = true;
            }
        }
        is_new
    }

    /// Reads what has come. A connection that is closed or broken is given up.
    pub fn receive(&mut self) -> Result<Vec<ToSupervisor>, FrameError> {
        let mut messages = Vec::new();
        let Some(peer) = &mut self.peer else { return Ok(messages) };
        let (mut is_over, mut is_empty) = (false, false);
        while !is_empty {
            match peer.stream.read(&mut self.bytes) {
                Ok(0) => is_over = true,
                Ok(count) => {
                    peer.decoder.push(self.bytes.get(..count).unwrap_or_default());
                    // More than that was not there; what comes, the end included, wakes us again.
                    is_empty = count < READ_BYTES;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => is_over = true,
            }
            while let Some(message) = peer.decoder.cut()? {
                messages.push(message);
            }
            if is_over {
                self.peer = None;
                break;
            }
        }
        Ok(messages)
    }

    /// Whether more can be said now.
    pub fn has_room(&self) -> bool {
        self.peer.as_ref().is_some_and(|peer| peer.outbox.len() - peer.written < OUTBOX_BYTES_MAX)
    }

    /// Takes a message to be written by `flush`. Without a connection it is dropped: what matters is said again to
    /// the next one.
    pub fn say(&mut self, message: &FromSupervisor) -> Result<(), FrameError> {
        if let Some(peer) = &mut self.peer {
            peer.outbox.extend_from_slice(&encode(message)?);
        }
        Ok(())
    }

    /// As `say`, with an open descriptor that goes along.
    pub fn hand_over(&mut self, message: &FromSupervisor, descriptor: OwnedFd) -> Result<(), FrameError> {
        if let Some(peer) = &mut self.peer {
            let frame = encode(message)?;
            peer.along.push_back((peer.outbox.len(), descriptor));
            peer.outbox.extend_from_slice(&frame);
        }
        Ok(())
    }

    /// Writes as much as the connection takes.
    pub fn flush(&mut self) {
        let Some(peer) = &mut self.peer else { return };
        loop {
            let descriptor =
                peer.along.front().filter(|(at, _)| *at == peer.written).map(|(_, fd)| fd.as_fd());
            let next =
                peer.along.get(usize::from(descriptor.is_some())).map_or(peer.outbox.len(), |(at, _)| *at);
            let Some(bytes) = peer.outbox.get(peer.written..next).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            match send(&peer.stream, bytes, descriptor) {
                Ok(count) => {
                    if descriptor.is_some() && count > 0 {
                        peer.along.pop_front();
                    }
                    peer.written += count;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.peer = None;
                    return;
                }
            }
        }
        peer.outbox.clear();
        peer.written = 0;
    }

    /// Closes the connection, after what was said.
    pub fn close(&mut self) {
        self.flush();
        self.peer = None;
    }
}
