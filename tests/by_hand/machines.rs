//! Machines that share nothing: each a process tree with a network, mounts, processes and a host name of its own, on
//! one switch. All of it vanishes with the processes that hold it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::{Output, finish, poll};

/// Folders of which every machine has its own.
const OWN: [&str; 6] = ["/etc", "/var", "/root", "/home", "/run", "/tmp"];
/// Where every machine finds the programs.
const PROGRAMS: &str = "/mnt";
/// The user whom `ctl` and the nodes know.
pub const ANN: u32 = 4_321;

/// A machine.
pub struct Machine {
    pub name: String,
    folder: PathBuf,
    holder: Child,
    init: i32,
    daemons: Vec<Child>,
}

/// Why there are no such machines here; `None`: there can be.
pub fn missing() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("this is not root".to_owned());
    }
    for program in ["ip", "unshare", "nsenter", "setpriv"] {
        let found =
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        // `ip` knows -V alone, but answers.
        if found.is_err() {
            return Some(format!("there is no `{program}`"));
        }
    }
    let mut made = Command::new("unshare");
    made.args(["--net", "--mount", "--uts", "--pid", "--fork", "sh", "-c"]);
    made.arg("mount --make-rprivate / && mount -t tmpfs none /mnt && ip link add name probe type bridge");
    let made = finish(made, "");
    (made.code != 0).then(|| format!("namespaces can't be made: {}", made.stderr.trim()))
}

impl Machine {
    /// Starts one; everything of its own lies below `root`, where nobody looks from inside.
    pub fn start(root: &Path, programs: &Path, name: &str, hosts: &str) -> Machine {
        let folder = root.join(name);
        for own in OWN {
            fs::create_dir_all(folder.join(&own[1..])).unwrap();
        }
        let etc = |file: &str, text: &str| fs::write(folder.join("etc").join(file), text).unwrap();
        etc("passwd", &format!("root:x:0:0::/root:/bin/sh\nann:x:{ANN}:{ANN}::/home/ann:/bin/sh\n"));
        etc("group", &format!("root:x:0:\nann:x:{ANN}:\n"));
        etc("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n");
        etc("hosts", hosts);
        let mut script =
            format!("set -e; mount --make-rprivate /; mount --bind '{}' {PROGRAMS}\n", programs.display());
        script += "mount -t proc proc /proc\n";
        script += &format!("echo {name} > /proc/sys/kernel/hostname\n");
        // Limits of jobs are the business of other tests; two nodes of one kernel must not share control groups.
        script += "if test -d /sys/fs/cgroup; then mount -t tmpfs none /sys/fs/cgroup; fi\n";
        script += &format!("mkdir -p '{0}/home/ann'; chown {ANN}:{ANN} '{0}/home/ann'\n", folder.display());
        script += &format!("chmod 1777 '{}/tmp'\n", folder.display());
        script += &format!("cp /etc/ld.so.cache '{}/etc/' || true\n", folder.display());
        // /tmp last: the folder itself may lie there.
        let own = OWN.map(|own| format!("mount --bind '{}{own}' {own}\n", folder.display()));
        script += &own.concat();
        script += "cd /; echo ready; exec sleep 100000\n";
        let ready = folder.join("ready");
        let holder = Command::new("unshare")
            .args(["--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(File::create(&ready).unwrap())
            .stderr(File::create(folder.join("holder.stderr")).unwrap())
            .spawn()
            .unwrap();
        let said = || fs::read_to_string(folder.join("holder.stderr")).unwrap_or_default();
        let mut machine =
            Machine { name: name.to_owned(), folder: folder.clone(), holder, init: 0, daemons: Vec::new() };
        poll("a machine to be up", || {
            let ended = machine.holder.try_wait().unwrap();
            assert!(ended.is_none(), "{name} did not come up: {}", said());
            fs::read_to_string(&ready).unwrap().contains("ready")
        });
        let pid = machine.holder.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        machine.init = children.split_whitespace().next().unwrap().parse().unwrap();
        machine
    }

    /// Gives it a cable to the switch.
    pub fn connect(&self, switch: &Machine, address: &str) {
        let (cable, here, there) =
            (format!("v{}", self.name), self.init.to_string(), switch.init.to_string());
        let words =
            ["link", "add", &cable, "netns", &there, "type", "veth", "peer", "name", "eth0", "netns", &here];
        let mut made = Command::new("ip");
        made.args(words);
        finish(made, "").ok();
        switch.ip(&["link", "set", &cable, "master", "switch", "up"]);
        self.ip(&["link", "set", "lo", "up"]);
        self.ip(&["addr", "add", &format!("{address}/24"), "dev", "eth0"]);
        self.ip(&["link", "set", "eth0", "up"]);
    }

    /// Runs `ip` there.
    pub fn ip(&self, words: &[&str]) {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.to_string(), "--net", "ip"]).args(words);
        finish(command, "").ok();
    }

    /// Runs a line of a shell there, as root or as ann, with her home.
    pub fn run(&self, line: &str, ann: bool) -> Output {
        finish(self.command(line, ann), "")
    }

    /// Starts a daemon there that goes on.
    pub fn start_daemon(&mut self, line: &str) {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        // The line may be any; what it starts takes the place of its shell.
        let mut command = self.command(&format!("exec {line}"), false);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.daemons.push(command.spawn().unwrap());
    }

    /// What its daemons have said.
    pub fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// A folder of its own, seen from outside.
    pub fn inside(&self, path: &str) -> PathBuf {
        self.folder.join(&path[1..])
    }

    fn log(&self) -> PathBuf {
        self.folder.join("daemon.stderr")
    }

    fn command(&self, line: &str, ann: bool) -> Command {
        let mut command = Command::new("nsenter");
        command.env_clear().env("PATH", format!("{PROGRAMS}:{}", std::env::var("PATH").unwrap()));
        command.args(["--target", &self.init.to_string(), "--net", "--mount", "--uts", "--pid"]);
        let home = if ann { "/home/ann" } else { "/root" };
        command.arg(format!("--wdns={home}"));
        if ann {
            let id = ANN.to_string();
            command.args(["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"]);
            command.env("USER", "ann");
        }
        command.env("HOME", home).args(["sh", "-c", line]);
        command
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.name, self.said());
        }
        // The first process of the machine takes all others with it.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}
