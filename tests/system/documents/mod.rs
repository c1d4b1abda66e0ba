//! The documents tell the truth: every fenced block of every Markdown file runs here, or says why not.
//!
//! | language | what becomes of the block |
//! | --- | --- |
//! | `console` | each `$` line runs in order, against the daemon that the document started ([`console`]) |
//! | `yaml` | a policy must load without a warning; a first line `# NAME` writes it to that file for later commands |
//! | `java` | a first line `// NAME` writes it to that file for later commands, which must run it |
//! | `json` | must be JSON |
//! | `python`, `ts`, `go` | the SDK's own tests run the blocks of its README ([`snippets`]) |
//! | `text` | nothing: a drawing |
//!
//! A remark in the line before a block says more:
//!
//! - `<!-- not run: REASON -->`: the block is left out, for this reason.
//! - `<!-- in the background -->`: the command goes on while the next ones run, and must end as it says.
//! - ``<!-- input after `TEXT`: LINE -->``: the command is sent this line as soon as it has printed that text.
//!
//! A command must end with code 0, or with the code that it names in a comment: `# exit code 3`.

mod blocks;
mod console;
mod cookbook;
mod links;
mod reference;
mod snippets;
mod threats;

use std::path::{Path, PathBuf};

use self::blocks::{Block, Remark};
use self::console::Console;

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository, as text.
fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Markdown file of the repository, sorted. Build output, installed packages and hidden directories are not ours.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![root().to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            let hidden = name.starts_with('.') || ["target", "node_modules", "build", "dist"].contains(&name.as_str());
            if entry.file_type().unwrap().is_dir() && !hidden {
                directories.push(entry.path());
            } else if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
                found.push(entry.path().strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_block_of_every_document_runs_or_says_why_not() {
    let documents = documents();
    let is_there = |path: &str| documents.iter().any(|document| document == Path::new(path));
    assert!(is_there("README.md") && is_there("src/policy/README.md"), "{documents:?}");
    for document in documents {
        let document = document.to_string_lossy();
        let mut console = Console::new(&document);
        for block in blocks::of(&document, &read(&document)) {
            run(&block, &mut console);
        }
        console.finish();
    }
}

fn run(block: &Block, console: &mut Console) {
    if let Some(Remark::NotRun(why)) = &block.remark {
        assert!(why.len() > 10, "{block}: why is it not run?");
        return;
    }
    match block.language.as_str() {
        "console" => console.run(block),
        "yaml" => match block.file_name() {
            Some(name) => console.write(name, &block.text),
            None => cookbook::must_be_valid(block),
        },
        "java" => {
            let name = block.file_name().unwrap_or_else(|| panic!("{block}: name its file in the first line"));
            assert!(read(&block.document).contains(&format!("$ java {name}")), "{block}: nothing runs {name}");
            console.write(name, &block.text);
        }
        "json" => {
            let json: Result<serde_json::Value, _> = serde_json::from_str(&block.text);
            json.unwrap_or_else(|error| panic!("{block}: {error}"));
        }
        "python" | "ts" | "go" => snippets::must_be_tested(block),
        "text" => {}
        other => panic!(
            "{block}: nothing runs `{other}`: use one of the languages of tests/system/documents, or say \
             `<!-- not run: REASON -->` before it"
        ),
    }
}
