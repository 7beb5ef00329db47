//! `jctld doctor`: what is wrong on the controller's host, whether the daemon runs or not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::clock;
use super::config::Config;
use crate::client::config::Search;
use crate::client::doctor::{self, Finding, utc};
use crate::client::session::Client;
use crate::model::identity::Role;
use crate::model::time::{Seconds, WallTime};
use crate::net::client::dial_join;
use crate::net::dial_error::DialError;
use crate::pki::authority::Authority;
use crate::pki::credentials::CredentialFiles;
use crate::wire::client::{Reply, Request};

/// An authority that ends sooner than this is worth a word.
const AUTHORITY_LEFT: Seconds = Seconds(180 * 86_400);
/// How many nodes of another version are named.
const NODES_NAMED_MAX: usize = 8;
/// How to have the daemon's certificate renewed.
const RENEW: &str =
    "start the daemon again: it renews its own certificate as long as its key and the CA are there";

/// Looks at everything. Changes nothing.
pub async fn examine(settings: &Path, search: Search) -> Vec<Finding> {
    let config = match Config::load(settings) {
        Ok(config) => config,
        Err(error) => {
            let next = "name the right file with --settings, or make a cluster with `jctld init`";
            return vec![Finding::wrong("settings", error.to_string(), next)];
        }
    };
    let mut found = vec![Finding::good("settings", settings.display().to_string())];
    for (about, path) in [("state", &config.state), ("CA", &config.ca), ("credentials", &config.credentials)]
    {
        found.push(doctor::folder(about, path));
    }
    let now = clock::wall();
    found.extend(backwards(&config.state.join("journal"), now));
    let files = CredentialFiles::in_folder(&config.credentials);
    found.push(doctor::credentials(&files, Role::Controller, now, RENEW).0);
    match Authority::load(&config.ca) {
        Ok(authority) => {
            found.push(authority_now(&authority, now));
            ways(&config, &authority, settings, &mut found).await;
        }
        Err(error) => {
            found.push(Finding::wrong("authority", error.to_string(), "bring its folder back from a copy"));
        }
    }
    versions(search, &mut found).await;
    found.push(doctor::buffers());
    found
}

/// A state that was written in the future: the clock was set back, or was wrong then.
fn backwards(journal: &Path, now: WallTime) -> Option<Finding> {
    let modified = |entry: std::fs::DirEntry| entry.metadata().and_then(|data| data.modified()).ok();
    let newest = std::fs::read_dir(journal).ok()?.flatten().filter_map(modified).max()?;
    let micros = newest.duration_since(UNIX_EPOCH).ok()?.as_micros();
    let newest = WallTime(i64::try_from(micros).unwrap_or(i64::MAX));
    let ahead = newest.micros_since(now) / 1_000_000;
    (ahead > doctor::CLOCK_DIFFERENCE_SECONDS_MAX).then(|| {
        let text = format!(
            "the journal was last written at {}, and the clock here says {}: it was set back by {ahead} s",
            utc(newest),
            utc(now)
        );
        Finding::wrong("clock", text, "set it right, best by NTP: timedatectl, chronyc tracking")
    })
}

fn authority_now(authority: &Authority, now: WallTime) -> Finding {
    let about = "authority";
    let (begin, end) = (authority.validity().not_before, authority.validity().not_after);
    let name = authority.cluster();
    if now < begin {
        let text = format!("the CA of {name} begins at {}, and the clock here says {}", utc(begin), utc(now));
        Finding::wrong(about, text, "set the clock here right")
    } else if end <= now {
        let text = format!("the CA of {name} ended at {}, and the clock here says {}", utc(end), utc(now));
        Finding::wrong(about, text, "set the clock right; if it is right, a new CA is needed: `jctld init`")
    } else if end.micros_since(now) < AUTHORITY_LEFT.micros() {
        Finding::note(about, format!("the CA of {name} ends at {}", utc(end)), "plan a new CA in good time")
    } else {
        Finding::good(about, format!("the CA of {name} is good until {}", utc(end)))
    }
}

