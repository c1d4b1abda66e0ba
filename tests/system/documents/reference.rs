//! The reference tables of the documents name what there is: each is held against the program or its source, both ways.

use std::collections::BTreeSet;
use std::process::Command;

use aegis::domain::{CallError, ErrorCode};
use aegis::policy::Code;
use aegis::proto::v1;
use aegis::server::access::{self, Access, OPERATIONS};
use regex::Regex;
use serde_json::Value;

use super::{blocks, read, root};
use crate::harness::{AEGIS, Setup, knock, stdout};

const POLICY: &str = "src/policy/README.md";
const OPERATING: &str = "deploy/OPERATING.md";
const API: &str = "proto/README.md";

/// What stands in backticks at the beginning of the rows under a heading, a row each.
fn rows(document: &str, heading: &str) -> Vec<(String, String)> {
    let text = blocks::prose(&read(document));
    let mut lines = text.lines().skip_while(|line| line.trim_start_matches('#').trim() != heading).skip(1);
    let rows = lines.by_ref().take_while(|line| !line.starts_with('#')).filter(|line| line.starts_with("| `"));
    let rows: Vec<_> = rows
        .flat_map(|row| {
            let first = row[2..].split(" | ").next().unwrap();
            let names = first.split('`').skip(1).step_by(2).map(str::to_owned);
            names.map(|name| (name, row.to_owned())).collect::<Vec<_>>()
        })
        .collect();
    assert!(!rows.is_empty(), "{document} has no table under `{heading}`");
    rows
}

fn names(document: &str, heading: &str) -> BTreeSet<String> {
    rows(document, heading).into_iter().map(|(name, _)| name).collect()
}

/// Every Rust file of the source, without its tests.
fn source() -> Vec<String> {
    let mut files = Vec::new();
    let mut directories = vec![root().join("src")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
                let file = std::fs::read_to_string(&path).unwrap();
                files.push(file.split("#[cfg(test)]").next().unwrap().to_owned());
            }
        }
    }
    files
}

/// What the first group of a pattern finds.
fn found(pattern: &str, text: &str) -> BTreeSet<String> {
    Regex::new(pattern).unwrap().captures_iter(text).map(|found| found[1].to_owned()).collect()
}

#[test]
fn the_policy_reference_has_every_key_of_the_schema_and_no_other() {
    let schema = Command::new(AEGIS).arg("schema").output().unwrap();
    let schema: Value = serde_json::from_str(&stdout(&schema)).unwrap();
    for (heading, place) in [
        ("The file", ""),
        ("Defaults", "/properties/defaults"),
        ("A rule", "/$defs/rule"),
        ("Match", "/$defs/match"),
        ("Conditions", "/$defs/conditions"),
        ("Limits", "/$defs/rule/properties/limit"),
        ("Secrets", "/properties/secrets"),
    ] {
        let properties = schema.pointer(place).unwrap()["properties"].as_object().unwrap();
        let rows = rows(POLICY, heading);
        // Below the keys of `match`, a second table explains globs.
        let known = |name: &str| heading != "Match" || properties.contains_key(name);
        let documented: BTreeSet<_> = rows.iter().map(|(name, _)| name.as_str()).filter(|name| known(name)).collect();
        assert_eq!(documented, properties.keys().map(String::as_str).collect(), "under `{heading}`");
        for (key, property) in properties {
            let default = property.get("default").map(|value| value.as_str().map_or(value.to_string(), str::to_owned));
            let row = rows.iter().find(|(name, _)| name == key).map(|(_, row)| row.as_str()).unwrap();
            let says = default.as_ref().is_none_or(|default| row.ends_with(&format!("| `{default}` |")));
            assert!(says, "`{key}` is {default:?} by default: {row}");
        }
    }
    for place in ["/$defs/risk_level", "/$defs/approval", "/$defs/rule/properties/on_timeout"] {
        let key = place.rsplit('/').next().unwrap();
        let (_, row) = rows(POLICY, "A rule").into_iter().find(|(name, _)| name == key).unwrap();
        for word in schema.pointer(place).unwrap()["enum"].as_array().unwrap() {
            assert!(row.contains(&format!("`{}`", word.as_str().unwrap())), "{word} is missing: {row}");
        }
    }
}

