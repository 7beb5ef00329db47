//! What the host is, as far as the daemon has to know it before it serves.

use std::collections::BTreeSet;

use super::config::{Config, CpuUnit};
use super::supervisor::clock;
use crate::model::ids::BootId;
use crate::model::resources::Resources;
use crate::model::time::WallTime;
use crate::wire::node::Hardware;
use crate::wire::supervisor::Cgroups;

/// A host.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What it has.
    pub hardware: Hardware,
    /// Its boot.
    pub boot: BootId,
    /// When that was.
    pub boot_time: WallTime,
    /// Control group trees that can be used, if there are any.
    pub cgroups: Option<Cgroups>,
}

/// Looks at the host, and at what the configuration says instead.
///
/// # Errors
/// In words, what the host does not say.
pub fn look(config: &Config) -> Result<Machine, String> {
    let now = clock::now();
    let boot = boot_id().ok_or("/proc/sys/kernel/random/boot_id can't be read")?;
    let threads = std::thread::available_parallelism().map_err(|error| error.to_string())?;
    let threads = u32::try_from(threads.get()).unwrap_or(u32::MAX);
    let (sockets, cores) = topology();
    let cpus = match config.cpu {
        CpuUnit::Core => cores.clamp(1, threads),
        CpuUnit::Thread => threads,
    };
    let memory = config.memory_bytes.or_else(memory_bytes).ok_or("/proc/meminfo can't be read")?;
    let space = nix::sys::statvfs::statvfs(&config.tmp).map_err(|errno| errno.desc().to_owned())?;
    let name = nix::sys::utsname::uname().map_err(|errno| errno.desc().to_owned())?;
    let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
    Ok(Machine {
        hardware: Hardware {
            resources: Resources {
                cpus: config.cpus.unwrap_or(cpus),
                memory_bytes: memory,
                tmp_bytes: space.blocks_available().saturating_mul(space.fragment_size()),
            },
            sockets,
            threads,
            limits: "rlimits and metering".to_owned(),
            system: format!("{} {} {}", text(name.sysname()), text(name.release()), text(name.machine())),
        },
        boot,
        boot_time: WallTime(now.wall.0.saturating_sub(i64::try_from(now.boot.0).unwrap_or(0))),
        cgroups: None,
    })
}

fn boot_id() -> Option<BootId> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
    let number = u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32)?;
    Some(BootId(number.to_be_bytes()))
}

fn memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

/// Sockets and cores, as the kernel lists them; 1 and all threads where it does not.
fn topology() -> (u32, u32) {
    let (mut sockets, mut cores) = (BTreeSet::new(), BTreeSet::new());
    for entry in std::fs::read_dir("/sys/devices/system/cpu").into_iter().flatten().flatten() {
        let read = |name: &str| {
            let path = entry.path().join("topology").join(name);
            Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
        };
        if let (Some(socket), Some(core)) = (read("physical_package_id"), read("core_id")) {
            cores.insert((socket.clone(), core));
            sockets.insert(socket);
        }
    }
    let count = |number: usize, other: u32| match u32::try_from(number) {
        Ok(0) | Err(_) => other,
        Ok(count) => count,
    };
    (count(sockets.len(), 1), count(cores.len(), u32::MAX))
}
