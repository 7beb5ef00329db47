//! What was said about a job, by whom, and who wins: command line over `--jobs` line over environment over script.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use super::{OptionDef, Takes};
use crate::cli::error::{CliError, ExitCode};

/// Who said something. Later ones win over earlier ones, and within one the last word counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody: it is the default.
    Default,
    /// A directive of a script.
    Script {
        /// The script, as it was named.
        file: Rc<str>,
        /// Counted from 1.
        line: u32,
    },
    /// An environment variable.
    Environment(String),
    /// A line of a `--jobs` file.
    Jobs {
        /// The file, as it was named.
        file: Rc<str>,
        /// Counted from 1.
        line: u32,
    },
    /// The command line.
    CommandLine,
}

impl Source {
    /// The higher wins.
    pub fn rank(&self) -> u8 {
        match self {
            Source::Default => 0,
            Source::Script { .. } => 1,
            Source::Environment(name) if name.starts_with("JSUBMIT_") => 3,
            Source::Environment(_) => 2,
            Source::Jobs { .. } => 4,
            Source::CommandLine => 5,
        }
    }

    /// How a command ends that fails because of what was said here: 65 for files, 64 for what was typed.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Source::Script { .. } | Source::Jobs { .. } => ExitCode::BadScript,
            _ => ExitCode::Usage,
        }
    }

    /// An error about what was said here.
    pub fn error(&self, word: &'static str, message: impl Into<String>) -> CliError {
        self.locate(CliError::new(self.exit_code(), word, message))
    }

    /// Puts this place into an error.
    pub fn locate(&self, error: CliError) -> CliError {
        match self {
            Source::Script { file, line } | Source::Jobs { file, line } => {
                error.in_file(&**file).on_line(*line)
            }
            Source::Environment(name) => error.in_file(name),
            Source::Default | Source::CommandLine => error,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::Script { file, line } | Source::Jobs { file, line } => write!(f, "{file} line {line}"),
            Source::Environment(name) => f.write_str(name),
            Source::CommandLine => f.write_str("command line"),
        }
    }
}

/// One thing said: not understood yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Which option.
    pub option: &'static OptionDef,
    /// Its value, if it has one.
    pub value: Option<String>,
    /// By whom.
    pub source: Source,
}

impl Given {
    /// The option as it is written: `--gres=gpu:1`.
    pub fn written(&self) -> String {
        match &self.value {
            Some(value) if self.option.takes != Takes::Nothing => format!("--{}={value}", self.option.long),
            _ => format!("--{}", self.option.long),
        }
    }

    /// An error about this.
    pub fn error(&self, word: &'static str, message: impl Into<String>) -> CliError {
        self.source.error(word, message).option(format!("--{}", self.option.long))
    }
}

/// What holds after everybody was heard.
#[derive(Clone, Debug, Default)]
pub struct Merged {
    winners: BTreeMap<&'static str, Vec<Given>>,
}

/// Options of which the one said by a higher source silences the others.
const RIVALS: [&[&str]; 4] = [
    &["mem", "mem-per-cpu", "mem-per-gpu"],
    &["no-requeue", "requeue"],
    &["no-requeue", "retry", "retry-on"],
    &["kill-on-invalid-dep", "on-dep-fail"],
];

impl Merged {
    /// Lets the highest source of each option win; among rivals the highest source of all.
    ///
    /// # Errors
    /// When one source asks for things that exclude each other.
    pub fn from(given: Vec<Given>) -> Result<Merged, CliError> {
        let mut winners: BTreeMap<&'static str, Vec<Given>> = BTreeMap::new();
        for one in given {
            let heard = winners.entry(one.option.long).or_default();
            let highest = heard.last().map_or(0, |last| last.source.rank());
            if one.source.rank() > highest {
                heard.clear();
            }
            if one.source.rank() >= highest {
                heard.push(one);
            }
        }
        let mut merged = Merged { winners };
        for rivals in RIVALS {
            merged.settle(rivals)?;
        }
        Ok(merged)
    }

    /// What holds for that option.
    pub fn get(&self, long: &str) -> Option<&Given> {
        self.winners.get(long).and_then(|heard| heard.last())
    }

    /// Everything that the winning source said about that option, in its order.
    pub fn all(&self, long: &str) -> &[Given] {
        self.winners.get(long).map_or(&[], Vec::as_slice)
    }

