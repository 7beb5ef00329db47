//! `jworkerd status`: what the daemon of this host is doing. The daemon answers on a socket in its folder that only
//! root and its own user can use: whoever connects gets one JSON document and is done.

use std::fs::Permissions;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::supervisor::client::SocketPath;
use crate::agent::JobOverview;
use crate::cli::render::quantity::{Clock, size_words};
use crate::cli::text::escape;
use crate::model::time::WallTime;

/// The name of the socket in the daemon's folder.
pub const STATUS_SOCKET: &str = "status.socket";
/// The most bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// How long the daemon may take to answer, and whoever asks to read.
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Nobody listens.
    #[error("no jworkerd serves {}; start it with: jworkerd --dir {} run", .0.display(), .0.display())]
    NotThere(PathBuf),
    /// Not for this user.
    #[error("{} is for root and the daemon's own user; ask as one of them", .0.display())]
    NotAllowed(PathBuf),
    /// It did not answer.
    #[error("the daemon in {} does not answer: {reason}; its log says more", folder.display())]
    Silent {
        /// The daemon's folder.
        folder: PathBuf,
        /// What was seen.
        reason: String,
    },
}

/// Listens in the daemon's folder, of which it must be the only user.
///
/// # Errors
/// What the system answered.
pub fn listen(folder: &Path) -> io::Result<UnixListener> {
    let way = SocketPath::of(folder)?;
    let (new, path) = (way.to(&format!("{STATUS_SOCKET}.new")), way.to(STATUS_SOCKET));
    let _ = std::fs::remove_file(&new);
    let listener = UnixListener::bind(&new)?;
    std::fs::set_permissions(&new, Permissions::from_mode(0o600))?;
    // Whoever sees the final name can connect.
    std::fs::rename(&new, &path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Asks the daemon of that folder.
///
/// # Errors
/// [`StatusError`].
pub fn ask(folder: &Path) -> Result<Value, StatusError> {
    let silent = |reason: String| StatusError::Silent { folder: folder.to_owned(), reason };
    let connected = SocketPath::of(folder).and_then(|way| UnixStream::connect(way.to(STATUS_SOCKET)));
    let stream = connected.map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => StatusError::NotThere(folder.to_owned()),
        ErrorKind::PermissionDenied => StatusError::NotAllowed(folder.join(STATUS_SOCKET)),
        _ => silent(error.to_string()),
    })?;
    let mut text = Vec::new();
    stream
        .set_read_timeout(Some(ANSWER_PATIENCE))
        .and_then(|()| stream.take(ANSWER_BYTES_MAX).read_to_end(&mut text))
        .map_err(|error| silent(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| silent(error.to_string()))
}

/// A job in the daemon's answer.
pub fn job(job: &JobOverview) -> Value {
    json!({
        "id": job.job.to_string(), "name": job.name, "user": job.user, "slots": job.slots, "waiting": job.waiting,
        "running": job.running, "ended": job.ended, "withdrawn": job.withdrawn, "supervisors": job.supervisors,
    })
}

/// The answer in words.
pub fn text(answer: &Value) -> String {
    let clock = Clock::system();
    let word = |value: &Value| match value {
        Value::String(text) => escape(text).into_owned(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let at = |pointer: &str| answer.pointer(pointer).map_or("-".to_owned(), word);
    let time = |pointer: &str| {
        let micros = answer.pointer(pointer).and_then(Value::as_i64);
        micros.map_or("-".to_owned(), |micros| clock.local(WallTime(micros)))
    };
    let size =
        |pointer: &str| size_words(answer.pointer(pointer).and_then(Value::as_u64).unwrap_or_default());
    let mut lines = vec![format!(
        "node        {} of cluster {}, jworkerd {}, process {}, since {}",
        at("/node"),
        at("/cluster"),
        at("/version"),
        at("/pid"),
        time("/since_us")
    )];
    let controller = match answer.pointer("/controller/connected").and_then(Value::as_bool) {
        Some(true) => format!(
            "connected to {} since {}, session {}, epoch {}",
            at("/controller/address"),
            time("/controller/since_us"),
            at("/controller/session"),
            at("/controller/epoch")
        ),
        _ => format!("not connected to {} ({})", at("/controller/addresses"), at("/controller/lost")),
    };
    lines.push(format!("controller  {controller}"));
    if answer.pointer("/controller/disobeyed").is_some_and(|reason| !reason.is_null()) {
        lines.push(format!("            its orders are refused: {}", at("/controller/disobeyed")));
    }
    lines.push(format!(
        "hardware    {} cpus, {}; limits: {}",
        at("/hardware/cpus"),
        size("/hardware/memory_bytes"),
        at("/hardware/limits")
    ));
    lines.push(format!(
        "spool       {}, id {}; log {}, {} contents; {} free",
        at("/spool/path"),
        at("/spool/id"),
        size("/spool/log_bytes"),
        at("/spool/contents"),
        size("/spool/free_bytes")
    ));
    lines.push(format!("supervisors {} ready for the next jobs", at("/supervisors_ahead")));
    let jobs = answer.pointer("/jobs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    lines.push(format!("jobs        {}", jobs.len()));
    if !jobs.is_empty() {
        lines.push(format!(
            "  {:>10} {:>7} {:>7} {:>7} {:>7} {:>9}  {:<12} NAME",
            "JOB", "SLOTS", "RUNNING", "WAITING", "ENDED", "WITHDRAWN", "USER"
        ));
    }
    for job in jobs {
        let of = |name: &str| job.get(name).map_or("-".to_owned(), word);
        lines.push(format!(
            "  {:>10} {:>7} {:>7} {:>7} {:>7} {:>9}  {:<12} {}",
            of("id"),
            of("slots"),
            of("running"),
            of("waiting"),
            of("ended"),
            of("withdrawn"),
            of("user"),
            of("name")
        ));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cant_forge_lines_and_nobody_is_not_somebody() {
        let answer =
            json!({"node": "n1", "jobs": [{"id": "7", "name": "a\nb", "running": 2}], "controller": {}});
        let text = text(&answer);
        assert!(text.contains("not connected") && text.lines().count() == 8, "{text}");
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(ask(folder.path()), Err(StatusError::NotThere(_))));
        drop(listen(folder.path()).unwrap());
        assert!(matches!(ask(folder.path()), Err(StatusError::NotThere(_))), "one that has died");
        let listener = listen(folder.path()).unwrap();
        let mode = std::fs::metadata(folder.path().join(STATUS_SOCKET)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(listener);
    }
}
