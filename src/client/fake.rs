//! A controller for tests, also of whole commands (`tests/commands.rs` includes this file): real endpoint, real
//! certificates, canned answers.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use crate::client::config::Config;
use crate::model::identity::Role;
use crate::model::ids::Uid;
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

impl Answer {
    fn replies(&self) -> &[Reply] {
        match self {
            Answer::Replies(replies)
            | Answer::Hold(replies)
            | Answer::Die(replies)
            | Answer::Stop(replies) => replies,
        }
    }
}

type Script = Box<dyn FnMut(Request) -> Answer + Send>;
type Requests = Arc<Mutex<Vec<Request>>>;

/// A running fake, on a thread and runtime of its own: with them its sockets and connections vanish as if it had been
/// killed, without a farewell.
pub(crate) struct FakeController {
    folder: TempDir,
    credentials: Credentials,
    address: SocketAddr,
    requests: Requests,
    serving: Option<(tokio::sync::oneshot::Sender<()>, std::thread::JoinHandle<()>)>,
}

/// Runs a test on a runtime like that of the commands.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test hangs")
    })
}

impl FakeController {
    /// Starts one that answers by the script.
    pub(crate) fn start(script: impl FnMut(Request) -> Answer + Send + 'static) -> FakeController {
        let folder = tempfile::tempdir().unwrap();
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let now = crate::model::time::WallTime(since.as_micros() as i64);
        let authority = Authority::create(folder.path(), "c1", now).unwrap();
        let credentials = make(&folder, &authority, "controller", &Subject::controller(), now);
        make(&folder, &authority, "me", &Subject::person(Role::Admin, "alice", Uid(1000)).unwrap(), now);
        let mut fake = FakeController {
            folder,
            credentials,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            requests: Requests::default(),
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

    /// The same as a file.
    #[allow(dead_code, reason = "only the tests of whole commands use it")]
    pub(crate) fn config_file(&self) -> std::path::PathBuf {
        let config = self.config();
        let text = format!(
            "controllers = [\"{}\"]\ncertificate = \"me.pem\"\nkey = \"me.key\"\nca = \"ca.pem\"\n",
            self.address
        );
        std::fs::write(&config.file, text).unwrap();
        config.file
    }

    /// What it was asked so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Nobody listens any more.
    pub(crate) fn kill(&mut self) {
        if let Some((kill, thread)) = self.serving.take() {
            drop(kill);
            thread.join().unwrap();
        }
    }

    /// Starts it again at the same address.
    pub(crate) fn restart(&mut self, script: impl FnMut(Request) -> Answer + Send + 'static) {
        self.kill();
        self.listen(Box::new(script));
    }

    fn listen(&mut self, script: Script) {
        let (address, credentials, requests) =
            (self.address, self.credentials.clone(), Arc::clone(&self.requests));
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (kill, killed) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = server(address, &credentials).unwrap();
                ready.send(listener.local_address().unwrap()).unwrap();
                tokio::select! {
                    () = serve(listener, script, requests) => {}
                    _ = killed => {}
                }
            });
        });
        self.address = is_ready.recv().unwrap();
        self.serving = Some((kill, thread));
    }
}

impl Drop for FakeController {
    fn drop(&mut self) {
        self.serving.take();
    }
}

fn make(
    folder: &TempDir,
    authority: &Authority,
    name: &str,
    subject: &Subject,
    now: WallTime,
) -> Credentials {
    let files = CredentialFiles {
        certificate: folder.path().join(format!("{name}.pem")),
        key: folder.path().join(format!("{name}.key")),
        authorities: folder.path().join("ca.pem"),
    };
    let key = KeyPair::generate().unwrap();
    let issued = authority
        .issue(subject, &PublicKey::of(&key).unwrap(), Validity::usual(subject.role(), now))
        .unwrap();
    key.write(&files.key, Publish::New).unwrap();
    write_public(&files.certificate, issued.pem.as_bytes(), Publish::New).unwrap();
    Credentials::load(&files).unwrap()
}

async fn serve(listener: Listener, script: Script, requests: Requests) {
    let script = Arc::new(Mutex::new(script));
    let mut tasks = tokio::task::JoinSet::new();
    while let Some(arrival) = listener.accept().await {
        let Ok((connection, _)) = arrival.admit().await else { continue };
        let (script, requests) = (Arc::clone(&script), Arc::clone(&requests));
        tasks.spawn(async move {
            let mut held = Vec::new();
            while let Ok((send, receive)) = connection.accept_bi().await {
                let mut reader = FrameReader::new(receive, 64 << 20);
                let frame = reader.next(Patience::of(Duration::from_secs(5))).await;
                let Ok(Some(frame)) = frame else { continue };
                let request: Request = decode(&frame).unwrap();
                requests.lock().unwrap().push(request.clone());
                let answer = (script.lock().unwrap())(request);
                let mut writer = FrameWriter::new(send, 64 << 20);
                for reply in answer.replies() {
                    writer.push(&encode(reply).unwrap()).unwrap();
                }
                writer.flush(Duration::from_secs(5)).await.unwrap();
                match answer {
                    Answer::Replies(_) => writer.finish(Duration::from_secs(5)).await.unwrap(),
                    Answer::Hold(_) => held.push(writer),
                    Answer::Die(_) => close_after(&connection, CloseCode::Busy).await,
                    Answer::Stop(_) => close_after(&connection, CloseCode::Stopping).await,
                }
            }
        });
    }
}

/// Lets what was said arrive before the end: a close overtakes what is still to be sent.
async fn close_after(connection: &quinn::Connection, code: CloseCode) {
    tokio::time::sleep(Duration::from_millis(20)).await;
    connection.close(code.varint(), b"gone");
}
