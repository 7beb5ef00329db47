//! All work of the daemon on users' paths: a thread for each user, who acts as that user towards the file system. A file
//! system that hangs stalls its user and nobody else, and never a thread of the network.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use tokio::sync::oneshot;

use super::accounts;
use super::launch::{Switch, act_in_thread};
use crate::model::ids::Uid;

/// How long a thread stays when its user has nothing to do.
const IDLE: Duration = Duration::from_secs(10);
/// The most that waits for one user's thread; more is refused.
pub const WAITING_MAX: usize = 1_024;

/// As whom something is to be done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// A user of the account database; he is looked up there, and refused unless the uid is equal.
    User {
        /// His name.
        name: String,
        /// His number.
        uid: Uid,
    },
    /// Whoever a folder of the daemon's own making was given to.
    Owner {
        /// His number.
        uid: u32,
        /// His group.
        gid: u32,
    },
}

type Task = Box<dyn FnOnce(Result<(), &str>) + Send>;

struct Thread {
    tasks: Sender<Task>,
    waiting: Arc<AtomicUsize>,
}

/// The threads. Clones are the same ones.
#[derive(Clone, Default)]
pub struct Readers {
    threads: Arc<Mutex<BTreeMap<Who, Thread>>>,
}

impl Readers {
    /// Does `work` as that user, after what was asked for before.
    ///
    /// # Errors
    /// In words, if he is unknown here or too much of his waits already.
    pub async fn run<T: Send + 'static>(
        &self,
        who: &Who,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let (answer, answered) = oneshot::channel();
        let task = Box::new(move |is_he: Result<(), &str>| {
            let done = is_he.map(|()| work()).map_err(str::to_owned);
            let _ = answer.send(done);
        });
        self.hand(who, task)?;
        answered.await.unwrap_or_else(|_| Err("its thread is gone".to_owned()))
    }

    fn hand(&self, who: &Who, task: Task) -> Result<(), String> {
        let mut threads = lock(&self.threads);
        let thread = match threads.get(who) {
            Some(thread) => thread,
            None => {
                let thread = self.start(who).map_err(|error| format!("no thread can be started: {error}"))?;
                threads.entry(who.clone()).or_insert(thread)
            }
        };
        if thread.waiting.load(Ordering::Relaxed) >= WAITING_MAX {
            return Err("too much of this user's waits; does a file system hang?".to_owned());
        }
        thread.waiting.fetch_add(1, Ordering::Relaxed);
        thread.tasks.send(task).map_err(|_| "its thread is gone".to_owned())
    }

    fn start(&self, who: &Who) -> io::Result<Thread> {
        let (tasks, to_do) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let (who, count, threads) = (who.clone(), waiting.clone(), self.threads.clone());
        std::thread::Builder::new().name("user-files".to_owned()).spawn(move || {
            let is_he = become_user(&who);
            serve(&who, &to_do, &count, &threads, is_he);
        })?;
        Ok(Thread { tasks, waiting })
    }
}

/// Works until nothing has come for a while; a thread that did not become its user answers what there is and goes.
fn serve(
    who: &Who,
    to_do: &Receiver<Task>,
    waiting: &AtomicUsize,
    threads: &Mutex<BTreeMap<Who, Thread>>,
    is_he: Result<(), String>,
) {
    let patience = if is_he.is_ok() { IDLE } else { Duration::ZERO };
    let perform = |task: Task| {
        task(is_he.as_ref().copied().map_err(String::as_str));
        waiting.fetch_sub(1, Ordering::Relaxed);
    };
    loop {
        match to_do.recv_timeout(patience) {
            Ok(task) => perform(task),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let mut threads = lock(threads);
                let Ok(task) = to_do.try_recv() else {
                    threads.remove(who);
                    return;
                };
                drop(threads);
                perform(task);
            }
        }
    }
}

fn become_user(who: &Who) -> Result<(), String> {
    let switch = match who {
        Who::User { name, uid } => {
            // Root's own files are his to read where his jobs may run; whether they may is asked when they start.
            let user = accounts::look_up(name, *uid, true).map_err(|error| error.to_string())?;
            user.switch.then_some(Switch { uid: user.uid.0, gid: user.gid, groups: user.groups })
        }
        Who::Owner { uid, gid } => {
            nix::unistd::geteuid().is_root().then_some(Switch { uid: *uid, gid: *gid, groups: vec![*gid] })
        }
    };
    switch.map_or(Ok(()), |switch| act_in_thread(&switch).map_err(|error| error.to_string()))
}

/// Opens a file to read, which must be a regular one. Whatever it is, opening does not wait, and no name leads through
/// what the daemon itself has open. To be called in a user's thread.
///
/// # Errors
/// What the system said; [`ErrorKind::InvalidInput`] for what is no regular file.
pub fn open_regular(path: &str) -> io::Result<(File, Metadata)> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let file = match openat2(nix::fcntl::AT_FDCWD, path, how) {
        Ok(file) => File::from(file),
        Err(Errno::ENOSYS) => File::options().read(true).custom_flags(flags.bits()).open(path)?,
        Err(errno) => return Err(errno.into()),
    };
    let metadata = file.metadata()?;
    let is_proc = fstatfs(&file).map_err(io::Error::from)?.filesystem_type() == PROC_SUPER_MAGIC;
    if !metadata.is_file() || is_proc {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok((file, metadata))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves what is behind these locks whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A name is swapped between the user's own file and root's, thousands of times, while it is read as the user.
    #[tokio::test]
    async fn no_swap_of_names_gives_what_the_user_may_not_read() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let [own, secret, name] = ["own", "secret", "name"].map(|name| folder.path().join(name));
        std::fs::write(&own, "own").unwrap();
        std::fs::write(&secret, "secret").unwrap();
        std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
        let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (stop, swapped) = (over.clone(), name.clone());
        let swapper = std::thread::spawn(move || {
            let new = swapped.with_extension("new");
            for target in [&own, &secret].into_iter().cycle() {
                symlink(target, &new).unwrap();
                std::fs::rename(&new, &swapped).unwrap();
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let readers = Readers::default();
        let nobody = Who::Owner { uid: 65_534, gid: 65_534 };
        let path = name.to_str().unwrap().to_owned();
        let read = readers.run(&nobody, move || {
            let (mut own, mut refused) = (0, 0);
            let begun = std::time::Instant::now();
            let mut tries = 0;
            // On a busy machine the other thread may not get a turn for long.
            while tries < 5_000 || (own == 0 || refused == 0) && begun.elapsed() < Duration::from_secs(60) {
                tries += 1;
                let mut text = String::new();
                match open_regular(&path).and_then(|(mut file, _)| file.read_to_string(&mut text)) {
                    Ok(_) if text == "own" => own += 1,
                    Ok(_) => panic!("{text}"),
                    Err(_) => refused += 1,
                }
            }
            (own, refused)
        });
        let (own, refused) = read.await.unwrap();
        over.store(true, Ordering::Relaxed);
        swapper.join().unwrap();
        assert!(own > 0 && refused > 0, "{own} {refused}");
        // A thread that hangs holds up its user alone.
        let (release, held) = channel::<()>();
        let hanging = readers.clone();
        let hung = tokio::spawn(async move { hanging.run(&nobody, move || held.recv().is_ok()).await });
        let root = Who::Owner { uid: 0, gid: 0 };
        assert_eq!(readers.run(&root, || 7).await, Ok(7));
        release.send(()).unwrap();
        assert_eq!(hung.await.unwrap(), Ok(true));
    }
}
