//! Queries rows: a filter, an order, a page.
//!
//! A query takes the rarest index value of its filter, walks its bitmaps in the requested order, and intersects each
//! with the bitmaps of the other values. If the filter has several values of one kind, it unites their bitmaps first.
//! It reads the unindexed rows one by one. It then checks the facts of each remaining row, and returns the row only if
//! its record matches too.
//!
//! A time range becomes the ranges of segments that overlap it. So a jump of the wall clock costs some work but never
//! loses a row.

use std::ops::RangeInclusive;
use std::time::Duration;

use redb::ReadOnlyTable;

use super::facts::{FactFilter, decode_facts};
use super::filter::RowFilter;
use super::keys::{Bitmap, IndexKey, Kind, Short, bit_of, first_row, index_key, segment_of, segment_of_key};
use super::read::sized_row;
use super::row::AuditRow;
use super::tables::{INDEX, ROWS, SEGMENTS};
use crate::audit::log::tables::RECORDS;
use crate::domain::{Defence, Timestamp};
use crate::store::error::{StoreError, damaged, guarded, missing};
use crate::store::reader::Reader;
use crate::store::table::Bytes;

type Index = ReadOnlyTable<&'static IndexKey, &'static Bitmap>;

/// The most rows that one page reads, so that a rare match does not keep a snapshot for long.
const SCAN_LIMIT: usize = 65_536;
/// The most bytes of rows and records in one page: what is read of them takes many times as much. The first row may be
/// larger.
const PAGE_BYTES: usize = 1 << 20;
/// How many bitmaps are read to estimate how rare a value is.
const PROBE: usize = 32;

/// The order of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The latest decision first.
    #[default]
    NewestFirst,
    /// The earliest decision first.
    OldestFirst,
}

/// A query for rows.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// The filter.
    pub filter: &'a RowFilter,
    /// The order.
    pub order: Order,
    /// Continue after this row, in the requested order. `None` starts at the beginning.
    pub after: Option<u64>,
    /// The most rows to return.
    pub limit: usize,
    /// The current time, to find results that were not reported in time.
    pub now: Timestamp,
    /// How long an allowed action may go unreported before its status is `unknown`.
    pub unreported_after: Duration,
}

/// A page of rows.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The rows, in the requested order.
    pub rows: Vec<AuditRow>,
    /// Where to continue; `None` at the end of this snapshot. A page can have fewer rows than requested, or none, and
    /// not be the last, because one page reads only a bounded number of rows.
    pub next: Option<u64>,
}

/// Whether to continue after a row.
enum Next {
    GoOn,
    /// Stop: the page is full, or enough rows were read.
    Stop,
}

/// The rows to read: those with an index value, or all.
#[derive(Clone, Copy, Debug)]
enum Source {
    Every,
    Index(Kind, Short),
}

impl Reader {
    /// Runs a query and returns one page.
    pub fn rows(&self, query: &Query<'_>) -> Result<Page, StoreError> {
        guarded(|| self.find(query))
    }

