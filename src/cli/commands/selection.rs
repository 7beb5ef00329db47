//! From selectors and filters on the command line to whom a request means.

use crate::cli::args::filters::{self, Filters};
use crate::cli::error::CliError;
use crate::client::session::Client;
use crate::client::wait::unexpected;
use crate::model::parse::selector::JobSelector;
use crate::model::parse::states::StateSet;
use crate::model::task_set::IndexSet;
use crate::model::time::WallTime;
use crate::wire::client::{Filter, Footer, List, Reply, Request, SELECTORS_MAX, Selection, Selector};
use crate::wire::info::{ENDED_SINCE_DEFAULT, JobInfo};

/// Back to the beginning of history.
pub(super) const ALL_HISTORY: WallTime = WallTime(0);

/// How far back a request looks when the filters do not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Not at all, unless `-t` names an end: lists and acts.
    IfAsked,
    /// All that is named; of what is only filtered the last day: `show`, `why`, `log`, `eff`, `hist`, `wait`.
    Always,
}

/// Whom a verb means.
///
/// # Errors
/// Too many selectors (64).
pub(super) fn selection(
    given: &filters::Selection,
    ended: Ended,
    now: WallTime,
) -> Result<Selection, CliError> {
    select(given.jobs(), &given.filters, &given.names.name, ended, now)
}

/// The same from its parts. Without selectors and `-u` only the caller's own jobs are meant: nobody cancels a whole
/// partition by leaving something out.
///
/// # Errors
/// Too many selectors (64).
pub(super) fn select(
    selectors: Vec<JobSelector>,
    filters: &Filters,
    names: &[String],
    ended: Ended,
    now: WallTime,
) -> Result<Selection, CliError> {
    if selectors.len() > SELECTORS_MAX {
        let words = format!("{} jobs are more than the {SELECTORS_MAX} of one call", selectors.len());
        return Err(CliError::usage("too_many_selectors", words).hint("name ranges: 123_[1-9999]"));
    }
    let named = !selectors.is_empty();
    let mut filter = filter(filters, names);
    filter.own |= !named && filters.user.is_empty();
    let asks_for_ends = filters.states.is_some_and(StateSet::has_ends);
    if ended == Ended::Always || asks_for_ends {
        filter.ended_since = Some(if named { ALL_HISTORY } else { a_day_before(now) });
    }
    Ok(Selection { selectors: selectors.into_iter().map(selector).collect(), filter })
}

/// The filters alone.
pub(super) fn filter(filters: &Filters, names: &[String]) -> Filter {
    let states = filters.states.filter(|states| *states != StateSet::ALL);
    Filter {
        own: filters.me,
        users: filters.user.clone(),
        names: names.to_vec(),
        partitions: filters.partition.clone(),
        states: states.map(|states| states.iter().collect()).unwrap_or_default(),
        accounts: filters.account.clone(),
        qos: filters.qos.clone(),
        nodes: filters.nodelist.as_ref().map(|nodes| nodes.0.clone()).unwrap_or_default(),
        ended_since: None,
    }
}

/// A day ago: how far back filters look for what has ended.
pub(super) fn a_day_before(now: WallTime) -> WallTime {
    WallTime(now.0.saturating_sub(i64::try_from(ENDED_SINCE_DEFAULT.micros()).unwrap_or(i64::MAX)))
}

/// A selector as it goes over the wire.
pub(super) fn selector(job: JobSelector) -> Selector {
    match job {
        JobSelector::Job(id) => Selector::Number(id),
        JobSelector::Tasks(id, indexes) => Selector::Tasks(id, indexes),
        JobSelector::Name(name) => Selector::Name(name),
        JobSelector::Last => Selector::Last,
    }
}

/// Whether it names one thing, so that its answer is one object.
pub(super) fn is_single(selection: &Selection) -> bool {
    match selection.selectors.as_slice() {
        [Selector::Tasks(_, indexes)] => indexes.count() == 1,
        [_] => true,
        _ => false,
    }
}

/// The rows of a listing, all of them, without what only a job's owner may see.
///
/// # Errors
/// See [`crate::client::error::ClientError`].
pub(super) async fn rows(
    client: &mut Client,
    selection: Selection,
    expand: bool,
) -> Result<(Vec<JobInfo>, Footer), CliError> {
    all_rows(client, List { selection, expand, brief: true }).await
}

