//! Commands inside a job: through its socket, as far as its reach goes, and no longer than it runs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use jsched::model::ids::{Attempt, BootId, Instance, JobId, Ordinal, SpoolId, TaskRef};
use jsched::net::client::{Link, dial};
use jsched::net::frame::{FrameReader, FrameWriter, Patience};
use jsched::pki::credentials::{CredentialFiles, Credentials};
use jsched::wire::client::{RefusalCode, Reply, Request, Selection, Selector, Wait};
use jsched::wire::codec::{decode, encode};
use jsched::wire::inside::{JobCall, JobsHello};

use crate::harness::{Cluster, PATIENCE};
use crate::{bash, holds, log, read, show, state, submit, until, until_gate, wait, write};

/// A script with the commands in its path and nothing else: no home, no configuration.
fn script(cluster: &Cluster, name: &str, lines: &str) {
    let programs = Path::new(env!("CARGO_BIN_EXE_jqueue")).parent().unwrap();
    let head = format!("#!/bin/bash\nexport HOME=/nonexistent PATH={}:$PATH", programs.display());
    write(cluster, name, &format!("{head}\n{lines}\n"));
}

#[test]
fn a_job_asks_through_its_socket_as_far_as_it_reaches() {
    let cluster = Cluster::builder().cpus(4).start();
    let sibling = submit(&cluster, ["-J", "sib", "--hold", "--wrap", "echo sibling"]);
    a_family(&cluster, &sibling);
    an_array_and_its_environment(&cluster);
    only_its_own_processes(&cluster);
}

fn a_family(cluster: &Cluster, sibling: &str) {
    let lines = format!(
        r#"
        if [ "$JSCHED_RESTART_COUNT" -gt 0 ]; then echo again; exit 0; fi
        env | grep -c ^JSCHED_CONFIG
        jqueue whoami | grep -E '^(name|role)' | tr -s ' '
        dependent=$(jsubmit --parsable -J dep -d afterany:$JSCHED_JOB_ID --export=NONE --wrap 'echo dependent')
        child=$(jsubmit --parsable -J kid --export=NONE --wrap 'exit 7')
        jqueue wait $child 2> /dev/null; echo "child $?"
        third=$(jsubmit --parsable -J third --wrap 'sleep 600')
        jqueue wait --for start $third; jcancel --wait $third > /dev/null; jqueue wait $third 2> /dev/null; echo "third $?"
        grand=$(jsubmit --parsable --wait --wrap 'jsubmit --parsable -J grand --hold --wrap true > grand')
        jcancel $(cat grand) > /dev/null; echo "grandchild $?"
        echo "list $(jqueue --no-header -t all -o name | sort | tr -s '\n ' ' ')"
        echo "all $(jqueue -a --no-header -o name | sort | tr -s '\n ' ' ')"
        for verb in "jqueue show" "jqueue wait" "jqueue log" jcancel "jqueue requeue" "jsubmit --wrap true -d afterany:"; do
            case $verb in *:) ${{verb}}{sibling};; *) $verb {sibling};; esac > /dev/null 2>> errors; echo "$verb $?"
        done
        jqueue show name:sib > /dev/null 2>&1; echo "by name $?"
        jcancel -n sib > /dev/null 2>&1
        jqueue show last | head -n 1 | grep -o grand
        jnode drain n1 --reason x 2> /dev/null; echo "operator $?"
        jctld user list 2> /dev/null; echo "admin $?"
        jsubmit --nice=-5 --wrap true 2> /dev/null; echo "priority $?"
        echo "$dependent" > dependent
        jqueue requeue $JSCHED_JOB_ID > /dev/null; sleep 600"#
    );
    script(cluster, "family.sh", &lines);
    let job = submit(cluster, ["-J", "fam", "--export=NONE", "-t", "10", "family.sh"]);
    assert_eq!(wait(cluster, &job), 0, "{}", log(cluster, &job));
    let said = log(cluster, &job);
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    let expected = [
        "0",
        "",
        "role job",
        "child 7",
        "third 130",
        "grandchild 0",
        "list dep fam grand kid third wrap",
        "all dep fam",
        "jqueue show 77",
        "jqueue wait 77",
        "jqueue log 77",
        "jcancel 77",
        "jqueue requeue 77",
        "jsubmit --wrap true -d afterany: 77",
        "by name 1",
        "grand",
        "operator 77",
        "admin 77",
        "priority 77",
    ];
    for (place, wanted) in expected.iter().enumerate().filter(|(_, wanted)| !wanted.is_empty()) {
        assert_eq!(lines.get(place), Some(wanted), "{said}");
    }
    assert_eq!(lines.last(), Some(&"again"), "{said}");
    holds(&read(cluster, "errors"), &[&format!("job {sibling} is out of reach from inside job {job}")]);
    let dependent = read(cluster, "dependent").trim().to_owned();
    assert_eq!(wait(cluster, &dependent), 0);
    assert_eq!(log(cluster, &dependent), "dependent");
    assert_eq!(show(cluster, &job)["attempt"], 2);
    assert_eq!(state(cluster, sibling), "held", "nobody has touched it");
    let history = cluster.run("jqueue", ["show", &dependent]).ok();
    holds(&history, &[&format!("from job {job}")]);
}

