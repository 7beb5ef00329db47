//! The environment that a login shell gives its user, for `--get-user-env`.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::surroundings::{Surroundings, Variables};
use crate::cli::error::{CliError, ExitCode};
use crate::model::spec::ENVIRONMENT_BYTES_MAX;

/// How long a login shell may take, in seconds, before it is ended.
const LOGIN_SECONDS_MAX: u64 = 10;
/// What a login shell needs to know of its user.
const KEPT: [&str; 6] = ["HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG"];
/// Stands before the environment, so that what profile scripts print is not taken for it.
const MARK: &[u8] = b"\0jsched-environment\0";

/// Asks the user's login shell.
///
/// # Errors
/// A shell that can't be started, fails, or takes longer than 10 seconds (1).
pub fn environment(around: &Surroundings) -> Result<Variables, CliError> {
    let shell = around.variable("SHELL").unwrap_or(b"/bin/sh");
    let failed = |why: String| {
        let error =
            CliError::new(ExitCode::Refused, "login_shell_failed", format!("the login shell failed: {why}"));
        error.option("--get-user-env").hint("try it: env -i HOME=\"$HOME\" \"$SHELL\" -l -c env")
    };
    let mut command = Command::new(OsStr::from_bytes(shell));
    command.args(["-l", "-c", "printf '\\0jsched-environment\\0'; exec env -0"]).env_clear();
    for name in KEPT {
        if let Some(value) = around.variable(name) {
            command.env(name, OsStr::from_bytes(value));
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|why| failed(why.to_string()))?;
    let (sender, receiver) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // A shell that prints without end is cut, and found too large later on.
            let read = output.take(4 * ENVIRONMENT_BYTES_MAX as u64).read_to_end(&mut bytes);
            let _ = sender.send(read.map(|_| bytes));
        });
    }
    let answer = receiver.recv_timeout(Duration::from_secs(LOGIN_SECONDS_MAX));
    let _ = child.kill();
    let _ = child.wait();
    match answer {
        Ok(Ok(bytes)) => parse(&bytes).ok_or_else(|| failed("it printed no environment".to_owned())),
        Ok(Err(why)) => Err(failed(why.to_string())),
        Err(_) => Err(failed(format!("no answer within {LOGIN_SECONDS_MAX} seconds"))),
    }
}

fn parse(bytes: &[u8]) -> Option<Variables> {
    let at = bytes.windows(MARK.len()).rposition(|window| window == MARK)?;
    let block = bytes.get(at + MARK.len()..)?;
    let entries = block.split(|b| *b == 0).filter_map(|entry| {
        let equals = entry.iter().position(|b| *b == b'=').filter(|at| *at > 0)?;
        Some((entry.get(..equals)?.to_vec(), entry.get(equals + 1..)?.to_vec()))
    });
    // What describes the shell that was asked says nothing about the job.
    Some(
        entries
            .filter(|(name, _)| !matches!(name.as_slice(), b"_" | b"SHLVL" | b"PWD" | b"OLDPWD"))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_profiles_print_is_no_variable() {
        let variables = parse(b"hello=1\n\0jsched-environment\0A=1\0B=x=y\0SHLVL=2\0\0").unwrap();
        assert_eq!(variables, [(b"A".to_vec(), b"1".to_vec()), (b"B".to_vec(), b"x=y".to_vec())]);
        assert!(parse(b"A=1\0").is_none());
    }
}
