//! Secrets that no rule names: parameters that are called like one, and texts that look like one.
//!
//! A policy masks the usual ones unless it says `secrets: { defaults: false }`, and adds its own `names` and `patterns`. What is
//! masked is masked on the record and before reviewers; decisions are made on the real values.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

use super::glob::Glob;
use super::index::Index;
use super::mask::{masked_text, placeholder};
use crate::domain::ParamPath;

/// What credentials are usually called: globs over a name in lower case.
pub(super) const DEFAULT_NAMES: [&str; 33] = [
    "*password*",
    "*passwd*",
    "*passphrase*",
    "*secret*",
    "*credential*",
    "*apikey*",
    "*api[_-]key*",
    "*privatekey*",
    "*private[_-]key*",
    "*accesskey*",
    "*access[_-]key*",
    "*signing[_-]key*",
    "*encryption[_-]key*",
    "authorization",
    "proxy[_-]authorization",
    "cookie",
    "set[_-]cookie",
    "token",
    "*accesstoken*",
    "*access[_-]token*",
    "*refreshtoken*",
    "*refresh[_-]token*",
    "*authtoken*",
    "*auth[_-]token*",
    "*bearer[_-]token*",
    "*session[_-]token*",
    "*api[_-]token*",
    "*id[_-]token",
    "*cardnumber*",
    "*card[_-]number*",
    "cvc",
    "cvv",
    "ssn",
];

/// What credentials look like, by their issuers' own documentation of prefixes. Of a pattern with a group, the group is the
/// secret.
pub(super) const DEFAULT_PATTERNS: [&str; 14] = [
    // PEM (RFC 7468), whole or cut off.
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
    // JSON Web Tokens (RFC 7519): the first two parts begin with `{"` in base64.
    r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    // The Authorization header (RFC 6750, RFC 7617) inside of a text.
    r"\b[Bb]earer +([A-Za-z0-9._~+/-]{16,}=*)",
    r"\b[Bb]asic +([A-Za-z0-9+/]{16,}=*)",
    // The password in a URL (RFC 3986, 3.2.1).
    r"://[^/\s:@]*:([^/\s@]+)@",
    // Aegis itself.
    r"\baegis_[A-Za-z0-9_-]{43}",
    // AWS.
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    // GitHub, GitLab.
    r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})",
    r"\bglpat-[A-Za-z0-9_-]{20,}",
    // Slack.
    r"\bxox[abeprs]-[A-Za-z0-9-]{10,}",
    // OpenAI, Anthropic and those who followed.
    r"\bsk-[A-Za-z0-9_-]{20,}",
    // Stripe.
    r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}",
    // Google.
    r"\bAIza[A-Za-z0-9_-]{35}",
    // npm.
    r"\bnpm_[A-Za-z0-9]{36}",
];

static USUAL_NAMES: LazyLock<Names> = LazyLock::new(|| Names::new(DEFAULT_NAMES.into_iter().map(Glob::new).collect()));

static USUAL_PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let compile = |pattern| Regex::new(pattern).expect("it is a part of the program, and a test compiles it");
    DEFAULT_PATTERNS.into_iter().map(compile).collect()
});

/// Which secrets a policy masks.
#[derive(Debug)]
pub struct Secrets {
    /// Whether the usual ones are.
    pub(super) defaults: bool,
    names: Names,
    /// What further secrets look like. Of a pattern with groups, the groups are the secret.
    pub(super) patterns: Vec<Regex>,
}

/// Globs over names in lower case. The index makes a name that matches none of them cheap.
#[derive(Debug)]
struct Names {
    globs: Vec<Glob>,
    index: Index,
}

impl Names {
    fn new(globs: Vec<Glob>) -> Self {
        let any = Glob::new("*");
        let index = Index::new(globs.iter().map(|glob| (glob, &any)));
        Self { globs, index }
    }

    fn matches(&self, name: &str) -> bool {
        let matches = |at: usize| self.globs.get(at).is_some_and(|glob| glob.matches(name)).then_some(());
        self.index.find(name, "", matches).is_some()
    }
}

impl Default for Secrets {
    fn default() -> Self {
        Self::new(true, Vec::new(), Vec::new())
    }
}

/// What was masked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Under which names, each once, in the order of the parameters. What stands in a list has the name of the list.
    pub paths: Vec<ParamPath>,
    /// The values themselves. Never stored.
    pub values: Vec<String>,
}

impl Secrets {
    /// The usual ones, if `defaults`; further names, as globs over a name in lower case; and what further ones look like.
    pub fn new(defaults: bool, names: Vec<Glob>, patterns: Vec<Regex>) -> Self {
        Self { defaults, names: Names::new(names), patterns }
    }

