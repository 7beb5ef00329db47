//! `mirror = "DIR"`: what is acknowledged is in a second folder, too. A thread of its own writes it, so that one that hangs
//! is noticed: it is given up then, which `jctld status` says, until the next start brings it up again; with
//! `mirror_required` the controller ends instead.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::backup::{self, BackupError, Sources};
use super::config::Config;
use super::recovery::Recovered;
use crate::model::ids::{ContentHash, Epoch, Position};
use crate::store::disk::Disk;
use crate::store::disk::real::RealDisk;
use crate::store::export::manifest::Manifest;
use crate::store::log::{Claim, Durability, Groups, Log, LogError, Opened, Room};
use crate::store::mirror::{MirrorError, Origin, Replica, take_exports};

/// A mirror that takes longer than this over one write hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// The second place of the state, shared by all who write it.
#[derive(Clone)]
pub struct Mirror(Arc<Shared>);

struct Shared {
    folder: PathBuf,
    required: bool,
    disk: Option<Arc<dyn Disk>>,
    state: Mutex<State>,
    /// Apart from the state: whoever asks does not wait for a mirror that hangs.
    failure: Mutex<Option<String>>,
}

/// Whoever writes holds it until that is done.
struct State {
    orders: Option<Sender<Order>>,
}

/// What the thread does, and whom it tells.
struct Order {
    work: Work,
    done: Sender<Result<(), MirrorError>>,
}

enum Work {
    Keep(Vec<(Position, Vec<u8>)>),
    Put(ContentHash, Vec<u8>),
    Trim(Position),
    Close,
}

impl Mirror {
    /// Opens the mirror that the settings name, and brings it up to the state. One that can't be had is a failed one,
    /// which is said. `None`: the settings name none.
    ///
    /// # Errors
    /// In words: it is required, or has what the state lacks.
    pub fn start(
        config: &Config,
        settings: &Path,
        recovered: &mut Recovered,
    ) -> Result<Option<(Mirror, String)>, String> {
        let Some(folder) = &config.mirror else { return Ok(None) };
        let at = |what: &dyn std::fmt::Display| format!("the mirror {}: {what}", folder.display());
        match open(folder, config, settings, recovered) {
            Ok((disk, replica)) => {
                let words = format!("; the mirror was {} groups behind and is level", replica.caught_up);
                let (orders, received) = channel();
                let spawned = std::thread::Builder::new().name("mirror".to_owned());
                spawned.spawn(move || serve(replica, &received)).map_err(|error| at(&error))?;
                let state = State { orders: Some(orders) };
                let mirror = Mirror::new(folder, config.mirror_required, Some(disk), state, None);
                Ok(Some((mirror, words)))
            }
            Err(Unfit::Behind(error @ (MirrorError::Ahead { .. } | MirrorError::Apart(_)))) => {
                Err(at(&error))
            }
            Err(error) if config.mirror_required => Err(format!(
                "{}; nothing is acknowledged without it, by `mirror_required`",
                at(&error.words())
            )),
            Err(error) => {
                let why = at(&error.words());
                tracing::error!(why, "there is no mirror; what is acknowledged is in one place only");
                let mirror = Mirror::new(folder, false, None, State { orders: None }, Some(why));
                Ok(Some((mirror, String::new())))
            }
        }
    }