/// Each task asks for itself, whatever its submitter has put into its environment.
fn an_array_and_its_environment(cluster: &Cluster) {
    let lines = "[ \"$JSCHED_SOCKET\" != forged ] && [ -z \"$JSCHED_CONFIG\" ] && \
                 jsubmit --parsable --hold -J of$SLURM_ARRAY_TASK_ID --wrap true > made$SLURM_ARRAY_TASK_ID";
    script(cluster, "array.sh", lines);
    let out = bash(
        cluster,
        "export JSCHED_SOCKET=forged; jsubmit --config $JSCHED_CONFIG --parsable --wait -a 1-3 \
         --export=ALL,JSCHED_CONFIG=/forged array.sh",
    );
    out.ok();
    for task in 1..=3 {
        let made = read(cluster, &format!("made{task}")).trim().to_owned();
        assert_eq!(show(cluster, &made)["name"], format!("of{task}"));
        cluster.run("jcancel", [&made]).ok();
    }
}

/// The socket is for processes of the job alone, and goes with it.
fn only_its_own_processes(cluster: &Cluster) {
    script(cluster, "socket.sh", &format!("echo $JSCHED_SOCKET > way; {}", until_gate("end")));
    let job = submit(cluster, ["socket.sh"]);
    until(cluster, &job, "running");
    cluster.wait_until("the way", || cluster.work.join("way").exists() && !read(cluster, "way").is_empty());
    let socket = read(cluster, "way").trim().to_owned();
    // A process of the same user that is none of the job's.
    let outside = bash(cluster, &format!("JSCHED_SOCKET={socket} jqueue whoami"));
    outside.expect(77);
    holds(&outside.stderr, &["belongs to no running attempt"]);
    // Its configuration is still good where it is named.
    bash(cluster, &format!("JSCHED_SOCKET={socket} jqueue --config $JSCHED_CONFIG whoami")).ok();
    write(cluster, "end", "");
    assert_eq!(wait(cluster, &job), 0);
    cluster.wait_until("the socket to be gone", || !Path::new(&socket).exists());
    let over = bash(cluster, &format!("JSCHED_SOCKET={socket} jqueue whoami"));
    over.expect(69);
    holds(&over.stderr, &["does not run"]);
}

#[test]
fn what_a_job_waits_for_outlives_the_daemons() {
    let cluster = Cluster::start(1);
    let lines = format!(
        "child=$(jsubmit --parsable --wrap '{}; exit 9'); echo $child > child; jqueue wait $child; echo \"child $?\"",
        until_gate("go")
    );
    script(&cluster, "wait.sh", &lines);
    let job = submit(&cluster, ["--export=NONE", "-o", "said", "wait.sh"]);
    cluster.wait_until("the child", || {
        cluster.work.join("child").exists() && !read(&cluster, "child").is_empty()
    });
    let child = read(&cluster, "child").trim().to_owned();
    until(&cluster, &child, "running");
    for daemon in ["jctld", "n1"] {
        let before = cluster.kill9(daemon);
        cluster.wait_until("the daemon to be back", || cluster.pid(daemon).is_some_and(|pid| pid != before));
    }
    write(&cluster, "go", "");
    assert_eq!(wait(&cluster, &job), 0);
    holds(&read(&cluster, "said"), &["child 9"]);
}

#[test]
fn jobs_submit_nothing_where_that_is_turned_off() {
    let cluster = Cluster::builder().set("submit_from_jobs=false").start();
    script(&cluster, "off.sh", "jsubmit --wrap true; echo code $?; jqueue show $JSCHED_JOB_ID | head -n 1");
    let job = submit(&cluster, ["--export=NONE", "off.sh"]);
    assert_eq!(wait(&cluster, &job), 0);
    holds(&log(&cluster, &job), &["jobs may not submit jobs here", "submit_from_jobs", "code 77"]);
}

/// A node that asks what it likes, with the certificate and the name of a real one.
struct Forged {
    link: Link,
    _stream: quinn::SendStream,
}

impl Forged {
    async fn connect(cluster: &Cluster, node: &str) -> Forged {
        let folder = cluster.dir.join(node);
        let credentials = Credentials::load(&CredentialFiles::in_folder(&folder)).unwrap();
        let id = fs::read_to_string(folder.join("spool/id")).unwrap();
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().replace('-', "");
        let number = |text: &str| u128::from_str_radix(text.trim(), 16).unwrap().to_be_bytes();
        let instance = Instance { spool: SpoolId(number(&id)), boot: BootId(number(&boot)) };
        let config = fs::read_to_string(&cluster.config).unwrap();
        let address = config.split('"').nth(1).unwrap().to_owned();
        let link = dial(&credentials, &[address]).await.unwrap();
        let (stream, _) = link.connection().open_bi().await.unwrap();
        let mut writer = FrameWriter::new(stream, 1 << 20);
        writer.push(b"jobs").unwrap();
        writer.push(&encode(&JobsHello { instance }).unwrap()).unwrap();
        writer.flush(Duration::from_secs(60)).await.unwrap();
        let (stream, _) = link.connection().open_bi().await.unwrap();
        Forged { link, _stream: stream }
    }

