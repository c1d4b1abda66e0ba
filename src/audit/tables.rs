//! The list of all tables of the file.

use super::follow::cursors::CURSORS;
use super::halts::HALTS;
use super::log::tables::{RECORDS, TREE};
use super::log::tiles::TreeKey;
use super::policies::{COMMENTS, POLICIES};
use super::requests::REQUESTS;
use super::rows::keys::{Bitmap, IndexKey};
use super::rows::tables::{APPROVALS, CONFIRMATIONS, COUNTS, DECISIONS, IDEMPOTENCY, INDEX, PENDING, ROWS, SEGMENTS};
use super::spent::{SPENT, SPENT_ANONYMOUS};
use super::tokens::TOKENS;
use crate::store::meta::META;
use crate::store::table::{Bytes, Lazy, Registered, Session};

/// Every table, registered.
pub(crate) const TABLES: &[&dyn Registered] = &[
    &META,
    &RECORDS,
    &TREE,
    &ROWS,
    &APPROVALS,
    &PENDING,
    &CONFIRMATIONS,
    &DECISIONS,
    &IDEMPOTENCY,
    &INDEX,
    &SEGMENTS,
    &COUNTS,
    &POLICIES,
    &TOKENS,
    &CURSORS,
    &REQUESTS,
    &COMMENTS,
    &SPENT,
    &SPENT_ANONYMOUS,
    &HALTS,
];

/// Every table of a write transaction.
pub struct Tables<'t> {
    pub(crate) meta: Lazy<'t, &'static str, Bytes>,
    pub(crate) records: Lazy<'t, u64, Bytes>,
    pub(crate) tree: Lazy<'t, &'static TreeKey, &'static [u8; 32]>,
    pub(crate) rows: Lazy<'t, u64, Bytes>,
    pub(crate) approvals: Lazy<'t, &'static [u8; 16], u64>,
    pub(crate) pending: Lazy<'t, &'static [u8; 16], u64>,
    pub(crate) confirmations: Lazy<'t, &'static [u8; 32], u64>,
    pub(crate) decisions: Lazy<'t, &'static [u8; 16], u64>,
    pub(crate) idempotency: Lazy<'t, &'static [u8; 16], u64>,
    pub(crate) index: Lazy<'t, &'static IndexKey, &'static Bitmap>,
    pub(crate) segments: Lazy<'t, u64, (i64, i64)>,
    pub(crate) counts: Lazy<'t, Bytes, u64>,
    pub(crate) policies: Lazy<'t, &'static [u8; 32], Bytes>,
    pub(crate) tokens: Lazy<'t, &'static [u8; 16], Bytes>,
    pub(crate) cursors: Lazy<'t, &'static str, u64>,
    pub(crate) requests: Lazy<'t, &'static [u8; 32], Bytes>,
    pub(crate) policy_comments: Lazy<'t, &'static [u8; 32], Bytes>,
    pub(crate) spent: Lazy<'t, &'static [u8; 32], Bytes>,
    pub(crate) spent_anonymous: Lazy<'t, &'static [u8; 32], Bytes>,
    pub(crate) halts: Lazy<'t, &'static [u8; 32], Bytes>,
}

impl<'t> Tables<'t> {
    /// The tables of this transaction.
    pub(crate) fn new(session: Session<'t>) -> Self {
        Self {
            meta: session.table(META),
            records: session.table(RECORDS),
            tree: session.table(TREE),
            rows: session.table(ROWS),
            approvals: session.table(APPROVALS),
            pending: session.table(PENDING),
            confirmations: session.table(CONFIRMATIONS),
            decisions: session.table(DECISIONS),
            idempotency: session.table(IDEMPOTENCY),
            index: session.table(INDEX),
            segments: session.table(SEGMENTS),
            counts: session.table(COUNTS),
            policies: session.table(POLICIES),
            tokens: session.table(TOKENS),
            cursors: session.table(CURSORS),
            requests: session.table(REQUESTS),
            policy_comments: session.table(COMMENTS),
            spent: session.table(SPENT),
            spent_anonymous: session.table(SPENT_ANONYMOUS),
            halts: session.table(HALTS),
        }
    }
}
