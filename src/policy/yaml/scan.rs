//! The strict pass: it turns the events of one file into an arena of nodes with positions, within fixed bounds.
//!
//! Events come one by one, so a bomb is refused while it is read. Aliases stay references here. What an alias would
//! expand to counts towards the same limits as what is written out.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::scalar::{self, Scalar};
use crate::policy::code::Code;
use crate::policy::diagnostic::{Path, Pos, Report, quoted};

/// How deep lists and mappings may be nested, with aliases followed. The deepest sensible condition needs a dozen
/// levels.
const MAX_DEPTH: u32 = 64;

/// How many values a file may hold, with aliases followed. Ten thousand ordinary rules have a quarter of it.
const MAX_NODES: u64 = 500_000;

/// How many bytes of text a file may hold, with aliases followed.
const MAX_TEXT: u64 = 16 << 20;

/// How many characters that can begin a token a file may hold. The parser buffers a whole flow collection (`[...]`)
/// before its first event, so only this limit bounds memory until then.
const MAX_MARKS: usize = 600_000;

/// Names a node of the arena.
pub(super) type Id = usize;

/// A node as it is written.
pub(super) struct Raw {
    pub(super) pos: Pos,
    pub(super) kind: Kind,
    cost: Cost,
}

pub(super) enum Kind {
    /// `is_plain` means without quotes and without a tag.
    Scalar {
        text: String,
        is_plain: bool,
        scalar: Scalar,
    },
    List(Vec<Id>),
    Map(Vec<(Id, Id)>),
    Alias(Id),
}

/// The tags of the core schema. Every other tag is refused.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CoreTag {
    Str,
    Int,
    Float,
    Bool,
    Null,
}

/// The nodes of a document; the last one is its root.
pub(super) struct Arena(Vec<Raw>);

impl Arena {
    pub(super) fn root(&self) -> Id {
        self.0.len().saturating_sub(1)
    }

    pub(super) fn get(&self, id: Id) -> &Raw {
        &self.0[id]
    }

    /// The node itself, or the node that an alias names.
    pub(super) fn resolved(&self, id: Id) -> &Raw {
        // An alias can only name a complete node that came before it, so the chain ends.
        let mut raw = self.get(id);
        while let Kind::Alias(target) = raw.kind {
            raw = self.get(target);
        }
        raw
    }

    /// Whether a key is the merge key `<<`. Quoted, it is a key like any other.
    pub(super) fn is_merge(&self, key: Id) -> bool {
        matches!(&self.get(key).kind, Kind::Scalar { text, is_plain: true, .. } if text == "<<")
    }
}

/// The size of a node when every alias in it is followed.
#[derive(Clone, Copy, Default)]
struct Cost {
    nodes: u64,
    text: u64,
    depth: u32,
}

impl Cost {
    fn add(&mut self, other: Cost) {
        self.nodes = self.nodes.saturating_add(other.nodes);
        self.text = self.text.saturating_add(other.text);
        self.depth = self.depth.max(other.depth.saturating_add(1));
    }
}

/// Reads the events of a file. `None` if anything was wrong, which is reported.
pub(super) fn scan(file: &str, text: &str, report: &mut Report) -> Option<Arena> {
    let before = report.error_count();
    let mut scan = Scan { file, report, nodes: Vec::new(), open: Vec::new(), anchors: HashMap::new(), documents: 0 };
    let complete = scan.characters(text) && scan.events(text);
    let Scan { nodes, report, .. } = scan;
    (complete && report.error_count() == before).then_some(Arena(nodes))
}

struct Scan<'r> {
    file: &'r str,
    report: &'r mut Report,
    nodes: Vec<Raw>,
    open: Vec<Open>,
    /// Maps the parser's number of an anchor to its node, once that is complete. Looked up, never iterated.
    anchors: HashMap<usize, Id>,
    documents: usize,
}

/// A list or mapping whose end has not been seen.
struct Open {
    pos: Pos,
    anchor: usize,
    is_map: bool,
    children: Vec<Id>,
    cost: Cost,
}

