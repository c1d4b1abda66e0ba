//! The fenced blocks of a Markdown file.

use std::fmt;

/// A fenced block.
#[derive(Debug)]
pub(super) struct Block {
    /// The file, from the root of the repository.
    pub(super) document: String,
    /// The line of the opening fence, from 1.
    pub(super) line: usize,
    /// What the fence calls it.
    pub(super) language: String,
    /// What stands between the fences.
    pub(super) text: String,
    /// What the comment before it says about running it.
    pub(super) remark: Option<Remark>,
    /// The heading that it stands under.
    pub(super) heading: String,
    /// The text between this block and the next one, or the next heading.
    pub(super) after: String,
}

/// What a comment before a block says about running it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Remark {
    /// `<!-- not run: REASON -->`
    NotRun(String),
    /// `<!-- in the background -->`
    Background,
    /// ``<!-- input after `TEXT`: LINE -->``
    Input { after: String, line: String },
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.document, self.line)
    }
}

impl Block {
    /// The file that the first line names: `# policy.yaml`, `// Main.java`.
    pub(super) fn file_name(&self) -> Option<&str> {
        let first = self.text.lines().next()?;
        let name = first.strip_prefix("# ").or_else(|| first.strip_prefix("// "))?;
        let is_name = name.contains('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
        is_name.then_some(name)
    }
}

/// Every block of a document, in order.
pub(super) fn of(document: &str, markdown: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let (mut heading, mut before) = (String::new(), "");
    let mut lines = markdown.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            let mut text = String::new();
            let closed = lines.by_ref().map(|(_, line)| line).any(|line| {
                let closes = line.trim() == "```";
                if !closes {
                    text.extend([line, "\n"]);
                }
                closes
            });
            assert!(closed, "{document}:{}: the block is never closed", number + 1);
            blocks.push(Block {
                document: document.to_owned(),
                line: number + 1,
                language: language.trim().to_owned(),
                text,
                remark: Remark::read(before),
                heading: heading.clone(),
                after: String::new(),
            });
            before = "";
            continue;
        }
        if line.starts_with('#') {
            line.trim_start_matches('#').trim().clone_into(&mut heading);
        }
        if let Some(block) = blocks.last_mut()
            && block.heading == heading
        {
            block.after.extend([line, "\n"]);
        }
        if !line.trim().is_empty() {
            before = line;
        }
    }
    blocks
}

/// A document without its blocks.
pub(super) fn prose(markdown: &str) -> String {
    markdown.split("\n```").step_by(2).collect()
}

impl Remark {
    fn read(line: &str) -> Option<Self> {
        let comment = line.trim().strip_prefix("<!--")?.strip_suffix("-->")?.trim();
        if let Some(why) = comment.strip_prefix("not run:") {
            return Some(Self::NotRun(why.trim().to_owned()));
        }
        if let Some(input) = comment.strip_prefix("input after `") {
            let (after, line) = input.split_once("`: ")?;
            return Some(Self::Input { after: after.to_owned(), line: line.to_owned() });
        }
        (comment == "in the background").then_some(Self::Background)
    }
}

#[test]
fn blocks_are_found_with_what_is_said_about_them() {
    let markdown = "# A\n\n<!-- not run: needs a cluster -->\n```console\n$ a\n```\nafter\n\n\
                    ## B\n```yaml\n# p.yaml\nx: 1\n```\n\
                    <!-- input after `[1]`: a 1 yes -->\n\n```console\n$ b\n```\n";
    let blocks = of("x.md", markdown);
    let said: Vec<_> = blocks.iter().map(|block| (block.line, block.heading.as_str(), block.file_name())).collect();
    assert_eq!(said, [(4, "A", None), (10, "B", Some("p.yaml")), (16, "B", None)]);
    assert_eq!(blocks[0].remark, Some(Remark::NotRun("needs a cluster".into())));
    assert_eq!(blocks[0].after, "after\n\n");
    assert_eq!(blocks[1].remark, None);
    assert_eq!(blocks[2].remark, Some(Remark::Input { after: "[1]".into(), line: "a 1 yes".into() }));
}
