//! Looks after one supervisor: starts it, connects, passes messages both ways, connects again when the socket breaks,
//! and reads its records when it is dead. It is dead when nothing listens on its socket any more.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{ReadHalf, WriteHalf};
use tokio::sync::mpsc::{Sender, UnboundedReceiver, unbounded_channel};
use tokio::task::spawn_blocking;

use super::accounts;
use super::callers::Callers;
use super::descriptors::Inbox;
use super::failures::Failures;
use super::pool::Ahead;
use super::ship::Shipper;
use super::spool::{Contents, Folder};
use super::supervisor::client::{self, SocketPath};
use super::supervisor::records::{self, Fate, Recorded};
use super::supervisors::News;
use super::translate::{self, Lines, Place};
use crate::agent::{Remains, Said, SupervisorId, Tell};
use crate::model::ids::{JobId, TaskRef};
use crate::wire::node::JobBody;
use crate::wire::supervisor::{FromSupervisor, Inventory, Job, ToSupervisor, VERSION, encode};

/// Between tries of what should never fail: reading a dead supervisor's records, ending its leftovers.
pub const TROUBLE_PAUSE: Duration = Duration::from_secs(10);

/// The first and the longest pause between two tries to reach a supervisor that is coming up.
const CONNECT_PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// What it takes to start a supervisor.
pub struct Start {
    /// The program.
    pub program: PathBuf,
    /// What the node adds to the job.
    pub place: Arc<Place>,
    /// One that was started ahead and lies in its folder; else one is started there.
    pub ahead: Option<Ahead>,
}

/// Looks after one supervisor.
pub struct Keeper {
    id: SupervisorId,
    folder: Folder,
    body: Option<Arc<JobBody>>,
    lines: Lines,
    contents: Contents,
    /// Told as long as the supervisor has no job.
    job_to_tell: Option<Box<Job>>,
    child: Option<Child>,
    /// The connection that came with a supervisor that was started ahead, which has said that it holds nothing.
    first: Option<(UnixStream, Inbox)>,
    /// Kills that a broken connection may have swallowed: no cancel may be lost.
    kills: Vec<Tell>,
    news: Sender<(SupervisorId, News)>,
    callers: Callers,
    shipper: Shipper,
    failures: Failures,
}

/// How a conversation came to its end.
enum Over {
    /// The socket is closed or broken.
    Broken,
    /// The supervisor holds nothing and will not get a job.
    Useless,
    /// It does not take the job.
    Refused(String),
    /// Nobody wants to hear of it any more.
    Forgotten,
}

impl Keeper {
    /// For the supervisor in that folder; `body` is there if the agent knows its job.
    pub fn new(
        folder: Folder,
        body: Option<Arc<JobBody>>,
        contents: Contents,
        news: Sender<(SupervisorId, News)>,
        callers: Callers,
        shipper: Shipper,
        failures: Failures,
    ) -> Keeper {
        Keeper {
            id: folder.supervisor,
            folder,
            body,
            lines: Lines::default(),
            contents,
            job_to_tell: None,
            child: None,
            first: None,
            kills: Vec::new(),
            news,
            callers,
            shipper,
            failures,
        }
    }

    /// Starts the supervisor, if it is to be started, and looks after it until it is dead.
    pub async fn run(mut self, start: Option<Start>) {
        let over = match self.begin(start).await {
            Ok(()) => self.keep().await,
            Err(text) => Over::Refused(text),
        };
        match over {
            Over::Refused(text) => {
                if let Some(body) = &self.body {
                    tokio::time::sleep(self.failures.failed(body.uid, Instant::now())).await;
                }
                self.say(News::Failed(text)).await;
            }
            Over::Forgotten => {}
            Over::Useless | Over::Broken => {
                let remains = self.remains().await;
                self.shipper.lost(self.folder.job, self.body.as_deref());
                self.say(News::Lost(remains)).await;
            }
        }
        if let Some(mut child) = self.child.take() {
            // It exits by itself; whoever started it has to reap it.
            spawn_blocking(move || child.wait());
        }
    }

