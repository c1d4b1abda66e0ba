//! One simple command: what it is, and what it starts in turn.

use super::steps::Step;
use super::walk::{Input, Walk};
use super::words::Word;
use super::wrappers::{CODE, HIDDEN, SHELLS, SYSTEM, Starts, Wrapper, wrapper};

/// How deep commands may lie within commands: `env env env …`.
const MAX_WRAPPERS: usize = 16;

impl Walk {
    /// A command and its words. The first one is its name.
    pub(super) fn command(&mut self, argv: &[Word]) {
        let Some(first) = argv.first() else { return };
        if !first.is_known {
            return self.unknown(&line(argv), "the name of the command is known only when it runs");
        }
        if self.via.len() > MAX_WRAPPERS {
            return self.unknown(&line(argv), "too many commands start each other");
        }
        let name = match first.text.rsplit_once('/') {
            Some((directory, name)) if SYSTEM.contains(&directory) => name,
            Some(_) => return self.run(&first.text, argv),
            None => first.text.as_str(),
        };
        let rest = &argv[1..];
        if SHELLS.contains(&name) {
            return self.shell(name, argv);
        }
        if let Some(wrapper) = wrapper(name) {
            return self.wrapped(wrapper, argv);
        }
        match name {
            "eval" => self.text(rest, "eval"),
            "." | "source" => match rest.first() {
                Some(file) if file.is_known => self.run(&script_path(&file.text), argv),
                _ => self.unknown(&line(argv), "the script is known only when it runs"),
            },
            "trap" => match rest.iter().find(|word| !word.text.starts_with("--")) {
                Some(word) if word.text == "-" || word.text == "-l" || word.text == "-p" => self.run(name, argv),
                Some(word) => self.text(std::slice::from_ref(word), "trap"),
                None => self.run(name, argv),
            },
            "alias" => {
                self.run(name, argv);
                for word in rest.iter().filter(|word| !word.is_known || word.text.contains('=')) {
                    match word.text.split_once('=') {
                        Some((_, script)) if word.is_known => self.script_via(script, "alias"),
                        _ => self.unknown(&word.text, "the alias is known only when it is set"),
                    }
                }
            }
            "find" => self.find(argv),
            "cd" | "pushd" | "popd" | "chdir" => {
                self.run(name, argv);
                self.change_directory(name, rest);
            }
            "[" | "test" | "let" | "read" | "unset" | "printf" | "declare" | "typeset" | "local" | "export"
            | "readonly" => {
                // They compute the subscripts of arrays.
                self.computes = true;
                for word in rest.iter().filter(|word| is_assignment(word)) {
                    let (variable, value) = word.text.split_once('=').unwrap_or_default();
                    self.set(variable, value);
                }
                self.run(name, argv);
            }
            _ => self.run(name, argv),
        }
        let rest = if name == "git" { before_subcommand(rest) } else { rest };
        let runs_more = |table: &[(&str, &[&str])]| {
            let options = table.iter().find(|(known, _)| *known == name).map(|(_, options)| *options);
            options.is_some_and(|options| {
                options.contains(&"")
                    || rest.iter().any(|word| options.iter().any(|option| is_option(&word.text, option)))
            })
        };
        if runs_more(HIDDEN) || runs_more(CODE) {
            self.unknown(&line(argv), "an option runs another program, or loads code");
        }
    }

    /// Notes a program that runs.
    fn run(&mut self, name: &str, argv: &[Word]) {
        self.note(Step::Run {
            name: name.to_owned(),
            argv: argv.iter().map(|word| word.text.clone()).collect(),
            is_exact: argv.iter().all(|word| word.is_known),
            via: self.via.clone(),
            directories: self.directories.clone(),
        });
    }

    /// A script in words that are joined by blanks.
    fn text(&mut self, words: &[Word], by: &str) {
        if words.iter().all(|word| word.is_known) {
            self.script_via(&line(words), by);
        } else {
            self.unknown(&line(words), "the script is known only when it runs");
        }
    }

