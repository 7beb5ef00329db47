//! A file is read as it was written, and mistakes are told where they stand.

use super::*;
use crate::model::configured::Value;
use crate::wire::account::Names;
use crate::wire::client::{Refusal, RefusalCode};
use crate::wire::config::{Becomes, ConfigChange, ConfigEntry, KeyChange, Misfit, Section};

const FILE: &str = r#"
[partition.main]
nodes = "n[1-3]"
default = true
max-time = "2-00:00:00"
priority = -3

[node."n[1-2]"]
features = ["fast", "gpu"]

[account."a.b"]
users = ["ada", "ben"]
max-cpus = 8
budget = "100cpu-hours"
"#;

#[test]
fn a_file_says_all_of_what_it_names() {
    let file = read("c.toml", FILE).unwrap();
    let partition = &file.wanted.partitions.as_ref().unwrap()[0];
    assert_eq!(
        (partition.name.as_str(), partition.priority, partition.default),
        ("main", Some(-3), Some(true))
    );
    assert_eq!(partition.nodes.as_ref().unwrap().len(), 3);
    let node = &file.wanted.nodes[0];
    assert_eq!((node.names.len(), node.features.len(), node.weight), (2, 2, 1));
    let account = &file.wanted.accounts.as_ref().unwrap()[0];
    assert_eq!(account.users, Some(Names::All(vec!["ada".to_owned(), "ben".to_owned()])));
    assert_eq!((&account.coordinators, &account.parent), (&Some(Names::All(vec![])), &Some(None)));
    assert_eq!((account.limits.cpus, account.budget), (Some(Some(8)), Some(Some(100))));
    assert_eq!(file.wanted.qos, None, "what the file lacks altogether stays");
    assert_eq!(
        read("c.toml", "[qos]").unwrap().wanted.qos,
        Some(vec![]),
        "an empty one says that there are none"
    );
}

#[test]
fn mistakes_are_told_with_line_and_key() {
    for (text, line, key) in [
        ("[partition.main]\n\npolicy = \"smrt\"", 3, "policy"),
        ("[partition.main]\nnodes = \"n[1\"", 2, "nodes"),
        ("[node.n1]\nweight = \"much\"", 2, "weight"),
        ("[node.n1]\nweight = 1.5", 2, "weight"),
        ("[node.n1]\npartitions = [\"main\"]", 2, "partitions"),
        ("[account.a]\nmax-cpus = -1", 2, "max-cpus"),
        ("[account.a]\nusers = \"+ada\"", 2, "users"),
        ("[account.a]\nusers = [1]", 2, "users"),
        ("[account.a]\ncolour = \"red\"", 2, "colour"),
        ("[qos.long]\npriority = {}", 2, "priority"),
        ("[priority]\n\nweight-age = \"much\"", 3, "weight-age"),
        ("[priority]\nweight-age = -1", 2, "weight-age"),
        ("[priority]\ncalc-period = \"UNLIMITED\"", 2, "calc-period"),
        ("[priority]\nweight-beauty = 3", 2, "weight-beauty"),
        ("[account.a]\nuser-shares = \"ada\"", 2, "user-shares"),
        ("[account.a]\nparent = \"b\"\nparent = \"c\"", 3, "duplicate"),
        ("\n[weather]\n", 2, "weather"),
        ("account = 3", 1, "account"),
        ("[account]\na = 3", 2, "account.a"),
        ("[account.a", 1, "unclosed"),
    ] {
        let error = read("c.toml", text).unwrap_err();
        assert_eq!((error.code.number(), error.place.line), (65, Some(line)), "{text}: {error:?}");
        assert_eq!(error.place.file.as_deref(), Some("c.toml"));
        assert!(error.message.contains(key) || key == "unclosed", "{text}: {}", error.message);
    }
    let file = read("c.toml", FILE).unwrap();
    let misfit = |name: &str, key: &str| Misfit {
        section: Section::Account,
        name: name.to_owned(),
        key: key.to_owned(),
        refusal: Refusal::new(RefusalCode::NoSuchUser, "there is no user `ben`", ""),
    };
    let error = file.error(&misfit("a.b", "users"));
    assert_eq!((error.code.number(), error.place.line), (1, Some(12)));
    assert_eq!(error.message, "account.a.b users: there is no user `ben`");
    assert_eq!(file.error(&misfit("a.b", "parent")).place.line, Some(11));
    assert_eq!(file.error(&misfit("gone", "")).place.line, None);
}

