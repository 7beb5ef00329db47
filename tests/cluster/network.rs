//! Bad networks and hostile peers between clients and the controller.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use jsched::net::client::{Link, dial};
use jsched::pki::credentials::{CredentialFiles, Credentials};

use crate::harness::Cluster;
use crate::harness::relay::Relay;
use crate::{until_gate, write};

/// Half-open handshakes at once.
const HALF_OPEN: usize = 400;
/// Far more than the queue of these tests takes, far less than hostile peers could fill without bounds.
const MEMORY_KIB_MAX: u64 = 400 << 10;

/// A laptop's address changes, and packets are lost: what is followed goes on, on the same connection.
#[test]
fn following_outlives_a_change_of_address() {
    let cluster = Cluster::start(1);
    let relay = Relay::to(controller(&cluster));
    let gate = |word: &str| format!("{}; echo {word}", until_gate(word));
    let line = format!("echo begun; {}; {}; exit 3", gate("one"), gate("two"));
    let mut command = cluster.command("jsubmit");
    command.args(["--follow", "--wrap", &line]).env("JSCHED_CONFIG", through(&cluster, relay.address));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    };
    assert_eq!(next(), "begun");
    relay.change_ports();
    write(&cluster, "one", "");
    assert_eq!(next(), "one");
    relay.drop_one_in(5);
    relay.delay(Duration::from_millis(2));
    relay.change_ports();
    write(&cluster, "two", "");
    assert_eq!(next(), "two");
    relay.drop_one_in(0);
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!said.contains("still trying"), "{said}");
}

/// Strangers, and one user who does his worst: the others' commands go on, and the controller says what there was.
#[test]
fn hostile_peers_keep_nobody_out() {
    let cluster = Cluster::start(1);
    let alice = user(&cluster, "alice", "61234");
    let address = controller(&cluster);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let works = || cluster.run("jqueue", ["-a"]).ok();

    // Packets that only look like the beginning of a connection.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..20_000u32 {
        let mut packet = vec![0xc3, 0, 0, 0, 1, 8];
        packet.extend_from_slice(&u64::from(number).to_be_bytes());
        packet.resize(1_200, number as u8);
        let _ = socket.send_to(&packet, address);
    }
    works();
    // Handshakes that never end.
    let relay = Relay::to(address);
    relay.cut_answers(true);
    let to = vec![relay.address.to_string()];
    let half_open: Vec<_> = (0..HALF_OPEN)
        .map(|_| {
            let (alice, to) = (alice.clone(), to.clone());
            runtime.spawn(async move { dial(&alice, &to).await.is_ok() })
        })
        .collect();
    works();
    cluster.wait_until("addresses to be proven", || refused(&cluster, "address to be proven under load") > 0);
    works();
    for one in half_open {
        assert!(!runtime.block_on(one).unwrap());
    }

    // Lengths that lie, a stream at a time: one is refused at once, one never sends what it announced.
    let links: Vec<Link> = runtime.block_on(async {
        let mut links = Vec::new();
        for number in 0..300u32 {
            let Ok(link) = dial(&alice, &[address.to_string()]).await else { continue };
            let length = if number % 2 == 0 { u32::MAX } else { 40 << 20 };
            if let Ok((mut send, _)) = link.connection().open_bi().await {
                let _ = send.write_all(&length.to_le_bytes()).await;
                let _ = send.write_all(&[0; 100]).await;
                std::mem::forget(send);
            }
            links.push(link);
        }
        links
    });
    works();
    cluster.wait_until("long frames to be counted", || refused(&cluster, "malformed request") > 0);
    let closed = links.iter().filter(|link| link.lost().is_some()).count();
    assert!(links.len() < 300 || closed > 0, "one bearer has its quota");
    works();
    let pid = cluster.pid("jctld").unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = resident.split_whitespace().next().unwrap().parse().unwrap();
    assert!(kib < MEMORY_KIB_MAX, "{kib} KiB");
    drop(links);
    // Each kind has one line in a minute, however often it came.
    let log = std::fs::read_to_string(cluster.dir.join("logs/jctld.log")).unwrap();
    let lines = log.lines().filter(|line| line.contains("malformed request")).count();
    assert!((1..=2).contains(&lines), "{lines} lines");
}

fn refused(cluster: &Cluster, kind: &str) -> u64 {
    let status = cluster.run("jctld", ["status", "--json"]).json();
    status["data"]["refused"][kind].as_u64().unwrap_or(0)
}

/// Makes a user whose folder has his name, and gives what he shows.
pub fn user(cluster: &Cluster, name: &str, uid: &str) -> Credentials {
    let folder = cluster.work.join(name);
    let out = folder.display().to_string();
    cluster.run("jctld", ["user", "add", name, "--uid", uid, "--out", &out]).ok();
    let config = std::fs::read_to_string(folder.join("client.toml")).unwrap();
    let named = |key: &str| -> PathBuf {
        let line = config.lines().find(|line| line.trim_start().starts_with(key)).unwrap();
        folder.join(line.split('"').nth(1).unwrap())
    };
    let files =
        CredentialFiles { certificate: named("certificate"), key: named("key"), authorities: named("ca") };
    Credentials::load(&files).unwrap()
}

/// Where the controller listens.
pub fn controller(cluster: &Cluster) -> SocketAddr {
    let config = std::fs::read_to_string(&cluster.config).unwrap();
    let line = config.lines().find(|line| line.starts_with("controllers")).unwrap();
    line.split('"').nth(1).unwrap().parse().unwrap()
}

/// A configuration like the cluster's own, by way of another address.
fn through(cluster: &Cluster, address: SocketAddr) -> PathBuf {
    let config = std::fs::read_to_string(&cluster.config).unwrap();
    let path = cluster.config.with_file_name("relay.toml");
    std::fs::write(&path, config.replace(&controller(cluster).to_string(), &address.to_string())).unwrap();
    path
}
