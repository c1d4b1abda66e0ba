//! Every query finds what a look at every row finds, in the same order, whatever the pages, the clock and the changes.

use std::time::Duration;

use proptest::prelude::*;

use crate::audit::rows::draft::{Draft, Opening};
use crate::audit::rows::filter::{RowFilter, TextFilter};
use crate::audit::rows::query::{Order, Query};
use crate::audit::rows::row::AuditRow;
use crate::audit::rows::stats::Stats;
use crate::audit::testing::disk::Disk;
use crate::audit::testing::{UNREPORTED, decision, later, options, report};
use crate::domain::{Approval, Outcome, ResultStatus, RiskLevel, Timestamp};
use crate::store::reader::Reader;

/// What differs from row to row.
#[derive(Clone, Debug)]
struct Sample {
    session: u8,
    action_type: u8,
    risk: usize,
    rule: u8,
    /// Seconds after the start: not in order, as a clock that jumps has it.
    time: u64,
    end: End,
    /// Whether the end comes after the row was written.
    later: bool,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Waits,
    Unreported,
    Is(usize),
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let end = prop_oneof![Just(End::Waits), Just(End::Unreported), (0..ResultStatus::ALL.len()).prop_map(End::Is)];
    let sample = (0..6u8, 0..4u8, 0..4usize, 0..3u8, 0..2000u64, end, any::<bool>());
    let sample = sample.prop_map(|(session, action_type, risk, rule, time, end, later)| Sample {
        session,
        action_type,
        risk,
        rule,
        time,
        end,
        later,
    });
    // Around the two places where something changes: one whole segment, and two.
    prop_oneof![
        1 => prop::collection::vec(sample.clone(), 0..40),
        3 => prop::collection::vec(sample, 500..700),
    ]
}

fn filters() -> impl Strategy<Value = RowFilter> {
    let maybe = |strategy: BoxedStrategy<String>| prop::option::weighted(0.3, strategy);
    let outcome = prop_oneof![Just(Outcome::Allow), Just(Outcome::Deny), Just(Outcome::Escalate)];
    let level = || (0..4usize).prop_map(|n| RiskLevel::ALL[n]);
    let status = (0..ResultStatus::ALL.len()).prop_map(|n| ResultStatus::ALL[n]);
    let action_type = prop_oneof![
        4 => (0..5u8).prop_map(|n| format!("type-{n}")),
        1 => Just("type-*".to_owned()),
        1 => Just("*-[13]".to_owned()),
        1 => Just("type-?".to_owned()),
    ];
    let time = || prop::option::weighted(0.3, (0..2000u64).prop_map(later));
    (
        maybe((0..7u8).prop_map(|n| format!("session-{n}")).boxed()),
        maybe(action_type.boxed()),
        maybe((0..4u8).prop_map(|n| format!("rule-{n}")).boxed()),
        some(level()),
        prop::option::weighted(0.1, level()),
        some(status),
        some(outcome),
        time(),
        time(),
    )
        .prop_map(|(session_id, action_type, matched_rule, levels, least, statuses, outcomes, since, until)| {
            RowFilter {
                session_id,
                action_type: action_type.map(TextFilter::new),
                risk_levels: levels,
                min_risk_level: least,
                outcomes,
                statuses,
                matched_rule,
                since,
                until,
                ..RowFilter::default()
            }
        })
}

/// Mostly nothing, sometimes one value, sometimes several.
fn some<T: std::fmt::Debug + Clone>(value: impl Strategy<Value = T> + 'static) -> impl Strategy<Value = Vec<T>> {
    let value = value.boxed();
    prop_oneof![
        6 => Just(Vec::new()),
        1 => value.clone().prop_map(|value| vec![value]),
        1 => prop::collection::vec(value, 2..4),
    ]
}

fn settle(opening: &mut Opening, end: End, at: Timestamp) {
    match end {
        End::Waits => {}
        End::Unreported => opening.allowed_at = Some(at),
        End::Is(n) => {
            opening.allowed_at = Some(at);
            opening.result = Some(report(ResultStatus::ALL[n]));
        }
    }
}

fn draft_of(number: u64, sample: &Sample) -> Draft {
    let at = moment(sample);
    let mut record = decision(number);
    record.session_id = if sample.session == 0 { String::new() } else { format!("session-{}", sample.session) };
    record.action.r#type = format!("type-{}", sample.action_type);
    record.matched_rule = format!("rule-{}", sample.rule);
    record.risk_level = RiskLevel::ALL[sample.risk];
    if matches!(sample.end, End::Waits) {
        (record.outcome, record.approval) = (Outcome::Escalate, Approval::Approve);
    }
    let mut opening = Opening::default();
    if !sample.later {
        settle(&mut opening, sample.end, at);
    }
    Draft::new(at, &record, opening).unwrap()
}

/// Never on a full second: the statistics count by whole minutes, and a row on the edge of one is counted a minute
/// later.
fn moment(sample: &Sample) -> Timestamp {
    later(sample.time) + Duration::from_millis(500)
}

