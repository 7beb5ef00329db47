//! Manual pages and completions, made from the definitions, so that they can't say anything else.

use clap::Command;
use clap_complete::{Shell, generate};
use clap_mangen::Man;

/// Every file with its path below the root of the repository: `man/jqueue.1`, `man/jqueue-show.1`,
/// `completions/jqueue.bash`, and so on. The same bytes whenever and wherever it is called.
pub fn render_all() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for command in super::commands() {
        let name = command.get_name().to_owned();
        for (shell, file) in [
            (Shell::Bash, format!("{name}.bash")),
            (Shell::Zsh, format!("_{name}")),
            (Shell::Fish, format!("{name}.fish")),
        ] {
            let mut bytes = Vec::new();
            generate(shell, &mut command.clone(), &name, &mut bytes);
            files.push((format!("completions/{file}"), bytes));
        }
        let section = if name.ends_with('d') { "8" } else { "1" };
        let mut built = command;
        built.build();
        render_pages(&built, section, &mut files);
    }
    files.push(("man/jctld.toml.5".to_owned(), super::settings::page().into_bytes()));
    files.sort();
    files
}

/// A page for the command, and one for each verb.
fn render_pages(command: &Command, section: &str, files: &mut Vec<(String, Vec<u8>)>) {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let page = Man::new(command.clone().name(name.clone()))
        .title(&name)
        .section(section)
        .date(concat!("jsched ", env!("CARGO_PKG_VERSION")))
        .source("jsched");
    let mut bytes = Vec::new();
    // Writing into memory can't fail.
    if page.manual("jsched").render(&mut bytes).is_ok() {
        files.push((format!("man/{name}.{section}"), bytes));
    }
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help" && !verb.is_hide_set()) {
        render_pages(verb, section, files);
    }
}
