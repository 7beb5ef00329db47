//! The systemd units that `init` and `join` write.

use std::fs;
use std::process::{Command, Stdio};

use crate::site::Site;

#[test]
fn units_are_right() {
    let mut site = Site::init("");
    site.start_controller();
    let token = site.run("jnode", &["add", "n1"]).ok();
    site.worker("n1", &["join", &token]).ok();
    let units = [site.path("etc/jctld.service"), site.path("n1/jworkerd.service")];
    let text = fs::read_to_string(&units[1]).unwrap();
    for line in ["KillMode=process", "Delegate=yes"] {
        assert!(text.lines().any(|other| other == line), "{text}");
    }
    if Command::new("systemd-analyze").arg("--version").stdout(Stdio::null()).status().is_err() {
        return println!("SKIPPED: systemd-analyze verify, which is not here");
    }
    for unit in &units {
        let checked =
            Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(unit).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        // It also reads what else is installed; only what it says of ours counts.
        let name = unit.file_name().unwrap().to_str().unwrap();
        assert!(!said.lines().any(|line| line.contains(name)), "{said}");
    }
}
