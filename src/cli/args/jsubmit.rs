//! `jsubmit`: its options stand in one table, from which its definition is made here for help, manual and
//! completions. The command line itself is read by the reader that reads directives, too.

use clap::{Arg, ArgAction, Command};

use crate::cli::options::{Group, OptionDef, Standing, Takes, all};

/// The definition, for help, manual and completions.
pub fn definition() -> Command {
    let usage = "jsubmit [OPTIONS] SCRIPT [ARGS…]\n       jsubmit [OPTIONS] -- COMMAND…\n       jsubmit [OPTIONS] --wrap 'LINE'\n       jsubmit [OPTIONS] < SCRIPT\n       jsubmit [OPTIONS] --jobs FILE";
    Command::new("jsubmit")
        .about("Submit a batch job")
        .after_help(
            "A script says its options in lines beginning with #JSUB or #SBATCH, before its first command. The command \
             line wins over the environment (JSUBMIT_TIME, below it SBATCH_TIMELIMIT), the environment over the script. \
             Slurm's options may be abbreviated.",
        )
        .override_usage(usage)
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(Arg::new("SCRIPT").help("Batch script, and its arguments; or a command after --").num_args(0..))
        .args(all().filter(|option| !option.hidden).map(argument))
}

/// The text of `--help`.
pub fn help() -> String {
    definition().render_help().to_string()
}

/// The text of `--usage`.
pub fn usage() -> String {
    format!("{}\n", definition().render_usage())
}

/// The same options for another command that takes some of the groups.
pub(super) fn arguments_of(groups: &'static [Group]) -> impl Iterator<Item = Arg> {
    all().filter(move |option| !option.hidden && groups.contains(&option.group)).map(argument)
}

fn argument(option: &'static OptionDef) -> Arg {
    let mut help = option.help.to_owned();
    if option.standing == Standing::Refused {
        help.push_str(" (not supported yet)");
    }
    let mut arg = Arg::new(option.long).long(option.long).help(help).help_heading(option.group.heading());
    if let Some(letter) = option.short {
        arg = arg.short(letter);
    }
    match option.takes {
        Takes::Nothing => arg.action(ArgAction::SetTrue),
        Takes::Value(name) => arg.action(ArgAction::Set).value_name(name),
        Takes::Maybe(name) => {
            arg.action(ArgAction::Set).value_name(name).num_args(0..=1).require_equals(true)
        }
    }
}