    fn change_directory(&mut self, name: &str, rest: &[Word]) {
        let mut operands = rest.iter().filter(|word| !["-L", "-P", "-e", "-@", "--"].contains(&word.text.as_str()));
        let to = operands.next();
        let home = self.home.clone().map(|home| Word::known(&home));
        let to = to.or(if rest.is_empty() { home.as_ref() } else { None });
        match to {
            Some(to) if to.is_known && !to.text.starts_with(['-', '+']) && name != "popd" => {
                if to.text.starts_with('/') {
                    self.directories = vec![to.text.clone()];
                } else {
                    self.directories.iter_mut().for_each(|directory| *directory = format!("{directory}/{}", to.text));
                }
            }
            _ => self.directories.clear(),
        }
    }

    /// What `-exec` and its kind start.
    fn find(&mut self, argv: &[Word]) {
        self.run("find", argv);
        let starts = ["-exec", "-execdir", "-ok", "-okdir"];
        let mut rest = argv;
        while let Some(at) = rest.iter().position(|word| starts.contains(&word.text.as_str())) {
            rest = &rest[at + 1..];
            let end = rest.iter().position(|word| word.text == ";" || word.text == "+").unwrap_or(rest.len());
            let inner: Vec<Word> = rest[..end].iter().map(|word| replaced(word, "{}")).collect();
            self.start(&inner, "find -exec");
            rest = &rest[end..];
        }
        if argv.iter().any(|word| !word.is_known && word.text.starts_with('$')) {
            self.unknown(&line(argv), "an argument of find is known only when it runs, and could be -exec");
        }
    }

    /// A command that another program starts.
    fn start(&mut self, argv: &[Word], by: &str) {
        self.via.push(by.to_owned());
        self.command(argv);
        self.via.pop();
    }

    fn shell(&mut self, name: &str, argv: &[Word]) {
        let mut rest = argv[1..].iter();
        let mut has_script = false;
        let operand = loop {
            let Some(word) = rest.next() else { break None };
            let text = word.text.as_str();
            if !word.is_known {
                return self.unknown(&line(argv), "an argument of a shell is known only when it runs");
            }
            match text {
                "--" => break rest.next(),
                "--rcfile" | "--init-file" | "--command" => {
                    return self.unknown(&line(argv), "an option names what the shell runs first");
                }
                "-" => break None,
                _ if text.starts_with("--") => {}
                _ if text.starts_with(['-', '+']) && text.len() > 1 => {
                    has_script |= text.starts_with('-') && text.contains('c');
                    if text.ends_with(['o', 'O']) {
                        rest.next();
                    }
                }
                _ => break Some(word),
            }
        };
        match operand {
            Some(script) if has_script => self.text(std::slice::from_ref(script), &format!("{name} -c")),
            None if has_script => self.unknown(&line(argv), "the script is known only when it runs"),
            Some(file) if !file.is_known => {
                self.unknown(&line(argv), "the script is known only when it runs");
            }
            Some(file) if !is_stdin(&file.text) && !argv.iter().any(|word| word.text == "-s") => {
                self.run(&script_path(&file.text), argv);
            }
            _ => match self.input.clone() {
                Input::Text(text) => {
                    if !text.is_known {
                        self.unknown(&text.text, "parts of the script are known only when it runs");
                    }
                    self.input = Input::Foreign;
                    self.script_via(&text.text, name);
                }
                Input::Own | Input::Foreign => {
                    self.unknown(&line(argv), "a shell runs what it reads");
                }
            },
        }
    }

