//! `jqueue whoami`: the caller as the controller sees it.

use serde_json::{Value, json};

use super::labelled;
use super::quantity::{Clock, rfc3339};
use crate::model::time::WallTime;
use crate::wire::info::Whoami;

/// Differences of the clocks below this are not worth a word.
const CLOCK_DIFFERENCE_SMALL_SECONDS: f64 = 1.0;

/// What only the client knows about the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// The controller's address.
    pub controller: String,
    /// When the caller's certificate ends.
    pub certificate_expires: Option<WallTime>,
}

/// In words.
pub fn whoami(who: &Whoami, side: &Side, clock: &Clock) -> String {
    let uid = who.uid.map_or_else(String::new, |uid| format!(" (uid {uid})"));
    let difference = difference_seconds(who, clock);
    let clock_words = if difference.abs() < CLOCK_DIFFERENCE_SMALL_SECONDS {
        "the same within a second".to_owned()
    } else if difference > 0.0 {
        format!("{difference:.1} s ahead of the controller's")
    } else {
        format!("{:.1} s behind the controller's", -difference)
    };
    let list = |names: &[String]| names.join(", ");
    let mut lines = vec![
        ("name", format!("{}{uid}", who.name)),
        ("role", who.role.to_string()),
        ("cluster", who.cluster.clone()),
        ("controller", format!("{} (jsched {})", side.controller, who.version)),
        ("clock", clock_words),
        ("jobs", format!("{} unfinished of {} allowed", who.jobs, who.jobs_max)),
        ("certificate", format!("good until {}", clock.local_or_dash(side.certificate_expires))),
    ];
    if !who.accounts.is_empty() {
        lines.push(("accounts", list(&who.accounts)));
    }
    if !who.coordinates.is_empty() {
        lines.push(("coordinates", list(&who.coordinates)));
    }
    labelled(&lines, "")
}

/// As JSON; the default account comes first.
pub fn whoami_json(who: &Whoami, side: &Side, clock: &Clock) -> Value {
    json!({
        "name": who.name,
        "uid": who.uid.map(|uid| uid.0),
        "role": who.role.word(),
        "cluster": who.cluster,
        "accounts": who.accounts,
        "coordinates": who.coordinates,
        "jobs": who.jobs,
        "jobs_max": who.jobs_max,
        "controller": side.controller,
        "version": who.version,
        "clock_difference_seconds": difference_seconds(who, clock),
        "certificate_expires": side.certificate_expires.and_then(rfc3339),
    })
}

fn difference_seconds(who: &Whoami, clock: &Clock) -> f64 {
    clock.now.0.saturating_sub(who.clock.0) as f64 / 1e6
}
