//! Regular expressions of `param_matches`: compiled once each, within bounds.

use std::collections::HashMap;

use crate::policy::pattern::Pattern;

/// The longest pattern that loads, in characters.
pub(in crate::policy) const MAX_PATTERN: usize = 4096;

/// The sizes that one compiled pattern may have, tried from small to large. So its memory is known to within one step.
const STEPS: [usize; 5] = [16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20];

/// How large all patterns of a policy together may be.
const MAX_TOTAL: usize = 256 << 20;

/// How much memory one search of a pattern may use, in each thread.
const MAX_CACHE: usize = 1 << 20;

const TOO_MANY: &str = "is one pattern too many: all patterns of a policy together take too much memory";

/// The patterns of one load. A text that occurs twice is compiled once.
#[derive(Default)]
pub(in crate::policy) struct Patterns {
    // Looked up, never iterated. The key says whether `$` is the very end.
    compiled: HashMap<(bool, String), Pattern>,
    total: usize,
}

impl Patterns {
    /// Compiles a pattern of `param_matches` or of a secret.
    pub(super) fn compile(&mut self, pattern: &str) -> Result<Pattern, String> {
        self.compile_as(pattern, false)
    }

    /// Compiles a pattern in which `$` is the very end.
    pub(super) fn compile_exact(&mut self, pattern: &str) -> Result<Pattern, String> {
        self.compile_as(pattern, true)
    }

    fn compile_as(&mut self, pattern: &str, is_exact: bool) -> Result<Pattern, String> {
        let key = (is_exact, pattern.to_owned());
        if let Some(known) = self.compiled.get(&key) {
            return Ok(known.clone());
        }
        // Compiling takes the time, so a policy that has used up its memory compiles nothing more.
        if self.total > MAX_TOTAL {
            return Err(TOO_MANY.to_owned());
        }
        for size in STEPS {
            let compiled = if is_exact {
                Pattern::exact(pattern, size, MAX_CACHE)
            } else {
                Pattern::new(pattern, size, MAX_CACHE)
            };
            match compiled {
                Ok(compiled) => {
                    self.total += size;
                    if self.total > MAX_TOTAL {
                        return Err(TOO_MANY.to_owned());
                    }
                    self.compiled.insert(key, compiled.clone());
                    return Ok(compiled);
                }
                Err(regex::Error::CompiledTooBig(_)) => {}
                Err(error) => return Err(explain(pattern, &error)),
            }
        }
        // This failure takes the longest to find out, so a file with many such patterns is given up soon.
        self.total += MAX_TOTAL / 16;
        Err("is too large once compiled: use smaller counts in `{...}`, or fewer classes inside of them".to_owned())
    }
}

/// Constructs that have another meaning in other dialects, without an error.
pub(super) fn oddities(pattern: &str) -> impl Iterator<Item = &'static str> {
    const ODD: [(&str, &str); 4] = [
        ("&&", "`&&` in `[...]` is an intersection: write `&` once, or `\\&\\&`"),
        ("*+", "`*+` is a repetition of a repetition, not a possessive one: write `*`"),
        ("++", "`++` is a repetition of a repetition, not a possessive one: write `+`"),
        ("?+", "`?+` is a repetition of a repetition, not a possessive one: write `?`"),
    ];
    ODD.into_iter().filter(|(part, _)| pattern.contains(part)).map(|(_, message)| message)
}

/// A regex error on one line: the crate draws the pattern and points into it.
fn explain(pattern: &str, error: &regex::Error) -> String {
    let drawn = error.to_string();
    let what = drawn.lines().last().unwrap_or_default();
    let what = what.strip_prefix("error: ").unwrap_or(what);
    let is_beyond = ["(?P=", "(?>", "(?("].iter().any(|group| pattern.contains(group));
    let hint = if what.contains("look-around") || what.contains("backreference") || is_beyond {
        ": patterns run in time linear in the value, so that no value can stall a decision, and this could not; \
         `not:` with a `param_matches` in it says what a negative look-ahead says"
    } else if pattern.contains("\\Z") {
        ": the end of the text is `\\z` here, and `$` also matches before one last newline"
    } else {
        ""
    };
    format!("is not a regular expression: {what}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(pattern: &str) -> String {
        Patterns::default().compile(pattern).expect_err(pattern)
    }

    #[test]
    fn a_pattern_that_cannot_run_in_linear_time_is_refused_with_the_reason() {
        for pattern in
            ["(?=prod)prod", "(?!prod).*", "(?<=a)b", "(?<!a)b", "(a)\\1", "(?P<q>a)(?P=q)", "(?>a+)b", "(?(1)a|b)"]
        {
            let message = refused(pattern);
            assert!(message.contains("linear"), "{pattern}: {message}");
        }
        for pattern in ["[", "(", "*a", "a{2,1}", "(?P<x", "\\", "(?z)a", "(?>a+)b", "(?(1)a|b)", "\\h", "(?L)x"] {
            assert!(refused(pattern).starts_with("is not a regular expression: "), "{pattern}");
        }
        assert!(refused("^a\\Z").contains("the end of the text is `\\z` here"));
    }

    #[test]
    fn many_patterns_that_explode_are_not_all_tried() {
        let mut patterns = Patterns::default();
        let refusals: Vec<_> = (0..20).map(|_| patterns.compile("\\w{100000}").unwrap_err()).collect();
        assert!(refusals[0].starts_with("is too large once compiled"));
        assert_eq!(refusals[19], TOO_MANY);
    }

    #[test]
    fn a_pattern_that_explodes_is_refused() {
        assert!(refused("(((a{100}){100}){100}){100}").starts_with("is too large once compiled"));
        assert!(refused("\\w{100000}").starts_with("is too large once compiled"));
    }

    #[test]
    fn past_the_limit_nothing_more_is_compiled() {
        let mut patterns = Patterns { total: MAX_TOTAL, ..Patterns::default() };
        for i in 0..1_000 {
            assert_eq!(patterns.compile(&format!("{i}\\w{{50}}")).unwrap_err(), TOO_MANY);
        }
    }

    #[test]
    fn a_pattern_is_compiled_once() {
        let mut patterns = Patterns::default();
        for _ in 0..100_000 {
            patterns.compile("^[A-Z]").unwrap();
        }
        assert_eq!(patterns.total, STEPS[0]);
    }
}
