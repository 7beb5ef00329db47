//! Private working directories (`--chdir=job`) stay for a day after their task's end, so that results can still be had,
//! and are then removed, by their owner's rights.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::readers::{Readers, Who};
use super::spool::JOBS_FOLDER;
use crate::model::time::Seconds;

/// How long a private working directory is kept after the end of its task.
pub const PRIVATE_KEPT: Seconds = Seconds(86_400);
/// How often the node looks for those whose time is over.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);
/// What the folder of a supervisor's private folders begins with.
pub const PREFIX: &str = "jsched-";
/// What the name of a private working directory ends in.
pub const SUFFIX: &str = "-work";

/// Removes outdated ones, for ever.
pub async fn sweep(readers: Readers, base: PathBuf, spool: PathBuf) {
    loop {
        let (base, spool) = (base.clone(), spool.clone());
        let found = tokio::task::spawn_blocking(move || outdated(&base, &spool, now()));
        for (folder, who) in found.await.unwrap_or_default() {
            let path = folder.clone();
            let emptied = readers.run(&who, move || empty(&path)).await;
            let removed = emptied.and_then(|done| done.map_err(|error| error.to_string()));
            let removed = removed.and_then(|()| fs::remove_dir(&folder).map_err(|error| error.to_string()));
            if let Err(error) = removed {
                tracing::warn!(folder = %folder.display(), %error, "a private folder stays");
            }
            // The last one of its supervisor.
            let _ = folder.parent().map(fs::remove_dir);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}

/// The folders whose time is over, with their owners. One whose supervisor is still there is in use. The time counts from
/// the last change of the folder's attributes, which the supervisor makes at the end and nobody can set back.
fn outdated(base: &Path, spool: &Path, now: i64) -> Vec<(PathBuf, Who)> {
    let in_use: Vec<String> = names(&spool.join(JOBS_FOLDER));
    let mut found = Vec::new();
    for name in names(base) {
        let Some(mark) = name.strip_prefix(PREFIX) else { continue };
        if in_use.iter().any(|folder| folder.ends_with(&format!("-{mark}"))) {
            continue;
        }
        for task in names(&base.join(&name)).iter().filter(|name| name.ends_with(SUFFIX)) {
            let folder = base.join(&name).join(task);
            let Ok(metadata) = fs::symlink_metadata(&folder) else { continue };
            let kept = i64::try_from(PRIVATE_KEPT.0).unwrap_or(i64::MAX);
            if metadata.is_dir() && metadata.ctime().saturating_add(kept) < now {
                found.push((folder, Who::Owner { uid: metadata.uid(), gid: metadata.gid() }));
            }
        }
    }
    found
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Removes what is left in the folder of a supervisor that has ended, but for private working directories, whose time
/// only begins. Links in it are removed, not followed. Blocks.
///
/// # Errors
/// What the disk answered.
pub fn clear(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().ends_with(SUFFIX) {
            remove(&entry)?;
        }
    }
    // Stays as long as something is in it.
    let _ = fs::remove_dir(folder);
    Ok(())
}

/// Empties a folder. Links in it are removed, not followed, also when they come while this runs.
fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        remove(&entry?)?;
    }
    Ok(())
}

fn remove(entry: &fs::DirEntry) -> io::Result<()> {
    if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::supervisor::folders::Folders;
    use crate::worker::supervisor::prepare::private_folder;

    #[test]
    fn a_working_directory_outlives_its_supervisor_and_is_found_when_its_time_is_over() {
        let root = tempfile::tempdir().unwrap();
        let base = private_folder(root.path().to_str().unwrap(), "a");
        let mut folders = Folders::create(base.clone(), None).unwrap();
        let (tmp, work) = (folders.take().unwrap(), folders.make_work().unwrap());
        for folder in [&tmp, &work] {
            fs::write(Path::new(folder).join("result"), "1").unwrap();
        }
        clear(&base).unwrap();
        assert!(!Path::new(&tmp).exists());
        assert!(Path::new(&work).join("result").exists());
        let found = outdated(root.path(), &root.path().join("spool"), now() + 86_402 + 60);
        assert_eq!(found.into_iter().map(|(folder, _)| folder).collect::<Vec<_>>(), [PathBuf::from(&work)]);
        fs::remove_dir_all(&work).unwrap();
        clear(&base).unwrap();
        assert!(!base.exists());
        clear(&base).unwrap();
    }

    #[test]
    fn what_is_in_use_or_young_stays_and_links_lead_nowhere() {
        let root = tempfile::tempdir().unwrap();
        let (base, spool) = (root.path().join("tmp"), root.path().join("spool"));
        for folder in ["tmp/jsched-a/0-1-work/x/y", "tmp/jsched-b/0-1-work", "tmp/jsched-a/0-1", "tmp/other"]
        {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        fs::create_dir_all(spool.join(JOBS_FOLDER).join("7-1-b")).unwrap();
        let outside = root.path().join("outside");
        fs::write(&outside, "kept").unwrap();
        std::os::unix::fs::symlink(root.path(), base.join("jsched-a/0-1-work/x/link")).unwrap();
        let found =
            |now| outdated(&base, &spool, now).into_iter().map(|(folder, _)| folder).collect::<Vec<_>>();
        assert_eq!(found(now() + 86_398), Vec::<PathBuf>::new());
        assert_eq!(found(now() + 86_402 + 60), [base.join("jsched-a/0-1-work")]);
        empty(&base.join("jsched-a/0-1-work")).unwrap();
        assert_eq!(names(&base.join("jsched-a/0-1-work")), Vec::<String>::new());
        assert_eq!(fs::read_to_string(outside).unwrap(), "kept");
    }
}