/// The same, with more to say about each row.
///
/// # Errors
/// As [`rows`].
pub(super) async fn all_rows(client: &mut Client, list: List) -> Result<(Vec<JobInfo>, Footer), CliError> {
    let request = Request::List(list);
    let is_last = |reply: &Reply| !matches!(reply, Reply::Jobs { footer: None, .. });
    let (mut all, mut counted) = (Vec::new(), Footer::default());
    for reply in client.collect(&request, is_last).await? {
        let Reply::Jobs { mut jobs, footer, .. } = reply else { return Err(unexpected(&reply).into()) };
        all.append(&mut jobs);
        counted = footer.unwrap_or(counted);
    }
    Ok((all, counted))
}

/// Jobs fixed by their numbers, and their ids, so that what is asked for again later means the same ones: `last` and
/// `name:` move on, and what has ended passes filters no more.
///
/// # Errors
/// See [`crate::client::error::ClientError`].
pub(super) async fn fixed(
    client: &mut Client,
    selection: Selection,
) -> Result<(Vec<Selector>, Vec<String>), CliError> {
    let plain = |one: &Selector| matches!(one, Selector::Number(_) | Selector::Tasks(..));
    let untouched = Filter { ended_since: selection.filter.ended_since, ..Filter::default() };
    if !selection.selectors.is_empty()
        && selection.selectors.iter().all(plain)
        && selection.filter == untouched
    {
        let ids = selection.selectors.iter().map(written).collect();
        return Ok((selection.selectors, ids));
    }
    let by_task = !selection.filter.states.is_empty();
    let (rows, _) = rows(client, selection, by_task).await?;
    let mut selectors = Vec::new();
    let mut at = 0;
    while let Some(row) = rows.get(at) {
        let mut indexes = Vec::new();
        while let Some(same) = rows.get(at).filter(|other| other.job == row.job) {
            indexes.extend(same.task.map(|task| task.0));
            at += 1;
        }
        selectors.push(match IndexSet::from_indexes(&indexes) {
            Ok(indexes) => Selector::Tasks(row.job, indexes),
            Err(_) => Selector::Number(row.job),
        });
    }
    let ids = selectors.iter().map(written).collect();
    Ok((selectors, ids))
}

/// A selector as users write it.
pub(super) fn written(selector: &Selector) -> String {
    match selector {
        Selector::Number(id) => id.to_string(),
        Selector::Tasks(id, indexes) if indexes.count() == 1 => {
            format!("{id}_{}", crate::model::parse::array::write(indexes))
        }
        Selector::Tasks(id, indexes) => format!("{id}_[{}]", crate::model::parse::array::write(indexes)),
        Selector::Name(name) => format!("name:{name}"),
        Selector::Last => "last".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::JobId;
    use crate::model::parse::selector::jobs;
    use crate::model::state::State;

    fn filters(states: Option<&str>, user: &[&str]) -> Filters {
        Filters {
            states: states.map(|text| crate::model::parse::states::set(text).unwrap()),
            user: user.iter().map(|name| (*name).to_owned()).collect(),
            ..Filters::default()
        }
    }

    #[test]
    fn own_jobs_are_meant_unless_others_are_named() {
        let now = WallTime(100 * 86_400_000_000);
        let of = |words: &str, filters: &Filters, ended| {
            let named = if words.is_empty() { vec![] } else { jobs(words).unwrap() };
            select(named, filters, &[], ended, now).unwrap().filter
        };
        let bad = of("", &filters(Some("bad"), &[]), Ended::IfAsked);
        assert!(bad.own && bad.states.iter().all(|state| state.is_bad()));
        assert_eq!(bad.ended_since, Some(WallTime(99 * 86_400_000_000)));
        assert!(!of("", &filters(None, &["bob"]), Ended::IfAsked).own);
        let named = of("123", &filters(None, &[]), Ended::IfAsked);
        assert_eq!(named, Filter::default());
        assert_eq!(of("123", &filters(None, &[]), Ended::Always).ended_since, Some(ALL_HISTORY));
        let all = of("", &filters(Some("all"), &[]), Ended::IfAsked);
        assert!(all.states.is_empty() && all.ended_since.is_some());
        assert_eq!(of("", &filters(Some("R"), &[]), Ended::IfAsked).states, vec![State::Running]);
    }

    #[test]
    fn selectors_have_a_limit_and_are_written_as_they_are_read() {
        let many = |count: usize| vec![JobSelector::Job(JobId(1)); count];
        let none = filters(None, &[]);
        let at = |count| select(many(count), &none, &[], Ended::IfAsked, WallTime(0)).map(|_| ()).is_ok();
        assert!(at(SELECTORS_MAX) && !at(SELECTORS_MAX + 1));
        for text in ["123", "123_4", "123_[1-9,12]", "name:a", "last"] {
            assert_eq!(written(&selector(crate::model::parse::selector::job(text).unwrap())), text);
        }
    }
}
