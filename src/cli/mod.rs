//! What users type and see: arguments, batch scripts, requests, tables, errors with hints. Nothing here talks to a
//! controller.

pub mod args;
pub mod cluster;
pub mod commands;
pub mod documents;
pub mod door;
pub mod error;
pub mod json;
pub mod meaning;
pub mod moment;
pub mod options;
pub mod render;
pub mod request;
pub mod script;
pub mod settings;
pub mod table;
pub mod text;
pub mod zone;

use clap::Command;

use self::args::Definition;

/// The definition of every command, for manual pages and completions.
pub fn commands() -> Vec<Command> {
    vec![
        args::jsubmit::definition(),
        args::jqueue::JQueue::definition(),
        args::jcancel::JCancel::definition(),
        args::jnode::JNode::definition(),
        args::jrun::definition(),
        args::jctld::JCtld::definition(),
        args::jworkerd::JWorkerd::definition(),
    ]
}

/// The definition of one command, by its name.
pub fn command(name: &str) -> Option<Command> {
    commands().into_iter().find(|command| command.get_name() == name)
}
