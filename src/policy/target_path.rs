//! The target of an action, read as a path or a URL and written in one way: what `match.target_path` is matched with.
//!
//! A glob on the plain target is dodged by `..`, by escapes and by an upper-case host. Here they are resolved first, as
//! the HTTP adapters of the SDKs resolve them (`tests/sdk/http.yaml`):
//!
//! | target | read as |
//! | --- | --- |
//! | `/data/./a/../b//c/` | `/data/b/c` |
//! | `HTTP://Example.COM:80/a/%2e%2e/%62?x#y` | `http://example.com/b` |
//! | `file:///data/../etc` | `/etc` |
//!
//! A target that has no one reading is unknown: a path that leaves its beginning by `..`, a backslash, an escaped
//! slash, a user in a URL, a host that is no plain name or address. A path of a file has two readings if it contains
//! escapes: a file system takes them as they are, a web server undoes them. Both are tried.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::domain::nfc;

/// A target as a path or URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TargetPath {
    /// The normal form.
    pub(super) path: String,
    /// The normal form with escapes undone, if it is another one and the target may be meant without.
    pub(super) unescaped: Option<String>,
}

/// What keeps a target from having a normal form, as a part of a sentence.
pub(super) type Unreadable = &'static str;

/// Reads a target, which must be in NFC.
pub(super) fn read(target: &str) -> Result<TargetPath, Unreadable> {
    if target.trim() != target {
        return Err("it begins or ends with white space");
    }
    if target.chars().any(char::is_control) {
        return Err("it contains a control character");
    }
    if target.contains('\\') {
        return Err("it contains a backslash, which separates directories on some systems only");
    }
    let alone = |path| TargetPath { path, unescaped: None };
    match scheme(target) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("file") => both(file(rest)?),
        Some((scheme, rest)) => match rest.strip_prefix("//") {
            Some(rest) => url(&scheme.to_ascii_lowercase(), rest).map(alone),
            None if is_web(&scheme.to_ascii_lowercase()) => Err("its URL has no host"),
            None => both(target),
        },
        None => both(target),
    }
}

/// The scheme of a URL, and what follows the colon. One letter is a drive, not a scheme.
fn scheme(target: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = target.split_once(':')?;
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    is_scheme.then_some((scheme, rest))
}

fn is_web(scheme: &str) -> bool {
    matches!(scheme, "http" | "https" | "ws" | "wss")
}

/// A path without a scheme, in its one or two readings.
fn both(target: &str) -> Result<TargetPath, Unreadable> {
    let path = plain(target)?;
    let unescaped = match undo_escapes(target)? {
        Cow::Borrowed(_) => None,
        Cow::Owned(text) => Some(plain(&nfc(&text))?).filter(|other| *other != path),
    };
    Ok(TargetPath { path, unescaped })
}

/// The path of a file, from its URL without the scheme. Its escapes should be undone, but a program that only cuts the
/// scheme off does not.
fn file(rest: &str) -> Result<&str, Unreadable> {
    let path = match rest.strip_prefix("//") {
        Some(rest) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if !host.is_empty() && !host.eq_ignore_ascii_case("localhost") {
                return Err("its file is on another host");
            }
            path
        }
        None => rest,
    };
    if path.contains(['?', '#']) {
        return Err("the URL of its file has a query or a fragment");
    }
    Ok(path)
}

/// A path of a file system.
fn plain(path: &str) -> Result<String, Unreadable> {
    if path.starts_with("//") && !path.starts_with("///") {
        return Err("it begins with two slashes, which is a host to some and a directory to others");
    }
    let is_absolute = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            // `~` is a directory elsewhere, so its parent is unknown.
            ".." if kept.last().is_some_and(|last| !(last.starts_with('~') && kept.len() == 1 && !is_absolute)) => {
                kept.pop();
            }
            // Nothing is above the root.
            ".." if is_absolute => {}
            ".." => return Err("it leaves the directory that it begins in by `..`"),
            segment => kept.push(segment),
        }
    }
    let path = kept.join("/");
    Ok(if is_absolute { format!("/{path}") } else { path })
}

/// The text with every escape undone. An escaped separator is refused; a `%` that begins no escape stays.
fn undo_escapes(text: &str) -> Result<Cow<'_, str>, Unreadable> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    let mut is_changed = false;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, escape(after)) {
            (b'%', Some(b'/' | b'\\')) => return Err("it contains an escaped slash"),
            (b'%', Some(0..=0x1f | 0x7f)) => return Err("it contains an escaped control character"),
            (b'%', Some(escaped)) => {
                bytes.push(escaped);
                rest = after.get(2..).unwrap_or_default();
                is_changed = true;
            }
            _ => bytes.push(byte),
        }
    }
    if !is_changed {
        return Ok(Cow::Borrowed(text));
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| "its escapes are no text")
}

