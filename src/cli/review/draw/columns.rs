//! Rows in columns that are as wide as what stands in them, and narrower where the screen is.

use ratatui::style::Style;
use ratatui::text::Span;

use super::text;
use super::theme::Theme;
use crate::cli::approval;

/// The number of blanks between two columns.
const GAP: usize = 2;
/// The least width to which a column is cut.
const NARROWEST: usize = 6;

/// One cell: safe text and its style.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
    is_whole: bool,
}

impl Cell {
    /// Any text, made safe to show; `-` if it is empty, so that columns stay columns.
    pub(super) fn new(text: &str) -> Self {
        let text = if text.is_empty() { "-".into() } else { approval::shown(text) };
        Self { text, style: Style::new(), is_whole: false }
    }

    /// Text of the program that is never cut.
    pub(super) fn whole(text: &str, style: Style) -> Self {
        Self { style, is_whole: true, ..Self::new(text) }
    }

    /// In this style.
    pub(super) fn styled(self, style: Style) -> Self {
        Self { style, ..self }
    }
}

/// The heading and the rows. The widest columns are cut until a line fits, or until none can become narrower.
pub(super) fn table(headings: &[&'static str], rows: Vec<Vec<Cell>>, room: usize) -> Vec<Vec<Span<'static>>> {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.len()).collect();
    let mut narrowest = vec![NARROWEST; headings.len()];
    for cells in &rows {
        for ((width, narrowest), cell) in widths.iter_mut().zip(&mut narrowest).zip(cells) {
            let of = text::width(&cell.text);
            *width = (*width).max(of);
            if cell.is_whole {
                *narrowest = (*narrowest).max(of);
            }
        }
    }
    shrink(&mut widths, &narrowest, room.saturating_sub(GAP * headings.len().saturating_sub(1)));
    let heading = headings
        .iter()
        .map(|heading| Cell { text: (*heading).to_owned(), style: Theme::heading(), is_whole: false })
        .collect();
    std::iter::once(heading).chain(rows).map(|cells| line(cells, &widths)).collect()
}

fn line(cells: Vec<Cell>, widths: &[usize]) -> Vec<Span<'static>> {
    let last = cells.len().saturating_sub(1);
    let mut spans = Vec::new();
    for (i, (cell, width)) in cells.into_iter().zip(widths).enumerate() {
        let shown = text::cut(&cell.text, *width);
        let gap = if i == last { 0 } else { width.saturating_sub(text::width(&shown)) + GAP };
        spans.push(Span::styled(shown, cell.style));
        spans.push(Span::raw(" ".repeat(gap)));
    }
    spans
}

fn shrink(widths: &mut [usize], narrowest: &[usize], room: usize) {
    let mut over = widths.iter().sum::<usize>().saturating_sub(room);
    while over > 0 {
        let can_give = widths.iter_mut().zip(narrowest).filter(|(width, narrowest)| **width > **narrowest);
        let Some((widest, _)) = can_give.max_by_key(|(width, _)| **width) else { return };
        *widest -= 1;
        over -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(rows: Vec<Vec<Span<'static>>>) -> Vec<String> {
        let text = |spans: Vec<Span<'static>>| spans.iter().map(|span| span.content.as_ref()).collect::<String>();
        rows.into_iter().map(text).collect()
    }

    #[test]
    fn the_widest_cells_are_cut_until_a_line_fits() {
        let row = vec![Cell::whole("CRITICAL", Style::new()), Cell::new("a_very_long_action_type"), Cell::new("")];
        let rows = |room| texts(table(&["Risk", "Action", "Target"], vec![row.clone()], room));
        assert_eq!(rows(80), ["Risk      Action                   Target", "CRITICAL  a_very_long_action_type  -"]);
        assert_eq!(rows(30), ["Risk      Action        Target", "CRITICAL  a_very_long…  -"]);
    }

    #[test]
    fn what_an_agent_wrote_is_made_safe() {
        let rows = texts(table(&["Action"], vec![vec![Cell::new("a\u{202e}  b\n")]], 80));
        assert_eq!(rows[1], "a\\u{202e}␣␣b\\n");
    }
}
