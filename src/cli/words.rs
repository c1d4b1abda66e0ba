//! The API's words, as tables and JSON print them and as filters on the command line read them.
//!
//! A value that this version does not know is printed as `unknown(5)`. It is never taken for one that it knows.

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::domain;
use crate::proto::v1;

/// `ALLOW`, `DENY`, ….
pub(super) fn outcome(value: i32) -> String {
    word(v1::Outcome::try_from(value).ok().map(|known| known.as_str_name()), "OUTCOME_", value)
}

/// `LOW` to `CRITICAL`.
pub(super) fn risk(value: i32) -> String {
    word(v1::RiskLevel::try_from(value).ok().map(|known| known.as_str_name()), "RISK_LEVEL_", value)
}

/// `auto`, `confirm`, `approve`, `block`.
pub(super) fn approval(value: i32) -> String {
    word(v1::ApprovalMode::try_from(value).ok().map(|known| known.as_str_name()), "APPROVAL_MODE_", value)
        .to_lowercase()
}

/// `pending`, `approved`, `denied`, `expired`, `cancelled`.
pub(super) fn state(value: i32) -> String {
    word(v1::ApprovalState::try_from(value).ok().map(|known| known.as_str_name()), "APPROVAL_STATE_", value)
        .to_lowercase()
}

/// `approve`, `deny`.
pub(super) fn verdict(value: i32) -> String {
    word(v1::Verdict::try_from(value).ok().map(|known| known.as_str_name()), "VERDICT_", value).to_lowercase()
}

/// `holds`, `does not hold`, `indeterminate`: the same words as in `aegis simulate`.
pub(super) fn condition(value: i32) -> String {
    match v1::ConditionResult::try_from(value) {
        Ok(v1::ConditionResult::Holds) => "holds".to_owned(),
        Ok(v1::ConditionResult::Fails) => "does not hold".to_owned(),
        Ok(v1::ConditionResult::Doubt) => "indeterminate".to_owned(),
        Ok(v1::ConditionResult::Unspecified) | Err(_) => word(None, "", value),
    }
}

/// `approved`, `denied`, `expired`, `cancelled`; `None` while it has not ended.
pub(super) fn ending(ending: Option<&v1::Ending>) -> Option<String> {
    let kind = ending?.kind;
    Some(
        word(v1::EndingKind::try_from(kind).ok().map(|known| known.as_str_name()), "ENDING_KIND_", kind).to_lowercase(),
    )
}

/// `success`, `failed`, …; `None` while there is no result.
pub(super) fn result(value: i32) -> Option<String> {
    if value == v1::ResultStatus::Unspecified as i32 {
        return None;
    }
    let known = v1::ResultStatus::try_from(value).ok().map(|known| known.as_str_name());
    Some(word(known, "RESULT_STATUS_", value).to_lowercase())
}

fn word(known: Option<&str>, prefix: &str, value: i32) -> String {
    match known.map(|name| name.trim_start_matches(prefix)) {
        Some(name) if name != "UNSPECIFIED" => name.to_owned(),
        _ => format!("unknown({value})"),
    }
}

/// Reads a risk level of a filter, in upper or lower case.
pub(super) fn risk_arg() -> impl TypedValueParser<Value = v1::RiskLevel> {
    parser(domain::RiskLevel::ALL.map(domain::RiskLevel::as_str), v1::RiskLevel::from_str_name, "RISK_LEVEL_")
}

/// Reads an approval mode of a filter.
pub(super) fn approval_arg() -> impl TypedValueParser<Value = v1::ApprovalMode> {
    parser(domain::Approval::ALL.map(domain::Approval::as_str), v1::ApprovalMode::from_str_name, "APPROVAL_MODE_")
}

/// Reads a result status of a filter.
pub(super) fn result_arg() -> impl TypedValueParser<Value = v1::ResultStatus> {
    parser(
        domain::ResultStatus::ALL.map(domain::ResultStatus::as_str),
        v1::ResultStatus::from_str_name,
        "RESULT_STATUS_",
    )
}

/// Reads an outcome of a filter.
pub(super) fn outcome_arg() -> impl TypedValueParser<Value = v1::Outcome> {
    use domain::Outcome::{Allow, Deny, Escalate, RequireConfirmation};
    let words = [Allow, Deny, Escalate, RequireConfirmation].map(domain::Outcome::as_str);
    parser(words, v1::Outcome::from_str_name, "OUTCOME_")
}

fn parser<T: Clone + Send + Sync + 'static, const N: usize>(
    words: [&'static str; N],
    of_name: fn(&str) -> Option<T>,
    prefix: &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(words).map(move |word| {
        of_name(&format!("{prefix}{}", word.to_uppercase())).expect("every word of the domain is a word of the API")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_match_the_domain() {
        for level in domain::RiskLevel::ALL {
            assert_eq!(risk(level as i32), level.as_upper());
        }
        for (i, mode) in (1..).zip(domain::Approval::ALL) {
            assert_eq!(approval(i), mode.as_str());
        }
        for (i, status) in (1..).zip(domain::ResultStatus::ALL) {
            assert_eq!(result(i).as_deref(), Some(status.as_str()));
        }
        assert_eq!(result(0), None);
        assert_eq!(outcome(v1::Outcome::RequireConfirmation as i32), "REQUIRE_CONFIRMATION");
    }

    #[test]
    fn an_unknown_value_is_shown_as_one_and_never_as_a_known_one() {
        for word in [outcome(99), risk(99), approval(99), state(99), verdict(99), condition(99)] {
            assert_eq!(word, "unknown(99)");
        }
        assert_eq!(ending(Some(&v1::Ending { kind: 99, ..v1::Ending::default() })).unwrap(), "unknown(99)");
        assert_eq!(result(99).unwrap(), "unknown(99)");
        assert_eq!((state(0), outcome(0)), ("unknown(0)".to_owned(), "unknown(0)".to_owned()));
    }

    #[test]
    fn filters_ignore_case_and_know_every_word() {
        #[derive(clap::Parser)]
        struct Filters {
            #[arg(long, value_parser = risk_arg(), ignore_case = true)]
            risk: Option<v1::RiskLevel>,
            #[arg(long, value_parser = result_arg(), ignore_case = true)]
            status: Option<v1::ResultStatus>,
            #[arg(long, value_parser = outcome_arg(), ignore_case = true)]
            outcome: Option<v1::Outcome>,
            #[arg(long, value_parser = approval_arg(), ignore_case = true)]
            approval: Option<v1::ApprovalMode>,
        }
        let read = |args: &[&str]| <Filters as clap::Parser>::try_parse_from([&["x"], args].concat());
        let filters = read(&[
            "--risk",
            "HiGH",
            "--status",
            "ROLLED_BACK",
            "--outcome",
            "require_confirmation",
            "--approval",
            "Auto",
        ]);
        let filters = filters.unwrap();
        assert_eq!(filters.risk, Some(v1::RiskLevel::High));
        assert_eq!(filters.status, Some(v1::ResultStatus::RolledBack));
        assert_eq!(filters.outcome, Some(v1::Outcome::RequireConfirmation));
        assert_eq!(filters.approval, Some(v1::ApprovalMode::Auto));
        assert!(read(&["--risk", "severe"]).is_err());
    }
}
