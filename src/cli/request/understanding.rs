//! From what was said to what is meant, one option at a time. Each option that is looked at leaves one field behind,
//! so that what is shown is what was understood and nothing else.

use std::fmt::Display;

use serde_json::{Value, json};

use super::surroundings::Surroundings;
use crate::cli::error::CliError;
use crate::cli::moment::{self, Towards};
use crate::cli::options::given::{Given, Merged, Source};
use crate::cli::options::{OptionDef, Standing, all};
use crate::model::identity::name_is_valid;
use crate::model::time::WallTime;

/// The most bytes of all options together that are kept although they change nothing.
pub const HARMLESS_BYTES_MAX: usize = 16 << 10;

/// One option as understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The option's long name as a key of JSON, its unit last: `cpus_per_task`, `time_seconds`.
    pub name: String,
    /// Its value: counts as numbers, amounts in bytes, spans in seconds, moments in RFC 3339; null where the
    /// controller fills it in.
    pub value: Value,
    /// Who said so.
    pub source: Source,
}

/// The work of understanding one job.
pub struct Understanding<'a> {
    /// What was said.
    pub merged: &'a Merged,
    /// Where and by whom.
    pub around: &'a Surroundings,
    /// Whether anybody wants to see it.
    pub keep_fields: bool,
    /// What was understood so far.
    pub fields: Vec<Field>,
    /// What can't be done yet.
    pub refused: Vec<Given>,
    /// What changes nothing here, as written.
    pub harmless: Vec<String>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

