//! `aegis lint`: says what in a policy is legal but may not be meant.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;

use super::exit::Exit;
use super::failure::Failure;
use super::object::Object;
use super::out::{Format, Out};
use super::{paint, policy_files};
use crate::domain::visible;
use crate::policy::{Diagnostic, Policy, advise, fix};

const EXAMPLES: &str = "\
Examples:
  aegis lint policy.yaml
  aegis lint base.yaml production.yaml
  aegis lint policy.yaml --format json | jq -r '.findings[].code'

It prints the warnings of `aegis validate`, and what takes longer to find or is a matter of judgement. The exit code \
is 0 if there is nothing, 3 if there is a finding, and 1 if the policy is not valid.";

/// Find what in a policy is legal but may not be meant
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Check these files as layers, lowest first; `-` is stdin
    #[arg(value_name = "POLICY", required = true)]
    policy: Vec<PathBuf>,

    /// Leave out the findings with this code. May be given several times
    #[arg(long, value_name = "CODE")]
    allow: Vec<String>,

    /// Print the findings in this format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let policy = Policy::load(&policy_files::read(&args.policy)?).map_err(|errors| policy_files::invalid(&errors))?;
    let advice = advise(&policy);
    let all = policy.warnings().iter().chain(&advice);
    let mut findings: Vec<&Diagnostic> =
        all.filter(|finding| !args.allow.iter().any(|code| code == finding.code.as_str())).collect();
    findings.sort_by(|one, other| (&one.file, one.line, one.column).cmp(&(&other.file, other.line, other.column)));
    let mut out = Out::stdout();
    match args.format {
        Format::Table => out.text(text(&findings))?,
        Format::Json => {
            let findings: Vec<Value> = findings.iter().copied().map(json).collect();
            out.json(&Object::default().with("findings", findings))?;
        }
    }
    out.flush()?;
    Ok(if findings.is_empty() { Exit::Done } else { Exit::Denied })
}

fn text(findings: &[&Diagnostic]) -> String {
    let mut text = String::new();
    for finding in findings {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "{}", visible(&finding.to_string()));
        if let Some(fix) = fix(finding.code) {
            let _ = writeln!(text, "  {}fix:{:#} {fix}", paint::HEADING, paint::HEADING);
        }
    }
    let count = findings.len();
    text + &format!("{count} finding{}\n", if count == 1 { "" } else { "s" })
}

fn json(finding: &Diagnostic) -> Value {
    let object = Object::default()
        .with("code", finding.code.as_str())
        .with("file", finding.file.as_str())
        .with("line", finding.line)
        .with("column", finding.column)
        .with("path", finding.path.as_str())
        .with("reason", finding.message.as_str())
        .with("fix", fix(finding.code));
    serde_json::to_value(object).unwrap_or_default()
}
