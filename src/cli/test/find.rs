//! Which files are suites.

use std::fs;
use std::path::{Path, PathBuf};

use super::suite;
use crate::cli::failure::Failure;

/// How deep directories are searched.
const MAX_DEPTH: usize = 32;

/// The suites of these paths, in order: files as they are, and of directories every file with the name of a suite.
pub(super) fn suites(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let here = [PathBuf::from(".")];
    let mut found = Vec::new();
    for path in if paths.is_empty() { &here[..] } else { paths } {
        if path.is_dir() {
            search(path, MAX_DEPTH, &mut found)?;
        } else {
            found.push(path.clone());
        }
    }
    if found.is_empty() {
        let hint = "the name of a suite ends in `_test.yaml` or `_test.yml`; `aegis test --help` shows one";
        return Err(Failure::new("there is no suite").hint(hint));
    }
    Ok(found)
}

/// The suites and every layer that they name, as far as they can be read.
pub(super) fn watched(suites: &[PathBuf]) -> Vec<PathBuf> {
    let layers = suites.iter().filter_map(|path| suite::read(path).ok()).flat_map(|suite| suite.layers);
    suites.iter().cloned().chain(layers).collect()
}

/// Searches a directory by name. Hidden files and symbolic links to directories are left out.
fn search(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = entries.map_err(|error| Failure::file("read", directory, &error))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let path = directory.strip_prefix(".").unwrap_or(directory).join(&name);
        if name.starts_with('.') {
            continue;
        }
        if is_directory && depth > 0 {
            search(&path, depth - 1, found)?;
        } else if !is_directory && ["_test.yaml", "_test.yml"].iter().any(|end| name.ends_with(end)) {
            found.push(path);
        }
    }
    Ok(())
}
