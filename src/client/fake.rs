//! A controller for tests: real endpoint, real certificates, canned answers.

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use tempfile::TempDir;

use super::config::Config;
use crate::model::ids::Uid;
use crate::model::identity::Role;
use crate::model::time::WallTime;
use crate::net::close::CloseCode;
use crate::net::endpoint::{Listener, server};
use crate::net::frame::{FrameReader, FrameWriter, Patience};
use crate::pki::authority::Authority;
use crate::pki::certificate::{Subject, Validity};
use crate::pki::credentials::{CredentialFiles, Credentials};
use crate::pki::file::{Publish, write_public};
use crate::pki::key::KeyPair;
use crate::pki::request::PublicKey;
use crate::wire::client::{Reply, Request};
use crate::wire::codec::{decode, encode};

/// What the fake does about a request.
pub(crate) enum Answer {
    /// These replies, then the end of the stream.
    Replies(Vec<Reply>),
    /// These replies, then nothing more: the stream stays open.
    Hold(Vec<Reply>),
    /// These replies, then the connection is gone, as if the controller had been killed.
    Die(Vec<Reply>),
    /// These replies, then the connection is closed because the controller stops.
    Stop(Vec<Reply>),
}

type Script = Box<dyn FnMut(Request) -> Answer>;

/// A running fake. Its tasks live on the test's own runtime, within a `LocalSet`.
pub(crate) struct FakeController {
    folder: TempDir,
    credentials: Credentials,
    address: SocketAddr,
    requests: Rc<RefCell<Vec<Request>>>,
    serving: Option<tokio::task::JoinHandle<()>>,
}

/// Runs a test on a runtime like that of the commands.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test hangs")
    })
}

impl FakeController {
    /// Starts one that answers by the script.
    pub(crate) fn start(script: impl FnMut(Request) -> Answer + 'static) -> FakeController {
        let folder = tempfile::tempdir().unwrap();
        let now = crate::cli::render::quantity::wall_now();
        let authority = Authority::create(folder.path(), "c1", now).unwrap();
        let credentials = make(&folder, &authority, "controller", &Subject::controller(), now);
        make(&folder, &authority, "me", &Subject::person(Role::Admin, "alice", Uid(1000)).unwrap(), now);
        let mut fake = FakeController {
            folder,
            credentials,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            requests: Rc::default(),
            serving: None,
        };
        fake.listen(Box::new(script));
        fake
    }

    /// A configuration that leads to it.
    pub(crate) fn config(&self) -> Config {
        Config {
            file: self.folder.path().join("client.toml"),
            controllers: vec![self.address.to_string()],
            certificate: self.folder.path().join("me.pem"),
            key: self.folder.path().join("me.key"),
            ca: self.folder.path().join("ca.pem"),
        }
    }

    /// What it was asked so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.borrow().clone()
    }

    /// Nobody listens any more.
    pub(crate) async fn kill(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            let _ = serving.await;
        }
    }

    /// Starts it again at the same address.
    pub(crate) async fn restart(&mut self, script: impl FnMut(Request) -> Answer + 'static) {
        self.kill().await;
        self.listen(Box::new(script));
    }

    fn listen(&mut self, script: Script) {
        let listener = server(self.address, &self.credentials).unwrap();
        self.address = listener.local_address().unwrap();
        let requests = Rc::clone(&self.requests);
        self.serving = Some(tokio::task::spawn_local(serve(listener, script, requests)));
    }
}

fn make(folder: &TempDir, authority: &Authority, name: &str, subject: &Subject, now: WallTime) -> Credentials {
    let files = CredentialFiles {
        certificate: folder.path().join(format!("{name}.pem")),
        key: folder.path().join(format!("{name}.key")),
        authorities: folder.path().join("ca.pem"),
    };
    let key = KeyPair::generate().unwrap();
    let issued =
        authority.issue(subject, &PublicKey::of(&key).unwrap(), Validity::usual(subject.role(), now)).unwrap();
    key.write(&files.key, Publish::New).unwrap();
    write_public(&files.certificate, issued.pem.as_bytes(), Publish::New).unwrap();
    Credentials::load(&files).unwrap()
}

async fn serve(listener: Listener, script: Script, requests: Rc<RefCell<Vec<Request>>>) {
    let script = Rc::new(RefCell::new(script));
    let mut tasks = tokio::task::JoinSet::new();
    while let Some(arrival) = listener.accept().await {
        let Ok((connection, _)) = arrival.admit().await else { continue };
        let (script, requests) = (Rc::clone(&script), Rc::clone(&requests));
        tasks.spawn_local(async move {
            let mut held: Vec<Pin<Box<FrameWriter>>> = Vec::new();
            while let Ok((send, receive)) = connection.accept_bi().await {
                let mut reader = FrameReader::new(receive, 64 << 20);
                let Ok(Some(frame)) = reader.next(Patience::of(Duration::from_secs(5))).await else { continue };
                let request: Request = decode(&frame).unwrap();
                requests.borrow_mut().push(request.clone());
                let answer = (script.borrow_mut())(request);
                let (Answer::Replies(replies) | Answer::Hold(replies) | Answer::Die(replies) | Answer::Stop(replies)) =
                    &answer;
                let mut writer = FrameWriter::new(send, 64 << 20);
                for reply in replies {
                    writer.push(&encode(reply).unwrap()).unwrap();
                }
                writer.flush(Duration::from_secs(5)).await.unwrap();
                match answer {
                    Answer::Replies(_) => writer.finish(Duration::from_secs(5)).await.unwrap(),
                    Answer::Hold(_) => held.push(Box::pin(writer)),
                    Answer::Die(_) => {
                        // Let what was said arrive before the end, as a busy controller's answers would.
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        connection.close(CloseCode::Busy.varint(), b"killed");
                    }
                    Answer::Stop(_) => {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        connection.close(CloseCode::Stopping.varint(), b"stopping");
                    }
                }
            }
        });
    }
}
