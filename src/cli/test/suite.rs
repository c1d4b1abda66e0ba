//! A suite: which policy, which actors and actions, and what is expected.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::cli::failure::Failure;
use crate::cli::{policy_files, times};
use crate::domain::{Action, Outcome, RiskLevel, Timestamp};
use crate::policy::{Diagnostic, LoadErrors, Step, StrictYaml};

/// How many cases one suite may have: a matrix multiplies.
const MAX_CASES: usize = 100_000;

/// A suite that was read.
pub(super) struct Suite {
    pub(super) file: String,
    /// The layers of the policy, lowest first.
    pub(super) layers: Vec<PathBuf>,
    /// Whether every test has a clock.
    pub(super) has_clock: bool,
    pub(super) cases: Vec<Case>,
}

/// One question and what is expected of the answer.
pub(super) struct Case {
    /// The name of the test.
    pub(super) name: String,
    /// The names of the actor and of the action, as far as the suite gives them.
    pub(super) actor_name: String,
    pub(super) action_name: String,
    pub(super) actor: Actor,
    pub(super) action: Action,
    pub(super) now: Timestamp,
    pub(super) expected: Expected,
}

/// Who proposes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Actor {
    #[serde(default)]
    pub(super) id: String,
    #[serde(default)]
    pub(super) authenticated: bool,
}

/// What the answer must be. What is left out may be anything, but for the outcome.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expected {
    pub(super) outcome: Outcome,
    pub(super) rule: Option<String>,
    pub(super) risk_level: Option<RiskLevel>,
}

