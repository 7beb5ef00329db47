//! The node daemon's loop: what the controller and the supervisors say goes into the agent, what comes out is done.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::geteuid;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{Receiver, UnboundedSender, channel};
use tokio::sync::watch;

use super::callers::Callers;
use super::data::Output;
use super::link::{self, LinkNews, Way};
use super::own::{self, Own};
use super::pool::Pool;
use super::readers::Readers;
use super::ship::Shipper;
use super::spool::{Folder, Spool, SpoolError};
use super::status;
use super::supervisor::clock;
use super::supervisors::{News, Supervisors};
use super::translate::Place;
use super::watches::Watches;
use super::{private, probe};
use crate::agent::{Agent, Effect, Facts, Record, Said, SupervisorId, Tell};
use crate::model::ids::{BootId, Instance, SessionId, Uid};
use crate::model::time::WallTime;
use crate::net::points;
use crate::wire::node::{Beat, FromNode, Hardware, Hello, ToNode};

/// How much news is taken in before what comes out of it is done.
const TURN_NEWS_MAX: usize = 512;
/// How much news waits for the loop; then whoever has more waits.
const NEWS_WAITING_MAX: usize = 1_024;

/// After a failure to let somebody in.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long the last word to the controller may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// All that a node daemon is told before it begins.
#[derive(Debug)]
pub struct Settings {
    /// Its spool.
    pub spool: PathBuf,
    /// Who it is.
    pub own: Arc<Own>,
    /// Where controllers are.
    pub addresses: Vec<String>,
    /// What the node has.
    pub hardware: Hardware,
    /// The host's boot.
    pub boot: BootId,
    /// When that was.
    pub boot_time: WallTime,
    /// The only user it serves, if it does not serve all.
    pub only_uid: Option<Uid>,
    /// The program that supervisors are started from.
    pub program: PathBuf,
    /// What the node adds to each job.
    pub place: Place,
}

/// Why a node daemon can't go on. Its supervisors and jobs do.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Its spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The kernel.
    #[error("the kernel refuses what the daemon needs: {0}")]
    Kernel(#[from] std::io::Error),
}

/// Serves until it is told to end by SIGTERM or SIGINT.
///
/// # Errors
/// [`DaemonError`]: then it has ended to do no harm, and can be started again on the same folder.
pub async fn run(settings: Settings) -> Result<(), DaemonError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(std::io::Error::from)?;
    let (spool, contained) = Spool::open(&settings.spool, random)?;
    if contained.log.torn_bytes > 0 {
        tracing::warn!(bytes = contained.log.torn_bytes, "a torn tail of the agent's log was cut off");
    }
    let instance = Instance { spool: spool.id(), boot: settings.boot };
    let folders = contained.supervisors;
    let facts = Facts {
        instance,
        records: contained.log.records,
        supervisors: folders.iter().map(|folder| (folder.supervisor, folder.job)).collect(),
        contents: contained.contents,
    };
    let agent = Agent::new(clock::now(), facts);
    let (news, from_supervisors) = channel(NEWS_WAITING_MAX);
    let (jobs, connection_for_jobs) = watch::channel(None);
    let callers = Callers::new(connection_for_jobs);
    let pool = Pool::new(settings.program, spool.ahead_folder(), settings.hardware.resources.cpus);
    let (readers, watches) = (Readers::default(), Watches::new());
    let shipper = Shipper::new(readers.clone(), watches.clone());
    let base = PathBuf::from(&settings.place.tmp_base);
    tokio::spawn(private::sweep(readers.clone(), base, settings.spool.clone()));
    let (place, contents) = (settings.place.clone(), spool.contents());
    let supervisors = Supervisors::new(pool, place, contents, news, callers, shipper.clone());
    let (hello, hello_seen) = watch::channel(None);
    let contact = Contact { addresses: settings.addresses.clone(), connected: None, lost: None };
    let way = Way {
        own: settings.own.clone(),
        addresses: settings.addresses.clone(),
        hello: hello_seen,
        output: Output { readers, watches, shipper },
        jobs,
        node: settings.place.node.clone(),
    };
    let (link_news, from_link) = channel(NEWS_WAITING_MAX);
    let link = tokio::spawn(link::run(way, link_news));
    let renewal = tokio::spawn(own::keep(settings.own, settings.addresses));
    let daemon = Daemon {
        agent,
        spool,
        supervisors,
        session: None,
        contact,
        place: settings.place,
        since: clock::now().wall,
        hello,
        hello_base: Hello {
            instance,
            hardware: settings.hardware,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            only_uid: settings.only_uid,
            boot_time: settings.boot_time,
            incarnation: None,
            epoch: Default::default(),
            position: Default::default(),
            clock: WallTime::default(),
        },
    };
    // Whoever wants to know how it stands can do without the socket; jobs can't do without the daemon.
    let status = settings.spool.parent().map(status::listen).transpose();
    let status = status.and_then(|listener| listener.map(UnixListener::from_std).transpose());
    let status = status.unwrap_or_else(|error| {
        tracing::warn!(%error, "`jworkerd status` will not work");
        None
    });
    let served = daemon.serve(folders, from_supervisors, from_link, status).await;
    renewal.abort();
    // Nobody listens to the link any more: it ends the session, if there is one, with a close that is heard at once.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, link).await;
    served
}

