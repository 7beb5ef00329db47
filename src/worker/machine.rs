//! What the host offers to jobs: what was found, and what the configuration says instead.

use super::config::{Config, CpuUnit};
use super::probe;
use super::supervisor::clock;
use crate::model::ids::BootId;
use crate::model::resources::Resources;
use crate::model::time::WallTime;
use crate::wire::node::Hardware;
use crate::wire::supervisor::Cgroups;

/// A host.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What it offers.
    pub hardware: Hardware,
    /// Its boot.
    pub boot: BootId,
    /// When that was.
    pub boot_time: WallTime,
    /// Control group trees that are used, if there are any.
    pub cgroups: Option<Cgroups>,
}

/// Looks at the host. To be called once, early: see [`probe::claim_cgroups`].
///
/// # Errors
/// In words, what the host does not say.
pub fn look(config: &Config) -> Result<Machine, String> {
    let boot = probe::boot_id().ok_or("the kernel does not tell the id of its boot")?;
    let cgroups = if config.control_groups { probe::claim_cgroups() } else { None };
    let now = clock::now();
    let boot_time = WallTime(now.wall.0.saturating_sub(i64::try_from(now.boot.0).unwrap_or(0)));
    Ok(Machine { hardware: offered(config, cgroups.as_ref())?, boot, boot_time, cgroups })
}

fn offered(config: &Config, cgroups: Option<&Cgroups>) -> Result<Hardware, String> {
    let found = probe::hardware(&config.tmp);
    let cpus = match config.cpu {
        CpuUnit::Core => found.cores,
        CpuUnit::Thread => found.threads,
    };
    let name = nix::sys::utsname::uname().map_err(|errno| errno.desc().to_owned())?;
    let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
    Ok(Hardware {
        resources: Resources {
            cpus: config.cpus.unwrap_or(cpus),
            memory_bytes: config.memory_bytes.unwrap_or(found.memory_bytes),
            tmp_bytes: found.tmp_bytes,
        },
        sockets: found.sockets,
        threads: found.threads,
        limits: probe::limits_in_force(cgroups),
        system: format!("{} {} {}", text(name.sysname()), text(name.release()), text(name.machine())),
    })
}
