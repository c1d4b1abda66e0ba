//! `--fail-on`: which answers are a failure to a script.

/// Which answers end with exit code 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum FailOn {
    /// Blocked
    Block,
    /// Blocked, or somebody would have to approve or confirm
    Approve,
}

impl FailOn {
    /// Whether what the policy asks for (`auto`, `confirm`, `approve`, `block`) is what is watched for.
    pub(super) fn hits(self, approval: &str) -> bool {
        match self {
            Self::Block => approval == "block",
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
    }
}
