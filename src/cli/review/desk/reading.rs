//! Which questions were on the screen in full: only those can be answered together with others.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::domain::Defence;
use crate::proto::v1::Approval;

/// What was on the screen of the question under the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli::review) struct Shown {
    pub(in crate::cli::review) approval_id: String,
    /// The columns that its lines were wrapped to.
    pub(in crate::cli::review) width: usize,
    /// How many lines say what is asked. What was done before follows them, and need not be read.
    pub(in crate::cli::review) essential: usize,
    /// The lines that were on the screen.
    pub(in crate::cli::review) lines: Range<usize>,
}

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The question that is being read, as it was wrapped.
    of: Option<(String, usize)>,
    lines: Vec<bool>,
    /// The digests of the questions that were on the screen in full, by their ids.
    in_full: BTreeMap<String, String>,
}

impl Reading {
    /// Learns what was on the screen.
    pub(super) fn saw(&mut self, approval: &Approval, shown: &Shown) {
        let of = (shown.approval_id.clone(), shown.width);
        // Lines that are wrapped anew, or that came between, are other lines.
        if self.of.as_ref() != Some(&of) || self.lines.len() != shown.essential {
            self.lines = vec![false; shown.essential];
            self.of = Some(of);
        }
        let end = shown.lines.end.min(shown.essential);
        if let Some(lines) = self.lines.get_mut(shown.lines.start.min(end)..end) {
            lines.fill(true);
        }
        if !self.lines.is_empty() && self.lines.iter().all(|was_shown| *was_shown) {
            self.in_full.insert(approval.approval_id.clone(), approval.action_digest.clone());
        }
    }

    /// Whether all of it, exactly as it is asked, was on the screen.
    pub(super) fn is_in_full(&self, approval: &Approval) -> bool {
        let was_shown = self.in_full.get(&approval.approval_id) == Some(&approval.action_digest);
        was_shown || !Defence::ShownInFull.on()
    }

    /// Forgets those that wait no more.
    pub(super) fn keep(&mut self, waits: impl Fn(&str) -> bool) {
        self.in_full.retain(|id, _| waits(id));
    }

    /// Forgets one that waits no more.
    pub(super) fn forget(&mut self, id: &str) {
        self.in_full.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::review::board::tests::approval;

    fn shown(width: usize, essential: usize, lines: Range<usize>) -> Shown {
        Shown { approval_id: "apr_1".into(), width, essential, lines }
    }

    #[test]
    fn a_question_is_read_when_each_of_its_lines_was_on_the_screen() {
        let (mut reading, one) = (Reading::default(), approval("apr_1"));
        reading.saw(&one, &shown(80, 10, 0..4));
        // The end alone is not all of it.
        reading.saw(&one, &shown(80, 10, 6..14));
        assert!(!reading.is_in_full(&one));
        reading.saw(&one, &shown(80, 10, 3..7));
        assert!(reading.is_in_full(&one));
        let other = Approval { action_digest: "cd".repeat(32), ..approval("apr_1") };
        assert!(!reading.is_in_full(&other), "another action under the same id was not shown");
        reading.forget("apr_1");
        assert!(!reading.is_in_full(&one));
    }

    #[test]
    fn lines_that_are_wrapped_anew_are_read_anew() {
        let (mut reading, one) = (Reading::default(), approval("apr_1"));
        reading.saw(&one, &shown(80, 10, 0..5));
        reading.saw(&one, &shown(40, 20, 5..20));
        assert!(!reading.is_in_full(&one));
        reading.saw(&one, &shown(40, 20, 0..5));
        assert!(reading.is_in_full(&one));
    }

    #[test]
    fn nothing_shown_is_nothing_read() {
        let (mut reading, one) = (Reading::default(), approval("apr_1"));
        for nothing in [shown(80, 0, 0..0), shown(80, 5, 9..12), shown(80, 5, 0..0)] {
            reading.saw(&one, &nothing);
            assert!(!reading.is_in_full(&one));
        }
    }
}
