//! Rows and records on their way out, in one of four layouts. Only a table waits for all of its rows.

use std::collections::HashMap;

use serde_json::Value;

use super::{record, row};
use crate::cli::failure::Failure;
use crate::cli::object::Object;
use crate::cli::out::Out;
use crate::cli::safe_json;
use crate::cli::table::{self, Cell, Column, Table};
use crate::cli::times::Zone;
use crate::cli::wire;
use crate::domain::{Defence, visible};
use crate::proto::v1::{AuditRecord, AuditRow, RowLeft};

/// How the record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Layout {
    /// For people
    Table,
    /// One JSON array
    Json,
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values with a heading
    Csv,
}

/// What is being written.
pub(super) struct Sheet {
    out: Out,
    columns: Vec<Column>,
    fields: &'static [row::Field],
    zone: Zone,
    body: Body,
    /// Whether somebody watches: every entry is written out at once.
    live: bool,
    seen: Seen,
    count: u64,
}

/// How rows looked when they were last written. Bounded: to forget means at worst to write a row once more.
#[derive(Default)]
struct Seen(HashMap<u64, String>);

impl Seen {
    const MOST: usize = 10_000;

    fn is_news(&mut self, id: u64, looks: String) -> bool {
        if self.0.get(&id) == Some(&looks) {
            return false;
        }
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        self.0.insert(id, looks);
        true
    }

    /// Whether the row was written.
    fn forget(&mut self, id: u64) -> bool {
        self.0.remove(&id).is_some()
    }
}

enum Body {
    /// A table whose columns are measured when all rows are there.
    Table(Table),
    /// A table that is printed row by row.
    Running,
    Json,
    Jsonl,
    Csv,
}

impl Sheet {
    /// Begins to write.
    pub(super) fn begin(mut out: Out, layout: Layout, records: bool, live: bool, zone: Zone) -> Result<Self, Failure> {
        let fields = row::fields(out.width());
        let columns: Vec<Column> =
            if records { record::COLUMNS.to_vec() } else { fields.iter().map(|field| field.column(&zone)).collect() };
        let body = match layout {
            Layout::Table if live => {
                out.text(table::running_heading(&columns, out.width()))?;
                Body::Running
            }
            Layout::Table => Body::Table(Table::new(&columns)),
            Layout::Json => Body::Json,
            Layout::Jsonl => Body::Jsonl,
            Layout::Csv => Body::Csv,
        };
        Ok(Self { out, columns, fields, zone, body, live, seen: Seen::default(), count: 0 })
    }

    /// Writes a row. Where somebody watches, one that looks as it did before is passed over: a decision and the
    /// question that it puts are two records, and one change to the eye.
    pub(super) fn row(&mut self, row: &AuditRow, cursor: &str) -> Result<(), Failure> {
        let cells = || self.fields.iter().map(|field| field.cell(row, &self.zone)).collect::<Vec<_>>();
        let cells = matches!(self.body, Body::Running | Body::Table(_)).then(cells).unwrap_or_default();
        if self.live {
            let looks = match &self.body {
                Body::Running | Body::Table(_) => table::running_row(&self.columns, &cells, None),
                Body::Json | Body::Jsonl | Body::Csv => safe_json::compact(&row::object(row)),
            };
            if !self.seen.is_news(row.number, looks) {
                return Ok(());
            }
        }
        self.entry(|| cells, || row::object(row).with("cursor", wire::present(cursor)))
    }

    /// Says that a row no longer matches. In a table only if the row is on the screen; in CSV, whose columns are fixed,
    /// never.
    pub(super) fn left(&mut self, left: &RowLeft, cursor: &str) -> Result<(), Failure> {
        let was_shown = self.seen.forget(left.number);
        match self.body {
            Body::Running if was_shown => {
                self.out.line(format_args!("{:>4}  no longer matches", left.number))?;
                self.out.flush()
            }
            Body::Jsonl => {
                let object = Object::default()
                    .with("id", left.number)
                    .with("decision_id", left.decision_id.as_str())
                    .with("left", true)
                    .with("cursor", cursor);
                self.out.jsonl(&object)?;
                self.out.flush()
            }
            Body::Table(_) | Body::Running | Body::Json | Body::Csv => Ok(()),
        }
    }

    /// Writes a record.
    pub(super) fn record(&mut self, record: &AuditRecord, cursor: &str) -> Result<(), Failure> {
        self.entry(|| record::cells(record), || record::object(record).with("cursor", wire::present(cursor)))
    }

