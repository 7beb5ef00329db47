//! How others fare while one user does his worst: figures, for those who ask for them with `--ignored --nocapture`.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jsched::net::client::dial;
use jsched::pki::credentials::Credentials;

use crate::harness::Cluster;
use crate::network::{controller, user};

/// How long each kind of pressure lasts.
const LASTS: Duration = Duration::from_secs(15);
/// Connections that one user tries to have.
const CONNECTIONS: usize = 10_000;
/// Jobs that he submits, so many a call.
const JOBS: usize = 1_000_000;
const JOBS_OF_A_CALL: usize = 50_000;
/// Readers of his that never read.
const SLOW_READERS: usize = 300;

/// What others' commands took, and the controller's memory.
fn others(cluster: &Cluster, under: &str, goes_on: impl Fn() -> bool) {
    let (begun, mut times) = (Instant::now(), Vec::new());
    let mut number = 0;
    while begun.elapsed() < LASTS && (goes_on() || number < 100) {
        number += 1;
        let at = Instant::now();
        let output = match number % 3 {
            0 => cluster.run("jsubmit", ["--parsable", "-H", "-o", "none", "--wrap", "true"]),
            1 => cluster.run("jqueue", ["--me", "-n", "nothing"]),
            _ => cluster.run("jqueue", ["show", "1"]),
        };
        output.ok();
        times.push(at.elapsed());
    }
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    let controller = cluster.pid("jctld").unwrap();
    let status = fs::read_to_string(format!("/proc/{controller}/status")).unwrap();
    let memory = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
    };
    println!(
        "{under}: {} commands, p50 {:?}, p99 {:?}, most {:?}; controller {} MiB, at most {} MiB",
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        memory("VmRSS:"),
        memory("VmHWM:")
    );
}

/// Holds as many connections as he gets until he is stopped.
fn dial_all(alice: Credentials, address: SocketAddr, stop: Arc<AtomicBool>, tried: Arc<AtomicUsize>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let (alice, stop, tried) = (alice.clone(), stop.clone(), tried.clone());
            tasks.spawn(async move {
                let mut links = Vec::new();
                while !stop.load(Ordering::Relaxed) && tried.fetch_add(1, Ordering::Relaxed) < CONNECTIONS {
                    if let Ok(link) = dial(&alice, &[address.to_string()]).await {
                        // A stream that says nothing keeps it from being idle.
                        let stream = link.connection().open_bi().await;
                        links.push((link, stream.ok()));
                    }
                }
                while !stop.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    });
}

fn as_alice(cluster: &Cluster, program: &str, args: &[&str]) -> Command {
    let mut command = cluster.command(program);
    command.args(args).env("JSCHED_CONFIG", cluster.work.join("alice/client.toml"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
#[ignore = "it measures, for a minute"]
fn how_others_fare() {
    let cluster = Cluster::start(1);
    let alice = user(&cluster, "alice", "61234");
    let address = controller(&cluster);
    cluster.run("jsubmit", ["-H", "-o", "none", "--wrap", "true"]).ok();
    others(&cluster, "quiet", || false);

    let (stop, tried) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let attack = std::thread::spawn({
        let (stop, tried) = (stop.clone(), tried.clone());
        move || dial_all(alice, address, stop, tried)
    });
    others(&cluster, "connections", || true);
    stop.store(true, Ordering::Relaxed);
    println!("  {} were tried", tried.load(Ordering::Relaxed).min(CONNECTIONS));
    attack.join().unwrap();

    let file = cluster.work.join("jobs");
    let line = "{\"hold\":true,\"output\":\"none\",\"command\":[\"/bin/true\"]}\n";
    fs::write(&file, line.repeat(JOBS_OF_A_CALL)).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let mut calls: Vec<Command> = (0..JOBS / JOBS_OF_A_CALL)
        .map(|_| as_alice(&cluster, "jsubmit", &["--jobs", file.to_str().unwrap()]))
        .collect();
    let submitting = std::thread::spawn({
        let over = over.clone();
        move || {
            let mut done = 0;
            for call in &mut calls {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                done += usize::from(call.status().unwrap().success());
            }
            over.store(true, Ordering::Relaxed);
            done
        }
    });
    others(&cluster, "submissions", || !over.load(Ordering::Relaxed));
    over.store(true, Ordering::Relaxed);
    println!("  {} jobs were accepted meanwhile", submitting.join().unwrap() * JOBS_OF_A_CALL);

    let mut readers: Vec<Child> = (0..SLOW_READERS)
        .map(|_| as_alice(&cluster, "jqueue", &["--json", "--array"]).stdout(Stdio::piped()).spawn().unwrap())
        .collect();
    others(&cluster, "readers that do not read", || true);
    for reader in &mut readers {
        reader.kill().unwrap();
        reader.wait().unwrap();
    }
}
