//! Files that come out of the record, and files that the daemon and the command line write.

use serde_json::Value;

use crate::harness::{Daemon, Setup, stderr, stdout};

fn serve() -> Daemon {
    Setup::new().policy(aegis::policy::STARTER).start()
}

fn run(daemon: &Daemon, arguments: &[&str]) -> (i32, String, String) {
    let output = daemon.cli(arguments);
    (output.status.code().unwrap_or(-1), stdout(&output), stderr(&output))
}

fn ok(daemon: &Daemon, arguments: &[&str]) -> String {
    let (code, out, err) = run(daemon, arguments);
    assert_eq!(code, 0, "{arguments:?}: {out}{err}");
    out
}

fn jsonl(daemon: &Daemon, arguments: &[&str]) -> Vec<Value> {
    ok(daemon, arguments).lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[test]
fn no_agent_takes_rows_out_of_an_export() {
    let daemon = serve();
    for said in ["end\u{7}ing", "start\u{1b}]0;", "plain", "plain", "\u{1b}P", "=1+1", "end\u{7}ing\u{1b}\\"] {
        ok(&daemon, &["propose", "read_rows", "crm", "--description", said]);
    }
    for order in [&[][..], &["--oldest-first"]] {
        let csv = ok(&daemon, &[&["audit", "--format", "csv"], order].concat());
        assert_eq!(csv::Reader::from_reader(csv.as_bytes()).records().map(Result::unwrap).count(), 7, "{csv}");
        assert!(!csv.contains(['\u{1b}', '\u{7}']) && csv.contains("'=1+1"), "{csv}");
        let file = daemon.home.path().join("out.csv");
        ok(&daemon, &[&["audit", "--format", "csv", "-o", file.to_str().unwrap()], order].concat());
        assert_eq!(std::fs::read_to_string(file).unwrap(), csv);
        let rows = jsonl(&daemon, &[&["audit", "--format", "jsonl"], order].concat());
        assert_eq!(rows.len(), 7);
        for time in rows.iter().map(|row| row["timestamp"].as_str().unwrap()) {
            assert_eq!(time.len(), "2026-11-20T22:49:44.699410Z".len(), "{time}");
        }
    }
}

#[test]
fn nothing_is_written_through_a_symbolic_link() {
    let daemon = serve();
    ok(&daemon, &["propose", "read_rows", "crm"]);
    let at = |name: &str| daemon.home.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("precious"), "kept").unwrap();
    for name in ["link", "bundle.part", ".policy.yaml.aegis-new"] {
        std::os::unix::fs::symlink(at("precious"), at(name)).unwrap();
    }
    let link = at("link");
    for arguments in
        [&["audit", "--format", "csv", "-o", &link][..], &["audit", "checkpoint", "-o", &link], &["init", "-o", &link]]
    {
        let (code, _, err) = run(&daemon, arguments);
        assert_eq!(code, 1, "{arguments:?}: {err}");
    }
    ok(&daemon, &["audit", "export", "-o", &at("bundle")]);
    ok(&daemon, &["audit", "verify", &at("bundle")]);
    std::fs::write(at("new.yaml"), "rules: [{name: none, approval: block}]\n").unwrap();
    ok(&daemon, &["policy", "update", &at("new.yaml")]);
    assert!(!daemon.policy_file().is_symlink());
    assert_eq!(std::fs::read_to_string(at("precious")).unwrap(), "kept");
}

#[test]
fn parameters_that_say_two_things_are_refused() {
    let daemon = serve();
    for params in [r#"{"amount": 1, "amount": 5000}"#, r#"{"order": {"to": "a", "t\u006f": "b"}}"#] {
        let (code, _, err) = run(&daemon, &["propose", "read_rows", "crm", "--params", params]);
        assert_eq!(code, 2, "{params}: {err}");
        assert!(err.contains("is given twice"), "{err}");
    }
    assert!(jsonl(&daemon, &["audit", "--format", "jsonl"]).is_empty());
}
