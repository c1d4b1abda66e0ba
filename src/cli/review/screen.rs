//! The screen on a terminal: takes the alternate screen, draws the desk, reads keys and the mouse, stops and comes back
//! on Ctrl+Z, and restores the terminal whatever happens.

use std::io::{self, IsTerminal as _, Stdout};
use std::time::Duration;

use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture, Event, EventStream,
    KeyEventKind,
};
use crossterm::terminal::{
    self, BeginSynchronizedUpdate, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen,
};
use crossterm::{cursor, execute};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_stream::StreamExt as _;

use super::calls::{self, Reply};
use super::desk::{Desk, Tail, Wish};
use super::draw::{self, Theme};
use super::feed::Feed;
use super::tail;
use crate::cli::connect::Remote;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::times::Zone;
use crate::domain::Timestamp;

/// What a wish leads to.
enum Next {
    GoOn,
    Quit,
}

/// What the wishes of the desk need.
struct Hands {
    remote: Remote,
    replies: mpsc::Sender<Reply>,
    tail: mpsc::Sender<Tail>,
}

/// Shows the queue until the reviewer quits.
pub(super) async fn run(remote: &Remote, mut feed: Feed, zone: Zone) -> Result<Exit, Failure> {
    let no_terminal = |error: io::Error| Failure::new(format!("cannot use the terminal: {error}"));
    let mut screen = Screen::take().map_err(no_terminal)?;
    let mut desk = Desk::new(zone);
    let mut keys = EventStream::new();
    let (replies, mut answers) = mpsc::channel(16);
    let (tail, mut tails) = mpsc::channel(256);
    let hands = Hands { remote: remote.clone(), replies, tail };
    let cannot_wait = |error: io::Error| Failure::new(error.to_string());
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot_wait)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(cannot_wait)?;
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        screen.draw(&mut desk).map_err(|error| Failure::output(&error))?;
        let wish = tokio::select! {
            event = keys.next() => match event {
                Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => desk.key(key),
                Some(Ok(Event::Mouse(mouse))) => { desk.mouse(mouse); None }
                Some(Ok(Event::Paste(text))) => { desk.paste(&text); None }
                Some(Ok(_)) => None,
                Some(Err(error)) => return Err(Failure::new(format!("cannot read the keyboard: {error}"))),
                None => return Ok(Exit::Done),
            },
            news = feed.next() => {
                desk.hear(news)?;
                // Ten thousand questions at once are drawn once, not ten thousand times.
                while let Some(news) = feed.next_at_hand() {
                    desk.hear(news)?;
                }
                None
            }
            Some(reply) = answers.recv() => {
                match reply {
                    Reply::Answered(answer) => desk.answered(*answer),
                    Reply::Fetched(id, background) => desk.fetched(id, background),
                    Reply::FetchedAnswered(approvals) => desk.fetched_answered(approvals),
                }
                None
            }
            Some(said) = tails.recv() => {
                desk.follow(said);
                while let Ok(said) = tails.try_recv() {
                    desk.follow(said);
                }
                None
            }
            _ = second.tick() => None,
            _ = terminate.recv() => Some(Wish::Quit),
            _ = hang_up.recv() => Some(Wish::Quit),
        };
        for wish in wish.into_iter().chain(desk.wants()) {
            if let Next::Quit = grant(&hands, &mut feed, &mut screen, wish).map_err(no_terminal)? {
                return Ok(Exit::Done);
            }
        }
    }
}

/// Does what the desk cannot do itself. Calls to the daemon go on beside the keyboard.
fn grant(hands: &Hands, feed: &mut Feed, screen: &mut Screen, wish: Wish) -> io::Result<Next> {
    let (remote, replies) = (hands.remote.clone(), hands.replies.clone());
    match wish {
        Wish::Quit => return Ok(Next::Quit),
        Wish::Suspend => screen.suspend()?,
        Wish::CaptureMouse(captures) => screen.capture_mouse(captures)?,
        Wish::Reload => feed.reload(),
        Wish::FollowRecord => drop(tokio::spawn(tail::follow(remote, hands.tail.clone()))),
        Wish::Answer(vote, on, reason) => drop(tokio::spawn(calls::answer(remote, vote, on, reason, replies))),
        Wish::Fetch(on) => drop(tokio::spawn(async move {
            let background = calls::background(&remote, &on).await;
            // Whoever has left needs no reply.
            let _ = replies.send(Reply::Fetched(on.approval_id, background)).await;
        })),
        Wish::FetchAnswered => drop(tokio::spawn(async move {
            let _ = replies.send(Reply::FetchedAnswered(calls::answered(&remote).await)).await;
        })),
    }
    Ok(Next::GoOn)
}

/// The terminal while it is ours. Dropping restores it, whatever happened.
struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    theme: Theme,
    has_mouse: bool,
}

impl Screen {
    fn take() -> io::Result<Self> {
        let has_colours = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        let mut screen = Self { terminal, theme: Theme { has_colours }, has_mouse: true };
        screen.enter()?;
        Ok(screen)
    }

    fn enter(&mut self) -> io::Result<()> {
        terminal::enable_raw_mode()?;
        // A terminal that counts columns in another way cuts a line rather than moving all lines below it.
        execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste, DisableLineWrap, cursor::Hide)?;
        self.capture_mouse(self.has_mouse)?;
        // A new one draws all of the screen. Clearing the old one would ask the terminal where its cursor is, and not
        // every terminal answers.
        self.terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        execute!(io::stdout(), terminal::Clear(terminal::ClearType::All))
    }

    fn leave() {
        if io::stdout().is_terminal() {
            // There is nobody to tell if the terminal is gone.
            let _ = execute!(
                io::stdout(),
                DisableMouseCapture,
                cursor::Show,
                EnableLineWrap,
                DisableBracketedPaste,
                LeaveAlternateScreen
            );
        }
        let _ = terminal::disable_raw_mode();
    }

    fn capture_mouse(&mut self, captures: bool) -> io::Result<()> {
        self.has_mouse = captures;
        if captures { execute!(io::stdout(), EnableMouseCapture) } else { execute!(io::stdout(), DisableMouseCapture) }
    }

    /// Gives the terminal back and stops, with the whole job, until the shell continues it. Where no shell could
    /// continue it, the system does not stop it.
    fn suspend(&mut self) -> io::Result<()> {
        Self::leave();
        let stopped = rustix::process::kill_current_process_group(rustix::process::Signal::TSTP);
        self.enter()?;
        Ok(stopped?)
    }

    fn draw(&mut self, desk: &mut Desk) -> io::Result<()> {
        let theme = self.theme;
        execute!(io::stdout(), BeginSynchronizedUpdate)?;
        let mut window = super::desk::Window::default();
        self.terminal.draw(|frame| window = draw::draw(desk, frame, theme, Timestamp::now()))?;
        desk.seen(window);
        execute!(io::stdout(), EndSynchronizedUpdate)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        Self::leave();
    }
}