    fn wrapped(&mut self, wrapper: &Wrapper, argv: &[Word]) {
        let name = wrapper.name;
        if wrapper.is_action {
            self.run(name, argv);
        }
        if name == "command" && argv.get(1).is_some_and(|word| word.text == "-v" || word.text == "-V") {
            return self.run(name, argv);
        }
        let (mut at, mut operands, mut ended) = (1, 0, false);
        let mut replacement = "{}";
        while let Some(word) = argv.get(at) {
            let text = word.text.as_str();
            let is_option = !ended && text.len() > 1 && text.starts_with('-');
            if !word.is_known && (is_option || operands < wrapper.operands || text.starts_with('-')) {
                return self.unknown(&line(argv), "an argument before the command is known only when it runs");
            }
            if is_option && text == "--" {
                ended = true;
            } else if is_option && wrapper.scripts.contains(&text.split('=').next().unwrap_or(text)) {
                let value = text.split_once('=').map(|(_, value)| Word { text: value.to_owned(), ..word.clone() });
                return match value.as_ref().or_else(|| argv.get(at + 1)) {
                    Some(script) => self.text(std::slice::from_ref(script), name),
                    None => self.unknown(&line(argv), "its script is missing"),
                };
            } else if is_option {
                let Some(takes_next) = option(wrapper, text) else {
                    return self.unknown(&line(argv), &format!("the option {text} of {name} is not known"));
                };
                let attached = text.strip_prefix("-I").or_else(|| text.strip_prefix("--replace="));
                match attached {
                    Some("") => replacement = argv.get(at + 1).map_or("{}", |word| word.text.as_str()),
                    Some(value) => replacement = value,
                    None => {}
                }
                at += usize::from(takes_next);
            } else if ["env", "sudo", "doas"].contains(&name) && is_assignment(word) {
                let (variable, value) = text.split_once('=').unwrap_or_default();
                self.set(variable, value);
            } else if operands < wrapper.operands {
                operands += 1;
            } else {
                break;
            }
            at += 1;
        }
        let inner = argv.get(at..).unwrap_or_default();
        match wrapper.starts {
            // `exec` alone only redirects, `env` alone prints.
            Starts::Command if inner.is_empty() => self.run(name, argv),
            Starts::Command => self.start(inner, name),
            Starts::CommandWithInput => {
                let mut inner: Vec<Word> = inner.iter().map(|word| replaced(word, replacement)).collect();
                if inner.is_empty() {
                    inner.push(Word::known("echo"));
                }
                inner.push(Word::unknown("(words of stdin)"));
                self.start(&inner, name);
            }
            Starts::Script => self.text(inner, name),
            Starts::Shell => self.unknown(&line(argv), "a shell runs what it reads"),
        }
    }
}

/// Whether the next word is the option's value; `None` if the option is not known.
fn option(wrapper: &Wrapper, text: &str) -> Option<bool> {
    if text.starts_with("--") {
        let name = text.split('=').next().unwrap_or(text);
        let has_value = text.contains('=');
        if wrapper.long_values.contains(&name) {
            return Some(!has_value);
        }
        return wrapper.long_flags.contains(&name).then_some(false);
    }
    if wrapper.name == "nice" && text[1..].chars().all(|c| c.is_ascii_digit()) {
        return Some(false);
    }
    for (i, letter) in text.char_indices().skip(1) {
        if wrapper.values.contains(letter) {
            return Some(i + letter.len_utf8() == text.len());
        }
        if !wrapper.flags.contains(letter) {
            return None;
        }
    }
    Some(false)
}

/// The options of git itself. Those of its subcommands have the same letters and other meanings.
fn before_subcommand(words: &[Word]) -> &[Word] {
    let mut end = 0;
    while let Some(word) = words.get(end).filter(|word| word.text.starts_with('-')) {
        end +=
            if ["-C", "-c", "--git-dir", "--work-tree", "--namespace"].contains(&word.text.as_str()) { 2 } else { 1 };
    }
    words.get(..end).unwrap_or(words)
}

/// Whether a word is this option: alone, with `=VALUE`, or a short one with its value behind it.
fn is_option(word: &str, option: &str) -> bool {
    word.strip_prefix(option).is_some_and(|rest| rest.is_empty() || rest.starts_with('=') || !option.starts_with("--"))
}

/// A word that a program replaces parts of.
fn replaced(word: &Word, placeholder: &str) -> Word {
    Word { is_known: word.is_known && !word.text.contains(placeholder), ..word.clone() }
}

fn is_assignment(word: &Word) -> bool {
    let name = word.text.split_once('=').map(|(name, _)| name);
    name.is_some_and(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with('-')
    })
}

fn is_stdin(path: &str) -> bool {
    path == "-" || path == "/dev/stdin" || path.starts_with("/dev/fd/") || path.starts_with("/proc/self/fd/")
}

/// A script is named by its path, so that it is not taken for a program of that name.
fn script_path(file: &str) -> String {
    if file.contains('/') { file.to_owned() } else { format!("./{file}") }
}

/// The words as one line, each quoted if it needs to be.
pub(super) fn line(words: &[Word]) -> String {
    words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}
