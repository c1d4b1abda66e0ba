//! Lines over the pipes to the client and to the server. A thread reads or writes each pipe, and both have bounds.
//!
//! Threads, because a terminal or a pipe that other processes share must not be made non-blocking.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How long a message waits for room. A reader that takes nothing for this long is gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many lines are read ahead.
const AHEAD: usize = 16;

/// A line, or the notice that one was longer than the limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Text(String),
    TooLong,
    NotText,
}

/// Reads lines until the pipe ends.
pub(super) fn read(from: impl Read + Send + 'static, limit: usize) -> mpsc::Receiver<Line> {
    let (sender, lines) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        let mut from = BufReader::with_capacity(64 << 10, from);
        // A pipe that fails has ended, too.
        while let Ok(Some(line)) = next(&mut from, limit) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// The next line that is not empty. A line that is too long is read to its end and not kept.
fn next(from: &mut impl BufRead, limit: usize) -> io::Result<Option<Line>> {
    loop {
        let mut line = Vec::new();
        let read = from.by_ref().take(limit as u64 + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        if line.last() != Some(&b'\n') && line.len() > limit {
            skip_line(from)?;
            return Ok(Some(Line::TooLong));
        }
        match String::from_utf8(line) {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => return Ok(Some(Line::Text(text))),
            Err(_) => return Ok(Some(Line::NotText)),
        }
    }
}

fn skip_line(from: &mut impl BufRead) -> io::Result<()> {
    loop {
        let available = from.fill_buf()?;
        if available.is_empty() {
            return Ok(());
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let read = end.map_or(available.len(), |at| at + 1);
        from.consume(read);
        if end.is_some() {
            return Ok(());
        }
    }
}

/// The reader of a pipe is gone, or takes nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Closed;

/// Writes lines to a pipe, in order. The bytes that wait are bounded.
#[derive(Clone)]
pub(super) struct Outbox {
    lines: mpsc::UnboundedSender<(String, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    bytes: u32,
}

impl Outbox {
    /// At most this many bytes wait. The pipe is closed when every outbox is dropped and all is written.
    pub(super) fn new(mut to: impl Write + Send + 'static, bytes: u32) -> Self {
        let (lines, mut waiting) = mpsc::unbounded_channel::<(String, OwnedSemaphorePermit)>();
        std::thread::spawn(move || {
            while let Some((mut line, room)) = waiting.blocking_recv() {
                line.push('\n');
                if to.write_all(line.as_bytes()).and_then(|()| to.flush()).is_err() {
                    return;
                }
                drop(room);
            }
        });
        Self { lines, room: Arc::new(Semaphore::new(bytes as usize)), bytes }
    }

    /// Sends a line, and waits for room.
    pub(super) async fn send(&self, line: String) -> Result<(), Closed> {
        let room = Arc::clone(&self.room).acquire_many_owned(self.size(&line));
        let room = tokio::select! {
            room = tokio::time::timeout(PATIENCE, room) => room.map_err(|_| Closed)?.map_err(|_| Closed)?,
            () = self.lines.closed() => return Err(Closed),
        };
        self.lines.send((line, room)).map_err(|_| Closed)
    }

    /// Sends a line if there is room. For what nobody misses.
    pub(super) fn offer(&self, line: String) {
        if let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(self.size(&line)) {
            // A closed pipe is noticed by whoever must send.
            let _ = self.lines.send((line, room));
        }
    }

    /// Whether the reader is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.lines.is_closed()
    }

    /// Waits until everything is written, but not for a reader that takes nothing.
    pub(super) async fn drained(self) {
        let all = Arc::clone(&self.room).acquire_many_owned(self.bytes);
        tokio::select! {
            _ = tokio::time::timeout(Duration::from_secs(5), all) => {}
            () = self.lines.closed() => {}
        }
    }

    fn size(&self, line: &str) -> u32 {
        u32::try_from(line.len()).unwrap_or(u32::MAX).clamp(1, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_that_is_too_long_is_skipped_and_the_next_is_read() {
        let text = format!("one\n\n{}\ntwo\n{}", "x".repeat(50), "y".repeat(20));
        let mut lines = read(io::Cursor::new(text), 10);
        let mut found = Vec::new();
        while let Some(line) = lines.recv().await {
            found.push(line);
        }
        let text = |text: &str| Line::Text(text.to_owned());
        assert_eq!(found, [text("one\n"), Line::TooLong, text("two\n"), Line::TooLong]);
    }

    #[tokio::test]
    async fn what_is_not_utf_8_is_said_and_a_line_of_exactly_the_limit_is_read() {
        let mut lines = read(io::Cursor::new(b"\xff\xfe\nabcde".to_vec()), 5);
        assert_eq!(lines.recv().await, Some(Line::NotText));
        assert_eq!(lines.recv().await, Some(Line::Text("abcde".to_owned())));
        assert_eq!(lines.recv().await, None);
    }

    #[tokio::test]
    async fn a_closed_pipe_is_noticed() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let outbox = Outbox::new(writer, 100);
        let mut sent = 0;
        while outbox.send("x".repeat(100)).await.is_ok() {
            sent += 1;
            assert!(sent < 10, "the writer ends at the first error");
        }
    }

    #[tokio::test]
    async fn an_offer_finds_room_or_is_dropped() {
        let (reader, writer) = io::pipe().unwrap();
        let outbox = Outbox::new(writer, 10);
        let taken = Arc::clone(&outbox.room).try_acquire_many_owned(10).unwrap();
        outbox.offer("dropped".to_owned());
        drop(taken);
        outbox.offer("kept".to_owned());
        drop(outbox);
        assert_eq!(io::read_to_string(reader).unwrap(), "kept\n");
    }
}
