//! Frames over real streams, proper ones and others.

use std::time::Duration;

use proptest::prelude::*;
use quinn::Connection;

use super::*;
use crate::net::client::{Link, dial};
use crate::net::close::CloseCode;
use crate::net::frame::{
    FrameError, FrameReader, FrameWriter, HEADER_BYTES, Patience, read_frame, write_frame,
};

/// Longer than any test takes; where it is waited out, nothing comes at all.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(20);

struct Pair {
    _serving: Serving,
    link: Link,
    theirs: Connection,
}

async fn pair() -> Pair {
    let site = Site::new("c1");
    let mut serving = site.serve();
    let link = dial(&site.credentials(&ann()), &serving.addresses()).await.unwrap();
    let (theirs, _) = serving.next().await.unwrap();
    Pair { _serving: serving, link, theirs }
}

impl Pair {
    /// A stream on which the client has sent `bytes`, and whether it ended it.
    async fn sent(&self, bytes: &[u8], ended: bool) -> (quinn::SendStream, quinn::RecvStream) {
        let (mut send, _) = self.link.connection().open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        if ended {
            send.finish().unwrap();
        }
        let (_, receive) = self.theirs.accept_bi().await.unwrap();
        (send, receive)
    }
}

#[test]
fn frames_arrive_as_they_were_sent() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let pair = runtime.block_on(pair());
    let frames = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3_000), 0..20);
    proptest!(ProptestConfig::with_cases(32), |(frames in frames)| {
        runtime.block_on(async {
            let (send, _) = pair.link.connection().open_bi().await.unwrap();
            let mut writer = FrameWriter::new(send, 3_000);
            for frame in &frames {
                writer.push(frame).unwrap();
            }
            // A frame more, so that the stream exists for the other side even without the others.
            writer.push(b"end").unwrap();
            writer.finish(LONG).await.unwrap();
            let (_, receive) = pair.theirs.accept_bi().await.unwrap();
            let mut reader = FrameReader::new(receive, 3_000);
            for frame in frames.iter().map(Vec::as_slice).chain([b"end".as_slice()]) {
                let read = reader.next(Patience::of(LONG)).await.unwrap().unwrap();
                assert_eq!(read.as_ref(), frame);
            }
            assert!(reader.next(Patience::of(LONG)).await.unwrap().is_none());
        });
    });
}

#[tokio::test]
async fn lengths_at_the_edge_and_lies() {
    const MAX: usize = 100;
    let pair = pair().await;
    let framed = |length: usize, body: usize| {
        let mut bytes = u32::try_from(length).unwrap().to_le_bytes().to_vec();
        bytes.resize(HEADER_BYTES + body, 7);
        bytes
    };
    let read = async |bytes: Vec<u8>| {
        let (_send, receive) = pair.sent(&bytes, true).await;
        read_frame(receive, MAX, Patience::of(LONG)).await
    };
    assert_eq!(read(framed(MAX, MAX)).await.unwrap().len(), MAX);
    assert_eq!(read(framed(0, 0)).await.unwrap().len(), 0);
    assert!(matches!(
        read(framed(MAX + 1, MAX + 1)).await,
        Err(FrameError::TooLong { bytes: 101, max: 100 })
    ));
    assert!(matches!(read(framed(u32::MAX as usize, 10)).await, Err(FrameError::TooLong { .. })));
    assert!(matches!(read(framed(MAX, MAX - 1)).await, Err(FrameError::Torn)));
    assert!(matches!(read(vec![1, 0, 0]).await, Err(FrameError::Torn)));
    assert!(matches!(read(vec![]).await, Err(FrameError::Torn)));

    let (send, _receive) = pair.link.connection().open_bi().await.unwrap();
    let mut writer = FrameWriter::new(send, MAX);
    assert!(matches!(writer.push(&[0; MAX + 1]), Err(FrameError::TooLong { .. })));
    assert_eq!(writer.waiting_bytes(), 0);
    writer.push(&[0; MAX]).unwrap();
    assert_eq!(writer.waiting_bytes(), HEADER_BYTES + MAX);
}