    async fn say(&self, news: News) {
        // Nobody listens only when the daemon ends.
        let _ = self.news.send((self.id, news)).await;
    }

    /// Reads what the job needs, and starts the supervisor if it is not there yet.
    async fn begin(&mut self, start: Option<Start>) -> Result<(), String> {
        let Some(body) = self.body.clone() else { return Ok(()) };
        let (contents, folder) = (self.contents.clone(), self.folder.clone());
        let prepared = spawn_blocking(move || prepare(&folder, &body, &contents, start));
        let prepared = prepared.await.map_err(|error| error.to_string())??;
        self.lines = prepared.lines;
        if let Some((job, started)) = prepared.started {
            self.job_to_tell = Some(job);
            let (child, first) = match started {
                Started::Ahead(ahead) => ahead.into_parts(),
                Started::Now(child) => (Some(child), None),
            };
            (self.child, self.first) = (child, first);
        }
        Ok(())
    }

    /// Speaks with the supervisor until it is dead.
    async fn keep(&mut self) -> Over {
        if let Some((stream, inbox)) = self.first.take() {
            let nothing = Said::Ready { held: Vec::new(), started: Vec::new(), notices: Vec::new() };
            match self.converse(stream, inbox, (nothing, false)).await {
                Over::Broken => {}
                over => return over,
            }
        }
        loop {
            let Some(mut stream) = self.connect().await else { return Over::Broken };
            let mut inbox = Inbox::default();
            let Ok(welcome) = greet(&mut stream, &mut inbox).await else { continue };
            self.shipper.hear(self.folder.job, self.body.as_deref(), &welcome);
            let has_job =
                matches!(&welcome, FromSupervisor::Welcome { inventory: Inventory { job: Some(_), .. }, .. });
            let Some(said) = translate::said(welcome) else { continue };
            match self.converse(stream, inbox, (said, has_job)).await {
                Over::Broken => {}
                over => return over,
            }
        }
    }

    /// Connects as soon as the supervisor listens; `None` when it is dead.
    async fn connect(&mut self) -> Option<UnixStream> {
        let mut pause = CONNECT_PAUSES.0;
        loop {
            let path = match SocketPath::of(&self.folder.path) {
                Ok(path) => path,
                Err(error) if error.kind() == ErrorKind::NotFound => return None,
                Err(error) => {
                    tracing::error!(folder = %self.folder.path.display(), %error, "a supervisor can't be reached");
                    tokio::time::sleep(TROUBLE_PAUSE).await;
                    continue;
                }
            };
            match UnixStream::connect(path.path()).await {
                Ok(stream) => return Some(stream),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return None,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    // Not up yet, or finished; and one that an earlier daemon was just about to start has nothing.
                    let lives = self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)));
                    if !lives {
                        return None;
                    }
                }
                Err(error) => tracing::warn!(supervisor = %self.id, %error, "a supervisor can't be reached"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(CONNECT_PAUSES.1);
        }
    }

    /// Speaks on a connection whose greeting said that, and whether the supervisor has its job.
    async fn converse(
        &mut self,
        mut stream: UnixStream,
        inbox: Inbox,
        (said, has_job): (Said, bool),
    ) -> Over {
        if has_job {
            self.job_to_tell = None;
        } else if let Some(job) = &self.job_to_tell {
            if stream.write_all(&frames(&[ToSupervisor::Job(job.clone())])).await.is_err() {
                return Over::Broken;
            }
        } else {
            let _ = stream.write_all(&frames(&[ToSupervisor::Finish])).await;
            return Over::Useless;
        }
        let (tell, mut told) = unbounded_channel();
        for kill in std::mem::take(&mut self.kills) {
            let _ = tell.send(kill);
        }
        self.say(News::Ready(said, tell)).await;
        let (read, write) = stream.split();
        let body = self.body.clone();
        let writer =
            Writer { folder: &self.folder, body: body.as_deref(), lines: &self.lines, stream: write };
        let reader = Reader {
            id: self.id,
            job: self.folder.job,
            body: body.as_deref(),
            shipper: &self.shipper,
            failures: &self.failures,
            inbox,
            callers: &self.callers,
            stream: read,
            job_to_tell: &mut self.job_to_tell,
            news: &self.news,
        };
        let over = tokio::select! {
            over = reader.run() => over,
            over = writer.run(&mut told, &mut self.kills) => over,
        };
        while let Ok(tell) = told.try_recv() {
            if matches!(tell, Tell::Kill { .. }) {
                self.kills.push(tell);
            }
        }
        over
    }

    /// What the records say. Nothing is concluded as long as they can't be read.
    async fn remains(&self) -> Remains {
        loop {
            let path = self.folder.path.clone();
            match spawn_blocking(move || records::read(&path)).await {
                Ok(Ok(recorded)) => return remains_of(recorded),
                Ok(Err(error)) => tracing::error!(%error, "a dead supervisor's records can't be read"),
                Err(error) => tracing::error!(%error, "a dead supervisor's records can't be read"),
            }
            tokio::time::sleep(TROUBLE_PAUSE).await;
        }
    }
}

