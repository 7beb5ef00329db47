//! Who a user is on this node: looked up in the account database at each start, never taken from a message.

use std::ffi::CString;

use nix::unistd::{Gid, Uid as UnixUid, User as Account, getegid, geteuid, getgrouplist, getgroups};

use crate::model::ids::Uid;
use crate::wire::supervisor::User;

/// Why a user's job does not run here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// Nobody of that name.
    #[error("user {0} is unknown on this node; create the account, or exclude the node")]
    Unknown(String),
    /// The name belongs to another number here.
    #[error(
        "user {name} has uid {here} on this node, but the job was submitted by uid {job}; make the accounts agree"
    )]
    OtherUid {
        /// The name.
        name: String,
        /// His number on this node.
        here: Uid,
        /// The number in the certificate that submitted the job.
        job: Uid,
    },
    /// Jobs of root.
    #[error("uid 0 runs no jobs here; an admin can set `allow_root_jobs` in jworkerd.toml")]
    Root,
    /// The daemon is not root and the job is somebody else's.
    #[error("this node daemon runs without root and serves uid {serves} only, not uid {job}")]
    NotServed {
        /// Whose jobs run here.
        serves: Uid,
        /// Whose job it is.
        job: Uid,
    },
    /// The database does not answer.
    #[error("the account database can't be asked for user {name}: {reason}")]
    Database {
        /// The name.
        name: String,
        /// What the system said.
        reason: String,
    },
}

/// The only user whose jobs can run: of a daemon without root, its own; otherwise `None`.
pub fn only_uid() -> Option<Uid> {
    let own = geteuid();
    (!own.is_root()).then_some(Uid(own.as_raw()))
}

/// Looks the user up. Blocks as long as the account database does.
///
/// # Errors
/// [`AccountError`]; then nothing of this user may be started.
pub fn look_up(name: &str, uid: Uid, root_allowed: bool) -> Result<User, AccountError> {
    if uid.0 == 0 && !root_allowed {
        return Err(AccountError::Root);
    }
    if let Some(serves) = only_uid().filter(|serves| *serves != uid) {
        return Err(AccountError::NotServed { serves, job: uid });
    }
    let database = |errno: nix::errno::Errno| AccountError::Database {
        name: name.to_owned(),
        reason: errno.desc().to_owned(),
    };
    let switch = geteuid().as_raw() != uid.0;
    let Some(account) = Account::from_name(name).map_err(database)? else {
        // Whoever started the daemon needs no entry to run as himself, as in a container.
        return if switch { Err(AccountError::Unknown(name.to_owned())) } else { Ok(own_user(name)) };
    };
    if account.uid != UnixUid::from_raw(uid.0) {
        let here = Uid(account.uid.as_raw());
        return Err(AccountError::OtherUid { name: name.to_owned(), here, job: uid });
    }
    let c_name = CString::new(name).map_err(|_| AccountError::Unknown(name.to_owned()))?;
    let groups = if switch { getgrouplist(&c_name, account.gid) } else { getgroups() };
    let groups = groups.map_err(database)?.into_iter().map(Gid::as_raw).collect();
    Ok(User {
        name: name.to_owned(),
        uid,
        gid: account.gid.as_raw(),
        groups,
        home: account.dir.to_string_lossy().into_owned(),
        shell: account.shell.to_string_lossy().into_owned(),
        switch,
    })
}

fn own_user(name: &str) -> User {
    let groups = getgroups().unwrap_or_default().into_iter().map(Gid::as_raw).collect();
    User {
        name: name.to_owned(),
        uid: Uid(geteuid().as_raw()),
        gid: getegid().as_raw(),
        groups,
        home: "/".to_owned(),
        shell: "/bin/sh".to_owned(),
        switch: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_user_is_found() {
        let root = nix::unistd::geteuid().is_root();
        assert_eq!(look_up("root", Uid(0), false), Err(AccountError::Root));
        if !root {
            assert!(matches!(look_up("nobody", Uid(1), false), Err(AccountError::NotServed { .. })));
            return;
        }
        assert!(!look_up("root", Uid(0), true).unwrap().switch);
        let nobody = look_up("nobody", Uid(65534), false).unwrap();
        assert!(nobody.switch && nobody.groups.contains(&nobody.gid));
        assert!(matches!(look_up("nobody", Uid(12345), false), Err(AccountError::OtherUid { .. })));
        assert!(matches!(look_up("no-such-user", Uid(12345), false), Err(AccountError::Unknown(_))));
    }
}