    fn find(&self, query: &Query<'_>) -> Result<Page, StoreError> {
        let mut page = Page::default();
        if query.limit == 0 {
            return Ok(page);
        }
        let (rows, records) = (self.table(ROWS)?, self.table(RECORDS)?);
        let facts = FactFilter::new(query.filter);
        let criteria = facts.index_values();
        let mut search = Search { reader: self, query, facts, criteria, rows, records, looked_at: 0, bytes: 0 };
        let (indexed, last) = (self.indexed()?, self.last_row()?);
        let (from, to) = match (query.order, query.after) {
            (_, None) => (1, last),
            (Order::NewestFirst, Some(after)) => (1, last.min(after.saturating_sub(1))),
            (Order::OldestFirst, Some(after)) => (after.saturating_add(1), last),
        };
        if let Some(decision) = query.filter.decision_id {
            if let Some(row) = self.row_of(decision)?
                && (from..=to).contains(&row)
            {
                search.judge(row, None, &mut page)?;
            }
            page.next = None;
            return Ok(page);
        }
        let source = search.rarest(from..=to.min(indexed))?;
        let mut ranges = search.ranges(from..=to.min(indexed))?;
        let tail = from.max(indexed + 1)..=to;
        let walked = match query.order {
            Order::OldestFirst => {
                ranges.into_iter().map(|range| (source, range)).chain([(Source::Every, tail)]).collect::<Vec<_>>()
            }
            Order::NewestFirst => {
                ranges.reverse();
                [(Source::Every, tail)].into_iter().chain(ranges.into_iter().map(|range| (source, range))).collect()
            }
        };
        for (source, range) in walked {
            if let Next::Stop = search.walk(source, range, &mut page)? {
                return Ok(page);
            }
        }
        page.next = None;
        Ok(page)
    }
}

/// A running query.
struct Search<'q> {
    reader: &'q Reader,
    query: &'q Query<'q>,
    facts: FactFilter,
    /// The index values of the filter: of each kind, a row must have one of them.
    criteria: Vec<(Kind, Vec<Short>)>,
    rows: ReadOnlyTable<u64, Bytes>,
    records: ReadOnlyTable<u64, Bytes>,
    looked_at: usize,
    bytes: usize,
}

