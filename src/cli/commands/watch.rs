//! `jqueue --watch`: a table that redraws itself, or a line of JSON for each change.

use std::collections::{BTreeMap, VecDeque};
use std::io::IsTerminal;

use serde_json::{Value, json};

use super::context::{Context, tell_of_losses};
use super::list::Look;
use crate::cli::args::jqueue::List;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::render::format::sort;
use crate::cli::render::job_json::job_json;
use crate::cli::render::quantity::{Clock, wall_now};
use crate::cli::render::receipt;
use crate::cli::table::terminal_width;
use crate::cli::text::print;
use crate::client::interrupt::Interrupt;
use crate::client::watch::View;
use crate::model::ids::{JobId, Position, TaskIndex};
use crate::wire::client::{Footer, Selection};
use crate::wire::info::JobInfo;

/// How many of the last ends stay on the screen.
const ENDS_SHOWN_MAX: usize = 10;

/// Watches until INT, TERM, or until nobody reads any more.
pub(super) fn watch(
    context: &Context,
    list: &List,
    look: &Look,
    selection: Selection,
) -> Result<ExitCode, CliError> {
    if !selection.selectors.is_empty() {
        let error =
            CliError::usage("contradiction", "--watch takes filters, no jobs by number").option("--jobs");
        return Err(error.hint("`jqueue wait 123` and `jqueue log -f 123` follow single jobs"));
    }
    let filter = selection.filter;
    let keeps_ends = filter.ended_since.is_some();
    context.with_client(async |client| {
        let mut interrupt = Interrupt::listen()?;
        tell_of_losses(client, context.program);
        let mut screen = Screen::new(keeps_ends);
        // A table needs the snapshot; lines go on from where they were.
        let position = list.position.map(Position).filter(|_| context.json);
        let mut at = position;
        let live = client.watch(&filter, position, |view| {
            if context.json {
                print(&json_lines(&view, &mut at, &context.clock))?;
            } else {
                screen.take(view);
                print(&screen.draw(look, !list.no_header, &context.clock))?;
            }
            Ok(true)
        });
        tokio::select! {
            done = live => done?,
            () = interrupt.heard() => {}
        }
        Ok(ExitCode::Done)
    })
}

/// The lines of one view: a snapshot, or an object for each change. A snapshot after a loss comes as changes, too (its
/// ends were told before it): who folds by id then has the latest of everything. `at` is the position reached so far;
/// of several lines that come together only the last one has the new one, so that whoever goes on from a line that it
/// has read misses nothing.
fn json_lines(view: &View, at: &mut Option<Position>, clock: &Clock) -> String {
    let clock = Clock { now: wall_now(), zone: clock.zone.clone() };
    let object = |job: &JobInfo| Value::Object(job_json(job, &clock));
    let (jobs, position): (Vec<&JobInfo>, Position) = match view {
        View::Snapshot { jobs, position, .. } if at.is_none() => {
            *at = Some(*position);
            let rows: Vec<Value> = jobs.iter().map(object).collect();
            return format!("{}\n", json!({"snapshot": rows, "position": position.0}));
        }
        View::Snapshot { jobs, position, .. } => {
            (jobs.iter().filter(|job| !job.state.is_end()).collect(), *position)
        }
        View::Changed { jobs, position } => (jobs.iter().collect(), *position),
    };
    let before = at.unwrap_or(position);
    let last = jobs.len().saturating_sub(1);
    let line = |(number, job): (usize, &&JobInfo)| {
        let position = if number == last { position } else { before };
        format!("{}\n", json!({"position": position.0, "job": object(job)}))
    };
    *at = Some(position);
    jobs.iter().enumerate().map(line).collect()
}

/// What a terminal shows: the latest of each job, folded by id, and the last ends.
struct Screen {
    jobs: BTreeMap<(JobId, Option<TaskIndex>), JobInfo>,
    ends: VecDeque<JobInfo>,
    footer: Option<Footer>,
    keeps_ends: bool,
}

impl Screen {
    fn new(keeps_ends: bool) -> Screen {
        Screen { jobs: BTreeMap::new(), ends: VecDeque::new(), footer: None, keeps_ends }
    }

