//! What is handed out to be copied works: the policy inside the Kubernetes manifest.

use aegis::domain::{Action, Approval, Timestamp};
use aegis::policy::{Policy, Question, Source};
use clap::Parser as _;
use serde::Deserialize as _;

const MANIFEST: &str = include_str!("../../deploy/kubernetes/sidecar.yaml");

/// The text of `data."policy.yaml"` in the manifest's ConfigMap.
fn policy_in_manifest() -> String {
    let documents = serde_yaml::Deserializer::from_str(MANIFEST).map(serde_yaml::Value::deserialize);
    let documents: Vec<_> = documents.map(|document| document.expect("the manifest is YAML")).collect();
    let policy = documents.iter().find_map(|document| document["data"]["policy.yaml"].as_str());
    policy.expect("the manifest has a policy").to_owned()
}

#[test]
fn the_policy_in_the_kubernetes_manifest_loads_and_decides() {
    let text = policy_in_manifest();
    let policy = Policy::load(&[Source { name: "policy.yaml".into(), text }]).unwrap();
    assert_eq!(policy.warnings(), []);
    let decide = |r#type: &str, count: u32| {
        let params = serde_json::Map::from_iter([("count".to_owned(), count.into())]);
        let action = Action { r#type: r#type.into(), params, ..Action::default() };
        let question = Question {
            action: &action,
            declared_actor: "",
            authenticated_actor: None,
            now: Timestamp::UNIX_EPOCH,
            masked: &[],
        };
        policy.evaluate(&question).approval
    };
    assert_eq!(decide("read_rows", 0), Approval::Auto);
    assert_eq!(decide("bulk_update", 150), Approval::Approve);
    assert_eq!(decide("delete_rows", 0), Approval::Block);
}

/// The words of a command line, as a shell would split it: quotes, and comments.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (' ', None) => words.extend(word.take()),
            ('#', None) if word.is_none() => break,
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn every_command_that_the_documents_show_is_one() {
    let documents = [include_str!("../../README.md"), include_str!("../../deploy/README.md")];
    let lines = documents.iter().flat_map(|document| document.lines()).filter_map(|line| line.strip_prefix("$ aegis "));
    let lines: Vec<_> = lines.collect();
    assert!(lines.len() >= 5, "{lines:?}");
    for line in lines {
        let arguments = std::iter::once("aegis".to_owned()).chain(words(line));
        if let Err(error) = aegis::cli::Cli::try_parse_from(arguments) {
            panic!("aegis {line}\n{error}");
        }
    }

    let documents =
        serde_yaml::Deserializer::from_str(MANIFEST).map(|one| serde_yaml::Value::deserialize(one).unwrap());
    let pod =
        documents.map(|document| document["spec"]["template"]["spec"].clone()).find(|pod| !pod.is_null()).unwrap();
    let sidecar = &pod["initContainers"][0];
    let list = |value: &serde_yaml::Value| -> Vec<String> {
        value.as_sequence().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    let served = [vec!["aegis".to_owned()], list(&sidecar["args"])].concat();
    aegis::cli::Cli::try_parse_from(served).unwrap();
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        aegis::cli::Cli::try_parse_from(list(&sidecar[probe]["exec"]["command"])).unwrap();
    }
}
