//! Tables for people. A column is as wide as its content, measured as a terminal shows it.
//!
//! Every cell goes through [`visible`] and [`blanks::mark`]. So no text of an agent can move the cursor, hide, reverse
//! its direction, or fill a line so that its end looks like another one.

use std::fmt::Write as _;

use anstyle::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{blanks, paint};
use crate::domain::visible;

/// The number of blanks between two columns.
const GAP: usize = 2;
/// The least width to which a column is cut.
const NARROWEST: usize = 6;

/// One cell: safe text and its colour.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
    whole: bool,
}

impl Cell {
    /// A cell with any text; `-` if it is empty, so that columns stay columns.
    pub(super) fn new(text: impl AsRef<str>) -> Self {
        let text = visible(text.as_ref());
        let text = if text.is_empty() { "-".into() } else { blanks::mark(&text).into_owned() };
        Self { text, style: paint::PLAIN, whole: false }
    }

    /// A word of the API, in its colour.
    pub(super) fn word(word: impl AsRef<str>) -> Self {
        let style = paint::of(word.as_ref());
        Self { style, ..Self::new(word) }
    }

    /// Makes a cell that is never cut: an id that a person has to copy.
    pub(super) fn whole(self) -> Self {
        Self { whole: true, ..self }
    }
}

/// A column: its heading, and whether its cells are aligned to the right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    heading: &'static str,
    right: bool,
    /// Its least width, which keeps lines that are printed one by one aligned.
    at_least: usize,
}

impl Column {
    /// A column of words.
    pub(super) const fn left(heading: &'static str, at_least: usize) -> Self {
        Self { heading, right: false, at_least }
    }

    /// A column of numbers.
    pub(super) const fn right(heading: &'static str, at_least: usize) -> Self {
        Self { heading, right: true, at_least }
    }
}

/// A table with all its rows, before it is printed.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns and no row yet.
    pub(super) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "one cell for each column");
        self.rows.push(cells);
    }

    /// Whether there is no row.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table with its heading. With `fit`, the widest columns are cut until no line is wider.
    pub(super) fn render(&self, fit: Option<usize>) -> String {
        let mut widths: Vec<usize> = self.columns.iter().map(|column| column.heading.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.width());
            }
        }
        if let Some(fit) = fit {
            shrink(&mut widths, &self.narrowest(), fit.saturating_sub(GAP * (self.columns.len() - 1)));
        }
        let mut text = heading(&self.columns, &widths);
        for row in &self.rows {
            let row: Vec<Cell> =
                row.iter().zip(&widths).map(|(cell, width)| Cell { text: cut(&cell.text, *width), ..*cell }).collect();
            line(&mut text, &self.columns, &widths, &row);
        }
        text
    }

    /// The least width of each column.
    fn narrowest(&self) -> Vec<usize> {
        let mut narrowest = vec![NARROWEST; self.columns.len()];
        for row in &self.rows {
            for (width, cell) in narrowest.iter_mut().zip(row).filter(|(_, cell)| cell.whole) {
                *width = (*width).max(cell.text.width());
            }
        }
        narrowest
    }
}

/// The heading of a table that is printed row by row.
pub(super) fn running_heading(columns: &[Column], fit: Option<usize>) -> String {
    heading(columns, &running_widths(columns, fit))
}

/// A row of a table that is printed row by row. With `fit`, cells are cut to their columns; without, nothing is cut,
/// and a cell that is too wide pushes the rest to the right.
pub(super) fn running_row(columns: &[Column], cells: &[Cell], fit: Option<usize>) -> String {
    let widths = running_widths(columns, fit);
    let mut text = String::new();
    let cells: Vec<Cell> = cells
        .iter()
        .zip(&widths)
        .map(|(cell, width)| match fit {
            Some(_) if !cell.whole => Cell { text: cut(&cell.text, *width), ..*cell },
            _ => cell.clone(),
        })
        .collect();
    line(&mut text, columns, &widths, &cells);
    text
}

/// The widths of columns whose rows are not known yet.
fn running_widths(columns: &[Column], fit: Option<usize>) -> Vec<usize> {
    let mut widths: Vec<usize> = columns.iter().map(|column| column.at_least.max(column.heading.width())).collect();
    if let Some(fit) = fit {
        let room = fit.saturating_sub(GAP * columns.len().saturating_sub(1));
        shrink(&mut widths, &vec![NARROWEST; columns.len()], room);
    }
    widths
}

