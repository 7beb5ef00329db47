//! Daemons of a cluster run one by one, without `jctld dev`, which would start them again.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Cluster, poll, processes};

/// They are killed with this.
#[derive(Default)]
pub struct Daemons(Vec<Child>);

impl Daemons {
    /// `PROGRAM OPTION PATH run`, to be changed before it is spawned; its log is `logs/PROGRAM.log`.
    pub fn command(cluster: &Cluster, program: &str, option: &str, path: &Path) -> Command {
        let own = cluster.dir.join(format!("logs/{program}.log"));
        let log = File::options().create(true).append(true).open(own).unwrap();
        let mut command = cluster.command(program);
        command.arg(option).arg(path).arg("run");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command
    }

    /// Starts a daemon.
    pub fn start(&mut self, cluster: &Cluster, program: &str, option: &str, path: &Path) {
        self.0.push(Daemons::command(cluster, program, option, path).spawn().unwrap());
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// kill -9 of `jctld dev` first, so that it starts nothing again and ends no job, then of what it started.
pub fn kill_all(cluster: &Cluster, names: &[&str]) {
    let daemons: Vec<Pid> = names.iter().map(|name| cluster.pid(name).unwrap()).collect();
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemons[0])).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    kill(Pid::from_raw(parent.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
    for daemon in &daemons {
        kill(*daemon, Signal::SIGKILL).unwrap();
    }
    poll("the daemons to be gone", || !daemons.iter().any(|daemon| processes::is_alive(*daemon)));
}
