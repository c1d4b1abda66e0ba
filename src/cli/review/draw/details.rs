//! Everything about one question, in lines: first what is asked, then what was done before.
//!
//! A label stands where no text of an agent does, and a value that goes on below itself has a mark there.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::text;
use super::theme::Theme;
use crate::cli::approval;
use crate::cli::paint;
use crate::cli::review::desk::{Background, Cursor};
use crate::cli::times::Zone;
use crate::cli::words;
use crate::domain::{Timestamp, visible};
use crate::proto::v1::{Approval, SessionAction, Vote};

/// The columns of a label, two blanks before it and one behind it.
const LABELS: usize = 12;
/// Below this many columns a label has a line of its own.
const NARROW: usize = 40;
/// In front of a value that goes on.
const GOES_ON: &str = "↳";

/// The lines, and how many of them say what is asked.
pub(super) struct Details {
    pub(super) lines: Vec<Line<'static>>,
    pub(super) essential: usize,
}

/// How to write it.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) theme: Theme,
    pub(super) zone: &'a Zone,
    pub(super) width: usize,
    pub(super) now: Timestamp,
}

/// Everything about the question under the cursor.
pub(super) fn of(cursor: &Cursor, background: Option<&Background>, look: Look<'_>) -> Details {
    let approval = &cursor.on;
    let mut page = Page { lines: Vec::new(), look };
    // One line: where it went on, an agent's text would stand where labels do. The fields have all of it.
    let title = text::cut(&approval::title(approval), look.width);
    page.lines.push(Line::from(Span::styled(title, Theme::heading())));
    if cursor.has_ended {
        let how = approval.ending.as_ref();
        let how = how.map_or_else(|| "while nobody looked".to_owned(), |how| approval::ending(how, look.zone));
        page.whole(&format!("ENDED: {how}. It takes no answer any more."), look.theme.bad());
    }
    for (label, value) in approval::fields(approval, look.now, look.zone) {
        let style = match label {
            "risk" => look.theme.word(&value),
            "hidden" => look.theme.waiting(),
            "caller" if value == approval::NOBODY_WAITS => look.theme.waiting(),
            _ => Style::new(),
        };
        page.field(label, &value, style);
    }
    let essential = page.lines.len();
    page.context(approval, background);
    Details { lines: page.lines, essential }
}

struct Page<'a> {
    lines: Vec<Line<'static>>,
    look: Look<'a>,
}

impl Page<'_> {
    /// Text of the program, over as many lines as it takes.
    fn whole(&mut self, text: &str, style: Style) {
        let pieces = text::wrap(text, self.look.width);
        self.lines.extend(pieces.into_iter().map(|piece| text::fit(vec![Span::styled(piece, style)], self.look.width)));
    }

    fn heading(&mut self, text: &str) {
        self.lines.push(Line::default());
        self.whole(text, Theme::heading());
    }

    fn field(&mut self, label: &str, value: &str, style: Style) {
        let width = self.look.width;
        let is_narrow = width < NARROW;
        if is_narrow && !label.is_empty() {
            self.lines.push(text::fit(vec![Span::styled(label.to_owned(), Theme::faint())], width));
        }
        let indent = if is_narrow { 2 } else { LABELS };
        for (i, piece) in text::wrap(value, width.saturating_sub(indent)).into_iter().enumerate() {
            let before = match (i, is_narrow) {
                (0, true) => "  ".to_owned(),
                (_, true) => format!("{GOES_ON} "),
                (0, false) => format!("  {}", text::pad(label, indent - 2)),
                (_, false) => format!("  {}", text::pad(GOES_ON, indent - 2)),
            };
            self.lines.push(text::fit(vec![Span::styled(before, Theme::faint()), Span::styled(piece, style)], width));
        }
    }

    /// What helps to answer: the votes, the rule, and what was done before.
    fn context(&mut self, approval: &Approval, background: Option<&Background>) {
        if !approval.votes.is_empty() {
            self.heading("Votes");
            approval.votes.iter().for_each(|vote| self.vote(vote));
        }
        let Some(background) = background else {
            self.heading("Earlier actions");
            return self.whole("  loading …", Theme::faint());
        };
        self.heading("Earlier actions of this session");
        match background.session.as_slice() {
            _ if approval.context.as_ref().is_none_or(|context| context.session_id.is_empty()) => {
                self.whole("  The action belongs to no session.", Theme::faint());
            }
            [] => self.whole("  This is its first action.", Theme::faint()),
            actions => actions.iter().for_each(|action| self.before(action)),
        }
        if let Some(actions) = &background.actor {
            self.heading("Earlier actions of this actor");
            match actions.as_slice() {
                [] => self.whole("  Nothing is on the record.", Theme::faint()),
                actions => actions.iter().for_each(|action| self.before(action)),
            }
        }
        if !background.rule.is_empty() {
            self.heading("The rule");
            for (name, value) in &background.rule {
                self.sentence(&format!("{}: {}", visible(name), visible(value)), Style::new());
            }
        }
    }

    /// A sentence that begins with what the program says. Where it goes on, it has a mark.
    fn sentence(&mut self, text: &str, style: Style) {
        let width = self.look.width;
        for (i, piece) in text::wrap(text, width.saturating_sub(2)).into_iter().enumerate() {
            let before = Span::styled(if i == 0 { "  ".to_owned() } else { format!("{GOES_ON} ") }, Theme::faint());
            self.lines.push(text::fit(vec![before, Span::styled(piece, style)], width));
        }
    }

    fn before(&mut self, action: &SessionAction) {
        let style = match paint::of(&words::outcome(action.outcome)) {
            style if style == paint::BAD => self.look.theme.bad(),
            _ => Style::new(),
        };
        self.sentence(&approval::before(action, self.look.zone), style);
    }

    fn vote(&mut self, vote: &Vote) {
        self.sentence(&approval::vote(vote, self.look.zone), Style::new());
    }
}
