//! A policy in force: its layers are read, merged, compiled and indexed together, or not at all.

use std::collections::HashSet;

use serde_json::Value;

use super::canonical;
use super::code::Code;
use super::diagnostic::{Diagnostic, LoadErrors, Path, Pos, Report};
use super::index::Index;
use super::limit::Limit;
use super::lint;
use super::pattern::Pattern;
use super::question::{Asked, Question};
use super::read::{self, Document, MAX_LIMITS, MAX_RULES, Patterns, Reader};
use super::rule::{Fit, Rule};
use super::scoped::Scoped;
use super::secrets::Secrets;
use super::sets::Sets;
use super::verdict::Verdict;
use super::yaml;
use crate::domain::{Approval, Digest, ParamPath, RiskLevel, canonical_json};

/// The policy that `aegis init` writes, as a text to learn from.
pub const STARTER: &str = include_str!("starter.yaml");

/// The policy that `aegis init --for coding-agent` writes.
pub const CODING_AGENT: &str = include_str!("coding_agent.yaml");

/// How many layers a policy may have, wherever they come from.
pub const MAX_LAYERS: usize = 64;

/// How many bytes its layers may have together.
const MAX_BYTES: usize = 4 * yaml::MAX_BYTES;

/// One layer of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What messages call it, typically a path.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A compiled policy. It never changes; a newly loaded one replaces it.
#[derive(Debug)]
pub struct Policy {
    layers: Vec<Source>,
    defaults: (RiskLevel, Approval),
    rules: Vec<Rule>,
    limits: Vec<Scoped>,
    /// Whether it has any limit, of a rule or beside them.
    has_limits: bool,
    redact: Vec<ParamPath>,
    secrets: Secrets,
    index: Index,
    merged: Value,
    revision: Digest,
    warnings: Vec<Diagnostic>,
}

impl Policy {
    /// Reads, merges and compiles layers. A later layer wins: its rules are tried first, a named rule replaces the
    /// rule of that name in an earlier layer, and its defaults override key by key. Every error in every layer is
    /// reported, not only the first.
    pub fn load(layers: &[Source]) -> Result<Self, LoadErrors> {
        let mut report = Report::default();
        let documents = if check_size(layers, &mut report) { read_layers(layers, &mut report) } else { Vec::new() };
        let Merged { defaults, rules, limits, redact, secrets } = merge(documents, layers, &mut report);
        check_rules(layers, &rules, &mut report);
        check_limits(layers, &limits, &mut report);
        let warnings = report.finish()?;
        let merged = canonical::policy(defaults, &rules, &limits, &redact, &secrets);
        let revision = revision(&merged)?;
        let index = Index::new(rules.iter().map(|rule| (&rule.type_pattern, &rule.target_pattern)));
        let layers = layers.to_vec();
        let has_limits = !limits.is_empty() || rules.iter().any(|rule| rule.limit.is_some());
        Ok(Self { layers, defaults, rules, limits, has_limits, redact, secrets, index, merged, revision, warnings })
    }

    /// The policy that `aegis init` writes.
    pub fn starter() -> Self {
        Self::load(&[Source { name: "starter.yaml".to_owned(), text: STARTER.to_owned() }])
            .expect("the starter policy is a part of the program, and a test loads it")
    }

    /// Names the merged policy: SHA-256 of its RFC 8785 JSON.
    pub fn revision(&self) -> Digest {
        self.revision
    }

    /// The layers that it was loaded from, unchanged.
    pub fn layers(&self) -> &[Source] {
        &self.layers
    }

    /// The merged policy as JSON in its normal form. The revision is its hash.
    pub fn merged(&self) -> &Value {
        &self.merged
    }

    /// What is legal but probably not meant.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// The rules in the order in which they are tried.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The limits beside those of the rules.
    pub fn limits(&self) -> &[Scoped] {
        &self.limits
    }

