//! Colours, by meaning. They are removed if the output is no terminal or `NO_COLOR` is set.

use anstyle::{AnsiColor, Style};

/// No colour.
pub(super) const PLAIN: Style = Style::new();
/// Allowed, approved, worked.
pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Denied, blocked, failed.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Somebody still has to answer.
pub(super) const WAITING: Style = AnsiColor::Yellow.on_default().bold();
/// Less important.
pub(super) const FAINT: Style = Style::new().dimmed();
/// Headings.
pub(super) const HEADING: Style = Style::new().bold();

/// The colour of a word of the API: an outcome, a risk level, an ending, a result.
pub(super) fn of(word: &str) -> Style {
    match word {
        "ALLOW" | "AUTO" | "ALLOWED" | "approved" | "success" | "SERVING" => GOOD,
        "DENY" | "BLOCK" | "BLOCKED" | "block" | "blocked" | "denied" | "failed" | "CRITICAL" => BAD,
        "ESCALATE"
        | "REQUIRE_CONFIRMATION"
        | "APPROVE"
        | "CONFIRM"
        | "HIGH"
        | "approve"
        | "confirm"
        | "expired"
        | "unknown" => WAITING,
        _ => PLAIN,
    }
}
