//! The actions of a shell command: one for each thing that it would do.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::action::Action;
use super::place::real;
use super::shell::{self, Access, Step};

/// The most paths that are named for one command.
const MAX_PATHS: usize = 64;

/// Programs with subcommands, and their options that take a value: the subcommand is the target.
const SUBCOMMANDS: &[(&str, &[&str])] = &[
    ("docker", &["-H", "--host", "--context", "-c", "--config", "-l", "--log-level"]),
    ("git", &["-C", "-c", "--git-dir", "--work-tree", "--namespace", "--super-prefix", "--config-env"]),
    ("kubectl", &["-n", "--namespace", "--context", "--kubeconfig", "--cluster", "-s", "--server", "--user"]),
    ("npm", &["--prefix", "-w", "--workspace"]),
    ("sudo", &["-u", "--user", "-g", "--group", "-C", "-D", "-h", "-p", "-R", "-r", "-T", "-t", "-U"]),
];

/// Every action of a command that a tool would run in this directory.
pub(super) fn actions(command: &str, directory: &str, home: Option<&str>) -> Vec<Action> {
    let mut actions = Vec::new();
    for step in shell::steps(command, directory, home) {
        for action in of(step, command, directory, home) {
            if !actions.contains(&action) {
                actions.push(action);
            }
        }
    }
    if actions.is_empty() {
        // Only comments and assignments: still something that the shell is asked to run.
        actions.push(Action::new("shell/nothing", "", json!({"command": command, "cwd": directory})));
    }
    actions
}

fn of(step: Step, command: &str, directory: &str, home: Option<&str>) -> Vec<Action> {
    let common = |more: Value| {
        let mut params =
            Map::from_iter([("command".to_owned(), Value::from(command)), ("cwd".to_owned(), Value::from(directory))]);
        if let Value::Object(more) = more {
            params.extend(more);
        }
        Value::Object(params)
    };
    match step {
        Step::Run { name, argv, is_exact, via, directories } => {
            let target = target(&name, &argv);
            let paths = paths(&argv, &directories, home);
            let is_path = name.contains('/');
            let here = directories.first().map_or(directory, String::as_str);
            let (kind, target) = if is_path {
                ("shell/script".to_owned(), real(&name, here, home))
            } else {
                (format!("shell/{name}"), target)
            };
            let program = name.rsplit('/').next().unwrap_or_default();
            let mut params = json!({
                "program": if is_path { "script" } else { program }, "argv": argv, "line": argv.join(" "),
                "exact": is_exact, "via": via, "paths": paths, "cwd": here,
            });
            if !is_path && SUBCOMMANDS.iter().any(|(known, _)| *known == program) {
                params["subcommand"] = target.as_str().into();
            }
            vec![Action::new(kind, target, common(params))]
        }
        Step::File { access, path, directories } => {
            let kind = match access {
                Access::Read => "file/read",
                Access::Write => "file/write",
            };
            let here = if directories.is_empty() { vec![directory.to_owned()] } else { directories };
            let action = |from: &String| {
                let file = real(&path, from, home);
                Action::new(kind, file.clone(), common(json!({"path": path, "file": file})))
            };
            here.iter().map(action).collect()
        }
        Step::Connect(address) => vec![Action::new("net/connect", address, common(Value::Null))],
        Step::Variable { name, value } => vec![Action::new("shell/variable", name, common(json!({"value": value})))],
        Step::Unknown { text, why } => {
            vec![Action::new("shell/unknown", "", common(json!({"text": text, "why": why})))]
        }
    }
}

/// The first word that is no option: a subcommand, a file, an address.
fn target(name: &str, argv: &[String]) -> String {
    let with_value = SUBCOMMANDS.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, options)| options);
    let mut words = argv.iter().skip(1);
    while let Some(word) = words.next() {
        if with_value.contains(&word.as_str()) {
            words.next();
        } else if !word.starts_with('-') {
            return word.clone();
        }
    }
    String::new()
}

/// The real paths of the words that are paths: they hold a slash, begin with a dot, or name a file.
fn paths(argv: &[String], directories: &[String], home: Option<&str>) -> Vec<String> {
    let mut paths = Vec::new();
    for word in argv.iter().skip(1) {
        let values = [Some(word.as_str()), word.split_once('=').map(|(_, value)| value)];
        for value in values.into_iter().flatten().filter(|value| !value.is_empty() && value.len() < 4096) {
            let looks_like = value.contains('/') || value.starts_with(['.', '~']);
            let here =
                if directories.is_empty() && value.starts_with('/') { &["/".to_owned()][..] } else { directories };
            for directory in here {
                let exists = || Path::new(directory).join(value).symlink_metadata().is_ok();
                let path = real(value, directory, home);
                if paths.len() < MAX_PATHS && !paths.contains(&path) && (looks_like || exists()) {
                    paths.push(path);
                }
            }
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(command: &str) -> Vec<String> {
        actions(command, "/work", Some("/home/me")).iter().map(Action::name).collect()
    }

    #[test]
    fn each_command_is_an_action_with_its_words_and_the_whole_command() {
        let actions = actions("cd src && sudo git -C /x push > log.txt", "/work", Some("/home/me"));
        let names: Vec<_> = actions.iter().map(Action::name).collect();
        assert_eq!(names, ["shell/cd src", "file/write /work/src/log.txt", "shell/sudo git", "shell/git push"]);
        let git = &actions[3].params;
        assert_eq!(git["argv"], json!(["git", "-C", "/x", "push"]));
        assert_eq!((&git["line"], &git["cwd"]), (&json!("git -C /x push"), &json!("/work/src")));
        assert_eq!((&git["exact"], &git["via"], &git["paths"]), (&json!(true), &json!(["sudo"]), &json!(["/x"])));
        assert_eq!(git["command"], "cd src && sudo git -C /x push > log.txt");
    }

    #[test]
    fn a_program_named_by_its_path_is_not_the_program_of_that_name() {
        assert_eq!(names("/usr/bin/git status"), ["shell/git status"]);
        assert_eq!(names("./git status"), ["shell/script /work/git"]);
        assert_eq!(names("/tmp/git status"), ["shell/script /tmp/git"]);
        assert_eq!(names("~/bin/git status"), ["shell/script /home/me/bin/git"]);
        assert_eq!(names("bash build.sh"), ["shell/script /work/build.sh"]);
    }

    #[test]
    fn a_relative_path_is_named_for_every_directory_that_it_may_be_in() {
        assert_eq!(
            names("cd a; echo x > b"),
            ["shell/cd a", "file/write /work/a/b", "file/write /work/b", "shell/echo x"]
        );
        assert_eq!(names("# nothing"), ["shell/nothing"]);
    }
}