#[test]
fn what_is_written_is_read_again_and_differences_have_words() {
    let entry = |section, name: &str, keys: Vec<(&str, Value)>| ConfigEntry {
        section,
        name: name.to_owned(),
        keys: keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
    };
    let names = || Value::List(vec!["ada".to_owned(), "ben".to_owned()]);
    let text = |word: &str| Value::Text(word.to_owned());
    let entries = [
        entry(Section::Partition, "main", vec![("nodes", text("n[1-3]")), ("default", Value::Flag(true))]),
        entry(Section::Node, "n[1-3]", vec![("weight", Value::Number(2))]),
        entry(Section::Account, "a.b", vec![("users", names())]),
    ];
    let text = write(&entries);
    assert!(text.contains("[account.\"a.b\"]\nusers = [\"ada\", \"ben\"]\n"), "{text}");
    let wanted = read("c.toml", &text).unwrap().wanted;
    assert_eq!(wanted.accounts.unwrap()[0].name, "a.b");
    assert_eq!(wanted.nodes[0].names.len(), 3);
    let change =
        |becomes, keys| ConfigChange { section: Section::Account, name: "a".to_owned(), becomes, keys };
    let key = |from, to| KeyChange { key: "users".to_owned(), from, to };
    let changes = [
        change(Becomes::Added, vec![key(None, Some(names()))]),
        change(Becomes::Changed, vec![key(Some(names()), None), key(None, Some(names()))]),
        change(Becomes::Changed, vec![key(Some(names()), Some(Value::List(vec!["ada".to_owned()])))]),
        change(Becomes::Removed, vec![]),
    ];
    assert_eq!(
        differences(&changes),
        "account a: added users=ada,ben\naccount a: users no longer ada,ben, users ada,ben\n\
         account a: users ada,ben -> ada\naccount a: removed\n"
    );
}

mod whole {
    //! Files against the core that applies them.

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::{read, write};
    use crate::core::state::{Cluster, Touched};
    use crate::core::tests_spec::{admin, node, settings};
    use crate::core::{Command, Core, Found};
    use crate::model::account::{AccountRecord, Budget, Caps, Limits, QosRecord};
    use crate::model::change::Change;
    use crate::model::identity::Role;
    use crate::model::ids::{NodeId, Position, Uid};
    use crate::model::policy::PartitionPolicy;
    use crate::model::priority::{PriorityRecord, WEIGHT_MAX};
    use crate::model::record::{NodeRecord, PartitionRecord, PartitionState, UserRecord};
    use crate::model::time::{BootTime, Now, Seconds, TimeLimit, WallTime};
    use crate::wire::client::{Reply, Request};
    use crate::wire::config::ConfigAct;

    const NOW: Now = Now { wall: WallTime(1_800_000_000_000_000), boot: BootTime(9) };

    fn bound() -> impl Strategy<Value = Option<u32>> {
        prop::option::of(0u32..1_000)
    }

    fn limits() -> impl Strategy<Value = Limits> {
        let caps = || {
            (bound(), bound(), bound()).prop_map(|(running, cpus, submitted)| Caps {
                running,
                cpus,
                submitted,
            })
        };
        let time = prop::option::of((1u64..10_000_000).prop_map(Seconds));
        (caps(), caps(), time).prop_map(|(all, each_user, time_max)| Limits { all, each_user, time_max })
    }

    fn some_of(names: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
        let all: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        prop::sample::subsequence(all, 0..=names.len())
    }

    fn limit() -> impl Strategy<Value = TimeLimit> {
        prop::option::of((1u64..10_000_000).prop_map(Seconds)).prop_map(TimeLimit)
    }

