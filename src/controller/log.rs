//! Structured logs of a daemon, one record per event: for people on a terminal, else JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging to stderr; `JSCHED_LOG` says how much (`info` by default).
pub fn start(_program: &str) {
    let filter = EnvFilter::try_from_env("JSCHED_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.init();
    } else {
        builder.json().init();
    }
}
