//! The tools of a server as they were first seen. A server that changes a tool later changes what the model is told and
//! what a person agreed to, so a change is a question of its own.
//!
//! The file belongs to the user who runs the proxy. An agent of the same user can write it: give the agent another
//! user.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::cli::failure::{Failure, because};
use crate::cli::memory;

/// The largest file, and how many tools are pinned at most: a server must not fill the disk.
const MAX_BYTES: u64 = 16 << 20;
const MAX_TOOLS: usize = 10_000;

/// What is known of a tool.
#[derive(Debug, PartialEq)]
pub(super) enum Pin {
    New,
    Same,
    /// With the pinned definition.
    Changed(Value),
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    server: String,
    tools: BTreeMap<String, Value>,
}

/// The pinned tools of one server.
#[derive(Debug)]
pub(super) struct Pins {
    file: PathBuf,
    content: RefCell<Content>,
}

impl Pins {
    /// Reads the pins of a server from this directory.
    pub(super) fn open(dir: &Path, server: &str) -> Result<Self, Failure> {
        let plain: String = server.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
        let digest = hex::encode(&Sha256::digest(server.as_bytes())[..8]);
        let file = dir.join(format!("tools-{plain}-{digest}.json"));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|error| Failure::file("write", dir, &error).hint("name a directory with --state-dir"))?;
        let damaged = |why: String| {
            Failure::new(format!("the pinned tools in {} cannot be used: {why}", file.display()))
                .hint("to accept the tools as they are now, remove the file")
        };
        let mut content = match fs::metadata(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Content::default(),
            Err(error) => return Err(damaged(because(&error))),
            Ok(metadata) if !metadata.is_file() => return Err(damaged("it is not a regular file".to_owned())),
            Ok(metadata) if metadata.len() > MAX_BYTES => {
                return Err(damaged(format!("it is larger than {MAX_BYTES} bytes")));
            }
            Ok(_) => {
                let text = fs::read_to_string(&file).map_err(|error| damaged(because(&error)))?;
                crate::domain::json::parse_strict(&text).map_err(|error| damaged(error.to_string()))?
            }
        };
        server.clone_into(&mut content.server);
        Ok(Self { file, content: RefCell::new(content) })
    }

    /// Compares a definition with the pinned one.
    pub(super) fn compare(&self, name: &str, definition: &Value) -> Pin {
        match self.content.borrow().tools.get(name) {
            None => Pin::New,
            Some(pinned) if pinned == definition => Pin::Same,
            Some(pinned) => Pin::Changed(pinned.clone()),
        }
    }

    /// Pins these tools as they are now. All of them are in the file afterwards, or none.
    pub(super) fn pin(&self, tools: impl Iterator<Item = (String, Value)>) -> Result<(), String> {
        let mut content = self.content.borrow_mut();
        let mut pinned = content.tools.clone();
        pinned.extend(tools);
        if pinned == content.tools {
            return Ok(());
        }
        if pinned.len() > MAX_TOOLS {
            return Err(format!("the server has had more than {MAX_TOOLS} tools"));
        }
        let next = Content { server: content.server.clone(), tools: pinned };
        let text = serde_json::to_vec_pretty(&next).map_err(|error| error.to_string())?;
        if text.len() as u64 > MAX_BYTES {
            return Err(format!("the definitions of its tools are larger than {MAX_BYTES} bytes"));
        }
        memory::replace(&self.file, &text)
            .map_err(|error| format!("{} cannot be written: {}", self.file.display(), because(&error)))?;
        *content = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_tool_is_pinned_at_first_sight_over_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (json!({"name": "a", "description": "x"}), json!({"description": "y", "name": "a"}));
        let pins = Pins::open(dir.path(), "s/1").unwrap();
        assert_eq!(pins.compare("a", &one), Pin::New);
        pins.pin([("a".to_owned(), one.clone())].into_iter()).unwrap();
        let again = Pins::open(dir.path(), "s/1").unwrap();
        assert_eq!(again.compare("a", &json!({"description": "x", "name": "a"})), Pin::Same);
        assert_eq!(again.compare("a", &other), Pin::Changed(one));
        again.pin([("a".to_owned(), other.clone())].into_iter()).unwrap();
        assert_eq!(again.compare("a", &other), Pin::Same);
        assert_eq!(Pins::open(dir.path(), "s-1").unwrap().compare("a", &other), Pin::New, "another server");
        assert_eq!(fs::metadata(&again.file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_refused_and_not_taken_for_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = Pins::open(dir.path(), "s").unwrap().file;
        for text in
            ["", "{}", "{\"server\":\"s\",\"tools\":{},\"x\":1}", "{\"server\":\"s\",\"tools\":{\"a\":1,\"a\":2}}"]
        {
            fs::write(&file, text).unwrap();
            let failure = Pins::open(dir.path(), "s").unwrap_err().to_string();
            assert!(failure.contains("remove the file"), "{failure}");
        }
    }
}
