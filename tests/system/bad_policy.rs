//! Policies that are wrong, or made to hurt: refused at once, with the place of every mistake, in bounded memory.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use aegis::proto::v1;
use tonic::Code;

use crate::harness::{AEGIS, Daemon, Setup, findings, propose, reason, update};

/// How much work a bomb may make, in a build that is not optimised: seconds of the processor's time, however long they
/// take on a machine that does other things meanwhile. A bomb that went off would take the time there is.
const WORK: u64 = 20;

/// A list of ten of a list of ten of … : a few hundred bytes that stand for 10^9 values.
fn billion_laughs() -> String {
    let mut yaml = "x-0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for i in 1..=9 {
        let item = format!("*a{}", i - 1);
        writeln!(yaml, "x-{i}: &a{i} [{}]", vec![item; 10].join(", ")).expect("a text can be written to");
    }
    yaml + "rules: []\n"
}

fn bombs() -> Vec<(&'static str, String)> {
    let rule = "  - {match: {type: a}, conditions: {param_matches: {x: 'PATTERN'}}}\n";
    let huge_regex = format!("rules:\n{}", rule.replace("PATTERN", "(((a{100}){100}){100}){100}"));
    let patterns = (0..20_000).map(|i| rule.replace("PATTERN", &format!("\\w{{200}}{i}")));
    let many_regexes = format!("rules:\n{}", patterns.collect::<String>());
    let merge = format!("{}rules:\n  - <<: [*a0, *a0]\n", billion_laughs().replace("rules: []\n", ""));
    let deep_conditions = format!("rules: [{{conditions: {}{{}}{}}}]\n", "{not: ".repeat(5000), "}".repeat(5000));
    vec![
        ("aliases of aliases", billion_laughs()),
        ("the same through merge keys", merge),
        ("lists in lists", format!("rules: {}{}\n", "[".repeat(100_000), "]".repeat(100_000))),
        ("mappings in mappings", format!("rules: {}{}\n", "{a: ".repeat(100_000), "}".repeat(100_000))),
        ("indented lists", format!("rules:\n{}\n", "- ".repeat(100_000))),
        ("conditions in conditions", deep_conditions),
        ("a regex that expands", huge_regex),
        ("many large regexes", many_regexes),
        ("a cycle", "rules: &a [*a]\n".into()),
        ("many anchors", format!("x-a: [{}]\nrules: []\n", "&a b, ".repeat(600_000))),
        ("one long line", format!("rules: {}\n", "x".repeat(4_000_000))),
        ("nothing but openings", "[".repeat(4_000_000)),
        ("nothing but keys", "? ".repeat(2_000_000)),
    ]
}

/// The most memory that the daemon ever had, in MiB.
fn peak(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("the daemon runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// How much of the processor's time the daemon has had, in seconds.
fn worked(daemon: &Daemon) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).expect("the daemon runs");
    // proc_pid_stat(5): the fields 14 and 15, in ticks, of which Linux has 100 a second. The name, in brackets, is
    // field 2.
    let (_, fields) = stat.rsplit_once(')').expect("the name of the program is in brackets");
    let ticks = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("a number"));
    ticks.sum::<u64>() / 100
}

#[tokio::test]
async fn a_bomb_is_refused_at_once_and_agents_are_answered_meanwhile() {
    let daemon = Setup::new().policy("rules: []").start();
    let revision = daemon.admin().await.get_policy(v1::GetPolicyRequest::default()).await.unwrap().into_inner();
    let revision = revision.policy.unwrap().revision;
    for (what, yaml) in bombs() {
        let before = worked(&daemon);
        let layer = v1::PolicyLayer { name: "bomb.yaml".into(), yaml: yaml.clone() };
        let mut admin = daemon.admin().await;
        let checking =
            tokio::spawn(async move { admin.validate_policy(v1::ValidatePolicyRequest { layers: vec![layer] }).await });
        let asked = daemon.agent().await.propose(propose("read", "crm")).await;
        asked.unwrap_or_else(|status| panic!("{what}: {status:?}"));
        let answer = checking.await.unwrap().unwrap_or_else(|status| panic!("{what}: {status:?}")).into_inner();
        assert!(answer.valid == Some(false) && !answer.errors.is_empty() && answer.revision.is_empty(), "{what}");
        let first = &answer.errors[0];
        assert!(first.file == "bomb.yaml" && first.line > 0 && first.column > 0, "{what}: {first:?}");
        assert!(answer.errors.iter().all(|error| error.message.len() < 1000), "{what}: {:?}", answer.errors);

        let update = update(yaml, &revision);
        let status = daemon.admin().await.update_policy(update).await.unwrap_err();
        let expected = (Code::InvalidArgument, "POLICY_INVALID".to_owned());
        assert_eq!((status.code(), reason(&status)), expected, "{what}: {status:?}");
        let work = worked(&daemon) - before;
        // It was read twice.
        assert!(work < WORK * 2, "{what}: {work} s");
        assert!(peak(&daemon) < 512, "{what}: {} MiB", peak(&daemon));
    }
    let after = daemon.admin().await.get_policy(v1::GetPolicyRequest::default()).await.unwrap().into_inner();
    assert_eq!(after.policy.unwrap().revision, revision);
    assert_eq!(std::fs::read_to_string(daemon.policy_file()).unwrap(), "rules: []");
}

