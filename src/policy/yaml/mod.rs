//! The only place that reads YAML: text in, a tree of values with their positions out.
//!
//! Two parsers read every file. [`scan`] goes first: a strict and bounded pass over the events of `saphyr-parser`. It
//! records all positions, and refuses what a policy must not contain: custom tags, equal keys, a second document, alias
//! and nesting bombs, files past the size limit. Only text that it accepts is given to `serde_yaml`. By itself,
//! `serde_yaml` would ignore tags, let the last of two equal keys win, and take gigabytes for a page of aliases. It
//! gives the values. [`join`] adds the positions, and refuses what the two parsers read differently (`017`, `0b11`). So
//! no policy means one thing here and another thing in the editor of its author.
//!
//! Merge keys are resolved in [`join`] and not by `serde_yaml::Value::apply_merge`, which leaves a `<<` behind when a
//! mapping that is merged in merges another one itself.

mod join;
mod node;
mod scalar;
mod scan;

pub(super) use node::{Entry, Node, Value, map_to_json};

use super::code::Code;
use super::diagnostic::{Path, Pos, Report};

/// The largest file that is read. Ten thousand ordinary rules take a quarter of it.
pub(in crate::policy) const MAX_BYTES: usize = 4 << 20;

/// Reads one file. Reports everything that is wrong with it as YAML, and then returns `None`.
pub(super) fn parse(file: &str, text: &str, report: &mut Report) -> Option<Node> {
    if text.len() > MAX_BYTES {
        let message = format!(
            "the file has {} bytes, a policy file may have {MAX_BYTES}: split it into layers, or write fewer and wider \
             rules",
            text.len()
        );
        report.error(file, Pos { line: 1, column: 1 }, &Path::Root, Code::TooLarge, message);
        return None;
    }
    // Both parsers would skip a byte order mark. It is skipped once, here.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let raw = scan::scan(file, text, report)?;
    join::join(file, text, &raw, report)
}

#[cfg(test)]
mod tests;
