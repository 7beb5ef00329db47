//! Reads options as the C library's getopt does, for the command line and for directives alike: `-n4`, `-n 4`,
//! `--opt=v`, `--opt v`, letters in a row, abbreviations; the first word that is no option ends them.

use super::given::{Given, Source};
use super::{NameError, OptionDef, Takes, by_letter, resolve};
use crate::cli::error::CliError;

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The options in their order.
    pub given: Vec<Given>,
    /// How many words were options and their values; a `--` at the end included.
    pub used: usize,
    /// Whether a `--` ended them.
    pub dashes: bool,
}

/// Reads options from the front of `words`.
///
/// # Errors
/// Unknown and ambiguous names, missing and unwanted values, with the place that `source` names.
pub fn read(words: &[String], source: &Source) -> Result<Reading, CliError> {
    let mut reading = Reading::default();
    while let Some(word) = words.get(reading.used) {
        let next = words.get(reading.used + 1);
        if word == "--" {
            (reading.used, reading.dashes) = (reading.used + 1, true);
            break;
        }
        let took_next = if let Some(long) = word.strip_prefix("--") {
            read_long(long, next, source, &mut reading.given)?
        } else if word.len() > 1 && word.starts_with('-') {
            read_letters(word, next, source, &mut reading.given)?
        } else {
            break;
        };
        reading.used += 1 + usize::from(took_next);
    }
    Ok(reading)
}

/// Finds an option by its long name, or says why not.
pub fn find(name: &str, source: &Source) -> Result<&'static OptionDef, CliError> {
    let written = format!("--{name}");
    resolve(name).map_err(|why| match why {
        NameError::Unknown(near) => {
            let error = source.error("unknown_option", format!("unknown option {written}")).option(written);
            match near {
                Some(near) => error.hint(format!("did you mean --{near}?")),
                None => error.hint("`jsubmit --help` lists what is known"),
            }
        }
        NameError::Ambiguous(names) => {
            let names: Vec<String> = names.iter().map(|name| format!("--{name}")).collect();
            let message = format!("{written} could be any of {}", names.join(", "));
            source.error("ambiguous_option", message).option(written).hint("write the name in full")
        }
    })
}

fn read_long(
    long: &str,
    next: Option<&String>,
    source: &Source,
    given: &mut Vec<Given>,
) -> Result<bool, CliError> {
    let (name, value) = match long.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (long, None),
    };
    let option = find(name, source)?;
    let (value, took_next) = match (option.takes, value, next) {
        (Takes::Nothing, Some(_), _) => {
            let message = format!("--{} takes no value", option.long);
            return Err(source.error("unwanted_value", message).option(format!("--{}", option.long)));
        }
        (Takes::Value(_), None, Some(next)) => (Some(next.clone()), true),
        (Takes::Value(what), None, None) => return Err(missing(option, what, source)),
        (_, value, _) => (value, false),
    };
    given.push(Given { option, value, source: source.clone() });
    Ok(took_next)
}

fn read_letters(
    word: &str,
    next: Option<&String>,
    source: &Source,
    given: &mut Vec<Given>,
) -> Result<bool, CliError> {
    let mut letters = word.chars();
    letters.next();
    while let Some(letter) = letters.next() {
        let option = by_letter(letter).ok_or_else(|| {
            let error = source
                .error("unknown_option", format!("unknown option -{letter}"))
                .option(format!("-{letter}"));
            match word.len() > 2 && find(word.trim_start_matches('-'), source).is_ok() {
                true => error.hint(format!("did you mean -{word}?")),
                false => error.hint("`jsubmit --help` lists what is known"),
            }
        })?;
        let rest = letters.as_str();
        let (value, took_next) = match option.takes {
            Takes::Nothing => {
                given.push(Given { option, value: None, source: source.clone() });
                continue;
            }
            Takes::Value(_) | Takes::Maybe(_) if !rest.is_empty() => (Some(rest.to_owned()), false),
            Takes::Maybe(_) => (None, false),
            Takes::Value(what) => match next {
                Some(next) => (Some(next.clone()), true),
                None => return Err(missing(option, what, source)),
            },
        };
        given.push(Given { option, value, source: source.clone() });
        return Ok(took_next);
    }
    Ok(false)
}

fn missing(option: &'static OptionDef, what: &str, source: &Source) -> CliError {
    let error = source.error("missing_value", format!("--{} needs a value: {what}", option.long));
    error.option(format!("--{}", option.long))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn written(text: &str) -> Result<String, String> {
        let reading = read(&words(text), &Source::CommandLine).map_err(|error| error.message)?;
        let options: Vec<String> = reading.given.iter().map(Given::written).collect();
        Ok(format!("{} |{}", options.join(" "), words(text)[reading.used..].join(" ")))
    }

    #[test]
    fn forms_of_getopt() {
        assert_eq!(written("-n4 -c 2 job.sh -x").as_deref(), Ok("--ntasks=4 --cpus-per-task=2 |job.sh -x"));
        assert_eq!(written("--time=1:00 --out x.log").as_deref(), Ok("--time=1:00 --output=x.log |"));
        assert_eq!(written("-HWn4 -- true").as_deref(), Ok("--hold --wait --ntasks=4 |true"));
        assert_eq!(written("--nice 5").as_deref(), Ok("--nice |5"));
        assert_eq!(written("--nice=5 -").as_deref(), Ok("--nice=5 |-"));
        assert_eq!(written("--comment --hold").as_deref(), Ok("--comment=--hold |"));
    }

    #[test]
    fn refusals_name_the_option() {
        assert_eq!(written("--gers=1"), Err("unknown option --gers".into()));
        assert_eq!(written("--hold=1"), Err("--hold takes no value".into()));
        assert_eq!(written("--time"), Err("--time needs a value: TIME".into()));
        assert_eq!(written("-n"), Err("--ntasks needs a value: N".into()));
        assert_eq!(written("-HZ"), Err("unknown option -Z".into()));
        let error = read(&words("-tiem=5"), &Source::CommandLine).unwrap();
        assert_eq!(error.given[0].value.as_deref(), Some("iem=5"));
    }

    proptest! {
        #[test]
        fn no_words_are_too_strange(words in prop::collection::vec("-{0,3}[a-zA-Z=é-]{0,8}", 0..6)) {
            if let Ok(reading) = read(&words, &Source::CommandLine) {
                prop_assert!(reading.used <= words.len());
            }
        }
    }
}
