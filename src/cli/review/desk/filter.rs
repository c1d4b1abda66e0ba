//! The filter of the queue: words, all of which a question must have somewhere.

use crate::cli::words;
use crate::proto::v1::Approval;

/// What is searched for.
#[derive(Debug, Default)]
pub(in crate::cli::review) struct Filter {
    pub(in crate::cli::review) text: String,
    /// Whether keys go into it.
    pub(in crate::cli::review) is_typed: bool,
}

impl Filter {
    /// Whether there is anything that could keep a question out.
    pub(in crate::cli::review) fn is_set(&self) -> bool {
        !self.text.trim().is_empty()
    }

    /// The test for each question. Capital letters do not count.
    pub(super) fn matcher(&self) -> impl Fn(&Approval) -> bool + use<> {
        let words: Vec<String> = self.text.split_whitespace().map(str::to_lowercase).collect();
        move |approval| {
            if words.is_empty() {
                return true;
            }
            let text = searched(approval);
            words.iter().all(|word| text.contains(word))
        }
    }
}

/// What the console searches as well, and the risk. A line break, which no word has, keeps the parts apart.
fn searched(approval: &Approval) -> String {
    let action = approval.action.as_ref();
    let risk = words::risk(approval.risk_level);
    let parts = [
        risk.as_str(),
        action.map_or("", |action| &action.r#type),
        action.map_or("", |action| &action.target),
        action.map_or("", |action| &action.description),
        approval.actor.as_ref().map_or("", |actor| &actor.id),
        approval.identity.as_ref().map_or("", |identity| &identity.subject),
        approval.context.as_ref().map_or("", |context| &context.session_id),
        &approval.matched_rule,
        &approval.approval_id,
    ];
    parts.join("\n").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::review::board::tests::approval;

    #[test]
    fn every_word_must_be_somewhere_in_the_question() {
        let one = approval("apr_1");
        for (text, matches) in [
            ("", true),
            ("  ", true),
            ("crm", true),
            ("CRM high", true),
            ("bulk_ops agent-7 s1", true),
            ("crm low", false),
            ("agent-7s1", false),
        ] {
            let filter = Filter { text: text.into(), is_typed: true };
            assert_eq!(filter.matcher()(&one), matches, "{text}");
        }
    }
}
