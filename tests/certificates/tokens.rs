//! A token is good once, in time, for its name, at its cluster. Each refusal says why, and is on record.

use jsched::pki::token::{JoinToken, TokenName};

use crate::harness::{Cluster, poll};
use crate::site::now;
use jsched::model::time::Seconds;

#[test]
fn tokens_are_refused_with_the_reason() {
    let (cluster, other) = (Cluster::builder().nodes(0).start(), Cluster::builder().nodes(0).start());
    let join = |folder: &str, words: &[&str]| {
        let folder = cluster.work.join(folder).display().to_string();
        cluster.run("jworkerd", ["--dir", &folder, "join"].iter().chain(words))
    };
    let refused = |output: &crate::harness::Output, code: i32, why: &str| {
        assert_eq!(output.code, code, "{output:?}");
        assert!(output.stderr.contains(why), "no `{why}`: {output:?}");
    };
    // Used twice; the machine that has it is not disturbed.
    let first = cluster.run("jnode", ["add", "n7"]).ok();
    join("n7", &[&first]).ok();
    refused(&join("n7-again", &[&first]), 77, "used already, for node n7");
    assert!(!cluster.work.join("n7-again/cert.pem").exists());

    // Late.
    let late = cluster.run("jnode", ["add", "n8", "--ttl", "1s"]).ok();
    let end = now().plus(Seconds(1));
    poll("the token's time to pass", || now() > end);
    refused(&join("n8", &[&late]), 77, "this token expired");

    // For another name, by a forged text around the true secret.
    let token = JoinToken::decode(&cluster.run("jnode", ["add", "n9"]).ok()).unwrap();
    let with = |addresses: &JoinToken, authority: &JoinToken, name: &str| {
        let (secret, name) = (token.secret().clone(), TokenName::One(name.to_owned()));
        let addresses = addresses.addresses().to_vec();
        let made = JoinToken::with_secret(
            secret,
            addresses,
            authority.authority(),
            token.cluster(),
            token.role(),
            name,
        );
        made.unwrap().encode()
    };
    refused(&join("n10", &[&with(&token, &token, "n10")]), 77, "is for node n9, not for `n10`");

    // At another cluster: it is not believed, and if it were, it would not know the token.
    let there = JoinToken::decode(&other.run("jnode", ["add", "n9"]).ok()).unwrap();
    refused(&join("n9", &[&with(&there, &token, "n9")]), 78, "not vouched for by this cluster's authority");
    refused(&join("n9", &[&with(&there, &token, "n9")]), 78, "`jnode add NAME` for a node");
    refused(&join("n9", &[&with(&there, &there, "n9")]), 77, "not known here");
    // After all that, the token is good.
    join("n9", &[&token.encode()]).ok();

    // One token for several names, each once.
    let pool = cluster.run("jnode", ["add", "n[20-22]", "--pool"]).ok();
    assert_eq!(pool.lines().count(), 1);
    join("n20", &["--name", "n20", &pool]).ok();
    refused(&join("n20-again", &["--name", "n20", &pool]), 77, "used already, for node n20");
    refused(&join("n23", &["--name", "n23", &pool]), 77, "not for a node `n23`");
    join("n21", &["--name", "n21", &pool]).ok();

    let audit = cluster.run("jctld", ["audit"]).ok();
    let count = |words: &str, allowed: &str| {
        audit.lines().filter(|line| line.contains(words) && line.trim_end().ends_with(allowed)).count()
    };
    assert_eq!(count("used already, for node n7", "no"), 1, "{audit}");
    assert_eq!(count("expired", "no"), 1, "{audit}");
    assert_eq!(count("not for `n10`", "no"), 1, "{audit}");
    assert_eq!(count("not for a node `n23`", "no"), 1, "{audit}");
    assert_eq!(count("joins", "yes"), 4, "{audit}");
}

#[test]
fn a_name_goes_to_the_machine_that_joined_last() {
    let cluster = Cluster::start(1);
    let refused = cluster.run("jnode", ["add", "n1"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("--replace"), "{refused:?}");
    let folder = cluster.work.join("new").display().to_string();
    let token = cluster.run("jnode", ["add", "n1", "--replace"]).ok();
    cluster.run("jworkerd", ["--dir", &folder, "join", &token]).ok();
    // The old machine's certificate counts no more, and its daemon says what to do.
    let log = cluster.dir.join("logs/n1.log");
    poll("the old daemon to say why it is alone", || {
        let said = std::fs::read_to_string(&log).unwrap();
        said.contains("was revoked") && said.contains("jnode add n1 --replace")
    });
    // It joins again where it is, and its daemon takes the certificate up without a restart.
    let pid = cluster.pid("n1");
    let token = cluster.run("jnode", ["add", "n1", "--replace"]).ok();
    let folder = cluster.dir.join("n1").display().to_string();
    cluster.run("jworkerd", ["--dir", &folder, "join", &token]).ok();
    assert_eq!(cluster.run("jsubmit", ["--wait", "--wrap", "true"]).code, 0);
    assert_eq!(cluster.pid("n1"), pid);
}
