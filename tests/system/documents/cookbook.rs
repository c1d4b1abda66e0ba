//! The recipes of `src/policy/README.md`: each is a valid policy and answers its table of cases as the table says.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::blocks::{self, Block};
use super::read;
use crate::harness::{AEGIS, stderr, stdout};

const README: &str = "src/policy/README.md";

/// The head of a table of cases.
const HEAD: &str = "| action | answer |";

/// Holds that a policy loads, and that nothing about it is odd.
pub(super) fn must_be_valid(block: &Block) {
    let file = policy_file(block);
    let output = Command::new(AEGIS).arg("validate").arg(file.path()).output().unwrap();
    let said = stdout(&output) + &stderr(&output);
    assert!(output.status.success() && !said.contains("warning"), "{block}: {said}");
}

fn policy_file(block: &Block) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    file.write_all(block.text.as_bytes()).unwrap();
    file
}

#[test]
fn every_recipe_of_the_cookbook_answers_as_it_says() {
    let blocks = blocks::of(README, &read(README));
    let mut recipes = 0;
    for (i, block) in blocks.iter().enumerate().filter(|(_, block)| block.after.contains(HEAD)) {
        // A recipe of several files shows one after another: they are layers, in this order.
        let first =
            (0..i).rev().take_while(|&j| blocks[j].heading == block.heading && blocks[j].language == "yaml").last();
        let layers = &blocks[first.unwrap_or(i)..=i];
        let cases: Vec<Case> = block.after.lines().filter_map(|line| Case::read(line, block)).collect();
        assert!(cases.len() >= 3, "{block}: a recipe is tried with three cases or more");
        for (case, answer) in cases.iter().zip(answers(layers, &cases)) {
            let said = format!("{} by `{}`", outcome(&answer), answer["matched_rule"].as_str().unwrap());
            assert_eq!(said, case.answer, "{block}: {}", case.line);
        }
        recipes += 1;
    }
    assert!(recipes >= 20, "there are {recipes} recipes");
}

/// What a proposal would be answered.
fn outcome(answer: &Value) -> &'static str {
    match answer["approval"].as_str() {
        Some("auto") => "`ALLOW`",
        Some("confirm") => "`REQUIRE_CONFIRMATION`",
        Some("approve") => "`ESCALATE`",
        Some("block") => "`DENY`",
        other => panic!("no answer: {other:?}"),
    }
}

/// A row of a table: ``| `bulk_update crm {"count": 150}` at `2026-11-27T10:00:00Z` by `ci` | `ESCALATE` by `bulk` |``.
struct Case {
    line: String,
    /// As `aegis simulate` reads it.
    json: Value,
    answer: String,
}

impl Case {
    fn read(line: &str, block: &Block) -> Option<Self> {
        let (asked, answer) = line.strip_prefix("| `")?.strip_suffix(" |")?.rsplit_once(" | ")?;
        let wrong = |what: &str| -> ! { panic!("{block}: {what}: {line}") };
        let (action, rest) = asked.split_once('`').unwrap_or_else(|| wrong("the action is not closed"));
        let mut words = action.splitn(3, ' ');
        let (kind, target) = (words.next(), words.next().unwrap_or_default());
        let params = words.next().map_or(Ok(json!({})), serde_json::from_str);
        let params: Value = params.unwrap_or_else(|error| wrong(&error.to_string()));
        let mut json = json!({ "action": { "type": kind, "target": target, "params": params } });
        let mut rest = rest.split('`');
        while let (Some(word), Some(value)) = (rest.next(), rest.next()) {
            match word.trim() {
                "at" => json["now"] = json!(value),
                "by" => (json["actor"], json["authenticated"]) = (json!(value), json!(true)),
                "declared by" => json["actor"] = json!(value),
                other => wrong(other),
            }
        }
        Some(Self { line: line.to_owned(), json, answer: answer.to_owned() })
    }
}

/// What `aegis simulate` answers to the cases.
fn answers(layers: &[Block], cases: &[Case]) -> Vec<Value> {
    let files: Vec<_> = layers.iter().map(policy_file).collect();
    let mut command = Command::new(AEGIS);
    command.arg("simulate").arg(files[0].path());
    for layer in &files[1..] {
        command.arg("--layer").arg(layer.path());
    }
    command.args(["--cases", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for case in cases {
        writeln!(stdin, "{}", case.json).unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}: {}", layers[0], stderr(&output));
    stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