    fn partition(at: usize) -> impl Strategy<Value = PartitionRecord> {
        let policies: Vec<_> = PartitionPolicy::names().filter_map(PartitionPolicy::named).collect();
        let states = vec![PartitionState::Up, PartitionState::Down, PartitionState::Closed];
        let nodes = prop::option::of(some_of(&["n.x", "n1", "n10", "n2"]));
        let first = (nodes, prop::sample::select(states), limit(), prop::option::of(limit()));
        let memory = prop::option::of((1u64..1 << 30).prop_map(|kib| kib << 10));
        let last = (any::<i32>(), prop::option::of(1u32..99), prop::sample::select(policies), memory);
        (first, last).prop_map(move |((nodes, state, max_time, default_time), last)| PartitionRecord {
            name: format!("p{at}"),
            nodes,
            default: at == 0,
            state,
            max_time,
            default_time,
            priority: last.0,
            nodes_max: last.1,
            policy: last.2,
            default_memory_per_cpu_bytes: last.3,
            accounts: Vec::new(),
        })
    }

    fn priority() -> impl Strategy<Value = Change> {
        let span = || (60u64..1_000_000).prop_map(Seconds);
        let weights = prop::collection::vec(0u32..WEIGHT_MAX, 5);
        (prop::option::of(span()), span(), span(), weights, any::<bool>()).prop_map(
            |(half_life, period, age_max, weights, favour_small)| {
                Change::Priority(Box::new(PriorityRecord {
                    half_life,
                    period,
                    age_max,
                    age: weights[0],
                    fair_share: weights[1],
                    size: weights[2],
                    partition: weights[3],
                    qos: weights[4],
                    favour_small,
                }))
            },
        )
    }

