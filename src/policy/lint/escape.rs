//! Targets that a path can leave. `*` matches `/` and `..`, so `/data/*` on a rule that allows also matches
//! `/data/../etc/passwd`. `match.target_path` is not escaped so.

use super::place::warn;
use crate::policy::code::Code;
use crate::policy::diagnostic::{Report, quoted};
use crate::policy::glob::Glob;
use crate::policy::rule::Rule;

pub(super) fn check(rules: &[Rule], report: &mut Report) {
    // The earlier rules that catch such paths before later rules. They are few: only those that name such paths.
    let mut guards: Vec<&Rule> = Vec::new();
    for rule in rules {
        if !rule.may_need_no_reviewer() {
            if rule.conditions.is_empty()
                && rule.actor_pattern.is_none()
                && rule.target_path_pattern.is_none()
                && rule.target_pattern.as_str().contains("..")
            {
                guards.push(rule);
            }
            continue;
        }
        // `target_path` resolves `..` first.
        if rule.target_path_pattern.is_some() {
            continue;
        }
        let is_guarded = |way: &Glob| {
            guards
                .iter()
                .any(|guard| guard.type_pattern.contains(&rule.type_pattern) && guard.target_pattern.contains_glob(way))
        };
        let escapes = |glob: &&Glob| {
            root(glob.as_str()).is_some_and(|root| {
                !["/../*", "/*/../*"].iter().all(|way| is_guarded(&Glob::new(&format!("{root}{way}"))))
            })
        };
        if let Some((glob, root)) =
            rule.target_pattern.iter().find(escapes).and_then(|glob| Some((glob, root(glob.as_str())?)))
        {
            let message = format!(
                "`*` crosses `/` and `..`, so `{}` on a rule that allows also matches `{}/../x`: write it as \
                 `target_path`, which resolves `..` first, or put a rule before it that blocks the target `*/../*`",
                quoted(glob.as_str()),
                quoted(root)
            );
            warn(report, rule, Code::EscapableTarget, message);
        }
    }
}

/// The fixed path before the first `/*` of a glob, if a path can leave it. The root and a whole host do not count.
pub(in crate::policy) fn root(glob: &str) -> Option<&str> {
    let path_at = match glob.split_once("://") {
        Some((scheme, rest)) => scheme.len() + "://".len() + rest.find('/')?,
        None => 0,
    };
    let path = &glob[path_at..];
    let root = &path[..path.find("/*")?];
    let is_fixed = !root.contains(['*', '?', '[']) && !root.trim_matches('/').is_empty();
    is_fixed.then(|| &glob[..path_at + root.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_can_only_leave_a_fixed_path() {
        for (glob, expected) in [
            ("/data/*", Some("/data")),
            ("/data/*.csv", Some("/data")),
            ("crm/*/rows", Some("crm")),
            ("https://host/v1/*", Some("https://host/v1")),
            ("https://host/*", None),
            ("https://*", None),
            ("/*", None),
            ("*/x/*", None),
            ("/data*", None),
            ("*", None),
        ] {
            assert_eq!(root(glob), expected, "{glob}");
        }
    }
}
