//! The tools of the server: read whole, compared with the pinned ones, and listed for the client.
//!
//! A tool that has changed is listed as it was pinned, until a person has agreed to the change. Two tools of one name
//! are not listed, because nobody can say which of them a call would reach.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::link::Link;
use super::message::{Fault, INTERNAL_ERROR, Outcome};
use super::pins::{Pin, Pins};
use crate::cli::say;
use crate::domain::json::parse_strict;
use crate::domain::{nfc, visible};

/// The type of the action when the server has changed a tool.
pub(super) const TOOL_CHANGED: &str = "mcp/tools/changed";

/// How long the server has to answer for one page of its tools.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many pages, tools and bytes are read at most.
const MAX_PAGES: usize = 1_000;
const MAX_TOOLS: usize = 10_000;
const MAX_BYTES: usize = 16 << 20;

/// A tool.
#[derive(Debug)]
pub(super) struct Tool {
    /// As the client sees it.
    pub(super) shown: Value,
    /// As the server has it now, if nobody has agreed to the change yet.
    pub(super) changed: Option<Value>,
}

/// The tools as they were last read.
#[derive(Debug, Default)]
pub(super) struct Known {
    tools: BTreeMap<String, Rc<Tool>>,
    order: Vec<String>,
}

impl Known {
    /// The tools in the order of the server.
    pub(super) fn tools(&self) -> impl Iterator<Item = (&str, &Rc<Tool>)> {
        self.order.iter().filter_map(|name| Some((name.as_str(), self.tools.get(name)?)))
    }
}

/// The tools of the server.
pub(super) struct Catalogue {
    server: Rc<Link>,
    pins: Pins,
    known: RefCell<Option<Rc<Known>>>,
    /// How often the server has said that its tools are others.
    changes: Cell<u64>,
    reading: tokio::sync::Mutex<()>,
}

impl Catalogue {
    pub(super) fn new(server: Rc<Link>, pins: Pins) -> Self {
        Self { server, pins, known: RefCell::default(), changes: Cell::new(0), reading: tokio::sync::Mutex::default() }
    }

    /// The server says that its tools are others.
    pub(super) fn forget(&self) {
        self.changes.set(self.changes.get() + 1);
        *self.known.borrow_mut() = None;
    }

    /// The tool of this name.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Rc<Tool>>, Fault> {
        let known = self.known.borrow().clone();
        let known = match known {
            Some(known) => known,
            None => self.read().await?,
        };
        Ok(known.tools.get(name).cloned())
    }

    /// Reads all tools from the server.
    pub(super) async fn read(&self) -> Result<Rc<Known>, Fault> {
        let _alone = self.reading.lock().await;
        let changes = self.changes.get();
        let known = Rc::new(self.compare(self.definitions().await?)?);
        if self.changes.get() == changes {
            *self.known.borrow_mut() = Some(Rc::clone(&known));
        }
        Ok(known)
    }

    /// Somebody has agreed to the changed tool.
    pub(super) fn accept(&self, name: &str, definition: &Value) -> Result<(), Fault> {
        self.pins.pin([(name.to_owned(), definition.clone())].into_iter()).map_err(|why| not_pinned(&why))?;
        self.forget();
        Ok(())
    }

    fn compare(&self, definitions: Vec<Value>) -> Result<Known, Fault> {
        let mut known = Known::default();
        let mut names = BTreeSet::new();
        let mut twice = BTreeSet::new();
        for definition in &definitions {
            let Some(name) = definition.get("name").and_then(Value::as_str) else {
                say::warning("the server lists a tool without a name; it is left out");
                continue;
            };
            if !names.insert(nfc(name).into_owned()) {
                twice.insert(nfc(name).into_owned());
            }
        }
        let mut new = Vec::new();
        for definition in definitions {
            let Some(name) = definition.get("name").and_then(Value::as_str).map(str::to_owned) else { continue };
            if twice.contains(&*nfc(&name)) {
                say::warning(format_args!("the server lists `{}` twice; neither is used", visible(&name)));
                continue;
            }
            let tool = match self.pins.compare(&name, &definition) {
                Pin::Same => Tool { shown: definition, changed: None },
                Pin::New => {
                    new.push((name.clone(), definition.clone()));
                    Tool { shown: definition, changed: None }
                }
                Pin::Changed(pinned) => {
                    say::warning(format_args!("the server has changed its tool `{}`", visible(&name)));
                    Tool { shown: pinned, changed: Some(definition) }
                }
            };
            known.order.push(name.clone());
            known.tools.insert(name, Rc::new(tool));
        }
        self.pins.pin(new.into_iter()).map_err(|why| not_pinned(&why))?;
        Ok(known)
    }

    async fn definitions(&self) -> Result<Vec<Value>, Fault> {
        let failed = |why: &str| Fault::new(INTERNAL_ERROR, format!("the tools of the server cannot be listed: {why}"));
        let mut definitions = Vec::new();
        let mut bytes = 0;
        let mut params = Map::new();
        for _ in 0..MAX_PAGES {
            let asked = self.server.request("tools/list", params).await;
            let mut asked = asked.map_err(|_| failed("the server has ended"))?;
            let answer = tokio::time::timeout(PATIENCE, asked.answer()).await;
            let page = match answer.map_err(|_| failed("it does not answer"))? {
                Some(Outcome::Result(page)) => page,
                Some(Outcome::Error(error)) => return Err(failed(&visible(error.get()))),
                None => return Err(failed("the server has ended")),
            };
            bytes += page.get().len();
            let page: Value = parse_strict(page.get()).map_err(|error| failed(&error.to_string()))?;
            let Some(tools) = page.get("tools").and_then(Value::as_array) else {
                return Err(failed("its answer has no list `tools`"));
            };
            definitions.extend(tools.iter().cloned());
            if bytes > MAX_BYTES || definitions.len() > MAX_TOOLS {
                return Err(failed(&format!("there are more than {MAX_TOOLS} tools or {MAX_BYTES} bytes")));
            }
            match page.get("nextCursor") {
                None | Some(Value::Null) => return Ok(definitions),
                Some(cursor) => params = Map::from_iter([("cursor".to_owned(), cursor.clone())]),
            }
        }
        Err(failed(&format!("there are more than {MAX_PAGES} pages")))
    }
}