    fn entry(&mut self, cells: impl FnOnce() -> Vec<Cell>, object: impl FnOnce() -> Object) -> Result<(), Failure> {
        match &mut self.body {
            Body::Table(table) => table.row(cells()),
            Body::Running => {
                let text = table::running_row(&self.columns, &cells(), self.out.width());
                self.out.text(text)?;
            }
            Body::Json => {
                let lead = if self.count == 0 { "[\n" } else { ",\n" };
                self.out.data(format_args!("{lead}{}", indented(&object())))?;
            }
            Body::Jsonl => self.out.jsonl(&object())?,
            Body::Csv => {
                let object = object();
                if self.count == 0 {
                    self.out.data(line(object.members().map(|(name, _)| name.to_owned())))?;
                }
                self.out.data(line(object.members().map(|(_, value)| csv_cell(value))))?;
            }
        }
        self.count += 1;
        if self.live { self.out.flush() } else { Ok(()) }
    }

    /// Writes out what is buffered.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush()
    }

    /// Writes what is left.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        match &self.body {
            Body::Table(table) if table.is_empty() => self.out.line("No audit entries found.")?,
            Body::Table(table) => {
                let text = table.render(self.out.width());
                self.out.text(text)?;
            }
            Body::Json => self.out.data(if self.count == 0 { "[]\n" } else { "\n]\n" })?,
            Body::Running | Body::Jsonl | Body::Csv => {}
        }
        self.out.flush()
    }
}

/// An element of an array that is written piece by piece.
fn indented(object: &Object) -> String {
    format!("  {}", safe_json::pretty(object).replace('\n', "\n  "))
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells).expect("writing to memory does not fail");
    let bytes = writer.into_inner().expect("writing to memory does not fail");
    String::from_utf8(bytes).expect("made of text")
}

/// A value as a cell: text, nothing for null, JSON for what is nested.
///
/// Control and other hidden characters are written out (`\n`, `\u{1b}`): a program that reads lines must not lose rows
/// to them, nor a terminal obey them. Then what a spreadsheet would run as a formula gets an apostrophe in front:
/// agents choose such text.
fn csv_cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) if !Defence::CsvControl.on() => text.clone(),
        Value::String(text) => visible(text).into_owned(),
        other => safe_json::compact(other),
    };
    if value.is_string() && Defence::CsvFormula.on() && looks_like_a_formula(&text) { format!("'{text}") } else { text }
}

