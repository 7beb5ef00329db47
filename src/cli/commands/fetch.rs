//! `jqueue fetch`: brings the output files of jobs into a folder here, whole, read on their nodes as their owner.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::context::{Context, tell_of_losses};
use super::log::LOG_TASKS_MAX;
use super::selection::{ALL_HISTORY, all_rows, selector};
use super::submit::tell_gaps;
use crate::cli::args::values::Jobs;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::text::{escape, print};
use crate::client::follow::Follow;
use crate::client::session::Client;
use crate::model::parse;
use crate::model::pattern::{Facts, fill};
use crate::wire::client::{Filter, List, Selection};
use crate::wire::data::From;
use crate::wire::info::JobInfo;

/// A file to bring.
struct Wanted {
    id: String,
    error: bool,
    name: String,
}

/// Brings the files whose names match, each under its own name. A file that is there already is never touched: it may
/// be the very one that the job still writes.
pub(super) fn fetch(
    context: &Context,
    jobs: &Jobs,
    glob: Option<&str>,
    dir: Option<&Path>,
) -> Result<ExitCode, CliError> {
    let folder = dir.unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let selectors = jobs.0.iter().cloned().map(selector).collect();
    let filter = Filter { ended_since: Some(ALL_HISTORY), ..Filter::default() };
    context.with_client(async |client| {
        tell_of_losses(client, context.program);
        let selection = Selection { selectors, filter };
        let (tasks, _) = all_rows(client, List { selection, expand: true, brief: false }).await?;
        if tasks.len() > LOG_TASKS_MAX {
            let words = format!("{} tasks are more than the {LOG_TASKS_MAX} of one call", tasks.len());
            return Err(CliError::usage("too_many_tasks", words).hint("pick some: `123_[1-100]`"));
        }
        let wanted = wanted(&tasks, glob)?;
        if wanted.is_empty() {
            let error =
                CliError::new(ExitCode::Refused, "no_such_file", "no output file of it has such a name");
            return Err(error.hint("`jqueue show` names its output and error files"));
        }
        let mut fetched = Vec::new();
        for one in &wanted {
            let path = folder.join(&one.name);
            let bytes = bring(client, one, &path).await?;
            if !context.json {
                print(&format!("{} ({bytes} bytes)\n", escape(&path.display().to_string())))?;
            }
            fetched.push(json!({"id": one.id, "file": path, "bytes": bytes}));
        }
        if context.json {
            context.print_json(Value::Array(fetched))?;
        }
        Ok(ExitCode::Done)
    })
}

/// The files of these tasks, each once: tasks may share one.
fn wanted(tasks: &[JobInfo], glob: Option<&str>) -> Result<Vec<Wanted>, CliError> {
    let mut seen = BTreeSet::new();
    let mut list = Vec::new();
    for task in tasks.iter().filter(|task| task.start_time.is_some()) {
        let Some(private) = &task.private else {
            let words = format!("the output of {} is its owner's alone", task.id);
            return Err(CliError::new(ExitCode::Forbidden, "not_allowed", words));
        };
        for (error, pattern) in [(false, &private.output), (true, &private.error)] {
            let Some(path) = path_of(task, pattern, &private.work_dir).filter(|_| pattern != "none") else {
                continue;
            };
            let Some(name) = Path::new(&path).file_name().map(|name| name.to_string_lossy().into_owned())
            else {
                continue;
            };
            if glob.is_none_or(|glob| matches(glob, &name)) && seen.insert((task.nodes.clone(), path)) {
                list.push(Wanted { id: task.id.clone(), error, name });
            }
        }
    }
    Ok(list)
}

fn path_of(task: &JobInfo, pattern: &str, work_dir: &str) -> Option<String> {
    let facts = Facts {
        number: task.number,
        job: task.job,
        index: task.task,
        name: &task.name,
        user: &task.user,
        node: task.nodes.first().map_or("", String::as_str),
    };
    fill(pattern, work_dir, &facts).ok()
}

async fn bring(client: &mut Client, wanted: &Wanted, path: &Path) -> Result<u64, CliError> {
    let named = parse::selector::job(&wanted.id).map(selector).map_err(|error| {
        CliError::new(ExitCode::Refused, "protocol", format!("the controller's id: {error}"))
    })?;
    let follow =
        Follow { selector: named, attempt: None, error: wanted.error, from: From::Offset(0), live: false };
    let mut file = Part::create(path)?;
    let followed = client.follow(&follow, |bytes| file.write(bytes)).await?;
    tell_gaps(&followed);
    if !followed.gaps.is_empty() || (!followed.note.is_empty() && file.bytes == 0) {
        let words = format!("{} could not be had whole: {}", wanted.name, followed.note);
        return Err(
            CliError::new(ExitCode::Refused, "incomplete", words).hint("`jqueue log` shows what is left")
        );
    }
    file.keep()
}

/// A file that goes again unless it was kept: half of an output must not look like the whole.
struct Part {
    file: File,
    path: PathBuf,
    bytes: u64,
    kept: bool,
}

impl Part {
    fn create(path: &Path) -> Result<Part, CliError> {
        let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| {
            let found = failed(path, &error);
            if error.kind() == io::ErrorKind::AlreadyExists {
                return found.hint("name another folder: jqueue fetch JOB '*' DIR");
            }
            found
        })?;
        Ok(Part { file, path: path.to_owned(), bytes: 0, kept: false })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn keep(mut self) -> Result<u64, CliError> {
        self.file.sync_all().map_err(|error| failed(&self.path, &error))?;
        self.kept = true;
        Ok(self.bytes)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> CliError {
    CliError::new(ExitCode::Refused, "file", format!("{}: {error}", path.display()))
}

/// Whether a name is matched by a pattern with `*` and `?`.
fn matches(glob: &str, name: &str) -> bool {
    let (glob, name): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < name.len() {
        match glob.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(sign) if *sign == '?' || Some(sign) == name.get(seen) => {
                at += 1;
                seen += 1;
            }
            _ => match star {
                Some((from, upto)) => {
                    star = Some((from, upto + 1));
                    at = from + 1;
                    seen = upto + 1;
                }
                None => return false,
            },
        }
    }
    glob.iter().skip(at).all(|sign| *sign == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_patterns() {
        for (glob, name) in
            [("*", ""), ("*.out", "jsched-1.out"), ("a?c*", "abcd"), ("*1*.err", "x12.err"), ("", "")]
        {
            assert!(matches(glob, name), "{glob} {name}");
        }
        for (glob, name) in [("*.out", "a.err"), ("a?c", "ac"), ("", "a"), ("?", ""), ("*a*b", "abc")] {
            assert!(!matches(glob, name), "{glob} {name}");
        }
    }

    #[test]
    fn half_a_file_goes_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut part = Part::create(&path).unwrap();
        part.write(b"half").unwrap();
        drop(part);
        assert!(!path.exists());
        let mut part = Part::create(&path).unwrap();
        part.write(b"whole").unwrap();
        assert_eq!(part.keep().unwrap(), 5);
        assert!(Part::create(&path).is_err(), "what is there stays");
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
    }
}
