//! What the doctor finds.

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Closed.
    Closed,
    /// A person decides.
    Asks,
    /// Open: it would run.
    Open,
    /// It cannot be seen from here.
    Unknown,
}

impl State {
    /// The word for it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Asks => "asks",
            Self::Open => "open",
            Self::Unknown => "unknown",
        }
    }
}

/// One thing that was tried.
pub(super) struct Check {
    pub(super) area: &'static str,
    pub(super) what: String,
    pub(super) state: State,
    pub(super) says: String,
}
