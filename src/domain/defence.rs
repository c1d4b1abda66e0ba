//! The defences that tests can switch off one by one, to show that a test notices.
//!
//! In every ordinary build [`Defence::on`] is `true` at compile time, and a switch costs nothing. The cargo feature
//! `adversary` makes a build in which `AEGIS_WITHOUT=name,name` switches defences off. `tests/adversary/without` uses
//! it. The feature is not for anything else: a release build with it does not compile.

/// Declares the defences once, so that the list and the names cannot differ.
macro_rules! defences {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A defence. Its switch stands where the defence does its work.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Defence {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Defence {
            /// Every defence.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its name in `AEGIS_WITHOUT`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

defences! {
    /// A message that would take too much memory is refused before it is decoded.
    MessageWeight = "message-weight",
    /// Heavy calls run on a thread of their own.
    HeavyAside = "heavy-aside",
    /// A message that is larger than the limit is refused by its announced length.
    MessageSize = "message-size",
    /// A request of REST that announces too much is refused before it comes.
    BodySize = "body-size",
    /// A request with too many values is refused, however small they are.
    ManyValues = "many-values",
    /// Bytes that are arriving are bounded.
    ReceivingBytes = "receiving-bytes",
    /// A request has to arrive in time.
    ReceiveTimeout = "receive-timeout",
    /// Answers that nobody reads are bounded.
    UnreadAnswers = "unread-answers",
    /// What the clients of all streams have not read is bounded.
    UnreadStreams = "unread-streams",
    /// Calls to health and reflection are few.
    OpenCalls = "open-calls",
    /// A stream to reflection takes few bytes.
    ReflectionBytes = "reflection-bytes",
    /// A connection that proved nothing makes way.
    MakingWay = "making-way",
    /// The socket in the data directory has places of its own.
    PrivatePlaces = "private-places",
    /// Connections stay below the limit of open files.
    Descriptors = "descriptors",
    /// A connection that says nothing is closed.
    Silence = "silence",
    /// The admin listener takes few connections.
    AdminPlaces = "admin-places",
    /// The admin listener on loopback answers to no name of a web page.
    AdminHost = "admin-host",
    /// A gRPC call from a web page is refused.
    Origin = "origin",
    /// A REST call for a host that is not this daemon is refused.
    WebHost = "web-host",
    /// A REST call with the origin of another site is refused.
    WebOrigin = "web-origin",
    /// A REST call that a browser says another site sent is refused.
    WebSite = "web-site",

    /// Open questions are bounded in bytes.
    QuestionBytes = "question-bytes",
    /// One caller, or all without a credential, cannot take every place.
    CallerShare = "caller-share",
    /// Of a large question only the head stays in memory.
    QuestionsOnDisk = "questions-on-disk",
    /// A call that waits holds nothing large.
    LightWaits = "light-waits",
    /// A page is bounded in bytes.
    PageBytes = "page-bytes",
    /// Lines of log that callers cause are few.
    LogLines = "log-lines",
    /// Lines of one kind are few in the log, whatever writes them.
    LogThrottle = "log-throttle",
    /// Where the disk runs low, each caller has a share.
    GrowthShare = "growth-share",
    /// One call writes little more than it sent.
    CallGrowth = "call-growth",
    /// The masked values of one caller do not push out those of another.
    HeldShare = "held-share",
    /// Parameters are bounded in size.
    ParamsSize = "params-size",
    /// Wrong credentials are bounded.
    WrongCredentials = "wrong-credentials",

    /// What is allowed is counted.
    Limits = "limits",
    /// Who is halted is told no.
    Halts = "halts",
    /// A value of an unexpected type dodges no condition.
    Doubt = "doubt",
    /// The strictest rule that may apply decides.
    Strictest = "strictest",
    /// A declared name earns no yes.
    ProvedActor = "proved-actor",
    /// Names have no hidden characters.
    HiddenCharacters = "hidden-characters",
    /// Parameters have no key twice.
    DuplicateKeys = "duplicate-keys",

    /// Callers without a credential are told apart.
    OwnDecisions = "own-decisions",
    /// Callers without a credential have long idempotency keys.
    LongKeys = "long-keys",
    /// An ALLOW is for one run.
    OneRun = "one-run",
    /// Nobody reviews their own proposal over the same connection.
    OwnConnection = "own-connection",
    /// Nobody reviews their own proposal as the same user of the machine.
    OwnUser = "own-user",
    /// What was shown is what is decided.
    ShownDigest = "shown-digest",
    /// An approval does not allow what the policy blocks by now.
    PolicyNow = "policy-now",
    /// The digest of an action is salted.
    SaltedDigest = "salted-digest",

    /// Only what can be a secret is masked.
    ReadableActions = "readable-actions",
    /// What is called like a secret is masked.
    SecretNames = "secret-names",
    /// Blanks that could fake a line are seen.
    VisibleBlanks = "visible-blanks",
    /// The reviewer's screen acts on what was chosen.
    ChosenQuestion = "chosen-question",
    /// Questions are answered together only where each was on the screen in full.
    ShownInFull = "shown-in-full",
    /// Control characters are written out in CSV.
    CsvControl = "csv-control",
    /// A formula in CSV is defused.
    CsvFormula = "csv-formula",

    /// A denial that the record cannot take holds in memory.
    DenyInMemory = "deny-in-memory",
    /// A revocation that the record cannot take holds in memory.
    RevokeInMemory = "revoke-in-memory",
    /// What is left of a redacted record is checked when it is read.
    RedactedLeaf = "redacted-leaf",

    /// Configured files are regular files.
    RegularFiles = "regular-files",
    /// Only a socket is replaced by a socket, and only one's own is removed.
    OwnSocket = "own-socket",
    /// Nothing is written through a symbolic link.
    NoLinks = "no-links",
    /// A clock that jumps while the daemon runs is noticed.
    ClockWatch = "clock-watch",
    /// A clock that jumped retires nothing.
    ClockGap = "clock-gap",
}

#[cfg(not(feature = "adversary"))]
impl Defence {
    /// Whether it is on: always.
    pub const fn on(self) -> bool {
        true
    }
}

#[cfg(all(feature = "adversary", not(debug_assertions)))]
compile_error!("the feature `adversary` switches defences off: it is for test builds only");

#[cfg(feature = "adversary")]
impl Defence {
    /// Whether it is on: unless `AEGIS_WITHOUT` names it.
    pub fn on(self) -> bool {
        static OFF: std::sync::LazyLock<Vec<Defence>> = std::sync::LazyLock::new(|| Defence::off().unwrap_or_default());
        !OFF.contains(&self)
    }

    /// The defences that `AEGIS_WITHOUT` names. The error is a name that none has.
    pub fn off() -> Result<Vec<Self>, String> {
        let names = std::env::var("AEGIS_WITHOUT").unwrap_or_default();
        let named = |name: &str| Self::ALL.iter().find(|one| one.as_str() == name).copied().ok_or(name.to_owned());
        names.split(',').filter(|name| !name.is_empty()).map(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_of_its_own_and_is_on() {
        let names: std::collections::BTreeSet<&str> = Defence::ALL.iter().map(|one| one.as_str()).collect();
        assert_eq!(names.len(), Defence::ALL.len());
        assert!(Defence::ALL.iter().all(|one| one.on()));
    }
}
