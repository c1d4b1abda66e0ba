//! Counters and budgets: how much of what is scarce somebody may take.

mod lines;
mod quota;
mod rate;

pub use lines::Lines;
pub use quota::{Amount, OverQuota, Quota, QuotaKey, QuotaLimits, Resource, Share, Whose};
pub use rate::{Budget, Rate};
