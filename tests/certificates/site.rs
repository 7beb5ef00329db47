//! A cluster put up by hand on this machine: `init`, `join` and `run` as processes of the test's own, so that nobody
//! starts again what it stops.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::harness::{Output, finish, poll};
use jsched::model::time::WallTime;
use jsched::pki::authority::Authority;
use jsched::pki::certificate::{Subject, Validity};
use jsched::pki::credentials::CredentialFiles;
use jsched::pki::file::{Publish, write_public};
use jsched::pki::key::KeyPair;
use jsched::pki::request::PublicKey;

/// A cluster in a folder.
pub struct Site {
    pub root: tempfile::TempDir,
    pub address: String,
    daemons: Vec<(String, Child)>,
}

impl Site {
    /// Makes a cluster. `settings` are lines for `jctld.toml`.
    pub fn init(settings: &str) -> Site {
        let root = tempfile::Builder::new().prefix("jsched-test-").tempdir().unwrap();
        let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut site = Site { root, address: free.to_string(), daemons: Vec::new() };
        let made = site.ctl(&["init", "--advertise", &site.address.clone()]);
        assert_eq!(made.code, 0, "{made:?}");
        let root = nix::unistd::geteuid().is_root();
        site.set(&format!("listen = \"{free}\"\nallow_root = {root}\n{settings}"));
        site
    }

    /// Replaces lines of `jctld.toml`, key by key.
    pub fn set(&mut self, lines: &str) {
        let file = self.settings();
        let key = |line: &str| line.split('=').next().unwrap().trim().to_owned();
        let new: Vec<&str> = lines.lines().collect();
        let old = fs::read_to_string(&file).unwrap();
        let kept = old.lines().filter(|line| !new.iter().any(|other| key(other) == key(line)));
        let text: Vec<&str> = kept.chain(new.iter().copied()).collect();
        fs::write(&file, text.join("\n") + "\n").unwrap();
    }

    pub fn settings(&self) -> PathBuf {
        self.path("etc/jctld.toml")
    }

    pub fn path(&self, inner: &str) -> PathBuf {
        self.root.path().join(inner)
    }

    /// A program with the home of this site, which is where the first admin's configuration is.
    pub fn command(&self, program: &str) -> Command {
        let folder = Path::new(env!("CARGO_BIN_EXE_jctld")).parent().unwrap();
        let mut command = Command::new(folder.join(program));
        for (name, _) in std::env::vars_os() {
            if ["JSCHED_CONFIG", "JSCHED_LOG"].iter().any(|own| name == *own) {
                command.env_remove(&name);
            }
        }
        command.env("HOME", self.root.path()).current_dir(self.root.path());
        command
    }

    pub fn run(&self, program: &str, words: &[&str]) -> Output {
        let mut command = self.command(program);
        command.args(words);
        finish(command, "")
    }

    /// `jctld` with this site's settings.
    pub fn ctl(&self, words: &[&str]) -> Output {
        let mut command = self.command("jctld");
        command.arg("--settings").arg(self.settings()).args(words);
        finish(command, "")
    }

    /// `jworkerd` in a node's folder.
    pub fn worker(&self, node: &str, words: &[&str]) -> Output {
        let mut command = self.command("jworkerd");
        command.arg("--dir").arg(self.path(node)).args(words);
        finish(command, "")
    }

    /// Starts the controller and waits until it answers.
    pub fn start_controller(&mut self) {
        let mut command = self.command("jctld");
        command.arg("--settings").arg(self.settings()).arg("run");
        let before = self.said("jctld").matches("serving").count();
        self.start("jctld", command);
        poll("the controller to serve", || self.said("jctld").matches("serving").count() > before);
    }

    /// Lets a node join.
    pub fn join_node(&mut self, node: &str) {
        let token = self.run("jnode", &["add", node]).ok();
        self.worker(node, &["join", &token]).ok();
        let file = self.path(node).join("jworkerd.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}control_groups = false\nallow_root_jobs = true\n")).unwrap();
    }

    /// Lets a node join and starts its daemon.
    pub fn start_node(&mut self, node: &str) {
        self.join_node(node);
        self.start_worker(node);
        poll("the node to be up", || self.run("jnode", &["--no-header"]).stdout.contains(" idle "));
    }

    /// Puts another certificate of this CA beside the key in a folder, which counts from and to so many seconds from
    /// now.
    pub fn give(&self, folder: &str, subject: &Subject, from: i64, to: i64) {
        let authority = Authority::load(&self.path("etc/ca")).unwrap();
        let files = CredentialFiles::in_folder(&self.path(folder));
        let key = PublicKey::of(&KeyPair::read(&files.key).unwrap()).unwrap();
        let at = |seconds: i64| WallTime(now().0 + seconds * 1_000_000);
        let validity = Validity { not_before: at(from), not_after: at(to) };
        let issued = authority.issue(subject, &key, validity).unwrap();
        write_public(&files.certificate, issued.pem.as_bytes(), Publish::Replace).unwrap();
    }

    /// Starts the daemon of a node that has joined.
    pub fn start_worker(&mut self, node: &str) {
        let mut command = self.command("jworkerd");
        command.arg("--dir").arg(self.path(node)).arg("run");
        self.start(node, command);
    }

    fn start(&mut self, name: &str, mut command: Command) {
        let log = File::options().create(true).append(true).open(self.path(&format!("{name}.log"))).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.daemons.push((name.to_owned(), command.spawn().unwrap()));
    }

    /// Ends a daemon with signal 9.
    pub fn kill(&mut self, name: &str) {
        let at = self.daemons.iter().position(|(other, _)| other == name).unwrap();
        let (_, mut daemon) = self.daemons.remove(at);
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    /// What a daemon has logged.
    pub fn said(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (name, _) in &self.daemons {
                let said = self.said(name);
                let lines: Vec<&str> = said.lines().collect();
                eprintln!("--- {name}\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
            }
        }
        for (_, daemon) in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let left = crate::harness::end_all(self.root.path());
        assert!(left == 0 || std::thread::panicking(), "{left} processes can't be ended");
    }
}

/// The clock.
pub fn now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    WallTime(i64::try_from(since.as_micros()).unwrap())
}

/// A library that moves the clock of the program that it is loaded into; `None` where there is no C compiler.
pub fn clock_library(folder: &Path) -> Option<PathBuf> {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    let text = "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <stdlib.h>\n#include <time.h>\n\
                #include <sys/syscall.h>\n#include <unistd.h>\n\
                int clock_gettime(clockid_t id, struct timespec *to) {\n\
                  int done = syscall(SYS_clock_gettime, id, to);\n\
                  const char *by = getenv(\"CLOCK_AHEAD\");\n\
                  if (done == 0 && id == CLOCK_REALTIME && by) to->tv_sec += atol(by);\n\
                  return done;\n}\n";
    fs::write(&source, text).unwrap();
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    made.is_ok_and(|status| status.success()).then_some(library)
}
