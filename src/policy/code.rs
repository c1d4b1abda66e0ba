//! The codes of findings: a tool tells findings apart by code, and a person looks a code up.

use std::fmt;

use serde::{Serialize, Serializer};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file is not valid.
    Error,
    /// The file is valid, but probably not what its author wants.
    Warning,
}

/// Declares the codes once, with their severity and their name.
macro_rules! codes {
    ($($severity:ident { $($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+ })+) => {
        /// The kind of a finding. A kind keeps its code, and each code has one severity.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($($(#[doc = $doc])+ $variant,)+)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$($(Self::$variant,)+)+];

            /// The code as it is shown: `HIDDEN_RULE`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($(Self::$variant => $name,)+)+
                }
            }

            /// How bad a finding of this kind is.
            pub const fn severity(self) -> Severity {
                match self {
                    $($(Self::$variant)|+ => Severity::$severity,)+
                }
            }
        }
    };
}

codes! {
    Error {
        /// The file cannot be read.
        UnreadableFile = "UNREADABLE_FILE",
        /// The file is not YAML.
        InvalidYaml = "INVALID_YAML",
        /// The file has more bytes, values, levels, layers, rules or entries than it may.
        TooLarge = "TOO_LARGE",
        /// The document says nothing.
        EmptyDocument = "EMPTY_DOCUMENT",
        /// The file has a second document.
        SecondDocument = "SECOND_DOCUMENT",
        /// An alias contains itself.
        EndlessAlias = "ENDLESS_ALIAS",
        /// A value has a tag.
        UnknownTag = "UNKNOWN_TAG",
        /// YAML parsers read the value differently.
        AmbiguousValue = "AMBIGUOUS_VALUE",
        /// A key is no text.
        InvalidKey = "INVALID_KEY",
        /// A mapping has a key twice.
        DuplicateKey = "DUPLICATE_KEY",
        /// `<<` merges what is no mapping.
        InvalidMerge = "INVALID_MERGE",
        /// The key means nothing here.
        UnknownKey = "UNKNOWN_KEY",
        /// The version of the policy is unknown.
        UnknownVersion = "UNKNOWN_VERSION",
        /// The value has the wrong type.
        WrongType = "WRONG_TYPE",
        /// The value is empty or missing, where that decides nothing or everything.
        EmptyValue = "EMPTY_VALUE",
        /// The text is too long.
        TooLong = "TOO_LONG",
        /// The word is none of those that are possible.
        UnknownWord = "UNKNOWN_WORD",
        /// The value is outside of what is possible.
        InvalidValue = "INVALID_VALUE",
        /// The value is given twice.
        DuplicateValue = "DUPLICATE_VALUE",
        /// The glob cannot be compiled, or can match nothing.
        InvalidGlob = "INVALID_GLOB",
        /// The regular expression cannot be compiled, or finds everything.
        InvalidRegex = "INVALID_REGEX",
        /// The path names no parameter.
        InvalidParameterPath = "INVALID_PARAMETER_PATH",
        /// Two rules have the same name.
        DuplicateRule = "DUPLICATE_RULE",
        /// The name has another meaning.
        ReservedName = "RESERVED_NAME",
        /// The time, the time zone or the duration cannot be read.
        InvalidTime = "INVALID_TIME",
        /// The conditions about the time contradict each other, or one means nothing alone.
        InvalidTimeWindow = "INVALID_TIME_WINDOW",
        /// `on_timeout: allow` at a risk level that does not permit it.
        UnsafeTimeout = "UNSAFE_TIMEOUT",
        /// More errors are not shown.
        MoreErrors = "MORE_ERRORS",
    }
    Warning {
        /// The policy has no rules.
        NoRules = "NO_RULES",
        /// An earlier rule matches everything that this one matches.
        HiddenRule = "HIDDEN_RULE",
        /// An unnamed rule has the automatic name of another rule.
        AutomaticName = "AUTOMATIC_NAME",
        /// `yes`, `no`, `on` or `off`, which is text here.
        BooleanWord = "BOOLEAN_WORD",
        /// A glob does not mean what it seems to mean.
        OddGlob = "ODD_GLOB",
        /// A glob matches only the empty text.
        EmptyGlob = "EMPTY_GLOB",
        /// A path can leave the target of a rule that allows, by `..`.
        EscapableTarget = "ESCAPABLE_TARGET",
        /// An unauthenticated agent chooses the name that the rule matches.
        UnauthenticatedActor = "UNAUTHENTICATED_ACTOR",
        /// `timeout` or `on_timeout` on a rule that asks nobody.
        UnusedTimeout = "UNUSED_TIMEOUT",
        /// `limit` on a rule that blocks.
        UnusedLimit = "UNUSED_LIMIT",
        /// An agent chooses what a limit counts by.
        SelfChosenKey = "SELF_CHOSEN_KEY",
        /// An agent's own report gives back what it spent.
        ReleasedByAgent = "RELEASED_BY_AGENT",
        /// A condition that never holds.
        NeverHolds = "NEVER_HOLDS",
        /// `weekdays` beside a window over midnight: after 00:00 it is the next day.
        WeekdayAfterMidnight = "WEEKDAY_AFTER_MIDNIGHT",
        /// `${NAME}`, which nothing fills in.
        Placeholder = "PLACEHOLDER",
        /// A pattern means something else in other dialects.
        RegexDialect = "REGEX_DIALECT",
        /// A number in the name of a parameter is a key, never an index.
        RedactIndex = "REDACT_INDEX",
        /// A rule allows a part of what a later rule blocks. Only `aegis lint` reports it.
        OppositeRules = "OPPOSITE_RULES",
        /// A rule, or the default, allows everything that reaches it. Only `aegis lint` reports it.
        AllowsEverything = "ALLOWS_EVERYTHING",
        /// A doubt or an unauthenticated caller reaches `on_timeout: allow`. Only `aegis lint` reports it.
        SilentAllow = "SILENT_ALLOW",
        /// Another spelling of a path dodges the target of a rule that blocks or asks. Only `aegis lint` reports it.
        DodgeableTarget = "DODGEABLE_TARGET",
        /// A pattern is found in no text. Only `aegis lint` reports it.
        NeverMatches = "NEVER_MATCHES",
        /// More warnings are not shown.
        MoreWarnings = "MORE_WARNINGS",
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
