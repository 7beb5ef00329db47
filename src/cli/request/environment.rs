//! The environment that a job gets: `--export=ALL|NONE|V=1,W`, exported shell functions included.

use std::collections::BTreeMap;

use super::surroundings::{Surroundings, Variables};
use crate::cli::error::CliError;
use crate::model::spec::ENVIRONMENT_BYTES_MAX;

/// What `--export` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Every variable of the submitter.
    pub all: bool,
    /// These, with the values given or the submitter's.
    pub named: Vec<(String, Option<String>)>,
}

/// Why `--export` was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// A piece that is no variable.
    #[error("`{0}` is no variable: write ALL, NONE, or names and NAME=VALUE between commas")]
    BadName(String),
    /// `NONE` with something beside it.
    #[error("NONE stands alone")]
    NotAlone,
    /// A quote that nothing closes.
    #[error("a quote is not closed")]
    OpenQuote,
}

/// Reads the value of `--export`. Commas inside quotes belong to a value; the quotes go.
pub fn export(text: &str) -> Result<Export, ExportError> {
    let pieces = pieces(text)?;
    let none = |piece: &String| piece.eq_ignore_ascii_case("none") || piece.eq_ignore_ascii_case("nil");
    if pieces.iter().any(none) {
        let export = Export { all: false, named: Vec::new() };
        return if pieces.len() == 1 { Ok(export) } else { Err(ExportError::NotAlone) };
    }
    let mut export = Export { all: false, named: Vec::new() };
    for piece in pieces {
        if piece.eq_ignore_ascii_case("all") {
            export.all = true;
            continue;
        }
        let (name, value) = match piece.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (piece.as_str(), None),
        };
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(ExportError::BadName(piece));
        }
        export.named.push((name.to_owned(), value));
    }
    Ok(export)
}

fn pieces(text: &str) -> Result<Vec<String>, ExportError> {
    let (mut pieces, mut quote) = (vec![String::new()], None);
    for letter in text.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, ',') => pieces.push(String::new()),
            _ => pieces.last_mut().map_or((), |piece| piece.push(letter)),
        }
    }
    if quote.is_some() { Err(ExportError::OpenQuote) } else { Ok(pieces) }
}

/// The block that the job gets: `NAME=VALUE` with a NUL after each, in the order of the names. What is exported wins
/// over what the login shell says.
///
/// # Errors
/// More than 2 MiB (65); a login shell that does not answer (1).
pub fn block(export: &Export, login: bool, around: &Surroundings) -> Result<Vec<u8>, CliError> {
    let mut variables: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    if login {
        variables.extend((around.login)(around)?);
    }
    if export.all {
        variables.extend(named(&around.variables));
    }
    for (name, value) in &export.named {
        let value = value.as_deref().map(str::as_bytes).or_else(|| around.variable(name));
        if let Some(value) = value {
            variables.insert(name.clone().into_bytes(), value.to_vec());
        }
    }
    let mut block = Vec::new();
    for (name, value) in variables {
        block.extend(name);
        block.push(b'=');
        block.extend(value);
        block.push(0);
    }
    if block.len() > ENVIRONMENT_BYTES_MAX {
        let message = format!("the environment has {} bytes, more than {ENVIRONMENT_BYTES_MAX}", block.len());
        let error = CliError::script("environment_too_large", message).option("--export");
        return Err(error.hint("name what the job needs: --export=PATH,HOME,…, or --export=NONE"));
    }
    Ok(block)
}

/// A name that is empty or holds `=` could not be told from its value again.
fn named(variables: &Variables) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + '_ {
    variables.iter().filter(|(name, _)| !name.is_empty() && !name.contains(&b'=')).cloned()
}

#[cfg(test)]
mod tests {
    use super::super::tests::around;
    use super::*;

    fn shown(text: &str, login: bool) -> String {
        let mut around = around("/home/ada");
        around.variables = vec![
            (b"PATH".to_vec(), b"/bin".to_vec()),
            (b"BASH_FUNC_module%%".to_vec(), b"() {  echo \"$1\"\n}".to_vec()),
            (b"RAW".to_vec(), b"\xff".to_vec()),
        ];
        around.login = |_| Ok(vec![(b"PATH".to_vec(), b"/login".to_vec()), (b"L".to_vec(), b"1".to_vec())]);
        let block = block(&export(text).unwrap(), login, &around).unwrap();
        String::from_utf8_lossy(&block).replace('\0', ";")
    }

    #[test]
    fn everything_nothing_or_what_is_named() {
        assert_eq!(shown("ALL", false), "BASH_FUNC_module%%=() {  echo \"$1\"\n};PATH=/bin;RAW=\u{fffd};");
        assert_eq!(shown("NONE", false), "");
        assert_eq!(shown("PATH,MISSING,V='a,b'", false), "PATH=/bin;V=a,b;");
        assert!(shown("ALL,PATH=/x", true).ends_with("};L=1;PATH=/x;RAW=\u{fffd};"));
        assert_eq!(shown("NONE", true), "L=1;PATH=/login;");
        for bad in ["", "A,", "=1", "NONE,A", "A='b"] {
            assert!(export(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_largest_environment() {
        let mut around = around("/home/ada");
        let value = ENVIRONMENT_BYTES_MAX - 3;
        around.variables = vec![(b"A".to_vec(), vec![b'x'; value])];
        let all = export("ALL").unwrap();
        assert_eq!(block(&all, false, &around).unwrap().len(), ENVIRONMENT_BYTES_MAX);
        around.variables = vec![(b"A".to_vec(), vec![b'x'; value + 1])];
        assert_eq!(block(&all, false, &around).unwrap_err().word, "environment_too_large");
    }
}
