//! Supervisors started ahead of any job, so that a job's first instruction does not wait for one to come up.
//!
//! Each lies in a folder of its own below `spool/ahead` and holds the other end of a connection. When one is taken,
//! its folder is moved to `spool/jobs` before it is told anything: a daemon that comes later finds it there by its
//! socket, or finds it dead. What was not taken sees its connection end with the daemon and exits by itself.
//! It runs as the daemon does until it starts a task, which becomes the user.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::task::spawn_blocking;

use super::descriptors::Inbox;
use super::keeper::greet;
use super::link;
use super::supervisor::client;

/// The fewest and the most that are kept ready; between them, one for each cpu.
const AHEAD: (usize, usize) = (2, 4);
/// How long after one was taken its successor is started: the job that it was taken for goes first.
const REFILL_PAUSE: Duration = Duration::from_millis(5);

/// The supervisors that wait for a job. A handle; its copies mean the same.
#[derive(Clone, Debug)]
pub struct Pool {
    program: Arc<Path>,
    folder: Arc<Path>,
    size: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    ready: Vec<Ahead>,
    starting: usize,
}

/// A supervisor without a job, which has said that it holds nothing. Dropped, it is told nothing and exits.
#[derive(Debug)]
pub struct Ahead {
    name: String,
    path: PathBuf,
    child: Option<Child>,
    link: Option<(UnixStream, Inbox)>,
}

impl Pool {
    /// An empty one for a node with so many cpus. `program` is what supervisors are started from: this very binary.
    pub fn new(program: PathBuf, folder: PathBuf, cpus: u32) -> Pool {
        let size = usize::try_from(cpus).unwrap_or(AHEAD.1).clamp(AHEAD.0, AHEAD.1);
        Pool { program: program.into(), folder: folder.into(), size, state: Arc::default() }
    }

    /// What supervisors are started from.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// How many are ready.
    pub fn ready(&self) -> usize {
        self.state().ready.len()
    }

    /// Takes one that lives, if there is any, and starts its successor soon.
    pub fn take(&self) -> Option<Ahead> {
        let mut taken = None;
        while let Some(mut ahead) = self.pop() {
            if ahead.lives() {
                taken = Some(ahead);
                break;
            }
            // Whoever has killed it, nothing was lost; nobody else removes its folder.
            let _ = std::fs::remove_dir_all(&ahead.path);
        }
        let pool = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(REFILL_PAUSE).await;
            pool.fill();
        });
        taken
    }

    /// Starts as many as are missing. One that can't be started is left to the next time: without any ready, a job
    /// starts its own and says what is wrong.
    pub fn fill(&self) {
        let mut state = self.state();
        while state.ready.len() + state.starting < self.size {
            state.starting += 1;
            let pool = self.clone();
            tokio::spawn(async move {
                let started = start(&pool.program, &pool.folder).await;
                let mut state = pool.state();
                state.starting -= 1;
                match started {
                    Ok(ahead) => state.ready.push(ahead),
                    Err(error) => tracing::warn!(%error, "no supervisor could be started ahead of its job"),
                }
            });
        }
    }

    fn pop(&self) -> Option<Ahead> {
        self.state().ready.pop()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ahead {
    /// Its random name, which marks its processes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Moves its folder to where a job's is; `None`, and it is given up, if that can't be.
    pub fn move_to(mut self, path: &Path) -> Option<Ahead> {
        match std::fs::rename(&self.path, path) {
            Ok(()) => {
                path.clone_into(&mut self.path);
                Some(self)
            }
            Err(error) => {
                tracing::warn!(folder = %self.path.display(), %error, "a supervisor's folder can't be moved");
                let _ = std::fs::remove_dir_all(&self.path);
                None
            }
        }
    }

    /// Its process and its connection.
    pub fn into_parts(mut self) -> (Option<Child>, Option<(UnixStream, Inbox)>) {
        (self.child.take(), self.link.take())
    }

    fn lives(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.link = None;
        let (Some(mut child), Ok(runtime)) = (self.child.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        // It exits by itself; whoever started it has to reap it.
        runtime.spawn_blocking(move || child.wait());
    }
}

/// A new random name for a supervisor.
pub fn new_name() -> String {
    format!("{:016x}", link::random())
}

async fn start(program: &Arc<Path>, folder: &Path) -> Result<Ahead, String> {
    let name = new_name();
    let path = folder.join(&name);
    let (program, place, id) = (Arc::clone(program), path.clone(), name.clone());
    let started = spawn_blocking(move || client::start_ahead(&program, &place, &id)).await;
    let started = started.map_err(|error| error.to_string()).and_then(|started| {
        started
            .and_then(|(child, stream)| {
                stream.set_nonblocking(true)?;
                Ok((child, UnixStream::from_std(stream)?))
            })
            .map_err(|error| error.to_string())
    });
    let (child, mut stream) = match started {
        Ok(started) => started,
        Err(error) => {
            let _ = std::fs::remove_dir_all(&path);
            return Err(error);
        }
    };
    let mut ahead = Ahead { name, path, child: Some(child), link: None };
    let mut inbox = Inbox::default();
    match greet(&mut stream, &mut inbox).await {
        Ok(_) => {
            ahead.link = Some((stream, inbox));
            Ok(ahead)
        }
        Err(error) => {
            let _ = std::fs::remove_dir_all(&ahead.path);
            Err(error)
        }
    }
}
