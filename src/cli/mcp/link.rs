//! One side of the proxy: the messages to a peer, and the requests to it that wait for an answer.
//!
//! Every request gets an id of the proxy's own. So a peer can neither answer a request that it was not sent, nor use
//! the id of another.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::message::{Id, Message, Outcome};
use super::pipe::{Closed, Outbox};

/// The client or the server.
pub(super) struct Link {
    outbox: RefCell<Option<Outbox>>,
    last: Cell<u64>,
    waiting: RefCell<HashMap<u64, oneshot::Sender<Outcome>>>,
}

/// A request that waits for its answer. Dropping it forgets the request.
pub(super) struct Waiting {
    link: Rc<Link>,
    pub(super) id: u64,
    answer: oneshot::Receiver<Outcome>,
}

impl Link {
    pub(super) fn new(outbox: Outbox) -> Self {
        Self { outbox: RefCell::new(Some(outbox)), last: Cell::new(0), waiting: RefCell::default() }
    }

    /// Sends a request.
    pub(super) async fn request(self: &Rc<Self>, method: &str, params: Map<String, Value>) -> Result<Waiting, Closed> {
        let id = self.last.get() + 1;
        self.last.set(id);
        let (sender, answer) = oneshot::channel();
        self.waiting.borrow_mut().insert(id, sender);
        let waiting = Waiting { link: Rc::clone(self), id, answer };
        let request = Message::Request { id: id.into(), method: method.to_owned(), params };
        self.say(request.line()).await?;
        Ok(waiting)
    }

    /// Sends a notification.
    pub(super) async fn notify(&self, method: &str, params: Map<String, Value>) -> Result<(), Closed> {
        self.say(Message::Notification { method: method.to_owned(), params }.line()).await
    }

    /// Sends a notification that nobody misses, if there is room.
    pub(super) fn offer(&self, method: &str, params: Map<String, Value>) {
        let outbox = self.outbox.borrow();
        let Some(outbox) = outbox.as_ref() else { return };
        outbox.offer(Message::Notification { method: method.to_owned(), params }.line());
    }

    /// Answers a request of the peer.
    pub(super) async fn answer(&self, id: Id, outcome: Outcome) -> Result<(), Closed> {
        self.say(Message::Response { id, outcome }.line()).await
    }

    /// Sends a line as it is.
    pub(super) async fn say(&self, line: String) -> Result<(), Closed> {
        let outbox = self.outbox.borrow().clone();
        outbox.ok_or(Closed)?.send(line).await
    }

    /// Whether the peer reads no more.
    pub(super) fn is_closed(&self) -> bool {
        self.outbox.borrow().as_ref().is_none_or(Outbox::is_closed)
    }

    /// Closes the pipe once everything is written. Waits for that, but not for a reader that takes nothing.
    pub(super) async fn close(&self) {
        let outbox = self.outbox.borrow_mut().take();
        if let Some(outbox) = outbox {
            outbox.drained().await;
        }
    }

    /// Gives an answer of the peer to whoever waits for it. Others are dropped.
    pub(super) fn answered(&self, id: &Id, outcome: Outcome) {
        let waiting = id.key().parse().ok().and_then(|id: u64| self.waiting.borrow_mut().remove(&id));
        if let Some(waiting) = waiting {
            // Whoever waited may be gone.
            let _ = waiting.send(outcome);
        }
    }

    /// Answers every waiting request with this.
    pub(super) fn answer_all(&self, outcome: &Outcome) {
        for (_, waiting) in self.waiting.borrow_mut().drain() {
            let _ = waiting.send(outcome.clone());
        }
    }
}

impl Waiting {
    /// The answer; `None` if the peer is gone.
    pub(super) async fn answer(&mut self) -> Option<Outcome> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.link.waiting.borrow_mut().remove(&self.id);
    }
}
