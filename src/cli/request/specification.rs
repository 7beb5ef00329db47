//! Puts a request together: every option is looked at once, in the order of the help.

use std::fs::File;
use std::io::Read;

use serde_json::{Value, json};

use super::program::{Program, read_capped, unreadable};
use super::surroundings::Surroundings;
use super::understanding::Understanding;
use super::{PreparedJob, Talk, Workshop, environment, lines};
use crate::cli::error::{CliError, ExitCode};
use crate::cli::options::given::{Merged, Source};
use crate::model::ids::ContentHash;
use crate::model::parse::array;
use crate::model::parse::dependency::Labels;
use crate::model::spec::{
    ArraySpec, COMMENT_BYTES_MAX, Files, JOB_NAME_BYTES_MAX, JobSpec, Output, PATH_BYTES_MAX, WorkDir,
};
use crate::model::task_set::IndexSet;

/// Makes one request of what was said.
///
/// # Errors
/// The first thing that makes no sense.
pub(super) fn specify(
    merged: &Merged,
    program: Program,
    labels: Labels<'_>,
    workshop: &mut Workshop<'_>,
) -> Result<PreparedJob, CliError> {
    let around = workshop.around;
    let mut u = Understanding::new(merged, around, workshop.fields);
    u.field("script", json!(program.file), Source::CommandLine);
    u.field("arguments", json!(program.arguments), Source::CommandLine);
    let default_name = shortened(&program.name);
    let name = u.text("job-name", JOB_NAME_BYTES_MAX, json!(default_name))?.filter(|name| !name.is_empty());
    let work_dir = u.work_dir()?;
    let array = u.array(workshop)?;
    let files = u.files(array.is_some())?;
    let environment = u.environment(workshop)?;
    let comment = u.text("comment", COMMENT_BYTES_MAX, Value::Null)?.unwrap_or_default();
    let request = u.request()?;
    let place = u.place()?;
    let times = u.times()?;
    let dependencies = u.dependencies(labels)?;
    let hold = u.flag("hold");
    let (account, qos) = (u.name("account")?, u.name("qos")?);
    let (nice, priority) = u.rank()?;
    let restart = u.restart(request.memory)?;
    let signal = u.warning_signal()?;
    let talk = Talk {
        wait: u.flag("wait"),
        follow: u.flag("follow"),
        test_only: u.flag("test-only"),
        quiet: u.flag("quiet"),
        verbose: u.flag("verbose"),
        parsable: u.flag("parsable"),
    };
    let tied = u.flag("tied");
    u.standings()?;
    workshop.warn(std::mem::take(&mut u.warnings));
    let spec = JobSpec {
        name: name.unwrap_or(default_name),
        script: workshop.keep(program.script.bytes),
        environment,
        arguments: program.arguments,
        work_dir,
        submit_dir: around.directory.clone(),
        submit_host: around.host.clone(),
        umask: around.umask,
        files,
        request,
        place,
        times,
        account,
        qos,
        nice,
        priority,
        array,
        dependencies,
        hold,
        restart,
        signal,
        comment,
        harmless: u.harmless,
        tied,
    };
    Ok(PreparedJob { spec, label: None, fields: u.fields, refused: u.refused, talk })
}

/// A name that nobody chose is cut rather than refused.
fn shortened(name: &str) -> String {
    let fits = |(at, letter): &(usize, char)| at + letter.len_utf8() <= JOB_NAME_BYTES_MAX;
    name.char_indices().take_while(fits).map(|(_, letter)| letter).collect()
}