    fn account(at: usize) -> impl Strategy<Value = AccountRecord> {
        let share = 0u32..9;
        let budget = prop::option::of(0u64..1 << 40);
        let users = (some_of(&["ada", "ben", "cy"]), some_of(&["ada", "ben"]));
        (prop::option::of(0..at.max(1)), users, limits(), budget, share).prop_map(
            move |(parent, (users, coordinators), limits, budget, share)| AccountRecord {
                share,
                user_shares: users.first().map(|user| (user.clone(), share)).into_iter().collect(),
                parent: parent.filter(|_| at > 0).map(|parent| format!("a.{parent}")),
                default_for: users.first().filter(|_| at == 0).cloned().into_iter().collect(),
                users,
                coordinators,
                limits,
                budget: budget.map(|cpu_hours| Budget { cpu_hours, since: WallTime(7), until: None }),
                ..AccountRecord::new(&format!("a.{at}"))
            },
        )
    }

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let partitions = (0usize..3).prop_flat_map(|count| (0..count).map(partition).collect::<Vec<_>>());
        let accounts = (0usize..5).prop_flat_map(|count| (0..count).map(account).collect::<Vec<_>>());
        let qos = prop::collection::vec((any::<i32>(), limits()), 0..3);
        let nodes = prop::collection::vec((some_of(&["fast", "gpu"]), 0u32..3), 4);
        (priority(), partitions, accounts, qos, nodes).prop_map(
            |(priority, partitions, accounts, qos, nodes)| {
                let partitions = partitions.into_iter().map(|one| Change::Partition(Box::new(one)));
                let accounts = accounts.into_iter().map(|one| Change::Account(Box::new(one)));
                let qos = qos.into_iter().enumerate().map(|(at, (priority, limits))| {
                    Change::Qos(Box::new(QosRecord { name: format!("q{at}"), priority, limits }))
                });
                let names = ["n1", "n2", "n10", "n.x"].into_iter().zip(1u32..);
                let nodes = nodes.into_iter().zip(names).map(|((features, weight), (name, id))| {
                    Change::Node(Box::new(NodeRecord { features, weight, ..node(NodeId(id), name) }))
                });
                nodes.chain(partitions).chain(accounts).chain(qos).chain([priority]).collect()
            },
        )
    }

    fn core(changes: &[Change]) -> Core {
        let mut cluster = Cluster::default();
        let users = ["ada", "ben", "cy"].into_iter().zip(1_000..).map(|(name, uid)| {
            Change::User(UserRecord { name: name.to_owned(), uid: Uid(uid), role: Role::User })
        });
        for change in users.chain(changes.iter().cloned()) {
            cluster.absorb(&change, &mut Touched::default());
        }
        Core::new(cluster, settings(), Position(1))
    }

    /// What came of it, and how many changes it was.
    fn apply(core: &mut Core, text: &str, dry_run: bool) -> (Reply, usize) {
        let wanted = Box::new(read("c.toml", text).unwrap().wanted);
        let request = Box::new(Request::Config(ConfigAct::Apply { wanted, dry_run }));
        let command = Command::Client { caller: admin(), request, found: Box::new(Found::default()) };
        let outcome = core.apply(NOW, Position(2), command);
        (outcome.reply.unwrap(), outcome.changes.len())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        /// What was exported changes nothing where it comes from, and makes any other cluster the same.
        #[test]
        fn what_is_exported_is_what_is_applied(one in changes(), other in changes()) {
            let (mut one, mut other) = (core(&one), core(&other));
            // Sections without entries are not written: say that there are none.
            let sections = "partition = {}\naccount = {}\nqos = {}\n";
            let text = write(&one.cluster().configuration());
            let whole = |text: &str| {
                let absent = sections.lines().filter(|line| {
                    let word = line.split(' ').next().unwrap_or_default();
                    !text.contains(&format!("[{word}."))
                });
                absent.map(|line| format!("{line}\n")).collect::<String>() + text
            };
            let (reply, changes) = apply(&mut one, &whole(&text), false);
            prop_assert_eq!(reply, Reply::Configured { changes: vec![], warnings: vec![] });
            prop_assert_eq!(changes, 0);
            let (dry, none) = apply(&mut other, &whole(&text), true);
            prop_assert_eq!(none, 0);
            let (reply, _) = apply(&mut other, &whole(&text), false);
            prop_assert_eq!(&dry, &reply);
            prop_assert!(matches!(reply, Reply::Configured { .. }), "{reply:?}");
            prop_assert_eq!(one.cluster().configuration(), other.cluster().configuration());
            prop_assert_eq!(apply(&mut other, &whole(&text), false).1, 0);
        }
    }

    #[test]
    fn one_mistake_and_nothing_changes() {
        let good =
            "[qos.fast]\npriority = 3\n[account.a]\nusers = [\"ada\"]\n[partition.main]\nnodes = \"n1\"\n";
        for (bad, place) in [
            ("[account.b]\nparent = \"c\"\n[account.c]\nparent = \"b\"\n", "account b parent"),
            ("[account.b]\nparent = \"nobody\"\n", "account b parent"),
            ("[account.b]\nusers = [\"eve\"]\n", "account b users"),
            ("[account.b]\ndefault-for = [\"ada\"]\n", "account b default-for"),
            ("[partition.p]\nnodes = \"n[1-9]\"\n", "partition p nodes"),
            ("[partition.p]\naccounts = [\"c\"]\n", "partition p accounts"),
            ("[partition.p]\ndefault = true\n[partition.q]\ndefault = true\n", "partition q default"),
            ("[node.n7]\nweight = 3\n", "node n7 "),
            ("[node.n1]\nfeatures = [\"no good\"]\n", "node n1 features"),
            ("[node.n1]\n[node.\"n[1-2]\"]\n", "node n[1-2] "),
            ("[qos.\"no good\"]\n", "qos no good "),
            ("[priority]\nweight-age = 4000000000\n", "priority  weight-age"),
            ("[priority]\nmax-age = \"30s\"\n", "priority  max-age"),
            ("[priority]\nhalf-life = \"3s\"\n", "priority  half-life"),
            ("[account.b]\nuser-shares = [\"ada:3\"]\n", "account b user-shares"),
        ] {
            let nodes = BTreeMap::from([("n1", 1), ("n2", 2)]).into_iter().map(|(name, id)| {
                let record = node(NodeId(id), name);
                Change::Node(Box::new(record))
            });
            let mut core = core(&nodes.collect::<Vec<_>>());
            let before = core.cluster().configuration();
            let (reply, changes) = apply(&mut core, &format!("{good}{bad}"), false);
            let Reply::Misconfigured(misfit) = reply else { panic!("{bad}: {reply:?}") };
            assert_eq!(format!("{} {} {}", misfit.section.word(), misfit.name, misfit.key), place);
            assert_eq!((changes, core.cluster().configuration()), (0, before));
            assert!(matches!(apply(&mut core, good, false).0, Reply::Configured { .. }));
        }
    }
}
