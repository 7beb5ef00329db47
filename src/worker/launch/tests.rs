//! Real processes.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::*;

const NOBODY: u32 = 65_534;

struct Setting {
    folder: tempfile::TempDir,
    switch: Option<Switch>,
    input: Stream,
    output: Stream,
    error: Stream,
    environment: Strings,
    work_dir: String,
}

impl Setting {
    fn new() -> Setting {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let work_dir = folder.path().to_str().unwrap().to_owned();
        let mut environment = Strings::new();
        environment.push(b"PATH=/usr/bin:/bin");
        let output = Stream::File(format!("{work_dir}/out"), How::Truncate);
        Setting {
            folder,
            switch: None,
            input: Stream::Null,
            output,
            error: Stream::SameAsOutput,
            environment,
            work_dir,
        }
    }

    fn shell(&self, line: &str) -> Result<Status, LaunchError> {
        self.run("/bin/sh", &["sh", "-c", line])
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<Status, LaunchError> {
        let mut argv = Strings::new();
        arguments.iter().for_each(|argument| argv.push(argument.as_bytes()));
        let child = Launcher::new()?.spawn(&Launch {
            direct: None,
            program,
            arguments: &[&argv],
            environment: &[&self.environment],
            pid_variable: Some("SLURM_TASK_PID"),
            switch: self.switch.as_ref(),
            root_allowed: self.switch.is_none(),
            umask: 0o027,
            work_dir: &self.work_dir,
            input: &self.input,
            output: &self.output,
            error: &self.error,
            groups: &Groups::default(),
            reset_oom_score: true,
            limits: &[(libc::RLIMIT_CORE as i32, 0, 0)],
        })?;
        Ok(reap(Some(child.pid)).unwrap().unwrap().status)
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("out")).unwrap()
    }
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("skipped: only root can become another user");
    }
    root
}

#[test]
fn a_process_has_what_it_was_given_and_nothing_else() {
    let setting = Setting::new();
    let leaked = std::fs::File::open("/dev/null").unwrap();
    nix::unistd::dup(&leaked)
        .map(|fd| nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())))
        .unwrap()
        .unwrap();
    let line = "echo $PWD; umask; echo $$ $SLURM_TASK_PID; echo /proc/self/fd/*; \
                grep -E 'SigBlk|SigIgn|NoNewPrivs' /proc/self/status; cat /proc/self/oom_score_adj; ulimit -c; \
                ps -o sid= -p $$; exit 7";
    assert_eq!(setting.shell(line).unwrap(), Status::Exit(7));
    let output = setting.output();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], setting.work_dir);
    assert_eq!(lines[1], "0027");
    let pids: Vec<&str> = lines[2].split(' ').collect();
    assert_eq!(pids[0], pids[1]);
    // The shell's own descriptor for the folder that it expands is the only one above 2.
    assert!(lines[3].starts_with("/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2"), "{}", lines[3]);
    assert!(lines[3].split(' ').count() <= 4, "{}", lines[3]);
    assert_eq!(lines[4..7], ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "NoNewPrivs:\t1"]);
    assert_eq!(lines[7], "0");
    assert_eq!(lines[8], "0");
    assert_eq!(lines[9].trim(), pids[0], "it leads its own session");
}

#[test]
fn signals_and_streams() {
    let mut setting = Setting::new();
    assert_eq!(setting.shell("kill -9 $$").unwrap(), Status::Signal(9));
    let path = format!("{}/out", setting.work_dir);
    setting.input = Stream::File(path.clone(), How::Read);
    setting.output = Stream::File(path.clone(), How::Truncate);
    assert_eq!(setting.shell("echo one; echo two >&2").unwrap(), Status::Exit(0));
    setting.output = Stream::File(path, How::Append);
    assert_eq!(setting.shell("cat | tr a-z A-Z | head -n 1").unwrap(), Status::Exit(0));
    assert_eq!(setting.output(), "one\ntwo\nONE\n");
}