impl Search<'_> {
    /// Reads one row. The page's `next` is always the last row that was read, and is on the page if it matches.
    fn judge(&mut self, row: u64, value: Option<&[u8]>, page: &mut Page) -> Result<Next, StoreError> {
        let before = page.next.replace(row);
        self.looked_at += 1;
        let found;
        let value = if let Some(value) = value {
            value
        } else {
            found = self.rows.get(row)?.ok_or_else(|| missing("row", row))?;
            found.value()
        };
        let facts = decode_facts(value).ok_or_else(|| damaged("a row is too short"))?;
        if self.facts.lets_through(&facts) {
            let (found, bytes) = sized_row(&self.records, row, value)?;
            if self.query.filter.matches(&found, self.query.now, self.query.unreported_after) {
                self.bytes += bytes;
                if self.bytes > PAGE_BYTES && !page.rows.is_empty() && Defence::PageBytes.on() {
                    page.next = before;
                    return Ok(Next::Stop);
                }
                page.rows.push(found);
            }
        }
        let enough = page.rows.len() >= self.query.limit
            || self.looked_at >= SCAN_LIMIT
            || (self.bytes >= PAGE_BYTES && !page.rows.is_empty() && Defence::PageBytes.on());
        Ok(if enough { Next::Stop } else { Next::GoOn })
    }

    fn walk(&mut self, source: Source, range: RangeInclusive<u64>, page: &mut Page) -> Result<Next, StoreError> {
        if range.is_empty() {
            return Ok(Next::GoOn);
        }
        let backwards = self.query.order == Order::NewestFirst;
        match source {
            Source::Every => {
                let mut rows = self.rows.range(range)?;
                while let Some(entry) = if backwards { rows.next_back() } else { rows.next() } {
                    let (row, value) = entry?;
                    if let Next::Stop = self.judge(row.value(), Some(value.value()), page)? {
                        return Ok(Next::Stop);
                    }
                }
            }
            Source::Index(kind, value) => {
                let index = self.reader.table(INDEX)?;
                let (first, last) = (segment_of(*range.start()), segment_of(*range.end()));
                let mut entries =
                    index.range::<&IndexKey>(&index_key(kind, value, first)..=&index_key(kind, value, last))?;
                while let Some(entry) = if backwards { entries.next_back() } else { entries.next() } {
                    let (key, bitmap) = entry?;
                    let segment = segment_of_key(key.value());
                    let bitmap = self.narrowed(&index, *bitmap.value(), kind, segment)?;
                    let mut rows: Vec<u64> = (first_row(segment)..first_row(segment + 1))
                        .filter(|row| {
                            let (byte, bit) = bit_of(*row);
                            bitmap[byte] & bit != 0 && range.contains(row)
                        })
                        .collect();
                    if backwards {
                        rows.reverse();
                    }
                    for row in rows {
                        if let Next::Stop = self.judge(row, None, page)? {
                            return Ok(Next::Stop);
                        }
                    }
                }
            }
        }
        Ok(Next::GoOn)
    }

    /// The rows of a segment that also have the other values of the filter.
    fn narrowed(&self, index: &Index, mut bitmap: Bitmap, but: Kind, segment: u64) -> Result<Bitmap, StoreError> {
        for (kind, values) in self.criteria.iter().filter(|(kind, _)| *kind != but) {
            let mut any = [0; 32];
            for value in values {
                if let Some(other) = index.get(&index_key(*kind, *value, segment))? {
                    any.iter_mut().zip(other.value()).for_each(|(byte, other)| *byte |= other);
                }
            }
            bitmap.iter_mut().zip(any).for_each(|(byte, any)| *byte &= any);
        }
        Ok(bitmap)
    }

    /// The index value that is the rarest near the start of the walk.
    fn rarest(&self, range: RangeInclusive<u64>) -> Result<Source, StoreError> {
        if range.is_empty() {
            return Ok(Source::Every);
        }
        let index = self.reader.table(INDEX)?;
        let (first, last) = (segment_of(*range.start()), segment_of(*range.end()));
        let backwards = self.query.order == Order::NewestFirst;
        // The average number of rows with the value in each probed segment.
        let mut best = (f64::INFINITY, Source::Every);
        // Only a kind with one value is walked. One with several would have to be merged.
        let single = self.criteria.iter().filter_map(|(kind, values)| match values[..] {
            [value] => Some((*kind, value)),
            _ => None,
        });
        for (kind, value) in single {
            let mut entries =
                index.range::<&IndexKey>(&index_key(kind, value, first)..=&index_key(kind, value, last))?;
            let (mut bitmaps, mut rows, mut furthest) = (0, 0, None);
            while bitmaps < PROBE {
                let Some(entry) = (if backwards { entries.next_back() } else { entries.next() }) else { break };
                let (key, bitmap) = entry?;
                rows += bitmap.value().iter().map(|byte| byte.count_ones()).sum::<u32>();
                furthest = Some(segment_of_key(key.value()));
                bitmaps += 1;
            }
            let stretch = match furthest {
                Some(segment) if bitmaps == PROBE => {
                    if backwards {
                        last - segment + 1
                    } else {
                        segment - first + 1
                    }
                }
                _ => last - first + 1,
            };
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            let density = f64::from(rows) / stretch as f64;
            if density < best.0 {
                best = (density, Source::Index(kind, value));
            }
        }
        Ok(best.1)
    }

    /// The indexed rows of segments that overlap the time range, as ascending ranges.
    fn ranges(&self, range: RangeInclusive<u64>) -> Result<Vec<RangeInclusive<u64>>, StoreError> {
        let (from, to) = (*range.start(), *range.end());
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let Some((since, until)) = self.facts.times() else { return Ok(vec![range]) };
        let mut ranges: Vec<RangeInclusive<u64>> = Vec::new();
        let segments = self.reader.table(SEGMENTS)?;
        for entry in segments.range(segment_of(from)..=segment_of(to))? {
            let (segment, span) = entry?;
            let (earliest, latest) = span.value();
            if latest < since || earliest > until {
                continue;
            }
            let first = first_row(segment.value()).max(from);
            let last = (first_row(segment.value() + 1) - 1).min(to);
            match ranges.last_mut() {
                Some(open) if *open.end() + 1 == first => *open = *open.start()..=last,
                _ => ranges.push(first..=last),
            }
        }
        Ok(ranges)
    }
}