/// How it stands with the controller, for people.
struct Contact {
    addresses: Vec<String>,
    connected: Option<(WallTime, String, SessionId)>,
    lost: Option<String>,
}

struct Daemon {
    agent: Agent,
    spool: Spool,
    supervisors: Supervisors,
    session: Option<UnboundedSender<FromNode>>,
    contact: Contact,
    place: Place,
    since: WallTime,
    hello: watch::Sender<Option<Hello>>,
    hello_base: Hello,
}

impl Daemon {
    async fn serve(
        mut self,
        folders: Vec<Folder>,
        mut from_supervisors: Receiver<(SupervisorId, News)>,
        mut from_link: Receiver<LinkNews>,
        status: Option<UnixListener>,
    ) -> Result<(), DaemonError> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        for folder in folders {
            let body = self.agent.body(folder.job);
            self.supervisors.find(folder, body);
        }
        let (mut said, mut heard) = (Vec::new(), Vec::new());
        self.turn()?;
        loop {
            let sleep = self.agent.wake_at().map(|at| at.0.saturating_sub(clock::boot().0));
            tokio::select! {
                _ = from_supervisors.recv_many(&mut said, TURN_NEWS_MAX) => {}
                _ = from_link.recv_many(&mut heard, TURN_NEWS_MAX) => {}
                () = tokio::time::sleep(Duration::from_micros(sleep.unwrap_or_default())), if sleep.is_some() => {}
                asker = accept(status.as_ref()) => {
                    self.answer(asker);
                    continue;
                }
                _ = term.recv() => return Ok(()),
                _ = int.recv() => return Ok(()),
            }
            for (id, news) in said.drain(..) {
                self.on_supervisor(id, news);
            }
            for news in heard.drain(..) {
                self.on_link(news);
            }
            self.turn()?;
        }
    }

    /// Tells whoever asks what there is.
    fn answer(&self, mut asker: UnixStream) {
        let may = asker.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == geteuid().as_raw());
        if !may {
            return;
        }
        let text = self.status().to_string();
        tokio::spawn(async move {
            let write = asker.write_all(text.as_bytes());
            let _ = tokio::time::timeout(status::ANSWER_PATIENCE, write).await;
        });
    }

    fn status(&self) -> serde_json::Value {
        let (incarnation, epoch, position) = self.agent.office();
        let connected = self.contact.connected.as_ref();
        let hardware = &self.hello_base.hardware;
        let spool = self.spool.folder();
        let free = nix::sys::statvfs::statvfs(spool)
            .map(|stat| stat.blocks_available().saturating_mul(stat.fragment_size()));
        let jobs: Vec<serde_json::Value> = self.agent.overview().iter().map(status::job).collect();
        serde_json::json!({
            "node": self.place.node,
            "cluster": self.place.cluster,
            "version": self.hello_base.version,
            "pid": std::process::id(),
            "since_us": self.since.0,
            "only_uid": self.hello_base.only_uid.map(|uid| uid.0),
            "controller": {
                "addresses": self.contact.addresses.join(", "),
                "connected": connected.is_some(),
                "address": connected.map(|(_, address, _)| address),
                "since_us": connected.map(|(since, _, _)| since.0),
                "session": connected.map(|(_, _, session)| session.to_string()),
                "lost": self.contact.lost,
                "disobeyed": self.agent.disobeys(),
                "incarnation": incarnation.map(|incarnation| incarnation.to_string()),
                "epoch": epoch.to_string(),
                "position": position.to_string(),
            },
            "hardware": {
                "cpus": hardware.resources.cpus,
                "memory_bytes": hardware.resources.memory_bytes,
                "tmp_bytes": hardware.resources.tmp_bytes,
                "limits": hardware.limits,
                "system": hardware.system,
            },
            "spool": {
                "path": spool.to_string_lossy(),
                "id": self.spool.id().to_string(),
                "boot": self.hello_base.instance.boot.to_string(),
                "log_bytes": self.spool.log_bytes(),
                "contents": self.agent.contents_kept(),
                "free_bytes": free.unwrap_or_default(),
            },
            "supervisors_ahead": self.supervisors.ahead(),
            "jobs": jobs,
        })
    }

    fn on_supervisor(&mut self, id: SupervisorId, news: News) {
        let now = clock::now();
        match news {
            News::Ready(said, tell) => {
                self.supervisors.connected(id, tell);
                self.agent.on_supervisor(now, id, said);
            }
            News::Said(said) => {
                match &said {
                    Said::Started(_) => points::reach("node.start-heard"),
                    Said::Notices(_) => points::reach("node.end-heard"),
                    _ => {}
                }
                self.agent.on_supervisor(now, id, said);
            }
            News::Failed(text) => {
                tracing::warn!(supervisor = %id, %text, "a job can't be run here");
                self.agent.on_supervisor_failed(now, id, &text);
            }
            News::Lost(remains) => self.agent.on_supervisor_lost(now, id, remains),
            News::LeftoversEnded => self.agent.on_leftovers_ended(now, id),
        }
    }

    fn on_link(&mut self, news: LinkNews) {
        let now = clock::now();
        match news {
            LinkNews::Connected(welcome, address, to) => {
                self.session = Some(to);
                self.contact.connected = Some((now.wall, address, welcome.session));
                self.agent.on_connected(now, &welcome);
                if let Some(reason) = self.agent.disobeys() {
                    tracing::error!(%reason, "the controller is not obeyed");
                }
            }
            LinkNews::Received(message) => match *message {
                ToNode::Confirmed { report } => {
                    points::reach("node.confirmed");
                    self.agent.on_confirmed(now, report);
                }
                ToNode::Beat { number } => self.agent.on_beat_answer(now, number),
                ToNode::Order(order) => {
                    points::reach("node.order-heard");
                    self.agent.on_order(now, order);
                }
            },
            LinkNews::Lost(reason) => {
                self.session = None;
                self.contact.connected = None;
                self.contact.lost = Some(reason);
                self.agent.on_disconnected();
            }
        }
    }

    /// Does what has come out of the agent.
    fn turn(&mut self) -> Result<(), DaemonError> {
        for effect in self.agent.flush(clock::now()) {
            self.carry_out(effect)?;
        }
        self.spool.tidy(|| self.agent.snapshot())?;
        let (incarnation, epoch, position) = self.agent.office();
        let is_due = self.agent.is_settled()
            && self.hello.borrow().as_ref().is_none_or(|known| {
                (known.incarnation, known.epoch, known.position) != (incarnation, epoch, position)
            });
        if is_due {
            let hello = Hello { incarnation, epoch, position, ..self.hello_base.clone() };
            self.hello.send_replace(Some(hello));
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: Effect) -> Result<(), DaemonError> {
        match effect {
            Effect::Keep(content) => self.spool.contents().keep(&content)?,
            Effect::Append(records) => {
                let ordered = records.iter().any(|record| matches!(record, Record::Ordered { .. }));
                self.spool.append(&records)?;
                if ordered {
                    points::reach("node.order-recorded");
                }
            }
            Effect::Drop(hash) => self.spool.contents().remove(&hash),
            Effect::Start { supervisor, job, body } => {
                self.supervisors.start(body, |name| self.spool.supervisor_folder(supervisor, job, name));
                points::reach("node.supervisor-started");
            }
            Effect::Tell { supervisor, what, .. } => {
                let runs = matches!(what, Tell::Run { .. });
                self.supervisors.tell(supervisor, what);
                if runs {
                    points::reach("node.run-told");
                }
            }
            Effect::EndLeftovers { supervisor, .. } => self.supervisors.end_leftovers(supervisor),
            Effect::Remove { supervisor, .. } => {
                points::reach("node.before-cleanup");
                self.supervisors.remove(supervisor);
            }
            Effect::Report(report) => {
                let tells_end = !report.ended.is_empty();
                if tells_end {
                    points::reach("node.before-report");
                }
                self.send(FromNode::Report(report));
                if tells_end {
                    points::reach("node.report-sent");
                }
            }
            Effect::Refuse(refused) => {
                tracing::warn!(job = %refused.job, reason = %refused.reason, "an order was refused");
                self.send(FromNode::Refused(refused));
            }
            Effect::Beat(number) => {
                let (load_hundredths, clock) =
                    (probe::load_hundredths().unwrap_or_default(), clock::now().wall);
                self.send(FromNode::Beat(Beat { number, load_hundredths, clock }));
            }
        }
        Ok(())
    }

    fn send(&self, message: FromNode) {
        if let Some(session) = &self.session {
            // A session that is over has said so, or will: its successor hears everything again.
            let _ = session.send(message);
        }
    }
}

/// The next who asks for the status; none ever without a socket.
async fn accept(listener: Option<&UnixListener>) -> UnixStream {
    loop {
        let Some(listener) = listener else { return std::future::pending().await };
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::debug!(%error, "nobody could be let in to ask for the status");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
