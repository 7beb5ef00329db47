//! A live view of the queue, over any number of restarts of the controller.

use std::collections::BTreeSet;

use crate::model::ids::{JobId, Position, TaskIndex};
use crate::model::time::WallTime;
use crate::wire::client::{Filter, Footer, Reply, Request, Watch};
use crate::wire::info::JobInfo;

use super::connection::encode;
use super::error::{ClientError, Trouble};
use super::session::Client;
use super::wait::unexpected;

/// What a watcher hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// All jobs that pass the filter. The first thing heard, and again after each loss of the connection.
    Snapshot {
        /// The rows.
        jobs: Vec<JobInfo>,
        /// As of then.
        position: Position,
        /// What the list does not show.
        footer: Option<Footer>,
        /// How many snapshots came before it.
        number: u64,
    },
    /// Jobs that are different now. After a loss of the connection: first the ends since then.
    Changed {
        /// The newest state of each.
        jobs: Vec<JobInfo>,
        /// As of then.
        position: Position,
    },
}

/// An end that was told.
type OneEnd = (JobId, Option<TaskIndex>, Option<WallTime>);

/// What was handed on so far.
struct Seen {
    position: Option<Position>,
    /// How many snapshots there were.
    number: u64,
    /// The ends that came with that position.
    ends: BTreeSet<OneEnd>,
}

fn end_of(job: &JobInfo) -> OneEnd {
    (job.job, job.task, job.state.is_end().then_some(job.end_time).flatten())
}

impl Client {
    /// Tells `view` what is so and what becomes different, for as long as it gives `true`. With a `position` it
    /// goes on from there.
    ///
    /// # Errors
    /// [`ClientError::NotReached`] only before the controller was first reached; refusals; what `view` gives.
    pub async fn watch(
        &mut self,
        filter: &Filter,
        position: Option<Position>,
        mut view: impl FnMut(View) -> Result<bool, ClientError>,
    ) -> Result<(), ClientError> {
        let mut seen = Seen { position, number: 0, ends: BTreeSet::new() };
        loop {
            let watch = Watch { filter: filter.clone(), position: seen.position };
            match self.try_watch(watch, &mut seen, &mut view).await {
                Ok(()) => return Ok(()),
                Err(trouble) => self.outlive(trouble).await?,
            }
        }
    }

    async fn try_watch(
        &mut self,
        watch: Watch,
        seen: &mut Seen,
        view: &mut impl FnMut(View) -> Result<bool, ClientError>,
    ) -> Result<(), Trouble> {
        let body = encode(&Request::Watch(watch)).map_err(Trouble::Final)?;
        let mut replies = self.send(&body).await?;
        let mut gathered = Vec::new();
        loop {
            let heard = match self.next(&mut replies).await? {
                Some(Reply::Jobs { mut jobs, footer: None, .. }) => {
                    gathered.append(&mut jobs);
                    continue;
                }
                Some(Reply::Jobs { mut jobs, position, footer }) => {
                    gathered.append(&mut jobs);
                    let jobs = std::mem::take(&mut gathered);
                    seen.number += 1;
                    View::Snapshot { jobs, position, footer, number: seen.number - 1 }
                }
                Some(Reply::Changed { mut jobs, position }) => {
                    jobs.retain(|job| !job.state.is_end() || !seen.ends.contains(&end_of(job)));
                    View::Changed { jobs, position }
                }
                Some(other) => return Err(Trouble::Final(unexpected(&other))),
                None => {
                    let reason = "the controller ended the view".to_owned();
                    return Err(Trouble::Passing { sent: true, reason });
                }
            };
            let position = match &heard {
                View::Snapshot { position, .. } | View::Changed { position, .. } => *position,
            };
            let ends: Vec<OneEnd> = match &heard {
                View::Changed { jobs, .. } => {
                    jobs.iter().filter(|job| job.state.is_end()).map(end_of).collect()
                }
                View::Snapshot { .. } => Vec::new(),
            };
            if !view(heard).map_err(Trouble::Final)? {
                return Ok(());
            }
            // Only what was handed on counts as seen. Several frames may belong to one position: what is asked for
            // again from there must not be told twice.
            if seen.position != Some(position) {
                seen.ends.clear();
            }
            seen.position = Some(position);
            seen.ends.extend(ends);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::fake::{Answer, FakeController, run};
    use crate::model::ids::JobId;
    use crate::model::state::State;
    use crate::wire::sample;

    #[test]
    fn a_view_goes_on_from_the_last_position_that_was_handed_on() {
        run(async {
            let row = |number: u64, state| sample::job(JobId(number), state);
            let jobs = move |footer, position| Reply::Jobs {
                jobs: vec![row(1, State::Running)],
                position: Position(position),
                footer,
            };
            let fake = FakeController::start({
                let mut tries = 0;
                move |_| {
                    tries += 1;
                    let changed = |state, position| Reply::Changed {
                        jobs: vec![row(1, state)],
                        position: Position(position),
                    };
                    match tries {
                        // The snapshot comes in two parts, the second one after a break.
                        1 => Answer::Die(vec![jobs(None, 5)]),
                        2 => Answer::Die(vec![
                            jobs(None, 5),
                            jobs(Some(Footer::default()), 5),
                            changed(State::Suspended, 6),
                        ]),
                        _ => {
                            Answer::Hold(vec![changed(State::Completed, 9), jobs(Some(Footer::default()), 9)])
                        }
                    }
                }
            });
            let mut heard = Vec::new();
            let mut client = Client::new(fake.config());
            let filter = Filter::default();
            let seen = client.watch(&filter, None, |view| {
                heard.push(match view {
                    View::Snapshot { jobs, number, .. } => (jobs.len(), number),
                    View::Changed { jobs, position } => (jobs.len(), position.0),
                });
                Ok(heard.len() < 4)
            });
            seen.await.unwrap();
            assert_eq!(heard, vec![(2, 0), (1, 6), (1, 9), (1, 1)]);
            let asked: Vec<_> = fake
                .requests()
                .into_iter()
                .map(|request| if let Request::Watch(watch) = request { watch.position } else { panic!() })
                .collect();
            assert_eq!(asked, vec![None, None, Some(Position(6))]);
        });
    }
}