    /// Whether it has any limit.
    pub fn has_limits(&self) -> bool {
        self.has_limits
    }

    /// The first limit of this name.
    pub fn limit(&self, name: &str) -> Option<&Limit> {
        let of_rules = self.rules.iter().filter_map(|rule| rule.limit.as_ref());
        let all = self.limits.iter().map(|scoped| &scoped.limit).chain(of_rules);
        all.map(|limit| &**limit).find(|limit| limit.name == name)
    }

    /// The risk and approval of an action that no rule matches.
    pub fn defaults(&self) -> (RiskLevel, Approval) {
        self.defaults
    }

    /// The parameters that are masked, whichever rule decides.
    pub fn redact(&self) -> &[ParamPath] {
        &self.redact
    }

    /// The other values to mask: those with the name of a secret, and those that look like one.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Decides by the strictest of these: the first rule that certainly matches (or the defaults), and every earlier
    /// rule that may match.
    pub fn evaluate<'p>(&'p self, question: &Question<'_>) -> Verdict<'p> {
        let asked = Asked::new(question);
        let mut unknown = Vec::new();
        let certain = self.index.find(&asked.kind, &asked.target, |at| {
            let rule = self.rules.get(at)?;
            match rule.fits(&asked) {
                Fit::No => None,
                Fit::Yes => Some(rule),
                Fit::Unknown(doubt) => {
                    unknown.push((rule, doubt));
                    None
                }
            }
        });
        let verdict = Verdict::strictest(certain, &unknown, self.defaults, &self.redact);
        // A rule in doubt may be the one that matches, so its limit counts too.
        let of_doubt = unknown.iter().filter_map(|(rule, _)| rule.limit.as_ref());
        let beside = self.limits.iter().filter(|scoped| scoped.is_about(&asked)).map(|scoped| &scoped.limit);
        verdict.under(of_doubt.chain(beside), question)
    }
}

/// Checks that there is a layer, and that the layers are few and small enough to be read.
fn check_size(layers: &[Source], report: &mut Report) -> bool {
    let bytes = layers.iter().fold(0_usize, |sum, layer| sum.saturating_add(layer.text.len()));
    let message = match layers.len() {
        0 => "there is no layer: a policy has at least one file".to_owned(),
        count if count > MAX_LAYERS => format!("there are {count} layers, a policy may have {MAX_LAYERS}"),
        // The reader refuses a single file that is too large, and names it.
        2.. if bytes > MAX_BYTES => format!("the layers together have {bytes} bytes, a policy may have {MAX_BYTES}"),
        _ => return true,
    };
    report.error(last_name(layers), Pos::default(), &Path::Root, Code::TooLarge, message);
    false
}

fn last_name(layers: &[Source]) -> &str {
    layers.last().map_or("policy", |layer| &layer.name)
}

fn read_layers(layers: &[Source], report: &mut Report) -> Vec<Document> {
    let mut patterns = Patterns::default();
    // The rules of a layer use the sets of every layer, so those are read first. Each layer has a report of its own
    // meanwhile, because findings are in the order of the files.
    let mut sets = Sets::default();
    let mut parsed = Vec::with_capacity(layers.len());
    for Source { name, text } in layers {
        let mut own = Report::default();
        let root = yaml::parse(name, text, &mut own);
        if let Some(root) = &root {
            let mut reader = Reader { file: name, report: &mut own, patterns: &mut patterns, sets: &Sets::default() };
            read::sets(&mut reader, root, &mut sets);
        }
        parsed.push((name, root, own));
    }
    let mut documents = Vec::with_capacity(layers.len());
    for (name, root, mut own) in parsed {
        if let Some(root) = root {
            let mut reader = Reader { file: name, report: &mut own, patterns: &mut patterns, sets: &sets };
            documents.push(read::document(&mut reader, &root));
        }
        report.append(own);
    }
    documents
}

