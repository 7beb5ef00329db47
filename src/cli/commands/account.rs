//! `jctld account` and `jctld qos`: add, set, list, remove.

use serde_json::Value;

use super::context::Context;
use super::node_act::done;
use crate::cli::args::jctld::Named;
use crate::cli::args::values::Setting;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::render::account::{account_json, accounts, qos_json, qualities};
use crate::cli::table::terminal_width;
use crate::cli::text::print;
use crate::client::session::Client;
use crate::client::wait::unexpected;
use crate::model::parse::span;
use crate::model::time::Seconds;
use crate::wire::account::{AccountInfo, AccountSettings, LimitSettings, Names, QosInfo, QosSettings};
use crate::wire::client::{AccountAct, Reply, Request};

/// What is understood and not honoured yet.
const LATER: &[&str] = &["max-gpus", "max-gpus-per-user", "preempts", "until"];

/// Does what is asked with accounts.
pub(super) fn account(context: &Context, verb: &Named) -> Result<ExitCode, CliError> {
    let set = |new, name: &str, given: &[Setting]| {
        let settings = Box::new(account_settings(name, given)?);
        change(context, AccountAct::Set { new, settings })
    };
    match verb {
        Named::Add { name, given } => set(true, name, given),
        Named::Set { name, given } => set(false, name, given),
        Named::Remove { name } => change(context, AccountAct::Remove { name: name.clone() }),
        Named::List => context.with_client(async |client| {
            let (rows, _) = ask(client, AccountAct::List).await?;
            if context.json {
                context.print_json(Value::Array(rows.iter().map(account_json).collect()))?;
            } else {
                print(&accounts(&rows, &context.clock).text(true, terminal_width()))?;
            }
            Ok(ExitCode::Done)
        }),
    }
}

/// Does what is asked with qualities of service.
pub(super) fn qos(context: &Context, verb: &Named) -> Result<ExitCode, CliError> {
    let set = |new, name: &str, given: &[Setting]| {
        let settings = Box::new(qos_settings(name, given)?);
        change(context, AccountAct::QosSet { new, settings })
    };
    match verb {
        Named::Add { name, given } => set(true, name, given),
        Named::Set { name, given } => set(false, name, given),
        Named::Remove { name } => change(context, AccountAct::QosRemove { name: name.clone() }),
        Named::List => context.with_client(async |client| {
            let (_, rows) = ask(client, AccountAct::QosList).await?;
            if context.json {
                context.print_json(Value::Array(rows.iter().map(qos_json).collect()))?;
            } else {
                print(&qualities(&rows).text(true, terminal_width()))?;
            }
            Ok(ExitCode::Done)
        }),
    }
}

fn change(context: &Context, act: AccountAct) -> Result<ExitCode, CliError> {
    context.with_client(async |client| {
        done(context, client, Request::Account(act)).await?;
        Ok(ExitCode::Done)
    })
}

async fn ask(client: &mut Client, act: AccountAct) -> Result<(Vec<AccountInfo>, Vec<QosInfo>), CliError> {
    match client.ask(&Request::Account(act)).await? {
        Reply::Accounts { accounts, qos } => Ok((accounts, qos)),
        other => Err(unexpected(&other).into()),
    }
}

/// Reads `KEY=VALUE`s; a later one of the same key wins.
///
/// # Errors
/// Keys and values that can't be (64), or are not honoured yet (65).
pub(in crate::cli) fn account_settings(name: &str, given: &[Setting]) -> Result<AccountSettings, CliError> {
    let mut settings = AccountSettings { name: name.to_owned(), ..AccountSettings::default() };
    for setting in given {
        let value = setting.value.trim();
        match setting.key.as_str() {
            key if LATER.contains(&key) => return Err(later(setting)),
            "parent" => settings.parent = Some((!value.is_empty()).then(|| value.to_owned())),
            "share" => {
                settings.share = Some(number(setting)?.unwrap_or(crate::model::account::SHARE_DEFAULT))
            }
            "user-shares" => settings.user_shares = Some(shares(setting)?),
            "users" => settings.users = Some(names(setting)?),
            "coordinators" => settings.coordinators = Some(names(setting)?),
            "default-for" => settings.default_for = Some(names(setting)?),
            "budget" => settings.budget = Some(budget(setting)?),
            _ => limit(setting, &mut settings.limits)?,
        }
    }
    Ok(settings)
}

/// As [`account_settings`].
///
/// # Errors
/// As there.
pub(in crate::cli) fn qos_settings(name: &str, given: &[Setting]) -> Result<QosSettings, CliError> {
    let mut settings = QosSettings { name: name.to_owned(), ..QosSettings::default() };
    for setting in given {
        let value = setting.value.trim();
        match setting.key.as_str() {
            key if LATER.contains(&key) => return Err(later(setting)),
            "priority" if value.is_empty() => settings.priority = Some(0),
            "priority" => {
                let priority = value.parse();
                settings.priority = Some(priority.map_err(|_| wrong(setting, "is no whole number"))?);
            }
            _ => limit(setting, &mut settings.limits)?,
        }
    }
    Ok(settings)
}

