//! The [`Host`] of the record: what `audit` registers with the storage engine.

use redb::{ReadTransaction, StorageError};

use super::log::append::append;
use super::log::end::LogEnd;
use super::log::record::Event;
use super::log::tables::TREE_DERIVATION;
use super::log::tree::hash_tail;
use super::log::unsealed::Unsealed;
use super::rows::counts::Changes;
use super::rows::index::index_tail;
use super::rows::keys::SEGMENT_LEN;
use super::rows::tables::INDEX_DERIVATION;
use super::rows::tail::Tail;
use super::state::State;
use super::tables::{TABLES, Tables};
use crate::domain::Timestamp;
use crate::store::Entropy;
use crate::store::error::TxError;
use crate::store::host::{Derivation, Host, Incident};
use crate::store::table::{Bytes, Lazy, Registered, Session};

impl Host for State {
    type Tables<'t> = Tables<'t>;
    type Batch = Changes;

    const TABLES: &'static [&'static dyn Registered] = TABLES;
    const DERIVATIONS: &'static [Derivation<Self>] = &[
        Derivation { name: INDEX_DERIVATION, behind: |state| state.rows.len(), run: index_tail },
        Derivation {
            name: TREE_DERIVATION,
            behind: |state| state.log.last_sequence - state.log.hashed,
            run: hash_tail,
        },
    ];
    const SEGMENT: u64 = SEGMENT_LEN as u64;

    fn tables(session: Session<'_>) -> Self::Tables<'_> {
        Tables::new(session)
    }

    fn meta<'a, 't>(tables: &'a mut Self::Tables<'t>) -> &'a mut Lazy<'t, &'static str, Bytes> {
        &mut tables.meta
    }

    fn load(read: &ReadTransaction) -> Result<Self, StorageError> {
        Ok(Self { log: LogEnd::load(read)?, rows: Tail::load(read)? })
    }

    fn last_sequence(&self) -> u64 {
        self.log.last_sequence
    }

    fn finish(mut batch: Changes, tables: &mut Self::Tables<'_>) -> Result<(), StorageError> {
        batch.write(&mut tables.counts)
    }

    fn note(
        &mut self,
        tables: &mut Self::Tables<'_>,
        entropy: &mut dyn Entropy,
        at: Timestamp,
        incident: Incident,
    ) -> Result<(), TxError> {
        let event = match incident {
            Incident::DiskFull { since } => Event::DiskFull { since },
            Incident::Recovered { since, why } => Event::RecordRecovered { since, why },
        };
        append(&mut self.log, &mut tables.records, entropy, Unsealed::new(at, &event)?).map(drop)
    }
}
