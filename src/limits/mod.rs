//! Limits on scarce resources: budgets of places and bytes, rates, the growth of the record, and what was
//! spent of a policy's limits.

mod growth;
mod lines;
mod quota;
mod rate;
mod spends;

pub(crate) use growth::{DiskLow, Growth, GrowthLimits, Level, Space};
pub(crate) use lines::Lines;
pub(crate) use quota::{Amount, OverQuota, Quota, QuotaKey, QuotaLimits, Resource, Share, Whose};
pub(crate) use rate::{Budget, Rate};
pub(crate) use spends::Spends;
