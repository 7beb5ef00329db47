//! The door of `jrun`.

fn main() -> std::process::ExitCode {
    jsched::cli::door::open_jrun()
}