/// Passes on what is said to a supervisor.
struct Writer<'a> {
    folder: &'a Folder,
    body: Option<&'a JobBody>,
    lines: &'a Lines,
    stream: WriteHalf<'a>,
}

impl Writer<'_> {
    /// Everything that is there goes out at once. `kills` are left behind if it may not have arrived.
    async fn run(mut self, told: &mut UnboundedReceiver<Tell>, kills: &mut Vec<Tell>) -> Over {
        while let Some(first) = told.recv().await {
            kills.clear();
            let mut bytes = Vec::new();
            let mut next = Some(first);
            while let Some(tell) = next {
                if matches!(tell, Tell::Kill { .. }) {
                    kills.push(tell.clone());
                }
                bytes.extend(frames(&self.messages(tell)));
                next = told.try_recv().ok();
            }
            if self.stream.write_all(&bytes).await.is_err() {
                return Over::Broken;
            }
        }
        Over::Forgotten
    }

    fn messages(&self, tell: Tell) -> Vec<ToSupervisor> {
        match (self.body, tell) {
            (Some(body), tell) => translate::to_supervisor(self.folder.job, body, self.lines, tell),
            // Of a job that nothing is known of, there is nothing else to say.
            (None, Tell::Acknowledge(up_to)) => vec![ToSupervisor::Acknowledge { up_to }],
            (None, Tell::Finish) => vec![ToSupervisor::Finish],
            (None, _) => Vec::new(),
        }
    }
}

/// Passes on what a supervisor says.
struct Reader<'a> {
    id: SupervisorId,
    job: JobId,
    body: Option<&'a JobBody>,
    shipper: &'a Shipper,
    failures: &'a Failures,
    inbox: Inbox,
    callers: &'a Callers,
    stream: ReadHalf<'a>,
    job_to_tell: &'a mut Option<Box<Job>>,
    news: &'a Sender<(SupervisorId, News)>,
}

