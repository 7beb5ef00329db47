//! What a node has: hardware, boot, load, and the control groups that its daemon may use.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::AccessFlags;

use crate::model::ids::BootId;
use crate::wire::supervisor::Cgroups;

/// The controllers of version 1 that are used where they are there.
const V1_CONTROLLERS: [&str; 4] = ["freezer", "cpuacct", "memory", "pids"];

/// What hardware a node has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// Its host name, without the domain.
    pub hostname: String,
    /// Physical cores that may be used here; at least 1.
    pub cores: u32,
    /// Threads that may be used here; at least 1.
    pub threads: u32,
    /// Sockets, at least 1.
    pub sockets: u32,
    /// Main memory: the host's, or less where a control group of the daemon allows less.
    pub memory_bytes: u64,
    /// The size of the file system that holds the folder for temporary files.
    pub tmp_bytes: u64,
}

/// What the node has, with `tmp` as the folder for temporary files. What can't be read counts as the least that a
/// machine has.
pub fn hardware(tmp: &Path) -> Hardware {
    let allowed = allowed_threads();
    let places: Vec<(String, String)> = allowed.iter().map(|thread| place(*thread)).collect();
    let cores: BTreeSet<&(String, String)> = places.iter().collect();
    let sockets: BTreeSet<&String> = places.iter().map(|(socket, _)| socket).collect();
    let count = |length: usize| u32::try_from(length.max(1)).unwrap_or(u32::MAX);
    let disk = nix::sys::statvfs::statvfs(tmp).map(|stat| stat.blocks().saturating_mul(stat.fragment_size()));
    Hardware {
        hostname: hostname(),
        cores: count(cores.len()),
        threads: count(allowed.len()),
        sockets: count(sockets.len()),
        memory_bytes: memory_bytes(),
        tmp_bytes: disk.unwrap_or(0),
    }
}

/// The host name, without the domain.
pub fn hostname() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    name.split('.').next().filter(|name| !name.is_empty()).unwrap_or("localhost").to_owned()
}

/// The kernel's id of this boot; `None` if it does not tell.
pub fn boot_id() -> Option<BootId> {
    parse_boot_id(&fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?)
}

/// The load of the last minute, in hundredths.
pub fn load_hundredths() -> Option<u32> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    let (whole, part) = text.split_ascii_whitespace().next()?.split_once('.')?;
    Some(whole.parse::<u32>().ok()?.saturating_mul(100).saturating_add(part.get(..2)?.parse::<u32>().ok()?))
}

/// Takes the control group trees that belong to this daemon; `None` if there are none that it may use. To be called
/// once, early: with version 2 the calling process moves into a group of its own.
///
/// A tree counts as ours where systemd has marked our own group as delegated, where we may write to it without being
/// root, or where it is the top of the tree and we are root. Below somebody else's group nothing is made, although
/// root could.
pub fn claim_cgroups() -> Option<Cgroups> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    v2(&own, &mounts).or_else(|| v1(&own, &mounts))
}

/// Which limits are in force, in words, for `jnode show`.
pub fn limits_in_force(cgroups: Option<&Cgroups>) -> String {
    match cgroups {
        None => "rlimits and metering".to_owned(),
        Some(trees @ Cgroups::V2 { .. }) if trees.limits_memory() => "cgroup v2".to_owned(),
        Some(Cgroups::V2 { .. }) => "cgroup v2, memory by metering".to_owned(),
        Some(trees @ Cgroups::V1 { trees: controllers }) => {
            let names: Vec<&str> = controllers.iter().map(|(name, _)| name.as_str()).collect();
            let memory = if trees.limits_memory() { "" } else { ", memory by metering" };
            format!("cgroup v1 ({}){memory}", names.join(", "))
        }
    }
}

/// Version 2, if it is ours together with the memory controller.
fn v2(own: &str, mounts: &str) -> Option<Cgroups> {
    let mount = mount_of(mounts, |kind, _| kind == "cgroup2")?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let folder = ours(&mount, path)?;
    let controllers = fs::read_to_string(folder.join("cgroup.controllers")).ok()?;
    // A hybrid mount has the controllers in the trees of version 1.
    if !controllers.split_ascii_whitespace().any(|controller| controller == "memory") {
        return None;
    }
    // A group that gives controllers to its children can't hold processes, the top of all excepted. We go into a
    // child of our own; if others are left, the kernel refuses and the tree is not used.
    let is_top = !folder.join("cgroup.events").exists();
    if !is_top {
        let leaf = folder.join("daemon");
        let _ = fs::create_dir(&leaf);
        fs::write(leaf.join("cgroup.procs"), "0").ok()?;
    }
    fs::write(folder.join("cgroup.subtree_control"), "+memory").ok()?;
    let jobs = folder.join("jsched");
    let _ = fs::create_dir(&jobs);
    fs::write(jobs.join("cgroup.subtree_control"), "+memory").ok()?;
    Some(Cgroups::V2 { path: jobs.to_str()?.to_owned(), memory: true })
}

/// Version 1: the freezer, and what else is ours.
fn v1(own: &str, mounts: &str) -> Option<Cgroups> {
    let mut trees = Vec::new();
    for controller in V1_CONTROLLERS {
        let mount =
            mount_of(mounts, |kind, options| kind == "cgroup" && options.split(',').any(|o| o == controller));
        let path = own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            fields.next()?.split(',').any(|name| name == controller).then(|| fields.next())?
        });
        let Some(folder) = mount.zip(path).and_then(|(mount, path)| ours(&mount, path)) else { continue };
        let folder = folder.join("jsched");
        let made = fs::create_dir(&folder);
        if made.is_ok() || folder.is_dir() {
            trees.push((controller.to_owned(), folder.to_str()?.to_owned()));
        }
    }
    let has_freezer = trees.iter().any(|(controller, _)| controller == "freezer");
    has_freezer.then_some(Cgroups::V1 { trees })
}

