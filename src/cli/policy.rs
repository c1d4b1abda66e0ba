//! `aegis policy`: shows and changes the policy that a daemon has in force.

mod plan;
mod replay;

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::connect::{self, Door, Remote, RemoteArgs};
use super::exit::Exit;
use super::failure::Failure;
use super::object::Object;
use super::out::{Format, Out};
use super::{say, wire};
use crate::domain::visible;
use crate::proto::v1::update_policy_request::Source;
use crate::proto::v1::{GetPolicyRequest, Policy, PolicyFinding, PolicyLayer, PolicyLayers, UpdatePolicyRequest};

const EXAMPLES: &str = "\
Examples:
  aegis policy show > policy.yaml
  aegis policy show --format json | jq -r .revision
  aegis policy update policy.yaml --expected-revision \"$(aegis policy show --format json | jq -r .revision)\"
  aegis policy update policy.yaml --comment \"allow the nightly export\" --dry-run
  aegis policy update --revision 3f9a2c41
  aegis policy plan candidate.yaml --since 7d

`aegis validate` and `aegis simulate` check a policy file without a daemon.";

/// Show or change the policy that the daemon has in force
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    Show(ShowArgs),
    Update(UpdateArgs),
    Plan(plan::Args),
}

/// Show the policy in force, or an earlier revision
#[derive(Clone, Debug, clap::Args)]
struct ShowArgs {
    /// Show this revision, which may be shortened to its first digits [default: the one in force]
    #[arg(long, value_name = "HEX", default_value = "", hide_default_value = true)]
    revision: String,

    /// Print the policy in this format
    #[arg(long, value_enum, default_value = "yaml")]
    format: PolicyFormat,

    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum PolicyFormat {
    /// The text of the files
    Yaml,
    /// Revision, files and the merged policy
    Json,
}

/// Put a new policy in force
///
/// The daemon checks the policy, then writes it to its policy file. An invalid policy changes nothing.
#[derive(Clone, Debug, clap::Args)]
struct UpdateArgs {
    /// Put this policy file in force
    #[arg(required_unless_present = "revision", conflicts_with = "revision")]
    file: Option<PathBuf>,

    /// Put this earlier revision in force again. It may be shortened to its first digits
    #[arg(long, value_name = "HEX")]
    revision: Option<String>,

    /// Say why, on the record and in `aegis policy show`
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    comment: String,

    /// Check everything and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Update only if this revision is still in force, so that two admins do not overwrite each other
    #[arg(long, value_name = "HEX", default_value = "", hide_default_value = true)]
    expected_revision: String,