/// The byte that two hexadecimal digits stand for.
fn escape(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// A URL with a host. `scheme` is in lower case, `rest` begins with the host.
fn url(scheme: &str, rest: &str) -> Result<String, Unreadable> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let host = self::authority(scheme, authority)?;
    let path = match rest.find(['?', '#']) {
        Some(end) if is_web(scheme) => &rest[..end],
        // Elsewhere these may be a part of a name.
        Some(_) => return Err("it contains `?` or `#`, which means a query in some schemes only"),
        None => rest,
    };
    Ok(format!("{scheme}://{host}{}", url_path(path)?))
}

/// Host and port.
fn authority(scheme: &str, authority: &str) -> Result<String, Unreadable> {
    if authority.contains('@') {
        return Err("its URL names a user");
    }
    let (host, port) = if let Some(inside) = authority.strip_prefix('[') {
        let (address, port) = inside.split_once(']').ok_or("its host is no address")?;
        let address: Ipv6Addr = address.parse().map_err(|_| "its host is no address")?;
        let host = address.to_ipv4_mapped().map_or_else(|| format!("[{address}]"), |address| address.to_string());
        (host, port.strip_prefix(':').or(port.is_empty().then_some("")).ok_or("its port is no number")?)
    } else {
        let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
        (self::host(host)?, port)
    };
    let default = match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    };
    if port.is_empty() {
        return Ok(host);
    }
    let number = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse::<u16>().ok()).flatten();
    match number.ok_or("its port is no number")? {
        number if Some(number) == default => Ok(host),
        number => Ok(format!("{host}:{number}")),
    }
}

/// A host: a name in lower case, or an IPv4 address in its usual form.
fn host(host: &str) -> Result<String, Unreadable> {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if host.is_empty() {
        return Err("its URL has no host");
    }
    if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')) {
        return Err("its host is no plain name: a name beyond ASCII is written as `xn--…`");
    }
    // A name that ends in a number is an address, in one of the many forms that some programs take.
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    if is_number && host.parse::<Ipv4Addr>().is_err() {
        return Err("its host is an address in an unusual form");
    }
    Ok(host)
}

/// The path of a URL: dots resolved, needless escapes undone, needed escapes in capitals.
fn url_path(path: &str) -> Result<String, Unreadable> {
    let mut kept: Vec<String> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (i, segment) in segments.iter().enumerate() {
        let segment = url_segment(segment)?;
        let is_last = i + 1 == segments.len();
        if segment == ".." {
            kept.pop();
        } else if segment.starts_with("..;") || segment.starts_with(".;") {
            return Err("it contains dots with a path parameter");
        } else if segment != "." {
            kept.push(segment);
            continue;
        }
        if is_last {
            kept.push(String::new());
        }
    }
    Ok(format!("/{}", kept.join("/")))
}

