//! The options of `jsubmit`: one table that the command line, the environment, the directives of a script, the help
//! and the manual page are all read from, so that they can't drift apart.

pub mod environment;
pub mod given;
pub mod reader;
mod table;
mod table_slurm;

use std::cmp::Reverse;

use strsim::osa_distance;

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing: it is a flag.
    Nothing,
    /// A value of that name.
    Value(&'static str),
    /// A value after `=`, or none.
    Maybe(&'static str),
}

/// What becomes of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is honoured.
    Honoured,
    /// It changes nothing here, is kept in the record, and named in a warning.
    Harmless,
    /// Not supported yet.
    Refused,
}

/// The headings of the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// What runs.
    What,
    /// What it needs.
    Resources,
    /// Which nodes will do.
    Where,
    /// When it may run.
    When,
    /// Before whom.
    Rank,
    /// Arrays.
    Arrays,
    /// Many jobs at once.
    ManyJobs,
    /// What happens after a failure.
    Faults,
    /// Files brought and fetched.
    Data,
    /// Whether the command waits.
    Waiting,
    /// Who is told.
    Telling,
    /// About the command itself.
    General,
    /// Accepted, without effect.
    Harmless,
}

impl Group {
    /// The heading in the help.
    pub fn heading(self) -> &'static str {
        match self {
            Group::What => "What runs",
            Group::Resources => "Resources",
            Group::Where => "Where",
            Group::When => "When",
            Group::Rank => "Rank",
            Group::Arrays => "Arrays",
            Group::ManyJobs => "Many jobs",
            Group::Faults => "Faults",
            Group::Data => "Data",
            Group::Waiting => "Waiting",
            Group::Telling => "Telling",
            Group::General => "General",
            Group::Harmless => "Accepted, without effect here",
        }
    }
}

/// One option.
#[derive(Debug, PartialEq, Eq)]
pub struct OptionDef {
    /// Its long name, without dashes.
    pub long: &'static str,
    /// Its letter.
    pub short: Option<char>,
    /// Other long names.
    pub aliases: &'static [&'static str],
    /// What it takes.
    pub takes: Takes,
    /// What becomes of it.
    pub standing: Standing,
    /// Under which heading it stands.
    pub group: Group,
    /// Whether Slurm has it, so that it may be abbreviated.
    pub slurm: bool,
    /// Whether a script, the environment, or a line of `--jobs` may say it, too.
    pub in_script: bool,
    /// Whether help and manual leave it out.
    pub hidden: bool,
    /// Slurm's environment variables for it.
    pub variables: &'static [&'static str],
    /// What it does, in a line.
    pub help: &'static str,
}

impl OptionDef {
    /// The name as a key of JSON: `job_name`.
    pub fn key(&self) -> String {
        self.long.replace('-', "_")
    }

    /// Our environment variable for it: `JSUBMIT_JOB_NAME`.
    pub fn variable(&self) -> String {
        format!("JSUBMIT_{}", self.key().to_ascii_uppercase())
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.long).chain(self.aliases.iter().copied())
    }
}

/// All options, in the order in which the help lists them.
pub fn all() -> impl Iterator<Item = &'static OptionDef> {
    table::OPTIONS.iter().chain(table_slurm::OPTIONS)
}

/// The option of that long name; other names of it are not looked at.
pub fn by_name(long: &str) -> Option<&'static OptionDef> {
    all().find(|option| option.long == long)
}

/// The option of that letter.
pub fn by_letter(letter: char) -> Option<&'static OptionDef> {
    all().find(|option| option.short == Some(letter))
}

/// Why a long name was not resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameError {
    /// No option is called that; perhaps this one was meant.
    Unknown(Option<&'static str>),
    /// An abbreviation of several.
    Ambiguous(Vec<&'static str>),
}

/// Finds the option that a long name means: the name itself, or an abbreviation that only one of Slurm's options has.
/// Underscores do for dashes, as in keys of JSON.
pub fn resolve(name: &str) -> Result<&'static OptionDef, NameError> {
    let name = name.replace('_', "-");
    if let Some(exact) = all().find(|option| option.names().any(|known| known == name)) {
        return Ok(exact);
    }
    let mut found: Vec<&'static OptionDef> = Vec::new();
    if !name.is_empty() {
        found.extend(all().filter(|o| o.slurm && o.names().any(|known| known.starts_with(&name))));
    }
    match found.as_slice() {
        [] => Err(NameError::Unknown(nearest(&name))),
        [one] => Ok(one),
        several => Err(NameError::Ambiguous(several.iter().map(|option| option.long).collect())),
    }
}

/// The known name that is the fewest slips of the finger away, if that is near enough to be meant.
fn nearest(name: &str) -> Option<&'static str> {
    let names = all()
        .filter(|option| option.standing != Standing::Refused || !option.hidden)
        .flat_map(OptionDef::names);
    let alike = |known: &str| known.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
    // `--name` is rather half of `--job-name` than a misspelt `--nice`.
    let distance = |known: &str| {
        let is_word = known.split('-').any(|word| word == name);
        if is_word { 0 } else { osa_distance(known, name) }
    };
    let near = names.map(|known| (distance(known), Reverse(alike(known)), known)).min()?;
    (near.0 <= 1 + name.len() / 3).then_some(near.2)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_letter_or_variable_is_taken_twice() {
        let (mut names, mut letters, mut variables) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for option in all() {
            assert!(option.names().all(|name| names.insert(name)), "{}", option.long);
            assert!(option.short.is_none_or(|letter| letters.insert(letter)), "{}", option.long);
            assert!(option.variables.iter().all(|variable| variables.insert(*variable)), "{}", option.long);
        }
    }

    #[test]
    fn no_option_of_ours_is_a_prefix_of_one_of_slurms() {
        for ours in all().filter(|option| !option.slurm) {
            for slurms in all().filter(|option| option.slurm).flat_map(OptionDef::names) {
                assert!(!ours.names().any(|name| slurms.starts_with(name)), "--{} --{slurms}", ours.long);
            }
        }
    }

    #[test]
    fn abbreviations_are_of_slurms_options_alone() {
        assert_eq!(resolve("out").map(|option| option.long), Ok("output"));
        assert_eq!(resolve("err").map(|option| option.long), Ok("error"));
        assert_eq!(resolve("cluster").map(|option| option.long), Ok("clusters"));
        assert_eq!(resolve("tasks").map(|option| option.long), Ok("ntasks"));
        assert_eq!(resolve("job_name").map(|option| option.long), Ok("job-name"));
        assert_eq!(resolve("mem").map(|option| option.long), Ok("mem"));
        assert!(matches!(resolve("nt"), Err(NameError::Ambiguous(_))));
        assert!(matches!(resolve("foll"), Err(NameError::Unknown(_))));
        assert_eq!(resolve("gpu-per-node"), Err(NameError::Unknown(Some("gpus-per-node"))));
        assert_eq!(resolve("name"), Err(NameError::Unknown(Some("job-name"))));
        assert_eq!(resolve("memory"), Err(NameError::Unknown(Some("mem"))));
        assert_eq!(resolve("mem-per-task"), Err(NameError::Unknown(Some("mem-per-cpu"))));
        assert_eq!(resolve("frobnicate-everything"), Err(NameError::Unknown(None)));
        assert!(matches!(resolve(""), Err(NameError::Unknown(_))));
    }
}
