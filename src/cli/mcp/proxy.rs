//! What the proxy knows while it stands between one client and one server.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::catalogue::Catalogue;
use super::govern::{Call, Governor, Subject};
use super::link::Link;
use super::peers::Peers;

/// How much, and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long a call is held without progress, and with it.
    pub(super) hold: Duration,
    pub(super) hold_with_progress: Duration,
    /// How long the server has to answer.
    pub(super) call_timeout: Duration,
    /// How many requests are open at the same time, in each direction.
    pub(super) calls: usize,
    /// The largest result of a tool.
    pub(super) result_bytes: usize,
}

/// Between one client and one server.
pub(super) struct Proxy {
    pub(super) client: Rc<Link>,
    pub(super) server: Rc<Link>,
    pub(super) governor: Governor,
    pub(super) catalogue: Catalogue,
    pub(super) peers: Peers,
    pub(super) limits: Limits,
    /// The actor that was given on the command line, instead of the client's name.
    pub(super) has_actor: bool,
    /// The open requests of the client and of the server, by id.
    pub(super) of_client: RefCell<HashMap<String, Rc<Call>>>,
    pub(super) of_server: RefCell<HashMap<String, Rc<Call>>>,
}

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Client,
    Server,
}

impl Proxy {
    /// Ends the waits of the client's calls that were not sent on. Their questions stay open.
    pub(super) fn client_is_gone(&self) {
        for call in self.of_client.borrow().values().filter(|call| call.sent.get().is_none()) {
            call.is_gone.cancel();
        }
    }

    /// The open requests of one side, by id.
    pub(super) fn of(&self, from: From) -> &RefCell<HashMap<String, Rc<Call>>> {
        match from {
            From::Client => &self.of_client,
            From::Server => &self.of_server,
        }
    }

    /// The one that sent a request, and the one that it is for.
    pub(super) fn ends(&self, from: From) -> (&Rc<Link>, &Rc<Link>) {
        match from {
            From::Client => (&self.client, &self.server),
            From::Server => (&self.server, &self.client),
        }
    }

    /// The client introduces itself.
    pub(super) fn introduce(&self, params: &Map<String, Value>) {
        self.peers.client_is(params);
        if !self.has_actor {
            *self.governor.actor.borrow_mut() = self.peers.actor();
        }
        let can = params.get("capabilities").and_then(|capabilities| capabilities.get("elicitation"));
        self.governor.can_confirm.set(can.is_some_and(Value::is_object));
    }

    /// What the daemon is asked about a request.
    pub(super) fn subject(
        &self,
        kind: String,
        params: Map<String, Value>,
        tool: Option<&Value>,
        what: &str,
    ) -> Subject {
        let labels = self.peers.labels(tool);
        let client = labels["client"]["name"].as_str().unwrap_or_default();
        let client = if client.is_empty() { "an MCP client" } else { client };
        let description = format!("{client} asks for {what}");
        Subject { kind, params, description, labels, what: what.to_owned() }
    }
}
