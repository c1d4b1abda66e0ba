//! Where each message goes.
//!
//! - A tool call is always asked about: its type is the tool's name, its target the server.
//! - What reads or asks (`resources/read`, `prompts/get`, `sampling/createMessage`, …) passes, unless a rule of the
//!   policy is about `mcp/` and its method. A method that is not known here is always asked about.
//! - Everything else passes at once, also while calls are held.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::answering::{Open, PASS_UNRULED, Tasks};
use super::govern::Call;
use super::message::{self, Fault, INTERNAL_ERROR, INVALID_REQUEST, Id, METHOD_NOT_FOUND, Message, Outcome};
use super::pipe::{Closed, Line};
use super::progress::Progress;
use super::proxy::{From, Proxy};
use crate::cli::say;
use crate::domain::visible;

/// The client's requests that pass at once.
const PASS: [&str; 13] = [
    "ping",
    "initialize",
    "logging/setLevel",
    "completion/complete",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "resources/unsubscribe",
    "tasks/get",
    "tasks/result",
    "tasks/list",
    "tasks/cancel",
    "subscriptions/listen",
];
/// The client's notifications that pass.
const NOTES: [&str; 4] = [
    "notifications/initialized",
    "notifications/progress",
    "notifications/roots/list_changed",
    "notifications/tasks/status",
];

impl Proxy {
    /// Handles a line of the client.
    pub(super) async fn from_client(self: &Rc<Self>, line: Line, tasks: &mut Tasks) -> Result<(), Closed> {
        let message = match read(&line) {
            Ok(message) => message,
            Err(unreadable) => return self.client.say(message::complaint(&unreadable)).await,
        };
        match message {
            Message::Response { id, outcome } => self.client.answered(&id, outcome),
            Message::Notification { method, params } if method == "notifications/cancelled" => {
                return self.cancel(From::Client, params).await;
            }
            Message::Notification { method, params } if NOTES.contains(&method.as_str()) => {
                return self.server.notify(&method, params).await;
            }
            Message::Notification { method, .. } => {
                say::warning(format_args!("the client sent a `{}`, which is not passed on", visible(&method)));
            }
            Message::Request { id, method, params } => {
                return self.request(From::Client, id, method, params, tasks).await;
            }
        }
        Ok(())
    }

    /// Handles a line of the server.
    pub(super) async fn from_server(self: &Rc<Self>, line: Line, tasks: &mut Tasks) -> Result<(), Closed> {
        let message = match read(&line) {
            Ok(message) => message,
            Err(unreadable) => {
                say::warning(format_args!("a message of the server is dropped: {}", unreadable.fault.message));
                if line == Line::TooLong {
                    // Nobody can say which request it answered.
                    let why = "the server sent a message that is longer than --max-message-bytes, perhaps this answer";
                    self.server.answer_all(&Outcome::fault(&Fault::new(INTERNAL_ERROR, why)));
                }
                return Ok(());
            }
        };
        match message {
            Message::Response { id, outcome } => self.server.answered(&id, outcome),
            Message::Notification { method, params } if method == "notifications/cancelled" => {
                return self.cancel(From::Server, params).await;
            }
            Message::Notification { method, mut params } => {
                if method == "notifications/tools/list_changed" {
                    self.catalogue.forget();
                } else if method == "notifications/progress" {
                    self.shift(&mut params);
                }
                return self.client.notify(&method, params).await;
            }
            Message::Request { id, method, params } => {
                return self.request(From::Server, id, method, params, tasks).await;
            }
        }
        Ok(())
    }

    /// Whoever sent a request does not want the answer any more.
    async fn cancel(&self, from: From, mut params: Map<String, Value>) -> Result<(), Closed> {
        let id = params.get("requestId").map(Value::to_string).unwrap_or_default();
        let Some(call) = self.of(from).borrow().get(&id).cloned() else { return Ok(()) };
        call.is_gone.cancel();
        match call.sent.get() {
            Some(sent) => {
                params.insert("requestId".to_owned(), sent.into());
                self.ends(from).1.notify("notifications/cancelled", params).await
            }
            None => Ok(()),
        }
    }

    /// Raises the progress of a tool above that of its wait.
    fn shift(&self, params: &mut Map<String, Value>) {
        let Some(token) = params.get("progressToken").cloned() else { return };
        let calls = self.of_client.borrow();
        if let Some(call) = calls.values().find(|call| call.progress.is(&token)) {
            call.progress.shift(params);
        }
    }

    /// Begins to answer a request.
    async fn request(
        self: &Rc<Self>,
        from: From,
        id: Id,
        method: String,
        params: Map<String, Value>,
        tasks: &mut Tasks,
    ) -> Result<(), Closed> {
        let back = self.ends(from).0;
        let refuse = |fault: Fault| back.answer(id.clone(), Outcome::fault(&fault));
        if self.of(from).borrow().contains_key(&id.key()) {
            return refuse(Fault::new(INVALID_REQUEST, "another open request has this id")).await;
        }
        if self.of(from).borrow().len() >= self.limits.calls {
            return refuse(Fault::new(message::REFUSED, "too many requests are open (--max-calls)")).await;
        }
        let progress = Progress::of(&params);
        let hold = if progress.is_wanted() { self.limits.hold_with_progress } else { self.limits.hold };
        let deadline = Instant::now() + hold;
        let call = Call { is_gone: CancellationToken::new(), progress, deadline, sent: Cell::new(None) };
        let open = Open::new(self, from, id, call);
        match (from, method.as_str()) {
            (From::Client, "tools/call") => drop(tasks.spawn_local(open.tool(params))),
            (From::Client, "tools/list") => drop(tasks.spawn_local(open.list(params))),
            // A client that speaks a later revision falls back to `initialize`.
            (From::Client, "server/discover") => {
                return open
                    .answer(Outcome::fault(&Fault::new(METHOD_NOT_FOUND, "not supported: use `initialize`")))
                    .await;
            }
            (From::Client, passing) if PASS.contains(&passing) => return open.pass(method, params, tasks).await,
            (From::Server, passing) if !PASS_UNRULED.contains(&passing) => {
                return open.pass(method, params, tasks).await;
            }
            _ => drop(tasks.spawn_local(open.governed(method, params))),
        }
        Ok(())
    }
}

fn read(line: &Line) -> Result<Message, message::Unreadable> {
    let unreadable = |message: &str| Err(message::Unreadable { id: None, fault: Fault::new(INVALID_REQUEST, message) });
    match line {
        Line::Text(text) => Message::read(text),
        Line::TooLong => unreadable("the message is longer than --max-message-bytes"),
        Line::NotText => unreadable("the message is not UTF-8"),
    }
}
