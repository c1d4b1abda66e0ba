//! The filters of lists: the same for approvals and for rows, as in the protos.

use super::fields;
use super::words::present;
use crate::audit::{RowFilter, TextFilter};
use crate::domain::{CallError, Checker, JsonLimits, RiskLevel, Timestamp, times};

/// Declares a query with the filters that approvals and rows share, and with more members.
///
/// serde refuses unknown members only in a struct that has all of them itself.
macro_rules! filtered {
    ($(#[$doc:meta])* $name:ident { $($more:tt)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default, serde::Deserialize, utoipa::IntoParams)]
        #[serde(default, deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        pub(super) struct $name {
            /// The agent's session.
            session_id: String,
            /// A glob that the action's type matches.
            action_type: String,
            /// A glob that the action's target matches.
            #[serde(alias = "action_target")]
            target: String,
            /// The risk level. May be given several times.
            #[param(value_type = Option<Vec<super::words::RiskLevel>>)]
            risk_level: super::query::Many<super::words::RiskLevel>,
            /// This risk level or a higher one.
            min_risk_level: Option<super::words::RiskLevel>,
            /// The declared id of the actor.
            actor_id: String,
            /// The proposer, as authenticated.
            subject: String,
            /// A reviewer who voted.
            approver: String,
            /// The rule that matched.
            matched_rule: String,
            /// Not before this moment: RFC 3339, a date, or how long ago: `15m`.
            since: String,
            /// Not after this moment.
            until: String,
            $($more)*
        }

        impl $name {
            /// The shared part of the filter. What is read is taken out.
            fn filter(
                &mut self,
                now: crate::domain::Timestamp,
                limits: crate::domain::JsonLimits,
            ) -> Result<crate::audit::RowFilter, crate::domain::CallError> {
                let take = std::mem::take::<String>;
                super::filter::Shared {
                    session_id: take(&mut self.session_id),
                    action_type: take(&mut self.action_type),
                    target: take(&mut self.target),
                    risk_levels: std::mem::take(&mut self.risk_level).words(),
                    min_risk_level: self.min_risk_level.map(Into::into),
                    actor_id: take(&mut self.actor_id),
                    subject: take(&mut self.subject),
                    approver: take(&mut self.approver),
                    matched_rule: take(&mut self.matched_rule),
                    since: take(&mut self.since),
                    until: take(&mut self.until),
                }
                .read(now, limits)
            }
        }
    };
}
pub(super) use filtered;

/// The filters that approvals and rows share.
pub(super) struct Shared {
    pub(super) session_id: String,
    pub(super) action_type: String,
    pub(super) target: String,
    pub(super) risk_levels: Vec<RiskLevel>,
    pub(super) min_risk_level: Option<RiskLevel>,
    pub(super) actor_id: String,
    pub(super) subject: String,
    pub(super) approver: String,
    pub(super) matched_rule: String,
    pub(super) since: String,
    pub(super) until: String,
}

impl Shared {
    pub(super) fn read(self, now: Timestamp, limits: JsonLimits) -> Result<RowFilter, CallError> {
        let mut checker = Checker::new(limits);
        for (field, text) in [("action_type", &self.action_type), ("target", &self.target)] {
            checker.text(field, text, TextFilter::MAX_BYTES);
        }
        let moment = |field: &str, text: String| {
            let read = present(text).map(|text| times::moment(&text, now)).transpose();
            read.map_err(|why| CallError::invalid_field(field, why))
        };
        let times = fields::both(moment("since", self.since), moment("until", self.until));
        let ((), (since, until)) = fields::both(checker.finish(()), times)?;
        Ok(RowFilter {
            session_id: present(self.session_id),
            action_type: present(self.action_type).map(TextFilter::new),
            target: present(self.target).map(TextFilter::new),
            risk_levels: self.risk_levels,
            min_risk_level: self.min_risk_level,
            actor_id: present(self.actor_id),
            subject: present(self.subject),
            approver: present(self.approver),
            matched_rule: present(self.matched_rule),
            since,
            until,
            ..RowFilter::default()
        })
    }
}
