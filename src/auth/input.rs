//! Reads bounded files for authentication, and checks names in them.

use std::path::Path;

use crate::watcher::read_bounded;

/// The largest file for authentication, in bytes.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// The longest name, in characters.
pub(super) const MAX_NAME: usize = 256;

/// Reads a text file of bounded length.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    let bytes = read_bounded(path, MAX_BYTES).map_err(|error| error.to_string())?;
    if bytes.len() > MAX_BYTES {
        return Err(format!("is longer than {MAX_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())
}

/// Whether this can be the name of a caller, which the record shows and people compare.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.trim() != name {
        return Err("must not be empty, nor begin or end with a space".to_owned());
    }
    if name.chars().count() > MAX_NAME {
        return Err(format!("is longer than {MAX_NAME} characters"));
    }
    if crate::domain::visible(name) != name {
        return Err("contains invisible characters".to_owned());
    }
    Ok(())
}
