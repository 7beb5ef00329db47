//! The way to the controller: dials, says hello, passes messages both ways, and dials again for ever.
//!
//! The first frame of a connection's first stream says what the connection is for: `control`, `data` or `jobs`. The
//! second is the hello. While a control connection stands, connections of their own for data and for the commands of
//! jobs stand beside it, so that no reader of output and no job ever delays an order.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use super::data::Output;
use super::own::Own;
use super::supervisor::clock;
use super::{data, jobs_link};
use crate::net::client::{Link, dial};
use crate::net::close::{CloseCode, End};
use crate::net::dial_error::{CertificateTrouble, DialError};
use crate::net::frame::{FRAME_BYTES_MAX, FrameError, FrameReader, FrameWriter, Patience};
use crate::net::reconnect;
use crate::wire::codec;
use crate::wire::node::{FromNode, Hello, ToNode, Welcome};

/// The first frame of a control connection.
pub const CONTROL: &[u8] = b"control";
/// The first frame of a data connection.
pub const DATA: &[u8] = b"data";
/// The first frame of a connection for jobs.
pub const JOBS: &[u8] = b"jobs";

/// How long the controller may take to answer the hello, and to take in what is sent.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection that stood so long was a good one: the next pause begins small again.
const GOOD_AFTER: Duration = Duration::from_secs(10);

/// What comes from the controller.
#[derive(Debug)]
pub enum LinkNews {
    /// A session has begun, with the controller at that address; what is sent in it goes this way.
    Connected(Box<Welcome>, String, UnboundedSender<FromNode>),
    /// A message of that session.
    Received(Box<ToNode>),
    /// There is no session, and why.
    Lost(String),
}

/// What a link needs.
pub struct Way {
    /// Who one is, and whom one believes.
    pub own: Arc<Own>,
    /// Where controllers are.
    pub addresses: Vec<String>,
    /// The hello as it is now; `None` as long as the inventory is not whole.
    pub hello: watch::Receiver<Option<Hello>>,
    /// Where the connection for jobs is published.
    pub jobs: jobs_link::Shared,
    /// The folder name for the log.
    pub node: String,
    /// What is read for the controller.
    pub output: Output,
}

/// Keeps a session with the controller, as long as `news` are wanted.
pub async fn run(mut way: Way, news: Sender<LinkNews>) {
    let mut failures = 0;
    let mut said = String::new();
    loop {
        if way.hello.wait_for(Option::is_some).await.is_err() || news.is_closed() {
            return;
        }
        let begun = tokio::time::Instant::now();
        match session(&way, &news).await {
            Ended::NotBegun(reason) => {
                failures += 1;
                // Once in words; the same again and again helps nobody. What names a clock is new each time.
                let kind: String = reason.chars().filter(|c| !c.is_ascii_digit()).collect();
                if failures == 1 || kind != said {
                    said = kind;
                    tracing::warn!(%reason, "no session with the controller; trying again for ever");
                } else {
                    tracing::debug!(%reason, failures, "no session with the controller");
                }
                if news.send(LinkNews::Lost(reason)).await.is_err() {
                    return;
                }
            }
            Ended::Lost(reason) => {
                failures = if begun.elapsed() >= GOOD_AFTER { 1 } else { failures + 1 };
                if news.is_closed() {
                    return;
                }
                tracing::warn!(%reason, "the session with the controller is over; jobs go on");
                if news.send(LinkNews::Lost(reason)).await.is_err() {
                    return;
                }
            }
        }
        tokio::time::sleep(reconnect::pause(failures, random())).await;
    }
}

/// A random number, for jitter and names. Without randomness there is none, and nothing depends on it.
pub fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}

enum Ended {
    NotBegun(String),
    Lost(String),
}