/// The layers merged into one.
struct Merged {
    defaults: (RiskLevel, Approval),
    rules: Vec<Rule>,
    limits: Vec<Scoped>,
    redact: Vec<ParamPath>,
    secrets: Secrets,
}

/// Merges the layers, the last one first.
fn merge(documents: Vec<Document>, layers: &[Source], report: &mut Report) -> Merged {
    let (mut risk_level, mut approval, mut rules, mut redact) = (None, None, Vec::new(), Vec::new());
    let mut limits: Vec<Scoped> = Vec::new();
    let (mut usual_secrets, mut names, mut patterns) = (None, Vec::new(), Vec::new());
    let mut replaced: HashSet<String> = HashSet::new();
    for document in documents.into_iter().rev() {
        risk_level = risk_level.or(document.risk_level);
        approval = approval.or(document.approval);
        redact.extend(document.redact);
        usual_secrets = usual_secrets.or(document.secrets.defaults);
        names.extend(document.secrets.names);
        patterns.extend(document.secrets.patterns);
        // Like rules, the last file's stand first and replace those of their names.
        for scoped in document.limits {
            if !limits.iter().any(|later| later.limit.name == scoped.limit.name) {
                limits.push(scoped);
            }
        }
        let mut rule_names = Vec::new();
        for rule in document.rules {
            if rule.is_named && replaced.contains(&rule.name) {
                continue;
            }
            if rule.is_named {
                rule_names.push(rule.name.clone());
            }
            rules.push(rule);
        }
        replaced.extend(rule_names);
    }
    redact.sort_unstable();
    redact.dedup();
    // Their order means nothing, so it must not change the revision.
    names.sort_unstable();
    names.dedup();
    patterns.sort_unstable_by(|one: &Pattern, other| one.as_str().cmp(other.as_str()));
    patterns.dedup();
    let secrets = Secrets::new(usual_secrets.unwrap_or(true), &names, patterns).unwrap_or_else(|why| {
        // Each file's names compiled when it was read, so only all of them together can be too large.
        let message = format!("the names of secrets are too many together: {why}");
        report.error(
            last_name(layers),
            Pos { line: 1, column: 1 },
            &Path::Root.key("secrets"),
            Code::TooLarge,
            message,
        );
        Secrets::default()
    });
    Merged {
        defaults: (risk_level.unwrap_or(RiskLevel::Medium), approval.unwrap_or(Approval::Approve)),
        rules,
        limits,
        redact,
        secrets,
    }
}

/// Checks the rules as a whole: too many, none at all, or some that are probably not meant.
fn check_rules(layers: &[Source], rules: &[Rule], report: &mut Report) {
    let start = Pos { line: 1, column: 1 };
    if rules.len() > MAX_RULES {
        let message = format!("the layers together have {} rules, a policy may have {MAX_RULES}", rules.len());
        report.error(last_name(layers), start, &Path::Root, Code::TooLarge, message);
    }
    if rules.is_empty() {
        report.warn(
            last_name(layers),
            start,
            &Path::Root,
            Code::NoRules,
            "there are no rules: every action gets the defaults",
        );
    }
    // Rules that are refused anyway need no warnings.
    if report.error_count() == 0 {
        lint::check(rules, report);
    }
}

/// Checks that the limits of all layers together are few.
fn check_limits(layers: &[Source], limits: &[Scoped], report: &mut Report) {
    if limits.len() > MAX_LIMITS {
        let message = format!("the layers together have {} limits, a policy may have {MAX_LIMITS}", limits.len());
        let start = Pos { line: 1, column: 1 };
        report.error(last_name(layers), start, &Path::Root.key("limits"), Code::TooLarge, message);
    }
}

/// Numbers are checked while they are read, so a canonical form always exists.
fn revision(merged: &Value) -> Result<Digest, LoadErrors> {
    let bytes =
        canonical_json(merged).map_err(|error| LoadErrors::general("policy", Code::InvalidValue, error.to_string()))?;
    Ok(Digest::of(&bytes))
}
