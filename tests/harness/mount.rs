//! A disk that runs full when a test wants it to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system of its own, which only root can make.
pub struct Mount(PathBuf);

impl Mount {
    /// In place of a folder, with what is in it. `None`: it can't be made here, which is said.
    pub fn over(folder: &Path, size: &str) -> Option<Mount> {
        let aside = folder.with_extension("before");
        fs::rename(folder, &aside).unwrap();
        fs::create_dir(folder).unwrap();
        let size = format!("size={size},mode=700");
        let made = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(folder).output();
        if !made.is_ok_and(|made| made.status.success()) {
            fs::remove_dir(folder).unwrap();
            fs::rename(&aside, folder).unwrap();
            println!("skipped: a file system can't be mounted here");
            return None;
        }
        let mount = Mount(folder.to_owned());
        let copied =
            Command::new("cp").args(["-a", "--sparse=always"]).arg(aside.join(".")).arg(folder).status();
        assert!(copied.unwrap().success());
        Some(mount)
    }

    /// Takes all room that is left but so many bytes.
    pub fn fill(&self, left: u64) {
        let free = nix::sys::statvfs::statvfs(&self.0).unwrap();
        let bytes = (free.blocks_available() * free.fragment_size()).saturating_sub(left);
        let mut ballast = fs::File::create(self.0.join("ballast")).unwrap();
        std::io::copy(&mut std::io::Read::take(std::io::repeat(1), bytes), &mut ballast).unwrap();
    }

    /// Gives it back.
    pub fn empty(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a daemon may still be there when a test fails.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
