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

/// A promise without a test that can fail is none: each that `docs/promises.md` names is there, and each promise names some.
#[test]
fn promises_name_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/promises.md")).unwrap();
    let promises: Vec<&str> = page.split("\n## P").skip(1).collect();
    assert_eq!(promises.len(), 8);
    for promise in promises {
        let part = promise.split("\n## ").next().unwrap();
        let named = part.lines().filter_map(|line| line.strip_prefix("- `")?.strip_suffix('`'));
        let mut count = 0;
        for name in named {
            let (file, function) = name.split_once(": ").unwrap_or_else(|| panic!("`{name}` is no test"));
            let text = fs::read_to_string(root.join(file)).unwrap_or_default();
            assert!(
                text.contains(&format!("fn {function}(")),
                "docs/promises.md names `{name}`, which is not there"
            );
            count += 1;
        }
        assert!(count > 0, "P{} names no test", part.lines().next().unwrap_or_default());
    }
}
