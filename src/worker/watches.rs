//! Tells when a file has changed, without looking at it again and again: the kernel says so, once for each time that
//! somebody asked. The job's processes write through this very kernel, so that also files on network file systems are
//! watched.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use tokio::sync::oneshot::{Receiver, Sender, channel};

/// How often a file is looked at that can't be watched.
pub const FALLBACK: Duration = Duration::from_secs(2);

type Waiting = HashMap<WatchDescriptor, Vec<Sender<()>>>;

/// All watches of this process. Clones are the same ones.
#[derive(Clone)]
pub struct Watches {
    shared: Option<Arc<Shared>>,
}

struct Shared {
    inotify: Inotify,
    waiting: Mutex<Waiting>,
}

impl Watches {
    /// With a thread that listens to the kernel. Without inotify nothing can be watched, which is said in the log.
    pub fn new() -> Watches {
        let shared = Inotify::init(InitFlags::IN_CLOEXEC).map_err(std::io::Error::from).and_then(|inotify| {
            let shared = Arc::new(Shared { inotify, waiting: Mutex::default() });
            let own = Arc::clone(&shared);
            std::thread::Builder::new().name("watches".to_owned()).spawn(move || listen(&own))?;
            Ok(shared)
        });
        let shared = shared.map_err(
            |error| tracing::warn!(%error, "files can't be watched; they are looked at every {FALLBACK:?}"),
        );
        Watches { shared: shared.ok() }
    }

    /// Resolves when the file is written to, made shorter, or removed. What came before does not count, so look at the
    /// file *after* this. `None`: it can't be watched.
    pub fn watch(&self, file: &File) -> Option<Receiver<()>> {
        let shared = self.shared.as_ref()?;
        let changes = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_ONESHOT;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let (tell, told) = channel();
        // Held over both steps: the event may come before the second.
        let mut waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let watch = shared.inotify.add_watch(path.as_str(), changes).ok()?;
        let tellers = waiting.entry(watch).or_default();
        tellers.retain(|teller| !teller.is_closed());
        tellers.push(tell);
        Some(told)
    }
}

fn listen(shared: &Shared) {
    loop {
        let events = match shared.inotify.read_events() {
            Ok(events) => events,
            Err(Errno::EINTR) => continue,
            Err(error) => {
                tracing::error!(%error, "changes of files can't be read any more");
                // Whoever waits falls back to looking.
                shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
                return;
            }
        };
        let mut waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                // Something was lost: everybody looks.
                for teller in waiting.drain().flat_map(|(_, tellers)| tellers) {
                    let _ = teller.send(());
                }
            }
            for teller in waiting.remove(&event.wd).into_iter().flatten() {
                let _ = teller.send(());
            }
        }
    }
}

impl Default for Watches {
    fn default() -> Watches {
        Watches::new()
    }
}