    fn take(&mut self, view: View) {
        let (jobs, footer) = match view {
            View::Snapshot { jobs, footer, .. } => {
                self.jobs.clear();
                (jobs, footer)
            }
            View::Changed { jobs, .. } => (jobs, self.footer),
        };
        self.footer = footer;
        for job in jobs {
            let key = (job.job, job.task);
            self.ends.retain(|end| (end.job, end.task) != key);
            if job.state.is_end() && !self.keeps_ends {
                self.jobs.remove(&key);
                self.ends.push_back(job);
                let surplus = self.ends.len().saturating_sub(ENDS_SHOWN_MAX);
                self.ends.drain(..surplus);
            } else {
                self.jobs.insert(key, job);
            }
        }
    }

    /// The whole screen anew; where standard output is no terminal, one table after another.
    fn draw(&self, look: &Look, header: bool, clock: &Clock) -> String {
        let clock = Clock { now: wall_now(), zone: clock.zone.clone() };
        let mut jobs: Vec<JobInfo> = self.jobs.values().cloned().collect();
        sort(&mut jobs, &look.sort, &clock);
        jobs.extend(self.ends.iter().cloned());
        let mut text = look.format.text(&jobs, &clock, header, terminal_width());
        if let Some(line) = self.footer.as_ref().and_then(receipt::footer) {
            text.push_str(&line);
            text.push('\n');
        }
        if std::io::stdout().is_terminal() {
            // Home, each line cleared to its end, then everything below it.
            format!("\u{1b}[H{}\u{1b}[J", text.replace('\n', "\u{1b}[K\n"))
        } else {
            text + "\n"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::sample;
    use crate::model::state::State;

    fn changed(jobs: Vec<JobInfo>) -> View {
        View::Changed { jobs, position: Position(2) }
    }

    #[test]
    fn the_latest_of_each_job_is_on_the_screen() {
        let mut screen = Screen::new(false);
        let snapshot = (1..=3).map(|id| sample::job(JobId(id), State::Pending)).collect();
        screen.take(View::Snapshot { jobs: snapshot, position: Position(1), footer: None, number: 0 });
        screen
            .take(changed(vec![sample::job(JobId(1), State::Running), sample::job(JobId(2), State::Failed)]));
        let states = |screen: &Screen| screen.jobs.values().map(|job| job.state).collect::<Vec<_>>();
        assert_eq!(states(&screen), vec![State::Running, State::Pending]);
        assert_eq!(screen.ends.len(), 1);
        // Requeued: it is no end any more.
        screen.take(changed(vec![sample::job(JobId(2), State::Pending)]));
        assert_eq!((screen.jobs.len(), screen.ends.len()), (3, 0));
        let many = (10..40).map(|id| sample::job(JobId(id), State::Completed)).collect();
        screen.take(changed(many));
        assert_eq!(screen.ends.len(), ENDS_SHOWN_MAX);
        assert_eq!(screen.ends.back().map(|job| job.job), Some(JobId(39)));
    }

    #[test]
    fn json_has_one_snapshot_and_a_line_for_each_change() {
        let clock = sample::clock();
        let jobs = vec![sample::job(JobId(1), State::Running), sample::job(JobId(2), State::Running)];
        let snapshot =
            |number| View::Snapshot { jobs: jobs.clone(), position: Position(5), footer: None, number };
        let mut at = None;
        let first: Value = serde_json::from_str(&json_lines(&snapshot(0), &mut at, &clock)).unwrap();
        assert_eq!((first["position"].as_u64(), first["snapshot"][1]["id"].as_str()), (Some(5), Some("2")));
        let again = View::Snapshot { jobs: jobs.clone(), position: Position(9), footer: None, number: 1 };
        let again = json_lines(&again, &mut at, &clock);
        let lines: Vec<Value> = again.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let positions: Vec<_> = lines.iter().map(|line| line["position"].as_u64().unwrap()).collect();
        assert_eq!((positions, lines[0]["job"]["state"].as_str()), (vec![5, 9], Some("running")));
        // Who goes on from a position gets lines alone, and no end a second time.
        let ended = vec![sample::job(JobId(1), State::Completed), sample::job(JobId(2), State::Running)];
        let later = View::Snapshot { jobs: ended, position: Position(9), footer: None, number: 0 };
        assert_eq!(json_lines(&later, &mut Some(Position(3)), &clock).lines().count(), 1);
    }
}
