//! Walks the syntax tree of a script and collects what it would do.

use brush_parser::ast::{
    AndOr, AndOrList, Assignment, AssignmentName, AssignmentValue, Command, CommandPrefixOrSuffixItem, CompoundCommand,
    CompoundList, ExtendedTestExpr, IoFileRedirectKind, IoFileRedirectTarget, IoRedirect, Pipeline, RedirectList,
    SimpleCommand,
};
use brush_parser::{Parser, ParserOptions};

use super::steps::{Access, Step};
use super::words::{Word, reads_variables};
use super::wrappers::steers;

/// How deep scripts may lie within scripts: `bash -c "bash -c …"`.
const MAX_DEPTH: usize = 8;
/// The most directories that a command may run in, by the `cd` before it that may fail.
const MAX_DIRECTORIES: usize = 8;

/// What a command reads on stdin.
#[derive(Clone, Debug)]
pub(super) enum Input {
    /// What the script itself has.
    Own,
    /// This text.
    Text(Word),
    /// What another program or a file has.
    Foreign,
}

/// A walk over one script.
pub(super) struct Walk {
    pub(super) steps: Vec<Step>,
    pub(super) via: Vec<String>,
    /// The directories that the next command may run in. Empty: not known.
    pub(super) directories: Vec<String>,
    pub(super) home: Option<String>,
    pub(super) input: Input,
    /// Whether arithmetic reads variables, and whether a quoted text looks like a substitution. Both together can run
    /// it.
    pub(super) computes: bool,
    is_dormant: bool,
    depth: usize,
}

impl Walk {
    pub(super) fn new(directory: &str, home: Option<&str>) -> Self {
        Self {
            steps: Vec::new(),
            via: Vec::new(),
            directories: if directory.is_empty() { Vec::new() } else { vec![directory.to_owned()] },
            home: home.map(str::to_owned),
            input: Input::Own,
            computes: false,
            is_dormant: false,
            depth: 0,
        }
    }

    /// What was found.
    pub(super) fn finish(mut self) -> Vec<Step> {
        if self.computes && self.is_dormant {
            self.unknown("", "arithmetic runs a substitution that a variable holds");
        }
        self.steps
    }

    /// Notes a step once.
    pub(super) fn note(&mut self, step: Step) {
        if !self.steps.contains(&step) {
            self.steps.push(step);
        }
    }

    pub(super) fn unknown(&mut self, text: &str, why: &str) {
        self.note(Step::Unknown { text: text.to_owned(), why: why.to_owned() });
    }

    /// A script within the script, started by this program.
    pub(super) fn script_via(&mut self, script: &str, by: &str) {
        self.via.push(by.to_owned());
        self.script(script);
        self.via.pop();
    }

    /// A whole script.
    pub(super) fn script(&mut self, script: &str) {
        if self.depth == MAX_DEPTH {
            return self.unknown(script, "scripts lie too deep within scripts");
        }
        self.depth += 1;
        match Parser::new(script.as_bytes(), &ParserOptions::default()).parse_program() {
            Ok(program) => program.complete_commands.iter().for_each(|list| self.list(list)),
            Err(error) => self.unknown(script, &format!("it does not parse: {error}")),
        }
        self.depth -= 1;
    }

    /// A script whose `cd` ends with it, as in a subshell.
    fn apart(&mut self, walk: impl FnOnce(&mut Self)) {
        let directories = self.directories.clone();
        walk(self);
        self.directories = directories;
    }

    fn list(&mut self, CompoundList(items): &CompoundList) {
        for item in items {
            self.and_or(&item.0);
        }
    }

    /// Pipelines joined by `&&` and `||`. Only behind `&&` is it certain that a `cd` has worked.
    fn and_or(&mut self, AndOrList { first, additional }: &AndOrList) {
        let mut before = self.directories.clone();
        self.pipeline(first);
        for next in additional {
            match next {
                AndOr::And(pipeline) => self.pipeline(pipeline),
                AndOr::Or(pipeline) => {
                    self.or_still_in(&before);
                    before.clone_from(&self.directories);
                    self.pipeline(pipeline);
                }
            }
        }
        self.or_still_in(&before);
    }

