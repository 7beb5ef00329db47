//! Budgets of accounts: every attempt is charged once, at its end, to its account and to those above it, by what it
//! held most of. A spent budget starts nothing more; what runs goes on.

use std::sync::Arc;

use super::Core;
use super::accounting::Accounting;
use super::command::Outcome;
use super::job::Job;
use crate::model::account::{AccountRecord, Budget};
use crate::model::change::Change;
use crate::model::record::Live;
use crate::model::resources::Resources;
use crate::model::state::End;
use crate::model::time::{Now, WallTime};

/// Milliseconds of an hour.
const HOUR_MS: u64 = 3_600_000;
/// From so many percent on it is said.
pub const SAID_FROM_PERCENT: u64 = 80;

/// An account's budget, and how much of it is spent.
#[derive(Clone, Copy, Debug)]
pub struct Spent<'a> {
    /// Whose.
    pub account: &'a AccountRecord,
    /// How much.
    pub budget: Budget,
    /// Spent, in cpu milliseconds.
    pub cpu_ms: u64,
}

impl Spent<'_> {
    /// Whether nothing is left.
    pub fn is_all(&self) -> bool {
        self.cpu_ms >= self.budget.cpu_hours.saturating_mul(HOUR_MS)
    }

    /// Whether so much is spent that it is said.
    pub fn is_much(&self) -> bool {
        let all = u128::from(self.budget.cpu_hours) * u128::from(HOUR_MS);
        u128::from(self.cpu_ms) * 100 >= all * u128::from(SAID_FROM_PERCENT)
    }

    /// `100000 of 100000 cpu-hours since 1 March 2026`.
    pub fn words(&self) -> String {
        let since = day_words(self.budget.since);
        format!("{} of {} cpu-hours since {since}", hours_words(self.cpu_ms), self.budget.cpu_hours)
    }
}

impl Accounting {
    /// The budgets of an account and those above it.
    pub fn budgets<'a>(&'a self, account: &str) -> impl Iterator<Item = Spent<'a>> + use<'a> {
        self.chain(account).filter_map(|account: &'a Arc<AccountRecord>| {
            let cpu_ms = self.spent_ms(&account.name);
            Some(Spent { account, budget: account.budget?, cpu_ms })
        })
    }

    /// The budget of an account itself.
    pub fn budget_of<'a>(&'a self, account: &str) -> Option<Spent<'a>> {
        self.budgets(account).next().filter(|spent| spent.account.name == account)
    }
}

impl Core {
    /// Charges an attempt that has ended. To be called once for each, while its job still holds its slots.
    pub(super) fn charge(&mut self, now: Now, job: &Job, live: &Live, end: &End, outcome: &mut Outcome) {
        let accounting = &self.cluster.accounting;
        let Some(start) = end.start.filter(|_| !accounting.accounts.is_empty()) else { return };
        if accounting.budgets(&job.record.spec.account).next().is_none() {
            return;
        }
        let node = self.cluster.nodes.get(&live.node).and_then(|node| node.record.hardware.as_ref());
        let total = node.map(|hardware| hardware.resources).unwrap_or_default();
        let held = job.slots.get(&live.node).map(|slots| slots.charge);
        let held = held.unwrap_or_else(|| super::restored::charge_of(&job.record, &total));
        // By the node's clock, and no longer than it has had it by ours.
        let micros = end.end.micros_since(start).min(now.wall.micros_since(live.given));
        let cpu_ms = cpu_ms(&held, &total, micros / 1_000);
        let spent = accounting.budgets(&job.record.spec.account);
        let sums = spent.map(|spent| (spent.account.name.clone(), spent.cpu_ms.saturating_add(cpu_ms)));
        let sums: Vec<(String, u64)> = sums.collect();
        for (account, cpu_ms) in sums {
            self.commit(Change::BudgetSpent { account, cpu_ms }, outcome);
        }
    }
}

/// What holding resources for a time counts: the larger of the cpus and of the memory's part of the node, in cpus.
fn cpu_ms(held: &Resources, total: &Resources, ms: u64) -> u64 {
    let by_cpus = u128::from(held.cpus) * u128::from(ms);
    let memory = u128::from(held.memory_bytes) * u128::from(total.cpus) * u128::from(ms);
    let by_memory = memory / u128::from(total.memory_bytes.max(1));
    u64::try_from(by_cpus.max(by_memory)).unwrap_or(u64::MAX)
}

/// Whole hours from 100 on, below with a decimal.
fn hours_words(cpu_ms: u64) -> String {
    let tenths = cpu_ms / (HOUR_MS / 10);
    if tenths >= 1_000 || tenths.is_multiple_of(10) {
        (tenths / 10).to_string()
    } else {
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}

/// `1 March 2026`, in UTC.
fn day_words(at: WallTime) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    // From days to the calendar: years of 365.2425 days that begin in March (H. Hinnant, days_from_civil).
    let days = at.unix_seconds().div_euclid(86_400) + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let name = usize::try_from((month + 2) % 12).ok().and_then(|month| MONTHS.get(month)).unwrap_or(&"");
    format!("{date} {name} {}", era * 400 + year + i64::from(month >= 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_as_people_do() {
        let words = |seconds: i64| day_words(WallTime(seconds * 1_000_000));
        assert_eq!(words(0), "1 January 1970");
        assert_eq!(words(951_782_400), "29 February 2000");
        assert_eq!(words(1_772_323_199), "28 February 2026");
        assert_eq!(words(1_772_323_200), "1 March 2026");
        assert_eq!(words(1_798_761_599), "31 December 2026");
        assert_eq!(
            (hours_words(0), hours_words(5_400_000), hours_words(HOUR_MS * 100_000)),
            ("0".into(), "1.5".into(), "100000".into())
        );
    }

    #[test]
    fn the_dominant_resource_counts() {
        let total = Resources { cpus: 8, memory_bytes: 64 << 30, tmp_bytes: 0 };
        let held = |cpus, memory_bytes| Resources { cpus, memory_bytes, tmp_bytes: 0 };
        assert_eq!(cpu_ms(&held(2, 8 << 30), &total, 1_000), 2_000);
        assert_eq!(cpu_ms(&held(2, 32 << 30), &total, 1_000), 4_000);
        assert_eq!(cpu_ms(&held(8, u64::MAX), &Resources::default(), u64::MAX), u64::MAX);
    }
}
