//! Runs the commands of a document as its reader would: in a home of their own, one after another, with the daemon that
//! the document starts.
//!
//! Two things differ from what is written, so that tests can run side by side. The daemon's ports are picked, and stand
//! for those that the document names. And `cargo run … --` is the binary that cargo has built for the tests.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::blocks::{Block, Remark};
use super::root;
use crate::harness::{AEGIS, DEADLINE};

/// The ports that documents name, and how the daemon says on stdout where it is instead.
const PORTS: [(&str, &str); 2] =
    [("127.0.0.1:50051", "listening on http://"), ("127.0.0.1:9464", "metrics      http://")];

/// The terminals of one reader.
pub(super) struct Console {
    home: TempDir,
    daemon: Option<Child>,
    /// What to write in place of what the document says.
    instead: Vec<(&'static str, String)>,
    background: Vec<(String, Child, i32)>,
}

impl Console {
    pub(super) fn new(document: &str) -> Self {
        let prefix = format!("aegis-{}-", document.replace(['/', '.'], "-"));
        let home = tempfile::Builder::new().prefix(&prefix).tempdir().unwrap();
        Self { home, daemon: None, instead: Vec::new(), background: Vec::new() }
    }

    /// Writes a file that the document shows.
    pub(super) fn write(&self, name: &str, text: &str) {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Runs every command of a block.
    pub(super) fn run(&mut self, block: &Block) {
        let commands = commands(&block.text);
        assert!(!commands.is_empty(), "{block}: a line that is a command begins with `$ `");
        for command in commands {
            let place = format!("{block}: $ {command}");
            let (command, code) = (self.adapt(&command), expected_code(&command));
            if let Some(arguments) = command.strip_prefix("aegis serve") {
                self.serve(arguments, &place);
                continue;
            }
            match &block.remark {
                Some(Remark::Background) => self.start(&command, code, place),
                Some(Remark::Input { after, line }) => self.converse(&command, code, &place, after, line),
                _ => {
                    let output = self.bounded(&command).stdin(Stdio::null()).output().unwrap();
                    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
                    assert_eq!(output.status.code(), Some(code), "{place}\n{said}{}", self.log());
                }
            }
        }
    }

    /// Waits for what still runs; everything must have ended as it says.
    pub(super) fn finish(mut self) {
        for (place, mut child, code) in std::mem::take(&mut self.background) {
            assert_eq!(child.wait().unwrap().code(), Some(code), "{place}{}", self.log());
        }
    }

    /// The command, with the ports of this run and the binary under test.
    fn adapt(&self, command: &str) -> String {
        let mut command = command.to_owned();
        for (documented, here) in &self.instead {
            command = command.replace(documented, here);
        }
        match command.strip_prefix("cargo run ").and_then(|rest| rest.split_once(" -- ")) {
            Some((_, arguments)) => format!("aegis {arguments}"),
            None => command,
        }
    }

    /// A shell that remembers what earlier commands exported.
    fn shell(&self, command: &str) -> Command {
        self.within(Command::new("bash"), command)
    }

    /// The same for a command that ends: after a minute it has failed, with code 124.
    fn bounded(&self, command: &str) -> Command {
        let mut timeout = Command::new("timeout");
        timeout.arg(DEADLINE.as_secs().to_string()).arg("bash");
        self.within(timeout, command)
    }

    fn within(&self, mut bash: Command, command: &str) -> Command {
        let bin = Path::new(AEGIS).parent().unwrap();
        let tools = match std::env::var_os("GRPCURL") {
            Some(grpcurl) => PathBuf::from(grpcurl).parent().unwrap().to_owned(),
            None => root().join("target/tools/bin"),
        };
        let path = format!("{}:{}:{}", bin.display(), tools.display(), std::env::var("PATH").unwrap());
        let script = format!("[ -e .exported ] && . ./.exported\n{command}\ncode=$?; export -p >.exported; exit $code");
        bash.args(["-c", &script]).current_dir(self.home.path()).env_clear();
        bash.envs([("HOME", self.home.path().as_os_str()), ("PATH", path.as_ref()), ("NO_COLOR", "1".as_ref())]);
        bash
    }

    /// `aegis serve`, in a terminal of its own: in place of the daemon before it, if there is one.
    fn serve(&mut self, arguments: &str, place: &str) {
        self.stop();
        let log = File::create(self.home.path().join("serve.log")).unwrap();
        let command = format!("exec aegis serve --port 0 --admin-listen 127.0.0.1:0 {arguments}");
        let mut child = self.shell(&command).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        self.instead.clear();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut lines = lines.take_while(|line| !line.starts_with("try "));
        for (documented, says) in PORTS {
            let here = lines.find_map(|line| line.strip_prefix(says).map(|rest| rest.replace("/metrics", "")));
            let here = here.unwrap_or_else(|| panic!("{place}: it does not listen\n{}", self.log()));
            self.instead.push((documented, here));
        }
        self.daemon = Some(child);
    }

    /// Ends the daemon in good order.
    fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            terminate(&daemon);
            daemon.wait().unwrap();
        }
    }

    /// A command that goes on. It has begun when it has said something.
    fn start(&mut self, command: &str, code: i32, place: String) {
        let mut shell = self.bounded(command);
        let mut child = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        said.read_line(&mut String::new()).unwrap();
        // Read on, so that it never writes into a full pipe.
        std::thread::spawn(move || said.lines().map_while(Result::ok).for_each(drop));
        self.background.push((place, child, code));
    }

    /// A command that is talked to.
    fn converse(&self, command: &str, code: i32, place: &str, after: &str, line: &str) {
        let mut shell = self.bounded(command);
        let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut shown = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(shown.any(|shown| shown.contains(after)), "{place}: it never shows `{after}`");
        // It may end at once, and closes what it reads from.
        let _ = writeln!(child.stdin.take().unwrap(), "{line}");
        let rest: Vec<_> = shown.collect();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{place}\n{rest:#?}");
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.home.path().join("serve.log")).unwrap_or_default();
        format!("\n--- the daemon's log ---\n{log}")
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.background.iter().for_each(|(_, child, _)| terminate(child));
        if let Some(mut child) = self.daemon.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn terminate(child: &Child) {
    // It may have ended already.
    let _ = kill_process(Pid::from_child(child), Signal::TERM);
}

/// What is typed: the lines that begin with `$ `, with those that they go on in after a `\`.
fn commands(text: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push(command.to_owned());
        } else if let (true, Some(command)) = (goes_on, commands.last_mut()) {
            command.extend(["\n", line]);
        } else {
            // What the command before it prints, for the reader.
            continue;
        }
        goes_on = line.ends_with('\\');
    }
    commands
}

/// What a command ends with, as its comment says: `# DENY, exit code 3`.
fn expected_code(command: &str) -> i32 {
    let code = command.rsplit_once("exit code ").map(|(_, code)| code.trim());
    code.map_or(0, |code| code.parse().unwrap_or_else(|_| panic!("`exit code {code}` is no number: {command}")))
}

#[test]
fn commands_are_what_is_typed() {
    let text = "$ a 1 \\\n    2\nits output\n$ b   # no, exit code 3\n";
    assert_eq!(commands(text), ["a 1 \\\n    2", "b   # no, exit code 3"]);
    assert_eq!(commands(text).iter().map(|command| expected_code(command)).collect::<Vec<_>>(), [0, 3]);
}
