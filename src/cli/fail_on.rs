//! `--fail-on`: which answers end a command with exit code 3.

/// Which answers end with exit code 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum FailOn {
    /// It is blocked
    Block,
    /// It is blocked, or somebody would have to approve or confirm
    Approve,
}

impl FailOn {
    /// Whether this approval mode (`auto`, `confirm`, `approve`, `block`) is at least as strict. One that this version
    /// does not know is the strictest.
    pub(super) fn hits(self, approval: &str) -> bool {
        match self {
            Self::Block => !matches!(approval, "auto" | "confirm" | "approve"),
            Self::Approve => approval != "auto",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approve_is_the_stricter_one() {
        let hits = |fail_on: FailOn| ["auto", "confirm", "approve", "block"].map(|approval| fail_on.hits(approval));
        assert_eq!(hits(FailOn::Block), [false, false, false, true]);
        assert_eq!(hits(FailOn::Approve), [false, true, true, true]);
        assert!(FailOn::Block.hits("unknown(5)") && FailOn::Approve.hits("unknown(5)"));
    }
}
