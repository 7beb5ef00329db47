//! A configuration file into what is asked of the controller, by the same functions that read the verbs' `KEY=VALUE`.
//! Every mistake is told with file, line and key, those that only the controller can see, too.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::cli::args::values::Setting;
use crate::cli::commands::{
    account_settings, node_settings, partition_settings, priority_settings, qos_settings,
};
use crate::cli::error::CliError;
use crate::model::account::SHARE_DEFAULT;
use crate::wire::account::{AccountSettings, Names};
use crate::wire::client::Refusal;
use crate::wire::config::{Misfit, Section, Wanted};

/// A file that was understood.
#[derive(Clone, Debug)]
pub struct ClusterFile {
    /// What it wants.
    pub wanted: Wanted,
    file: String,
    /// Where entries and their keys stand; the empty key is the entry itself.
    lines: BTreeMap<(Section, String, String), u32>,
}

/// Reads the text of a file of that name.
///
/// # Errors
/// What makes no sense (65): with file, line, table and key.
pub fn read(file: &str, text: &str) -> Result<ClusterFile, CliError> {
    let root = DeTable::parse(text).map_err(|error| {
        let error_line = error.span().map_or(1, |span| line_of(text, &span));
        bad(error.message()).in_file(file).on_line(error_line)
    })?;
    let mut reader = Reader { text, file, lines: BTreeMap::new() };
    let mut wanted = Wanted::default();
    for (word, value) in root.get_ref() {
        let line = line_of(text, &word.span());
        let Some(section) = Section::ALL.into_iter().find(|section| section.word() == word.get_ref()) else {
            let known: Vec<&str> = Section::ALL.into_iter().map(Section::word).collect();
            let error = bad(format!("`{}` is no part of a configuration", word.get_ref()));
            return Err(error.in_file(file).on_line(line).hint(format!("these are: {}", known.join(", "))));
        };
        reader.section(section, value, &mut wanted)?;
    }
    Ok(ClusterFile { wanted, file: file.to_owned(), lines: reader.lines })
}

impl ClusterFile {
    /// A refusal of the controller, with the line that it is about.
    pub fn error(&self, misfit: &Misfit) -> CliError {
        let Misfit { section, name, key, refusal } = misfit;
        let line = |key: &str| self.lines.get(&(*section, name.clone(), key.to_owned())).copied();
        let line = line(key).or_else(|| line(""));
        let entry = section.entry(name, ".");
        let place = if key.is_empty() { entry } else { format!("{entry} {key}") };
        let message = format!("{place}: {}", refusal.message);
        let error = crate::cli::commands::refused(&Refusal { message, ..refusal.clone() });
        let error = error.in_file(&self.file);
        let error = if key.is_empty() { error } else { error.option(key) };
        line.into_iter().fold(error, CliError::on_line)
    }
}

struct Reader<'a> {
    text: &'a str,
    file: &'a str,
    lines: BTreeMap<(Section, String, String), u32>,
}

