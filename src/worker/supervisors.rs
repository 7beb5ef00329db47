//! The supervisors of this daemon: each has a [`Keeper`], what they say becomes [`News`] for the agent.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc::{Sender, UnboundedSender};
use tokio::task::spawn_blocking;

use super::callers::Callers;
use super::cgroup;
use super::failures::Failures;
use super::keeper::{Keeper, Start, TROUBLE_PAUSE};
use super::pool::{Pool, new_name};
use super::private;
use super::ship::Shipper;
use super::spool::{Contents, Folder, Spool};
use super::supervisor::prepare::private_folder;
use super::supervisor::records::{self, Fate};
use super::translate::Place;
use super::tree;
use crate::agent::{Remains, Said, SupervisorId, Tell};
use crate::wire::node::JobBody;

/// Something about a supervisor that the agent has to hear.
#[derive(Debug)]
pub enum News {
    /// It speaks, for the first time on this connection; what is said to it from now on goes this way.
    Ready(Said, UnboundedSender<Tell>),
    /// It says something more.
    Said(Said),
    /// It could not be started.
    Failed(String),
    /// It is dead.
    Lost(Remains),
    /// What it left is ended.
    LeftoversEnded,
}

/// All supervisors of this daemon.
#[derive(Debug)]
pub struct Supervisors {
    pool: Pool,
    place: Arc<Place>,
    contents: Contents,
    news: Sender<(SupervisorId, News)>,
    callers: Callers,
    shipper: Shipper,
    failures: Failures,
    open: BTreeMap<SupervisorId, Open>,
}

#[derive(Debug)]
struct Open {
    folder: Folder,
    tell: Option<UnboundedSender<Tell>>,
}

impl Supervisors {
    /// They come from `pool`. News go to `news`, what jobs ask to `callers`.
    pub fn new(
        pool: Pool,
        place: Place,
        contents: Contents,
        news: Sender<(SupervisorId, News)>,
        callers: Callers,
        shipper: Shipper,
    ) -> Supervisors {
        pool.fill();
        let (place, failures, open) = (Arc::new(place), Failures::default(), BTreeMap::new());
        Supervisors { pool, place, contents, news, callers, shipper, failures, open }
    }

    /// Takes one that was started ahead, or starts a new one, in the folder that `folder_of` has for its name.
    pub fn start(&mut self, body: Arc<JobBody>, folder_of: impl Fn(String) -> Folder) {
        let mut moved = None;
        while let Some(ahead) = self.pool.take() {
            let folder = folder_of(ahead.name().to_owned());
            if let Some(ahead) = ahead.move_to(&folder.path) {
                moved = Some((folder, ahead));
                break;
            }
        }
        let (folder, ahead) =
            moved.map_or_else(|| (folder_of(new_name()), None), |(folder, ahead)| (folder, Some(ahead)));
        let (program, place) = (self.pool.program().to_owned(), Arc::clone(&self.place));
        self.look_after(folder, Some(body), Some(Start { program, place, ahead }));
    }

    /// How many wait for the next jobs.
    pub fn ahead(&self) -> usize {
        self.pool.ready()
    }

    /// Looks for one that an earlier daemon has started; `body` is there if the agent knows its job.
    pub fn find(&mut self, folder: Folder, body: Option<Arc<JobBody>>) {
        self.look_after(folder, body, None);
    }

    /// To be called when the agent hears that one speaks. What was said before went to an older connection, and the
    /// agent says again what is missing in this one's inventory.
    pub fn connected(&mut self, id: SupervisorId, tell: UnboundedSender<Tell>) {
        if let Some(open) = self.open.get_mut(&id) {
            open.tell = Some(tell);
        }
    }

    /// Says something to one.
    pub fn tell(&self, id: SupervisorId, tell: Tell) {
        if let Some(tells) = self.open.get(&id).and_then(|open| open.tell.as_ref()) {
            // If its task has gone, the agent will hear that the supervisor is lost.
            let _ = tells.send(tell);
        }
    }

    /// Ends what a dead one left, and says so when it is done, however long that takes.
    pub fn end_leftovers(&self, id: SupervisorId) {
        let Some(open) = self.open.get(&id) else { return };
        let (folder, place, news) = (open.folder.clone(), Arc::clone(&self.place), self.news.clone());
        tokio::spawn(async move {
            loop {
                let (folder, place) = (folder.clone(), Arc::clone(&place));
                let ended = spawn_blocking(move || end_leftovers(&folder, &place)).await;
                match ended.unwrap_or_else(|error| Err(error.to_string())) {
                    Ok(()) => break,
                    Err(error) => tracing::error!(supervisor = %id, %error, "leftovers of a supervisor stay"),
                }
                tokio::time::sleep(TROUBLE_PAUSE).await;
            }
            let _ = news.send((id, News::LeftoversEnded)).await;
        });
    }

    /// Forgets one and removes its folder, and what is left of its control groups and private folders if it had no time
    /// to do that. Private working directories stay until their time is over.
    pub fn remove(&mut self, id: SupervisorId) {
        let Some(open) = self.open.remove(&id) else { return };
        let place = Arc::clone(&self.place);
        spawn_blocking(move || {
            if let Some(trees) = &place.cgroups {
                cgroup::remove_below(trees, &open.folder.name);
            }
            // Gone already as a rule.
            let private = private_folder(&place.tmp_base, &open.folder.name);
            if let Err(error) = private::clear(&private) {
                tracing::warn!(folder = %private.display(), %error, "private folders of jobs stay");
            }
            if let Err(error) = Spool::remove_supervisor(&open.folder) {
                tracing::warn!(folder = %open.folder.path.display(), %error, "a supervisor's folder stays");
            }
        });
    }

    fn look_after(&mut self, folder: Folder, body: Option<Arc<JobBody>>, start: Option<Start>) {
        let keeper = Keeper::new(
            folder.clone(),
            body,
            self.contents.clone(),
            self.news.clone(),
            self.callers.clone(),
            self.shipper.clone(),
            self.failures.clone(),
        );
        self.open.insert(folder.supervisor, Open { folder, tell: None });
        tokio::spawn(keeper.run(start));
    }
}

/// Ends what a dead supervisor's attempts left running. Blocks.
fn end_leftovers(folder: &Folder, place: &Place) -> Result<(), String> {
    let recorded = records::read(&folder.path).map_err(|error| error.to_string())?;
    let firsts: Vec<(i32, u64)> = recorded
        .attempts
        .values()
        .filter_map(|fate| match fate {
            Fate::Started { pid, start_ticks, .. } => Some((i32::try_from(*pid).ok()?, *start_ticks)),
            _ => None,
        })
        .collect();
    let remains =
        tree::Remains { supervisor: &folder.name, firsts: &firsts, cgroups: place.cgroups.as_ref() };
    tree::end_all(&remains).map_err(|error| error.to_string())
}
