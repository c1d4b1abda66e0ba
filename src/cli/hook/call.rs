//! A tool call, as every host's input is read, and the answer, as every host is given it.

use serde_json::{Map, Value};

use super::action::Action;
use super::tools::Kind;

/// What a host says on stdin.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// The name of the host's event.
    pub(super) event: String,
    pub(super) moment: Moment,
    pub(super) session: String,
    /// The directory that the tool runs in. Empty if the host does not say it.
    pub(super) cwd: String,
    /// The host's name of this call. Empty if it has none.
    pub(super) id: String,
    pub(super) tool: String,
    pub(super) kind: Kind,
    pub(super) input: Map<String, Value>,
    /// The agent's own words about the call.
    pub(super) description: String,
    /// What the host says beside the call, for the record.
    pub(super) labels: Map<String, Value>,
}

/// When a hook runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before the tool: it waits for the answer.
    Before,
    /// After the tool, with its error if it failed.
    After(Option<String>),
    /// At another time, which is not governed.
    Other,
}

/// What becomes of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It may run.
    Allow,
    /// The agent's own user must confirm it.
    Confirm(String),
    /// It must not run, and why: the model reads this.
    Deny(String),
    /// There is nothing to answer.
    Nothing,
}

/// What the hook prints, and its exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) code: u8,
}

impl Reply {
    /// A JSON document.
    pub(super) fn json(value: &Value) -> Self {
        Self { stdout: value.to_string(), stderr: String::new(), code: 0 }
    }

    /// No output: the host goes on as if there were no hook.
    pub(super) fn silent() -> Self {
        Self { stdout: String::new(), stderr: String::new(), code: 0 }
    }

    /// Code 2 and a reason on stderr: every host reads that as a denial, whatever else went wrong.
    pub(super) fn fault(why: &str) -> Self {
        let stderr = format!(
            "Aegis could not decide about this call, so it must not run: {why}. Tell the user; do not try another way."
        );
        Self { stdout: String::new(), stderr, code: 2 }
    }
}

impl Call {
    /// The actions of the call.
    pub(super) fn actions(&self, home: Option<&str>) -> Result<Vec<Action>, String> {
        self.kind.actions(&self.tool, &self.input, &self.cwd, home)
    }

    /// What tells this call from others of the session: the host's name of it, else what it does.
    pub(super) fn key(&self) -> String {
        let own = if self.id.is_empty() { Value::Object(self.input.clone()).to_string() } else { self.id.clone() };
        format!("{}\n{}\n{own}", self.session, self.tool)
    }
}
