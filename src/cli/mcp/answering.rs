//! Answers one request: passes it on, or asks about it first and passes on what is allowed.

use std::rc::Rc;

use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::catalogue::{self, TOOL_CHANGED, Tool};
use super::govern::{Call, Verdict};
use super::link::Waiting;
use super::message::{Fault, INTERNAL_ERROR, INVALID_PARAMS, Id, Outcome};
use super::pipe::Closed;
use super::proxy::{From, Proxy};
use super::{arguments, report, tell};
use crate::domain::{Timestamp, visible};
use crate::policy::DEFAULT_RULE;
use crate::proto::v1::Decision;

/// The requests, of either side, that pass unless a rule is about them.
pub(super) const PASS_UNRULED: [&str; 5] =
    ["resources/read", "resources/subscribe", "prompts/get", "sampling/createMessage", "elicitation/create"];
/// The members of a tool call that are passed on. Others are dropped: nobody has checked them.
const CALL: [&str; 4] = ["name", "arguments", "_meta", "task"];

/// The requests that are being answered.
pub(super) type Tasks = JoinSet<Result<(), Closed>>;

/// A request that is being answered. It is forgotten when this is dropped.
pub(super) struct Open {
    proxy: Rc<Proxy>,
    from: From,
    id: Id,
    call: Rc<Call>,
}

/// What becomes of a changed tool.
enum Change {
    Accepted,
    Gone,
    Refused(Outcome),
}

impl Drop for Open {
    fn drop(&mut self) {
        self.proxy.of(self.from).borrow_mut().remove(&self.id.key());
    }
}

impl Open {
    /// A request is open from now on.
    pub(super) fn new(proxy: &Rc<Proxy>, from: From, id: Id, call: Call) -> Self {
        let open = Self { proxy: Rc::clone(proxy), from, id, call: Rc::new(call) };
        proxy.of(from).borrow_mut().insert(open.id.key(), Rc::clone(&open.call));
        open
    }

    /// Answers, unless nobody waits for it.
    pub(super) async fn answer(self, outcome: Outcome) -> Result<(), Closed> {
        if self.call.is_gone.is_cancelled() {
            return Ok(());
        }
        let (proxy, from, id) = (Rc::clone(&self.proxy), self.from, self.id.clone());
        // Whoever gets the answer may use the id again at once.
        drop(self);
        proxy.ends(from).0.answer(id, outcome).await
    }

    async fn fail(self, fault: Fault) -> Result<(), Closed> {
        self.answer(Outcome::fault(&fault)).await
    }

    /// Sends the request on, in the order in which it came, and answers it later.
    pub(super) async fn pass(
        self,
        method: String,
        params: Map<String, Value>,
        tasks: &mut Tasks,
    ) -> Result<(), Closed> {
        if method == "initialize" {
            self.proxy.introduce(&params);
        }
        let waiting = self.proxy.ends(self.from).1.request(&method, params).await?;
        self.call.sent.set(Some(waiting.id));
        tasks.spawn_local(async move {
            let outcome = self.outcome(waiting).await;
            if let ("initialize", Outcome::Result(result)) = (method.as_str(), &outcome) {
                self.proxy.peers.server_is(&serde_json::from_str(result.get()).unwrap_or_default());
            }
            self.answer(outcome).await
        });
        Ok(())
    }