/// The length is refused although nothing else ever comes: it is not waited for what it announces.
#[tokio::test]
async fn a_lie_is_answered_before_its_body() {
    let pair = pair().await;
    let (send, receive) = pair.sent(&u32::MAX.to_le_bytes(), false).await;
    let result = read_frame(receive, 16 << 20, Patience::of(LONG)).await;
    assert!(matches!(result, Err(FrameError::TooLong { .. })));
    // The sender is told to stop.
    assert_eq!(send.stopped().await.unwrap(), Some(CloseCode::Protocol.varint()));
}

/// One byte now and then never adds up to more time than the reader has.
#[tokio::test]
async fn a_trickle_is_cut_off() {
    let pair = pair().await;
    let (mut send, receive) = pair.sent(&[50, 0, 0, 0], false).await;
    let trickle = tokio::spawn(async move {
        while send.write_all(&[1]).await.is_ok() {
            tokio::time::sleep(SHORT / 4).await;
        }
    });
    let mut reader = FrameReader::new(receive, 1_000);
    let result = reader.next(Patience { start: Some(LONG), rest: SHORT }).await;
    assert!(matches!(result, Err(FrameError::Slow(SHORT))), "{result:?}");
    drop(reader);
    trickle.await.unwrap();

    let (_send, receive) = pair.sent(b"x", false).await;
    let mut reader = FrameReader::new(receive, 1_000);
    assert!(matches!(reader.next(Patience::of(SHORT)).await, Err(FrameError::Slow(SHORT))));
}

/// A peer that does not read holds the writer for its limit and no more.
#[tokio::test]
async fn a_reader_that_stands_still_is_given_up() {
    let pair = pair().await;
    let (send, receive) = pair.theirs.open_bi().await.unwrap();
    let mut writer = FrameWriter::new(send, 64 << 20);
    let block = vec![0; 16 << 20];
    writer.push(&block).unwrap();
    let result = writer.flush(SHORT).await;
    assert!(matches!(result, Err(FrameError::Slow(SHORT))), "{result:?}");
    // The connection lives: another stream works, once the bytes given up no longer fill its window.
    drop(receive);
    let (mut send, receive) = pair.link.connection().open_bi().await.unwrap();
    send.write_all(b"on").await.unwrap();
    let (_, mut theirs) = pair.theirs.accept_bi().await.unwrap();
    assert_eq!(theirs.read_chunk(2, true).await.unwrap().unwrap().bytes.as_ref(), b"on");
    drop(receive);
}

#[tokio::test]
async fn dropping_a_read_loses_nothing() {
    let pair = pair().await;
    let (mut send, receive) = pair.sent(&[3, 0, 0], false).await;
    let mut reader = FrameReader::new(receive, 10);
    // The first bytes are taken in, then the future is dropped.
    let nothing = tokio::time::timeout(SHORT, reader.next(Patience::of(LONG))).await;
    assert!(nothing.is_err());
    send.write_all(&[0, b'a', b'b', b'c']).await.unwrap();
    assert_eq!(reader.next(Patience::of(LONG)).await.unwrap().unwrap().as_ref(), b"abc");

    let (send, _receive) = pair.link.connection().open_bi().await.unwrap();
    write_frame(send, b"whole", 10, LONG).await.unwrap();
    let (_, receive) = pair.theirs.accept_bi().await.unwrap();
    assert_eq!(read_frame(receive, 10, Patience::of(LONG)).await.unwrap().as_ref(), b"whole");
}

#[tokio::test]
async fn dropping_a_flush_loses_nothing() {
    let pair = pair().await;
    let (send, receive) = pair.theirs.open_bi().await.unwrap();
    let mut writer = FrameWriter::new(send, 64 << 20);
    // More than the connection takes while nobody reads.
    let block: Vec<u8> = (0..12_u32 << 20).map(|at| at.to_le_bytes()[at as usize % 3]).collect();
    writer.push(&block).unwrap();
    assert!(tokio::time::timeout(SHORT, writer.flush(LONG)).await.is_err());
    let left = writer.waiting_bytes();
    assert!(left > 0 && left < HEADER_BYTES + block.len(), "{left}");
    let (_, theirs) = pair.link.connection().accept_bi().await.unwrap();
    let (flushed, read) = tokio::join!(writer.flush(LONG), read_frame(theirs, 64 << 20, Patience::of(LONG)));
    flushed.unwrap();
    assert!(read.unwrap() == block);
    drop(receive);
}
