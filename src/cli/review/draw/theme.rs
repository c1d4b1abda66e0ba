//! The colours of the screen, by meaning: the eight of the terminal, which fit its light or dark background. None of
//! them says anything that a word does not say as well.

use ratatui::style::{Color, Modifier, Style};

use crate::cli::paint;

/// How things look.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli::review) struct Theme {
    /// Whether colours may be used: not with `NO_COLOR`.
    pub(in crate::cli::review) has_colours: bool,
}

impl Theme {
    fn coloured(self, style: Style, without: Style) -> Style {
        if self.has_colours { style } else { without }
    }

    /// A heading.
    pub(super) const fn heading() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is less important.
    pub(super) const fn faint() -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// The row under the cursor.
    pub(super) const fn chosen() -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Allowed, approved, live.
    pub(super) fn good(self) -> Style {
        self.coloured(Style::new().fg(Color::Green), Style::new()).add_modifier(Modifier::BOLD)
    }

    /// Denied, ended, lost.
    pub(super) fn bad(self) -> Style {
        self.coloured(Style::new().fg(Color::Red), Style::new()).add_modifier(Modifier::BOLD)
    }

    /// Somebody has to look. Yellow is a background: as a letter it cannot be read on white.
    pub(super) fn waiting(self) -> Style {
        self.coloured(Style::new().fg(Color::Black).bg(Color::Yellow), Self::heading())
    }

    /// The highest risk.
    fn alarm(self) -> Style {
        self.coloured(Style::new().fg(Color::White).bg(Color::Red), Style::new()).add_modifier(Modifier::BOLD)
    }

    /// A word of the API, as everywhere in this program.
    pub(super) fn word(self, word: &str) -> Style {
        match paint::of(word) {
            _ if word == "CRITICAL" => self.alarm(),
            style if style == paint::GOOD => self.good(),
            style if style == paint::BAD => self.bad(),
            style if style == paint::WAITING => self.waiting(),
            _ => Style::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_there_are_none() {
        let theme = Theme { has_colours: false };
        let words =
            ["CRITICAL", "HIGH", "LOW", "approved", "denied", "expired", "ALLOW", "DENY"].map(|it| theme.word(it));
        for style in words.into_iter().chain([theme.good(), theme.bad(), theme.waiting()]) {
            assert_eq!((style.fg, style.bg), (None, None));
        }
        assert_ne!(theme.word("CRITICAL"), theme.word("LOW"));
    }
}
