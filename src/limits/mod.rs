//! Limits on scarce resources: budgets of places and bytes, and rates.

mod lines;
mod quota;
mod rate;

pub(crate) use lines::Lines;
pub(crate) use quota::{Amount, OverQuota, Quota, QuotaKey, QuotaLimits, Resource, Share, Whose};
pub(crate) use rate::{Budget, Rate};
