//! Runs the command of `propose … -- COMMAND` on an ALLOW, and reports how it ended.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::process::{Pid, kill_process};
use serde_json::json;
use tokio::process::{Child, Command};

use crate::cli::connect::{self, Remote};
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, because};
use crate::cli::signals::{Caught, Signals};
use crate::cli::{say, wire};
use crate::domain::Timestamp;
use crate::proto::v1::{ActionResult, Decision, ReportResultRequest, ResultStatus};

/// Runs the command, reports its result, and returns its exit code.
pub(super) async fn run(
    remote: &Remote,
    decision: &Decision,
    command: &[OsString],
    signals: &mut Signals,
) -> Result<Exit, Failure> {
    let started_at = Timestamp::now();
    let ended = attend(decision, command, signals).await;
    let (exit, mut result) = match &ended {
        Ok(status) => (exit(*status), outcome(*status)),
        Err(error) => {
            (unstartable(error), failed(format!("{} cannot be run: {}", command[0].display(), because(error))))
        }
    };
    if ended.is_err() {
        say::error(&result.error);
    }
    result.started_at = Some(wire::to_moment(started_at));
    result.completed_at = Some(wire::to_moment(Timestamp::now()));
    let report = ReportResultRequest { decision_id: decision.decision_id.clone(), result: Some(result) };
    if let Err(status) = remote.governance().report_result(connect::call(report)).await {
        // The command has run: to the caller, its exit code matters more than the missing report.
        say::warning(format_args!("the result of the action could not be reported: {}", Failure::from(status)));
    }
    Ok(exit)
}

fn start(decision: &Decision, command: &[OsString]) -> io::Result<Child> {
    let constraints = serde_json::Value::Object(wire::from_struct(decision.constraints.as_ref()));
    Command::new(&command[0])
        .args(&command[1..])
        .env("AEGIS_DECISION_ID", &decision.decision_id)
        .env("AEGIS_CONSTRAINTS", constraints.to_string())
        .spawn()
}

/// Runs the command and waits for it, whatever happens, because its end has to be reported. Passes signals on, except
/// those that the terminal sent to both.
async fn attend(decision: &Decision, command: &[OsString], signals: &mut Signals) -> io::Result<ExitStatus> {
    let mut child = start(decision, command)?;
    loop {
        let Caught { signal, is_from_terminal } = tokio::select! {
            ended = child.wait() => return ended,
            caught = signals.next() => caught,
        };
        let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(pid) = pid.filter(|_| !is_from_terminal) {
            // The command may have ended just now.
            let _ = kill_process(pid, signal);
        }
    }
}

/// The exit code that a shell would use.
fn exit(status: ExitStatus) -> Exit {
    let code = status.code().or_else(|| Some(128 + status.signal()?)).and_then(|code| u8::try_from(code).ok());
    Exit::Command(code.unwrap_or(u8::MAX))
}

fn unstartable(error: &io::Error) -> Exit {
    Exit::Command(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
}

fn outcome(status: ExitStatus) -> ActionResult {
    let result = match (status.code(), status.signal()) {
        (Some(0), _) => ActionResult { status: ResultStatus::Success as i32, ..ActionResult::default() },
        (Some(code), _) => failed(format!("exit code {code}")),
        (None, Some(signal)) => failed(format!("ended by signal {signal}")),
        (None, None) => failed("ended without an exit code".into()),
    };
    let data = json!({"exit_code": exit(status).code()});
    ActionResult { data: wire::to_value(data, "data").ok(), ..result }
}

fn failed(error: String) -> ActionResult {
    ActionResult { status: ResultStatus::Failed as i32, error, ..ActionResult::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ended(script: &str) -> ExitStatus {
        let mut signals = Signals::catch().unwrap();
        attend(&Decision::default(), &["sh", "-c", script].map(OsString::from), &mut signals).await.unwrap()
    }

    #[tokio::test]
    async fn the_exit_code_is_the_commands_own() {
        for (script, code, error) in
            [("exit 0", 0, ""), ("exit 7", 7, "exit code 7"), ("kill -9 $$", 137, "ended by signal 9")]
        {
            let status = ended(script).await;
            assert_eq!(exit(status), Exit::Command(code), "{script}");
            assert_eq!(outcome(status).error, error, "{script}");
        }
    }

    #[tokio::test]
    async fn the_command_finds_the_constraints_in_its_environment() {
        let constraints = serde_json::Map::from_iter([("max_rows".to_owned(), json!(100))]);
        let decision = Decision {
            decision_id: "dec_1".into(),
            constraints: Some(wire::to_struct(constraints, "").unwrap()),
            ..Decision::default()
        };
        let script = r#"test "$AEGIS_DECISION_ID $AEGIS_CONSTRAINTS" = 'dec_1 {"max_rows":100}'"#;
        let mut signals = Signals::catch().unwrap();
        assert!(attend(&decision, &["sh", "-c", script].map(OsString::from), &mut signals).await.unwrap().success());
    }

    #[test]
    fn a_command_that_cannot_be_started_has_the_exit_code_of_a_shell() {
        let codes = ["/nowhere/at/all", "/"]
            .map(|path| unstartable(&start(&Decision::default(), &[path.into()]).map(drop).unwrap_err()).code());
        assert_eq!(codes, [127, 126]);
    }
}
