//! What can be a secret, and what must stay readable: masking hides a token, never an action.
//!
//! An agent chooses its own texts. If every value named `password` were hidden, a reviewer could be asked to approve a
//! command that cannot be read. A token has no blanks, no quotes and no shell operators; a command that does something
//! has. So a text with any of these is shown. What a policy names in `redact` is always hidden.

use crate::domain::Defence;

/// Whether a text can be a secret as a whole.
pub(super) fn can_be_secret(text: &str) -> bool {
    if !Defence::ReadableActions.on() {
        return true;
    }
    let mut chars = text.chars().peekable();
    let mut is_list = false;
    while let Some(c) = chars.next() {
        match c {
            '"' | '\'' | '`' | '|' | '&' | ';' | '<' | '>' | '(' | ')' | '\\' => return false,
            c if c.is_whitespace() || c.is_control() => return false,
            // `$NAME`, `${NAME}` and `$(command)` are shell syntax; `pa$$word` is somebody's password.
            '$' => match chars.peek() {
                Some('$') => drop(chars.next()),
                Some('(' | '{' | '_') => return false,
                Some(next) if next.is_ascii_alphabetic() => return false,
                _ => {}
            },
            ',' => is_list = true,
            _ => {}
        }
    }
    // `{rm,-rf,/}` is three words.
    let is_words = is_list && text.contains('{');
    !(text.is_empty() || is_words || text.contains("://") || is_path(text))
}

/// Whether a token looks made by a machine: it has letters and digits, or capitals among small letters.
pub(super) fn looks_random(text: &str) -> bool {
    let has = |is: fn(&u8) -> bool| text.bytes().any(|byte| is(&byte));
    let inner_capital = text.bytes().skip(1).any(|byte| byte.is_ascii_uppercase());
    let has_lower = has(u8::is_ascii_lowercase);
    has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic) || inner_capital && has_lower
}

/// Whether a text is the path of a file. A path that looks like base64 is none.
fn is_path(text: &str) -> bool {
    let has = |is: fn(&u8) -> bool| text.bytes().any(|byte| is(&byte));
    let is_mixed = has(u8::is_ascii_digit) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    ["/", "~/", "./", "../"].iter().any(|start| text.starts_with(start)) && !is_mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_can_be_a_secret() {
        for text in [
            "hunter2",
            "pa$$w0rd!",
            "p@ss:word#1",
            "dGVzdA==",
            "a/b+c=",
            "$1abc",
            "x{y}",
            "пароль",
            "/aB3+dE6/h",
            "a,b",
        ] {
            assert!(can_be_secret(text), "{text}");
        }
    }

    #[test]
    fn a_command_stays_readable() {
        for text in [
            "",
            "rm -rf /",
            "curl\tevil.test",
            "a|sh",
            "a&&b",
            "a;b",
            ">x",
            "$(id)",
            "`id`",
            "${IFS}",
            "cat$IFS/etc/passwd",
            "{rm,-rf,x}",
            "'a'",
            "a\nb",
            "a\\x20b",
            "https://evil.test/x",
            "/bin/evil.sh",
            "~/x.sh",
            "../x",
            "f()",
        ] {
            assert!(!can_be_secret(text), "{text}");
        }
    }

    #[test]
    fn a_token_made_by_a_machine_mixes_kinds_of_characters() {
        for text in ["hunter2", "dXNlcjpwYXNz", "a1b2c3"] {
            assert!(looks_random(text), "{text}");
        }
        for text in ["internationalization", "Required", "12345", "none"] {
            assert!(!looks_random(text), "{text}");
        }
    }
}
