//! Secrets that a text assigns to a name: `password=…`, `"api_key": "…"`, `--token …`.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::opaque::{can_be_secret, looks_random};

/// A name, a separator, and a value.
static PATTERNS: LazyLock<[Regex; 2]> = LazyLock::new(|| {
    [
        r#"(?x)(?-u:\b) ([A-Za-z][A-Za-z0-9_.-]{1,63}) ["']? [\x20\t]{0,2} (?:=>|:=|=|:) [\x20\t]{0,2} ["'`]?
           ([^\s"'`,;&|<>()=?]{4,}=*)"#,
        r#"(?:^|\s)--?([A-Za-z][A-Za-z0-9_-]{1,63})[ \t]+["']?([^\s"'`,;&|<>()]{4,})"#,
    ]
    .map(|pattern| Regex::new(pattern).expect("it is a part of the program, and a test compiles it"))
});

/// The value of an `Authorization` header, and the values of a cookie.
static CREDENTIAL: LazyLock<[Regex; 2]> = LazyLock::new(|| {
    [
        r"(?i)^(?:basic|bearer|token|apikey|api-key|key|negotiate|bot|splunk|oauth) +(\S+)$",
        r#"(?:^|; ?)[A-Za-z0-9_.-]+=([^\s;"'`]+)"#,
    ]
    .map(|pattern| Regex::new(pattern).expect("it is a part of the program, and a test compiles it"))
});

/// Finds the values that a text assigns to the name of a secret. Only a value that looks made by a machine counts: in
/// `password=required` it is a word.
pub(super) fn find(text: &str, is_name: impl Fn(&str) -> bool, found: &mut Vec<Range<usize>>) {
    for pattern in &*PATTERNS {
        for captures in pattern.captures_iter(text) {
            let (Some(name), Some(value)) = (captures.get(1), captures.get(2)) else { continue };
            if looks_random(value.as_str()) && can_be_secret(value.as_str()) && is_name(name.as_str()) {
                found.push(value.range());
            }
        }
    }
}

/// Finds the secrets in a value that has the name of a secret but is more than a token: `Bearer …`, `session=…;
/// Path=/`.
pub(super) fn find_in_credential(text: &str, found: &mut Vec<Range<usize>>) {
    let [header, cookie] = &*CREDENTIAL;
    let values = |pattern: &'static Regex| pattern.captures_iter(text).filter_map(|captures| captures.get(1));
    found.extend(values(header).filter(|value| can_be_secret(value.as_str())).map(|value| value.range()));
    let is_random = |value: &str| can_be_secret(value) && looks_random(value);
    found.extend(values(cookie).filter(|value| is_random(value.as_str())).map(|value| value.range()));
}
