//! Writes man pages and completions, or compares them with what is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::workspace;

/// The folders that hold nothing else than what is generated.
const FOLDERS: &[&str] = &["man", "completions"];

/// Writes `man/` and `completions/`, or with `check` only says whether they are fresh.
#[cfg(feature = "documents")]
pub fn run(check: bool) -> Result<(), Failure> {
    let documents = jsched::cli::documents::render_all();
    let documents: Vec<(PathBuf, Vec<u8>)> =
        documents.into_iter().map(|(path, bytes)| (PathBuf::from(path), bytes)).collect();
    if check { compare(&workspace::root(), &documents) } else { write(&workspace::root(), &documents) }
}

/// Builds itself with the library in it and calls that. The house test is named so that the same dependencies with
/// the same features are used as for `cargo test`, and none is built twice.
#[cfg(not(feature = "documents"))]
pub fn run(check: bool) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(Failure::file(Path::new("/proc/self/exe")))?;
    let mut build = workspace::cargo();
    build.args(["build", "--quiet", "--locked", "--workspace", "--features", "xtask/documents"]);
    build.args(["--bin", "xtask", "--test", "house"]);
    crate::program::show(build)?;
    let mut again = std::process::Command::new(program);
    again.arg("man");
    if check {
        again.arg("--check");
    }
    crate::program::show(again)
}

/// Writes every document, and removes what is no longer generated.
#[cfg_attr(not(any(test, feature = "documents")), allow(dead_code))]
fn write(root: &Path, documents: &[(PathBuf, Vec<u8>)]) -> Result<(), Failure> {
    for (path, bytes) in documents {
        let path = root.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Failure::file(folder))?;
        }
        fs::write(&path, bytes).map_err(Failure::file(&path))?;
    }
    for path in strangers(root, documents)? {
        fs::remove_file(root.join(&path)).map_err(Failure::file(&path))?;
    }
    println!("wrote {} documents into {}", documents.len(), FOLDERS.join(" and "));
    Ok(())
}

/// Fails with the names of all documents that are missing, differ, or are no longer generated.
#[cfg_attr(not(any(test, feature = "documents")), allow(dead_code))]
fn compare(root: &Path, documents: &[(PathBuf, Vec<u8>)]) -> Result<(), Failure> {
    let mut stale = strangers(root, documents)?;
    for (path, bytes) in documents {
        if fs::read(root.join(path)).ok().as_ref() != Some(bytes) {
            stale.push(path.clone());
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = stale.iter().map(|path| path.display().to_string()).collect();
    Err(Failure::Wrong(format!(
        "not fresh: {}; run `cargo xtask man` and commit the result",
        names.join(", ")
    )))
}

/// Files in the generated folders that no document stands for.
#[cfg_attr(not(any(test, feature = "documents")), allow(dead_code))]
fn strangers(root: &Path, documents: &[(PathBuf, Vec<u8>)]) -> Result<Vec<PathBuf>, Failure> {
    let known: BTreeSet<&PathBuf> = documents.iter().map(|(path, _)| path).collect();
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> =
        FOLDERS.iter().map(PathBuf::from).filter(|path| root.join(path).is_dir()).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).map_err(Failure::file(&folder))? {
            let entry = entry.map_err(Failure::file(&folder))?;
            let path = folder.join(entry.file_name());
            if root.join(&path).is_dir() {
                folders.push(path);
            } else if !known.contains(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_fresh_and_any_difference_is_not() {
        let root = tempfile::tempdir().unwrap();
        let mut documents = vec![
            (PathBuf::from("man/jsubmit.1"), b"one".to_vec()),
            (PathBuf::from("completions/bash/jsubmit"), b"two".to_vec()),
        ];
        let names = |result: Result<(), Failure>| result.unwrap_err().to_string();
        assert!(names(compare(root.path(), &documents)).contains("man/jsubmit.1, completions/bash/jsubmit"));
        write(root.path(), &documents).unwrap();
        compare(root.path(), &documents).unwrap();

        documents[1].1 = b"three".to_vec();
        let gone = documents.remove(0);
        assert!(names(compare(root.path(), &documents)).contains("man/jsubmit.1, completions/bash/jsubmit"));
        write(root.path(), &documents).unwrap();
        compare(root.path(), &documents).unwrap();
        assert!(!root.path().join(gone.0).exists());
    }
}
