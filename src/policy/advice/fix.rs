//! What usually repairs a finding of a kind, in one sentence.

use crate::policy::code::Code;

/// What usually repairs a warning of this kind; `None` for errors, whose messages say it.
pub fn fix(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::NoRules => "add `rules`, or leave the file out",
        Code::HiddenRule => "move the rule before the one that hides it, or remove it",
        Code::AutomaticName => "give the rule a `name`",
        Code::BooleanWord => "write true or false, or put the word in quotes",
        Code::OddGlob => "write `[[]` for a bracket, `[!…]` to negate, and a list of globs for alternatives",
        Code::EmptyGlob => "leave the key out to match everything",
        Code::EscapableTarget => "write the glob under `target_path`, which resolves `..` first",
        Code::DodgeableTarget => "write the glob under `target_path`, which compares where a path leads",
        Code::UnauthenticatedActor => "let agents authenticate, or add a rule that is as strict and names no actor",
        Code::UnusedTimeout => "remove `timeout` and `on_timeout`",
        Code::NeverHolds => "remove the rule, or correct the condition",
        Code::NeverMatches => "correct the pattern",
        Code::WeekdayAfterMidnight => {
            "write two groups under `any`: one up to 00:00, one from 00:00 with the next days"
        }
        Code::Placeholder => "write the value, or fill the file in before it is loaded",
        Code::RegexDialect => "write the pattern in the dialect of Rust's regex crate",
        Code::RedactIndex => "leave the number out: a list on the way stands for each of its elements",
        Code::OppositeRules => "put the rule that blocks first, or narrow the one that allows",
        Code::AllowsEverything => "name the types that may run alone, and let the default ask",
        Code::UnusedLimit => "remove the limit, or write it on the rule that allows the action",
        Code::SelfChosenKey => "let agents authenticate, and count by `subject`, or add a limit without `by`",
        Code::ReleasedByAgent => "leave `release_on` out, unless the agent is trusted to report",
        Code::SilentAllow => "use `on_timeout: deny`, or name an authenticated `actor` and no parameter",
        _ => return None,
    })
}
