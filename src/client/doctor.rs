//! What both `doctor`s look at: folders, certificates, the way to the controller, clocks, buffers. Each finding says
//! what is so, and if something is wrong, what to do next.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use jiff::Timestamp;
use nix::sys::statvfs::statvfs;

use crate::model::identity::Role;
use crate::model::time::WallTime;
use crate::net::dial_error::{CertificateTrouble, DialError};
use crate::net::socket;
use crate::pki::credentials::{CredentialFiles, Credentials};

/// With less room than this a folder counts as full.
pub const FREE_BYTES_MIN: u64 = 256 << 20;
/// With fewer free inodes than this, too.
pub const FREE_INODES_MIN: u64 = 1_000;
/// Clocks that differ by more than this many seconds are wrong.
pub const CLOCK_DIFFERENCE_SECONDS_MAX: u64 = 30;

/// How a finding is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Worth knowing; nothing is wrong yet.
    Note,
    /// To be mended.
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about, in a word or two.
    pub about: String,
    /// How it is.
    pub verdict: Verdict,
    /// What is so.
    pub text: String,
    /// What to do; empty if nothing is.
    pub next: String,
}

impl Finding {
    /// As it should be.
    pub fn good(about: &str, text: impl Into<String>) -> Finding {
        Finding { about: about.to_owned(), verdict: Verdict::Good, text: text.into(), next: String::new() }
    }

    /// Worth knowing.
    pub fn note(about: &str, text: impl Into<String>, next: impl Into<String>) -> Finding {
        Finding { about: about.to_owned(), verdict: Verdict::Note, text: text.into(), next: next.into() }
    }

    /// To be mended.
    pub fn wrong(about: &str, text: impl Into<String>, next: impl Into<String>) -> Finding {
        Finding { about: about.to_owned(), verdict: Verdict::Wrong, text: text.into(), next: next.into() }
    }
}

/// Whether a folder is there, can be written, and has room. Writes and removes a small file.
pub fn folder(about: &str, path: &Path) -> Finding {
    let place = path.display();
    let mend = || format!("make it writable for the user that the daemon runs as: ls -ld {place}");
    if !path.is_dir() {
        return Finding::wrong(
            about,
            format!("{place} is no folder"),
            "bring it back, or correct the setting",
        );
    }
    if let Err(error) = probe(path) {
        return match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Finding::wrong(
                about,
                format!("{place} is full: {error}"),
                format!("make room: df -h {place}"),
            ),
            _ => Finding::wrong(about, format!("{place} can't be written: {error}"), mend()),
        };
    }
    match statvfs(path) {
        Ok(found) => {
            let free = found.blocks_available().saturating_mul(found.fragment_size());
            // File systems without a table of inodes say 0 of 0.
            let inodes = (found.files() > 0).then(|| found.files_available());
            room(about, path, free, inodes)
        }
        Err(error) => Finding::wrong(about, format!("{place} can't be looked at: {error}"), mend()),
    }
}

/// What so much room means.
fn room(about: &str, path: &Path, free_bytes: u64, free_inodes: Option<u64>) -> Finding {
    let (place, mebibytes) = (path.display(), free_bytes >> 20);
    if free_bytes < FREE_BYTES_MIN {
        let text = format!("{place} is nearly full: {mebibytes} MiB are free");
        return Finding::wrong(about, text, format!("make room: df -h {place}"));
    }
    if let Some(inodes) = free_inodes.filter(|inodes| *inodes < FREE_INODES_MIN) {
        let text = format!("{place} is nearly full: {inodes} inodes are free");
        return Finding::wrong(about, text, format!("remove small files: df -i {place}"));
    }
    Finding::good(about, format!("{place} can be written; {mebibytes} MiB are free"))
}

fn probe(path: &Path) -> io::Result<()> {
    let file = path.join(format!(".doctor-{}", std::process::id()));
    let written = OpenOptions::new().write(true).create_new(true).open(&file).and_then(|mut open| {
        open.write_all(&[0; 4_096])?;
        open.sync_all()
    });
    let removed = fs::remove_file(&file);
    written.and(removed)
}

/// Whether credentials load, are of that role, are vouched for by their own authority, and count now. `renew` says how
/// to get others.
pub fn credentials(
    files: &CredentialFiles,
    role: Role,
    now: WallTime,
    renew: &str,
) -> (Finding, Option<Credentials>) {
    let about = "certificate";
    let place = files.certificate.display();
    let loaded = match Credentials::load(files) {
        Ok(loaded) => loaded,
        Err(error) => return (Finding::wrong(about, format!("{place}: {error}"), renew), None),
    };
    let bearer = loaded.bearer();
    let identity = &bearer.identity;
    let whose = format!("{place} is of {} {} of cluster {}", identity.role, identity.name, bearer.cluster);
    let (begin, end) = (bearer.validity.not_before, bearer.validity.not_after);
    let finding = if identity.role != role {
        Finding::wrong(about, format!("{whose}; a certificate of role {role} is needed"), renew)
    } else if !loaded.is_vouched_for() {
        let text =
            format!("{whose}, but none of the authorities in {} signed it", files.authorities.display());
        Finding::wrong(about, text, renew)
    } else if now < begin {
        let text = format!("{whose}; it begins at {}, and the clock here says {}", utc(begin), utc(now));
        Finding::wrong(about, text, "set the clock here right; if it is right, the authority's was wrong")
    } else if end <= now {
        let text = format!("{whose}; it ended at {}, and the clock here says {}", utc(end), utc(now));
        Finding::wrong(about, text, renew)
    } else if now.micros_since(bearer.validity.renewal()) > bearer.validity.life().micros() / 6 {
        let text = format!("{whose}; it ends at {} and should have been renewed by now", utc(end));
        Finding::note(about, text, "see why in the daemon's log; it is tried again by itself")
    } else {
        Finding::good(about, format!("{whose}, good until {}", utc(end)))
    };
    (finding, Some(loaded))
}