#[test]
fn the_operator_s_guide_names_every_metric_variable_and_health_service() {
    let source = source().concat();
    let mut metrics = found(r#"(?:gauge|counter|series)\(\s*"(aegis_[a-z_]+)""#, &source);
    metrics.extend(found(r#"(?:counters|histograms?)\(\s*&registry,\s*"(aegis_[a-z_]+)""#, &source));
    assert_eq!(names(OPERATING, "Metrics"), metrics);
    let mut variables = found(r#""(AEGIS_[A-Z_]+)""#, &source);
    // Only a build that tests make reads this one.
    assert!(variables.remove("AEGIS_WITHOUT"));
    let documented = names(OPERATING, "Environment variables");
    assert_eq!(documented.into_iter().filter(|name| name.starts_with("AEGIS_")).collect::<BTreeSet<_>>(), variables);
    let services =
        found(r#""(aegis\.(?:auth|clock|dev|policy|record|retention|witness|v1\.[A-Za-z]+Service))""#, &source);
    assert_eq!(names(OPERATING, "Health services"), services);
}

#[test]
fn the_operator_s_guide_names_every_file_of_the_data_directory() {
    let daemon = Setup::new().start();
    let documented = names(OPERATING, "Files of the data directory");
    for entry in std::fs::read_dir(daemon.data_dir()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(documented.contains(&name), "{OPERATING} does not name {name}");
        assert!(daemon.data_dir().join(&name).exists());
    }
    for name in documented {
        assert!(daemon.data_dir().join(&name).exists(), "there is no {name} in a data directory");
    }
}

#[test]
fn the_operator_s_guide_names_every_key_of_the_identities_file() {
    /// What the daemon says that it knows, beside a key that it does not know.
    fn keys(yaml: &str) -> BTreeSet<String> {
        let setup = Setup::new();
        let file = setup.home().join("identities.yaml");
        std::fs::write(&file, yaml).unwrap();
        let (_, said) = setup.args(&["--auth", file.to_str().unwrap()]).refuse();
        let expected = said.split("unknown field `nope`, expected ").nth(1).unwrap_or_else(|| panic!("{yaml}: {said}"));
        found("`([a-z_]+)`", expected)
    }

    let rows = rows(OPERATING, "The identities file");
    let sections: BTreeSet<_> = rows.iter().map(|(name, _)| name.clone()).collect();
    let mut known = keys("nope: 1");
    assert!(known.remove("version") && known.is_subset(&sections), "{known:?} and {sections:?}");
    for (section, yaml) in [
        ("unix", "unix: [{nope: 1}]"),
        ("tokens", "tokens: [{nope: 1}]"),
        ("certificates", "certificates: [{nope: 1}]"),
        ("tls", "tls: {nope: 1}"),
        ("jwt", "jwt: [{nope: 1}]"),
        ("jwt", "jwt: [{name: a, issuer: b, audience: c, jwks: d, grants: [{nope: 1}]}]"),
    ] {
        let (_, row) = rows.iter().find(|(name, _)| name == section).unwrap();
        for key in keys(yaml) {
            assert!(row.contains(&format!("`{key}`")), "`{key}` of `{section}` is missing: {row}");
        }
    }
}

#[test]
fn the_policy_reference_has_the_code_of_every_finding() {
    let documented: Vec<_> = rows(POLICY, "Codes").into_iter().map(|(name, _)| name).collect();
    assert_eq!(documented, Code::ALL.iter().map(ToString::to_string).collect::<Vec<_>>());
    for (name, row) in rows(POLICY, "Codes") {
        let code = Code::ALL.iter().find(|code| code.as_str() == name).unwrap();
        let severity = format!("{:?}", code.severity()).to_lowercase();
        assert_eq!(row.split(" | ").nth(1), Some(severity.as_str()), "{row}");
    }
}

#[test]
fn the_operator_s_guide_has_the_exit_codes_of_the_help() {
    let help = stdout(&Command::new(AEGIS).arg("--help").output().unwrap());
    let codes = found(r"(?m)^  ([0-9])  ", &help);
    assert_eq!(codes.len(), 5, "{help}");
    let documented = names(OPERATING, "Exit codes");
    assert_eq!(documented.into_iter().filter(|code| code.len() == 1).collect::<BTreeSet<_>>(), codes);
}

#[test]
fn the_api_s_guide_names_every_call_and_every_reason() {
    let mut calls = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("proto/aegis/v1")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for service in text.split("\nservice ").skip(1) {
            let name = service.split(' ').next().unwrap();
            calls.extend(found(r"(?m)^  rpc (\w+)\(", service).into_iter().map(|call| format!("{name}/{call}")));
        }
    }
    assert_eq!(names(API, "Services"), calls);
}

/// What error.proto says of a reason.
struct Reason {
    meaning: String,
    code: String,
    metadata: String,
    retry: String,
    caller: String,
}

/// The reasons of error.proto by their names, without the prefix of the enum.
fn reasons() -> Vec<(String, Reason)> {
    let text = std::fs::read_to_string(root().join("proto/aegis/v1/error.proto")).unwrap();
    let values = text.split_once("_UNSPECIFIED = 0;").unwrap().1;
    let value = Regex::new(r"(?m)((?:^  //.*\n)+)^  ERROR_REASON_([A-Z_]+) = [0-9]+;").unwrap();
    let facts = Regex::new(r"^(.*)  Code: (\w+)\. Metadata: (.*)\. RetryInfo: (yes|no)\. Caller: (.*)\.$").unwrap();
    let read = |found: regex::Captures<'_>| {
        let comment: Vec<&str> = found[1].lines().map(|line| line.trim_start_matches("  //").trim()).collect();
        let facts = facts.captures(comment.join(" ").trim()).map(|it| it.extract::<5>().1.map(str::to_owned));
        let [meaning, code, metadata, retry, caller] = facts.unwrap_or_else(|| panic!("what of {}?", &found[2]));
        (found[2].to_owned(), Reason { meaning, code, metadata, retry, caller })
    };
    value.captures_iter(values).map(read).collect()
}

#[test]
fn the_reasons_of_the_code_the_protos_and_the_guide_are_the_same() {
    let reasons = reasons();
    let ours: BTreeSet<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(reasons.iter().map(|(name, _)| name.as_str()).collect::<BTreeSet<_>>(), ours);
    assert_eq!(names(API, "Reasons").iter().map(String::as_str).collect::<BTreeSet<_>>(), ours);
    for code in ErrorCode::ALL {
        assert!(v1::ErrorReason::from_str_name(&format!("ERROR_REASON_{code}")).is_some(), "{code}");
        let (_, said) = reasons.iter().find(|(name, _)| name == code.as_str()).unwrap();
        let keys: Vec<String> = code.metadata().iter().map(|key| format!("`{key}`")).collect();
        assert_eq!(said.metadata, if keys.is_empty() { "none".to_owned() } else { keys.join(", ") }, "{code}");
        assert_eq!(said.retry == "yes", code.retry_after().is_some(), "{code}");
        let status = tonic::Status::from(CallError::new(*code, "why"));
        let grpc = format!("{:?}", status.code()).to_lowercase();
        assert_eq!(said.code.replace('_', "").to_lowercase(), grpc, "{code}");
    }
}

#[test]
fn the_api_s_guide_says_of_each_reason_what_the_protos_say() {
    let rows = rows(API, "Reasons");
    let expected = reasons().into_iter().map(|(name, said)| {
        let Reason { meaning, code, metadata, retry, caller } = said;
        let (first, rest) = caller.split_at(1);
        let caller = first.to_uppercase() + rest;
        (name.clone(), format!("| `{name}` | {code} | {metadata} | {retry} | {meaning} {caller}. |"))
    });
    for (row, expected) in rows.iter().zip(expected) {
        assert_eq!(row, &expected);
    }
}

#[tokio::test]
async fn the_api_s_guide_says_who_may_call_what() {
    let daemon = Setup::new().start();
    let channel = daemon.tcp().await;
    for role in [v1::Role::Agent, v1::Role::Reviewer, v1::Role::Auditor, v1::Role::Admin] {
        let name = role.as_str_name().trim_start_matches("ROLE_").to_lowercase();
        let (token, _) = daemon.token(&name, &[role]).await;
        let bearer = format!("Bearer {token}");
        for (call, row) in rows(API, "Services") {
            let roles = row.split(" | ").nth(1).unwrap();
            let may = knock(&channel, &format!("/aegis.v1.{call}"), &[bearer.as_bytes()]).await.is_ok();
            assert_eq!(may, roles.split(", ").any(|listed| listed == name), "{name}: {row}");
        }
    }
}

#[test]
fn the_api_s_guide_names_every_operation_of_rest_and_who_may_call_it() {
    let documented: Vec<_> = rows(API, "Operations")
        .into_iter()
        .map(|(name, row)| (name, row.split(" | ").nth(1).unwrap().to_owned()))
        .collect();
    let table: Vec<_> = OPERATIONS
        .iter()
        .map(|operation| {
            let roles = match operation.access {
                Access::AnyOf(roles) => roles.to_string(),
                Access::Open | Access::Unknown => "everybody".to_owned(),
            };
            (format!("{} {}", operation.method, operation.path), roles)
        })
        .collect();
    assert_eq!(documented, table);
}

#[test]
fn the_api_s_guide_says_where_rest_has_every_call_of_grpc_or_why_not() {
    let documented = rows(API, "What gRPC has");
    let calls: Vec<_> =
        access::methods().into_iter().filter_map(|call| Some(call.strip_prefix("/aegis.v1.")?.to_owned())).collect();
    assert_eq!(documented.iter().map(|(name, _)| name).collect::<BTreeSet<_>>(), calls.iter().collect());
    assert_eq!(documented.len(), calls.len(), "a call stands there once");
    for (call, row) in documented {
        let named = found(r"`([A-Z]+ /[^`]*)`", &row);
        assert!(!named.is_empty(), "{call}: which operation is it, or stands in for it?");
        for name in named {
            let is_there =
                OPERATIONS.iter().any(|operation| format!("{} {}", operation.method, operation.path) == name);
            assert!(is_there, "{call}: there is no {name}");
        }
    }
}

#[test]
fn the_api_s_guide_has_every_code_once_among_the_problems() {
    let codes =
        rows(API, "Problems").into_iter().flat_map(|(_, row)| found(r"`([A-Z_]{4,})`", &row)).collect::<Vec<_>>();
    assert_eq!(codes.len(), codes.iter().collect::<BTreeSet<_>>().len(), "{codes:?}");
    assert_eq!(codes.into_iter().collect::<BTreeSet<_>>(), names(API, "Reasons"));
}