impl Scan<'_> {
    fn error(&mut self, pos: Pos, code: Code, message: impl Into<String>) {
        let path = self.path();
        self.report.error(self.file, pos, &Path::Spelled(&path), code, message);
    }

    /// The place in the document that is being read.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            let parent = Path::Spelled(&path);
            let key = match (open.is_map, open.children.last()) {
                (true, Some(key)) if open.children.len() % 2 == 1 => self.key_text(*key),
                (true, _) => continue,
                (false, _) => None,
            };
            path = match key {
                Some(key) => parent.key(key).to_string(),
                None => parent.item(open.children.len()).to_string(),
            };
        }
        path
    }

    fn key_text(&self, mut key: Id) -> Option<&str> {
        while let Kind::Alias(target) = self.nodes[key].kind {
            key = target;
        }
        match &self.nodes[key].kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Refuses characters that no YAML file may contain, and text that the parser would buffer without end.
    fn characters(&mut self, text: &str) -> bool {
        let (mut pos, mut marks) = (Pos { line: 1, column: 1 }, 0_usize);
        for c in text.chars() {
            let is_text = matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}');
            let is_printable = (is_text || matches!(c, '\u{e000}'..='\u{fffd}')) && c != '\u{feff}' || c >= '\u{10000}';
            if !is_printable {
                self.error(
                    pos,
                    Code::InvalidYaml,
                    format!("the character U+{:04X} is not allowed in YAML text", u32::from(c)),
                );
                return false;
            }
            marks += usize::from(matches!(c, ',' | '[' | ']' | '{' | '}' | '"' | '\'' | '&' | '*' | '!' | ':' | '?'));
            if marks > MAX_MARKS {
                self.error(pos, Code::TooLarge, "the file holds more values than a policy may: split it into layers");
                return false;
            }
            if c == '\n' {
                pos = Pos { line: pos.line + 1, column: 1 };
            } else {
                pos.column += 1;
            }
        }
        true
    }

    fn events(&mut self, text: &str) -> bool {
        let mut parser = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            let go_on = match event {
                Ok((event, span)) => self.event(event, span),
                Err(error) => {
                    self.syntax(&error);
                    false
                }
            };
            if !go_on {
                return false;
            }
        }
        let is_empty = self
            .nodes
            .last()
            .is_none_or(|root| matches!(&root.kind, Kind::Scalar { text, is_plain: true, .. } if text.is_empty()));
        if is_empty {
            self.error(
                Pos { line: 1, column: 1 },
                Code::EmptyDocument,
                "the document is empty: a policy is a mapping with `rules`, `defaults` or both (`rules: []` is the \
                 smallest)",
            );
        }
        !is_empty
    }

    fn syntax(&mut self, error: &ScanError) {
        let marker = error.marker();
        let pos = Pos { line: marker.line().max(1), column: marker.col() + 1 };
        self.error(pos, Code::InvalidYaml, format!("this is not YAML: {}{}", error.info(), hint(error.info())));
    }

    /// Takes one event. Returns false if reading on makes no sense.
    fn event(&mut self, event: Event<'_>, span: Span) -> bool {
        let pos = Pos { line: span.start.line().max(1), column: span.start.col() + 1 };
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => true,
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.error(
                        pos,
                        Code::SecondDocument,
                        "a second document begins here: a policy file holds one; give the other as a layer of its own",
                    );
                }
                self.documents == 1
            }
            Event::Scalar(text, style, anchor, tag) => self.scalar(pos, text, style, anchor, tag.as_deref()),
            Event::SequenceStart(anchor, tag) => self.begin(pos, anchor, tag.as_deref(), false),
            Event::MappingStart(anchor, tag) => self.begin(pos, anchor, tag.as_deref(), true),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(pos, anchor),
        }
    }

    fn scalar(&mut self, pos: Pos, text: Cow<'_, str>, style: ScalarStyle, anchor: usize, tag: Option<&Tag>) -> bool {
        let cost = Cost { nodes: 1, text: text.len() as u64, depth: 1 };
        let is_plain = style == ScalarStyle::Plain && tag.is_none();
        let scalar = match tag.map(|tag| (tag, core_tag(tag))) {
            None if style == ScalarStyle::Plain => {
                scalar::resolve(&text).map_err(|unusable| unusable.message().to_owned())
            }
            None => Ok(Scalar::Text),
            Some((_, Some(tag))) => resolve_tagged(tag, &text),
            Some((tag, None)) => {
                self.custom_tag(pos, tag);
                Ok(Scalar::Text)
            }
        };
        let scalar = scalar.unwrap_or_else(|message| {
            self.error(pos, Code::AmbiguousValue, format!("`{}` {message}", quoted(&text)));
            Scalar::Text
        });
        self.push(Raw { pos, kind: Kind::Scalar { text: text.into_owned(), is_plain, scalar }, cost }, anchor)
    }

    fn custom_tag(&mut self, pos: Pos, tag: &Tag) {
        let shown = if tag.is_yaml_core_schema() {
            format!("!!{}", tag.suffix)
        } else {
            format!("{}{}", tag.handle, tag.suffix)
        };
        self.error(
            pos,
            Code::UnknownTag,
            format!("the tag `{}` means nothing in a policy: write the value without it", quoted(&shown)),
        );
    }

    fn begin(&mut self, pos: Pos, anchor: usize, tag: Option<&Tag>, is_map: bool) -> bool {
        if let Some(tag) = tag
            && !(tag.is_yaml_core_schema() && tag.suffix == if is_map { "map" } else { "seq" })
        {
            self.custom_tag(pos, tag);
        }
        if self.open.len() >= MAX_DEPTH as usize {
            self.error(
                pos,
                Code::TooLarge,
                format!("lists and mappings are nested deeper than {MAX_DEPTH} levels here"),
            );
            return false;
        }
        let cost = Cost { nodes: 1, text: 0, depth: 1 };
        self.open.push(Open { pos, anchor, is_map, children: Vec::new(), cost });
        true
    }

    fn end(&mut self) -> bool {
        let Some(open) = self.open.pop() else { return false };
        let kind = if open.is_map {
            let pairs: Vec<(Id, Id)> = open.children.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
            self.keys(&pairs);
            Kind::Map(pairs)
        } else {
            Kind::List(open.children)
        };
        self.push(Raw { pos: open.pos, kind, cost: open.cost }, open.anchor)
    }

    fn alias(&mut self, pos: Pos, anchor: usize) -> bool {
        let Some(&target) = self.anchors.get(&anchor) else {
            self.error(pos, Code::EndlessAlias, "this alias stands inside of what it names, so it would never end");
            return false;
        };
        let cost = self.nodes[target].cost;
        self.push(Raw { pos, kind: Kind::Alias(target), cost }, 0)
    }

    /// Adds a complete node to the arena and to its parent.
    fn push(&mut self, raw: Raw, anchor: usize) -> bool {
        let (id, pos, cost) = (self.nodes.len(), raw.pos, raw.cost);
        self.nodes.push(raw);
        // The parser counts anchors from 1.
        if anchor > 0 {
            self.anchors.insert(anchor, id);
        }
        let mut total = cost;
        if let Some(parent) = self.open.last_mut() {
            parent.children.push(id);
            parent.cost.add(cost);
            total = parent.cost;
            total.depth = total.depth.saturating_add(u32::try_from(self.open.len()).unwrap_or(u32::MAX) - 1);
        }
        if total.nodes > MAX_NODES || self.nodes.len() as u64 > MAX_NODES {
            self.error(pos, Code::TooLarge, format!("the file holds more than {MAX_NODES} values, aliases followed"));
            return false;
        }
        if total.text > MAX_TEXT {
            self.error(
                pos,
                Code::TooLarge,
                format!("the file holds more than {MAX_TEXT} bytes of text, aliases followed"),
            );
            return false;
        }
        if total.depth > MAX_DEPTH {
            self.error(
                pos,
                Code::TooLarge,
                format!("lists and mappings are nested deeper than {MAX_DEPTH} levels here, aliases followed"),
            );
            return false;
        }
        true
    }

    /// Checks the keys of a complete mapping: text, each only once, and `<<` only for mappings.
    fn keys(&mut self, pairs: &[(Id, Id)]) {
        let mut wrong: Vec<(Pos, Option<&str>, Code, String)> = Vec::new();
        let mut seen = HashSet::new();
        let arena = &self.nodes;
        let resolved = |mut id: Id| {
            while let Kind::Alias(target) = arena[id].kind {
                id = target;
            }
            &arena[id].kind
        };
        for &(key, value) in pairs {
            let pos = arena[key].pos;
            let Kind::Scalar { text, is_plain, scalar } = resolved(key) else {
                wrong.push((pos, None, Code::InvalidKey, "a key must be text, not a list or a mapping".to_owned()));
                continue;
            };
            if *scalar != Scalar::Text {
                wrong.push((
                    pos,
                    None,
                    Code::InvalidKey,
                    format!("a key must be text: write \"{}\" in quotes if it is meant", quoted(text)),
                ));
            }
            if !seen.insert(text.as_str()) {
                let message = format!("the key `{}` is given twice in this mapping: keep one of them", quoted(text));
                wrong.push((pos, Some(text), Code::DuplicateKey, message));
            }
            let is_merge = *is_plain && text == "<<";
            let merges_mappings = || match resolved(value) {
                Kind::Map(_) => true,
                Kind::List(items) => items.iter().all(|item| matches!(resolved(*item), Kind::Map(_))),
                _ => false,
            };
            if is_merge && !merges_mappings() {
                let message = "`<<` merges mappings: give it `*name` of one, or a list of such".to_owned();
                wrong.push((arena[value].pos, Some(text), Code::InvalidMerge, message));
            }
        }
        if wrong.is_empty() {
            return;
        }
        let parent = self.path();
        let parent = Path::Spelled(&parent);
        for (pos, key, code, message) in wrong {
            match key {
                Some(key) => self.report.error(self.file, pos, &parent.key(key), code, message),
                None => self.report.error(self.file, pos, &parent, code, message),
            }
        }
    }
}

