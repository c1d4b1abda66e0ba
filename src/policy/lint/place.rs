//! Reports a finding about a rule at the place where the rule is written.

use crate::policy::code::Code;
use crate::policy::diagnostic::{Path, Pos, Report};
use crate::policy::rule::Rule;

pub(in crate::policy) fn warn(report: &mut Report, rule: &Rule, code: Code, message: String) {
    let at = &rule.position;
    report.warn(&at.file, Pos { line: at.line, column: at.column }, &Path::Root, code, message);
}
