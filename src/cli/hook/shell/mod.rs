//! Reads a shell command as bash would, and lists everything that it would do: every simple command in pipelines,
//! lists, subshells, substitutions and functions, what wrappers such as `sudo` and `bash -c` start, and the files of
//! redirections.
//!
//! Nothing is run and nothing is guessed. What is known only when the command runs (a variable as the command's name,
//! text from another program) is a [`Step::Unknown`], never left out. brush-parser does the parsing. It descends once
//! for each nested construct, so nesting is bounded before it starts.

mod command;
mod steps;
#[cfg(test)]
mod tests;
mod walk;
mod words;
mod wrappers;

pub(super) use self::steps::{Access, Step};
use self::walk::Walk;

/// The longest command that is read, in bytes.
const MAX_BYTES: usize = 32 << 10;
/// The most constructs that may nest: brackets, backquotes and keywords that open a block are counted.
const MAX_OPENERS: usize = 300;
/// The most things that one command may do.
const MAX_STEPS: usize = 64;

/// Everything that this command would do in this directory, each thing once.
pub(super) fn steps(command: &str, cwd: &str, home: Option<&str>) -> Vec<Step> {
    let why = if command.len() > MAX_BYTES {
        format!("it is longer than {MAX_BYTES} bytes")
    } else if command.contains('\0') {
        "it has a NUL character, which shells drop".to_owned()
    } else if openers(command) > MAX_OPENERS {
        format!("more than {MAX_OPENERS} brackets and blocks may nest")
    } else {
        let mut walk = Walk::new(cwd, home);
        walk.script(command);
        let steps = walk.finish();
        if steps.len() <= MAX_STEPS {
            return steps;
        }
        format!("it does more than {MAX_STEPS} things")
    };
    vec![Step::Unknown { text: command.to_owned(), why }]
}

/// An upper bound on how deep the constructs of a script nest.
fn openers(script: &str) -> usize {
    let brackets = script.chars().filter(|c| matches!(c, '(' | '{' | '[' | '`')).count();
    let is_block = |word: &&str| matches!(*word, "if" | "while" | "until" | "for" | "case" | "select" | "!" | "coproc");
    brackets + script.split(|c: char| c.is_whitespace() || c == ';' || c == '&' || c == '|').filter(is_block).count()
}
