//! What is read for authentication, and what a name in it may be.

use std::path::Path;

use crate::watcher::read_bounded;

/// The largest file that is read here, keys and certificates included.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// How long a name may be, in characters.
pub(super) const MAX_NAME: usize = 256;

/// A text file of bounded length.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    let bytes = read_bounded(path, MAX_BYTES).map_err(|error| error.to_string())?;
    if bytes.len() > MAX_BYTES {
        return Err(format!("is longer than {MAX_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())
}

/// Whether this can be the name of somebody: what the record shows, and people compare.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.trim() != name {
        return Err("must not be empty, nor begin or end with a space".to_owned());
    }
    if name.chars().count() > MAX_NAME {
        return Err(format!("is longer than {MAX_NAME} characters"));
    }
    if crate::domain::visible(name) != name {
        return Err("holds characters that cannot be seen".to_owned());
    }
    Ok(())
}