/// What a failed dial of `address` means. `place` is the file that names the address.
pub fn not_reached(address: &str, error: &DialError, place: &str, renew: &str) -> Finding {
    let about = format!("address {address}");
    let correct = format!("correct it in {place}");
    match error {
        DialError::NotReached { tries } => {
            let text: Vec<&str> = tries.iter().map(|one| one.outcome.as_str()).collect();
            let text = text.join("; ");
            let next = if text.contains("resolved") {
                format!("mend the name in DNS or /etc/hosts, or {correct}")
            } else if text.contains("no answer") {
                format!("something between here and there drops UDP: let that port through, or {correct}")
            } else if text.contains("nothing listens") {
                format!("start `jctld run` there, or {correct}")
            } else {
                format!("look at the route to it, or {correct}")
            };
            Finding::wrong(&about, text, next)
        }
        DialError::Certificate { trouble, .. } => {
            let next = match trouble {
                CertificateTrouble::OwnOutOfTime { .. } | CertificateTrouble::OwnRefused { .. } => {
                    renew.to_owned()
                }
                CertificateTrouble::ControllersEnded { .. }
                | CertificateTrouble::ControllersNotYet { .. } => {
                    "set the wrong clock right: timedatectl, chronyc tracking".to_owned()
                }
                CertificateTrouble::OtherAuthority | CertificateTrouble::NotController(_) => correct,
            };
            Finding::wrong(&about, trouble.to_string(), next)
        }
        other => Finding::wrong(&about, other.to_string(), correct),
    }
}

/// Whether two clocks agree.
pub fn clocks(here: WallTime, there: WallTime) -> Finding {
    let about = "clock";
    let (ahead, behind) = (here.micros_since(there), there.micros_since(here));
    let seconds = ahead.max(behind) / 1_000_000;
    if seconds <= CLOCK_DIFFERENCE_SECONDS_MAX {
        return Finding::good(about, format!("the clock here and the controller's differ by {seconds} s"));
    }
    let word = if ahead > behind { "ahead of" } else { "behind" };
    let text = format!(
        "the clock here says {}, the controller's {}: this one is {seconds} s {word} it",
        utc(here),
        utc(there)
    );
    Finding::wrong(about, text, "set the wrong one right, best by NTP on both: timedatectl, chronyc tracking")
}

/// Whether both sides are of one version.
pub fn versions(whose: &str, theirs: &str) -> Finding {
    let ours = env!("CARGO_PKG_VERSION");
    if ours == theirs {
        return Finding::good("version", format!("{whose} and the programs here are {ours}"));
    }
    let text = format!("{whose} {theirs}, the programs here {ours}");
    Finding::wrong("version", text, "bring the older of the two up to date, and start the daemon again")
}

/// Whether the kernel gives the UDP buffers that a daemon asks for.
pub fn buffers() -> Finding {
    let about = "UDP buffers";
    match socket::buffers() {
        Ok((receive, send)) => match socket::fault(receive, send) {
            None => Finding::good(about, format!("{} KiB", receive.min(send) / 1024)),
            Some((text, next)) => Finding::wrong(about, text, next),
        },
        Err(error) => Finding::wrong(about, format!("no UDP socket: {error}"), "see what limits this user"),
    }
}

/// A moment as people read it.
pub fn utc(at: WallTime) -> String {
    Timestamp::from_second(at.unix_seconds()).map_or_else(|_| "?".to_owned(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_at_its_edges() {
        let of = |free, inodes| room("x", Path::new("/p"), free, inodes).verdict;
        assert_eq!(of(FREE_BYTES_MIN, Some(FREE_INODES_MIN)), Verdict::Good);
        assert_eq!(of(FREE_BYTES_MIN, None), Verdict::Good);
        assert_eq!(of(FREE_BYTES_MIN - 1, None), Verdict::Wrong);
        assert_eq!(of(FREE_BYTES_MIN, Some(FREE_INODES_MIN - 1)), Verdict::Wrong);
    }

    #[test]
    fn clocks_and_versions_that_differ_are_named() {
        let at = |seconds: i64| WallTime(1_790_000_000_000_000 + seconds * 1_000_000);
        let limit = i64::try_from(CLOCK_DIFFERENCE_SECONDS_MAX).unwrap();
        assert_eq!(clocks(at(limit), at(0)).verdict, Verdict::Good);
        let fast = clocks(at(limit + 1), at(0));
        assert!(fast.verdict == Verdict::Wrong && fast.text.contains("31 s ahead of it"), "{fast:?}");
        assert!(
            fast.text.contains("2026-09-21T14:13:51Z") && fast.text.contains("2026-09-21T14:13:20Z"),
            "{fast:?}"
        );
        assert!(clocks(at(0), at(3_600)).text.contains("3600 s behind it"));
        assert_eq!(versions("the controller", env!("CARGO_PKG_VERSION")).verdict, Verdict::Good);
        let other = versions("the controller", "9.9.9");
        assert!(other.verdict == Verdict::Wrong && other.text.contains("9.9.9"), "{other:?}");
    }

    #[test]
    fn a_folder_that_is_none_is_wrong_and_the_probe_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        assert_eq!(folder("x", &file).verdict, Verdict::Wrong);
        assert_eq!(folder("x", &dir.path().join("none")).verdict, Verdict::Wrong);
        folder("x", dir.path());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