/// The folder of our own group in a tree, if the group is ours to divide. If the daemon has already moved into its
/// leaf, the group above is meant.
fn ours(mount: &Path, path: &str) -> Option<PathBuf> {
    let path = path.strip_suffix("/daemon").unwrap_or(path).trim_matches('/');
    let folder = mount.join(path);
    let is_root = nix::unistd::geteuid().is_root();
    let writable = nix::unistd::access(&folder.join("cgroup.procs"), AccessFlags::W_OK).is_ok();
    let is_ours = if is_root { path.is_empty() || is_delegated(&folder) } else { writable };
    (is_ours && writable).then_some(folder)
}

/// Whether systemd has marked a group as delegated.
fn is_delegated(folder: &Path) -> bool {
    let names = ["trusted.delegate", "user.delegate"];
    names.iter().any(|name| {
        let mut value = [0; 2];
        rustix::fs::getxattr(folder, *name, &mut value) == Ok(1) && value[0] == b'1'
    })
}

fn mount_of(mounts: &str, is_wanted: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (path, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        is_wanted(kind, options).then(|| PathBuf::from(path))
    })
}

/// The threads that the scheduler gives us, by number.
fn allowed_threads() -> Vec<u32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or("0");
    parse_list(list.trim())
}

/// Socket and core of a thread, as the kernel numbers them.
fn place(thread: u32) -> (String, String) {
    let read = |name: &str| {
        let text = fs::read_to_string(format!("/sys/devices/system/cpu/cpu{thread}/topology/{name}"));
        text.map(|text| text.trim().to_owned())
    };
    let socket = read("physical_package_id").unwrap_or_default();
    // Where the topology is not told, each thread counts as a core.
    (socket, read("core_id").unwrap_or_else(|_| format!("thread {thread}")))
}

fn memory_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let host = line.trim().strip_suffix("kB").and_then(|n| n.trim().parse::<u64>().ok()).unwrap_or(0) * 1_024;
    host.min(own_memory_limit().unwrap_or(u64::MAX))
}

/// The least memory limit of our own group of version 2 and those above it, as containers have one.
fn own_memory_limit() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mount_of(&mounts, |kind, _| kind == "cgroup2")?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?.trim_matches('/');
    let folder = mount.join(path);
    let above = folder.ancestors().take_while(|folder| folder.starts_with(&mount));
    above.filter_map(|folder| fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse().ok()).min()
}

/// Reads `0-3,8`.
fn parse_list(list: &str) -> Vec<u32> {
    let mut threads = Vec::new();
    for piece in list.split(',') {
        let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            threads.extend(first..=last);
        }
    }
    threads
}

fn parse_boot_id(text: &str) -> Option<BootId> {
    let digits: Vec<u8> = text.trim().bytes().filter(|byte| *byte != b'-').collect();
    let mut id = [0; 16];
    if digits.len() != 32 {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(BootId(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_plausible() {
        let hardware = hardware(&std::env::temp_dir());
        assert!(
            hardware.cores >= 1 && hardware.threads >= hardware.cores && hardware.sockets <= hardware.cores
        );
        assert!(hardware.memory_bytes > 1 << 24 && hardware.tmp_bytes > 0, "{hardware:?}");
        assert!(!hardware.hostname.is_empty() && !hardware.hostname.contains('.'));
        assert_eq!(boot_id(), boot_id());
        assert!(boot_id().is_some() && load_hundredths().is_some());
    }

    #[test]
    fn lists_and_ids_are_read() {
        assert_eq!(parse_list("0-2,5"), [0, 1, 2, 5]);
        assert_eq!(parse_list(""), [0; 0]);
        let id = parse_boot_id("92160492-1318-4f2d-8e6b-711d5bbc6713\n");
        assert_eq!(id.map(|id| id.to_string()).as_deref(), Some("9216049213184f2d8e6b711d5bbc6713"));
        assert_eq!(parse_boot_id("92160492"), None);
        assert_eq!(parse_boot_id(&"zz".repeat(16)), None);
    }

    #[test]
    fn what_is_in_force_is_said() {
        assert_eq!(limits_in_force(None), "rlimits and metering");
        let v1 = |names: &[&str]| Cgroups::V1 {
            trees: names.iter().map(|name| ((*name).to_owned(), String::new())).collect(),
        };
        assert_eq!(limits_in_force(Some(&v1(&["freezer", "memory"]))), "cgroup v1 (freezer, memory)");
        assert_eq!(limits_in_force(Some(&v1(&["freezer"]))), "cgroup v1 (freezer), memory by metering");
    }

    #[test]
    fn mounts_are_found_by_kind_and_controller() {
        let mounts = "cgroup /c/freezer cgroup rw,freezer 0 0\ncgroup2 /c/unified cgroup2 rw 0 0\n";
        assert_eq!(mount_of(mounts, |kind, _| kind == "cgroup2"), Some(PathBuf::from("/c/unified")));
        let freezer =
            |kind: &str, options: &str| kind == "cgroup" && options.split(',').any(|o| o == "freezer");
        assert_eq!(mount_of(mounts, freezer), Some(PathBuf::from("/c/freezer")));
    }
}
