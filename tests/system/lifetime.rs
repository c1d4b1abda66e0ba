//! What ends a daemon, and what does not: its parent and signals.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use aegis::proto::v1::Outcome;

use crate::daemon::{AEGIS, Daemon, Setup, eventually, propose, stderr};
use crate::people::ask;

fn kill(signal: &str, pid: u32) {
    let status = Command::new("kill").args([signal, &pid.to_string()]).status().expect("kill runs");
    assert!(status.success());
}

#[test]
fn a_daemon_ends_with_its_parent_when_the_parent_closes_the_pipe() {
    let mut command = Setup::new().args(&["--ends-with-parent"]).command();
    let mut daemon = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let parent = daemon.stdin.take().unwrap();
    let mut lines = BufReader::new(daemon.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("listening on "));
    assert!(daemon.try_wait().unwrap().is_none(), "it runs for as long as the pipe is held");
    drop(parent);
    assert_eq!(daemon.wait().unwrap().code(), Some(0), "it ends as it does when told to");
}

#[test]
fn a_daemon_ends_cleanly_when_its_parent_is_killed() {
    let setup = Setup::new();
    let (home, data) = (setup.keep(), setup.home().join("data"));
    // The shell opens the writing end after the daemon was started, so that the shell alone holds it. Nobody reads the
    // log once the shell is gone: that must not keep the daemon from ending well.
    let script = "mkfifo pipe; { \"$0\" serve --port 0 --admin-listen off --data-dir data --ends-with-parent <pipe \
                  2>&1 & }; exec 3>pipe; wait";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, AEGIS]).current_dir(home.path()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines().map(Result::unwrap);
    lines.find(|line| line.starts_with("listening on ")).expect("the daemon starts");
    shell.kill().unwrap();
    shell.wait().unwrap();
    // Nobody holds the other end of this pipe when the daemon has ended.
    let said: Vec<String> = lines.collect();
    assert!(said.iter().any(|line| line.contains("standard input has ended")), "{said:#?}");

    let daemon = setup.start();
    assert_eq!(daemon.data_dir(), data);
    assert_eq!(daemon.events("daemon_stopped").len(), 1, "the end of the run is on the record");
}

#[test]
fn a_daemon_whose_log_nobody_reads_any_more_ends_cleanly() {
    let setup = Setup::new().args(&["--ends-with-parent"]);
    let mut daemon = setup.command().stdin(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(daemon.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    drop((lines, daemon.stderr.take(), daemon.stdin.take()));
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
}

#[test]
fn a_daemon_that_is_to_end_with_its_parent_needs_a_pipe_as_its_standard_input() {
    let setup = Setup::new().args(&["--ends-with-parent"]);
    let file = setup.home().join("file");
    std::fs::write(&file, "text").unwrap();
    for (stdin, says) in
        [(Stdio::null(), "a terminal or /dev/null"), (std::fs::File::open(&file).unwrap().into(), "a file")]
    {
        let output = setup.command().stdin(stdin).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("--ends-with-parent: standard input is {says}, and not a pipe")), "{said}");
    }
    assert!(!setup.home().join("data").exists(), "nothing was begun");
}

/// The same policy under another rule: allowed, or blocked.
fn policy(approval: &str) -> String {
    format!("rules: [{{name: reads, match: {{type: read}}, risk_level: low, approval: {approval}}}]\n")
}

async fn outcome(daemon: &Daemon) -> Outcome {
    ask(&mut daemon.agent().await, propose("read", "crm")).await.outcome()
}

#[tokio::test]
async fn sighup_reads_the_policy_again_and_sigusr_does_nothing() {
    let setup = Setup::new().policy(&policy("auto"));
    // No event comes from the directory that the file is really in.
    let (link, real) = (setup.home().join("policy.yaml"), setup.home().join("real/policy.yaml"));
    std::fs::create_dir(real.parent().unwrap()).unwrap();
    std::fs::rename(&link, &real).unwrap();
    symlink(&real, &link).unwrap();
    let mut daemon = setup.start();
    for signal in ["-USR1", "-USR2", "-HUP"] {
        kill(signal, daemon.pid());
    }
    daemon.logs("SIGHUP: the configured files are read again").await;
    assert_eq!(outcome(&daemon).await, Outcome::Allow);

    std::fs::write(&real, policy("block")).unwrap();
    kill("-HUP", daemon.pid());
    eventually("the changed policy is in force", || async { (outcome(&daemon).await == Outcome::Deny).then_some(()) })
        .await;
    daemon.terminate();
    assert_eq!(daemon.ended().await.code(), Some(0));
}
