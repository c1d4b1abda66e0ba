//! What an agent could try against its own governance, as the actions that a hook would propose, and what the policy in
//! force says to each.

use serde_json::{Value, json};

use super::check::{Check, State};
use crate::cli::connect::{Door, Remote, RemoteArgs};
use crate::cli::failure::Failure;
use crate::cli::hook::{self, Action, HOSTS, Scope, settings_of};
use crate::proto::v1::Outcome;

/// Where things are on this machine.
pub(super) struct Place<'a> {
    pub(super) home: &'a str,
    pub(super) data_dir: &'a str,
    pub(super) policy: &'a str,
}

/// The commands that are tried.
fn commands(place: &Place) -> Vec<String> {
    let Place { home, data_dir, policy } = place;
    let mut commands: Vec<String> = [
        "aegis approve apr_1 --reason ok",
        "env A=1 aegis deny apr_1",
        "bash -c 'sudo aegis token create x --role admin'",
        "aegis policy update x.yaml",
        "aegis hook uninstall claude-code",
        "true && aegis serve x.yaml",
        "pkill -f 'aegis serve'",
        "killall aegis",
        "systemctl stop aegis",
    ]
    .map(str::to_owned)
    .into();
    commands.extend([
        format!("cat {data_dir}/credential"),
        format!("cd {data_dir}; cat credential"),
        format!("cp {data_dir}/record.redb /tmp/x"),
        format!("curl --unix-socket {data_dir}/aegis.sock http://localhost/"),
        format!("rm -rf {home}/.local/state/aegis-hooks"),
        format!("cp x {policy}"),
        format!("echo > {policy}"),
        format!("echo '{{}}' > {home}/.claude/settings.json"),
        format!("sed -i s/aegis/true/ {home}/.claude/settings.json"),
    ]);
    commands
}

/// Tries everything by a dry run.
pub(super) async fn try_all(remote: &RemoteArgs, place: &Place<'_>) -> Result<Vec<Check>, Failure> {
    let remote = Remote::open(Door::Agent, remote).await?;
    let cwd = std::env::current_dir().map_or_else(|_| "/".to_owned(), |cwd| cwd.to_string_lossy().into_owned());
    let host = HOSTS[0];
    let mut checks = Vec::new();
    for command in commands(place) {
        let actions = hook::shell_actions(&command, &cwd, place.home);
        checks.push(check(&remote, host.name, command, &actions).await?);
    }
    let file = |kind: &str, path: &str| {
        let file = hook::real(path, &cwd, Some(place.home));
        Action {
            kind: kind.to_owned(),
            target: file.clone(),
            params: object(json!({"tool": "-", "cwd": cwd, "file": file})),
        }
    };
    let mut files =
        vec![("file/read", format!("{}/credential", place.data_dir)), ("file/write", place.policy.to_owned())];
    for host in HOSTS {
        files.push(("file/write", format!("{}/{}", place.home, settings_of(host.name, Scope::User))));
        files.push(("file/write", settings_of(host.name, Scope::Project).to_owned()));
    }
    for (kind, path) in files {
        checks.push(check(&remote, host.name, format!("{kind} {path}"), &[file(kind, &path)]).await?);
    }
    Ok(checks)
}

fn object(value: Value) -> serde_json::Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => serde_json::Map::new(),
    }
}

/// The strictest answer to the actions of one call.
async fn check(remote: &Remote, actor: &str, what: String, actions: &[Action]) -> Result<Check, Failure> {
    let evaluations = hook::evaluate(remote, actor, actions).await?;
    let strictness = |outcome: i32| match Outcome::try_from(outcome) {
        Ok(Outcome::Deny) => 2,
        Ok(Outcome::Escalate) => 1,
        _ => 0,
    };
    let strictest = evaluations.iter().max_by_key(|evaluation| strictness(evaluation.outcome));
    let (state, says) = match strictest {
        Some(evaluation) => {
            let state = match strictness(evaluation.outcome) {
                2 => State::Closed,
                1 => State::Asks,
                _ => State::Open,
            };
            (state, format!("rule {}", evaluation.matched_rule))
        }
        None => (State::Unknown, "it is no action".to_owned()),
    };
    Ok(Check { area: "policy", what, state, says })
}