async fn session(way: &Way, news: &Sender<LinkNews>) -> Ended {
    let link = match dial(&way.own.now(), &way.addresses).await {
        Ok(link) => link,
        Err(error) => return Ended::NotBegun(in_words(&error, &way.node)),
    };
    let (welcome, reader, writer) = match greet(way, &link).await {
        Ok(greeted) => greeted,
        Err(error) => return Ended::NotBegun(reason(&link, &error, &way.node)),
    };
    tracing::info!(
        node = %way.node, address = %link.address(), session = %welcome.session, epoch = %welcome.epoch,
        "connected to the controller"
    );
    let instance = way.hello.borrow().as_ref().map(|hello| hello.instance).unwrap_or_default();
    let (to, from) = unbounded_channel();
    if news.send(LinkNews::Connected(Box::new(welcome), link.address().to_owned(), to)).await.is_err() {
        return Ended::Lost("the daemon ends".to_owned());
    }
    let error = tokio::select! {
        error = receive(reader, news) => error,
        error = send(writer, from) => error,
        never = data::keep(&way.own, link.address(), instance, &way.output) => match never {},
        never = jobs_link::keep(&way.own, link.address(), instance, &way.jobs) => match never {},
        () = news.closed() => "the daemon ends".to_owned(),
    };
    let said = reason(&link, &error, &way.node);
    link.finish().await;
    Ended::Lost(said)
}

async fn greet(way: &Way, link: &Link) -> Result<(Welcome, FrameReader, FrameWriter), String> {
    let (send, receive) = link.connection().open_bi().await.map_err(|error| error.to_string())?;
    let mut writer = FrameWriter::new(send, FRAME_BYTES_MAX);
    let mut reader = FrameReader::new(receive, FRAME_BYTES_MAX);
    let Some(mut hello) = way.hello.borrow().clone() else { return Err("not ready".to_owned()) };
    hello.clock = clock::now().wall;
    let hello = codec::encode(&hello).map_err(|error| error.to_string())?;
    let in_words = |error: FrameError| error.to_string();
    writer.push(CONTROL).and_then(|()| writer.push(&hello)).map_err(in_words)?;
    writer.flush(ANSWER_TIMEOUT).await.map_err(in_words)?;
    let answer = reader.next(Patience::of(ANSWER_TIMEOUT)).await.map_err(in_words)?;
    let answer = answer.ok_or("the controller closed the stream")?;
    Ok((codec::decode(&answer).map_err(|error| error.to_string())?, reader, writer))
}

async fn receive(mut reader: FrameReader, news: &Sender<LinkNews>) -> String {
    loop {
        let frame = match reader.next(Patience::for_events(ANSWER_TIMEOUT)).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return "the controller closed the stream".to_owned(),
            Err(error) => return error.to_string(),
        };
        match codec::decode::<ToNode>(&frame) {
            Ok(message) => {
                if news.send(LinkNews::Received(Box::new(message))).await.is_err() {
                    return "the daemon ends".to_owned();
                }
            }
            Err(error) => return error.to_string(),
        }
    }
}

async fn send(mut writer: FrameWriter, mut from: UnboundedReceiver<FromNode>) -> String {
    while let Some(first) = from.recv().await {
        let mut next = Some(first);
        while let Some(message) = next {
            let pushed = codec::encode(&message).map_err(|error| error.to_string());
            let pushed = pushed.and_then(|frame| writer.push(&frame).map_err(|error| error.to_string()));
            if let Err(error) = pushed {
                return error;
            }
            next = if writer.is_full() { None } else { from.try_recv().ok() };
        }
        if let Err(error) = writer.flush(ANSWER_TIMEOUT).await {
            return error.to_string();
        }
    }
    "the daemon ends".to_owned()
}

/// The peer's own words where there are any, else what this side saw.
fn reason(link: &Link, seen: &str, node: &str) -> String {
    match link.connection().close_reason().map(|error| End::of(&error)) {
        Some(End::ByPeer { code: Some(CloseCode::Revoked), reason }) => {
            format!("the controller says: {reason}; {}", new_certificate(node))
        }
        Some(End::ByPeer { reason, .. }) if !reason.is_empty() => format!("the controller says: {reason}"),
        Some(_) => link.lost().map_or_else(|| seen.to_owned(), |lost| in_words(&lost, node)),
        None => seen.to_owned(),
    }
}

/// An error of dialling; if the node's certificate does not do any more, with the commands that give a new one.
fn in_words(error: &DialError, node: &str) -> String {
    match error {
        DialError::Certificate {
            trouble: CertificateTrouble::OwnOutOfTime { .. } | CertificateTrouble::OwnRefused { .. },
            ..
        } => format!("{error}; {}", new_certificate(node)),
        _ => error.to_string(),
    }
}

/// What to do for a new certificate.
pub fn new_certificate(node: &str) -> String {
    format!(
        "an admin says `jnode add {node} --replace`, then here `jworkerd join TOKEN`: this daemon takes it up by \
         itself, and its jobs go on meanwhile"
    )
}
