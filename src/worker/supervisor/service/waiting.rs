//! Where a supervisor sleeps: until a child ends, somebody speaks, or a time has come.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::sys::timerfd::{Expiration, TimerSetTimeFlags};

use super::super::crew::Crew;
use super::super::{SupervisorError, clock};
use super::{GATHER_MILLIS, IDLE_PATIENCE, Service};
use crate::model::time::BootTime;

/// What there is to read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ready {
    /// New connections.
    pub(super) listener: bool,
    /// Words of the daemon.
    pub(super) peer: bool,
}

impl Service {
    /// Sleeps until there is something to do; says what there is to read.
    pub(super) fn wait(&mut self) -> Result<Ready, SupervisorError> {
        self.set_timer();
        let gathering = self.gathers(clock::boot());
        let timeout = if gathering { PollTimeout::from(GATHER_MILLIS) } else { PollTimeout::NONE };
        let mut fds = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.timer.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.link.listener(), PollFlags::POLLIN),
        ];
        if let Some((fd, has_output)) = self.link.peer() {
            let write = if has_output { PollFlags::POLLOUT } else { PollFlags::empty() };
            fds.push(PollFd::new(fd, PollFlags::POLLIN | write));
        }
        let has_peer = fds.len() > 3;
        if let Some(crew) = self.crew().filter(|_| self.can_pass_calls_on()) {
            fds.push(PollFd::new(crew.prepared.gate.listener(), PollFlags::POLLIN));
        }
        match poll(&mut fds, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Ready::default()),
            Err(errno) => return Err(SupervisorError::Kernel(errno)),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();
        let is = |at: usize| ready.get(at).copied().unwrap_or_default();
        let (signals, timer, listener, peer) = (is(0), is(1), is(2), has_peer && is(3));
        if signals {
            // A request to terminate is no reason to leave the jobs alone: `Finish` and `Kill` are the ways to that.
            while let Ok(Some(_)) = self.signals.read_signal() {}
        }
        if timer {
            let mut count = [0; 8];
            let _ = nix::unistd::read(&self.timer, &mut count);
            self.timer_at = None;
        }
        Ok(Ready { listener, peer })
    }

    /// Whether what there is to say waits for more of its kind: tasks end faster than anybody has to hear of each.
    pub(super) fn gathers(&self, now: BootTime) -> bool {
        let flows = now.0.saturating_sub(self.told.0) < u64::from(GATHER_MILLIS) * 1_000;
        let busy = self.crew().is_some_and(|crew| crew.taken() >= self.slots);
        self.greeted && flows && busy && self.desk.has_next() && self.has_news()
    }

    /// Whether there is something to say.
    pub(super) fn has_news(&self) -> bool {
        !self.unsaid.started.is_empty() || self.desk.has_unsent()
    }

    fn set_timer(&mut self) {
        let crew = self.crew().and_then(Crew::deadline);
        let is_waiting = self.link.peer().is_none() && self.is_idle();
        let idle = is_waiting.then(|| self.alone_since.plus(IDLE_PATIENCE));
        let at = [crew, idle, self.retry_at].into_iter().flatten().min();
        if at == self.timer_at {
            return;
        }
        self.timer_at = at;
        let set = match at {
            None => self.timer.unset(),
            Some(at) => {
                let micros = i64::try_from(at.0.max(1)).unwrap_or(i64::MAX);
                let expiration = Expiration::OneShot(TimeSpec::microseconds(micros));
                self.timer.set(expiration, TimerSetTimeFlags::TFD_TIMER_ABSTIME)
            }
        };
        debug_assert!(set.is_ok());
    }
}
