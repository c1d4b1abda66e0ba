//! The keys of the screen, once: the screen's help and `aegis review --help` print them.

/// The keys and what they do.
pub(super) const KEYS: [(&str, &str); 15] = [
    ("up, down, j, k", "move in the list, or scroll what is open; also PageUp, PageDown, Space, Home, End, g, G"),
    ("J, K", "scroll the question beside or below the list"),
    ("Enter", "open everything about the question, and close it"),
    ("a, d", "approve or deny it, or all that are marked; both ask for a reason. Enter sends, Esc goes back"),
    ("x", "mark the question, to answer several together; only where all of it was on the screen"),
    ("D", "deny all that wait of its session; asks for a reason, then for y"),
    ("/", "filter by type, target, actor, session, rule or risk; all words must be there"),
    ("h", "history: what ended within the last day"),
    ("t", "the record, as it is written; needs the role auditor"),
    ("Tab", "go through queue, history and record"),
    ("r", "load the list again"),
    ("m", "leave the mouse to the terminal, which selects text with it, and take it back"),
    ("Ctrl+Z", "suspend; `fg` comes back"),
    ("?", "help"),
    ("Esc, q", "close; unmark and clear the filter (Esc); quit"),
];

/// The keys as the text of `--help`.
pub(super) fn text() -> String {
    KEYS.iter().fold(String::new(), |text, (keys, meaning)| format!("{text}  {keys:<15} {meaning}\n"))
}
