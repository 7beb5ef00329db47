//! Control groups of attempts: made, joined, measured, frozen, emptied and removed.
//!
//! A supervisor has a group of its id in each tree, and below it a group for each attempt. Version 2 needs one
//! tree; of version 1 the freezer is always used, so that a group can be emptied although it forks.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::launch::Groups;
use crate::wire::supervisor::Cgroups;

/// The group of one attempt, in all trees.
#[derive(Debug)]
pub struct Group {
    kind: Kind,
    folders: Vec<(String, PathBuf)>,
    joins: Vec<File>,
    /// Its folder, if it is of version 2.
    into: Option<File>,
    memory: bool,
    /// Where processor time is counted, and what was counted there when the current attempt began.
    cpu: Option<File>,
    cpu_before_us: u64,
    cpu_seen_us: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    V1,
    V2,
}

/// What a group has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupUsage {
    /// Processor time in milliseconds, if it is counted there.
    pub cpu_ms: Option<u64>,
    /// Memory now, if it is counted there.
    pub memory_bytes: Option<u64>,
    /// The most memory, if it is counted there.
    pub memory_peak_bytes: Option<u64>,
}

impl Group {
    /// Makes the group `supervisor/name`, with a memory limit if it is not 0 and the trees can do it.
    pub fn create(trees: &Cgroups, supervisor: &str, name: &str, memory_bytes: u64) -> io::Result<Group> {
        let (kind, roots) = roots(trees);
        let mut group = Group {
            kind,
            folders: Vec::new(),
            joins: Vec::new(),
            into: None,
            memory: trees.limits_memory(),
            cpu: None,
            cpu_before_us: 0,
            cpu_seen_us: 0,
        };
        // Of version 1 a process that has one thread joins through `tasks`: joining through `cgroup.procs` waits
        // for all processors, which takes milliseconds on an idle host.
        let join = if kind == Kind::V1 { "tasks" } else { "cgroup.procs" };
        for (controller, root) in roots {
            let parent = root.join(supervisor);
            let folder = parent.join(name);
            make(&parent)?;
            if kind == Kind::V2 && group.memory {
                write(&parent.join("cgroup.subtree_control"), "+memory")?;
            }
            make(&folder)?;
            group.joins.push(OpenOptions::new().write(true).open(folder.join(join))?);
            let counter = match (kind, controller.as_str()) {
                (Kind::V2, _) => Some("cpu.stat"),
                (Kind::V1, "cpuacct") => Some("cpuacct.usage"),
                (Kind::V1, _) => None,
            };
            group.cpu = group.cpu.or(counter.and_then(|name| File::open(folder.join(name)).ok()));
            if kind == Kind::V2 {
                group.into = Some(File::open(&folder)?);
            }
            group.folders.push((controller, folder));
        }
        if memory_bytes > 0 && group.memory {
            group.limit_memory(memory_bytes)?;
        }
        Ok(group)
    }

