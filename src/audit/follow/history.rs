//! [`History`]: reads existing records, oldest or newest first, in batches.

use std::collections::{BTreeMap, VecDeque};

use super::batch::{BATCH, Batch, Followed, StatusTime, View, read_after};
use crate::audit::rows::filter::RowFilter;
use crate::audit::rows::query::{Order, Page, Query};
use crate::audit::state::Store;
use crate::domain::{DecisionId, Digest};
use crate::store::StoreError;

/// What to read.
#[expect(clippy::large_enum_variant, reason = "there is one for each stream or list that is read")]
#[derive(Clone, Debug)]
pub enum Selection {
    /// All of a view, or only its newest items.
    Newest(View, Option<u64>),
    /// The records about one decision. Of a redacted decision, the rest of them.
    RecordsOf(DecisionId),
}

/// Reads existing records.
pub struct History {
    store: Store,
    order: Order,
    time: StatusTime,
    /// The last record when the reading began.
    end: u64,
    left: Left,
}

/// What is left to read.
#[expect(clippy::large_enum_variant, reason = "there is one for each stream or list that is read")]
enum Left {
    /// A number of records before or after a sequence number.
    Records {
        after: u64,
        until: u64,
    },
    /// At most this many rows before or after a row.
    Rows {
        filter: RowFilter,
        after: Option<u64>,
        limit: u64,
    },
    /// These records.
    These(VecDeque<u64>),
    Nothing,
}

impl History {
    /// Begins to read. Use a [`Follower`](super::Follower) from [`History::end`] on for later records.
    pub async fn begin(
        store: &Store,
        selection: Selection,
        order: Order,
        time: StatusTime,
    ) -> Result<Self, StoreError> {
        let end = store.look(crate::store::Reader::last_sequence).await?;
        let mut history = Self { store: store.clone(), order, time, end, left: Left::Nothing };
        history.left = match selection {
            Selection::RecordsOf(decision) => Left::These(history.records_of(decision).await?),
            Selection::Newest(View::Records, limit) => {
                Left::Records { after: end.saturating_sub(limit.unwrap_or(end)), until: end }
            }
            Selection::Newest(View::Rows(filter), limit) => history.rows(filter, limit).await?,
        };
        Ok(history)
    }

    /// The last record when the reading began.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The next batch; `None` at the end. An empty batch need not be the last one.
    pub async fn next(&mut self) -> Result<Option<Batch>, StoreError> {
        match std::mem::replace(&mut self.left, Left::Nothing) {
            Left::Nothing => Ok(None),
            Left::Records { after, until } => self.next_records(after, until).await.map(Some),
            Left::Rows { filter, after, limit } => self.next_rows(filter, after, limit).await.map(Some),
            Left::These(sequences) => self.next_of(sequences).await.map(Some),
        }
    }

    async fn next_records(&mut self, after: u64, until: u64) -> Result<Batch, StoreError> {
        let now = self.time.now();
        let read = async |after, until| {
            self.store.scan(move |reader| read_after(reader, &View::Records, after, until, now)).await
        };
        if self.order == Order::OldestFirst {
            let (batch, position) = read(after, until).await?;
            if position < until && position > after {
                self.left = Left::Records { after: position, until };
            }
            return Ok(batch);
        }
        // Backwards: the batch before `until`. It is smaller if the records are large.
        let mut width = BATCH as u64;
        let (begin, mut batch) = loop {
            let begin = until.saturating_sub(width).max(after);
            let (batch, position) = read(begin, until).await?;
            if position >= until || width == 1 {
                break (begin, batch);
            }
            width = (width / 2).max(1);
        };
        batch.items.reverse();
        for (sequence, _) in &mut batch.items {
            *sequence = 0;
        }
        if begin > after {
            self.left = Left::Records { after, until: begin };
        }
        Ok(batch)
    }

    /// The first row to read. To read the newest rows oldest first, it walks back to find where they begin.
    async fn rows(&self, filter: RowFilter, limit: Option<u64>) -> Result<Left, StoreError> {
        let Some(limit) = limit else { return Ok(Left::Rows { filter, after: None, limit: u64::MAX }) };
        if self.order == Order::NewestFirst {
            return Ok(Left::Rows { filter, after: None, limit });
        }
        let (mut cursor, mut left, mut first) = (None, limit, None);
        while left > 0 {
            let (page, _) = self.page(&filter, Order::NewestFirst, cursor, left, false).await?;
            left -= page.rows.len() as u64;
            first = page.rows.last().map(|last| last.row).or(first);
            if page.next.is_none() {
                break;
            }
            cursor = page.next;
        }
        Ok(first.map_or(Left::Nothing, |first| Left::Rows { filter, after: Some(first.saturating_sub(1)), limit }))
    }

    async fn next_rows(&mut self, filter: RowFilter, after: Option<u64>, limit: u64) -> Result<Batch, StoreError> {
        let forwards = self.order == Order::OldestFirst;
        let (page, leaves) = self.page(&filter, self.order, after, limit, forwards).await?;
        let limit = limit - page.rows.len() as u64;
        if page.next.is_some() && limit > 0 {
            self.left = Left::Rows { filter, after: page.next, limit };
        }
        // A row that came after the reading began is not of the past: a follower reads it.
        let items = page
            .rows
            .into_iter()
            .filter(|row| row.state.sequence <= self.end)
            .map(|row| (if forwards { row.state.sequence } else { 0 }, Followed::Row(Box::new(row))));
        Ok(Batch { items: items.collect(), leaves })
    }

    /// A page of rows, with the leaf hashes of their records if they can be resumed after.
    async fn page(
        &self,
        filter: &RowFilter,
        order: Order,
        after: Option<u64>,
        limit: u64,
        with_leaves: bool,
    ) -> Result<(Page, BTreeMap<u64, Digest>), StoreError> {
        let (filter, (now, unreported_after)) = (filter.clone(), self.time.now());
        let limit = usize::try_from(limit).unwrap_or(BATCH).min(BATCH);
        let scan = self.store.scan(move |reader| {
            let page = reader.rows(&Query { filter: &filter, order, after, limit, now, unreported_after })?;
            let sequences = page.rows.iter().filter(|_| with_leaves).map(|row| row.state.sequence);
            let leaves = sequences.map(|sequence| Ok((sequence, reader.leaf_after(sequence)?)));
            let leaves = leaves.collect::<Result<_, StoreError>>()?;
            Ok((page, leaves))
        });
        scan.await
    }

    /// The records about a decision, in the order of the log.
    async fn records_of(&self, decision: DecisionId) -> Result<VecDeque<u64>, StoreError> {
        let end = self.end;
        let row = self.store.look(move |reader| reader.by_decision(decision)).await?;
        let mut next = row.map_or(end + 1, |row| row.state.sequence);
        let mut sequences = std::collections::BTreeSet::new();
        while next <= end {
            let scan = self.store.scan(move |reader| reader.records_about(decision, next..=end));
            let (found, after) = scan.await?;
            sequences.extend(found);
            next = after;
        }
        Ok(sequences.into_iter().collect())
    }

    async fn next_of(&mut self, mut sequences: VecDeque<u64>) -> Result<Batch, StoreError> {
        let Some(sequence) = sequences.pop_front() else { return Ok(Batch::default()) };
        let now = self.time.now();
        let scan = self.store.scan(move |reader| {
            read_after(reader, &View::Records, sequence.saturating_sub(1), sequence, now).map(|(batch, _)| batch)
        });
        let batch = scan.await?;
        self.left = Left::These(sequences);
        Ok(batch)
    }
}
