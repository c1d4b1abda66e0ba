//! Limits on scarce resources: budgets of places and bytes, and rates.

mod lines;
mod quota;
mod rate;

pub use lines::Lines;
pub use quota::{Amount, OverQuota, Quota, QuotaKey, QuotaLimits, Resource, Share, Whose};
pub use rate::{Budget, Rate};