    /// Asks in the name of that attempt; gives the way to the replies.
    async fn call(&self, job: &str, attempt: u32, request: &Request) -> FrameReader {
        let (send, receive) = self.link.connection().open_bi().await.unwrap();
        let mut writer = FrameWriter::new(send, 1 << 20);
        let task = TaskRef { job: JobId(job.parse().unwrap()), ordinal: Ordinal(0) };
        writer.push(&encode(&JobCall { task, attempt: Attempt(attempt) }).unwrap()).unwrap();
        writer.push(&encode(request).unwrap()).unwrap();
        writer.flush(Duration::from_secs(60)).await.unwrap();
        FrameReader::new(receive, 1 << 20)
    }

    async fn ask(&self, job: &str, attempt: u32, request: &Request) -> Reply {
        reply(&mut self.call(job, attempt, request).await).await
    }
}

async fn reply(reader: &mut FrameReader) -> Reply {
    decode(&reader.next(Patience::of(PATIENCE)).await.unwrap().expect("a reply")).unwrap()
}

fn not_allowed(reply: &Reply, words: &str) {
    match reply {
        Reply::Refused(refusal) => {
            assert_eq!(refusal.code, RefusalCode::NotAllowed);
            holds(&refusal.message, &[words]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_node_asks_for_its_own_running_attempts_and_for_nothing_else() {
    let cluster = Cluster::start(2);
    let mine = submit(&cluster, ["-w", "n1", "--wrap", &until_gate("end")]);
    let theirs = submit(&cluster, ["-w", "n2", "--wrap", &until_gate("end")]);
    let held = submit(&cluster, ["--hold", "--wrap", "true"]);
    until(&cluster, &mine, "running");
    until(&cluster, &theirs, "running");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let forged = Forged::connect(&cluster, "n1").await;
        let Reply::Whoami(who) = forged.ask(&mine, 1, &Request::Whoami).await else { panic!("its own job") };
        assert_eq!(who.role.word(), "job");
        let no = "does not run there";
        not_allowed(&forged.ask(&theirs, 1, &Request::Whoami).await, no);
        not_allowed(&forged.ask(&held, 1, &Request::Whoami).await, no);
        not_allowed(&forged.ask(&mine, 2, &Request::Whoami).await, no);
        not_allowed(&forged.ask("99999", 1, &Request::Whoami).await, no);
        // Not even by way of its own job.
        let selection = |job: &str| Selection {
            selectors: vec![Selector::Number(JobId(job.parse().unwrap()))],
            ..Selection::default()
        };
        let show = Request::Show(selection(&theirs));
        not_allowed(&forged.ask(&mine, 1, &show).await, "out of reach");
        // A socket that was kept open is cut off with the attempt, and so is everything that comes after.
        let wait = Wait { selection: selection(&mine), start: false, progress: false };
        let mut waiting = forged.call(&mine, 1, &Request::Wait(wait)).await;
        assert!(matches!(forged.ask(&mine, 1, &Request::Whoami).await, Reply::Whoami(_)));
        write(&cluster, "end", "");
        // The end that it waited for and its own come at once: either may be told.
        match reply(&mut waiting).await {
            Reply::Waited { .. } => {}
            other => not_allowed(&other, no),
        }
        not_allowed(&forged.ask(&mine, 1, &Request::Whoami).await, no);
    });
    let audit = cluster.run("jctld", ["audit"]).ok();
    holds(&audit, &[&format!("ask in the name of job {theirs}, which runs on another node")]);
    assert_eq!(state(&cluster, &held), "held");
    assert_eq!(wait(&cluster, &theirs), 0, "nothing was done to it");
}

#[test]
fn waiting_from_inside_is_cut_off_with_the_attempt() {
    let cluster = Cluster::start(1);
    let job = submit(&cluster, ["--wrap", &until_gate("end")]);
    let never = submit(&cluster, ["--hold", "--wrap", "true"]);
    until(&cluster, &job, "running");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let forged = Forged::connect(&cluster, "n1").await;
        let watch =
            Request::Watch(jsched::wire::client::Watch { filter: Default::default(), position: None });
        let mut watching = forged.call(&job, 1, &watch).await;
        let Reply::Jobs { .. } = reply(&mut watching).await else { panic!("a snapshot") };
        write(&cluster, "end", "");
        loop {
            match reply(&mut watching).await {
                Reply::Jobs { .. } | Reply::Changed { .. } => {}
                other => break not_allowed(&other, "does not run there"),
            }
        }
    });
    assert_eq!(state(&cluster, &never), "held");
}
