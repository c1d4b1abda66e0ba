//! Links inside of the repository lead somewhere: to a file that is there, and to a heading that it has.

use std::path::{Component, Path, PathBuf};

use regex::Regex;

use super::{blocks, documents, read, root};

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut count = 0;
    for document in documents() {
        let name = document.to_string_lossy();
        for link in link.captures_iter(&blocks::prose(&read(&name))) {
            let link = link[1].to_owned();
            if link.contains("://") {
                continue;
            }
            let (path, heading) = link.split_once('#').unwrap_or((&link, ""));
            let path = if path.is_empty() { document.clone() } else { beside(&document, path) };
            assert!(root().join(&path).exists(), "{name}: there is no {link}");
            if !heading.is_empty() {
                let text = read(&path.to_string_lossy());
                assert!(
                    text.lines().any(|line| anchor(line).as_deref() == Some(heading)),
                    "{name}: no heading for {link}"
                );
            }
            count += 1;
        }
    }
    assert!(count > 50, "{count} links");
}

/// A path that is relative to the directory of a document.
fn beside(document: &Path, path: &str) -> PathBuf {
    let mut whole = document.parent().unwrap().to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => assert!(whole.pop(), "{}: {path} leads out of the repository", document.display()),
            Component::CurDir => {}
            part => whole.push(part),
        }
    }
    whole
}

/// How a heading is linked to.
fn anchor(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    Some(kept.map(|c| if c == ' ' { '-' } else { c }).collect())
}
