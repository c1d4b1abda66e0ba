//! What is spent of the policy's limits, for admins; auditors list it.

use std::collections::BTreeMap;

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::api::Api;
use super::call::{Answer, Call, json};
use super::query::Number;
use super::words::{moment, present};
use crate::audit::SpentKey;
use crate::domain::check::NAME_BYTES;
use crate::domain::page::PageTokens;
use crate::domain::{CallError, Checker, Digest};
use crate::governance::{Counted, GovernanceError};
use crate::policy::Quantity;
use crate::server::problem::Problem;

/// Which counts.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CountPage {
    /// Only counts of the limit of this name.
    #[param(value_type = Option<String>)]
    limit: Option<String>,
    /// The most counts to return: at most 1,000. Default: 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    page_size: Option<Number>,
    /// The `next_page_token` of the page before.
    #[param(value_type = Option<String>)]
    page_token: Option<String>,
}

/// A page of counts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Counts {
    /// The counts, in no particular order.
    counts: Vec<LimitCount>,
    /// The `page_token` of the next page. Null on the last page.
    next_page_token: Option<String>,
}

/// What is spent of a limit: for everything, or for one of those that it counts by.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LimitCount {
    /// The name of the limit.
    limit: String,
    /// The name of the count, to reset it.
    count_id: String,
    /// What the count is for, by the words of the limit's `by`. Agents choose these texts.
    by: BTreeMap<String, String>,
    /// How much is spent.
    spent: f64,
    /// The most that may be spent. Null: the policy in force has no limit of this name.
    max: Option<f64>,
    /// What the limit permits, in words: `3 per 1h by target`.
    text: Option<String>,
    /// When nothing of it counts any more. Null: somebody must reset it.
    #[schema(format = DateTime)]
    free_at: Option<String>,
}

/// Counts to set back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LimitReset {
    /// The name of the limit.
    #[schema(required, min_length = 1, max_length = 256)]
    limit: String,
    /// The only count to set back. Default: all counts of the limit.
    count_id: Option<String>,
}

/// Counts that are set back.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LimitIsReset {
    /// How many counts were not zero.
    counts: u64,
}

/// List what is spent of limits
#[utoipa::path(
    get, path = "/api/v1/limits", tag = "control", operation_id = "listCounts", params(CountPage),
    responses(
        (status = 200, description = "A page of counts", body = Counts),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(State(api): State<Api>, call: Call) -> Answer {
    call.caller()?;
    let CountPage { limit, page_size, page_token } = call.query()?;
    let size = Number::page_size(page_size)?;
    let pages = PageTokens::new("counts", Digest::of(limit.as_deref().unwrap_or_default().as_bytes()));
    let after = page_token.map(|token| pages.position(&token)).transpose().map_err(GovernanceError::from)?;
    let page = api.governor.counts(limit, after.map(SpentKey::up_to), size).await?;
    let next_page_token = page.next.map(|next| pages.after(next.position()));
    json(StatusCode::OK, &Counts { counts: page.counts.into_iter().map(LimitCount::of).collect(), next_page_token })
}

/// Reset a limit
///
/// Sets its counts back to nothing, or one of them. The record says who did. Safe to repeat.
#[utoipa::path(
    post, path = "/api/v1/limits/reset", tag = "control", operation_id = "resetLimit", request_body = LimitReset,
    responses(
        (status = 200, description = "How many counts were set back", body = LimitIsReset),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn reset(State(api): State<Api>, call: Call) -> Answer {
    let LimitReset { limit, count_id } = call.body()?;
    let mut checker = Checker::new(api.limits);
    checker.text("limit", &limit, 4 * NAME_BYTES);
    if limit.is_empty() {
        checker.wrong("limit", "must be given");
    }
    let limit = checker.finish(limit)?;
    let wrong = || CallError::invalid_field("count_id", "must be a `count_id` as the list of counts has it");
    let count = count_id.map(|text| Digest::from_hex(&text).ok_or_else(wrong)).transpose()?;
    let counts = api.governor.reset_limit(call.caller()?, limit, count).await?;
    json(StatusCode::OK, &LimitIsReset { counts })
}

impl LimitCount {
    fn of(counted: Counted) -> Self {
        let Counted { key, spent, sum, max, text, over } = counted;
        Self {
            limit: spent.limit,
            count_id: key.digest.to_string(),
            by: spent.by,
            spent: sum.to_f64(),
            max: max.map(Quantity::to_f64),
            text: present(text),
            free_at: over.map(moment),
        }
    }
}
