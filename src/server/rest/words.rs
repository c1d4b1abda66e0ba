//! The words of the API: the enumerations as JSON writes them, and the messages that several operations share.
//!
//! Names are those of the protos, in `snake_case`, but where the REST API is older: `action_type`, `capability`. The
//! descriptions in the OpenAPI document come from the comments of the protos: see [`openapi`](super::openapi).

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::masks::Mask;
use crate::domain;
use crate::domain::{Timestamp, times};

/// Declares an enumeration that has the words of one of the domain.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $domain:ty, $case:tt, $fold:ident, [$($variant:ident),+ $(,)?]) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
        #[serde(rename_all = $case)]
        pub(super) enum $name {
            $($variant,)+
        }

        impl From<$domain> for $name {
            fn from(word: $domain) -> Self {
                match word {
                    $(<$domain>::$variant => Self::$variant,)+
                }
            }
        }

        impl From<$name> for $domain {
            fn from(word: $name) -> Self {
                match word {
                    $($name::$variant => Self::$variant,)+
                }
            }
        }

        /// Upper and lower case are alike in a request.
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(Deserialize)]
                #[serde(rename_all = $case)]
                enum Exact {
                    $($variant,)+
                }
                let text = String::deserialize(deserializer)?;
                let exact = serde_json::from_value(Value::from(text.$fold()));
                match exact {
                    $(Ok(Exact::$variant) => Ok(Self::$variant),)+
                    Err(_) => {
                        let words = [$(Self::$variant),+].map(|word| serde_json::to_string(&word).unwrap_or_default());
                        Err(D::Error::custom(format_args!("is `{text}`, and must be one of {}", words.join(", "))))
                    }
                }
            }
        }
    };
}

words! {
    /// How dangerous an action is.
    RiskLevel: domain::RiskLevel, "UPPERCASE", to_uppercase, [Low, Medium, High, Critical]
}
words! {
    /// The approval that a rule asks for before an action may run.
    ApprovalMode: domain::Approval, "lowercase", to_lowercase, [Auto, Confirm, Approve, Block]
}
words! {
    /// The answer to a proposal.
    Outcome: domain::Outcome, "SCREAMING_SNAKE_CASE", to_uppercase, [Allow, Deny, Escalate, RequireConfirmation]
}
words! {
    /// The result of an action.
    ResultStatus: domain::ResultStatus, "snake_case", to_lowercase,
    [Success, Failed, Blocked, Denied, Skipped, RolledBack, Unknown]
}
words! {
    /// The state of an approval.
    ApprovalState: domain::QuestionStatus, "lowercase", to_lowercase, [Pending, Approved, Denied, Expired, Cancelled]
}
words! {
    /// How an approval ended.
    EndingKind: domain::EndingKind, "lowercase", to_lowercase, [Approved, Denied, Expired, Cancelled]
}

words! {
    /// What a caller may do.
    Role: domain::Role, "lowercase", to_lowercase, [Agent, Reviewer, Auditor, Admin]
}

/// A JSON object.
pub(super) type Object = Map<String, Value>;

/// A moment, always with six digits, so that texts sort as the moments do.
pub(super) fn moment(at: Timestamp) -> String {
    times::exact(at)
}

/// A text that may be missing: empty means that there is none.
pub(super) fn present(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// The proposer, as the caller declares it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Actor {
    #[schema(max_length = 256)]
    pub(super) id: String,
    #[schema(max_length = 256)]
    pub(super) r#type: String,
}

