//! Runs a program to its end, and stays open for Ctrl-C meanwhile.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::failure::Failure;
use crate::interrupt;

/// How soon a signal is noticed while a program runs.
const NOTICE: Duration = Duration::from_millis(50);

/// What a program did.
#[derive(Debug)]
pub struct Finished {
    /// The command line, for messages.
    pub command: String,
    /// The exit code, 128+n after signal n.
    pub code: i32,
    /// All of standard output, without white space at its end.
    pub stdout: String,
    /// All of standard error, if it was collected.
    pub stderr: String,
}

/// Runs a program to its end and collects what it says on standard output and standard error.
pub fn collect(mut command: Command) -> Result<Finished, Failure> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command)
}

/// Runs a program to its end; it writes to the terminal. Fails unless it ends with 0.
pub fn show(mut command: Command) -> Result<(), Failure> {
    command.stdin(Stdio::null());
    finish(command)?.expect(0).map(drop)
}

/// The command line as a person would type it, without the folder of the program.
pub fn line(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let name = program.rsplit('/').next().unwrap_or(&program).to_owned();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(name).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// The exit code of a status, 128+n after signal n.
pub fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

impl Finished {
    /// Fails unless the program ended with this code.
    pub fn expect(self, code: i32) -> Result<Finished, Failure> {
        if self.code == code {
            return Ok(self);
        }
        let said = [self.stderr.trim(), self.stdout.trim()].join("\n").trim().to_owned();
        let said = if said.is_empty() { said } else { format!(":\n{said}") };
        Err(Failure::Ended { command: self.command, code: self.code, said })
    }

    /// The `data` of the JSON envelope on standard output.
    pub fn data(&self) -> Result<Value, Failure> {
        let wrong = |why: String| {
            Failure::Wrong(format!(
                "`{}` printed no envelope of schema jsched/1 ({why}):\n{}",
                self.command, self.stdout
            ))
        };
        let mut envelope: Value =
            serde_json::from_str(&self.stdout).map_err(|error| wrong(error.to_string()))?;
        match envelope.get_mut("data") {
            Some(data) => Ok(data.take()),
            None => Err(wrong("there is no `data`".to_owned())),
        }
    }
}

fn finish(mut command: Command) -> Result<Finished, Failure> {
    let line = line(&command);
    let child = command.spawn().map_err(|source| Failure::Start { command: line.clone(), source })?;
    let pid = Pid::from_raw(child.id().cast_signed());
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(child.wait_with_output()));
    loop {
        match told.recv_timeout(NOTICE) {
            Ok(output) => {
                let output = output.map_err(|source| Failure::Start { command: line.clone(), source })?;
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
                let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
                return Ok(Finished { command: line, code: code(output.status), stdout, stderr });
            }
            Err(_) => interrupt::check().inspect_err(|_| {
                // It may have ended by itself, or by the same Ctrl-C.
                let _ = kill(pid, Signal::SIGTERM);
            })?,
        }
    }
}
