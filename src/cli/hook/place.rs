//! Where a path really leads: absolute, without `.` and `..`, and with symbolic links followed as far as it exists.
//!
//! A policy names the files to protect. So `/tmp/link/../settings.json` must read as the file that would be opened.

use std::path::{Component, Path, PathBuf};

/// The real path, from one of the directories that it may be relative to.
pub(in crate::cli) fn real(path: &str, directory: &str, home: Option<&str>) -> String {
    let path = match (path.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => format!("{home}{rest}"),
        _ => path.to_owned(),
    };
    follow(&Path::new(directory).join(path)).to_string_lossy().into_owned()
}

/// Follows the links of the longest part that exists. `..` behind a link leads up from where the link leads to.
fn follow(path: &Path) -> PathBuf {
    let mut real = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => {
                real.push(name);
                if let Ok(target) = real.canonicalize() {
                    real = target;
                } else if let Ok(target) = real.read_link() {
                    // A link to a file that does not exist yet: writing creates that file.
                    real.pop();
                    real = lexical(&real.join(target));
                }
            }
            Component::ParentDir => drop(real.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    real
}

fn lexical(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::from("/"), |mut path, component| {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => drop(path.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_absolute_and_follows_links() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let at = |name: &str| root.join(name).display().to_string();
        std::fs::create_dir(at("secret")).unwrap();
        std::os::unix::fs::symlink(at("secret"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("not-yet"), at("dangling")).unwrap();
        let real = |path: &str| real(path, root.to_str().unwrap(), Some("/home/me"));
        for (path, is) in [
            ("a/./b/../c", at("a/c")),
            ("link/credential", at("secret/credential")),
            ("link/../x", at("x")),
            ("dangling", at("not-yet")),
            ("/etc//./new-file", "/etc/new-file".to_owned()),
            ("~/x", "/home/me/x".to_owned()),
            ("../../../../../../../..", "/".to_owned()),
        ] {
            assert_eq!(real(path), is, "{path}");
        }
    }
}