    /// Masks in `shown` whatever is a secret in `original`. The two differ only in what is masked already, which is left as it is.
    pub fn mask(&self, shown: &mut Map<String, Value>, original: &Map<String, Value>) -> Found {
        let mut found = Found::default();
        self.mask_map(shown, original, &Place { path: "", is_fixed: false, is_named: false }, &mut found);
        found
    }

    /// The same for a value that has no name of its own, and the secrets that were in it.
    pub fn mask_alone(&self, original: &Value) -> (Value, Vec<String>) {
        let (mut shown, mut found) = (original.clone(), Found::default());
        self.mask_value(&mut shown, original, &Place { path: "", is_fixed: true, is_named: false }, &mut found);
        (shown, found.values)
    }

    /// Masks what looks like a secret in a text that stands by itself; `None` where nothing does.
    pub fn mask_text(&self, text: &str, values: &mut Vec<String>) -> Option<String> {
        let mut masked = None::<String>;
        for pattern in self.patterns() {
            let so_far = masked.as_deref().unwrap_or(text);
            if let Some(next) = mask_matches(pattern, so_far, values) {
                masked = Some(next);
            }
        }
        masked
    }

    /// Whether this is how a secret is called.
    pub fn is_name(&self, name: &str) -> bool {
        let lower = if name.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
            Cow::Borrowed(name)
        } else {
            Cow::Owned(name.to_lowercase())
        };
        self.defaults && USUAL_NAMES.matches(&lower) || self.names.matches(&lower)
    }

    /// The names that are not the usual ones.
    pub(super) fn names(&self) -> &[Glob] {
        &self.names.globs
    }

    /// Whether nothing is said that differs from the defaults.
    pub(super) fn is_default(&self) -> bool {
        self.defaults && self.names().is_empty() && self.patterns.is_empty()
    }

    fn patterns(&self) -> impl Iterator<Item = &Regex> {
        let usual = if self.defaults { &USUAL_PATTERNS[..] } else { &[] };
        usual.iter().chain(&self.patterns)
    }

    fn mask_map(
        &self,
        shown: &mut Map<String, Value>,
        original: &Map<String, Value>,
        at: &Place<'_>,
        found: &mut Found,
    ) {
        for ((key, shown), original) in shown.iter_mut().zip(original.values()) {
            let is_named = at.is_named || self.is_name(key);
            let path = match (at.is_fixed, at.path) {
                (true, path) => path,
                (false, "") => key,
                (false, path) => &format!("{path}.{key}"),
            };
            self.mask_value(shown, original, &Place { path, is_named, ..*at }, found);
        }
    }

    /// Depth is bounded where values come in.
    fn mask_value(&self, shown: &mut Value, original: &Value, at: &Place<'_>, found: &mut Found) {
        match (&mut *shown, original) {
            (Value::Array(shown), Value::Array(original)) => {
                for (shown, original) in shown.iter_mut().zip(original) {
                    self.mask_value(shown, original, &Place { is_fixed: true, ..*at }, found);
                }
                return;
            }
            (Value::Object(shown), Value::Object(original)) => return self.mask_map(shown, original, at, found),
            // There is nothing to hide, or it is hidden.
            (_, Value::Null) => return,
            (shown, original) if shown != original => return,
            _ => {}
        }
        let masked = match original {
            original if at.is_named => {
                found.values.push(match original {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                Some(placeholder(original))
            }
            Value::String(text) => self.mask_text(text, &mut found.values),
            _ => None,
        };
        if let Some(masked) = masked {
            *shown = Value::String(masked);
            let path = ParamPath::new(at.path);
            // What has one path stands together.
            if found.paths.last() != Some(&path) {
                found.paths.push(path);
            }
        }
    }
}

/// Where in the parameters a value stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a str,
    /// Whether it stands in a list: names have no way to say where.
    is_fixed: bool,
    /// Whether what it stands in is called like a secret.
    is_named: bool,
}

