//! What `jctld doctor` and `jworkerd doctor` find, each with the next thing to do.

use std::fs;
use std::net::UdpSocket;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Output, finish};
use crate::site::Site;

/// What is wrong, without what depends on the kernel's settings.
#[track_caller]
fn wrong(output: &Output) -> Vec<Value> {
    let found = output.json();
    let all = found["data"].as_array().unwrap();
    let wrong: Vec<Value> = all.iter().filter(|one| one["verdict"] == "wrong").cloned().collect();
    assert_eq!(output.code, i32::from(!wrong.is_empty()), "{output:?}");
    assert!(wrong.iter().all(|one| one["next"].as_str().is_some_and(|next| !next.is_empty())), "{wrong:?}");
    wrong.into_iter().filter(|one| one["about"] != "UDP buffers").collect()
}

/// Exactly one thing is wrong, and it is said in those words.
#[track_caller]
fn only(output: &Output, about: &str, words: &str, next: &str) {
    let wrong = wrong(output);
    assert_eq!(wrong.len(), 1, "{output:?}");
    let text = |key: &str| wrong[0][key].as_str().unwrap().to_owned();
    assert!(text("about").contains(about), "{wrong:?}");
    assert!(text("text").contains(words), "{wrong:?}");
    assert!(text("next").contains(next), "{wrong:?}");
}

#[test]
fn what_is_wrong_is_found() {
    let mut site = Site::init("");
    // Down: no fault, and what to do.
    let found = site.ctl(&["doctor", "--json"]);
    assert!(wrong(&found).is_empty(), "{found:?}");
    assert!(found.stdout.contains("`jctld run`"), "{found:?}");
    site.start_controller();
    site.start_node("n1");
    assert!(wrong(&site.ctl(&["doctor", "--json"])).is_empty());
    let found = site.worker("n1", &["doctor", "--json"]);
    assert!(wrong(&found).is_empty(), "{found:?}");
    addresses(&mut site);
    certificates(&site);
    folders(&site);
}

fn addresses(site: &mut Site) {
    let file = site.path("n1/jworkerd.toml");
    let text = fs::read_to_string(&file).unwrap();
    // Bound, and never read: what a firewall that drops everything looks like.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let other = Site::init("");
    let mut other = other;
    other.start_controller();
    for (address, words, next) in [
        (nobody.to_string(), "nothing listens there", "jctld run"),
        (silent.local_addr().unwrap().to_string(), "no answer within", "drops UDP"),
        ("no-such-host.invalid:6815".to_owned(), "cannot be resolved", "DNS"),
        (other.address.clone(), "not vouched for", "jworkerd.toml"),
    ] {
        fs::write(&file, text.replace(&site.address, &address)).unwrap();
        only(&site.worker("n1", &["doctor", "--json"]), &format!("address {address}"), words, next);
    }
    fs::write(&file, &text).unwrap();
    let advertised = format!("advertise = [\"{}\"]\n", silent.local_addr().unwrap());
    site.set(&advertised);
    only(&site.ctl(&["doctor", "--json"]), "address", "no answer within", "advertise");
    site.set(&format!("advertise = [\"{}\"]\n", site.address.clone()));
}

fn certificates(site: &Site) {
    let swap = |name: &str, with: &std::path::Path, look: &dyn Fn()| {
        let (mine, kept) = (site.path("n1").join(name), site.path("kept"));
        fs::rename(&mine, &kept).unwrap();
        fs::copy(with, &mine).unwrap();
        look();
        fs::rename(&kept, &mine).unwrap();
    };
    let admin = site.path(".config/jsched");
    swap("cert.pem", &admin.join("cert.pem"), &|| {
        only(
            &site.worker("n1", &["doctor", "--json"]),
            "certificate",
            "do not belong together",
            "jworkerd join",
        );
    });
    let other = Site::init("");
    swap("ca.pem", &other.path("etc/ca/ca.pem"), &|| {
        let found = site.worker("n1", &["doctor", "--json"]);
        let words = wrong(&found).iter().map(|one| one["text"].to_string()).collect::<String>();
        assert!(words.contains("none of the authorities"), "{found:?}");
    });
}

fn folders(site: &Site) {
    let tmp = site.path("n1/tmp");
    if !nix::unistd::geteuid().is_root() {
        return println!("SKIPPED: full and read-only folders, for which root is needed");
    }
    let mut probe = Command::new("unshare");
    probe.args(["--mount", "true"]);
    if finish(probe, "").code != 0 {
        return println!("SKIPPED: full and read-only folders, for want of mounts");
    }
    let mounted = |options: &str, fill: &str| {
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_jctld")).with_file_name("jworkerd");
        let line = format!(
            "mount --make-rprivate / && mount -t tmpfs {options} none '{0}' && {fill} && \
             exec '{1}' --dir '{2}' doctor --json",
            tmp.display(),
            program.display(),
            site.path("n1").display()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &line]).env("HOME", site.root.path());
        finish(command, "")
    };
    only(&mounted("-o size=1m", "true"), "jobs' folders", "nearly full", "df -h");
    let fill = format!("(head -c 2000000 /dev/zero > '{}/x' 2> /dev/null || true)", tmp.display());
    only(&mounted("-o size=1m", &fill), "jobs' folders", "is full", "make room");
    only(&mounted("-o ro", "true"), "jobs' folders", "can't be written", "writable");
}