impl<'a> Understanding<'a> {
    /// Begins.
    pub fn new(merged: &'a Merged, around: &'a Surroundings, keep_fields: bool) -> Understanding<'a> {
        Understanding {
            merged,
            around,
            keep_fields,
            fields: Vec::new(),
            refused: Vec::new(),
            harmless: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Looks at one option: reads its value, if it was said, and leaves a field with what `show` makes of it, or with
    /// the default. A value that is optional and missing is read as the empty string.
    pub fn look<T, E: Display>(
        &mut self,
        long: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
        show: impl FnOnce(&T) -> Value,
        default: Value,
    ) -> Result<Option<T>, CliError> {
        let Some(given) = self.merged.get(long) else {
            self.field(long, default, Source::Default);
            return Ok(None);
        };
        let value = read(given.value.as_deref().unwrap_or_default());
        let value = value.map_err(|why| given.error("malformed_value", format!("--{long}: {why}")))?;
        if self.keep_fields {
            self.field(long, show(&value), given.source.clone());
        }
        Ok(Some(value))
    }

    /// Looks at a flag.
    pub fn flag(&mut self, long: &str) -> bool {
        let given = self.merged.get(long);
        self.field(long, json!(given.is_some()), given.map_or(Source::Default, |given| given.source.clone()));
        given.is_some()
    }

    /// Looks at a whole number between two bounds.
    pub fn count(
        &mut self,
        long: &str,
        least: u32,
        most: u32,
        default: Value,
    ) -> Result<Option<u32>, CliError> {
        self.look(long, |text| count(text, least, most), |count| json!(count), default)
    }

    /// Looks at some text of at most so many bytes.
    pub fn text(&mut self, long: &str, bytes_max: usize, default: Value) -> Result<Option<String>, CliError> {
        self.look(long, |text| bounded(text, bytes_max), |text| json!(text), default)
    }

    /// Looks at the name of a partition, an account or the like; an empty one says nothing.
    pub fn name(&mut self, long: &str) -> Result<String, CliError> {
        let read = |text: &str| match text.is_empty() || name_is_valid(text) {
            true => Ok(text.to_owned()),
            false => Err(format!("`{text}` can't be a name: 1 to 63 letters, digits, `-`, `_` and `.`")),
        };
        let show = |name: &String| if name.is_empty() { Value::Null } else { json!(name) };
        Ok(self.look(long, read, show, Value::Null)?.unwrap_or_default())
    }

    /// Looks at a moment that is to come.
    pub fn moment(&mut self, long: &str) -> Result<Option<WallTime>, CliError> {
        let around = self.around;
        let read = |text: &str| moment::place(text, around.now, &around.zone(), Towards::Future);
        self.look(long, read, |moment| json!(moment::rfc3339(*moment)), Value::Null)
    }

    /// Leaves a field.
    pub fn field(&mut self, long: &str, value: Value, source: Source) {
        if self.keep_fields {
            self.fields.push(Field { name: key(long), value, source });
        }
    }

    /// Puts a default in the field of an option that was not said, now that the others are known.
    pub fn amend(&mut self, long: &str, value: Value) {
        let name = key(long);
        if let Some(field) = self.fields.iter_mut().find(|field| field.name == name) {
            field.value = value;
        }
    }

    /// Notes that an option that was said can't be honoured yet.
    pub fn refuse(&mut self, long: &str) {
        if let Some(given) = self.merged.get(long).filter(|given| !self.refused.contains(given)) {
            self.refused.push(given.clone());
        }
    }

    /// Sorts out the options that the table itself refuses or lets pass.
    ///
    /// # Errors
    /// `--clusters` that names another cluster, or too much that changes nothing (the place's exit code).
    pub fn standings(&mut self) -> Result<(), CliError> {
        let mut said: Vec<&Given> =
            self.merged.heard().filter(|g| g.option.standing != Standing::Honoured).collect();
        said.sort_by_key(|given| all().position(|option| option == given.option));
        for given in said {
            let option = given.option;
            let value = given.value.clone().unwrap_or_default();
            match option.standing {
                Standing::Honoured => continue,
                Standing::Refused if asks_for_nothing(option.long, &value) => {}
                Standing::Refused => self.refuse(option.long),
                Standing::Harmless
                    if matches!(option.long, "threads-per-core" | "ntasks-per-core") && value != "1" =>
                {
                    self.refuse(option.long);
                }
                Standing::Harmless => {
                    self.check_cluster(given, &value)?;
                    for written in self.merged.all(option.long).iter().map(Given::written) {
                        if !self.harmless.contains(&written) {
                            self.harmless.push(written);
                        }
                    }
                }
            }
            if self.harmless.iter().map(String::len).sum::<usize>() > HARMLESS_BYTES_MAX {
                let message =
                    format!("more than {HARMLESS_BYTES_MAX} bytes of options that change nothing here");
                return Err(given.error("too_long", message));
            }
            let shown = given.value.as_deref().map_or(json!(true), |value| json!(value));
            self.field(option.long, shown, given.source.clone());
        }
        self.unsaid();
        if !self.harmless.is_empty() {
            self.warnings.push(format!("accepted, without effect here: {}", self.harmless.join(", ")));
        }
        Ok(())
    }

    /// Leaves a field for each option that nobody said and nobody looked at, so that every option has one.
    fn unsaid(&mut self) {
        let standing = |option: &&OptionDef| option.standing != Standing::Honoured && !option.hidden;
        for option in all().filter(standing) {
            if !self.merged.has(option.long) {
                self.field(option.long, Value::Null, Source::Default);
            }
        }
    }

    fn check_cluster(&self, given: &Given, value: &str) -> Result<(), CliError> {
        match &self.around.cluster {
            Some(here) if given.option.long == "clusters" && !value.split(',').any(|name| name == here) => {
                let message = format!("--clusters={value}: this cluster is called {here}");
                Err(given
                    .error("other_cluster", message)
                    .hint("another cluster has its own client configuration: --config"))
            }
            _ => Ok(()),
        }
    }
}

/// The key of an option, its unit last.
fn key(long: &str) -> String {
    let unit = match long {
        "time" | "time-min" => "_seconds",
        "mem" | "mem-per-cpu" | "tmp" => "_bytes",
        _ => "",
    };
    format!("{}{unit}", long.replace('-', "_"))
}

/// Whether a request for GPUs and the like asks for none of them, which any node can give.
fn asks_for_nothing(long: &str, value: &str) -> bool {
    let countable = matches!(long, "gpus" | "gpus-per-node" | "gpus-per-task" | "gres" | "licenses");
    let none = |piece: &str| piece == "0" || piece.eq_ignore_ascii_case("none") || piece.ends_with(":0");
    countable && value.split(',').all(none)
}

/// Reads a whole number between two bounds.
pub fn count(text: &str, least: u32, most: u32) -> Result<u32, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let value = text.parse::<u32>().ok().filter(|value| digits && (least..=most).contains(value));
    value.ok_or_else(|| format!("`{text}` is no whole number from {least} to {most}"))
}

/// Takes text of at most so many bytes.
pub fn bounded(text: &str, bytes_max: usize) -> Result<String, String> {
    match text.len() <= bytes_max && !text.contains('\0') {
        true => Ok(text.to_owned()),
        false => Err(format!("{} bytes, at most {bytes_max} and no NUL among them", text.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_at_their_edges() {
        assert_eq!(count("1", 1, 9), Ok(1));
        assert_eq!(count("4294967295", 0, u32::MAX), Ok(u32::MAX));
        for bad in ["0", "10", "", "+1", "-1", " 1", "1k", "4294967296", "=4"] {
            assert!(count(bad, 1, 9).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_can_always_be_had() {
        for (long, value) in [("gres", "none"), ("gres", "gpu:0"), ("gpus", "0"), ("gpus-per-node", "a100:0")]
        {
            assert!(asks_for_nothing(long, value), "{long} {value}");
        }
        for (long, value) in [("gres", "gpu"), ("gres", "gpu:0,nvme:1"), ("constraint", "0"), ("gpus", "10")]
        {
            assert!(!asks_for_nothing(long, value), "{long} {value}");
        }
    }
}
