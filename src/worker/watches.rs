//! Tells when a file has changed, without looking at it again and again: the kernel says so, once for each time that
//! somebody asked. The job's processes write through this very kernel, so that also files on network file systems are
//! watched.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use tokio::io::unix::AsyncFd;
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
    inotify: AsyncFd<Inotify>,
    waiting: Mutex<Waiting>,
}

impl Watches {
    /// To be called inside a runtime. Without inotify nothing can be watched, which is said in the log.
    pub fn new() -> Watches {
        let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
        let inotify = Inotify::init(flags).map_err(std::io::Error::from).and_then(AsyncFd::new);
        match inotify {
            Ok(inotify) => {
                let shared = Arc::new(Shared { inotify, waiting: Mutex::default() });
                tokio::spawn(listen(Arc::clone(&shared)));
                Watches { shared: Some(shared) }
            }
            Err(error) => {
                tracing::warn!(%error, "files can't be watched; they are looked at every {FALLBACK:?}");
                Watches { shared: None }
            }
        }
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
        let watch = shared.inotify.get_ref().add_watch(path.as_str(), changes).ok()?;
        let tellers = waiting.entry(watch).or_default();
        tellers.retain(|teller| !teller.is_closed());
        tellers.push(tell);
        Some(told)
    }
}

async fn listen(shared: Arc<Shared>) {
    loop {
        let Ok(mut ready) = shared.inotify.readable().await else { return };
        let events = match ready.try_io(|inotify| inotify.get_ref().read_events().map_err(Into::into)) {
            Ok(Ok(events)) => events,
            Ok(Err(error)) => {
                tracing::error!(%error, "changes of files can't be read any more");
                return;
            }
            Err(_not_yet) => continue,
        };
        let mut waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                // Something was lost: everybody looks.
                waiting.drain().flat_map(|(_, tellers)| tellers).for_each(|teller| drop(teller.send(())));
            }
            for teller in waiting.remove(&event.wd).into_iter().flatten() {
                let _ = teller.send(());
            }
        }
    }
}
