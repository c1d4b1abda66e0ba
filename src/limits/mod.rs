//! Limits on scarce resources: budgets of places and bytes, rates, and the growth of the record.

mod growth;
mod lines;
mod quota;
mod rate;

pub(crate) use growth::{DiskLow, Growth, GrowthLimits, Level, Space};
pub(crate) use lines::Lines;
pub(crate) use quota::{Amount, OverQuota, Quota, QuotaKey, QuotaLimits, Resource, Share, Whose};
pub(crate) use rate::{Budget, Rate};
