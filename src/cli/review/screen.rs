//! The live list on a terminal: takes the alternate screen, draws the picture, reads keys, and restores the terminal.

use std::io::{self, IsTerminal as _, Stdout, Write as _};
use std::time::Duration;

use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste, Event, EventStream, KeyEventKind};
use crossterm::terminal::{
    self, BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate,
    EnterAlternateScreen, LeaveAlternateScreen,
};
use crossterm::{cursor, execute, queue, style};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_stream::StreamExt as _;

use super::desk::{Desk, Wish};
use super::feed::Feed;
use super::picture;
use crate::cli::connect::{self, Remote};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::vote;
use crate::domain::Timestamp;
use crate::proto::v1::{Approval, GetApprovalRequest};

/// What came back from the daemon.
enum Reply {
    Answered(Result<vote::Taken, Failure>),
    Fetched(Result<Approval, Failure>),
}

/// Shows the list until the reviewer quits.
pub(super) async fn run(remote: &Remote, mut feed: Feed) -> Result<Exit, Failure> {
    let mut screen = Screen::take().map_err(|error| Failure::new(format!("cannot use the terminal: {error}")))?;
    let mut desk = Desk::new();
    let mut keys = EventStream::new();
    let (replies, mut answers) = mpsc::channel(16);
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| Failure::new(error.to_string()))?;
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        screen.draw(&mut desk).map_err(|error| Failure::output(&error))?;
        tokio::select! {
            event = keys.next() => match event {
                Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => match desk.key(key) {
                    Some(Wish::Quit) => return Ok(Exit::Done),
                    Some(Wish::Reload) => feed.reload(),
                    Some(wish) => drop(tokio::spawn(grant(remote.clone(), wish, replies.clone()))),
                    None => {}
                },
                Some(Ok(Event::Paste(text))) => desk.paste(&text),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Failure::new(format!("cannot read the keyboard: {error}"))),
                None => return Ok(Exit::Done),
            },
            news = feed.next() => {
                desk.hear(news)?;
                // Ten thousand questions at once are drawn once, not ten thousand times.
                while let Some(news) = feed.next_at_hand() {
                    desk.hear(news)?;
                }
            }
            Some(reply) = answers.recv() => match reply {
                Reply::Answered(answer) => desk.answered(answer),
                Reply::Fetched(approval) => desk.fetched(approval),
            },
            _ = second.tick() => {}
            _ = terminate.recv() => return Ok(Exit::Done),
        }
    }
}

/// Does what takes a call to the daemon, beside the keyboard.
async fn grant(remote: Remote, wish: Wish, replies: mpsc::Sender<Reply>) {
    let mut client = remote.approvals();
    let reply = match wish {
        Wish::Answer(vote, on, reason) => {
            let digest = on.action_digest.clone();
            Reply::Answered(vote::send(&mut client, vote, &on, digest, reason).await.map_err(Failure::from))
        }
        Wish::Fetch(approval_id) => {
            let answer = client.get_approval(connect::call(GetApprovalRequest { approval_id })).await;
            Reply::Fetched(answer.map(|answer| answer.into_inner().approval.unwrap_or_default()).map_err(Failure::from))
        }
        Wish::Quit | Wish::Reload => return,
    };
    // Whoever has left needs no reply.
    let _ = replies.send(reply).await;
}

/// The terminal while it is ours. Dropping restores it, whatever happened.
struct Screen {
    stdout: Stdout,
    colours: bool,
}

impl Screen {
    fn take() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        let colours = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
        let mut screen = Self { stdout: io::stdout(), colours };
        // A terminal that counts columns in another way cuts a line rather than moving all lines below it.
        execute!(screen.stdout, EnterAlternateScreen, EnableBracketedPaste, DisableLineWrap, cursor::Hide)?;
        Ok(screen)
    }

    fn draw(&mut self, desk: &mut Desk) -> io::Result<()> {
        let (width, height) = terminal::size()?;
        queue!(self.stdout, BeginSynchronizedUpdate)?;
        let (lines, window) = picture::draw(desk, (width.into(), height.into()), Timestamp::now());
        desk.seen(window);
        for (row, line) in (0..).zip(lines) {
            let line = if self.colours { line } else { anstream::adapter::strip_str(&line).to_string() };
            queue!(self.stdout, cursor::MoveTo(0, row), style::Print(line), Clear(ClearType::UntilNewLine))?;
        }
        queue!(self.stdout, EndSynchronizedUpdate)?;
        self.stdout.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.stdout.is_terminal() {
            // There is nobody to tell if the terminal is gone.
            let _ = execute!(self.stdout, cursor::Show, EnableLineWrap, DisableBracketedPaste, LeaveAlternateScreen);
        }
        let _ = terminal::disable_raw_mode();
    }
}
