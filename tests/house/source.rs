//! Reads a source file as tokens, so that comments and strings don't count, and lists what it names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// One `.rs` file and what it names.
pub struct Source {
    /// The file, relative to the package.
    pub file: PathBuf,
    /// The length in lines.
    pub lines: usize,
    /// Every path that the file names, `use` trees spelled out, `super` and `self` resolved.
    pub names: Vec<Name>,
    /// The files of modules that are declared `#[cfg(test)] mod x;` here, without `.rs` or `/mod.rs`.
    pub test_modules: Vec<PathBuf>,
}

/// A path such as `std::fs::File`, or a single word, at a line.
pub struct Name {
    /// Its segments; a glob ends in `*`. What begins with `crate` or `jsched` is below the package's root.
    pub segments: Vec<String>,
    /// The line, from 1.
    pub line: usize,
    /// It stands in code for tests only.
    pub in_test: bool,
}

impl Source {
    /// Reads one file below `root`. `module` is its path inside the crate: `["store", "journal"]`.
    pub fn read(root: &Path, file: &Path) -> Source {
        let text = fs::read_to_string(root.join(file)).unwrap();
        Source::parse(file, &text)
    }

    /// Reads the text of `file`.
    pub fn parse(file: &Path, text: &str) -> Source {
        let tokens: TokenStream =
            text.parse().unwrap_or_else(|error| panic!("{}: not Rust: {error}", file.display()));
        let mut reader = Reader { module: module_of(file), names: Vec::new(), test_modules: BTreeSet::new() };
        // `#![cfg(test)]` at the top of a file makes all of it test code.
        let whole = text.lines().any(|line| line.trim_start().starts_with("#![cfg(test)]"));
        reader.read(tokens, whole);
        let folder = match file.file_name().and_then(|name| name.to_str()) {
            Some("mod.rs" | "lib.rs" | "main.rs") => file.parent().unwrap_or(file).to_path_buf(),
            _ => file.with_extension(""),
        };
        Source {
            file: file.to_path_buf(),
            lines: text.lines().count(),
            names: reader.names,
            test_modules: reader.test_modules.iter().map(|name| folder.join(name)).collect(),
        }
    }
}