impl From<Actor> for domain::Actor {
    fn from(Actor { id, r#type }: Actor) -> Self {
        Self { id, r#type }
    }
}

impl From<domain::Actor> for Actor {
    fn from(domain::Actor { id, r#type }: domain::Actor) -> Self {
        Self { id, r#type }
    }
}

/// What became of an action.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ActionResult {
    pub(super) status: ResultStatus,
    pub(super) data: Option<Value>,
    pub(super) error: Option<String>,
    #[schema(format = DateTime)]
    pub(super) started_at: Option<String>,
    #[schema(format = DateTime)]
    pub(super) completed_at: Option<String>,
    #[schema(format = DateTime)]
    pub(super) reported_at: Option<String>,
    pub(super) audit_ref: Option<String>,
    /// What is masked in `data` and in `error`, and where.
    pub(super) masked: Vec<Mask>,
}

impl From<domain::ActionResult> for ActionResult {
    fn from(domain::ActionResult { report, reported_at, audit_ref, marks }: domain::ActionResult) -> Self {
        let domain::Report { status, data, error, started_at, completed_at } = report;
        Self {
            status: status.into(),
            data,
            error: present(error),
            started_at: started_at.map(moment),
            completed_at: completed_at.map(moment),
            reported_at: reported_at.map(moment),
            audit_ref: audit_ref.map(|id| id.to_string()),
            masked: marks.iter().map(Mask::at).collect(),
        }
    }
}

/// The complete answer to a proposal.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Decision {
    decision_id: String,
    outcome: Outcome,
    reason: String,
    risk_level: RiskLevel,
    #[schema(minimum = 0, maximum = 1)]
    risk_score: f64,
    approval_mode: ApprovalMode,
    matched_rule: String,
    constraints: Object,
    policy_revision: String,
    #[schema(format = DateTime)]
    timestamp: String,
    audit_ref: String,
    /// The kind of reason: `POLICY`, `REVIEWER`, `TIMEOUT`, `POLICY_CHANGED`, `CANCELLED`, `HALTED`, `LIMIT`,
    /// `ALREADY_REPORTED`.
    code: &'static str,
    approval_id: Option<String>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    confirmation_token: Option<String>,
    action_digest: String,
    action_digest_salt: String,
    replayed: bool,
    result: Option<ActionResult>,
}

impl From<domain::Decision> for Decision {
    fn from(decision: domain::Decision) -> Self {
        Self {
            decision_id: decision.decision_id.to_string(),
            outcome: decision.outcome.into(),
            reason: decision.reason,
            risk_level: decision.risk_level.into(),
            risk_score: decision.risk_level.score(),
            approval_mode: decision.approval.into(),
            matched_rule: decision.matched_rule,
            constraints: decision.constraints,
            policy_revision: decision.policy_revision.to_string(),
            timestamp: moment(decision.timestamp),
            audit_ref: decision.audit_ref.to_string(),
            code: decision.code.as_str(),
            approval_id: decision.approval_id.map(|id| id.to_string()),
            expires_at: decision.expires_at.map(moment),
            confirmation_token: decision.confirmation_token,
            action_digest: decision.action_digest.to_string(),
            action_digest_salt: hex::encode(decision.action_digest_salt.0),
            replayed: decision.replayed,
            result: decision.result.map(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_domain() {
        let written = |word: Value| word.as_str().unwrap_or_default().to_owned();
        for level in domain::RiskLevel::ALL {
            assert_eq!(written(serde_json::to_value(RiskLevel::from(level)).unwrap()), level.as_upper());
        }
        for mode in domain::Approval::ALL {
            assert_eq!(written(serde_json::to_value(ApprovalMode::from(mode)).unwrap()), mode.as_str());
        }
        for status in domain::ResultStatus::ALL {
            assert_eq!(written(serde_json::to_value(ResultStatus::from(status)).unwrap()), status.as_str());
        }
        for outcome in [
            domain::Outcome::Allow,
            domain::Outcome::Deny,
            domain::Outcome::Escalate,
            domain::Outcome::RequireConfirmation,
        ] {
            assert_eq!(written(serde_json::to_value(Outcome::from(outcome)).unwrap()), outcome.as_str());
        }
        for kind in [
            domain::EndingKind::Approved,
            domain::EndingKind::Denied,
            domain::EndingKind::Expired,
            domain::EndingKind::Cancelled,
        ] {
            assert_eq!(written(serde_json::to_value(EndingKind::from(kind)).unwrap()), kind.as_str());
        }
    }

    #[test]
    fn a_request_may_write_them_in_either_case_and_is_told_which_there_are() {
        assert_eq!(serde_json::from_str::<RiskLevel>("\"high\"").unwrap(), RiskLevel::High);
        assert_eq!(serde_json::from_str::<ResultStatus>("\"Rolled_Back\"").unwrap(), ResultStatus::RolledBack);
        let error = serde_json::from_str::<RiskLevel>("\"severe\"").unwrap_err().to_string();
        assert!(error.contains("\"LOW\", \"MEDIUM\", \"HIGH\", \"CRITICAL\""), "{error}");
    }
}
