//! Reads the filters of requests. Both filters become the same [`RowFilter`], so a field means the same in both.

use super::request::{self, Reader};
use crate::audit::RowFilter;
use crate::domain::{CallError, DecisionId, RecordId};
use crate::governance::{GovernanceError, Governor};
use crate::proto::v1;

/// A filter of rows, before its record is looked up.
#[derive(Debug)]
pub(crate) struct AuditFilter {
    filter: RowFilter,
    audit_ref: Option<RecordId>,
}

impl Reader {
    /// A filter of rows.
    pub(crate) fn audit_filter(&mut self, filter: Option<v1::AuditFilter>) -> AuditFilter {
        let filter = filter.unwrap_or_default();
        let decision_id: Option<DecisionId> = self.optional("filter.decision_id", &filter.decision_id);
        let audit_ref = self.optional("filter.audit_ref", &filter.audit_ref);
        let modes = self.enumerations("filter.approval_modes", &filter.approval_modes, request::approval_mode);
        let outcomes = self.enumerations("filter.outcomes", &filter.outcomes, request::outcome);
        let statuses = self.enumerations("filter.result_statuses", &filter.result_statuses, request::result_status);
        let shared = self.approval_filter(Some(v1::ApprovalFilter {
            session_id: filter.session_id,
            action_type: filter.action_type,
            target: filter.target,
            risk_levels: filter.risk_levels,
            min_risk_level: filter.min_risk_level,
            actor_id: filter.actor_id,
            subject: filter.subject,
            approver: filter.approver,
            matched_rule: filter.matched_rule,
            since: filter.since,
            until: filter.until,
        }));
        let filter = RowFilter { approval_modes: modes, outcomes, statuses, decision_id, ..shared };
        AuditFilter { filter, audit_ref }
    }

    /// A filter of approvals.
    pub(crate) fn approval_filter(&mut self, filter: Option<v1::ApprovalFilter>) -> RowFilter {
        let filter = filter.unwrap_or_default();
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        RowFilter {
            action_type: self.text_filter("filter.action_type", filter.action_type),
            target: self.text_filter("filter.target", filter.target),
            risk_levels: self.enumerations("filter.risk_levels", &filter.risk_levels, request::risk_level),
            min_risk_level: self
                .enumeration("filter.min_risk_level", filter.min_risk_level)
                .and_then(request::risk_level),
            since: filter.since.and_then(|at| self.timestamp("filter.since", at)),
            until: filter.until.and_then(|at| self.timestamp("filter.until", at)),
            session_id: text(filter.session_id),
            actor_id: text(filter.actor_id),
            subject: text(filter.subject),
            approver: text(filter.approver),
            matched_rule: text(filter.matched_rule),
            ..RowFilter::default()
        }
    }

    fn optional<T: std::str::FromStr>(&mut self, field: &str, text: &str) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        if text.is_empty() { None } else { self.parsed(field, text) }
    }
}

impl AuditFilter {
    /// Whether it selects nothing, or one decision by its id.
    pub(crate) fn names_a_decision_or_nothing(&self) -> bool {
        let of_one = RowFilter { decision_id: self.filter.decision_id, ..RowFilter::default() };
        self.filter == of_one && self.audit_ref.is_none()
    }

    /// The decision that it names.
    pub(crate) fn decision_id(&self) -> Option<DecisionId> {
        self.filter.decision_id
    }

    /// The filter with the decision that its record is about.
    pub(crate) async fn settled(self, governor: &Governor) -> Result<RowFilter, GovernanceError> {
        let Self { filter, audit_ref } = self;
        let Some(audit_ref) = audit_ref else { return Ok(filter) };
        let about = governor.decision_of_record(audit_ref).await?;
        // A record that is about no decision selects no row, and so does one that is about another decision.
        let is_other = filter.decision_id.is_some() && filter.decision_id != about;
        let decision_id = about.filter(|_| !is_other).unwrap_or(NO_DECISION);
        Ok(RowFilter { decision_id: Some(decision_id), ..filter })
    }
}

/// The id of no decision: ids are UUIDs of version 7, and this one is not.
const NO_DECISION: DecisionId = DecisionId::from_bytes([0; 16]);

/// The error for a request without a required field.
pub(crate) fn missing(field: &str) -> CallError {
    CallError::invalid_field(field, "must be given")
}