    fn or_still_in(&mut self, before: &[String]) {
        if self.directories.is_empty() {
            return;
        }
        for directory in before {
            if !self.directories.contains(directory) {
                self.directories.push(directory.clone());
            }
        }
        if self.directories.len() > MAX_DIRECTORIES {
            self.directories.clear();
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline) {
        if let [command] = pipeline.seq.as_slice() {
            return self.one(command);
        }
        let own = self.input.clone();
        for (i, command) in pipeline.seq.iter().enumerate() {
            if i > 0 {
                self.input = Input::Foreign;
            }
            self.apart(|walk| walk.one(command));
        }
        self.input = own;
    }

    fn one(&mut self, command: &Command) {
        match command {
            Command::Simple(command) => self.simple(command),
            Command::Compound(command, redirects) => self.with(redirects.as_ref(), |walk| walk.compound(command)),
            Command::Function(function) => {
                let name = self.word(&function.fname.value);
                if !name.is_known || ["cd", "pushd", "popd", "command", "builtin"].contains(&name.text.as_str()) {
                    self.unknown(&name.text, "a function takes the place of a builtin");
                }
                self.with(function.body.1.as_ref(), |walk| walk.apart(|walk| walk.compound(&function.body.0)));
            }
            Command::ExtendedTest(test, redirects) => self.with(redirects.as_ref(), |walk| walk.test(&test.expr)),
        }
    }

    /// Walks what stands under redirections of its own.
    fn with(&mut self, redirects: Option<&RedirectList>, walk: impl FnOnce(&mut Self)) {
        let own = self.input.clone();
        redirects.iter().flat_map(|redirects| &redirects.0).for_each(|redirect| self.redirect(redirect));
        walk(self);
        self.input = own;
    }

    fn compound(&mut self, command: &CompoundCommand) {
        match command {
            CompoundCommand::Arithmetic(command) => {
                self.arithmetic(&command.expr.value);
                // `( (a) )` is read as arithmetic too, and in a plain `sh` even `((a))` runs a command.
                if reads_variables(&command.expr.value) {
                    self.apart(|walk| walk.script(&command.expr.value));
                }
            }
            CompoundCommand::ArithmeticForClause(command) => {
                for part in [&command.initializer, &command.condition, &command.updater].into_iter().flatten() {
                    self.arithmetic(&part.value);
                }
                self.list(&command.body.list);
            }
            CompoundCommand::BraceGroup(group) => self.list(&group.list),
            CompoundCommand::Subshell(subshell) => self.apart(|walk| walk.list(&subshell.list)),
            CompoundCommand::ForClause(command) => {
                for value in command.values.iter().flatten() {
                    self.argument(&value.value);
                }
                self.list(&command.body.list);
            }
            CompoundCommand::CaseClause(command) => {
                self.word(&command.value.value);
                for case in &command.cases {
                    case.patterns.iter().for_each(|pattern| drop(self.word(&pattern.value)));
                    case.cmd.iter().for_each(|list| self.list(list));
                }
            }
            CompoundCommand::IfClause(command) => {
                self.list(&command.condition);
                self.list(&command.then);
                for clause in command.elses.iter().flatten() {
                    clause.condition.iter().for_each(|list| self.list(list));
                    self.list(&clause.body);
                }
            }
            CompoundCommand::WhileClause(command) | CompoundCommand::UntilClause(command) => {
                self.list(&command.0);
                self.list(&command.1.list);
            }
            CompoundCommand::Coprocess(command) => {
                let own = std::mem::replace(&mut self.input, Input::Foreign);
                self.apart(|walk| walk.one(&command.body));
                self.input = own;
            }
        }
    }

    /// `[[ … ]]`, which computes with what stands beside `-eq` and in subscripts.
    fn test(&mut self, expression: &ExtendedTestExpr) {
        self.computes = true;
        match expression {
            ExtendedTestExpr::And(left, right) | ExtendedTestExpr::Or(left, right) => {
                self.test(left);
                self.test(right);
            }
            ExtendedTestExpr::Not(inner) | ExtendedTestExpr::Parenthesized(inner) => self.test(inner),
            ExtendedTestExpr::UnaryTest(_, word) => drop(self.word(&word.value)),
            ExtendedTestExpr::BinaryTest(_, left, right) => {
                self.word(&left.value);
                self.word(&right.value);
            }
        }
    }

    fn arithmetic(&mut self, expression: &str) {
        self.computes |= reads_variables(expression);
        if expression.contains(['$', '`']) {
            self.word(expression);
        }
    }

    /// Reads a word, and walks the scripts in its substitutions.
    pub(super) fn word(&mut self, source: &str) -> Word {
        let word = Word::read(source, self.home.as_deref());
        self.substitutions(&word);
        word
    }

    /// Reads a word that names files: it can be a glob.
    fn argument(&mut self, source: &str) -> Word {
        let word = self.word(source);
        if word.has_group {
            self.unknown(&word.text, "zsh can run a command in the brackets of a glob");
        }
        word
    }

    fn substitutions(&mut self, word: &Word) {
        self.computes |= word.computes;
        self.is_dormant |= word.is_dormant;
        if let Some(why) = word.hidden {
            self.unknown(&word.text, why);
        }
        for script in &word.scripts {
            self.apart(|walk| walk.script(script));
        }
    }

    fn simple(&mut self, command: &SimpleCommand) {
        let own = self.input.clone();
        let mut argv = Vec::new();
        for item in command.prefix.iter().flat_map(|prefix| &prefix.0) {
            self.item(item, &mut argv, false);
        }
        if let Some(name) = &command.word_or_name {
            let name = self.argument(&name.value);
            argv.push(name);
        }
        for item in command.suffix.iter().flat_map(|suffix| &suffix.0) {
            self.item(item, &mut argv, true);
        }
        if !argv.is_empty() {
            self.command(&argv);
        }
        self.input = own;
    }

    fn item(&mut self, item: &CommandPrefixOrSuffixItem, argv: &mut Vec<Word>, is_argument: bool) {
        match item {
            CommandPrefixOrSuffixItem::IoRedirect(redirect) => self.redirect(redirect),
            CommandPrefixOrSuffixItem::Word(word) => {
                let word = self.argument(&word.value);
                argv.push(word);
            }
            CommandPrefixOrSuffixItem::AssignmentWord(assignment, word) => {
                self.assignment(assignment);
                if is_argument {
                    argv.push(Word::read(&word.value, self.home.as_deref()));
                }
            }
            CommandPrefixOrSuffixItem::ProcessSubstitution(_, subshell) => {
                self.apart(|walk| walk.list(&subshell.list));
                argv.push(Word::unknown("/dev/fd/63"));
            }
        }
    }

    fn assignment(&mut self, Assignment { name, value, .. }: &Assignment) {
        let name = match name {
            AssignmentName::VariableName(name) => name,
            AssignmentName::ArrayElementName(name, subscript) => {
                self.arithmetic(subscript);
                name
            }
        };
        let values = match value {
            AssignmentValue::Scalar(word) => vec![self.word(&word.value)],
            AssignmentValue::Array(items) => {
                let mut values = Vec::new();
                for (subscript, word) in items {
                    if let Some(subscript) = subscript {
                        self.arithmetic(&subscript.value);
                    }
                    values.push(self.word(&word.value));
                }
                values
            }
        };
        let value = values.into_iter().map(|value| value.text).collect::<Vec<_>>().join(" ");
        self.set(name, &value);
    }

    /// Notes a variable that steers other programs.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        if steers(name) {
            self.note(Step::Variable { name: name.to_owned(), value: value.to_owned() });
        }
    }

    fn redirect(&mut self, redirect: &IoRedirect) {
        match redirect {
            IoRedirect::File(fd, kind, target) => {
                let access = match kind {
                    IoFileRedirectKind::Read | IoFileRedirectKind::DuplicateInput => Access::Read,
                    _ => Access::Write,
                };
                if access == Access::Read && fd.unwrap_or(0) == 0 {
                    self.input = Input::Foreign;
                }
                match target {
                    IoFileRedirectTarget::Duplicate(word)
                        if word.value.trim_end_matches('-').parse::<u32>().is_ok() => {}
                    IoFileRedirectTarget::Duplicate(word) if word.value == "-" => {}
                    IoFileRedirectTarget::Filename(word) | IoFileRedirectTarget::Duplicate(word) => {
                        self.file(access, &word.value);
                    }
                    IoFileRedirectTarget::Fd(_) => {}
                    IoFileRedirectTarget::ProcessSubstitution(_, subshell) => {
                        self.apart(|walk| walk.list(&subshell.list));
                    }
                }
            }
            IoRedirect::HereDocument(fd, document) => {
                let text = &document.doc.value;
                let tag = document.here_end.value.trim_matches(['\'', '"', '\\']);
                // A backslash at the end of a line joins the next one to it, the delimiter included.
                let joins_lines = document.requires_expansion && text.contains("\\\n");
                let may_end_before = joins_lines || text.lines().any(|line| line.trim() == tag);
                if may_end_before || !is_plain_delimiter(&document.here_end.value) {
                    self.unknown(text, "shells may end this here-document at another line");
                }
                let word = if document.requires_expansion {
                    Word::read_here_document(text, self.home.as_deref())
                } else {
                    Word::known(text)
                };
                self.text_input(*fd, word);
            }
            IoRedirect::HereString(fd, word) => {
                let word = Word::read(&word.value, self.home.as_deref());
                self.text_input(*fd, word);
            }
            IoRedirect::OutputAndError(word, _) => self.file(Access::Write, &word.value),
        }
    }

    fn text_input(&mut self, fd: Option<i32>, word: Word) {
        self.substitutions(&word);
        if fd.unwrap_or(0) == 0 {
            self.input = Input::Text(word);
        }
    }

    fn file(&mut self, access: Access, source: &str) {
        let word = self.argument(source);
        let path = word.text.as_str();
        if !word.is_known {
            return self.unknown(path, "the file of a redirection is not known");
        }
        if let Some(address) = path.strip_prefix("/dev/tcp/").or_else(|| path.strip_prefix("/dev/udp/")) {
            return self.note(Step::Connect(address.replacen('/', ":", 1)));
        }
        let is_harmless = ["/dev/null", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/tty"].contains(&path);
        if is_harmless || path.starts_with("/dev/fd/") {
            return;
        }
        if self.directories.is_empty() && !path.starts_with('/') {
            return self.unknown(path, "the directory of a redirection is not known");
        }
        self.note(Step::File { access, path: path.to_owned(), directories: self.directories.clone() });
    }
}

/// Whether every shell takes the delimiter of a here-document for the same text.
fn is_plain_delimiter(delimiter: &str) -> bool {
    let quoted = |quote: char| delimiter.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    let plain = quoted('\'').or_else(|| quoted('"')).or_else(|| delimiter.strip_prefix('\\')).unwrap_or(delimiter);
    !plain.is_empty() && plain.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}
