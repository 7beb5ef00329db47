//! A job that is a command rather than a script, and what it takes to start it without a shell. Pure.

use std::ffi::CString;

use crate::model::spec::COMMAND_SCRIPT;
use crate::worker::launch::{Direct, Strings};

/// With more places to look at, the shell may do it.
const PLACES_MAX: usize = 64;

/// The command of a job whose script would only become its arguments. The shell that the script names would look it
/// up along `PATH` and execute the first that can be; so do we, and leave the rest to the script: what can't be found
/// or is no program gets the shell's own words and code.
pub fn direct(script: &[u8], arguments: &[String], environment: &Strings) -> Option<Direct> {
    let name = arguments.first().filter(|_| script == COMMAND_SCRIPT.as_bytes())?;
    // The shell would take it for an option.
    if name.is_empty() || name.starts_with('-') {
        return None;
    }
    let places: Vec<CString> = if name.contains('/') {
        vec![CString::new(name.as_str()).ok()?]
    } else {
        let mut paths = environment.iter().filter_map(|entry| entry.strip_prefix(b"PATH="));
        let (Some(path), None) = (paths.next(), paths.next()) else { return None };
        let place = |folder: &[u8]| {
            let slash: &[u8] = if folder.is_empty() { b"" } else { b"/" };
            CString::new([folder, slash, name.as_bytes()].concat()).ok()
        };
        path.split(|byte| *byte == b':').map(place).collect::<Option<_>>()?
    };
    let mut words = Strings::new();
    arguments.iter().for_each(|argument| words.push(argument.as_bytes()));
    (places.len() <= PLACES_MAX).then_some(Direct { places, arguments: words })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_jsubmit_writes_for_a_command_is_known() {
        let program = crate::cli::request::program::from_command(&["x".to_owned()]).unwrap();
        assert_eq!(program.script.bytes, COMMAND_SCRIPT.as_bytes());
    }

    #[test]
    fn a_command_is_looked_for_where_the_shell_would() {
        let mut environment = Strings::new();
        environment.push(b"HOME=/");
        environment.push(b"PATH=/a::b");
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let places = |script: &str, arguments: &[&str]| {
            let found = direct(script.as_bytes(), &words(arguments), &environment);
            found.map(|found| found.places.iter().map(|p| p.to_str().unwrap().to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(places(COMMAND_SCRIPT, &["x", "y z"]), Some(words(&["/a/x", "x", "b/x"])));
        assert_eq!(places(COMMAND_SCRIPT, &["./x"]), Some(words(&["./x"])));
        for none in [&["-x"][..], &[""], &[]] {
            assert_eq!(places(COMMAND_SCRIPT, none), None);
        }
        assert_eq!(places("#!/bin/sh\nexec \"$@\" \n", &["x"]), None);
        environment.push(b"PATH=/twice");
        assert!(direct(COMMAND_SCRIPT.as_bytes(), &words(&["x"]), &environment).is_none());
        assert!(direct(COMMAND_SCRIPT.as_bytes(), &words(&["/x"]), &environment).is_some());
    }
}