impl Understanding<'_> {
    fn work_dir(&mut self) -> Result<WorkDir, CliError> {
        let around = self.around;
        let read = |text: &str| match text {
            "job" => Ok(WorkDir::Private),
            "" => Err("an empty path".to_owned()),
            path => {
                let full = around.path(path).to_string_lossy().into_owned();
                let fits = full.len() <= PATH_BYTES_MAX && !full.contains('\0');
                if fits { Ok(WorkDir::Path(full)) } else { Err(format!("more than {PATH_BYTES_MAX} bytes")) }
            }
        };
        let show = |dir: &WorkDir| match dir {
            WorkDir::Path(path) => json!(path),
            WorkDir::Private => json!("job"),
        };
        let found = self.look("chdir", read, show, json!(around.directory))?;
        Ok(found.unwrap_or_else(|| WorkDir::Path(around.directory.clone())))
    }

    fn files(&mut self, array: bool) -> Result<Files, CliError> {
        let pattern = |text: &str| match super::understanding::bounded(text, PATH_BYTES_MAX)?.as_str() {
            "" => Ok(None),
            word if word.eq_ignore_ascii_case("none") => Ok(Some(Output::Nothing)),
            word => Ok::<_, String>(Some(Output::Pattern(word.to_owned()))),
        };
        let default = if array { "jsched-%A_%a.out" } else { "jsched-%j.out" };
        let show = |output: &Option<Output>| match output {
            None => Value::Null,
            Some(Output::Nothing) => json!("none"),
            Some(Output::Pattern(pattern)) => json!(pattern),
        };
        let input = self.look("input", pattern, show, json!("/dev/null"))?.flatten();
        let output = self.look("output", pattern, show, json!(default))?.flatten();
        if output.is_none() {
            self.amend("output", json!(default));
        }
        let error = self.look("error", pattern, show, Value::Null)?.flatten();
        let mode = |text: &str| match text.bytes().next() {
            Some(b'a' | b'A') => Ok(true),
            Some(b't' | b'T') => Ok(false),
            _ => Err(format!("`{text}` is neither append nor truncate")),
        };
        let show = |append: &bool| json!(if *append { "append" } else { "truncate" });
        let append = self.look("open-mode", mode, show, json!("truncate"))?.unwrap_or(false);
        let input = match input {
            Some(Output::Pattern(path)) if path != "/dev/null" => path,
            _ => String::new(),
        };
        Ok(Files {
            input,
            output: output.unwrap_or_else(|| Output::Pattern(default.to_owned())),
            error,
            append,
        })
    }

    fn environment(&mut self, workshop: &mut Workshop<'_>) -> Result<ContentHash, CliError> {
        let written = self.merged.get("export").and_then(|given| given.value.clone());
        let written = written.unwrap_or_else(|| "ALL".to_owned());
        let export = self.look("export", environment::export, |_| json!(written), json!("ALL"))?;
        let login = self.flag("get-user-env");
        if let Some(hash) = workshop.environments.get(&(written.clone(), login)) {
            return Ok(*hash);
        }
        let export = export.unwrap_or(environment::Export { all: true, named: Vec::new() });
        let hash = workshop.keep(environment::block(&export, login, self.around)?);
        workshop.environments.insert((written, login), hash);
        Ok(hash)
    }

    fn array(&mut self, workshop: &mut Workshop<'_>) -> Result<Option<ArraySpec>, CliError> {
        let show = |(indexes, limit): &(IndexSet, Option<u32>)| {
            let limit = limit.map_or(String::new(), |limit| format!("%{limit}"));
            json!(format!("{}{limit}", array::write(indexes)))
        };
        let written = self.look("array", array::expression, show, Value::Null)?;
        let path = self.look(
            "each-line",
            |text| Ok::<_, CliError>(text.to_owned()),
            |path| json!(path),
            Value::Null,
        )?;
        let (Some(path), Some(given)) = (path, self.merged.get("each-line")) else {
            return Ok(written.map(|(indexes, limit)| ArraySpec { indexes, limit, lines: None }));
        };
        let (bytes, count) = read_lines(&path, self.around, workshop.stdin)?;
        let (indexes, limit) = match written {
            Some((indexes, limit)) => (indexes, limit),
            None => {
                let all = IndexSet::parse(&format!("1-{count}"));
                (all.map_err(|why| given.error("malformed_value", why.to_string()))?, None)
            }
        };
        let (first, last) = (indexes.runs().first(), indexes.runs().last());
        if first.is_some_and(|run| run.first == 0) || last.is_some_and(|run| run.last > count) {
            let asked = self.merged.get("array").unwrap_or(given);
            let message = format!("{path} has the lines 1 to {count}; --array names others");
            return Err(asked.error("no_such_line", message));
        }
        Ok(Some(ArraySpec { indexes, limit, lines: Some(workshop.keep(bytes)) }))
    }
}

fn read_lines(path: &str, around: &Surroundings, stdin: &mut dyn Read) -> Result<(Vec<u8>, u32), CliError> {
    let read = match path {
        "-" => read_capped(stdin, lines::LINES_BYTES_MAX),
        path => {
            File::open(around.path(path)).and_then(|mut file| read_capped(&mut file, lines::LINES_BYTES_MAX))
        }
    };
    let bytes = read.map_err(|why| unreadable(path, &why, around).option("--each-line"))?;
    if bytes.len() > lines::LINES_BYTES_MAX {
        let message = format!("{path} has more than {} MiB", lines::LINES_BYTES_MAX >> 20);
        return Err(CliError::new(ExitCode::BadScript, "lines_too_large", message).option("--each-line"));
    }
    lines::check(bytes).map_err(|error| error.in_file(path).option("--each-line"))
}