    /// Everything that holds, in the order of the names.
    pub fn heard(&self) -> impl Iterator<Item = &Given> {
        self.winners.values().filter_map(|heard| heard.last())
    }

    /// Whether the option holds at all, with or without a value.
    pub fn has(&self, long: &str) -> bool {
        self.winners.contains_key(long)
    }

    fn settle(&mut self, rivals: &[&'static str]) -> Result<(), CliError> {
        let rank = |merged: &Merged, long| merged.get(long).map_or(0, |given| given.source.rank());
        let highest = rivals.iter().map(|long| rank(self, long)).max().unwrap_or(0);
        // `--retry` and `--retry-on` belong together; only what stands against them is a rival.
        let against = rivals.first().copied().unwrap_or_default();
        if against == "no-requeue" && rivals.len() == 3 {
            if rank(self, against) == 0 {
                return Ok(());
            }
            let others = rivals.iter().skip(1).map(|long| rank(self, long)).max().unwrap_or(0);
            match rank(self, against).cmp(&others) {
                std::cmp::Ordering::Greater => {
                    rivals.iter().skip(1).for_each(|long| drop(self.winners.remove(long)))
                }
                std::cmp::Ordering::Less => drop(self.winners.remove(against)),
                std::cmp::Ordering::Equal => return self.contradiction(rivals),
            }
            return Ok(());
        }
        self.winners.retain(|long, heard| {
            !rivals.contains(long) || heard.last().is_some_and(|given| given.source.rank() == highest)
        });
        let left = rivals.iter().filter(|long| self.has(long)).count();
        if left > 1 { self.contradiction(rivals) } else { Ok(()) }
    }

    fn contradiction(&self, rivals: &[&'static str]) -> Result<(), CliError> {
        let said: Vec<&Given> = rivals.iter().filter_map(|long| self.get(long)).collect();
        let names: Vec<String> = said.iter().map(|given| format!("--{}", given.option.long)).collect();
        match said.last() {
            Some(given) => {
                Err(given.error("contradiction", format!("{} exclude each other", names.join(" and "))))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::by_name;
    use super::*;

    fn say(long: &str, value: &str, source: Source) -> Given {
        Given { option: by_name(long).unwrap(), value: Some(value.into()), source }
    }

    fn script(line: u32) -> Source {
        Source::Script { file: "job.sh".into(), line }
    }

    #[test]
    fn command_line_over_environment_over_script_whatever_comes_first() {
        let ours = Source::Environment("JSUBMIT_TIME".into());
        let slurms = Source::Environment("SBATCH_TIMELIMIT".into());
        let all = [script(1), slurms, ours, Source::CommandLine];
        for highest in 0..all.len() {
            let mut given: Vec<Given> = all
                .iter()
                .take(highest + 1)
                .enumerate()
                .map(|(k, source)| say("time", &k.to_string(), source.clone()))
                .collect();
            for _ in 0..given.len() {
                given.rotate_left(1);
                let merged = Merged::from(given.clone()).unwrap();
                assert_eq!(merged.get("time").unwrap().value.as_deref(), Some(highest.to_string().as_str()));
            }
        }
        let last = Merged::from(vec![say("time", "1", script(2)), say("time", "2", script(3))]).unwrap();
        assert_eq!(last.get("time").unwrap().value.as_deref(), Some("2"));
    }

    #[test]
    fn rivals() {
        let merged =
            Merged::from(vec![say("mem", "1G", script(2)), say("mem-per-cpu", "2G", Source::CommandLine)])
                .unwrap();
        assert!(!merged.has("mem") && merged.has("mem-per-cpu"));
        let error =
            Merged::from(vec![say("mem", "1G", script(2)), say("mem-per-cpu", "2G", script(3))]).unwrap_err();
        assert_eq!((error.code, error.place.line), (ExitCode::BadScript, Some(3)));
        let merged =
            Merged::from(vec![say("no-requeue", "", script(2)), say("retry", "2", Source::CommandLine)])
                .unwrap();
        assert!(!merged.has("no-requeue") && merged.has("retry"));
        let both =
            Merged::from(vec![say("retry-on", "fail", script(2)), say("retry", "2", Source::CommandLine)])
                .unwrap();
        assert!(both.has("retry-on") && both.has("retry"));
        assert!(Merged::from(vec![say("no-requeue", "", script(2)), say("retry", "2", script(4))]).is_err());
    }
}
