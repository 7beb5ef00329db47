//! UDP sockets with room for a burst.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce, SndBuf, SndBufForce};
use nix::sys::socket::{getsockopt, setsockopt};

/// What a daemon asks for in each direction. With the 208 KiB that Linux gives by default, 64 clients that come
/// at the same moment lose packets and wait for retransmissions.
pub const BUFFER_BYTES: usize = 8 << 20;

/// Binds a daemon's UDP socket with buffers of [`BUFFER_BYTES`]. The text is a warning for the log and for the
/// admin, if the kernel gave less.
///
/// # Errors
/// What the operating system answered to the bind.
pub fn bind(address: SocketAddr) -> io::Result<(UdpSocket, Option<String>)> {
    let socket = UdpSocket::bind(address)?;
    let (receive, send) = enlarge(&socket, BUFFER_BYTES);
    let warning = fault(receive, send).map(|(text, next)| format!("{text}; {next}"));
    Ok((socket, warning))
}

/// The buffers that a daemon's socket gets from this kernel, receive and send, in bytes.
///
/// # Errors
/// If there is no socket to be had.
pub fn buffers() -> io::Result<(usize, usize)> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(enlarge(&socket, BUFFER_BYTES))
}

/// What is wrong with buffers of that size, and what to do about it.
pub fn fault(receive: usize, send: usize) -> Option<(String, String)> {
    (receive.min(send) < BUFFER_BYTES).then(|| {
        let text = format!(
            "the kernel gives UDP buffers of {} KiB (receive) and {} KiB (send) instead of {} KiB, so bursts of \
             clients may wait",
            receive / 1024,
            send / 1024,
            BUFFER_BYTES / 1024
        );
        let next = format!(
            "run `sysctl -w net.core.rmem_max={BUFFER_BYTES} net.core.wmem_max={BUFFER_BYTES}` and start the daemon \
             again"
        );
        (text, next)
    })
}

/// Asks for buffers of that size and tells what there is then, receive and send. The kernel answers twice the
/// size, half of which is its own book-keeping.
fn enlarge(socket: &UdpSocket, bytes: usize) -> (usize, usize) {
    // The forced variants need CAP_NET_ADMIN; the others are cut to net.core.[rw]mem_max without an error. What
    // came of it is read back, so failures need no handling here.
    let _ = setsockopt(socket, RcvBufForce, &bytes).or_else(|_| setsockopt(socket, RcvBuf, &bytes));
    let _ = setsockopt(socket, SndBufForce, &bytes).or_else(|_| setsockopt(socket, SndBuf, &bytes));
    (getsockopt(socket, RcvBuf).unwrap_or(0) / 2, getsockopt(socket, SndBuf).unwrap_or(0) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_asked_is_said() {
        let (socket, warning) = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (receive, send) = enlarge(&socket, BUFFER_BYTES);
        assert_eq!(warning.is_some(), receive.min(send) < BUFFER_BYTES);
        assert_eq!(fault(BUFFER_BYTES, BUFFER_BYTES), None);
        assert!(fault(BUFFER_BYTES, BUFFER_BYTES - 1).is_some_and(|(_, next)| next.contains("sysctl")));
        let (receive, send) = enlarge(&socket, 64 * 1024);
        assert_eq!((receive, send), (64 * 1024, 64 * 1024));
    }
}
