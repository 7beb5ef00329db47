//! The systemd unit of a node daemon.

use std::path::Path;

/// The unit's file name.
pub const UNIT_FILE: &str = "jworkerd.service";

/// A unit that runs `program` on `folder`. `KillMode=process`: a stop or restart of the daemon leaves supervisors and
/// jobs alone. `Delegate=yes`: control groups below the daemon's own are its to make.
pub fn text(program: &Path, folder: &Path) -> String {
    format!(
        "[Unit]\n\
         Description=jsched node daemon\n\
         After=network-online.target nss-user-lookup.target\n\
         Wants=network-online.target\n\
         \n\
         [Service]\n\
         ExecStart={} --dir {} run\n\
         KillMode=process\n\
         Delegate=yes\n\
         Restart=always\n\
         RestartSec=1\n\
         LimitNOFILE=524288\n\
         TasksMax=infinity\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        quoted(program),
        quoted(folder)
    )
}

/// As systemd reads it: in quotes, with its specials escaped.
pub fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let escaped: String = text
        .chars()
        .flat_map(|c| match c {
            '"' | '\\' => vec!['\\', c],
            '%' | '$' => vec![c, c],
            _ => vec![c],
        })
        .collect();
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_leaves_the_jobs_alone_and_paths_stay_one_word() {
        let unit = text(Path::new("/opt/a b/jworkerd"), Path::new("/d/50%\"x"));
        assert!(unit.contains("KillMode=process\n") && unit.contains("Delegate=yes\n"));
        assert!(unit.contains("ExecStart=\"/opt/a b/jworkerd\" --dir \"/d/50%%\\\"x\" run\n"), "{unit}");
    }
}
