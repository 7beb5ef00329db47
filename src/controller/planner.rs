//! The scheduler's thread: hears of every change, plans at once, and sends its plans to the core as commands.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::clock;
use super::driver::{Driver, Message};
use crate::core::Command;
use crate::sched::{Demand, Explanation, Note, Scheduler, Start};

/// Steps of one call: a few milliseconds of work, so that notes are heard in between.
const STEPS: u64 = 100_000;

/// So many notes are taken in while nobody else gets a look at the scheduler: a few milliseconds of work.
const NOTES_AT_ONCE: usize = 1_024;
/// How long others have then.
const LET_IN: Duration = Duration::from_micros(50);

/// Between the end of a pass and the next.
const PASS_PAUSE: Duration = Duration::from_millis(1);

/// The planner's thread.
#[derive(Debug)]
pub struct Planner {
    sender: Sender<Vec<Note>>,
    scheduler: Arc<Mutex<Scheduler>>,
}

impl Planner {
    /// Starts the thread; its plans go to the driver.
    pub fn start(scheduler: Scheduler, driver: Driver) -> std::io::Result<Planner> {
        let (sender, receiver) = channel();
        let scheduler = Arc::new(Mutex::new(scheduler));
        let shared = scheduler.clone();
        std::thread::Builder::new()
            .name("planner".to_owned())
            .spawn(move || run(&shared, &receiver, &driver))?;
        Ok(Planner { sender, scheduler })
    }

    /// Tells what has changed.
    pub fn note(&self, notes: Vec<Note>) {
        let _ = self.sender.send(notes);
    }

    /// Why a job waits.
    pub fn explainer(&self) -> Explainer {
        Explainer(self.scheduler.clone())
    }
}

/// Answers "why does it wait" by the same code that decides.
#[derive(Clone, Debug)]
pub struct Explainer(Arc<Mutex<Scheduler>>);

impl Explainer {
    /// Why a job waits.
    pub fn explain(&self, job: crate::model::ids::JobId) -> Explanation {
        let scheduler = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        scheduler.explain(job, clock::wall())
    }
}

impl Explainer {
    /// What a waiting job asks for, as the scheduler was told last.
    pub fn demand(&self, job: crate::model::ids::JobId) -> Option<Demand> {
        let scheduler = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        scheduler.demand(job).cloned()
    }

    /// When and where a demand would start at the latest. Worked out on copies: the scheduler goes on meanwhile.
    pub fn start_of(&self, demand: &Demand) -> Option<Start> {
        let situation = {
            let scheduler = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            scheduler.situation(demand)?
        };
        situation.start(clock::wall())
    }
}

fn run(shared: &Mutex<Scheduler>, receiver: &Receiver<Vec<Note>>, driver: &Driver) {
    let mut wake: Option<Duration> = None;
    let mut last: Option<Instant> = None;
    loop {
        let notes = match wake {
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(after) => receiver.recv_timeout(after),
        };
        let mut notes = match notes {
            Ok(notes) => notes,
            Err(RecvTimeoutError::Timeout) => Vec::new(),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        // A lone change is planned for at once; under load what comes within a millisecond is one pass.
        if let Some(rest) = last.and_then(|last| PASS_PAUSE.checked_sub(last.elapsed())) {
            std::thread::sleep(rest);
        }
        while let Ok(more) = receiver.try_recv() {
            notes.extend(more);
        }
        let begun = Instant::now();
        let mut notes = notes.into_iter().peekable();
        let plan = loop {
            let mut scheduler = shared.lock().unwrap_or_else(PoisonError::into_inner);
            notes.by_ref().take(NOTES_AT_ONCE).for_each(|note| scheduler.note(note));
            if notes.peek().is_none() {
                break scheduler.plan(clock::wall(), STEPS);
            }
            drop(scheduler);
            // Whoever asks why something waits gets in here; the lock itself favours nobody who waits for it.
            std::thread::sleep(LET_IN);
        };
        let took = begun.elapsed();
        last = Some(Instant::now());
        wake = match (plan.done, plan.wake) {
            (false, _) => Some(Duration::ZERO),
            (true, Some(at)) => {
                Some(Duration::from_micros(at.micros_since(clock::wall())).max(Duration::from_millis(1)))
            }
            (true, None) => None,
        };
        if !plan.places.is_empty() || !plan.rights.is_empty() {
            driver.send(Message::Command {
                command: Box::new(Command::Plan(plan)),
                answer: None,
                link: None,
            });
        }
        // A long pass must not starve everything else: the next one starts no sooner than its length after it.
        if took > Duration::from_millis(1) {
            std::thread::sleep(took.min(Duration::from_millis(200)));
        }
    }
}
