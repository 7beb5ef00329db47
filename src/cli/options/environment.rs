//! Defaults from the environment: `JSUBMIT_…` for each option, and below them Slurm's `SBATCH_…`.

use super::given::{Given, Source};
use super::{OptionDef, Takes, all};
use crate::cli::error::CliError;

/// Reads what the environment says about a job; `lookup` gives a variable's value.
///
/// # Errors
/// A variable of ours that is no text.
pub fn read<'a>(lookup: &dyn Fn(&str) -> Option<&'a [u8]>) -> Result<Vec<Given>, CliError> {
    let mut given = Vec::new();
    let has_default = |option: &&OptionDef| option.in_script || ["json", "config"].contains(&option.long);
    for option in all().filter(has_default) {
        let ours = option.variable();
        let names = option.variables.iter().copied().chain([ours.as_str()]);
        for name in names {
            if let Some(bytes) = lookup(name) {
                given.extend(understand(option, name, bytes)?);
            }
        }
    }
    Ok(given)
}

fn understand(option: &'static OptionDef, name: &str, bytes: &[u8]) -> Result<Option<Given>, CliError> {
    let source = Source::Environment(name.to_owned());
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(source.error("bad_variable", format!("the value of {name} is no text")));
    };
    let refused = ["0", "no", "false"].iter().any(|word| text.eq_ignore_ascii_case(word));
    let agreed = ["", "1", "yes", "true"].iter().any(|word| text.eq_ignore_ascii_case(word));
    let value = match option.takes {
        Takes::Nothing | Takes::Maybe(_) if refused && option.long != "nice" => return Ok(None),
        Takes::Nothing => None,
        Takes::Maybe(_) if agreed && option.long != "nice" => None,
        Takes::Value(_) | Takes::Maybe(_) => Some(text.to_owned()),
    };
    Ok(Some(Given { option, value, source }))
}

#[cfg(test)]
mod tests {
    use super::super::given::Merged;
    use super::*;

    #[test]
    fn ours_over_slurms_and_flags_as_words() {
        let variables: [(&str, &[u8]); 6] = [
            ("JSUBMIT_TIME", b"5"),
            ("SBATCH_TIMELIMIT", b"9"),
            ("SBATCH_PARTITION", b"long"),
            ("SBATCH_WAIT", b""),
            ("JSUBMIT_HOLD", b"no"),
            ("SBATCH_REQUEUE", b"1"),
        ];
        let lookup = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let merged = Merged::from(read(&lookup).unwrap()).unwrap();
        assert_eq!(merged.get("time").unwrap().value.as_deref(), Some("5"));
        assert_eq!(merged.get("partition").unwrap().source, Source::Environment("SBATCH_PARTITION".into()));
        assert!(merged.has("wait") && !merged.has("hold"));
        assert_eq!(merged.get("requeue").unwrap().value, None);
    }

    #[test]
    fn what_is_no_text_is_refused_by_name() {
        let error = read(&|name: &str| (name == "JSUBMIT_COMMENT").then_some(&b"\xff"[..])).unwrap_err();
        assert_eq!(error.place.file.as_deref(), Some("JSUBMIT_COMMENT"));
    }
}
