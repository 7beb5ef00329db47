//! The daemon's end of its supervisors: starts them, speaks with them, and finds out when they are dead.
//!
//! Each supervisor has a task of its own, which connects, passes messages on both ways, and connects again when the
//! socket breaks. A supervisor is dead when nothing listens on its socket any more; then its records say what
//! became of its attempts.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc::{Sender, UnboundedSender, unbounded_channel};
use tokio::task::spawn_blocking;

use super::accounts;
use super::spool::{Contents, Folder, Spool};
use super::supervisor::client::{self, SocketPath};
use super::supervisor::records::{self, Fate, Recorded};
use super::translate::{self, Lines, Place};
use super::tree;
use crate::agent::{Remains, Said, SupervisorId, Tell};
use crate::wire::node::JobBody;
use crate::wire::supervisor::{FrameDecoder, FromSupervisor, Inventory, Job, ToSupervisor, VERSION, encode};

/// The first and the longest pause between two tries to reach a supervisor that is coming up.
const CONNECT_PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));
/// Between tries of what should never fail: reading a dead supervisor's records, ending its leftovers.
const TROUBLE_PAUSE: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 64 << 10;

/// Something about a supervisor that the agent has to hear.
#[derive(Debug)]
pub enum News {
    /// It speaks, for the first time on this connection; what is said to it from now on goes this way.
    Ready(Said, UnboundedSender<Tell>),
    /// It says something more.
    Said(Said),
    /// It could not be started.
    Failed(String),
    /// It is dead.
    Lost(Remains),
    /// What it left is ended.
    LeftoversEnded,
}

/// All supervisors of this daemon.
#[derive(Debug)]
pub struct Supervisors {
    program: PathBuf,
    place: Arc<Place>,
    contents: Contents,
    news: Sender<(SupervisorId, News)>,
    open: BTreeMap<SupervisorId, Open>,
}

#[derive(Debug)]
struct Open {
    folder: Folder,
    tell: Option<UnboundedSender<Tell>>,
}

impl Supervisors {
    /// `program` is what supervisors are started from: this very binary. News go to `news`.
    pub fn new(
        program: PathBuf,
        place: Place,
        contents: Contents,
        news: Sender<(SupervisorId, News)>,
    ) -> Supervisors {
        Supervisors { program, place: Arc::new(place), contents, news, open: BTreeMap::new() }
    }

    /// Starts one in a new folder.
    pub fn start(&mut self, folder: Folder, body: Arc<JobBody>) {
        let start = Start { program: self.program.clone(), place: Arc::clone(&self.place) };
        self.look_after(folder, Some(body), Some(start));
    }

    /// Looks for one that an earlier daemon has started; `body` is there if the agent knows its job.
    pub fn find(&mut self, folder: Folder, body: Option<Arc<JobBody>>) {
        self.look_after(folder, body, None);
    }

    /// To be called when the agent hears that one speaks. What was said before went to an older connection, and the
    /// agent says again what is missing in this one's inventory.
    pub fn connected(&mut self, id: SupervisorId, tell: UnboundedSender<Tell>) {
        if let Some(open) = self.open.get_mut(&id) {
            open.tell = Some(tell);
        }
    }

    /// Says something to one.
    pub fn tell(&self, id: SupervisorId, tell: Tell) {
        if let Some(tells) = self.open.get(&id).and_then(|open| open.tell.as_ref()) {
            // If its task has gone, the agent will hear that the supervisor is lost.
            let _ = tells.send(tell);
        }
    }

    /// Ends what a dead one left, and says so when it is done, however long that takes.
    pub fn end_leftovers(&self, id: SupervisorId) {
        let Some(open) = self.open.get(&id) else { return };
        let (folder, place, news) = (open.folder.clone(), Arc::clone(&self.place), self.news.clone());
        tokio::spawn(async move {
            loop {
                let (folder, place) = (folder.clone(), Arc::clone(&place));
                let ended = spawn_blocking(move || end_leftovers(&folder, &place)).await;
                match ended.unwrap_or_else(|error| Err(error.to_string())) {
                    Ok(()) => break,
                    Err(error) => tracing::error!(supervisor = %id, %error, "leftovers of a supervisor stay"),
                }
                tokio::time::sleep(TROUBLE_PAUSE).await;
            }
            let _ = news.send((id, News::LeftoversEnded)).await;
        });
    }

