//! What `jctld` does through the running daemon, from anywhere, with an admin's certificate.

use super::context::Context;
use super::node_act::done;
use super::{account, admin_audit, admin_user, config};
use crate::cli::args::General;
use crate::cli::args::jctld::{Ca, User, Verb};
use crate::cli::error::{CliError, ExitCode};
use crate::cli::render::lines::{lines_json, lines_table};
use crate::cli::render::status::{status as status_text, status_json};
use crate::cli::table::terminal_width;
use crate::cli::text::print;
use crate::client::session::Client;
use crate::client::wait::unexpected;
use crate::model::identity::Serial;
use crate::wire::client::{Admin, Reply, Request};

const PROGRAM: &str = "jctld";

/// Runs a verb of `jctld` if it is one that goes through the running daemon; `None`: it is not, and nothing was done.
///
/// # Errors
/// Everything that is reported with an exit code of its own.
pub fn admin(general: &General, verb: &Verb) -> Result<Option<ExitCode>, CliError> {
    let context = Context::new(PROGRAM, general);
    let code = match verb {
        Verb::Status => status(&context)?,
        Verb::Verify { dir: None } => plain(&context, Admin::Verify)?,
        Verb::Stop { span: None } => plain(&context, Admin::Stop)?,
        Verb::Stop { span: Some(_) } => {
            return Err(CliError::script("not_supported", "not supported yet: stop --for").option("--for"));
        }
        Verb::User(User::Add { name, uid, role, ttl, out }) => {
            admin_user::add(&context, name, *uid, *role, *ttl, out.as_deref())?
        }
        Verb::User(User::List) => lines(&context, Admin::UserList)?,
        Verb::User(User::Remove { name, cancel_jobs, keep_running }) => {
            let cancel_jobs = match (cancel_jobs, keep_running) {
                (true, _) => Some(true),
                (false, true) => Some(false),
                (false, false) => None,
            };
            plain(&context, Admin::UserRemove { name: name.clone(), cancel_jobs })?
        }
        Verb::Ca(Ca::List) => lines(&context, Admin::CertificateList)?,
        Verb::Ca(Ca::Revoke { which }) => revoke(&context, which)?,
        Verb::Account(named) => account::account(&context, named)?,
        Verb::Qos(named) => account::qos(&context, named)?,
        Verb::Config(verb) => config::config(&context, verb)?,
        Verb::Accept => plain(&context, Admin::Accept)?,
        Verb::Export => plain(&context, Admin::Export)?,
        Verb::Backup { dir } => {
            // A relative path is meant from here, as far as the controller is on this host.
            let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
            plain(&context, Admin::Backup { folder: dir.to_string_lossy().into_owned() })?
        }
        Verb::Audit { verify: true, .. } => plain(&context, Admin::AuditVerify)?,
        Verb::Audit { .. } => admin_audit::audit(&context, verb)?,
        _ => return Ok(None),
    };
    Ok(Some(code))
}

fn plain(context: &Context, admin: Admin) -> Result<ExitCode, CliError> {
    context.with_client(async |client| {
        done(context, client, Request::Admin(admin)).await?;
        Ok(ExitCode::Done)
    })
}

fn status(context: &Context) -> Result<ExitCode, CliError> {
    context.with_client(async |client| {
        let answer = client.ask(&Request::Admin(Admin::Status)).await?;
        let Reply::Status(status) = answer else { return Err(unexpected(&answer).into()) };
        if context.json {
            context.print_json(status_json(&status))?;
        } else {
            print(&status_text(&status, &context.clock))?;
        }
        Ok(ExitCode::Done)
    })
}

fn lines(context: &Context, admin: Admin) -> Result<ExitCode, CliError> {
    context.with_client(async |client| {
        let table = ask_lines(client, admin).await?;
        give(context, &table)
    })
}

/// Cuts off one certificate by its serial, or all that bear a name.
fn revoke(context: &Context, which: &str) -> Result<ExitCode, CliError> {
    context.with_client(async |client| {
        let serials = match serial(which) {
            Some(serial) => vec![serial],
            None => {
                let table = ask_lines(client, Admin::CertificateList).await?;
                let of_name = table.iter().skip(1).filter(|row| row.iter().any(|cell| cell == which));
                of_name.filter_map(|row| row.iter().find_map(|cell| serial(cell))).collect()
            }
        };
        if serials.is_empty() {
            let error = CliError::new(
                ExitCode::Refused,
                "no_such_certificate",
                format!("no certificate of `{which}`"),
            );
            return Err(error.hint("`jctld ca list` shows serials and names"));
        }
        for serial in serials {
            done(context, client, Request::Admin(Admin::CertificateRevoke { serial })).await?;
        }
        Ok(ExitCode::Done)
    })
}

async fn ask_lines(client: &mut Client, admin: Admin) -> Result<Vec<Vec<String>>, CliError> {
    match client.ask(&Request::Admin(admin)).await? {
        Reply::Lines(lines) => Ok(lines),
        other => Err(unexpected(&other).into()),
    }
}

fn give(context: &Context, table: &[Vec<String>]) -> Result<ExitCode, CliError> {
    if context.json {
        context.print_json(lines_json(table))?;
    } else {
        print(&lines_table(table, &context.clock).text(false, terminal_width()))?;
    }
    Ok(ExitCode::Done)
}

/// A serial as `ca list` prints it: 32 hexadecimal digits.
fn serial(text: &str) -> Option<Serial> {
    let digits = text.as_bytes();
    if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let number = u128::from_str_radix(text, 16).ok()?;
    Some(Serial(number.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_read_as_they_are_written() {
        let one = Serial([0xab; 16]);
        assert_eq!(serial(&one.to_string()), Some(one));
        assert_eq!(
            (serial("alice"), serial(&"a".repeat(33)), serial(&format!("+{}", "a".repeat(31)))),
            (None, None, None)
        );
    }
}
