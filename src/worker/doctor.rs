//! `jworkerd doctor`: what is wrong on this node, as far as it can be seen from here.

use std::path::Path;

use super::config::Config;
use super::link::new_certificate;
use super::own;
use super::supervisor::clock;
use crate::client::doctor::{self, Finding, Verdict};
use crate::model::identity::Role;
use crate::net::client::dial;
use crate::pki::credentials::Credentials;

/// Looks at everything. Changes nothing.
pub async fn examine(folder: &Path) -> Vec<Finding> {
    let config = match Config::load(folder) {
        Ok(config) => config,
        Err(error) => {
            let next = "correct it; `jnode add NAME` and `jworkerd join TOKEN` make a new one";
            return vec![Finding::wrong("configuration", error.to_string(), next)];
        }
    };
    let file = folder.join(super::config::CONFIG_FILE).display().to_string();
    let mut found = vec![Finding::good("configuration", &*file)];
    found.push(doctor::folder("folder", folder));
    for (about, path) in [("spool", &config.spool), ("jobs' folders", &config.tmp)] {
        // They are made at the first start.
        if path.exists() {
            found.push(doctor::folder(about, path));
        }
    }
    let renew = new_certificate("NAME");
    let now = clock::now().wall;
    let (finding, credentials) = doctor::credentials(&config.credentials, Role::Node, now, &renew);
    found.push(finding);
    if let Some(credentials) = credentials {
        ways(&credentials, &config.controllers, &file, &mut found).await;
    }
    let buffers = doctor::buffers();
    // A node has one controller to hear: less than a daemon asks for is slow at worst.
    let buffers = match buffers.verdict {
        Verdict::Wrong => Finding { verdict: Verdict::Note, ..buffers },
        _ => buffers,
    };
    found.push(buffers);
    found
}

/// Dials every address by itself, and asks the first controller that answers how things stand.
async fn ways(credentials: &Credentials, addresses: &[String], file: &str, found: &mut Vec<Finding>) {
    let name = &credentials.bearer().identity.name;
    let renew = new_certificate(name);
    let mut asked = false;
    for address in addresses {
        let one = std::slice::from_ref(address);
        match dial(credentials, one).await {
            Ok(link) => link.finish().await,
            Err(error) => {
                found.push(doctor::not_reached(address, &error, file, &renew));
                continue;
            }
        }
        // The controller's verdict on the certificate comes after the handshake: only an answer says that all is well.
        let about = format!("address {address}");
        match own::check(credentials, one).await {
            Err(why) => found.push(Finding::wrong(&about, why, &*renew)),
            Ok(reply) => {
                found.push(Finding::good(&about, "the controller answers"));
                if !std::mem::replace(&mut asked, true) {
                    found.push(doctor::clocks(clock::now().wall, reply.clock));
                    found.push(doctor::versions("the controller is", &reply.version));
                    found.push(state(name, reply.state.as_deref(), &reply.reason));
                }
            }
        }
    }
}

fn state(name: &str, state: Option<&str>, reason: &str) -> Finding {
    let about = "node";
    match state {
        None => {
            let text = format!("the cluster has no node {name}");
            Finding::wrong(
                about,
                text,
                format!("an admin says `jnode add {name}`, then here `jworkerd join TOKEN`"),
            )
        }
        Some(word @ ("idle" | "mixed" | "full")) => Finding::good(about, format!("{name} is {word}")),
        Some(word @ ("unreachable" | "off")) => {
            let text = format!("{name} is {word}: {reason}");
            Finding::wrong(about, text, "start the daemon: `jworkerd run`, or systemctl start jworkerd")
        }
        Some(word) => {
            let text = format!("{name} is {word}: {reason}");
            Finding::note(about, text, format!("jnode resume {name}"))
        }
    }
}