impl Reader<'_> {
    fn section(
        &mut self,
        section: Section,
        value: &Spanned<DeValue<'_>>,
        wanted: &mut Wanted,
    ) -> Result<(), CliError> {
        let Some(entries) = value.get_ref().as_table() else {
            return Err(self.at(value.span(), bad(format!("{} is no table", section.word()))));
        };
        if section == Section::Priority {
            let given = self.keys(section, "", entries, |one| priority_settings(one).map(|_| ()))?;
            wanted.priority = Some(priority_settings(&given)?);
            return Ok(());
        }
        for (name, value) in entries {
            let entry = section.entry(name.get_ref(), ".");
            let Some(keys) = value.get_ref().as_table() else {
                let error = bad(format!("{entry} is no table")).hint(format!("write [{entry}]"));
                return Err(self.at(name.span(), error));
            };
            let name_text = name.get_ref().to_string();
            self.note(section, &name_text, "", &name.span());
            let given = self.keys(section, &name_text, keys, |one| match section {
                Section::Partition => partition_settings(&name_text, one).map(|_| ()),
                Section::Node => node_settings(&name_text, one).map(|_| ()),
                Section::Account => account_settings(&name_text, one).and_then(whole_lists),
                Section::Qos | Section::Priority => qos_settings(&name_text, one).map(|_| ()),
            })?;
            let failed = |error: CliError| self.of_verb(&entry, error, name.span());
            match section {
                Section::Partition => {
                    let all = wanted.partitions.get_or_insert_default();
                    all.push(partition_settings(&name_text, &given).map_err(failed)?);
                }
                Section::Node => wanted.nodes.push(node_settings(&name_text, &given).map_err(failed)?),
                Section::Account => {
                    let all = wanted.accounts.get_or_insert_default();
                    all.push(whole(account_settings(&name_text, &given).map_err(failed)?));
                }
                Section::Qos | Section::Priority => {
                    let all = wanted.qos.get_or_insert_default();
                    all.push(qos_settings(&name_text, &given).map_err(failed)?);
                }
            }
        }
        // A section that is there and empty says that there are none.
        match section {
            Section::Partition => drop(wanted.partitions.get_or_insert_default()),
            Section::Account => drop(wanted.accounts.get_or_insert_default()),
            Section::Qos => drop(wanted.qos.get_or_insert_default()),
            Section::Node | Section::Priority => {}
        }
        Ok(())
    }

    /// The keys of an entry as `KEY=VALUE`, each tried by itself, so that a mistake is told at its line.
    fn keys(
        &mut self,
        section: Section,
        name: &str,
        keys: &DeTable<'_>,
        tried: impl Fn(&[Setting]) -> Result<(), CliError>,
    ) -> Result<Vec<Setting>, CliError> {
        let entry = section.entry(name, ".");
        let mut given = Vec::new();
        for (key, value) in keys {
            self.note(section, name, key.get_ref(), &key.span());
            let setting = self.setting(&entry, key, value)?;
            tried(std::slice::from_ref(&setting)).map_err(|error| self.of_verb(&entry, error, key.span()))?;
            given.push(setting);
        }
        Ok(given)
    }

    /// A key and its value as `KEY=VALUE` says it.
    fn setting(
        &self,
        entry: &str,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Setting, CliError> {
        let wrong = |why: &str| {
            let message = format!("{entry}: {}: {why}", key.get_ref());
            self.at(value.span(), bad(message).option(key.get_ref().to_string()))
        };
        let value = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Boolean(flag) => (if *flag { "yes" } else { "no" }).to_owned(),
            DeValue::Array(words) => {
                let mut names = Vec::new();
                for word in words.iter() {
                    match word.get_ref().as_str() {
                        Some(name) if !name.contains(',') => names.push(name),
                        _ => return Err(wrong("a list of names in quotes is wanted")),
                    }
                }
                names.join(",")
            }
            other => return Err(wrong(&format!("a {} makes no sense here", other.type_str()))),
        };
        Ok(Setting { key: key.get_ref().to_string(), value })
    }

    fn note(&mut self, section: Section, name: &str, key: &str, span: &Range<usize>) {
        let line = line_of(self.text, span);
        self.lines.insert((section, name.to_owned(), key.to_owned()), line);
    }

    fn at(&self, span: Range<usize>, error: CliError) -> CliError {
        error.in_file(self.file).on_line(line_of(self.text, &span))
    }

    /// What a verb would say of a command line, said of a file.
    fn of_verb(&self, entry: &str, error: CliError, span: Range<usize>) -> CliError {
        let code = crate::cli::error::ExitCode::BadScript;
        self.at(span, CliError { code, message: format!("{entry}: {}", error.message), ..error })
    }
}

fn bad(message: impl Into<String>) -> CliError {
    CliError::script("bad_configuration", message)
}

fn line_of(text: &str, span: &Range<usize>) -> u32 {
    let before = text.get(..span.start).unwrap_or(text);
    u32::try_from(before.matches('\n').count() + 1).unwrap_or(u32::MAX)
}

/// A file says what is so; `+A,-B` would depend on what was.
fn whole_lists(settings: AccountSettings) -> Result<(), CliError> {
    let lists = [
        ("users", settings.users),
        ("coordinators", settings.coordinators),
        ("default-for", settings.default_for),
    ];
    match lists.into_iter().find(|(_, names)| matches!(names, Some(Names::Edit { .. }))) {
        Some((key, _)) => {
            let message = format!("{key}: a file names all of them; `+` and `-` are for the command line");
            Err(CliError::usage("malformed_value", message).option(key))
        }
        None => Ok(()),
    }
}

/// What an account's entry leaves out is taken away.
fn whole(settings: AccountSettings) -> AccountSettings {
    let none = || Some(Names::All(Vec::new()));
    AccountSettings {
        parent: settings.parent.or(Some(None)),
        share: settings.share.or(Some(SHARE_DEFAULT)),
        user_shares: settings.user_shares.or_else(|| Some(Vec::new())),
        users: settings.users.or_else(none),
        coordinators: settings.coordinators.or_else(none),
        default_for: settings.default_for.or_else(none),
        budget: settings.budget.or(Some(None)),
        ..settings
    }
}