fn mask_matches(pattern: &Regex, text: &str, values: &mut Vec<String>) -> Option<String> {
    if !pattern.is_match(text) {
        return None;
    }
    let (mut out, mut copied) = (String::with_capacity(text.len()), 0);
    for captures in pattern.captures_iter(text) {
        let groups = captures.iter().skip(1).flatten();
        let whole = captures.get(0).filter(|_| captures.iter().skip(1).all(|group| group.is_none()));
        for secret in groups.chain(whole) {
            // Groups may be nested: the outer one has hidden the inner one.
            if secret.start() < copied || secret.is_empty() {
                continue;
            }
            out.push_str(&text[copied..secret.start()]);
            out.push_str(&masked_text(secret.as_str()));
            values.push(secret.as_str().to_owned());
            copied = secret.end();
        }
    }
    (copied > 0).then(|| out + &text[copied..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn masked(secrets: &Secrets, params: &Value) -> (Value, Vec<String>) {
        let params = params.as_object().unwrap();
        let mut shown = params.clone();
        let found = secrets.mask(&mut shown, params);
        (Value::Object(shown), found.paths.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_called_like_a_secret_is_masked_at_any_depth() {
        let params = json!({
            "userPassword": "hunter2",
            "API-Key": 12345,
            "headers": {"Authorization": "x", "accept": "*/*"},
            "users": [{"name": "ada", "passwd": "pw"}],
            "credentials": {"user": "ada", "codes": [1, true]},
            "max_tokens": 100,
            "password": null,
        });
        let expected = json!({
            "userPassword": "[masked, 7 characters]",
            "API-Key": "[masked, 5 characters]",
            "headers": {"Authorization": "[masked, 1 characters]", "accept": "*/*"},
            "users": [{"name": "ada", "passwd": "[masked, 2 characters]"}],
            "credentials": {"user": "[masked, 3 characters]", "codes": ["[masked, 1 characters]", "[masked, 4 characters]"]},
            "max_tokens": 100,
            "password": null,
        });
        let (shown, mut paths) = masked(&Secrets::default(), &params);
        paths.sort_unstable();
        assert_eq!(shown, expected);
        let expected =
            ["API-Key", "credentials.codes", "credentials.user", "headers.Authorization", "userPassword", "users"];
        assert_eq!(paths, expected);
    }

    #[test]
    fn what_looks_like_a_secret_is_masked_within_its_text() {
        for (text, expected) in [
            ("use AKIAIOSFODNN7EXAMPLE now", "use [masked, 20 characters] now"),
            ("postgres://ada:pa55@db/x", "postgres://ada:[masked, 4 characters]@db/x"),
            ("Authorization: Bearer abcdefghijklmnop==", "Authorization: Bearer [masked, 18 characters]"),
            ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\n", "[masked, 65 characters]\n"),
            ("-----BEGIN PRIVATE KEY-----\ncut off", "[masked, 35 characters]"),
            (
                "two: sk-aaaaaaaaaaaaaaaaaaaaaa sk-bbbbbbbbbbbbbbbbbbbbbb",
                "two: [masked, 25 characters] [masked, 25 characters]",
            ),
        ] {
            assert_eq!(Secrets::default().mask_text(text, &mut Vec::new()).as_deref(), Some(expected));
            let (shown, paths) = masked(&Secrets::default(), &json!({"a": {"b": text}}));
            assert_eq!((shown, paths), (json!({"a": {"b": expected}}), vec!["a.b".to_owned()]));
        }
    }

    #[test]
    fn ordinary_texts_stay_as_they_are() {
        for text in ["", "a bearer of news", "mailto:a@b.example", "https://h/p?q=a:b@c", "skip-to-main", "eyJ.eyJ.x"] {
            assert_eq!(Secrets::default().mask_text(text, &mut Vec::new()), None, "{text}");
        }
    }

    #[test]
    fn a_policy_can_add_its_own_and_leave_out_the_usual() {
        let patterns = vec![Regex::new(r"\bEMP-(\d+)").unwrap()];
        let secrets = Secrets::new(false, vec![Glob::new("*iban*")], patterns);
        let params = json!({"IBAN": "DE89", "password": "x", "note": "EMP-4711"});
        let expected = json!({"IBAN": "[masked, 4 characters]", "password": "x", "note": "EMP-[masked, 4 characters]"});
        assert_eq!(masked(&secrets, &params).0, expected);
    }

    #[test]
    fn what_is_masked_already_is_not_measured_again() {
        let original = json!({"password": "xy"});
        let mut shown = json!({"password": "[masked, 2 characters]"});
        let found = Secrets::default().mask(shown.as_object_mut().unwrap(), original.as_object().unwrap());
        assert_eq!((found, shown), (Found::default(), json!({"password": "[masked, 2 characters]"})));
    }

    #[test]
    fn the_usual_globs_are_written_as_they_are_compared() {
        for name in DEFAULT_NAMES {
            assert_eq!(name, name.to_lowercase());
        }
        assert_eq!(USUAL_PATTERNS.len(), DEFAULT_PATTERNS.len());
    }
}
