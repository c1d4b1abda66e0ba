//! Reads one word of a script: its text without quotes, whether that text is known, and the scripts in its
//! substitutions.

use brush_parser::ParserOptions;
use brush_parser::word::{self, Parameter, ParameterExpr, TildeExpr, WordPiece, WordPieceWithSource};

/// A word.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts about a word, each by itself")]
pub(super) struct Word {
    /// The text, without quotes. Where it is not known, the source.
    pub(super) text: String,
    /// Whether the text is what the program will get, as one word.
    pub(super) is_known: bool,
    /// The scripts of its substitutions. They run before the word is used.
    pub(super) scripts: Vec<String>,
    /// Whether it evaluates arithmetic that reads variables. Bash runs the substitutions that it finds in their values.
    pub(super) computes: bool,
    /// Whether it quotes something that looks like a substitution, which arithmetic could run later.
    pub(super) is_dormant: bool,
    /// Whether it has an unquoted bracket: a pattern of bash, but zsh can run a command there.
    pub(super) has_group: bool,
    /// Why something in it runs that cannot be read.
    pub(super) hidden: Option<&'static str>,
}

impl Word {
    /// A word that is known as it is.
    pub(super) fn known(text: &str) -> Self {
        Self { text: text.to_owned(), is_known: true, ..Self::default() }
    }

    /// A word of which only the source is known.
    pub(super) fn unknown(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    /// Reads a word of a command.
    pub(super) fn read(source: &str, home: Option<&str>) -> Self {
        Self::of(source, word::parse(source, &ParserOptions::default()).ok(), home, false)
    }

    /// Reads the text of a here-document whose delimiter is not quoted.
    pub(super) fn read_here_document(source: &str, home: Option<&str>) -> Self {
        Self::of(source, word::parse_heredoc(source, &ParserOptions::default()).ok(), home, true)
    }

    fn of(source: &str, pieces: Option<Vec<WordPieceWithSource>>, home: Option<&str>, is_quoted: bool) -> Self {
        let mut word = Self::known("");
        if let Some(pieces) = pieces {
            for piece in &pieces {
                word.piece(source, piece, home, is_quoted);
            }
        } else {
            word.is_known = false;
            word.hidden = Some("a word does not parse");
        }
        word.is_dormant = word.text.contains("$(") || word.text.contains('`');
        if !word.is_known {
            source.clone_into(&mut word.text);
        }
        word
    }

    fn piece(&mut self, source: &str, piece: &WordPieceWithSource, home: Option<&str>, is_quoted: bool) {
        let part = source.get(piece.start_index..piece.end_index).unwrap_or(source);
        match &piece.piece {
            // Within double quotes, a backslash joins lines.
            WordPiece::Text(text) if is_quoted => self.text.push_str(&text.replace("\\\n", "")),
            WordPiece::Text(text) => {
                self.text.push_str(text);
                self.is_known &= !expands(text);
                self.has_group |= text.contains('(');
            }
            WordPiece::SingleQuotedText(text) => self.text.push_str(text),
            WordPiece::AnsiCQuotedText(text) => {
                self.text.push_str(text);
                self.is_known &= !text.contains('\\');
            }
            WordPiece::DoubleQuotedSequence(pieces) | WordPiece::GettextDoubleQuotedSequence(pieces) => {
                for piece in pieces {
                    self.piece(source, piece, home, true);
                }
            }
            WordPiece::EscapeSequence(text) => {
                self.text.push_str(text.strip_prefix('\\').filter(|c| *c != "\n").unwrap_or_default());
            }
            WordPiece::TildeExpansion(TildeExpr::Home) => self.home(home),
            WordPiece::TildeExpansion(_) => self.is_known = false,
            WordPiece::ParameterExpansion(ParameterExpr::Parameter {
                parameter: Parameter::Named(name),
                indirect: false,
            }) if name == "HOME" => self.home(home),
            WordPiece::ParameterExpansion(_) => {
                self.is_known = false;
                if part.ends_with("@P}") {
                    self.hidden = Some("`@P` runs the substitutions in a variable");
                }
                let inner = part.strip_prefix("${").and_then(|part| part.strip_suffix('}')).unwrap_or_default();
                self.computes |= inner.contains(['[', ':']);
                self.nested(inner, home);
            }
            WordPiece::CommandSubstitution(script) => {
                self.is_known = false;
                self.scripts.push(script.clone());
            }
            WordPiece::BackquotedCommandSubstitution(script) => {
                self.is_known = false;
                self.scripts.push(unescape_backquoted(script));
            }
            WordPiece::ArithmeticExpression(expression) => {
                self.is_known = false;
                self.computes |= reads_variables(&expression.value);
                if !is_arithmetic(&expression.value) {
                    self.hidden = Some("`$((` may also begin a command here");
                }
                self.nested(&expression.value, home);
            }
        }
    }

    fn home(&mut self, home: Option<&str>) {
        match home.filter(|home| !expands(home) && !home.contains(char::is_whitespace)) {
            Some(home) => self.text.push_str(home),
            None => self.is_known = false,
        }
    }

    /// Finds the substitutions within an expansion.
    fn nested(&mut self, inner: &str, home: Option<&str>) {
        if inner.contains(['$', '`']) {
            let inner = Self::read(inner, home);
            self.scripts.extend(inner.scripts);
            self.computes |= inner.computes;
            self.hidden = self.hidden.or(inner.hidden);
        }
    }
}

/// Whether arithmetic reads a variable.
pub(super) fn reads_variables(expression: &str) -> bool {
    expression.contains(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$' || c == '`')
}

/// Whether every shell reads this between `$((` and `))` as arithmetic: brackets that do not match begin a command.
fn is_arithmetic(expression: &str) -> bool {
    let mut depth = 0_u32;
    for c in expression.chars() {
        match c {
            ';' | '\n' | '\'' | '"' | '\\' | '#' => return false,
            '(' => depth += 1,
            ')' if depth == 0 => return false,
            ')' => depth -= 1,
            _ => {}
        }
    }
    depth == 0
}

/// Whether an unquoted text may become another word, or several: a glob, braces, a pattern.
fn expands(text: &str) -> bool {
    let has = |first: char, then: &str| text.split_once(first).is_some_and(|(_, rest)| rest.contains(then));
    text.contains(['*', '?', '(']) || has('[', "]") || has('{', ",") || has('{', "..")
}

/// Within backquotes, a backslash quotes a backquote, a dollar sign and itself.
fn unescape_backquoted(script: &str) -> String {
    let mut text = String::with_capacity(script.len());
    let mut characters = script.chars().peekable();
    while let Some(c) = characters.next() {
        match (c, characters.peek()) {
            ('\\', Some('`' | '$' | '\\')) => text.extend(characters.next()),
            _ => text.push(c),
        }
    }
    text
}