fn url_segment(segment: &str) -> Result<String, Unreadable> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut written = String::with_capacity(segment.len());
    let push_escape = |written: &mut String, byte: u8| {
        written.push('%');
        written.push(char::from(HEX[usize::from(byte >> 4)]));
        written.push(char::from(HEX[usize::from(byte & 15)]));
    };
    let mut rest = segment.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            match escape(after) {
                None => return Err("it contains a `%` that begins no escape"),
                Some(b'/' | b'\\') => return Err("it contains an escaped slash"),
                Some(escaped) if is_unreserved(escaped) => written.push(char::from(escaped)),
                Some(escaped) => push_escape(&mut written, escaped),
            }
            rest = after.get(2..).unwrap_or_default();
        } else if is_unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte) {
            written.push(char::from(byte));
        } else {
            push_escape(&mut written, byte);
        }
    }
    Ok(written)
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Why a glob matches no normal form, for the commonest mistakes: the glob itself contains what is resolved.
pub(super) fn mistake(glob: &str) -> Option<&'static str> {
    let after_scheme = scheme(glob).and_then(|(scheme, rest)| Some((scheme, rest.strip_prefix("//")?)));
    let path = after_scheme.map_or(glob, |(_, rest)| rest);
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Some("`.` and `..` are resolved before this is compared: write the path that they lead to");
    }
    if glob.contains('\\') {
        return Some("a target with a backslash has no normal form: write `/`");
    }
    match after_scheme {
        None if path.contains("//") => Some("several slashes are one before this is compared: write one"),
        None if path.len() > 1 && path.ends_with('/') => {
            Some("a path is compared without a slash at its end: leave it out")
        }
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("file") => {
            Some("the URL of a file is compared as its path: write `/…`")
        }
        Some((scheme, _)) if scheme.contains(|c: char| c.is_ascii_uppercase()) => {
            Some("scheme and host are compared in lower case: write them so")
        }
        Some((_, rest))
            if rest.split('/').next().is_some_and(|host| host.contains(|c: char| c.is_ascii_uppercase())) =>
        {
            Some("scheme and host are compared in lower case: write them so")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    /// The readings of a target, or `?`.
    fn shown(target: &str) -> String {
        match read(target) {
            Ok(TargetPath { path, unescaped: None }) => path,
            Ok(TargetPath { path, unescaped: Some(other) }) => format!("{path} or {other}"),
            Err(_) => "?".to_owned(),
        }
    }

    #[test]
    fn a_path_has_one_spelling() {
        for (target, expected) in [
            ("", ""),
            ("/", "/"),
            ("crm", "crm"),
            ("/data/./a/../b//c/", "/data/b/c"),
            ("///data", "/data"),
            ("/../../etc/passwd", "/etc/passwd"),
            ("/data/../etc/passwd", "/etc/passwd"),
            ("a/b/../c", "a/c"),
            ("a/..", ""),
            ("~/notes/../x", "~/x"),
            ("/~/..", "/"),
            ("/.../a", "/.../a"),
            ("table:users", "table:users"),
            ("C:/x", "C:/x"),
            ("file:///data/../etc/passwd", "/etc/passwd"),
            ("file:///etc/%70asswd", "/etc/%70asswd or /etc/passwd"),
            ("FILE:/etc/passwd", "/etc/passwd"),
            ("file://localhost/etc", "/etc"),
            ("/100%/a", "/100%/a"),
            ("/data/%2e%2e/etc", "/data/%2e%2e/etc or /etc"),
            ("/a%20b", "/a%20b or /a b"),
        ] {
            assert_eq!(shown(target), expected, "{target}");
        }
    }

    #[test]
    fn what_has_no_one_reading_is_unknown() {
        for target in [
            "../x",
            "a/../../x",
            "~/../x",
            "~ada/..",
            "//host/x",
            " /etc",
            "/etc ",
            "a\\b",
            "/a%2fb",
            "/a%5Cb",
            "/%ff",
            "/a\u{0}",
            "/a%00",
            "%2e%2e/x",
            "http:/x",
            "https:x",
            "file://host/x",
            "file:///a?b",
            "s3://b/k?x",
            "http://a@h/",
            "http://ex%61mple.com/",
            "http://127.1/",
            "http://0x7f000001/",
            "http://h:99999/",
            "http://[fe80::1%25eth0]/",
            "http://bücher.example/",
            "http:///a",
            "http://h/..;x/a",
            "http://h/%zz",
        ] {
            assert_eq!(shown(target), "?", "{target}");
        }
    }

    /// The cases that the SDKs normalise, so that one glob fits what they propose and what others do.
    #[test]
    fn a_url_is_written_as_the_sdks_write_it() {
        #[derive(Deserialize)]
        struct Cases {
            cases: Vec<Case>,
        }
        #[derive(Deserialize)]
        struct Case {
            says: String,
            url: String,
            target: Option<String>,
            #[serde(default)]
            allow_encoded_slashes: bool,
            #[serde(default)]
            refused: bool,
            headers: Option<serde_yaml::Value>,
        }

        let text = include_str!("../../tests/sdk/http.yaml");
        let cases: Cases = serde_yaml::from_str(text).unwrap();
        let mut count = 0;
        for case in cases.cases {
            // What only the SDKs know: options, headers, and the query, which no target contains.
            let is_beyond = case.allow_encoded_slashes || case.headers.is_some() || case.url.contains('?');
            let is_name = !case.url.is_ascii() && case.target.as_ref().is_some_and(|target| target.contains("xn--"));
            // A path alone, and another scheme, are no URL of the web but have a normal form here.
            if is_beyond || is_name || matches!(case.url.as_str(), "/a" | "ftp://example.com/a") {
                continue;
            }
            match case.target {
                Some(target) => {
                    assert_eq!(shown(&case.url), target, "{}", case.says);
                    count += 1;
                }
                None if case.refused && case.url.starts_with("http") && !case.url.ends_with("/a") => {
                    assert_eq!(shown(&case.url), "?", "{}: {}", case.says, case.url);
                    count += 1;
                }
                None => {}
            }
        }
        assert!(count > 40, "{count}");
    }

    #[test]
    fn the_query_is_apart_and_other_schemes_keep_their_host() {
        assert_eq!(shown("https://Example.com./a?b=/../c#d"), "https://example.com/a");
        assert_eq!(shown("https://example.com?x"), "https://example.com/");
        assert_eq!(shown("s3://Bucket/a/../b"), "s3://bucket/b");
        assert_eq!(shown("postgres://db:5432/x"), "postgres://db:5432/x");
    }

    #[test]
    fn a_glob_that_can_match_nothing_is_found() {
        for glob in ["/a/../b", "./a", "/a//b", "/a/", "HTTP://h/*", "http://H/*", "a\\b", "file:///a"] {
            assert!(mistake(glob).is_some(), "{glob}");
        }
        for glob in ["/", "/a/*", "*", "", "http://h/a//b/", "https://*.example.com/*", "/a/..b", "s3://b/*"] {
            assert_eq!(mistake(glob), None, "{glob}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_form_is_its_own_and_never_leaves(
            target in "(/|http://h/|file:///)?([a.]{1,3}/|%2e|%2E|%41|é|~|/){0,8}",
        ) {
            if let Ok(read) = read(&target) {
                for path in std::iter::once(&read.path).chain(&read.unescaped) {
                    prop_assert!(path.split('/').all(|segment| segment != ".." && segment != "."), "{}", path);
                }
                prop_assert_eq!(super::read(&read.path).map(|again| again.path), Ok(read.path));
            }
        }
    }
}
