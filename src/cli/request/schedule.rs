//! When a job runs: limits, moments, dependencies, rank, and what happens after a failure.

use serde_json::{Value, json};

use super::understanding::{Understanding, bounded, count};
use crate::cli::error::CliError;
use crate::model::parse::dependency::{self, Labels};
use crate::model::parse::{signal, span};
use crate::model::spec::{
    Dependencies, DependencyKind, LostPolicy, MemoryRequest, OnDependencyFailure, Parent, Restart, RetryOn,
    Times, Warning,
};
use crate::model::time::TimeLimit;

/// How often `--retry-on` tries again when `--retry` does not say.
const RETRIES_DEFAULT: u32 = 3;
/// The most that `--retry` can say.
pub const RETRIES_MAX: u32 = 10_000;
/// The farthest that `--nice` goes either way, as for Slurm.
pub const NICE_MAX: i32 = 2_147_483_645;
/// What `--nice` without a number means.
const NICE_DEFAULT: i32 = 100;

impl Understanding<'_> {
    /// Understands limits and moments.
    ///
    /// # Errors
    /// Times that make no sense; a least time above the limit.
    pub fn times(&mut self) -> Result<Times, CliError> {
        let limit = self.look("time", span::limit, show_limit, Value::Null)?;
        let minimum = self.look("time-min", span::span, |span| json!(span.0), Value::Null)?;
        let begin = self.moment("begin")?;
        let deadline = self.moment("deadline")?;
        let start_by = self.moment("start-by")?;
        if let (Some(TimeLimit(Some(limit))), Some(minimum), Some(given)) =
            (limit, minimum, self.merged.get("time-min"))
            && minimum > limit
        {
            return Err(given.error("contradiction", "--time-min is above --time"));
        }
        Ok(Times { limit, minimum: minimum.filter(|span| span.0 > 0), begin, deadline, start_by })
    }

    /// Understands what the job waits for.
    ///
    /// # Errors
    /// Expressions that make no sense, labels of nobody.
    pub fn dependencies(&mut self, labels: Labels<'_>) -> Result<Dependencies, CliError> {
        let read = |text: &str| match text.trim().is_empty() {
            true => Ok(Dependencies::default()),
            false => dependency::expression(text, labels),
        };
        let found = self.look("dependency", read, show_dependencies, Value::Null)?;
        let act = |text: &str| match text.to_ascii_lowercase().as_str() {
            "cancel" => Ok(OnDependencyFailure::Cancel),
            "hold" => Ok(OnDependencyFailure::Hold),
            "run" => Ok(OnDependencyFailure::Run),
            _ => Err(format!("`{text}` is none of cancel, hold and run")),
        };
        let answer = |text: &str| match text.to_ascii_lowercase().as_str() {
            "yes" => Ok(OnDependencyFailure::Cancel),
            "no" => Ok(OnDependencyFailure::Hold),
            _ => Err(format!("`{text}` is neither yes nor no")),
        };
        let show = |act: &OnDependencyFailure| match act {
            OnDependencyFailure::Cancel => json!("cancel"),
            OnDependencyFailure::Hold => json!("hold"),
            OnDependencyFailure::Run => json!("run"),
        };
        let on_failure = match self.merged.has("kill-on-invalid-dep") {
            true => self.look("kill-on-invalid-dep", answer, show, Value::Null)?,
            false => self.look("on-dep-fail", act, show, json!("cancel"))?,
        };
        Ok(Dependencies { on_failure: on_failure.unwrap_or_default(), ..found.unwrap_or_default() })
    }

    /// Understands `--nice` and `--priority`.
    ///
    /// # Errors
    /// Numbers that are none.
    pub fn rank(&mut self) -> Result<(i32, Option<u32>), CliError> {
        let nice = |text: &str| match text {
            "" => Ok(NICE_DEFAULT),
            text => text
                .parse::<i32>()
                .ok()
                .filter(|nice| (-NICE_MAX..=NICE_MAX).contains(nice))
                .ok_or_else(|| format!("`{text}` is no whole number from -{NICE_MAX} to {NICE_MAX}")),
        };
        let nice = self.look("nice", nice, |nice| json!(nice), json!(0))?.unwrap_or(0);
        Ok((nice, self.count("priority", 0, u32::MAX, Value::Null)?))
    }

    /// Understands what happens when an attempt is lost or fails.
    ///
    /// # Errors
    /// Words that are not known.
    pub fn restart(&mut self, memory: MemoryRequest) -> Result<Restart, CliError> {
        let lost = match self.merged.has("no-requeue") {
            true => {
                self.flag("no-requeue");
                LostPolicy::Never
            }
            false => {
                let found =
                    self.look("requeue", lost_policy, |policy| json!(write_lost(*policy)), json!("fenced"))?;
                found.unwrap_or(LostPolicy::Fenced(None))
            }
        };
        let retries = self.count("retry", 0, RETRIES_MAX, json!(0))?;
        let on = self.look("retry-on", retry_on, write_causes, Value::Null)?;
        let grows = doublings(memory);
        // A range of memory asks to be tried again by itself, as often as it can grow.
        let on = match (on, grows) {
            (None, Some(_)) => Some(RetryOn { fail: retries.is_some(), ..RetryOn::default() }),
            (on, _) => on,
        };
        let on = on.map(|on| RetryOn { oom: on.oom || grows.is_some(), ..on });
        if let (Some(on), Some(_)) = (&on, grows) {
            self.amend("retry-on", write_causes(on));
        }
        let restart = match (retries, on) {
            (None, None) => Restart { lost, ..Restart::default() },
            (Some(retries), Some(on)) => Restart { lost, retries, on },
            (Some(retries), None) => {
                Restart { lost, retries, on: RetryOn { fail: true, ..RetryOn::default() } }
            }
            (None, Some(on)) => Restart { lost, retries: RETRIES_DEFAULT.max(grows.unwrap_or(0)), on },
        };
        self.amend("retry", json!(restart.retries));
        Ok(restart)
    }

    /// Understands `--signal`.
    ///
    /// # Errors
    /// A signal or a time that is none.
    pub fn warning_signal(&mut self) -> Result<Option<Warning>, CliError> {
        let show = |warning: &Warning| {
            let batch = if warning.batch_only { "B:" } else { "" };
            json!(format!("{batch}{}@{}", signal::name(warning.signal), warning.before.0))
        };
        self.look("signal", signal::warning, show, Value::Null)
    }
}

