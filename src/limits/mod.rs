//! Counters and budgets: how much of what is scarce somebody may take.

mod quota;
mod rate;

pub use quota::{Amount, OverQuota, Quota, QuotaKey, QuotaLimits, Resource, Share, Whose};
pub use rate::{Budget, Rate};