/// Whether the daemon serves here, and whether each advertised address leads to it. No certificate is needed: who
/// answers proves by the CA to be this cluster's controller.
async fn ways(config: &Config, authority: &Authority, settings: &Path, found: &mut Vec<Finding>) {
    let (fingerprint, cluster) = (authority.fingerprint(), authority.cluster());
    let here = loopback(config.listen).to_string();
    let served = dial_join(fingerprint, cluster, std::slice::from_ref(&here)).await;
    let place = settings.display().to_string();
    match served {
        Ok((link, _)) => {
            link.finish().await;
            found.push(Finding::good("daemon", format!("it serves on UDP port {}", config.listen.port())));
        }
        Err(DialError::NotReached { tries }) => {
            let text = tries.first().map_or_else(String::new, |one| one.outcome.clone());
            let text = format!("it does not serve on UDP port {}: {text}", config.listen.port());
            found.push(Finding::note(
                "daemon",
                text,
                "`jctld run`, then this again: the way to it can be tried",
            ));
            return;
        }
        Err(error) => {
            let text = format!("another program holds UDP port {}: {error}", config.listen.port());
            found.push(Finding::wrong("daemon", text, format!("stop it, or set `listen` in {place}")));
            return;
        }
    }
    for address in &config.advertise {
        match dial_join(fingerprint, cluster, std::slice::from_ref(address)).await {
            Ok((link, _)) => {
                link.finish().await;
                found.push(Finding::good(&format!("address {address}"), "it leads to this controller"));
            }
            Err(error) => {
                let place = format!("{place} (`advertise`)");
                found.push(doctor::not_reached(address, &error, &place, RENEW));
            }
        }
    }
}

/// Where the daemon is reached from its own host.
fn loopback(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        // A socket on [::] takes IPv4, too, and loopback of that is there more often.
        IpAddr::V4(ip) if !ip.is_unspecified() => IpAddr::V4(ip),
        IpAddr::V6(ip) if !ip.is_unspecified() => IpAddr::V6(ip),
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_)
            if std::fs::read_to_string("/proc/sys/net/ipv6/bindv6only").is_ok_and(|v| v.trim() == "1") =>
        {
            IpAddr::V6(Ipv6Addr::LOCALHOST)
        }
        IpAddr::V6(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    SocketAddr::new(ip, listen.port())
}

/// The versions of the running daemon and of all nodes, where there is a configuration to ask with.
async fn versions(search: Search, found: &mut Vec<Finding>) {
    let config = match search.load() {
        Ok(config) => config,
        Err(error) => {
            let next = "name a client configuration with --config or JSCHED_CONFIG, and say this again";
            return found.push(Finding::note(
                "version",
                format!("versions were not compared: {error}"),
                next,
            ));
        }
    };
    let mut client = Client::new(config);
    match client.ask(&Request::Whoami).await {
        Ok(Reply::Whoami(who)) => found.push(doctor::versions("the running daemon is", &who.version)),
        Ok(_) => {}
        Err(error) => {
            let text = format!("versions were not compared: {error}");
            found.push(Finding::note("version", text, "`jqueue whoami` says more"));
            return client.finish().await;
        }
    }
    if let Ok(Reply::Nodes { nodes, .. }) = client.ask(&Request::Nodes).await {
        let ours = env!("CARGO_PKG_VERSION");
        let others: Vec<String> = nodes
            .iter()
            .filter(|node| !node.version.is_empty() && node.version != ours)
            .map(|node| format!("{} {}", node.name, node.version))
            .collect();
        if !others.is_empty() {
            let shown = others.iter().take(NODES_NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
            let text = format!("{} nodes are of another version than {ours}: {shown}", others.len());
            found.push(Finding::wrong(
                "version of nodes",
                text,
                "bring them up to date, and start them again",
            ));
        }
    }
    client.finish().await;
}
