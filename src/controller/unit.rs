//! The systemd unit of the controller.

use std::path::Path;

use crate::worker::unit::quoted;

/// The unit's file name.
pub const UNIT_FILE: &str = "jctld.service";

/// A unit that runs `program` with `settings`.
pub fn text(program: &Path, settings: &Path) -> String {
    format!(
        "[Unit]\n\
         Description=jsched controller\n\
         After=network-online.target\n\
         Wants=network-online.target\n\
         \n\
         [Service]\n\
         ExecStart={} --settings {} run\n\
         Restart=on-failure\n\
         RestartSec=1\n\
         NoNewPrivileges=yes\n\
         LimitNOFILE=524288\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        quoted(program),
        quoted(settings)
    )
}
