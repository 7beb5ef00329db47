//! Notices Ctrl-C, SIGTERM and SIGHUP, so that a task can stop what it started before it ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on signals are noticed instead of ending this process. The second one ends it at once.
pub fn watch() -> Result<(), Failure> {
    let failure = |error| Failure::Wrong(format!("cannot watch for signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failure)?;
    let guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failure)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failure)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failure)?;
    drop(guard);
    thread::spawn(move || {
        runtime.block_on(async move {
            loop {
                std::future::poll_fn(|context| {
                    let came = [&mut interrupt, &mut terminate, &mut hangup]
                        .into_iter()
                        .any(|stream| stream.poll_recv(context).is_ready());
                    if came { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
                })
                .await;
                if INTERRUPTED.swap(true, Ordering::Relaxed) {
                    std::process::exit(i32::from(crate::EXIT_INTERRUPTED));
                }
                eprintln!("\nstopping what was started (once more to leave it and go) …");
            }
        });
    });
    Ok(())
}

/// Fails once a signal has come. To be asked in every loop that waits.
pub fn check() -> Result<(), Failure> {
    if INTERRUPTED.load(Ordering::Relaxed) { Err(Failure::Interrupted) } else { Ok(()) }
}
