//! A compromised node and a user who speak the protocol by themselves: whatever they claim, they are who the
//! certificate says.

use std::path::Path;
use std::time::Duration;

use crate::harness::poll;
use crate::site::{Site, now};
use jsched::model::ids::{Attempt, BootId, Instance, JobId, Ordinal, SpoolId, TaskRef};
use jsched::model::record::Hardware;
use jsched::model::resources::Resources;
use jsched::model::state::{Cause, CauseKind, End, State, Usage};
use jsched::net::client::{Link, dial};
use jsched::net::close::{CloseCode, End as Closed};
use jsched::net::frame::{FRAME_BYTES_MAX, FrameReader, FrameWriter, Patience};
use jsched::pki::credentials::{CredentialFiles, Credentials};
use jsched::wire::client::{Admin, Reply, Request};
use jsched::wire::codec::{Body, decode, encode};
use jsched::wire::node::{AttemptRef, Ended, FromNode, Hello, Report, Started, ToNode, Welcome};

const PATIENCE: Duration = Duration::from_secs(60);

struct Speaker {
    link: Link,
    reader: FrameReader,
    writer: FrameWriter,
}

impl Speaker {
    async fn start(folder: &Path, address: &str) -> Speaker {
        let credentials = Credentials::load(&CredentialFiles::in_folder(folder)).unwrap();
        let link = dial(&credentials, &[address.to_owned()]).await.unwrap();
        let (send, receive) = link.connection().open_bi().await.unwrap();
        let writer = FrameWriter::new(send, FRAME_BYTES_MAX);
        Speaker { reader: FrameReader::new(receive, FRAME_BYTES_MAX), writer, link }
    }

    async fn say(&mut self, frames: &[&[u8]]) {
        for frame in frames {
            self.writer.push(frame).unwrap();
        }
        self.writer.flush(PATIENCE).await.unwrap();
    }

    async fn hear<T: Body>(&mut self) -> T {
        let frame = self.reader.next(Patience::of(PATIENCE)).await.unwrap().unwrap();
        decode(&frame).unwrap()
    }

    /// What it is told when the connection is closed.
    async fn closed(self) -> (Option<CloseCode>, String) {
        match Closed::of(&self.link.connection().closed().await) {
            Closed::ByPeer { code, reason } => (code, reason),
            other => panic!("{other:?}"),
        }
    }
}

fn hello() -> Hello {
    let resources = Resources { cpus: 64, memory_bytes: 1 << 40, tmp_bytes: 1 << 40 };
    let (limits, system) = ("none".to_owned(), "Linux".to_owned());
    Hello {
        instance: Instance { spool: SpoolId([9; 16]), boot: BootId([9; 16]) },
        hardware: Hardware { resources, sockets: 1, threads: 64, limits, system },
        version: "0.1.0".to_owned(),
        only_uid: None,
        boot_time: now(),
        incarnation: None,
        epoch: Default::default(),
        position: Default::default(),
        clock: now(),
    }
}

#[test]
fn nobody_speaks_for_somebody_else() {
    let mut site = Site::init("");
    site.start_controller();
    site.start_node("n1");
    let job = site
        .run("jsubmit", &["--parsable", "--chdir", "/tmp", "--output", "none", "--wrap", "sleep 1001"])
        .ok();
    site.run("jqueue", &["wait", "--for", "start", &job]).ok();
    let token = site.run("jnode", &["add", "n2"]).ok();
    site.worker("n2", &["join", &token]).ok();
    // Nothing more is to run on the node that lies.
    site.run("jnode", &["drain", "n2", "--reason", "test"]).ok();
    let user = site.path("user").display().to_string();
    site.run("jctld", &["user", "add", "alice", "--uid", "61234", "--out", &user]).ok();

    let number = JobId(job.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        a_node_about_anothers_job(&site, number).await;
        others_than_nodes_and_commands(&site).await;
    });
    let shown = site.run("jqueue", &["show", &job, "--json"]).json();
    let found = (&shown["data"]["state"], &shown["data"]["attempt"], &shown["data"]["nodes"][0]);
    assert_eq!(found, (&"running".into(), &1.into(), &"n1".into()), "{shown}");
    poll("the honest node to be well", || site.worker("n1", &["doctor"]).stdout.contains("n1 is"));
    assert!(site.run("jctld", &["status"]).ok().contains("nodes"));
}

/// A compromised n2 says that n1's job has ended, was never started, runs at n2.
async fn a_node_about_anothers_job(site: &Site, job: JobId) {
    let mut node = Speaker::start(&site.path("n2"), &site.address).await;
    node.say(&[b"control", &encode(&hello()).unwrap()]).await;
    node.hear::<Welcome>().await;
    let task = TaskRef { job, ordinal: Ordinal(0) };
    let attempt = AttemptRef { task, attempt: Attempt(1) };
    let cause = Cause { kind: CauseKind::Exit, by: String::new(), text: "a lie".to_owned() };
    let end = End {
        state: State::Completed,
        exit_code: 0,
        signal: 0,
        cause,
        node: None,
        start: Some(now()),
        end: now(),
        usage: Usage { cpu_ms: 1, memory_peak_bytes: 1 },
        attempt: Attempt(1),
    };
    let lies = |number, last_of_inventory| Report {
        number,
        last_of_inventory,
        queued: vec![attempt],
        started: vec![Started { attempt, start: now() }],
        ended: vec![Ended { task, end: end.clone() }],
        never: vec![attempt],
    };
    for (number, last) in [(1, true), (2, false)] {
        let report = encode(&FromNode::Report(lies(number, last))).unwrap();
        node.say(&[&report]).await;
        loop {
            match node.hear::<ToNode>().await {
                ToNode::Confirmed { report } if report == number => break,
                ToNode::Order(order) => assert!(!format!("{order:?}").contains("Launch"), "{order:?}"),
                _ => {}
            }
        }
    }
    node.link.finish().await;
}

async fn others_than_nodes_and_commands(site: &Site) {
    // A node asks what admins ask.
    for request in [Request::Admin(Admin::Stop), Request::Whoami, Request::Nodes] {
        let mut node = Speaker::start(&site.path("n2"), &site.address).await;
        node.say(&[&encode(&request).unwrap()]).await;
        let (code, reason) = node.closed().await;
        assert_eq!(code, Some(CloseCode::Protocol), "{reason}");
    }
    // A user speaks as a node: with the node's first frame, and with its second.
    for frames in [
        vec![b"control".to_vec(), encode(&hello()).unwrap()],
        vec![b"data".to_vec()],
        vec![b"renew".to_vec()],
    ] {
        let mut user = Speaker::start(&site.path("user"), &site.address).await;
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        user.say(&frames).await;
        let Reply::Refused(refusal) = user.hear::<Reply>().await else { panic!("not refused") };
        assert_eq!(refusal.code.word(), "invalid", "{refusal:?}");
        user.link.finish().await;
    }
}