#[tokio::test]
async fn more_layers_than_a_policy_has_are_refused() {
    let daemon = Setup::new().start();
    let layer = v1::PolicyLayer { name: "a.yaml".into(), yaml: "rules: []".into() };
    for count in [0, 100, 10_000] {
        let request = v1::ValidatePolicyRequest { layers: vec![layer.clone(); count] };
        let status = daemon.admin().await.validate_policy(request).await.unwrap_err();
        assert_eq!(
            (status.code(), crate::harness::fields(&status)),
            (Code::InvalidArgument, vec!["layers".to_owned()])
        );
    }
}

#[tokio::test]
async fn a_policy_with_a_hundred_mistakes_is_refused_with_as_many_as_an_error_holds() {
    let daemon = Setup::new().policy("rules: []").start();
    let yaml = format!("rules:\n{}", "  - {aproval: block}\n".repeat(300));
    let update = update(yaml.clone(), "");
    let status = daemon.admin().await.update_policy(update).await.unwrap_err();
    assert_eq!(reason(&status), "POLICY_INVALID", "{status:?}");
    let fields = crate::harness::fields(&status);
    assert_eq!((fields[0].as_str(), fields.last().unwrap().as_str()), ("layers.layers[0].yaml", ""), "{fields:?}");
    let found = findings(&status);
    let first = &found.findings[0];
    assert_eq!((first.path.as_str(), first.code.as_str()), ("rules[0].aproval", "UNKNOWN_KEY"), "{first:?}");
    assert_eq!((first.severity(), first.line), (v1::Severity::Error, 2), "{first:?}");
    assert!(found.findings.len() > 5 && found.omitted > 50, "{} and {}", found.findings.len(), found.omitted);

    let layers = vec![v1::PolicyLayer { name: "a.yaml".into(), yaml }];
    let all = daemon.admin().await.validate_policy(v1::ValidatePolicyRequest { layers }).await.unwrap().into_inner();
    assert!(all.errors.len() >= 100, "{}", all.errors.len());
}

/// Runs `serve` with less memory than the files have bytes times a few, and with as much work as it may make, and says
/// how it ended and what it said. Whoever wants more of either is killed, and has no exit code.
fn serve_within_bounds(setup: &Setup) -> (Option<i32>, String) {
    let command = setup.command();
    let mut limited = Command::new("sh");
    let bounds = format!("ulimit -v 400000; ulimit -t {WORK}; exec \"$0\" \"$@\"");
    limited.args(["-c", &bounds, AEGIS]).args(command.get_args());
    limited.env_clear().stdin(Stdio::null());
    let output = limited.output().expect("sh runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_policy_of_a_hundred_megabytes_is_not_even_read() {
    let line = "  - {match: {type: 'read*'}, approval: auto}\n";
    let setup = Setup::new().policy(&format!("rules:\n{}", line.repeat((100 << 20) / line.len())));
    let (code, said) = serve_within_bounds(&setup);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("policy.yaml") && said.contains("4194304"), "{said}");

    // Bytes of zero, which take no place on the disk.
    let file = std::fs::File::create(setup.home().join("policy.yaml")).unwrap();
    file.set_len(100 << 30).unwrap();
    let (code, said) = serve_within_bounds(&setup);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("policy.yaml"), "{said}");
}

#[test]
fn a_bomb_given_to_serve_is_refused_at_once() {
    for (what, yaml) in bombs() {
        let (code, said) = serve_within_bounds(&Setup::new().policy(&yaml));
        assert_eq!(code, Some(1), "{what}: {said}");
        assert!(said.contains("policy.yaml:"), "{what}: {said}");
        assert!(said.len() < 100_000, "{what}: {} bytes", said.len());
    }
}

#[test]
fn serve_with_a_bad_policy_ends_and_names_every_mistake_at_its_place() {
    let policy = "rules:
  - name: a
    aproval: block
  - name: a
    risk_level: extreme
    conditions:
      time_after: '25:00'
";
    let setup = Setup::new().policy(policy);
    let (status, said) = setup.refuse();
    assert_eq!(status.code(), Some(1), "{said}");
    let file = setup.home().join("policy.yaml");
    for (place, says) in [("3:5", "approval"), ("4:", "a"), ("5:17", "extreme"), ("7:", "25:00")] {
        let place = format!("{}:{place}", file.display());
        let found = said.lines().any(|line| line.contains(&place) && line.contains(says));
        assert!(found, "no line with `{place}` and `{says}` in\n{said}");
    }
    assert!(!setup.home().join("data/record.redb").exists(), "a daemon that does not start keeps no record");
}

#[test]
fn serve_says_which_file_is_not_there_or_no_text() {
    let setup = Setup::new();
    for (name, bytes) in [("binary.yaml", Some(&b"rules: []\n# \xff\xfe\n"[..])), ("missing.yaml", None)] {
        let path = setup.home().join(name);
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).unwrap();
        }
        let (status, said) = Setup::new().args(&[path.to_str().unwrap()]).refuse();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains(name), "{said}");
        let why = if bytes.is_some() { "line 2 is not UTF-8" } else { "No such file" };
        assert!(said.contains(why), "{said}");
    }
}