fn heading(columns: &[Column], widths: &[usize]) -> String {
    let cells: Vec<Cell> =
        columns.iter().map(|column| Cell { text: column.heading.into(), style: paint::HEADING, whole: true }).collect();
    let mut text = String::new();
    line(&mut text, columns, widths, &cells);
    text
}

fn line(text: &mut String, columns: &[Column], widths: &[usize], cells: &[Cell]) {
    let last = cells.len().saturating_sub(1);
    for (i, ((cell, &width), column)) in cells.iter().zip(widths).zip(columns).enumerate() {
        let shown = &cell.text;
        let room = width.saturating_sub(shown.width());
        let (before, after) = if column.right { (room, 0) } else { (0, if i == last { 0 } else { room }) };
        let gap = if i == last { 0 } else { GAP };
        let style = cell.style;
        // Writing to a String cannot fail.
        let _ = write!(text, "{:before$}{style}{shown}{style:#}{:after$}{:gap$}", "", "", "");
    }
    text.push('\n');
}

/// Narrows the widest columns until they fit, or until none can become narrower.
fn shrink(widths: &mut [usize], narrowest: &[usize], room: usize) {
    while widths.iter().sum::<usize>() > room {
        let can_give = widths.iter_mut().zip(narrowest).filter(|(width, narrowest)| **width > **narrowest);
        let Some((widest, _)) = can_give.max_by_key(|(width, _)| **width) else { return };
        *widest -= 1;
    }
}

/// As much of the text as fits, with `…` in place of the rest.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut shown = String::new();
    let mut used = 0;
    for c in text.chars() {
        let columns = c.width().unwrap_or(0);
        if used + columns + 1 > width {
            break;
        }
        shown.push(c);
        used += columns;
    }
    if width > 0 {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [Column::right("ID", 4), Column::left("Action", 10), Column::left("Risk", 4)];

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    fn row(cells: [&str; 3]) -> Vec<Cell> {
        cells.into_iter().map(Cell::new).collect()
    }

    #[test]
    fn columns_are_as_wide_as_their_content() {
        let mut table = Table::new(&COLUMNS);
        table.row(row(["1", "read", "LOW"]));
        table.row(row(["10", "日本語", "HIGH"]));
        table.row(row(["2", "", "LOW"]));
        assert_eq!(
            plain(&table.render(None)),
            "ID  Action  Risk\n 1  read    LOW\n10  日本語  HIGH\n 2  -       LOW\n"
        );
    }

    #[test]
    fn hidden_characters_are_shown_and_measured_as_shown() {
        let mut table = Table::new(&COLUMNS);
        table.row(row(["1", "a\u{202e}b\u{1b}[2J\n", "LOW"]));
        assert_eq!(plain(&table.render(None)), "ID  Action                 Risk\n 1  a\\u{202e}b\\u{1b}[2J\\n  LOW\n");
    }

    #[test]
    fn a_table_that_is_too_wide_cuts_the_end_of_its_widest_cells() {
        let mut table = Table::new(&COLUMNS);
        table.row(row(["1", "a_very_long_action_type", "LOW"]));
        let text = plain(&table.render(Some(20)));
        assert_eq!(text, "ID  Action      Risk\n 1  a_very_lo…  LOW\n");
        assert!(text.lines().all(|line| line.width() <= 20));
    }

    #[test]
    fn a_running_table_keeps_its_columns_and_cuts_nothing() {
        let text = running_heading(&COLUMNS, None)
            + &running_row(&COLUMNS, &row(["1", "read", "LOW"]), None)
            + &running_row(&COLUMNS, &row(["2", "a_very_long_action_type", "LOW"]), None);
        assert_eq!(plain(&text), "  ID  Action      Risk\n   1  read        LOW\n   2  a_very_long_action_type  LOW\n");
    }

    #[test]
    fn a_running_table_on_a_terminal_is_no_wider_than_it() {
        let text = running_heading(&COLUMNS, Some(22))
            + &running_row(&COLUMNS, &row(["2", "a_very_long_action_type", "LOW"]), Some(22));
        assert_eq!(plain(&text), "  ID  Action      Risk\n   2  a_very_lo…  LOW\n");
    }

    #[test]
    fn wide_characters_are_never_cut_in_half() {
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("日本語", 0), "");
    }
}
