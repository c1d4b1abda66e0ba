//! Counters and budgets: how much of what is scarce somebody may take.

mod quota;

pub use quota::{Amount, OverQuota, Quota, QuotaKey, QuotaLimits, Resource, Share, Whose};