/// The signs that begin a formula, after blanks and in full width as well: some spreadsheets pass over both.
fn looks_like_a_formula(text: &str) -> bool {
    text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::audit::row::tests::example;

    fn written(layout: Layout, rows: &[AuditRow], live: bool) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let mut sheet = Sheet::begin(Out::file(&path).unwrap(), layout, false, live, Zone::utc()).unwrap();
        for row in rows {
            sheet.row(row, "").unwrap();
        }
        sheet.end().unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    fn whole(row: &AuditRow) -> Object {
        row::object(row).with("cursor", Value::Null)
    }

    #[test]
    fn a_row_that_no_longer_matches_is_announced_where_it_was_shown() {
        let announced = |layout, shown: bool| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("out");
            let mut sheet = Sheet::begin(Out::file(&path).unwrap(), layout, false, true, Zone::utc()).unwrap();
            if shown {
                sheet.row(&example(), "c1").unwrap();
            }
            let left = RowLeft { number: 2, decision_id: "dec_1".into() };
            sheet.left(&left, "c2").unwrap();
            sheet.left(&left, "c2").unwrap();
            sheet.end().unwrap();
            std::fs::read_to_string(path).unwrap()
        };
        assert!(announced(Layout::Table, true).ends_with("success\n   2  no longer matches\n"));
        assert!(!announced(Layout::Table, false).contains("no longer"));
        let line = r#"{"id":2,"decision_id":"dec_1","left":true,"cursor":"c2"}"#;
        assert_eq!(announced(Layout::Jsonl, false), format!("{line}\n{line}\n"));
        assert!(announced(Layout::Jsonl, true).contains(r#","cursor":"c1"}"#));
        assert_eq!(announced(Layout::Csv, false), "");
    }

    #[test]
    fn the_table_has_the_columns_of_the_original_in_their_order_among_more() {
        let text = written(Layout::Table, &[example()], false);
        assert_eq!(
            text,
            "ID  Time (UTC)           Session      Actor   Action       Target  Risk  Rule                    Decision  \
             By   Result\n \
             2  2026-11-20 22:49:44  a1b2c3d4...  =cmd()  bulk_update  crm     HIGH  bulk_ops_need_approval  approved  \
             ann  success\n"
        );
        let mut headings = text.lines().next().unwrap_or_default().split_whitespace();
        for original in ["ID", "Session", "Action", "Target", "Risk", "Decision", "Result"] {
            assert!(headings.any(|heading| heading == original), "{original}");
        }
        assert_eq!(written(Layout::Table, &[], false), "No audit entries found.\n");
    }

    #[test]
    fn a_table_that_is_watched_keeps_its_columns() {
        let text = written(Layout::Table, &[example(), AuditRow { matched_rule: "r".into(), ..example() }], true);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("  ID  Time (UTC)           Session      Actor         Action"), "{text}");
        assert_eq!(lines[0].find("Rule"), lines[2].find("r  "), "{text}");
        assert_eq!(lines[0].find("Decision"), lines[2].find("approved"), "{text}");
    }

    #[test]
    fn a_row_that_is_watched_comes_again_only_when_it_looks_different() {
        let waiting = AuditRow { ending: None, result: None, ..example() };
        let text = written(Layout::Table, &[waiting.clone(), waiting.clone(), example(), waiting.clone()], true);
        assert_eq!(text.lines().count(), 1 + 3, "{text}");
        assert_eq!(written(Layout::Jsonl, &[waiting.clone(), waiting], false).lines().count(), 2);
    }

    #[test]
    fn json_is_an_array_however_many_rows_there_are() {
        for count in 0..3 {
            let rows = vec![example(); count];
            let text = written(Layout::Json, &rows, false);
            let value: Vec<Value> = serde_json::from_str(&text).unwrap();
            assert_eq!(value.len(), count);
            assert_eq!(text, serde_json::to_string_pretty(&rows.iter().map(whole).collect::<Vec<_>>()).unwrap() + "\n");
        }
    }

    #[test]
    fn jsonl_is_a_row_a_line() {
        let text = written(Layout::Jsonl, &[example(), example()], false);
        assert_eq!(text.lines().count(), 2);
        assert!(text.starts_with(r#"{"id":2,"session_id":"a1b2c3d4e5f6","timestamp":"#), "{text}");
    }

    #[test]
    fn csv_has_a_heading_nested_json_and_no_formulas() {
        let text = written(Layout::Csv, &[example()], false);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let headings = reader.headers().unwrap().clone();
        let row = reader.records().next().unwrap().unwrap();
        let cell = |name: &str| &row[headings.iter().position(|heading| heading == name).unwrap()];
        assert_eq!(cell("action_params"), r#"{"count":150}"#);
        assert_eq!(cell("result_error"), "");
        assert_eq!(cell("actor_id"), "'=cmd()");
    }

    #[test]
    fn a_cell_of_csv_is_data_and_nothing_that_anybody_runs() {
        for (value, cell) in [
            (json!("a\u{202e}"), "a\\u{202e}"),
            (json!("start\u{1b}]0;"), "start\\u{1b}]0;"),
            (json!("two\r\nlines"), "two\\r\\nlines"),
            (json!("\u{9b}31m\u{7f}"), "\\u{9b}31m\\u{7f}"),
            (json!("=1+1"), "'=1+1"),
            (json!("  @sum"), "'  @sum"),
            (json!("\u{a0}＝1"), "'\u{a0}＝1"),
            (json!("\t=1"), "\\t=1"),
            (json!("\u{1b}=1"), "\\u{1b}=1"),
            (json!("a=b"), "a=b"),
            (json!(-5), "-5"),
            (json!({"a": "=1"}), r#"{"a":"=1"}"#),
            (Value::Null, ""),
        ] {
            assert_eq!(csv_cell(&value), cell);
        }
    }

    #[test]
    fn no_text_of_an_agent_takes_rows_out_of_csv_or_jsonl() {
        let said = |text: &str| {
            let mut row = example();
            row.action.as_mut().unwrap().description = text.into();
            row
        };
        let rows =
            [said("start\u{1b}]0;"), said("\u{1b}P"), example(), said("\u{90}x"), said("end\u{7}\u{9c}\u{1b}\\")];
        let csv = written(Layout::Csv, &rows, false);
        assert_eq!(csv::Reader::from_reader(csv.as_bytes()).records().map(Result::unwrap).count(), rows.len());
        assert_eq!(csv.lines().count(), 1 + rows.len());
        let jsonl = written(Layout::Jsonl, &rows, false);
        for (line, row) in jsonl.lines().zip(&rows) {
            let value: Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["action_desc"], row.action.as_ref().unwrap().description);
        }
        assert!(!(csv + &jsonl).contains(|c: char| c.is_control() && c != '\n'));
    }
}
