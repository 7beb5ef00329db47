//! Open descriptors that pass from process to process over a unix socket, along with bytes.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::wire::supervisor::{FrameDecoder, FrameError, FromSupervisor};

const READ_BYTES: usize = 64 << 10;

/// Sends bytes, and with the first of them a descriptor. Gives how many bytes the socket took: with one, it took the
/// descriptor, too.
///
/// # Errors
/// As `write`.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut along = SendAncillaryBuffer::new(&mut space);
    let passed = descriptor.as_slice();
    if !passed.is_empty() && !along.push(SendAncillaryMessage::ScmRights(passed)) {
        return Err(io::Error::other("no space for a descriptor"));
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut along, SendFlags::NOSIGNAL)?)
}

/// Receives bytes, and puts descriptors that came with them behind the others. The kernel never joins the bytes that
/// came with one descriptor and those that came with the next.
///
/// # Errors
/// As `read`.
pub fn receive(
    socket: impl AsFd,
    bytes: &mut [u8],
    descriptors: &mut VecDeque<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut along = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut along, RecvFlags::CMSG_CLOEXEC)?;
    for message in along.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            descriptors.extend(passed);
        }
    }
    Ok(received.bytes)
}

/// What a supervisor says on its connection: its messages, and the descriptors that come along with them.
#[derive(Debug, Default)]
pub struct Inbox {
    decoder: FrameDecoder,
    descriptors: VecDeque<OwnedFd>,
}

impl Inbox {
    /// Waits for more of it. Gives how many bytes came; none at the end.
    ///
    /// # Errors
    /// As `read`.
    pub async fn fill(&mut self, stream: &UnixStream) -> io::Result<usize> {
        let mut bytes = vec![0; READ_BYTES];
        let descriptors = &mut self.descriptors;
        let count = stream.async_io(Interest::READABLE, || receive(stream, &mut bytes, descriptors)).await?;
        self.decoder.push(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    /// The next message, if all of it is there.
    ///
    /// # Errors
    /// As [`FrameDecoder::cut`].
    pub fn cut(&mut self) -> Result<Option<FromSupervisor>, FrameError> {
        self.decoder.cut()
    }

    /// The descriptor that belongs to the next message that has one.
    pub fn descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn descriptors_arrive_in_order_with_their_bytes() {
        let (here, there) = UnixStream::pair().unwrap();
        let pairs: Vec<_> = (0..3).map(|_| UnixStream::pair().unwrap()).collect();
        for (number, (passed, _)) in pairs.iter().enumerate() {
            let text = [b'a' + number as u8; 5];
            assert_eq!(send(&here, &text, Some(passed.as_fd())).unwrap(), 5);
            assert_eq!(send(&here, b"-", None).unwrap(), 1);
        }
        let (mut text, mut descriptors) = (Vec::new(), VecDeque::new());
        while text.len() < 18 {
            let mut bytes = [0; 64];
            let count = receive(&there, &mut bytes, &mut descriptors).unwrap();
            text.extend_from_slice(&bytes[..count]);
        }
        assert_eq!(text, b"aaaaa-bbbbb-ccccc-");
        assert_eq!(descriptors.len(), 3);
        for (passed, (_, other)) in descriptors.into_iter().zip(&pairs) {
            UnixStream::from(passed).write_all(b"x").unwrap();
            let mut byte = [0];
            (&*other).read_exact(&mut byte).unwrap();
        }
    }
}