/// What is not named must not run.
const UNNAMED: Expected = Expected { outcome: Outcome::Deny, rule: None, risk_level: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a suite: a mapping with `policy` and `tests`")]
struct File {
    policy: OneOrMany,
    #[serde(default)]
    now: Option<String>,
    #[serde(default)]
    actors: BTreeMap<String, Actor>,
    #[serde(default)]
    actions: BTreeMap<String, FileAction>,
    tests: Vec<FileTest>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "the name of a file, or a list of such names")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAction {
    r#type: String,
    #[serde(default)]
    target: String,
    #[serde(default)]
    params: Map<String, Value>,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileTest {
    name: String,
    #[serde(default)]
    now: Option<String>,
    #[serde(default)]
    actor: Option<Named<Actor>>,
    #[serde(default)]
    actors: Option<Vec<String>>,
    #[serde(default)]
    action: Option<Named<FileAction>>,
    #[serde(default)]
    actions: Option<Vec<String>>,
    #[serde(default)]
    expect: Option<Value>,
}

/// The name of something in the suite, or the thing itself.
#[derive(Clone, Deserialize)]
#[serde(untagged, expecting = "a name of this suite, or a mapping with the known keys")]
enum Named<T> {
    Name(String),
    Inline(T),
}

/// Reads a suite.
pub(super) fn read(path: &Path) -> Result<Suite, Failure> {
    let source = policy_files::read([&path.to_path_buf()])?.remove(0);
    parse(&source.name, &source.text, path.parent().unwrap_or(Path::new(""))).map_err(|errors| {
        let message = errors.to_string();
        Failure::new(format!("the suite cannot be read:\n{message}"))
    })
}

/// Reads the text of a suite. Layers are beside it, in `directory`.
fn parse(file: &str, text: &str, directory: &Path) -> Result<Suite, LoadErrors> {
    let yaml = StrictYaml::parse(file, text)?;
    let content: File = yaml.read()?;
    let layers = match &content.policy {
        OneOrMany::One(name) => vec![directory.join(name)],
        OneOrMany::Many(names) => names.iter().map(|name| directory.join(name)).collect(),
    };
    let mut reader = Reader { yaml: &yaml, file: &content, wrong: Vec::new(), cases: Vec::new() };
    if layers.is_empty() {
        reader.wrong(&[Step::Key("policy")], "must name at least one file".to_owned());
    }
    let clock = reader.moment(content.now.as_deref(), &[Step::Key("now")]);
    let has_clock = clock.is_some() || content.tests.iter().all(|test| test.now.is_some());
    for (i, test) in content.tests.iter().enumerate() {
        reader.test(i, test, clock.unwrap_or(Timestamp::UNIX_EPOCH));
    }
    let Reader { wrong, cases, .. } = reader;
    if wrong.is_empty() {
        Ok(Suite { file: file.to_owned(), layers, has_clock, cases })
    } else {
        Err(LoadErrors::new(wrong))
    }
}

/// Makes cases of tests, and collects what is wrong.
struct Reader<'a> {
    yaml: &'a StrictYaml,
    file: &'a File,
    wrong: Vec<Diagnostic>,
    cases: Vec<Case>,
}

impl Reader<'_> {
    fn wrong(&mut self, steps: &[Step<'_>], message: String) {
        self.wrong.push(self.yaml.finding(steps, message));
    }

    fn moment(&mut self, text: Option<&str>, steps: &[Step<'_>]) -> Option<Timestamp> {
        match times::point(text?) {
            Ok(moment) => Some(moment),
            Err(wrong) => {
                self.wrong(steps, wrong);
                None
            }
        }
    }

    fn test(&mut self, i: usize, test: &FileTest, clock: Timestamp) {
        let at = [Step::Key("tests"), Step::Item(i)];
        let here = |key| [at[0], at[1], Step::Key(key)];
        let now = self.moment(test.now.as_deref(), &here("now")).unwrap_or(clock);
        let actors = self.actors(test, here("actor"), here("actors"));
        let actions = self.actions(test, &at, here("action"), here("actions"));
        if self.cases.len() + actors.len() * actions.len() > MAX_CASES {
            return self.wrong(&at, format!("the suite has more than {MAX_CASES} cases"));
        }
        let expect = here("expect");
        // A list of actors, and then a list of actions, is a level of the expectation each.
        let mut levels = Vec::new();
        if test.actors.is_some() {
            levels.push(("actor", actors.iter().map(|(name, _)| name.as_str()).collect()));
        }
        if test.actions.is_some() {
            levels.push(("action", actions.iter().map(|(name, _)| name.as_str()).collect()));
        }
        if let Some(value) = &test.expect {
            self.check_expectation(value, &levels, &mut expect.to_vec());
        }
        for (actor_name, actor) in &actors {
            for (action_name, action) in &actions {
                let mut value = test.expect.as_ref();
                if test.actors.is_some() {
                    value = value.and_then(|value| value.get(actor_name));
                }
                if test.actions.is_some() {
                    value = value.and_then(|value| value.get(action_name));
                }
                self.cases.push(Case {
                    name: test.name.clone(),
                    actor_name: actor_name.clone(),
                    action_name: action_name.clone(),
                    actor: actor.clone(),
                    action: action.clone(),
                    now,
                    // What is wrong was reported above.
                    expected: value.and_then(|value| expected(value).ok()).unwrap_or(UNNAMED),
                });
            }
        }
    }

    fn actors(&mut self, test: &FileTest, one: [Step<'_>; 3], many: [Step<'_>; 3]) -> Vec<(String, Actor)> {
        let known = &self.file.actors;
        match (&test.actor, &test.actors) {
            (Some(_), Some(_)) => {
                self.wrong(&many, "give `actor` or `actors`, not both".to_owned());
                Vec::new()
            }
            (None, None) => vec![(String::new(), Actor::default())],
            (Some(Named::Inline(actor)), None) => vec![(actor.id.clone(), actor.clone())],
            (Some(Named::Name(name)), None) => self.named("actor", known, std::slice::from_ref(name), &one, false),
            (None, Some(names)) => self.named("actor", known, names, &many, true),
        }
    }

    fn actions(
        &mut self,
        test: &FileTest,
        at: &[Step<'_>],
        one: [Step<'_>; 3],
        many: [Step<'_>; 3],
    ) -> Vec<(String, Action)> {
        let known = &self.file.actions;
        let found = match (&test.action, &test.actions) {
            (Some(_), Some(_)) => {
                self.wrong(&many, "give `action` or `actions`, not both".to_owned());
                Vec::new()
            }
            (None, None) => {
                self.wrong(at, "needs an `action`, or a list of `actions`".to_owned());
                Vec::new()
            }
            (Some(Named::Inline(action)), None) => {
                vec![(format!("{}:{}", action.r#type, action.target), action.clone())]
            }
            (Some(Named::Name(name)), None) => self.named("action", known, std::slice::from_ref(name), &one, false),
            (None, Some(names)) => self.named("action", known, names, &many, true),
        };
        let action =
            |FileAction { r#type, target, params, description }| Action { r#type, target, params, description };
        found.into_iter().map(|(name, found)| (name, action(found))).collect()
    }

    /// The actors or actions with these names.
    fn named<T: Clone>(
        &mut self,
        what: &str,
        known: &BTreeMap<String, T>,
        names: &[String],
        steps: &[Step<'_>],
        is_list: bool,
    ) -> Vec<(String, T)> {
        let mut found = Vec::new();
        if names.is_empty() {
            self.wrong(steps, format!("must name at least one {what}"));
        }
        for (i, name) in names.iter().enumerate() {
            let mut steps = steps.to_vec();
            if is_list {
                steps.push(Step::Item(i));
            }
            match known.get(name) {
                Some(one) if names[..i].contains(name) => {
                    let _ = one;
                    self.wrong(&steps, format!("the {what} `{name}` is given twice"));
                }
                Some(one) => found.push((name.clone(), one.clone())),
                None => {
                    let there: Vec<&str> = known.keys().map(String::as_str).collect();
                    self.wrong(
                        &steps,
                        format!("there is no {what} `{name}` under `{what}s`: there are {}", list(&there)),
                    );
                }
            }
        }
        found
    }

    /// Reports what is wrong with an expectation. `levels` are the lists that it has a level for.
    fn check_expectation<'v>(&mut self, value: &'v Value, levels: &[(&str, Vec<&str>)], steps: &mut Vec<Step<'v>>) {
        let Some(((what, names), below)) = levels.split_first() else {
            if let Err((key, wrong)) = expected(value) {
                steps.extend(key.map(Step::Key));
                self.wrong(steps, wrong);
                steps.truncate(steps.len() - usize::from(key.is_some()));
            }
            return;
        };
        let Value::Object(map) = value else {
            return self.wrong(steps, format!("must be a mapping from the names of `{what}s` to what is expected"));
        };
        for (name, value) in map {
            steps.push(Step::Key(name));
            if names.contains(&name.as_str()) {
                self.check_expectation(value, below, steps);
            } else {
                self.wrong(steps, format!("`{name}` is none of the `{what}s` of this test: they are {}", list(names)));
            }
            steps.pop();
        }
    }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// An expectation: an outcome, or a mapping with more. The error has the key that is wrong.
fn expected(value: &Value) -> Result<Expected, (Option<&'static str>, String)> {
    match value {
        Value::String(word) => Ok(Expected { outcome: outcome(word).map_err(|wrong| (None, wrong))?, ..UNNAMED }),
        Value::Object(map) => {
            let mut expected = UNNAMED;
            for (key, value) in map {
                let text = value.as_str().unwrap_or_default();
                match key.as_str() {
                    "outcome" => {
                        expected.outcome = outcome(text).map_err(|wrong| (Some("outcome"), wrong))?;
                    }
                    "rule" if value.is_string() => expected.rule = Some(text.to_owned()),
                    "risk_level" => {
                        let level = text.to_lowercase().parse();
                        let wrong = || (Some("risk_level"), "must be low, medium, high or critical".to_owned());
                        expected.risk_level = Some(level.map_err(|_| wrong())?);
                    }
                    "rule" => return Err((Some("rule"), "must be the name of a rule".to_owned())),
                    other => {
                        return Err((None, format!("unknown key `{other}`: there are outcome, rule, risk_level")));
                    }
                }
            }
            if !map.contains_key("outcome") {
                return Err((None, "has no `outcome`".to_owned()));
            }
            Ok(expected)
        }
        _ => Err((None, "must be an outcome, or a mapping with `outcome`, `rule` and `risk_level`".to_owned())),
    }
}

fn outcome(word: &str) -> Result<Outcome, String> {
    const ALL: [Outcome; 4] = [Outcome::Allow, Outcome::Deny, Outcome::Escalate, Outcome::RequireConfirmation];
    // What a policy calls it.
    const APPROVALS: [(&str, Outcome); 4] = [
        ("auto", Outcome::Allow),
        ("block", Outcome::Deny),
        ("approve", Outcome::Escalate),
        ("confirm", Outcome::RequireConfirmation),
    ];
    let known = ALL.into_iter().find(|outcome| outcome.as_str() == word);
    known.ok_or_else(|| {
        let meant = APPROVALS.into_iter().find(|(approval, _)| *approval == word).map(|(_, outcome)| outcome);
        let meant = meant.or_else(|| ALL.into_iter().find(|outcome| outcome.as_str().eq_ignore_ascii_case(word)));
        match meant {
            Some(meant) => format!("unknown outcome `{word}`, did you mean `{}`?", meant.as_str()),
            None => format!("unknown outcome `{word}`: there are {}", ALL.map(Outcome::as_str).join(", ")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUITE: &str = "
policy: [base.yaml, production.yaml]
now: 2026-11-27T10:00:00Z
actors:
  ci: { id: ci-1, authenticated: true }
  eve: { id: eve }
actions:
  read: { type: read_contact, target: crm }
  wipe: { type: delete_all, target: crm, params: { confirm: true } }
tests:
  - { name: one, action: read, expect: { outcome: ALLOW, rule: reads, risk_level: low } }
  - { name: unnamed, actor: ci, action: { type: write } }
  - name: matrix
    actors: [ci, eve]
    actions: [read, wipe]
    now: 2026-11-28T10:00:00Z
    expect:
      ci: { read: ALLOW, wipe: ESCALATE }
";

    fn parse(text: &str) -> Result<Suite, String> {
        super::parse("s.yaml", text, Path::new("dir")).map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_matrix_has_a_case_for_each_pair_and_what_is_not_named_is_denied() {
        let suite = parse(SUITE).unwrap();
        assert_eq!(suite.layers, [Path::new("dir/base.yaml"), Path::new("dir/production.yaml")]);
        let cases: Vec<String> = suite
            .cases
            .iter()
            .map(|case| {
                format!("{} {} {} {}", case.name, case.actor_name, case.action_name, case.expected.outcome.as_str())
            })
            .collect();
        assert_eq!(
            cases,
            [
                "one  read ALLOW",
                "unnamed ci write: DENY",
                "matrix ci read ALLOW",
                "matrix ci wipe ESCALATE",
                "matrix eve read DENY",
                "matrix eve wipe DENY",
            ]
        );
        assert_eq!(suite.cases[0].expected.rule.as_deref(), Some("reads"));
        assert!(suite.has_clock && suite.cases[5].now > suite.cases[0].now);
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        let with = |test: &str| SUITE.replace("  - { name: unnamed, actor: ci, action: { type: write } }", test);
        for (test, says) in [
            ("  - { name: x }", "s.yaml:12:5: tests[1]: needs an `action`, or a list of `actions`"),
            (
                "  - { name: x, action: reed }",
                "tests[1].action: there is no action `reed` under `actions`: there are read, wipe",
            ),
            (
                "  - { name: x, action: read, expect: auto }",
                "tests[1].expect: unknown outcome `auto`, did you mean `ALLOW`?",
            ),
            ("  - { name: x, action: read, expect: { outcom: ALLOW } }", "tests[1].expect: unknown key `outcom`"),
            (
                "  - { name: x, action: read, expect: { outcome: NO } }",
                "tests[1].expect.outcome: unknown outcome `NO`: there are",
            ),
            (
                "  - { name: x, actions: [read], expect: ALLOW }",
                "tests[1].expect: must be a mapping from the names of `actions`",
            ),
            (
                "  - { name: x, actions: [read], expect: { wipe: ALLOW } }",
                "tests[1].expect.wipe: `wipe` is none of the `actions`",
            ),
            ("  - { name: x, actions: [read, read] }", "tests[1].actions[1]: the action `read` is given twice"),
            (
                "  - { name: x, action: read, actions: [read] }",
                "tests[1].actions: give `action` or `actions`, not both",
            ),
            ("  - { name: x, action: read, now: noon }", "tests[1].now: `noon` is not a moment"),
            ("  - { name: x, actoin: read }", "tests[1].actoin: unknown field `actoin`"),
        ] {
            let said = parse(&with(test)).err().unwrap_or_default();
            assert!(said.contains(says), "{test}\n  says {said}");
        }
        assert!(parse("tests: []").is_err_and(|said| said.contains("missing field `policy`")));
    }
}
