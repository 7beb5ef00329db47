//! `jctld audit`: who did what, when, from where, allowed or refused.

use serde_json::{Value, json};

use super::context::{Context, moment};
use super::selection::a_day_before;
use crate::cli::args::jctld::Verb;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::moment::Towards;
use crate::cli::render::Sheet;
use crate::cli::render::quantity::rfc3339;
use crate::cli::table::terminal_width;
use crate::cli::text::print;
use crate::client::wait::unexpected;
use crate::model::change::AuditRecord;
use crate::model::ids::JobId;
use crate::wire::client::{Admin, AuditQuery, Reply, Request};

/// Lists what passes the filters, of the last day unless `-S` says otherwise.
pub(super) fn audit(context: &Context, verb: &Verb) -> Result<ExitCode, CliError> {
    let Verb::Audit { start, end, who, what, job, node, .. } = verb else { return Ok(ExitCode::Done) };
    let place = |text: &Option<String>, option| {
        text.as_deref().map(|text| moment(text, &context.clock, Towards::Past, option)).transpose()
    };
    let since = place(start, "--start")?.unwrap_or_else(|| a_day_before(context.clock.now));
    let query = AuditQuery {
        since: Some(since),
        until: place(end, "--end")?,
        who: who.clone().unwrap_or_default(),
        what: what.clone().unwrap_or_default(),
        job: job.as_deref().map(job_number).transpose()?,
        node: node.clone().unwrap_or_default(),
    };
    context.with_client(async |client| {
        let is_last = |reply: &Reply| !matches!(reply, Reply::Audit { last: false, .. });
        let mut records = Vec::new();
        for reply in client.collect(&Request::Admin(Admin::Audit(query)), is_last).await? {
            match reply {
                Reply::Audit { records: mut more, .. } => records.append(&mut more),
                other => return Err(unexpected(&other).into()),
            }
        }
        if context.json {
            context.print_json(Value::Array(records.iter().map(object).collect()))?;
        } else {
            let mut sheet = Sheet::new(&["TIME", "WHO", "FROM", "WHAT", "JOBS", "NODES", "ALLOWED"]);
            sheet.rows = records.iter().map(|record| row(context, record)).collect();
            print(&sheet.text(true, terminal_width()))?;
        }
        Ok(ExitCode::Done)
    })
}

/// `123`, and of `123_4` the array.
fn job_number(text: &str) -> Result<JobId, CliError> {
    let number = text.split_once('_').map_or(text, |(array, _)| array);
    number.parse().map(JobId).map_err(|_| {
        CliError::usage("malformed_value", format!("--job: `{text}` is no job number")).option("--job")
    })
}

fn row(context: &Context, record: &AuditRecord) -> Vec<String> {
    vec![
        context.clock.local(record.at),
        record.who.clone(),
        record.from.clone(),
        record.what.clone(),
        jobs(record),
        record.nodes.join(","),
        if record.allowed { "yes" } else { "no" }.to_owned(),
    ]
}

fn jobs(record: &AuditRecord) -> String {
    let run = |(first, last): &(JobId, JobId)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    record.jobs.iter().map(run).collect::<Vec<_>>().join(",")
}

fn object(record: &AuditRecord) -> Value {
    let hex: String = record.before.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "number": record.number,
        "before": hex,
        "time": rfc3339(record.at),
        "who": record.who,
        "from": record.from,
        "what": record.what,
        "jobs": jobs(record),
        "nodes": record.nodes,
        "allowed": record.allowed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_stands_for_its_array() {
        assert_eq!(job_number("123_4").ok(), Some(JobId(123)));
        assert!(job_number("x").is_err() && job_number("").is_err() && job_number("-1").is_err());
    }
}