    /// Print the answer in this format; JSON has the whole policy
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut out = Out::stdout();
    match &args.command {
        Command::Plan(args) => return plan::run(args),
        Command::Show(args) => {
            let policy = connect::block_on(get(args))??;
            match args.format {
                PolicyFormat::Json => out.json(&json(&policy))?,
                PolicyFormat::Yaml => {
                    say::note(summary(&policy));
                    let text = yaml(&policy, out.is_terminal());
                    out.data(text)?;
                }
            }
        }
        Command::Update(args) => {
            let policy = connect::block_on(update(args))??;
            policy.warnings.iter().for_each(|finding| say::warning(place(finding)));
            let done = if args.dry_run { "Policy is valid, and nothing is changed" } else { "Policy updated" };
            match args.format {
                Format::Table => out.line(format_args!("{done}: {}", summary(&policy)))?,
                Format::Json => out.json(&json(&policy))?,
            }
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}

async fn get(args: &ShowArgs) -> Result<Policy, Failure> {
    let mut client = Remote::open(Door::Person, &args.remote).await?.policy();
    let request = GetPolicyRequest { revision: args.revision.clone() };
    Ok(client.get_policy(connect::call(request)).await?.into_inner().policy.unwrap_or_default())
}

async fn update(args: &UpdateArgs) -> Result<Policy, Failure> {
    let source = match (&args.file, &args.revision) {
        (Some(file), _) => {
            let yaml = fs::read_to_string(file).map_err(|error| Failure::file("read", file, &error))?;
            Some(Source::Layers(PolicyLayers { layers: vec![PolicyLayer { name: String::new(), yaml }] }))
        }
        (None, revision) => revision.clone().map(Source::Revision),
    };
    let mut client = Remote::open(Door::Person, &args.remote).await?.policy();
    let request = UpdatePolicyRequest {
        source,
        expected_revision: args.expected_revision.clone(),
        comment: args.comment.clone(),
        validate_only: args.dry_run,
        request_id: String::new(),
    };
    Ok(client.update_policy(connect::call(request)).await?.into_inner().policy.unwrap_or_default())
}

fn summary(policy: &Policy) -> String {
    let since = wire::moment(policy.loaded_at.as_ref()).map_or_else(String::new, |at| format!(", in force since {at}"));
    format!("revision {}, {} rule(s){since}", visible(&policy.revision), policy.rule_count)
}

/// The text of the files: one as it is, several with a comment above each.
fn yaml(policy: &Policy, on_terminal: bool) -> String {
    let layers = policy.layers.len();
    let layer = |(i, layer): (usize, &PolicyLayer)| {
        let name = visible(&layer.name);
        let heading = if layers > 1 { format!("# Layer {} of {layers}: {name}\n", i + 1) } else { String::new() };
        let end = if layer.yaml.ends_with('\n') { "" } else { "\n" };
        let lines = layer.yaml.split('\n').map(|line| if on_terminal { visible(line) } else { line.into() });
        heading + &lines.collect::<Vec<_>>().join("\n") + end
    };
    policy.layers.iter().enumerate().map(layer).collect()
}

/// `file:line:column: path: message`, as `aegis validate` prints it.
fn place(finding: &PolicyFinding) -> String {
    let at = if finding.line > 0 { format!(":{}:{}", finding.line, finding.column) } else { String::new() };
    let path = if finding.path.is_empty() { String::new() } else { format!(" {}:", visible(&finding.path)) };
    format!("{}{at}:{path} {}", visible(&finding.file), visible(&finding.message))
}

fn json(policy: &Policy) -> Object {
    let layers: Vec<Value> =
        policy.layers.iter().map(|layer| json!({"name": layer.name, "yaml": layer.yaml})).collect();
    let finding = |finding: &PolicyFinding| {
        json!({
            "file": finding.file,
            "line": finding.line,
            "column": finding.column,
            "path": finding.path,
            "message": finding.message,
            "code": finding.code,
        })
    };
    Object::default()
        .with("revision", policy.revision.as_str())
        .with("rule_count", policy.rule_count)
        .with("loaded_at", wire::time(policy.loaded_at.as_ref()))
        .with("comment", wire::present(&policy.comment))
        .with("layers", layers)
        .with("merged", serde_json::from_str(&policy.merged_json).unwrap_or(Value::Null))
        .with("warnings", policy.warnings.iter().map(finding).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(layers: &[(&str, &str)]) -> Policy {
        let layer = |(name, yaml): &(&str, &str)| PolicyLayer { name: (*name).into(), yaml: (*yaml).into() };
        Policy {
            layers: layers.iter().map(layer).collect(),
            merged_json: r#"{"rules":[]}"#.into(),
            ..Policy::default()
        }
    }

    #[test]
    fn one_file_is_printed_unchanged() {
        let text = "version: \"1\"\r\nrules: []\n# é\u{202e}\n";
        assert_eq!(yaml(&policy(&[("p.yaml", text)]), false), text);
        assert!(yaml(&policy(&[("p.yaml", text)]), true).contains("# é\\u{202e}\n"));
    }

    #[test]
    fn several_files_have_a_comment_above_each() {
        let text = yaml(&policy(&[("a.yaml", "rules: []"), ("b.yaml", "x: 1\n")]), false);
        assert_eq!(text, "# Layer 1 of 2: a.yaml\nrules: []\n# Layer 2 of 2: b.yaml\nx: 1\n");
    }

    #[test]
    fn json_holds_the_merged_policy_as_json() {
        assert_eq!(serde_json::to_value(json(&policy(&[]))).unwrap()["merged"], json!({"rules": []}));
    }
}
