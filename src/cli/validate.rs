//! `aegis validate`: checks a policy file and lists its rules.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::exit::Exit;
use super::failure::Failure;
use super::object::Object;
use super::out::{Format, Out};
use super::policy_files;
use crate::domain::visible;
use crate::policy::{Diagnostic, LoadErrors, Policy, Rule};

const EXAMPLES: &str = "\
Examples:
  aegis validate policy.yaml
  aegis validate base.yaml production.yaml
  generate-policy | aegis validate -
  aegis validate policy.yaml --format json | jq '.errors[].message'

Every mistake is printed to stderr as FILE:LINE:COLUMN, not only the first. The exit code is 0 if the policy is \
valid, else 1.";

/// Check a policy without a daemon
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Check these files as layers, lowest first; `-` is stdin
    #[arg(value_name = "POLICY", required = true)]
    policy: Vec<PathBuf>,

    /// Add another file on top, as `simulate` takes it. May be given several times
    #[arg(long, value_name = "FILE")]
    layer: Vec<PathBuf>,

    /// Print the result in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let loaded = Policy::load(&policy_files::read(args.policy.iter().chain(&args.layer))?);
    let mut out = Out::stdout();
    let exit = match (args.format, &loaded) {
        (Format::Json, _) => {
            out.json(&json(loaded.as_ref()))?;
            if loaded.is_ok() { Exit::Done } else { Exit::Failed }
        }
        (Format::Table, Ok(policy)) => {
            policy_files::warn(policy.warnings());
            out.text(text(policy))?;
            Exit::Done
        }
        (Format::Table, Err(errors)) => return Err(policy_files::invalid(errors)),
    };
    out.flush()?;
    Ok(exit)
}

fn text(policy: &Policy) -> String {
    let rules = policy.rules().iter().map(|rule| {
        let path = rule.target_path_pattern.as_ref().map(|path| format!(" (path {})", visible(path.as_str())));
        format!(
            "  - {}: {}@{}{} -> {}/{}\n",
            visible(&rule.name),
            visible(rule.type_pattern.as_str()),
            visible(rule.target_pattern.as_str()),
            path.unwrap_or_default(),
            rule.risk_level.as_upper(),
            rule.approval
        )
    });
    format!("Policy valid: {} rule(s) loaded.\n{}", policy.rules().len(), rules.collect::<String>())
}

fn json(loaded: Result<&Policy, &LoadErrors>) -> Object {
    let findings = |findings: &[Diagnostic]| -> Vec<Value> { findings.iter().map(finding).collect() };
    let rules = loaded.map_or(&[][..], Policy::rules);
    let (errors, warnings) = match loaded {
        Ok(policy) => (Vec::new(), findings(policy.warnings())),
        Err(errors) => (findings(errors.diagnostics()), Vec::new()),
    };
    Object::default()
        .with("valid", loaded.is_ok())
        .with("revision", loaded.ok().map(|policy| policy.revision().to_string()))
        .with("rules", rules.iter().map(rule).collect::<Vec<_>>())
        .with("errors", errors)
        .with("warnings", warnings)
}

fn rule(rule: &Rule) -> Value {
    json!({
        "name": rule.name,
        "type": rule.type_pattern.to_json(),
        "target": rule.target_pattern.to_json(),
        "target_path": rule.target_path_pattern.as_ref().map(|globs| globs.to_json()),
        "risk_level": rule.risk_level.as_upper(),
        "approval": rule.approval,
        "file": rule.position.file,
        "line": rule.position.line,
    })
}

fn finding(finding: &Diagnostic) -> Value {
    json!({
        "file": finding.file,
        "line": finding.line,
        "column": finding.column,
        "path": finding.path,
        "message": finding.message,
        "code": finding.code,
    })
}
