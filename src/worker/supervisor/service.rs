//! The supervisor's loop: messages in, processes and records, news out.

mod waiting;

use std::collections::BTreeMap;
use std::path::PathBuf;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};

use super::clock;
use super::crew::{Crew, Finished};
use super::desk::{Desk, end_without_start};
use super::link::{self, Link};
use super::prepare::{NotPrepared, Prepared};
use super::records::{Record, Records, RecordsError};
use super::{SupervisorError, protect};
use crate::model::ids::{ContentHash, JobId, NodeId};
use crate::model::state::{Cause, CauseKind, End, State};
use crate::model::time::{BootTime, Now, Seconds};
use crate::net::points;
use crate::wire::supervisor::{
    AttemptRef, FromSupervisor, Inventory, Job, News, SLOTS_MAX, StartedAttempt, TaskRun, ToSupervisor,
    VERSION, VERSION_CALLS, VERSION_OLDEST, encode,
};

/// How long a supervisor that holds nothing waits for its daemon.
pub const IDLE_PATIENCE: Seconds = Seconds(600);
/// How often the daemon is told what running attempts use.
pub const USAGE_EVERY: Seconds = Seconds(10);
/// While tasks end in quick succession and others wait, the daemon hears of them together, this often.
pub const GATHER_MILLIS: u8 = 2;
/// How long it waits after a failed write before it tries again.
const RETRY_AFTER: Seconds = Seconds(1);

/// A supervisor at work.
#[derive(Debug)]
pub struct Service {
    folder: PathBuf,
    /// Started before there was a job for it: without its daemon and without a job it is of no use.
    ahead: bool,
    id: String,
    link: Link,
    signals: SignalFd,
    timer: TimerFd,
    protected: bool,
    desk: Desk,
    slots: u32,
    work: Option<Work>,
    greeted: bool,
    /// Whether the daemon takes the calls of jobs.
    takes_calls: bool,
    finishing: bool,
    unsaid: Unsaid,
    usage_said: BootTime,
    /// When the daemon was last told something.
    told: BootTime,
    /// What the timer is set to.
    timer_at: Option<BootTime>,
    alone_since: BootTime,
    retry_at: Option<BootTime>,
    /// Attempts with output whose ends are not acknowledged.
    with_output: BTreeMap<AttemptRef, StartedAttempt>,
}

/// What there is once the job is known.
#[derive(Debug)]
struct Work {
    records: Records,
    crew: Result<Crew, Broken>,
    job: JobId,
    node: NodeId,
    /// Tells whether a job that comes again is the same.
    fingerprint: ContentHash,
}

/// The job can't be run here now.
#[derive(Debug)]
struct Broken {
    /// Each of its tasks ends with this text.
    text: String,
    /// The job, if that may be tried again when more tasks come.
    job: Option<Box<Job>>,
    /// Whether a task has ended so.
    told: bool,
}

/// Said to the daemon at the end of a turn.
#[derive(Debug, Default)]
struct Unsaid {
    started: Vec<StartedAttempt>,
    kept: Vec<AttemptRef>,
}