fn limit(setting: &Setting, limits: &mut LimitSettings) -> Result<(), CliError> {
    let place = match setting.key.as_str() {
        "max-running" => &mut limits.running,
        "max-cpus" => &mut limits.cpus,
        "max-submitted" => &mut limits.submitted,
        "max-running-per-user" => &mut limits.user_running,
        "max-cpus-per-user" => &mut limits.user_cpus,
        "max-submitted-per-user" => &mut limits.user_submitted,
        "max-time" => {
            limits.time = Some(time(setting)?);
            return Ok(());
        }
        other => {
            let error = CliError::usage("unknown_key", format!("`{other}` can't be set")).option(other);
            return Err(error.hint("`man jctld` lists the keys"));
        }
    };
    *place = Some(number(setting)?);
    Ok(())
}

pub(super) fn time(setting: &Setting) -> Result<Option<Seconds>, CliError> {
    let value = setting.value.trim();
    if value.is_empty() {
        return Ok(None);
    }
    span::limit(value).map(|limit| limit.0).map_err(|error| wrong(setting, &format!("is no time: {error}")))
}

pub(super) fn number(setting: &Setting) -> Result<Option<u32>, CliError> {
    let value = setting.value.trim();
    if value.is_empty() {
        return Ok(None);
    }
    value.parse().map(Some).map_err(|_| wrong(setting, "is no whole number"))
}

/// `100000cpu-hours`; the unit may stand apart or be left out.
fn budget(setting: &Setting) -> Result<Option<u64>, CliError> {
    let value = setting.value.trim();
    if value.is_empty() {
        return Ok(None);
    }
    let hours = value.strip_suffix("cpu-hours").unwrap_or(value).trim();
    hours.parse().map(Some).map_err(|_| wrong(setting, "is no number of cpu-hours, such as 100000cpu-hours"))
}

/// `a:3,b:2`
fn shares(setting: &Setting) -> Result<Vec<(String, u32)>, CliError> {
    let words = setting.value.split(',').map(str::trim).filter(|word| !word.is_empty());
    let share = |word: &str| {
        let (user, share) = word.split_once(':')?;
        Some((user.to_owned(), share.parse().ok()?))
    };
    let all: Option<Vec<(String, u32)>> = words.map(share).collect();
    all.ok_or_else(|| wrong(setting, "is no list of users and their shares, such as ada:3,ben:2"))
}

/// `a,b`: these; `+a,-b`: with and without.
fn names(setting: &Setting) -> Result<Names, CliError> {
    let words = setting.value.split(',').map(str::trim).filter(|word| !word.is_empty());
    let (mut all, mut add, mut remove) = (Vec::new(), Vec::new(), Vec::new());
    for word in words {
        match (word.strip_prefix('+'), word.strip_prefix('-')) {
            (Some(name), _) => add.push(name.to_owned()),
            (_, Some(name)) => remove.push(name.to_owned()),
            _ => all.push(word.to_owned()),
        }
    }
    match (all.is_empty(), add.is_empty() && remove.is_empty()) {
        (_, true) => Ok(Names::All(all)),
        (true, false) => Ok(Names::Edit { add, remove }),
        (false, false) => Err(wrong(setting, "is neither a list nor a change of one: +A,-B, or A,B")),
    }
}

pub(super) fn wrong(setting: &Setting, why: &str) -> CliError {
    let message = format!("{}: `{}` {why}", setting.key, setting.value.trim());
    CliError::usage("malformed_value", message).option(&setting.key)
}

fn later(setting: &Setting) -> CliError {
    let message = format!("not supported yet: {}={}", setting.key, setting.value);
    CliError::script("not_supported", message).option(&setting.key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<AccountSettings, CliError> {
        let given: Vec<Setting> = words.iter().map(|word| word.parse().unwrap()).collect();
        account_settings("physics", &given)
    }

    #[test]
    fn settings_are_read_or_refused_with_their_key() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let set =
            read(&["parent=", "users=a, b", "coordinators=+c,-d", "max-time=2d", "max-submitted="]).unwrap();
        assert_eq!((set.parent, set.users), (Some(None), Some(Names::All(words(&["a", "b"])))));
        let edit = Names::Edit { add: words(&["c"]), remove: words(&["d"]) };
        assert_eq!((set.coordinators, set.limits.submitted), (Some(edit), Some(None)));
        assert_eq!(set.limits.time, Some(Some(Seconds(172_800))));
        assert_eq!(read(&["max-time=UNLIMITED"]).unwrap().limits.time, Some(None));
        for (word, key) in [
            ("max-submitted=many", "max-submitted"),
            ("max-submitted=-1", "max-submitted"),
            ("max-time=x", "max-time"),
            ("users=a,+b", "users"),
            ("color=red", "color"),
        ] {
            let error = read(&[word]).unwrap_err();
            assert_eq!(error.code.number(), 64, "{word}");
            assert!(error.message.contains(key), "{word}: {}", error.message);
        }
        assert_eq!(read(&["max-gpus=3"]).unwrap_err().code.number(), 65);
        let priority: Setting = "priority=1.5".parse().unwrap();
        assert_eq!(qos_settings("long", &[priority]).unwrap_err().code.number(), 64);
    }
}