/// How often a range of memory can be doubled; `None`: it is no range.
fn doublings(memory: MemoryRequest) -> Option<u32> {
    let MemoryRequest::Range(least, most) = memory else { return None };
    let steps = std::iter::successors(Some(least.max(1)), |at| at.checked_mul(2)).take_while(|at| *at < most);
    Some(steps.count() as u32)
}

fn show_limit(limit: &TimeLimit) -> Value {
    limit.0.map_or(json!("UNLIMITED"), |span| json!(span.0))
}

fn show_dependencies(all: &Dependencies) -> Value {
    let words: Vec<String> = all
        .conditions
        .iter()
        .map(|one| {
            let kind = dependency::word(one.kind);
            let delay = if one.delay.0 > 0 { format!("+{}", one.delay.0 / 60) } else { String::new() };
            match &one.parent {
                _ if one.kind == DependencyKind::Singleton => kind.to_owned(),
                Parent::Job(id) => format!("{kind}:{id}{delay}"),
                Parent::Tasks(id, tasks) => {
                    format!("{kind}:{id}_[{}]{delay}", crate::model::parse::array::write(tasks))
                }
                Parent::Name(name) => format!("{kind}:name:{name}"),
                Parent::Batch(place) => format!("{kind}:@{place}{delay}"),
                Parent::Nobody => kind.to_owned(),
            }
        })
        .collect();
    json!(words.join(if all.any { "?" } else { "," }))
}

fn lost_policy(text: &str) -> Result<LostPolicy, String> {
    match text.split_once(':') {
        None => match text {
            "" | "fenced" => Ok(LostPolicy::Fenced(None)),
            "proof" => Ok(LostPolicy::Proof),
            "overlap" => Ok(LostPolicy::Overlap),
            _ => Err(format!("`{text}` is none of fenced, fenced:TIME, proof and overlap")),
        },
        Some(("fenced", lease)) => {
            let lease = span::span(lease).map_err(|why| why.to_string())?;
            if lease.0 == 0 {
                Err("a lease of 0 is none".to_owned())
            } else {
                Ok(LostPolicy::Fenced(Some(lease)))
            }
        }
        Some(_) => Err(format!("`{text}` is none of fenced, fenced:TIME, proof and overlap")),
    }
}

fn write_lost(policy: LostPolicy) -> String {
    match policy {
        LostPolicy::Fenced(None) => "fenced".to_owned(),
        LostPolicy::Fenced(Some(lease)) => format!("fenced:{}s", lease.0),
        LostPolicy::Proof => "proof".to_owned(),
        LostPolicy::Overlap => "overlap".to_owned(),
        LostPolicy::Never => "never".to_owned(),
    }
}

fn retry_on(text: &str) -> Result<RetryOn, String> {
    let mut on = RetryOn::default();
    for cause in bounded(text, 255)?.split(',') {
        match cause.trim() {
            "node" => on.node = true,
            "preempt" => on.preempt = true,
            "timeout" => on.timeout = true,
            "oom" => on.oom = true,
            "fail" => on.fail = true,
            other => match other.strip_prefix("exit:") {
                Some(_) if on.exit.is_some() => {
                    return Err("one exit code alone can mean \"again\"".to_owned());
                }
                Some(code) => on.exit = u8::try_from(count(code, 1, 255)?).ok(),
                None => {
                    return Err(format!("`{other}` is none of node, preempt, timeout, oom, fail and exit:N"));
                }
            },
        }
    }
    Ok(on)
}

fn write_causes(on: &RetryOn) -> Value {
    let words = [
        (on.node, "node"),
        (on.preempt, "preempt"),
        (on.timeout, "timeout"),
        (on.oom, "oom"),
        (on.fail, "fail"),
    ];
    let mut causes: Vec<String> =
        words.iter().filter(|(is, _)| *is).map(|(_, word)| (*word).to_owned()).collect();
    causes.extend(on.exit.map(|code| format!("exit:{code}")));
    json!(causes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Seconds;

    #[test]
    fn policies_and_causes() {
        assert_eq!(lost_policy("fenced:10"), Ok(LostPolicy::Fenced(Some(Seconds(600)))));
        assert_eq!(lost_policy(""), Ok(LostPolicy::Fenced(None)));
        assert!(
            lost_policy("proof:1").is_err()
                && lost_policy("fenced:0").is_err()
                && lost_policy("never").is_err()
        );
        let on = retry_on("oom,exit:75").unwrap();
        assert!(on.oom && !on.fail && on.exit == Some(75));
        for bad in ["", "exit:0", "exit:256", "exit:1,exit:2", "cancel", "fail,"] {
            assert!(retry_on(bad).is_err(), "{bad}");
        }
    }
}