/// All `.rs` files below a folder of `root`, in order, relative to `root`.
pub fn rust_files(root: &Path, folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(root.join(&folder)) else { continue };
        for entry in entries {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// `src/store/tables/sled.rs` is the module `store::tables::sled`, `src/store/mod.rs` is `store`, a root is nothing.
fn module_of(file: &Path) -> Vec<String> {
    let mut module: Vec<String> = file
        .with_extension("")
        .components()
        .skip(1)
        .map(|component| component.as_os_str().to_string_lossy().into_owned())
        .collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        module.pop();
    }
    module
}

/// Words that a path with a leading `::` may follow, without being its first segment.
const KEYWORDS_BEFORE_PATH: &[&str] = &[
    "as", "dyn", "else", "for", "if", "impl", "in", "match", "mut", "return", "unsafe", "use", "where",
    "while",
];

struct Reader {
    module: Vec<String>,
    names: Vec<Name>,
    test_modules: BTreeSet<String>,
}

impl Reader {
    fn read(&mut self, tokens: TokenStream, in_test: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        let mut test_item = false;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Group(group) => {
                    test_item |= at > 0 && is_punct(&tokens[at - 1], '#') && is_cfg_test(group);
                    self.read(group.stream(), in_test || test_item);
                    // An item ends with its braces: what follows is no longer under its attribute.
                    test_item &= group.delimiter() != Delimiter::Brace;
                    at += 1;
                }
                TokenTree::Ident(word) if word == "mod" => {
                    at = self.read_module(&tokens, at, in_test || test_item);
                    test_item = false;
                }
                TokenTree::Ident(_) => at = self.read_path(&tokens, at, &[], in_test || test_item),
                TokenTree::Punct(punct) => {
                    test_item &= punct.as_char() != ';';
                    // `::std::fs` is `std::fs`; a `::` after something else, as in `<T>::new`, begins no path.
                    at += 1;
                }
                TokenTree::Literal(_) => at += 1,
            }
        }
    }

    /// `mod x { … }` is read as the module x; `mod x;` under `#[cfg(test)]` is noted.
    fn read_module(&mut self, tokens: &[TokenTree], at: usize, in_test: bool) -> usize {
        let Some(TokenTree::Ident(name)) = tokens.get(at + 1) else { return at + 1 };
        match tokens.get(at + 2) {
            Some(TokenTree::Group(group)) => {
                self.module.push(name.to_string());
                self.read(group.stream(), in_test);
                self.module.pop();
                at + 3
            }
            _ => {
                if in_test {
                    self.test_modules.insert(name.to_string());
                }
                at + 2
            }
        }
    }

    /// Reads a path from an identifier on, with the tree that may follow it, and returns where it ends.
    fn read_path(&mut self, tokens: &[TokenTree], start: usize, prefix: &[String], in_test: bool) -> usize {
        let mut segments = prefix.to_vec();
        let mut at = start;
        let line = tokens[start].span().start().line;
        while let Some(TokenTree::Ident(word)) = tokens.get(at) {
            segments.push(word.to_string().trim_start_matches("r#").to_owned());
            at += 1;
            if KEYWORDS_BEFORE_PATH.contains(&word.to_string().as_str()) {
                break;
            }
            let joined =
                matches!(tokens.get(at..at + 2), Some([a, b]) if is_punct(a, ':') && is_punct(b, ':'));
            if !joined {
                break;
            }
            match tokens.get(at + 2) {
                Some(TokenTree::Ident(_)) => at += 2,
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    self.read_tree(group, &segments, in_test);
                    return at + 3;
                }
                Some(token) if is_punct(token, '*') => {
                    segments.push("*".to_owned());
                    at += 3;
                    break;
                }
                _ => break,
            }
        }
        let segments = self.resolve(segments);
        self.names.push(Name { segments, line, in_test });
        at
    }

    /// The braces of a `use` tree: every branch goes on from the prefix.
    fn read_tree(&mut self, group: &Group, prefix: &[String], in_test: bool) {
        let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
        for branch in tokens.split(|token| is_punct(token, ',')) {
            match branch.first() {
                Some(TokenTree::Ident(_)) => {
                    self.read_path(branch, 0, prefix, in_test);
                }
                Some(token) => {
                    let mut segments = prefix.to_vec();
                    segments.push("*".to_owned());
                    let line = token.span().start().line;
                    let segments = self.resolve(segments);
                    self.names.push(Name { segments, line, in_test });
                }
                None => {}
            }
        }
    }

    /// Turns `super::x` and `self::x` into `crate::…::x`, and drops a closing `self`.
    fn resolve(&self, segments: Vec<String>) -> Vec<String> {
        let mut rest = segments.as_slice();
        let mut module = self.module.clone();
        let relative = rest.len() > 1 && matches!(rest[0].as_str(), "super" | "self");
        while let [first, tail @ ..] = rest
            && matches!(first.as_str(), "super" | "self")
            && relative
        {
            if first == "super" {
                module.pop();
            }
            rest = tail;
        }
        let mut resolved = Vec::new();
        if relative {
            resolved.push("crate".to_owned());
            resolved.append(&mut module);
        }
        resolved.extend(rest.iter().cloned());
        if resolved.len() > 1 && resolved.last().is_some_and(|last| last == "self") {
            resolved.pop();
        }
        resolved
    }
}

fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

/// `[cfg(test)]`, or a condition that has the word `test` in it and no `not`, and `[test]` itself.
fn is_cfg_test(group: &Group) -> bool {
    let text = group.stream().to_string();
    let words: Vec<&str> =
        text.split(|character: char| !character.is_alphanumeric() && character != '_').collect();
    text == "test" || (words[0] == "cfg" && words.contains(&"test") && !words.contains(&"not"))
}