    /// The ways into it for a process of one thread.
    pub fn joins(&self) -> Groups<'_> {
        let joins = self.joins.iter().map(AsFd::as_fd).collect();
        Groups { into: self.into.as_ref().map(AsFd::as_fd), joins }
    }

    /// Whether its memory limit is the kernel's business.
    pub fn limits_memory(&self) -> bool {
        self.memory
    }

    /// Its processes.
    pub fn pids(&self) -> Vec<i32> {
        self.folders.first().map_or(Vec::new(), |(_, folder)| pids(folder))
    }

    /// One pass of killing: everything that is there now. Repeat until `pids` is empty.
    pub fn kill(&self) {
        match (self.kind, self.folder("freezer")) {
            (Kind::V2, _) => kill_v2(self.folders.first().map(|(_, folder)| folder.as_path())),
            (Kind::V1, Some(folder)) => kill_v1(folder),
            (Kind::V1, None) => {}
        }
    }

    /// Freezes or thaws. Freezing takes its time: `is_frozen`.
    pub fn freeze(&self, frozen: bool) -> io::Result<()> {
        match (self.kind, self.folders.first(), self.folder("freezer")) {
            (Kind::V2, Some((_, folder)), _) => {
                write(&folder.join("cgroup.freeze"), if frozen { "1" } else { "0" })
            }
            (Kind::V1, _, Some(folder)) => {
                write(&folder.join("freezer.state"), if frozen { "FROZEN" } else { "THAWED" })
            }
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Whether all of it is frozen.
    pub fn is_frozen(&self) -> bool {
        match (self.kind, self.folders.first(), self.folder("freezer")) {
            (Kind::V2, Some((_, folder)), _) => field(&folder.join("cgroup.events"), "frozen") == Some(1),
            (Kind::V1, _, Some(folder)) => std::fs::read_to_string(folder.join("freezer.state"))
                .is_ok_and(|state| state.trim() == "FROZEN"),
            _ => false,
        }
    }

    /// How many of its processes the kernel has killed for memory.
    pub fn memory_kills(&self) -> u64 {
        let count = match self.kind {
            Kind::V2 => {
                self.folders.first().and_then(|(_, folder)| field(&folder.join("memory.events"), "oom_kill"))
            }
            Kind::V1 => {
                self.folder("memory").and_then(|folder| field(&folder.join("memory.oom_control"), "oom_kill"))
            }
        };
        count.unwrap_or(0)
    }

    /// Makes an empty group ready for another attempt; `None`, and it is removed, if that one would inherit something:
    /// memory that is still charged.
    pub fn renewed(mut self) -> Option<Group> {
        if self.memory {
            self.remove();
            return None;
        }
        self.cpu_before_us = self.cpu_seen_us;
        Some(self)
    }

    /// What the current attempt has used.
    pub fn usage(&mut self) -> GroupUsage {
        let cpu_us = self.cpu.as_ref().and_then(|file| counted_us(self.kind, file));
        self.cpu_seen_us = cpu_us.unwrap_or(self.cpu_seen_us);
        let cpu_ms = cpu_us.map(|us| us.saturating_sub(self.cpu_before_us) / 1_000);
        match self.kind {
            Kind::V2 => self.folders.first().map_or(GroupUsage::default(), |(_, folder)| GroupUsage {
                cpu_ms,
                memory_bytes: number(&folder.join("memory.current")),
                memory_peak_bytes: number(&folder.join("memory.peak")),
            }),
            Kind::V1 => GroupUsage {
                cpu_ms,
                memory_bytes: self
                    .folder("memory")
                    .and_then(|folder| number(&folder.join("memory.usage_in_bytes"))),
                memory_peak_bytes: self
                    .folder("memory")
                    .and_then(|folder| number(&folder.join("memory.max_usage_in_bytes"))),
            },
        }
    }

    /// Removes it. It must be empty.
    pub fn remove(self) {
        for (_, folder) in &self.folders {
            remove_folders(folder);
        }
    }

    fn folder(&self, controller: &str) -> Option<&Path> {
        self.folders.iter().find(|(name, _)| name == controller).map(|(_, folder)| folder.as_path())
    }

    fn limit_memory(&self, bytes: u64) -> io::Result<()> {
        match (self.kind, self.folders.first(), self.folder("memory")) {
            (Kind::V2, Some((_, folder)), _) => {
                write(&folder.join("memory.max"), &bytes.to_string())?;
                // Where swap is counted, none of it comes on top; and the attempt is ended as a whole, because
                // a batch job with a hole in it is of no use.
                let _ = write(&folder.join("memory.swap.max"), "0");
                let _ = write(&folder.join("memory.oom.group"), "1");
                Ok(())
            }
            (Kind::V1, _, Some(folder)) => {
                write(&folder.join("memory.limit_in_bytes"), &bytes.to_string())?;
                let _ = write(&folder.join("memory.memsw.limit_in_bytes"), &bytes.to_string());
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// One pass of killing everything below a supervisor's groups.
pub fn kill_below(trees: &Cgroups, supervisor: &str) {
    let (kind, roots) = roots(trees);
    for folder in folders_below(&roots, supervisor) {
        match kind {
            Kind::V2 => kill_v2(Some(&folder)),
            Kind::V1 if folder.join("freezer.state").exists() => kill_v1(&folder),
            Kind::V1 => {}
        }
    }
}

/// All processes below a supervisor's groups.
pub fn pids_below(trees: &Cgroups, supervisor: &str) -> Vec<i32> {
    folders_below(&roots(trees).1, supervisor).iter().flat_map(|folder| pids(folder)).collect()
}

/// Removes a supervisor's groups, as far as they are empty.
pub fn remove_below(trees: &Cgroups, supervisor: &str) {
    for (_, root) in roots(trees).1 {
        remove_folders(&root.join(supervisor));
    }
}

fn roots(trees: &Cgroups) -> (Kind, Vec<(String, PathBuf)>) {
    match trees {
        Cgroups::V2 { path, .. } => (Kind::V2, vec![(String::new(), PathBuf::from(path))]),
        Cgroups::V1 { trees } => {
            (Kind::V1, trees.iter().map(|(name, path)| (name.clone(), PathBuf::from(path))).collect())
        }
    }
}

/// The folders of a supervisor's attempts, whatever jobs have made below them included, and its own.
fn folders_below(roots: &[(String, PathBuf)], supervisor: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = roots.iter().map(|(_, root)| root.join(supervisor)).collect();
    while let Some(folder) = left.pop() {
        left.extend(subfolders(&folder));
        found.push(folder);
    }
    found
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let is_folder = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.filter_map(Result::ok).filter(is_folder).map(|entry| entry.path()).collect()
}

/// The deepest first. The kernel refuses what is not empty, and takes files away by itself.
fn remove_folders(folder: &Path) {
    subfolders(folder).iter().for_each(|inner| remove_folders(inner));
    let _ = std::fs::remove_dir(folder);
}

fn make(folder: &Path) -> io::Result<()> {
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(file)?.write_all(text.as_bytes())
}

fn pids(folder: &Path) -> Vec<i32> {
    let list = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    // A process of another pid namespace shows as 0.
    list.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect()
}

fn kill_v2(folder: Option<&Path>) {
    let Some(folder) = folder else { return };
    if write(&folder.join("cgroup.kill"), "1").is_err() {
        pids(folder).into_iter().for_each(kill_pid);
    }
}

/// Frozen, nothing can fork away from the list; the signals take effect with thawing.
fn kill_v1(folder: &Path) {
    let _ = write(&folder.join("freezer.state"), "FROZEN");
    pids(folder).into_iter().for_each(kill_pid);
    let _ = write(&folder.join("freezer.state"), "THAWED");
}

fn kill_pid(pid: i32) {
    if pid > 1 {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
}

/// The processor time in an open counter, in microseconds.
fn counted_us(kind: Kind, file: &File) -> Option<u64> {
    let mut bytes = [0; 4_096];
    let length = file.read_at(&mut bytes, 0).ok()?;
    let text = std::str::from_utf8(bytes.get(..length)?).ok()?;
    match kind {
        Kind::V1 => text.trim().parse::<u64>().ok().map(|nanos| nanos / 1_000),
        Kind::V2 => text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.trim().parse().ok()),
    }
}

fn number(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn field(file: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}
