//! Snippets of the SDKs' languages: tests of the SDK run every block of its README, and this test holds that they do.

use super::blocks::{self, Block};
use super::read;

/// Holds that a test of the SDK runs this block, or that it is a block that one runs.
pub(super) fn must_be_tested(block: &Block) {
    let (sdk, runner) = match block.language.as_str() {
        "python" => ("clients/python", "tests/test_examples.py"),
        "ts" => ("clients/typescript", "tests/readme-blocks.mjs"),
        _ => ("clients/go", "readme_test.go"),
    };
    let readme = format!("{sdk}/README.md");
    if block.document == readme {
        let runner = read(&format!("{sdk}/{runner}"));
        assert!(
            runner.contains("README.md") && runner.contains("```"),
            "{sdk}/{runner} does not run the blocks of {readme}"
        );
        return;
    }
    let shown = blocks::of(&readme, &read(&readme));
    let is_shown = shown.iter().any(|shown| shown.language == block.language && shown.text == block.text);
    assert!(is_shown, "{block}: no test runs it: it must stand in {readme} too, word for word");
}