#[test]
fn failures_name_the_step_and_the_path() {
    let mut setting = Setting::new();
    let gone = format!("{}/gone", setting.work_dir);
    let file = |error: LaunchError| match error {
        LaunchError::Step { step, path, errno } => (step, path, errno),
        other => panic!("{other}"),
    };
    let error = setting.run(&gone, &["gone"]).unwrap_err();
    assert_eq!(error.to_string(), format!("{gone}: can't execute: No such file or directory"));
    assert_eq!(file(error).0, Step::Exec);
    setting.output = Stream::File(setting.work_dir.clone(), How::Append);
    assert_eq!(
        file(setting.shell("true").unwrap_err()),
        (Step::Output, setting.work_dir.clone(), Errno::EISDIR)
    );
    nix::unistd::mkfifo(Path::new(&gone), nix::sys::stat::Mode::S_IRWXU).unwrap();
    setting.output = Stream::File(gone.clone(), How::Append);
    assert_eq!(file(setting.shell("true").unwrap_err()), (Step::Output, gone.clone(), Errno::ENXIO));
    setting.work_dir = format!("{gone}/deeper");
    assert_eq!(file(setting.shell("true").unwrap_err()).0, Step::WorkDir);
}

#[test]
fn the_switch_is_complete() {
    if !is_root() {
        return;
    }
    let mut setting = Setting::new();
    setting.switch = Some(Switch { uid: NOBODY, gid: NOBODY, groups: vec![NOBODY, 100] });
    assert_eq!(setting.shell("id -u; id -g; id -G; grep Cap /proc/self/status").unwrap(), Status::Exit(0));
    let output = setting.output();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[..3], ["65534", "65534", "65534 100"]);
    assert!(lines[4..6].iter().all(|line| line.ends_with("0000000000000000")), "{output}");
    let made = std::fs::metadata(setting.folder.path().join("out")).unwrap();
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (NOBODY, NOBODY, 0o640));
    setting.output = Stream::File("/etc/jsched-test".into(), How::Truncate);
    assert!(matches!(
        setting.shell("true"),
        Err(LaunchError::Step { step: Step::Output, errno: Errno::EACCES, .. })
    ));
    setting.switch = Some(Switch { uid: 0, gid: 0, groups: vec![] });
    assert!(matches!(setting.shell("true"), Err(LaunchError::Root)));
    assert!(nix::unistd::geteuid().is_root(), "the parent stays what it was");
}

#[test]
fn files_are_opened_with_the_users_rights_only() {
    if !is_root() {
        return;
    }
    let setting = Setting::new();
    let nobody = Switch { uid: NOBODY, gid: NOBODY, groups: vec![] };
    let path = format!("{}/mine", setting.work_dir);
    let opened = open_as(Some(&nobody), &path, How::Append).unwrap();
    assert_eq!(nix::sys::stat::fstat(&opened).unwrap().st_uid, NOBODY);
    let secret = format!("{}/secret", setting.work_dir);
    std::fs::write(&secret, "x").unwrap();
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink(&secret, format!("{}/link", setting.work_dir)).unwrap();
    for path in [secret.clone(), format!("{}/link", setting.work_dir)] {
        let refused = open_as(Some(&nobody), &path, How::Read);
        assert!(matches!(refused, Err(LaunchError::Step { step: Step::Open, errno: Errno::EACCES, .. })));
    }
    assert!(open_as(None, &secret, How::Read).is_ok());
}

#[test]
fn without_descriptors_nothing_is_started() {
    // In a process of its own, because the limit is the whole process's.
    if std::env::var_os("JSCHED_TEST_FEW_DESCRIPTORS").is_none() {
        let done = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "worker::launch::tests::without_descriptors_nothing_is_started"])
            .env("JSCHED_TEST_FEW_DESCRIPTORS", "1")
            .status()
            .unwrap();
        assert!(done.success());
        return;
    }
    let setting = Setting::new();
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    let probe = std::fs::File::open("/dev/null").unwrap();
    let first = std::os::fd::AsRawFd::as_raw_fd(&probe) as u64;
    drop(probe);
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, first, hard).unwrap();
    let error = setting.shell("true").unwrap_err();
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    assert!(matches!(error, LaunchError::Clone(Errno::EMFILE)), "{error}");
    assert!(!setting.folder.path().join("out").exists());
}
