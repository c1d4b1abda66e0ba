//! Where the answer goes: stdout, or the file of `-o`. Output is buffered. A reader who leaves early is no error.
//!
//! Text is for people: it has colours, which are removed if no terminal shows them. Data (JSON, CSV, a policy, a
//! receipt) is for programs and is written byte for byte, because removing colours would also remove text that looks
//! like them.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::Path;

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use serde::Serialize;

use super::failure::Failure;
use super::{files, safe_json};

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// One JSON document
    Json,
}

/// How a list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ListFormat {
    /// For people
    Table,
    /// One JSON array
    Json,
    /// One JSON object a line
    Jsonl,
}

/// Where the answer goes.
pub(super) struct Out {
    writer: BufWriter<Box<dyn Write>>,
    has_colours: bool,
    /// The number of columns of the terminal; `None` if the answer goes elsewhere.
    width: Option<usize>,
}

impl Out {
    /// Stdout. Colours reach it only if it is a terminal.
    pub(super) fn stdout() -> Self {
        let stdout = io::stdout();
        let width = stdout.is_terminal().then(|| crossterm::terminal::size().map_or(80, |(columns, _)| columns.into()));
        let has_colours = AutoStream::choice(&stdout) != ColorChoice::Never;
        Self { writer: BufWriter::new(Box::new(stdout)), has_colours, width }
    }

    /// A file, which is emptied first. Symbolic links are not followed.
    pub(super) fn file(path: &Path) -> Result<Self, Failure> {
        Ok(Self { writer: BufWriter::new(Box::new(files::create(path)?)), has_colours: false, width: None })
    }

    /// The file of `-o`, or stdout.
    pub(super) fn to(output: Option<&Path>) -> Result<Self, Failure> {
        output.map_or_else(|| Ok(Self::stdout()), Self::file)
    }

    /// The number of columns that a table may take; `None` means any.
    pub(super) const fn width(&self) -> Option<usize> {
        self.width
    }

    /// Whether the answer goes to a terminal.
    pub(super) const fn is_terminal(&self) -> bool {
        self.width.is_some()
    }

    /// Writes text for people. Text of an agent must have been made visible before.
    pub(super) fn text(&mut self, text: impl std::fmt::Display) -> Result<(), Failure> {
        let text = text.to_string();
        if self.has_colours { self.data(text) } else { self.data(strip_str(&text)) }
    }

    /// Writes a line for people.
    pub(super) fn line(&mut self, text: impl std::fmt::Display) -> Result<(), Failure> {
        self.text(format_args!("{text}\n"))
    }

    /// Writes data unchanged.
    pub(super) fn data(&mut self, data: impl std::fmt::Display) -> Result<(), Failure> {
        write!(self.writer, "{data}").map_err(|error| Failure::output(&error))
    }

    /// Writes one JSON document, indented.
    pub(super) fn json<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        self.data(format_args!("{}\n", safe_json::pretty(value)))
    }

    /// Writes one JSON object on a line.
    pub(super) fn jsonl<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        self.data(format_args!("{}\n", safe_json::compact(value)))
    }

    /// Writes a list of JSON objects: as one array, or one a line.
    pub(super) fn json_list<T: Serialize>(&mut self, one_a_line: bool, values: &[T]) -> Result<(), Failure> {
        if one_a_line { values.iter().try_for_each(|value| self.jsonl(value)) } else { self.json(&values) }
    }

    /// Writes what is buffered. Call it at the end, because an error on drop would be lost.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(|error| Failure::output(&error))
    }
}