fn not_pinned(why: &str) -> Fault {
    Fault::new(INTERNAL_ERROR, format!("the tools of the server cannot be pinned: {why}"))
}

/// What a person is asked about a changed tool. A large definition is named by its hash.
pub(super) fn change(name: &str, tool: &Tool) -> Map<String, Value> {
    let now = tool.changed.as_ref().unwrap_or(&Value::Null);
    let keys = |value: &Value| value.as_object().into_iter().flat_map(Map::keys).cloned().collect::<BTreeSet<_>>();
    let members = keys(&tool.shown).into_iter().chain(keys(now)).collect::<BTreeSet<_>>();
    let changed: Vec<_> = members.into_iter().filter(|key| tool.shown.get(key) != now.get(key)).collect();
    let mut params = Map::from_iter([("tool".to_owned(), json!(name)), ("changed".to_owned(), json!(changed))]);
    for (which, definition) in [("was", &tool.shown), ("now", now)] {
        let mut texts = Map::new();
        for key in &changed {
            // As text: a definition may have numbers that the daemon would refuse.
            let text = match definition.get(key) {
                None => continue,
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            };
            let text = if text.len() > MAX_SHOWN { too_long(&text) } else { text };
            texts.insert(key.clone(), text.into());
        }
        params.insert(which.to_owned(), texts.into());
    }
    params
}

/// How much of one member of a definition is shown to a reviewer.
const MAX_SHOWN: usize = 8 << 10;

fn too_long(text: &str) -> String {
    use sha2::Digest as _;
    format!("{} bytes, SHA-256 {}", text.len(), hex::encode(sha2::Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(dir: &tempfile::TempDir) -> Catalogue {
        let outbox = super::super::pipe::Outbox::new(std::io::sink(), 1 << 20);
        Catalogue::new(Rc::new(Link::new(outbox)), Pins::open(dir.path(), "s").unwrap())
    }

    fn names(known: &Known) -> Vec<&str> {
        known.tools().map(|(name, _)| name).collect()
    }

    #[test]
    fn two_tools_of_one_name_are_both_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let tools = ["b", "a", "b", "e\u{301}", "\u{e9}", "c"].map(|name| json!({"name": name})).to_vec();
        let known = catalogue(&dir).compare([tools, vec![json!({}), json!(1)]].concat()).unwrap();
        assert_eq!(names(&known), ["a", "c"]);
    }

    #[test]
    fn a_changed_tool_is_listed_as_it_was_until_it_is_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let catalogue = catalogue(&dir);
        let (was, now) = (json!({"name": "a", "description": "x"}), json!({"name": "a", "description": "y", "n": 1}));
        catalogue.compare(vec![was.clone()]).unwrap();
        let known = catalogue.compare(vec![now.clone()]).unwrap();
        let tool = &known.tools["a"];
        assert_eq!((&tool.shown, tool.changed.as_ref()), (&was, Some(&now)));
        assert_eq!(
            Value::Object(change("a", tool)),
            json!({"tool": "a", "changed": ["description", "n"], "was": {"description": "x"},
                "now": {"description": "y", "n": "1"}})
        );
        catalogue.accept("a", &now).unwrap();
        assert_eq!(catalogue.compare(vec![now.clone()]).unwrap().tools["a"].shown, now);
    }
}