/// What the author usually meant where the parser fails.
fn hint(info: &str) -> &'static str {
    const HINTS: [(&str, &str); 5] = [
        ("unexpected character", "; a text that begins with this character needs quotes"),
        ("unknown anchor", "; `*name` needs a `&name` before it, and a glob that begins with `*` needs quotes"),
        ("mapping values are not allowed", "; a text with `: ` in it needs quotes"),
        ("quoted scalar", "; the quote is never closed"),
        ("tab", "; indent with spaces"),
    ];
    HINTS.iter().find(|(part, _)| info.contains(part)).map_or("", |(_, hint)| hint)
}

fn core_tag(tag: &Tag) -> Option<CoreTag> {
    if !tag.is_yaml_core_schema() {
        return None;
    }
    match tag.suffix.as_str() {
        "str" => Some(CoreTag::Str),
        "int" => Some(CoreTag::Int),
        "float" => Some(CoreTag::Float),
        "bool" => Some(CoreTag::Bool),
        "null" => Some(CoreTag::Null),
        _ => None,
    }
}

/// The meaning of a scalar with a tag of the core schema.
fn resolve_tagged(tag: CoreTag, text: &str) -> Result<Scalar, String> {
    if tag == CoreTag::Str {
        return Ok(Scalar::Text);
    }
    let scalar = scalar::resolve(text).map_err(|unusable| unusable.message().to_owned())?;
    let (is_right, what) = match tag {
        CoreTag::Str => (true, "text"),
        CoreTag::Int => (matches!(scalar, Scalar::Unsigned(_) | Scalar::Negative(_)), "an integer"),
        CoreTag::Float => (matches!(scalar, Scalar::Float(_)), "a float"),
        CoreTag::Bool => (matches!(scalar, Scalar::Bool(_)), "a boolean"),
        CoreTag::Null => (scalar == Scalar::Null && !text.is_empty(), "null"),
    };
    if is_right { Ok(scalar) } else { Err(format!("has the tag of {what} and is none")) }
}