    fn new(
        folder: &Path,
        required: bool,
        disk: Option<Arc<dyn Disk>>,
        state: State,
        failure: Option<String>,
    ) -> Mirror {
        let (state, failure) = (Mutex::new(state), Mutex::new(failure));
        Mirror(Arc::new(Shared { folder: folder.to_owned(), required, disk, state, failure }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wrong with it, for the admin.
    pub fn failure(&self) -> Option<String> {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has something done and waits for it. A mirror that has failed before is left alone.
    ///
    /// # Errors
    /// In words, if nothing may be told without it.
    fn order(&self, work: Work) -> Result<(), String> {
        let mut state = self.state();
        let Some(orders) = &state.orders else { return Ok(()) };
        let (done, told) = channel();
        let why = match orders.send(Order { work, done }) {
            Err(_) => "its thread has ended".to_owned(),
            Ok(()) => match told.recv_timeout(PATIENCE) {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("it does not answer within {} s", PATIENCE.as_secs()),
            },
        };
        self.fail(&mut state, &why)
    }

    fn fail(&self, state: &mut State, why: &str) -> Result<(), String> {
        let why = format!("the mirror {} has failed: {why}", self.0.folder.display());
        state.orders = None;
        if self.0.required {
            return Err(why);
        }
        tracing::error!(
            why,
            "what is acknowledged from now on is in one place only; a restart brings the mirror up again"
        );
        *self.0.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        Ok(())
    }

    /// Keeps a content file.
    ///
    /// # Errors
    /// In words, if nothing may be told without it.
    pub fn put(&self, hash: ContentHash, bytes: &[u8]) -> Result<(), String> {
        self.order(Work::Put(hash, bytes.to_vec()))
    }

    /// Copies what it lacks of these exports. They may be large: this thread waits for as long as it takes.
    ///
    /// # Errors
    /// In words, if the journal may not be trimmed without it.
    pub fn take_exports(&self, from: &dyn Disk, exports: &[Manifest]) -> Result<(), String> {
        let alive = self.state().orders.is_some();
        let Some(disk) = self.0.disk.as_ref().filter(|_| alive) else { return Ok(()) };
        match take_exports(from, &**disk, exports) {
            Ok(()) => Ok(()),
            Err(error) => self.fail(&mut self.state(), &error.to_string()),
        }
    }
}

/// Why there is no mirror now.
enum Unfit {
    Disk(crate::store::disk::DiskError),
    Outside(BackupError),
    Behind(MirrorError),
}

impl Unfit {
    fn words(&self) -> String {
        match self {
            Unfit::Disk(error) => error.to_string(),
            Unfit::Outside(error) => error.to_string(),
            Unfit::Behind(error) => error.to_string(),
        }
    }
}

fn open(
    folder: &Path,
    config: &Config,
    settings: &Path,
    recovered: &mut Recovered,
) -> Result<(Arc<dyn Disk>, Replica), Unfit> {
    // Its parent is not made: where another disk is not mounted there shall be no mirror on this one.
    if let Err(error) = fs::create_dir(folder)
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(Unfit::Outside(BackupError::File { path: folder.to_owned(), source: error }));
    }
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::create(folder).map_err(Unfit::Disk)?);
    let exports = recovered.tables.exports().all().to_vec();
    let mut origin = Origin {
        disk: &*recovered.disk,
        cluster: &recovered.file,
        journal: &mut recovered.journal,
        opened: &recovered.opened,
        exports: &exports,
    };
    let replica = Replica::open(disk.clone(), &mut origin).map_err(Unfit::Behind)?;
    let sources = Sources {
        settings: settings.to_owned(),
        ca: config.ca.clone(),
        credentials: config.credentials.clone(),
    };
    backup::refresh_identity(&sources, folder).map_err(Unfit::Outside)?;
    Ok((disk, replica))
}

/// The thread: ends with the first failure, after which nothing is known of the mirror.
fn serve(mut replica: Replica, orders: &Receiver<Order>) {
    while let Ok(Order { work, done }) = orders.recv() {
        let outcome = match work {
            Work::Keep(groups) => replica.keep(&groups),
            Work::Put(hash, bytes) => replica.put(hash, &bytes),
            Work::Trim(before) => replica.trim(before),
            Work::Close => replica.close(),
        };
        let failed = outcome.is_err();
        if done.send(outcome).is_err() || failed {
            return;
        }
    }
}

/// A log, and the same in the mirror, if there is one: nothing counts as synced before both have it.
pub struct Mirrored<L> {
    log: L,
    mirror: Option<Mirror>,
    /// What the mirror gets once the log has it.
    waiting: Vec<(Position, Vec<u8>)>,
}

impl<L: Log> Mirrored<L> {
    /// Without a mirror it is the log itself.
    pub fn new(log: L, mirror: Option<Mirror>) -> Mirrored<L> {
        Mirrored { log, mirror, waiting: Vec::new() }
    }

    fn order(&self, work: Work) -> Result<(), LogError> {
        match &self.mirror {
            Some(mirror) => mirror.order(work).map_err(|why| LogError::Mirror { why }),
            None => Ok(()),
        }
    }
}

impl<L: Log> Log for Mirrored<L> {
    fn open(&mut self, claim: Claim) -> Result<Opened, LogError> {
        self.log.open(claim)
    }

    fn append(&mut self, epoch: Epoch, position: Position, payload: &[u8]) -> Result<(), LogError> {
        self.log.append(epoch, position, payload)?;
        if self.mirror.as_ref().is_some_and(|mirror| mirror.state().orders.is_some()) {
            self.waiting.push((position, payload.to_vec()));
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), LogError> {
        // The mirror comes second, so that it never has what the state folder could still lose.
        self.log.sync()?;
        match std::mem::take(&mut self.waiting) {
            groups if groups.is_empty() => Ok(()),
            groups => self.order(Work::Keep(groups)),
        }
    }

    fn poll(&self) -> Durability {
        match (self.log.poll(), self.waiting.first()) {
            (Durability::Durable(position), Some((first, _))) => {
                Durability::Durable(position.min(Position(first.0.saturating_sub(1))))
            }
            (other, _) => other,
        }
    }

    fn read(&mut self, from: Position) -> Result<Groups<'_>, LogError> {
        self.log.read(from)
    }

    fn room(&mut self) -> Result<Room, LogError> {
        self.log.room()
    }

    fn trim(&mut self, before: Position) -> Result<(), LogError> {
        self.log.trim(before)?;
        self.order(Work::Trim(before))
    }

    fn close(&mut self) -> Result<(), LogError> {
        self.sync()?;
        self.log.close()?;
        self.order(Work::Close)
    }
}