fn every_row(reader: &Reader) -> Vec<AuditRow> {
    (1..=reader.last_row().unwrap()).map(|row| reader.row(row).unwrap().unwrap()).collect()
}

fn in_pages(reader: &Reader, filter: &RowFilter, order: Order, limit: usize, now: Timestamp) -> Vec<u64> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let query = Query { filter, order, after, limit, now, unreported_after: UNREPORTED };
        let page = reader.rows(&query).unwrap();
        assert!(page.rows.len() <= limit);
        found.extend(page.rows.iter().map(|row| row.row));
        match page.next {
            None => return found,
            Some(_) => after = page.next,
        }
    }
}

/// The statistics by looking at every row.
fn counted(rows: &[AuditRow], reader: &Reader, now: Timestamp) -> Stats {
    let mut naive = Stats {
        decisions: rows.len() as u64,
        records: reader.last_sequence().unwrap(),
        open_approvals: 0,
        ..Stats::default()
    };
    for row in rows {
        *naive.by_risk.entry(row.decision.risk_level).or_default() += 1;
        *naive.by_outcome.entry(row.state.outcome_now().as_str()).or_default() += 1;
        *naive.by_action_type.entry(row.decision.action.r#type.clone()).or_default() += 1;
        *naive.by_rule.entry(row.decision.matched_rule.clone()).or_default() += 1;
        if let Some(status) = row.state.status(now, UNREPORTED) {
            *naive.by_status.entry(status.as_str()).or_default() += 1;
        }
    }
    naive
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn a_query_finds_what_a_look_at_every_row_finds(
        samples in samples(),
        filters in prop::collection::vec((filters(), 5..200usize), 1..8),
        minutes in 0..60u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let store = Disk::default().open(options()).unwrap();
        runtime.block_on(async {
            for (chunk, some) in samples.chunks(97).enumerate() {
                let drafts: Vec<_> =
                    some.iter().enumerate().map(|(i, sample)| draft_of((chunk * 97 + i) as u64, sample)).collect();
                let insert = |tx: &mut crate::audit::Tx<'_>| {
                    drafts.into_iter().try_for_each(|draft| tx.insert_decision(draft).map(drop))
                };
                store.transact(insert).await.unwrap();
            }
            let late: Vec<_> = (1u64..).zip(samples).filter(|(_, sample)| sample.later).collect();
            store
                .transact(move |tx| {
                    for (row, sample) in late {
                        let mut state = tx.row(row)?;
                        let mut opening = Opening::default();
                        settle(&mut opening, sample.end, moment(&sample));
                        (state.allowed_at, state.result) = (opening.allowed_at, opening.result);
                        tx.update_row(row, &state)?;
                    }
                    Ok(())
                })
                .await
                .unwrap();
        });
        let reader = store.read().unwrap();
        let rows = every_row(&reader);
        // The start is five seconds into a minute; this is the end of one.
        let now = later(55) + Duration::from_mins(minutes);
        for (filter, limit) in filters {
            let expected: Vec<u64> =
                rows.iter().filter(|row| filter.matches(row, now, UNREPORTED)).map(|row| row.row).collect();
            prop_assert_eq!(&in_pages(&reader, &filter, Order::OldestFirst, limit, now), &expected, "{:?}", filter);
            let mut newest = in_pages(&reader, &filter, Order::NewestFirst, limit, now);
            newest.reverse();
            prop_assert_eq!(&newest, &expected, "{:?}", filter);
        }
        prop_assert_eq!(reader.stats(now, UNREPORTED).unwrap(), counted(&rows, &reader, now));
        drop(reader);
        store.shutdown();
    }
}

#[test]
fn a_decision_is_found_by_its_id_among_other_conditions() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let store = Disk::default().open(options()).unwrap();
    runtime.block_on(async {
        for number in 1..=3 {
            store.transact(move |tx| tx.insert_decision(crate::audit::testing::draft(number))).await.unwrap();
        }
    });
    let reader = store.read().unwrap();
    let id = crate::audit::testing::decision_id(2);
    let mut filter = RowFilter { decision_id: Some(id), ..RowFilter::default() };
    let found = |filter: &RowFilter| in_pages(&reader, filter, Order::NewestFirst, 5, later(5));
    assert_eq!(found(&filter), [2]);
    filter.session_id = Some("another".into());
    assert_eq!(found(&filter), [0u64; 0]);
    drop(reader);
    store.shutdown();
}

#[test]
fn a_status_that_time_makes_is_found_without_anything_being_written() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let store = Disk::default().open(options()).unwrap();
    runtime.block_on(store.transact(|tx| tx.insert_decision(crate::audit::testing::draft(0)))).unwrap();
    let reader = store.read().unwrap();
    let filter = RowFilter { statuses: vec![ResultStatus::Unknown], ..RowFilter::default() };
    assert_eq!(in_pages(&reader, &filter, Order::NewestFirst, 5, later(599)), [0u64; 0]);
    assert_eq!(in_pages(&reader, &filter, Order::NewestFirst, 5, later(600)), [1]);
    drop(reader);
    store.shutdown();
}
