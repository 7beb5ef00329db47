//! The keys of `jctld.toml`, for its manual page. A test of the settings themselves holds that none is missing and that
//! every default is what is said here.

/// A key.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name.
    pub key: &'static str,
    /// Its default as the file has it; `None`: there is none.
    pub default: Option<&'static str>,
    /// What it means, and in what it is counted.
    pub meaning: &'static str,
}

const fn setting(key: &'static str, default: Option<&'static str>, meaning: &'static str) -> Setting {
    Setting { key, default, meaning }
}

/// Every key.
pub const CONTROLLER: &[Setting] = &[
    setting(
        "listen",
        Some("\"[::]:6815\""),
        "Where the daemon listens, one UDP port for everything: ADDRESS:PORT.",
    ),
    setting(
        "advertise",
        None,
        "Under which names or addresses nodes and users reach it, a list of HOST:PORT, the best first. Required.",
    ),
    setting(
        "state",
        Some("\"state\""),
        "The folder of journal, tables, content and kept output; relative to the file.",
    ),
    setting("ca", Some("\"ca\""), "The folder of the cluster's certificate authority; relative to the file."),
    setting(
        "credentials",
        Some("\"controller\""),
        "The daemon's own certificate and key; relative to the file.",
    ),
    setting(
        "node_timeout",
        Some("\"5m\""),
        "A span: how long a node may be silent before it counts as unreachable.",
    ),
    setting(
        "lease",
        Some("\"30m\""),
        "A span, no shorter than node_timeout: how long a fenced job runs on without contact before it is frozen. It \
         starts elsewhere when that must have happened.",
    ),
    setting("kill_grace", Some("\"30s\""), "A span: from TERM to KILL."),
    setting(
        "jobs_per_user_max",
        Some("1000000"),
        "A count: the most unfinished jobs of one user; an array is one.",
    ),
    setting("allow_root", Some("false"), "Whether jobs of uid 0 are taken."),
    setting(
        "export_bytes",
        Some("268435456"),
        "Bytes: the state is written anew when the journal has grown by so much, or by as much as the state has, if that \
         is more.",
    ),
    setting(
        "user_certificates",
        Some("\"30d\""),
        "A span: how long certificates of users, operators and admins are good.",
    ),
    setting("node_certificates", Some("\"90d\""), "A span: how long certificates of nodes are good."),
    setting(
        "controller_certificates",
        Some("\"365d\""),
        "A span: how long the daemon's own certificate is good.",
    ),
    setting(
        "fence",
        None,
        "The absolute path of a program that makes sure that a node is dead. It is run with the node's name when the node \
         has been silent for node_timeout, and says by exit code 0 that nothing runs there any more; otherwise it is \
         asked again after another node_timeout. It may take five minutes.",
    ),
    setting("submit_from_jobs", Some("true"), "Whether jobs may submit jobs."),
    setting(
        "mirror",
        None,
        "The absolute path of a folder on another disk, or on another host's: all that is acknowledged is written there, \
         too, and synced, before it is acknowledged; so are large scripts and files sent with jobs, and exports before the \
         journal is cut. It holds the key of the CA, as a backup does. Its last folder is made, those above are not. \
         `jctld restore --from` makes a controller of it. When it fails, `jctld status` says so and the daemon goes on \
         without it; the next start brings it up again.",
    ),
    setting(
        "mirror_required",
        Some("false"),
        "Whether the daemon ends, and does not start, without the mirror.",
    ),
];

/// The manual page.
pub fn page() -> String {
    let mut page = format!(
        ".TH \"jctld.toml\" 5 \"jsched {version}\" \"jsched\" \"jsched\"\n.SH NAME\njctld.toml \\- settings of the \
         controller's daemon\n.SH DESCRIPTION\nThe daemon reads this file when it starts; \\fBjctld init\\fR writes it. \
         Spans are written as \\fB90s\\fR, \\fB5m\\fR, \\fB1h30m\\fR, \\fB2d\\fR. An unknown key is an error that \
         names its line. What belongs to the cluster rather than to the daemon, partitions for instance, stands in its \
         state and is changed by verbs.\n.SH KEYS\n",
        version = env!("CARGO_PKG_VERSION")
    );
    for Setting { key, default, meaning } in CONTROLLER {
        let default =
            default.map(|value| format!(" Default: \\fB{}\\fR.", escape(value))).unwrap_or_default();
        page.push_str(&format!(".TP\n\\fB{}\\fR\n{}{default}\n", escape(key), escape(meaning)));
    }
    page.push_str(".SH SEE ALSO\n\\fBjctld\\fR(8), \\fBjctld\\-init\\fR(8), \\fBjctld\\-doctor\\fR(8)\n");
    page
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}
