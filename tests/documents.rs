//! The manual pages and completions in the repository are those that the definitions give.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Set it to write the files anew.
const BLESS: &str = "JSCHED_BLESS";

#[test]
fn documents_are_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = jsched::cli::documents::render_all();
    if std::env::var_os(BLESS).is_some() {
        for (path, bytes) in &files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
    for (path, bytes) in &files {
        let found = fs::read(root.join(path)).unwrap_or_default();
        assert!(found == *bytes, "{path} is not fresh: write the documents anew with `cargo xtask man`");
    }
    let expected: BTreeSet<PathBuf> = files.iter().map(|(path, _)| root.join(path)).collect();
    for file in fs::read_dir(root.join("completions")).unwrap() {
        let path = file.unwrap().path();
        assert!(expected.contains(&path), "{} belongs to no command any more", path.display());
    }
}

#[test]
fn documents_are_the_same_each_time() {
    assert!(jsched::cli::documents::render_all() == jsched::cli::documents::render_all());
}