impl Service {
    /// Sets up socket, signals and timer, and becomes the subreaper of all that it will start.
    /// With `ahead` the daemon speaks through standard input until it dies, and moves the folder when it gives a job.
    pub fn new(folder: PathBuf, id: String, ahead: bool) -> Result<Service, SupervisorError> {
        let mut mask = SigSet::empty();
        for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            mask.add(signal);
        }
        mask.thread_block().map_err(SupervisorError::Kernel)?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .map_err(SupervisorError::Kernel)?;
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)
            .map_err(SupervisorError::Kernel)?;
        nix::sys::prctl::set_child_subreaper(true).map_err(SupervisorError::Kernel)?;
        let protected = protect();
        let first = if ahead { link::inherited().map(Some) } else { Ok(None) };
        let link = first
            .and_then(|first| Link::listen(&folder, first))
            .map_err(|error| SupervisorError::Folder { path: folder.clone(), error })?;
        let now = clock::boot();
        Ok(Service {
            folder,
            ahead,
            id,
            link,
            signals,
            timer,
            protected,
            desk: Desk::default(),
            slots: 0,
            work: None,
            greeted: false,
            takes_calls: false,
            finishing: false,
            unsaid: Unsaid::default(),
            usage_said: now,
            told: now,
            timer_at: None,
            alone_since: now,
            retry_at: None,
            with_output: BTreeMap::new(),
        })
    }

    /// Works until there is nothing more to do.
    pub fn run(mut self) -> Result<(), SupervisorError> {
        loop {
            let ready = self.wait()?;
            let now = clock::now();
            // What the old connection still holds was said before the new one was made.
            if ready.peer || ready.listener {
                self.obey(now);
            }
            if ready.listener && self.link.accept() {
                self.greeted = false;
                self.obey(now);
            }
            self.turn(now);
            self.pass_calls_on();
            self.tell(now);
            if self.is_done(now.boot) {
                if let Some(Work { crew: Ok(crew), .. }) = &mut self.work {
                    crew.clean_up();
                }
                self.link.close();
                let _ = std::fs::remove_file(link::SOCKET_FILE);
                return Ok(());
            }
        }
    }

    /// Reads and obeys what the daemon says.
    fn obey(&mut self, now: Now) {
        let messages = match self.link.receive() {
            Ok(messages) => messages,
            Err(error) => return self.refuse(error.to_string()),
        };
        for message in messages {
            match message {
                ToSupervisor::Hello { version } => self.greet(version),
                _ if !self.greeted => {
                    return self.refuse("the first message of a connection must be Hello".to_owned());
                }
                ToSupervisor::Job(job) => self.take_job(*job),
                ToSupervisor::Run { tasks } => self.queue(tasks),
                ToSupervisor::SetSlots { slots } => self.slots = slots.min(SLOTS_MAX),
                ToSupervisor::Withdraw { tasks } => {
                    let kept = tasks.into_iter().filter(|task| !self.desk.withdraw(*task));
                    self.unsaid.kept.extend(kept);
                }
                ToSupervisor::Acknowledge { up_to } => self.acknowledge(up_to),
                ToSupervisor::Finish => self.finishing = true,
                other => self.command(other, now),
            }
        }
    }

    /// Callers wait in the kernel as long as there is no daemon to pass them on to.
    fn can_pass_calls_on(&self) -> bool {
        self.greeted && self.takes_calls && self.link.has_room()
    }

    fn pass_calls_on(&mut self) {
        if !self.can_pass_calls_on() {
            return;
        }
        let Some(Work { crew: Ok(crew), .. }) = &self.work else { return };
        let mut failed = None;
        for caller in crew.prepared.gate.callers() {
            let Some(task) = crew.attempt_of(caller.pid) else {
                caller.refuse();
                continue;
            };
            let passed = self.link.hand_over(&FromSupervisor::Call { task }, caller.into_descriptor());
            failed = failed.or(passed.err());
        }
        if let Some(error) = failed {
            self.refuse(error.to_string());
        }
    }

    fn command(&mut self, message: ToSupervisor, now: Now) {
        if let ToSupervisor::Kill { which, reason, .. } = &message {
            for run in self.desk.take(which) {
                let end = end_without_start(reason.state(), reason.cause(), now.wall, run.task);
                self.end(run.task, end);
            }
        }
        let Some(Work { crew: Ok(crew), .. }) = &mut self.work else { return };
        match message {
            ToSupervisor::Kill { which, reason, grace } => crew.kill(&which, &reason, grace, now.boot),
            ToSupervisor::Signal { which, signal, batch_only } => crew.signal(&which, signal, batch_only),
            ToSupervisor::Suspend { which } => crew.suspend(&which, now.boot),
            ToSupervisor::Resume { which } => crew.resume(&which, now.boot),
            ToSupervisor::SetLimit { limit } => crew.set_limit(limit, now.boot),
            ToSupervisor::Contact { at } => crew.note_contact(at, now.boot),
            _ => {}
        }
    }

    fn greet(&mut self, version: u16) {
        if version < VERSION_OLDEST {
            return self
                .refuse(format!("version {version} is older than {VERSION_OLDEST}; use a newer jworkerd"));
        }
        self.greeted = true;
        self.unsaid = Unsaid::default();
        let inventory = Inventory {
            job: self.work.as_ref().map(|work| work.job),
            slots: self.slots,
            queued: self.desk.queued().collect(),
            running: self.crew().map_or(Vec::new(), |crew| crew.running().cloned().collect()),
            reports: self.desk.all_reports(),
            ended: self
                .with_output
                .values()
                .filter(|one| self.crew().is_none_or(|crew| !crew.runs(one.task)))
                .cloned()
                .collect(),
        };
        self.takes_calls = version >= VERSION_CALLS;
        let (version, pid) = (version.min(VERSION), std::process::id());
        self.say(&FromSupervisor::Welcome { version, pid, inventory });
    }

    fn take_job(&mut self, job: Job) {
        let fingerprint = match encode(&job) {
            Ok(bytes) => ContentHash::of(&bytes),
            Err(error) => return self.refuse(error.to_string()),
        };
        if let Some(work) = &self.work {
            if work.fingerprint != fingerprint {
                self.refuse(format!("it supervises job {} already", work.job));
            }
            return;
        }
        if self.ahead {
            // The folder was moved to where jobs' supervisors are looked for, before the job was sent.
            match std::env::current_dir() {
                Ok(folder) => self.folder = folder,
                Err(error) => return self.refuse(format!("its folder is gone: {error}")),
            }
        }
        let records = match Records::create(&self.folder, job.job) {
            Ok(records) => records,
            Err(error) => return self.refuse(error.to_string()),
        };
        self.slots = job.slots.min(SLOTS_MAX);
        let (number, node) = (job.job, job.node);
        let crew = self.make_crew(job);
        self.work = Some(Work { records, crew, job: number, node, fingerprint });
    }

    fn make_crew(&self, job: Job) -> Result<Crew, Broken> {
        match Prepared::new(job, &self.folder, &self.id, self.protected) {
            Ok(prepared) => Crew::new(prepared, &self.id).map_err(|error| Broken {
                text: error.to_string(),
                job: None,
                told: false,
            }),
            Err(NotPrepared { error, job }) => {
                let text = format!("{}: {error}", job.node_name);
                Err(Broken { text, job: Some(job), told: false })
            }
        }
    }

    /// What could not be prepared may be mended by now.
    fn prepare_again(&mut self) {
        let broken = self.work.as_mut().and_then(|work| work.crew.as_mut().err());
        let job = broken.filter(|broken| broken.told).and_then(|broken| broken.job.take());
        let crew = job.map(|job| self.make_crew(*job));
        if let (Some(work), Some(crew)) = (&mut self.work, crew) {
            work.crew = crew;
        }
    }

    fn queue(&mut self, tasks: Vec<TaskRun>) {
        if self.work.is_none() {
            return self.refuse("tasks came before their job".to_owned());
        }
        self.prepare_again();
        tasks.into_iter().for_each(|run| self.desk.add(run));
    }

    fn acknowledge(&mut self, up_to: u64) {
        let reports = self.desk.acknowledge(up_to);
        for report in &reports {
            self.with_output.remove(&report.task);
        }
    }

    /// Reaps, ends, starts, and writes it all down.
    fn turn(&mut self, now: Now) {
        self.retry_at = None;
        let mut finished = Vec::new();
        if let Some(Work { crew: Ok(crew), .. }) = &mut self.work {
            crew.reap();
            finished = crew.turn(now);
        }
        let ends = !finished.is_empty();
        if ends {
            points::reach("supervisor.end-seen");
        }
        finished.into_iter().for_each(|Finished { task, end }| self.end(task, end));
        self.start(now);
        self.write(now.boot);
        if ends {
            points::reach("supervisor.end-recorded");
        }
        if !self.unsaid.started.is_empty() {
            points::reach("supervisor.start-recorded");
        }
    }

    /// Fills the free slots. The intents of all are written before the first is started.
    fn start(&mut self, now: Now) {
        if self.crew().is_some_and(|crew| !crew.has_lease(now.boot)) {
            return;
        }
        let taken = self.crew().map_or(0, Crew::taken);
        let mut runs = Vec::new();
        while taken.saturating_add(u32::try_from(runs.len()).unwrap_or(u32::MAX)) < self.slots {
            let Some(run) = self.desk.next(now.wall) else { break };
            runs.push(run);
        }
        let Some(work) = self.work.as_mut().filter(|_| !runs.is_empty()) else { return };
        points::reach("supervisor.before-intent");
        if work.records.intend(runs.iter().map(|run| run.task)).is_err() {
            // Nothing is started that could not be written down; it is tried again.
            runs.into_iter().rev().for_each(|run| self.desk.put_back(run));
            self.retry_at = Some(now.boot.plus(RETRY_AFTER));
            return;
        }
        points::reach("supervisor.after-intent");
        let mut ended = Vec::new();
        for run in runs {
            let task = run.task;
            let now = clock::now();
            let started = match &mut work.crew {
                Ok(crew) => crew.start(run, now),
                Err(Broken { text, told, .. }) => {
                    *told = true;
                    let cause = Cause::said(CauseKind::Launch, super::verdict::shortened(text));
                    let mut end = end_without_start(State::NodeFail, cause, now.wall, task);
                    end.node = Some(work.node);
                    Err(Finished { task, end })
                }
            };
            match started {
                Ok(started) => {
                    if !started.output.is_empty() || !started.error.is_empty() {
                        self.with_output.insert(task, started.clone());
                    }
                    points::reach("supervisor.started");
                    let StartedAttempt { pid, start_ticks, start, .. } = started;
                    let pushed = work.records.push(&Record::Started { task, pid, start_ticks, start });
                    debug_assert!(pushed.is_ok());
                    self.unsaid.started.push(started);
                }
                Err(Finished { task, end }) => ended.push((task, end)),
            }
        }
        ended.into_iter().for_each(|(task, end)| self.end(task, end));
    }

    fn end(&mut self, task: AttemptRef, end: End) {
        let end = Box::new(end);
        if let Some(work) = &mut self.work {
            let pushed = work.records.push(&Record::Ended { task, end: end.clone() });
            debug_assert!(pushed.is_ok());
        }
        self.desk.report(task, News::Ended(end));
    }

    fn write(&mut self, now: BootTime) {
        let Some(work) = &mut self.work else { return };
        let mut written = work.records.flush();
        if written.is_ok() && work.records.is_long() {
            written = rewrite(&self.desk, work);
        }
        if written.is_err() {
            self.retry_at = Some(now.plus(RETRY_AFTER));
        }
    }

    /// Says what is new, as far as the connection takes it.
    fn tell(&mut self, now: Now) {
        if !self.greeted {
            self.link.flush();
            return;
        }
        if self.unsaid.kept.is_empty() && self.gathers(now.boot) {
            self.link.flush();
            return;
        }
        if self.has_news() {
            self.told = now.boot;
        }
        let Unsaid { started, kept } = std::mem::take(&mut self.unsaid);
        if !started.is_empty() {
            self.say(&FromSupervisor::Started { attempts: started });
        }
        if !kept.is_empty() {
            self.say(&FromSupervisor::Kept { tasks: kept });
        }
        while self.link.has_room() {
            let reports = self.desk.unsent();
            if reports.is_empty() {
                break;
            }
            self.say(&FromSupervisor::Reports { reports });
        }
        if now.boot >= self.usage_said.plus(USAGE_EVERY) && self.link.has_room() {
            self.usage_said = now.boot;
            let usages = self.crew().map_or(Vec::new(), Crew::usages);
            if !usages.is_empty() {
                self.say(&FromSupervisor::Usage { usages });
            }
        }
        self.link.flush();
    }

    fn is_done(&mut self, now: BootTime) -> bool {
        if self.link.peer().is_some() {
            self.alone_since = now;
        }
        let useless = self.ahead && self.work.is_none() && self.link.peer().is_none();
        self.is_idle() && (self.finishing || useless || now >= self.alone_since.plus(IDLE_PATIENCE))
    }

    fn is_idle(&self) -> bool {
        self.desk.is_clear() && self.crew().is_none_or(Crew::is_idle)
    }

    fn crew(&self) -> Option<&Crew> {
        self.work.as_ref().and_then(|work| work.crew.as_ref().ok())
    }

    fn say(&mut self, message: &FromSupervisor) {
        if let Err(error) = self.link.say(message) {
            self.refuse(error.to_string());
        }
    }

    fn refuse(&mut self, text: String) {
        let _ = self.link.say(&FromSupervisor::Refused { text });
        self.link.close();
        self.greeted = false;
    }
}

/// Only what runs and what is not acknowledged is still of use.
fn rewrite(desk: &Desk, work: &mut Work) -> Result<(), RecordsError> {
    let mut records = Vec::new();
    if let Ok(crew) = &work.crew {
        for StartedAttempt { task, pid, start_ticks, start, .. } in crew.running().cloned() {
            records.push(Record::Intent(task));
            records.push(Record::Started { task, pid, start_ticks, start });
        }
    }
    records.extend(desk.ends().map(|(task, end)| Record::Ended { task, end: Box::new(end.clone()) }));
    work.records.rewrite(records)
}
