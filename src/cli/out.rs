//! Where the answer goes: stdout, or the file of `-o`. Buffered; a reader who leaves early is no error.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::Path;

use serde::Serialize;

use super::failure::Failure;
use super::safe_json;

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
}

/// How a list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ListFormat {
    /// For people.
    Table,
    /// One JSON array.
    Json,
    /// One JSON object a line.
    Jsonl,
}

/// Where the answer goes.
pub(super) struct Out {
    writer: BufWriter<Box<dyn Write>>,
    /// How many columns the terminal has; `None` where the answer goes elsewhere.
    width: Option<usize>,
}

impl Out {
    /// Stdout. Colours reach it only where it is a terminal.
    pub(super) fn stdout() -> Self {
        let stdout = io::stdout();
        let width = stdout.is_terminal().then(|| crossterm::terminal::size().map_or(80, |(columns, _)| columns.into()));
        Self { writer: BufWriter::new(Box::new(anstream::AutoStream::auto(stdout))), width }
    }

    /// A file, made anew.
    pub(super) fn file(path: &Path) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| Failure::file("write", path, &error))?;
        Ok(Self { writer: BufWriter::new(Box::new(anstream::StripStream::new(file))), width: None })
    }

    /// How many columns a table may take; `None` where that is no matter.
    pub(super) const fn width(&self) -> Option<usize> {
        self.width
    }

    /// Whether a person's terminal shows what is written.
    pub(super) const fn is_terminal(&self) -> bool {
        self.width.is_some()
    }

    /// Writes text as it is.
    pub(super) fn text(&mut self, text: impl std::fmt::Display) -> Result<(), Failure> {
        write!(self.writer, "{text}").map_err(|error| Failure::output(&error))
    }

    /// Writes a line.
    pub(super) fn line(&mut self, text: impl std::fmt::Display) -> Result<(), Failure> {
        writeln!(self.writer, "{text}").map_err(|error| Failure::output(&error))
    }

    /// Writes one JSON document, indented.
    pub(super) fn json<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        self.line(safe_json::pretty(value))
    }

    /// Writes one JSON object on a line.
    pub(super) fn jsonl<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        self.line(safe_json::compact(value))
    }

    /// Hands everything on to whoever reads. To be called at the end: what dropping would write cannot fail aloud.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(|error| Failure::output(&error))
    }
}