    /// Forgets one and removes its folder.
    pub fn remove(&mut self, id: SupervisorId) {
        let Some(open) = self.open.remove(&id) else { return };
        spawn_blocking(move || {
            if let Err(error) = Spool::remove_supervisor(&open.folder) {
                tracing::warn!(folder = %open.folder.path.display(), %error, "a supervisor's folder stays");
            }
        });
    }

    fn look_after(&mut self, folder: Folder, body: Option<Arc<JobBody>>, start: Option<Start>) {
        let keeper = Keeper {
            id: folder.supervisor,
            folder: folder.clone(),
            body,
            lines: Lines::default(),
            contents: self.contents.clone(),
            job_to_tell: None,
            child: None,
            kills: Vec::new(),
            news: self.news.clone(),
        };
        self.open.insert(folder.supervisor, Open { folder, tell: None });
        tokio::spawn(keeper.run(start));
    }
}

/// What it takes to start a supervisor.
struct Start {
    program: PathBuf,
    place: Arc<Place>,
}

/// Looks after one supervisor.
struct Keeper {
    id: SupervisorId,
    folder: Folder,
    body: Option<Arc<JobBody>>,
    lines: Lines,
    contents: Contents,
    /// Told as long as the supervisor has no job.
    job_to_tell: Option<Box<Job>>,
    child: Option<Child>,
    /// Kills that a broken connection may have swallowed: no cancel may be lost.
    kills: Vec<Tell>,
    news: Sender<(SupervisorId, News)>,
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
    async fn run(mut self, start: Option<Start>) {
        let over = match self.begin(start).await {
            Ok(()) => self.keep().await,
            Err(text) => Over::Refused(text),
        };
        match over {
            Over::Refused(text) => self.say(News::Failed(text)).await,
            Over::Forgotten => {}
            Over::Useless | Over::Broken => {
                let remains = self.remains().await;
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
        let prepared = spawn_blocking(move || prepare(&folder, &body, &contents, start.as_ref()));
        let prepared = prepared.await.map_err(|error| error.to_string())??;
        self.lines = prepared.lines;
        (self.job_to_tell, self.child) = prepared.started.unzip();
        Ok(())
    }

    /// Speaks with the supervisor until it is dead.
    async fn keep(&mut self) -> Over {
        loop {
            let Some(stream) = self.connect().await else { return Over::Broken };
            match self.converse(stream).await {
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

    async fn converse(&mut self, mut stream: UnixStream) -> Over {
        let mut decoder = FrameDecoder::new();
        let Ok(inventory) = greet(&mut stream, &mut decoder).await else { return Over::Broken };
        if inventory.1 {
            self.job_to_tell = None;
        } else {
            match &self.job_to_tell {
                Some(job) => {
                    let message = encode(&ToSupervisor::Job(job.clone())).unwrap_or_default();
                    if stream.write_all(&message).await.is_err() {
                        return Over::Broken;
                    }
                }
                None => {
                    let finish = encode(&ToSupervisor::Finish).unwrap_or_default();
                    let _ = stream.write_all(&finish).await;
                    return Over::Useless;
                }
            }
        }
        let (tell, mut told) = unbounded_channel();
        for kill in std::mem::take(&mut self.kills) {
            let _ = tell.send(kill);
        }
        self.say(News::Ready(inventory.0, tell)).await;
        let Keeper { id, folder, body, lines, job_to_tell, kills, news, .. } = self;
        let (mut read, mut write) = stream.split();
        let writer = async {
            let Some(body) = body.as_deref() else {
                // Without its job nothing sensible can be said but that it should go.
                while let Some(tell) = told.recv().await {
                    let messages = match tell {
                        Tell::Acknowledge(up_to) => vec![ToSupervisor::Acknowledge { up_to }],
                        Tell::Finish => vec![ToSupervisor::Finish],
                        _ => continue,
                    };
                    if write.write_all(&frames(&messages)).await.is_err() {
                        return Over::Broken;
                    }
                }
                return Over::Forgotten;
            };
            while let Some(first) = told.recv().await {
                let mut bytes = Vec::new();
                let mut next = Some(first);
                kills.clear();
                while let Some(tell) = next {
                    if matches!(tell, Tell::Kill { .. }) {
                        kills.push(tell.clone());
                    }
                    bytes.extend(frames(&translate::to_supervisor(folder.job, body, lines, tell)));
                    next = told.try_recv().ok();
                }
                if write.write_all(&bytes).await.is_err() {
                    return Over::Broken;
                }
            }
            Over::Forgotten
        };
        let reader = async {
            let mut bytes = vec![0; READ_BYTES];
            loop {
                while let Ok(Some(message)) = decoder.cut::<FromSupervisor>() {
                    if let FromSupervisor::Refused { text } = &message {
                        tracing::error!(supervisor = %id, %text, "a supervisor refuses");
                        if job_to_tell.is_some() {
                            return Over::Refused(text.clone());
                        }
                    } else {
                        *job_to_tell = None;
                    }
                    if let Some(said) = translate::said(message) {
                        let _ = news.send((*id, News::Said(said))).await;
                    }
                }
                match read.read(&mut bytes).await {
                    Ok(count) if count > 0 => decoder.push(bytes.get(..count).unwrap_or_default()),
                    _ => return Over::Broken,
                }
            }
        };
        let over = tokio::select! {
            over = reader => over,
            over = writer => over,
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

struct PreparedJob {
    lines: Lines,
    started: Option<(Box<Job>, Child)>,
}

/// Looks up the user, reads the contents, starts the supervisor. Blocks.
fn prepare(
    folder: &Folder,
    body: &JobBody,
    contents: &Contents,
    start: Option<&Start>,
) -> Result<PreparedJob, String> {
    let read = |hash| contents.read(hash).map_err(|error| error.to_string());
    let lines = body.lines.as_ref().map(read).transpose();
    let Some(Start { program, place }) = start else {
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
    let job = translate::job(folder.job, body, user, script, environment, place);
    let child = client::start(program, &folder.path, &folder.name)
        .map_err(|error| in_words(format!("a supervisor can't be started: {error}")))?;
    Ok(PreparedJob {
        lines: lines.map(Lines::new).unwrap_or_default(),
        started: Some((Box::new(job), child)),
    })
}

/// Says hello and gets the inventory, and whether the supervisor has its job.
async fn greet(stream: &mut UnixStream, decoder: &mut FrameDecoder) -> Result<(Said, bool), String> {
    let hello = encode(&ToSupervisor::Hello { version: VERSION }).map_err(|error| error.to_string())?;
    stream.write_all(&hello).await.map_err(|error| error.to_string())?;
    let mut bytes = vec![0; READ_BYTES];
    loop {
        if let Some(message) = decoder.cut::<FromSupervisor>().map_err(|error| error.to_string())? {
            let has_job =
                matches!(&message, FromSupervisor::Welcome { inventory: Inventory { job: Some(_), .. }, .. });
            if let (FromSupervisor::Welcome { .. }, Some(said)) = (&message, translate::said(message.clone()))
            {
                return Ok((said, has_job));
            }
            return Err("it does not begin with Welcome".to_owned());
        }
        match stream.read(&mut bytes).await {
            Ok(count) if count > 0 => decoder.push(bytes.get(..count).unwrap_or_default()),
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

/// Ends what a dead supervisor's attempts left running. Blocks.
fn end_leftovers(folder: &Folder, place: &Place) -> Result<(), String> {
    let recorded = records::read(&folder.path).map_err(|error| error.to_string())?;
    let firsts: Vec<(i32, u64)> = recorded
        .attempts
        .values()
        .filter_map(|fate| match fate {
            Fate::Started { pid, start_ticks, .. } => Some((i32::try_from(*pid).ok()?, *start_ticks)),
            _ => None,
        })
        .collect();
    let remains =
        tree::Remains { supervisor: &folder.name, firsts: &firsts, cgroups: place.cgroups.as_ref() };
    tree::end_all(&remains).map_err(|error| error.to_string())
}