    /// The answer of the other side, or an error if there is none.
    async fn outcome(&self, mut waiting: Waiting) -> Outcome {
        let timeout = self.proxy.limits.call_timeout;
        let none = |why: String| Outcome::fault(&Fault::new(INTERNAL_ERROR, why));
        match tokio::time::timeout(timeout, waiting.answer()).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => none("the other side has ended before it answered".to_owned()),
            Err(_) => none(format!("there is no answer after {}s (--call-timeout)", timeout.as_secs())),
        }
    }

    /// Lists the tools. There is one page, because names are compared over all of them.
    pub(super) async fn list(self, params: Map<String, Value>) -> Result<(), Closed> {
        if params.get("cursor").is_some_and(|cursor| !cursor.is_null()) {
            return self.fail(Fault::new(INVALID_PARAMS, "there is one page: no cursor is valid")).await;
        }
        match self.proxy.catalogue.read().await {
            Ok(known) => {
                let tools: Vec<_> = known.tools().map(|(_, tool)| &tool.shown).collect();
                let answer = Outcome::result(&json!({"tools": tools}));
                self.answer(answer).await
            }
            Err(fault) => self.fail(fault).await,
        }
    }

    /// Asks about a request that is no tool call, and sends it on.
    pub(super) async fn governed(self, method: String, params: Map<String, Value>) -> Result<(), Closed> {
        let proxy = Rc::clone(&self.proxy);
        let mut about = params.clone();
        about.remove("_meta");
        let subject = proxy.subject(format!("mcp/{method}"), about, None, &format!("`{}`", visible(&method)));
        if PASS_UNRULED.contains(&method.as_str()) {
            match proxy.governor.is_ruled(&subject).await {
                Ok(true) => {}
                Ok(false) => {
                    let outcome = self.send(&method, params).await?;
                    return self.answer(outcome).await;
                }
                Err(failure) => {
                    let refusal = tell::Refusal::unavailable(&subject.what, &failure.to_string());
                    return self.answer(refusal.to_error()).await;
                }
            }
        }
        match proxy.governor.ask(&subject, &self.call).await {
            Verdict::Gone => Ok(()),
            Verdict::Refused(refusal) => self.answer(refusal.to_error()).await,
            Verdict::Run(decision) => self.run(&decision, &method, params, usize::MAX).await,
        }
    }

    /// Asks about a tool call, and makes it.
    pub(super) async fn tool(self, params: Map<String, Value>) -> Result<(), Closed> {
        let proxy = Rc::clone(&self.proxy);
        let Some(name) = params.get("name").and_then(Value::as_str).map(str::to_owned) else {
            return self.fail(Fault::new(INVALID_PARAMS, "`name` must be the name of a tool")).await;
        };
        let arguments = match params.get("arguments") {
            None => Map::new(),
            Some(Value::Object(arguments)) => arguments.clone(),
            Some(_) => return self.fail(Fault::new(INVALID_PARAMS, "`arguments` must be an object")).await,
        };
        let tool = match proxy.catalogue.find(&name).await {
            Ok(Some(tool)) => tool,
            Ok(None) => {
                let fault = Fault::new(INVALID_PARAMS, format!("Unknown tool: {}", visible(&name)));
                return self.fail(fault).await;
            }
            Err(fault) => return self.fail(fault).await,
        };
        let definition = tool.changed.as_ref().unwrap_or(&tool.shown);
        if let Err(why) = arguments::check(&arguments, definition) {
            return self.answer(tell::failed(&format!("The tool was not called: {why}."))).await;
        }
        let what = format!("the tool `{}` of the server `{}`", visible(&name), visible(&proxy.governor.server));
        if let Some(now) = &tool.changed {
            match self.change(&name, &tool, now, &what).await? {
                Change::Accepted => {}
                Change::Gone => return Ok(()),
                Change::Refused(outcome) => return self.answer(outcome).await,
            }
        }
        let subject = proxy.subject(name, arguments, Some(definition), &what);
        match proxy.governor.ask(&subject, &self.call).await {
            Verdict::Gone => Ok(()),
            Verdict::Refused(refusal) => self.answer(refusal.to_result()).await,
            Verdict::Run(decision) => {
                let params = params.into_iter().filter(|(name, _)| CALL.contains(&name.as_str())).collect();
                self.run(&decision, "tools/call", params, proxy.limits.result_bytes).await
            }
        }
    }

    /// Asks whether a changed tool may be used.
    async fn change(&self, name: &str, tool: &Tool, now: &Value, what: &str) -> Result<Change, Closed> {
        let proxy = &self.proxy;
        let what = format!("a change of {what}");
        let subject = proxy.subject(TOOL_CHANGED.to_owned(), catalogue::change(name, tool), Some(now), &what);
        let decision = match proxy.governor.ask(&subject, &self.call).await {
            Verdict::Gone => return Ok(Change::Gone),
            Verdict::Refused(refusal) => return Ok(Change::Refused(refusal.to_result())),
            Verdict::Run(decision) => decision,
        };
        // A default is about every action, and nobody has thought of this one.
        if decision.matched_rule == DEFAULT_RULE && decision.approval_id.is_empty() {
            proxy.governor.report(&decision, report::skipped("no rule is about changed tools")).await;
            let why =
                format!("the server has changed it, and the policy has no rule for `{TOOL_CHANGED}`. Tell the user");
            return Ok(Change::Refused(tell::Refusal::unavailable(&what, &why).to_result()));
        }
        let accepted = proxy.catalogue.accept(name, now).map_err(|fault| Outcome::fault(&fault));
        let done = accepted.as_ref().err().cloned().unwrap_or_else(|| Outcome::result(&json!({})));
        proxy.governor.report(&decision, report::of(&done, Timestamp::now())).await;
        if let Err(fault) = accepted {
            return Ok(Change::Refused(fault));
        }
        proxy.client.notify("notifications/tools/list_changed", Map::new()).await?;
        Ok(Change::Accepted)
    }

    /// Runs what is allowed, answers, and reports the end. What nobody waits for any more does not run.
    async fn run(
        self,
        decision: &Decision,
        method: &str,
        params: Map<String, Value>,
        limit: usize,
    ) -> Result<(), Closed> {
        let proxy = Rc::clone(&self.proxy);
        if self.call.is_gone.is_cancelled() {
            proxy.governor.report(decision, report::skipped("the call was cancelled")).await;
            return Ok(());
        }
        let started_at = Timestamp::now();
        let Ok(mut waiting) = proxy.ends(self.from).1.request(method, params).await else {
            proxy.governor.report(decision, report::skipped("the server has ended")).await;
            return self.fail(Fault::new(INTERNAL_ERROR, "the server has ended")).await;
        };
        self.call.sent.set(Some(waiting.id));
        let timeout = proxy.limits.call_timeout;
        match tokio::time::timeout(timeout, waiting.answer()).await {
            Ok(Some(outcome)) => {
                let result = report::of(&outcome, started_at);
                let answered = self.answer(report::bounded(outcome, limit)).await;
                proxy.governor.report(decision, result).await;
                answered
            }
            // What became of it is unknown, and so it stays on the record.
            Ok(None) => self.fail(Fault::new(INTERNAL_ERROR, "the server has ended before it answered")).await,
            Err(_) => {
                let cancelled = json!({"requestId": waiting.id, "reason": "timeout"});
                if let (Value::Object(cancelled), false) = (cancelled, self.call.is_gone.is_cancelled()) {
                    proxy.ends(self.from).1.offer("notifications/cancelled", cancelled);
                }
                let seconds = timeout.as_secs();
                self.fail(Fault::new(INTERNAL_ERROR, format!("no answer after {seconds}s (--call-timeout)"))).await
            }
        }
    }

    async fn send(&self, method: &str, params: Map<String, Value>) -> Result<Outcome, Closed> {
        let waiting = self.proxy.ends(self.from).1.request(method, params).await?;
        self.call.sent.set(Some(waiting.id));
        Ok(self.outcome(waiting).await)
    }
}