impl Reader<'_> {
    async fn run(mut self) -> Over {
        loop {
            loop {
                match self.inbox.cut() {
                    Ok(Some(FromSupervisor::Refused { text })) => {
                        tracing::error!(supervisor = %self.id, %text, "a supervisor refuses");
                        if self.job_to_tell.is_some() {
                            return Over::Refused(text);
                        }
                    }
                    Ok(Some(FromSupervisor::Call { task })) => {
                        if let Some(socket) = self.inbox.descriptor() {
                            let whose = TaskRef { job: self.job, ordinal: task.ordinal };
                            self.callers.take(whose, task.attempt, socket);
                        }
                    }
                    Ok(Some(message)) => {
                        // It works, so it has its job.
                        if let (Some(_), Some(body)) = (self.job_to_tell.take(), self.body) {
                            self.failures.worked(body.uid);
                        }
                        self.shipper.hear(self.job, self.body, &message);
                        if let Some(said) = translate::said(message) {
                            let _ = self.news.send((self.id, News::Said(said))).await;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::error!(supervisor = %self.id, %error, "a supervisor can't be understood");
                        tokio::time::sleep(TROUBLE_PAUSE).await;
                        return Over::Broken;
                    }
                }
            }
            match self.inbox.fill(self.stream.as_ref()).await {
                Ok(count) if count > 0 => {}
                _ => return Over::Broken,
            }
        }
    }
}

struct PreparedJob {
    lines: Lines,
    started: Option<(Box<Job>, Started)>,
}

enum Started {
    Ahead(Ahead),
    Now(Child),
}

/// Looks up the user, reads the contents, starts the supervisor. Blocks.
fn prepare(
    folder: &Folder,
    body: &JobBody,
    contents: &Contents,
    start: Option<Start>,
) -> Result<PreparedJob, String> {
    let read = |hash| contents.read(hash).map_err(|error| error.to_string());
    let lines = body.lines.as_ref().map(read).transpose();
    let Some(Start { program, place, ahead }) = start else {
        let lines = lines.unwrap_or_else(|error| {
            tracing::error!(job = %folder.job, %error, "the job's lines can't be read");
            None
        });
        return Ok(PreparedJob { lines: lines.map(Lines::new).unwrap_or_default(), started: None });
    };
    let in_words = |text: String| format!("{}: {text}", place.node);
    let user = accounts::look_up(&body.user, body.uid, place.root_allowed);
    let user = user.map_err(|error| in_words(error.to_string()))?;
    let lines = lines.map_err(in_words)?;
    let (script, environment) =
        (read(&body.script).map_err(in_words)?, read(&body.environment).map_err(in_words)?);
    let job = translate::job(folder.job, body, user, script, environment, &place);
    let started = match ahead {
        Some(ahead) => Started::Ahead(ahead),
        None => client::start(&program, &folder.path, &folder.name)
            .map(Started::Now)
            .map_err(|error| in_words(format!("a supervisor can't be started: {error}")))?,
    };
    Ok(PreparedJob {
        lines: lines.map(Lines::new).unwrap_or_default(),
        started: Some((Box::new(job), started)),
    })
}

/// Says hello and gets the inventory.
pub async fn greet(stream: &mut UnixStream, inbox: &mut Inbox) -> Result<FromSupervisor, String> {
    let hello = encode(&ToSupervisor::Hello { version: VERSION }).map_err(|error| error.to_string())?;
    stream.write_all(&hello).await.map_err(|error| error.to_string())?;
    loop {
        if let Some(message) = inbox.cut().map_err(|error| error.to_string())? {
            if matches!(message, FromSupervisor::Welcome { .. }) {
                return Ok(message);
            }
            return Err("it does not begin with Welcome".to_owned());
        }
        match inbox.fill(stream).await {
            Ok(count) if count > 0 => {}
            Ok(_) => return Err("it has closed".to_owned()),
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn frames(messages: &[ToSupervisor]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        match encode(message) {
            Ok(frame) => bytes.extend(frame),
            Err(error) => tracing::error!(%error, "a message to a supervisor can't be written"),
        }
    }
    bytes
}

fn remains_of(recorded: Recorded) -> Remains {
    let mut remains = Remains::default();
    for (task, fate) in recorded.attempts {
        let which = translate::try_of(task);
        match fate {
            Fate::Intended => remains.intents.push(which),
            Fate::Started { start, .. } => remains.started.push((which, start)),
            Fate::Ended(mut end) => {
                end.node = None;
                remains.ended.push((which, *end));
            }
        }
    }
    remains
}
