//! What else can fill the screen: what has ended, the record, what is answered together, the help.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::columns::{self, Cell};
use super::details::Look;
use super::text;
use super::theme::Theme;
use crate::cli::audit::row;
use crate::cli::review::desk::{Desk, Follows};
use crate::cli::review::help::KEYS;
use crate::cli::{approval, wire, words};

/// What has ended, the last first: when, how, what, by whom and why.
pub(super) fn answered(desk: &Desk, look: Look<'_>) -> Vec<Line<'static>> {
    if desk.answered.is_empty() {
        return vec![text::fit(vec![Span::raw("  Nothing has ended within the last day.")], look.width)];
    }
    let is_wide = look.width >= 70;
    let mut headings = vec!["Ended", "How", "Action", "By"];
    headings.extend(is_wide.then_some("Reason"));
    let rows =
        desk.answered.iter().map(|ended| {
            let ending = ended.ending.clone().unwrap_or_default();
            let at = wire::moment(ending.ended_at.as_ref());
            let at = at.map_or_else(String::new, |at| {
                if is_wide { look.zone.to_the_second(at) } else { look.zone.time_of_day(at) }
            });
            let how = words::ending(ended.ending.as_ref()).unwrap_or_else(|| words::state(ended.state));
            let action = ended.action.clone().unwrap_or_default();
            let title =
                if action.target.is_empty() { action.r#type } else { format!("{}@{}", action.r#type, action.target) };
            let mut cells = vec![
                Cell::whole(&at, Style::new()),
                Cell::whole(&how, look.theme.word(&how)),
                Cell::new(&title),
                Cell::new(approval::who(&ending).unwrap_or_default()),
            ];
            cells.extend(is_wide.then(|| Cell::new(&ending.reason)));
            cells
        });
    lines(&headings, rows.collect(), look.width)
}

/// The newest rows of the record, with the columns of `aegis audit`.
pub(super) fn record(desk: &Desk, look: Look<'_>) -> Vec<Line<'static>> {
    if let Follows::Refused(why) = &desk.record.follows {
        let why = text::wrap(&format!("The record cannot be read here: {why}"), look.width);
        return why.into_iter().map(|piece| text::fit(vec![Span::raw(piece)], look.width)).collect();
    }
    if desk.record.len() == 0 {
        let nothing = if desk.record.follows == Follows::Live { "  Nothing is on the record yet." } else { "" };
        return vec![text::fit(vec![Span::raw(nothing)], look.width)];
    }
    let fields = row::fields(Some(look.width));
    let headings: Vec<&'static str> = fields.iter().map(|field| field.heading(look.zone)).collect();
    let rows = desk.record.rows().map(|row| {
        let cell = |field: &row::Field| {
            let text = field.text(row, look.zone);
            let style = if field.is_word() { look.theme.word(&text) } else { Style::new() };
            if field.is_whole() { Cell::whole(&text, style) } else { Cell::new(&text).styled(style) }
        };
        fields.iter().map(cell).collect()
    });
    lines(&headings, rows.collect(), look.width)
}

fn lines(headings: &[&'static str], rows: Vec<Vec<Cell>>, width: usize) -> Vec<Line<'static>> {
    let indented = |spans: Vec<Span<'static>>| {
        let spans = std::iter::once(Span::raw("  ")).chain(spans).collect();
        text::fit(spans, width)
    };
    columns::table(headings, rows, width.saturating_sub(2)).into_iter().map(indented).collect()
}

/// What is about to be answered together: what came later is not among it.
pub(super) fn several(desk: &Desk, look: Look<'_>) -> Vec<Line<'static>> {
    let questions = desk.prompt.as_ref().and_then(|prompt| prompt.ask.several()).unwrap_or_default();
    let is_wide = look.width >= 60;
    let mut headings = vec!["Risk", "Action", "Target"];
    headings.extend(is_wide.then_some("Actor"));
    headings.push("Left");
    let rows = questions.iter().map(|one| {
        let action = one.action.clone().unwrap_or_default();
        let risk = words::risk(one.risk_level);
        let mut cells =
            vec![Cell::whole(&risk, look.theme.word(&risk)), Cell::new(&action.r#type), Cell::new(&action.target)];
        cells.extend(is_wide.then(|| Cell::new(one.actor.as_ref().map_or("", |actor| &actor.id))));
        cells.push(if desk.board.get(&one.approval_id).is_some() {
            Cell::whole(&approval::time_left(one, look.now), Style::new())
        } else {
            Cell::whole("ended", look.theme.bad())
        });
        cells
    });
    lines(&headings, rows.collect(), look.width)
}

/// The keys, and what the signs mean.
pub(super) fn help(look: Look<'_>) -> Vec<Line<'static>> {
    let keys = KEYS.iter().map(|(keys, _)| text::width(keys)).max().unwrap_or(0) + 2;
    let is_narrow = look.width < 60;
    let mut lines = vec![text::fit(vec![Span::styled("Keys", Theme::heading())], look.width)];
    for (key, meaning) in KEYS {
        let indent = if is_narrow { 4 } else { keys + 2 };
        let mut label = Span::styled(format!("  {}", text::pad(key, keys)), Theme::heading());
        if is_narrow {
            lines.push(text::fit(vec![label], look.width));
            label = Span::raw("    ");
        }
        for piece in text::wrap(meaning, look.width.saturating_sub(indent)) {
            lines.push(text::fit(vec![label, Span::raw(piece)], look.width));
            label = Span::raw(" ".repeat(indent));
        }
    }
    lines.push(Line::default());
    for sentence in [
        "> is the row that a key chose, · one where only the program put the cursor, * one that is marked.",
        "The cursor moves by keys and the mouse alone. A question that ends stays in place as ended until the cursor \
         leaves it, and takes no answer.",
        "What an agent wrote is shown as it is: hidden characters as escapes, blanks as ␣, masked values in ⟦ ⟧.",
    ] {
        let pieces = text::wrap(sentence, look.width);
        lines.extend(pieces.into_iter().map(|piece| text::fit(vec![Span::raw(piece)], look.width)));
    }
    lines
}
