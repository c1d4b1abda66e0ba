//! The list without a terminal: paragraphs on stdout, commands on stdin.

use std::io::BufRead as _;

use tokio::sync::mpsc;

use super::board::{Board, Update};
use super::feed::Feed;
use crate::cli::connect::Remote;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::out::Out;
use crate::cli::times::Zone;
use crate::cli::vote::{self, Taken, Vote};
use crate::cli::{approval, say};
use crate::domain::{Timestamp, visible};
use crate::proto::v1::Approval;

const HELP: &str = "`a ID-or-number [reason]` approves, `d ID-or-number [reason]` denies, `r` lists again, `q` quits";

/// Lists what waits, answers what stdin says, and ends with it. Fails softly: a refused answer is said, and shows in
/// the exit code.
pub(super) async fn run(remote: &Remote, mut feed: Feed, zone: Zone) -> Result<Exit, Failure> {
    let mut session = Session::new(zone);
    while !session.board.has_begun() {
        session.hear(feed.next().await)?;
    }
    say::note(HELP);
    let mut commands = read_stdin();
    let mut client = remote.approvals();
    loop {
        // Answers first: what was read is answered in its order, whatever else happens.
        tokio::select! {
            biased;
            line = commands.recv() => match line.as_deref().map(Instruction::read) {
                None | Some(Ok(Instruction::Quit)) => break,
                Some(Ok(Instruction::Nothing)) => {}
                Some(Ok(Instruction::List)) => feed.reload(),
                Some(Ok(Instruction::Answer(vote, which, reason))) => {
                    let answered = match session.find(which) {
                        Ok(on) => {
                            let digest = on.action_digest.clone();
                            vote::send(&mut client, vote, &on, digest, reason.into()).await.map_err(Failure::from)
                        }
                        Err(failure) => Err(failure),
                    };
                    session.answered(vote, answered)?;
                }
                Some(Err(failure)) => session.refused(&failure),
            },
            news = feed.next() => session.hear(news)?,
        }
    }
    session.out.flush()?;
    Ok(if session.all_went_well { Exit::Done } else { Exit::Failed })
}

/// Stdin, line by line, read by a thread of its own: the program can end while it waits for a line.
fn read_stdin() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// A line of stdin.
#[derive(Debug, PartialEq)]
enum Instruction<'a> {
    Answer(Vote, &'a str, &'a str),
    List,
    Quit,
    Nothing,
}

impl<'a> Instruction<'a> {
    fn read(line: &'a str) -> Result<Self, Failure> {
        let (word, rest) = split(line);
        let answer = |vote| match split(rest) {
            ("", _) => Err(Failure::usage(format!("`{}`: which one?", visible(line))).hint(HELP)),
            (which, reason) => Ok(Self::Answer(vote, which, reason)),
        };
        match word {
            "" => Ok(Self::Nothing),
            "a" | "approve" => answer(Vote::Approve),
            "d" | "deny" => answer(Vote::Deny),
            "r" => Ok(Self::List),
            "q" => Ok(Self::Quit),
            _ => Err(Failure::usage(format!("`{}` is no command", visible(word))).hint(HELP)),
        }
    }
}

/// The first word and the rest.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

/// What was listed, under which number, and how it went so far.
struct Session {
    board: Board,
    /// Ids in the order of their numbers. A number means the same question for as long as the program runs.
    numbers: Vec<String>,
    out: Out,
    zone: Zone,
    all_went_well: bool,
}

impl Session {
    fn new(zone: Zone) -> Self {
        Self { board: Board::default(), numbers: Vec::new(), out: Out::stdout(), zone, all_went_well: true }
    }

    fn hear(&mut self, news: super::feed::News) -> Result<(), Failure> {
        match self.board.hear(news)? {
            Update::All => self.list(),
            Update::Added(added) => {
                self.print(&added)?;
                self.out.flush()
            }
            Update::Ended(ended) => {
                let number = self.number(&ended.approval_id);
                let how = approval::ended(&ended, &self.zone);
                self.out.line(format_args!("[{number}] {} {how}", approval::title(&ended)))?;
                self.out.flush()
            }
            Update::Changed(changed) => {
                let number = self.number(&changed.approval_id);
                let waits = approval::waits(&changed).unwrap_or("it is not known whether anybody waits for this");
                self.out.line(format_args!("[{number}] {}: {waits}", approval::title(&changed)))?;
                self.out.flush()
            }
            Update::Lagged(missed) => {
                say::warning(format_args!("the list fell {missed} changes behind; loading it again"));
                Ok(())
            }
            Update::Lost(why) => {
                say::warning(format_args!("{why}; trying again"));
                Ok(())
            }
            Update::None => Ok(()),
        }
    }

    fn list(&mut self) -> Result<(), Failure> {
        let waiting: Vec<Approval> = self.board.waiting().cloned().collect();
        if waiting.is_empty() {
            self.out.line("Nothing waits for a reviewer.")?;
        }
        for approval in &waiting {
            self.print(approval)?;
        }
        self.out.flush()
    }

    fn print(&mut self, approval: &Approval) -> Result<(), Failure> {
        let number = self.number(&approval.approval_id);
        let paragraph = approval::paragraph(approval, Timestamp::now(), &self.zone);
        self.out.line(format_args!("[{number}] {paragraph}"))
    }

    fn number(&mut self, id: &str) -> usize {
        let known = self.numbers.iter().position(|known| known == id);
        known.unwrap_or_else(|| {
            self.numbers.push(id.to_owned());
            self.numbers.len() - 1
        }) + 1
    }

    fn find(&self, which: &str) -> Result<Approval, Failure> {
        let id = match which.parse::<usize>() {
            Ok(number) => number.checked_sub(1).and_then(|index| self.numbers.get(index)).map(String::as_str),
            Err(_) => Some(which),
        };
        let waiting = id.and_then(|id| self.board.get(id)).cloned();
        waiting.ok_or_else(|| {
            Failure::new(format!("`{}` does not wait (any more)", visible(which))).hint("`r` lists what does")
        })
    }

    fn answered(&mut self, vote: Vote, answered: Result<Taken, Failure>) -> Result<(), Failure> {
        match answered {
            Ok(Taken { ended, is_recorded }) => {
                self.all_went_well &= vote::exit(vote, &ended) == Exit::Done;
                // Its end is known now: the stream need not say it again.
                self.board.forget(&ended.approval_id);
                self.out.line(vote::line(&ended, &self.zone))?;
                if !is_recorded {
                    say::warning(vote::UNRECORDED);
                }
                self.out.flush()
            }
            Err(failure) => {
                self.refused(&failure);
                Ok(())
            }
        }
    }

    fn refused(&mut self, failure: &Failure) {
        self.all_went_well = false;
        failure.report();
    }
}

#[cfg(test)]
mod tests {
    use super::super::board::tests::board;
    use super::*;

    #[test]
    fn commands_are_a_letter_a_question_and_a_reason() {
        let read = |line| Instruction::read(line).ok();
        assert_eq!(read("a 1 looks  fine "), Some(Instruction::Answer(Vote::Approve, "1", "looks  fine")));
        assert_eq!(read("  d\tapr_2"), Some(Instruction::Answer(Vote::Deny, "apr_2", "")));
        assert_eq!(read("r"), Some(Instruction::List));
        assert_eq!(read("q"), Some(Instruction::Quit));
        assert_eq!(read("  "), Some(Instruction::Nothing));
        for wrong in ["a", "approved 1", "x\u{1b}[2J"] {
            let failure = Instruction::read(wrong).unwrap_err().to_string();
            assert!(failure.contains("`a ID-or-number [reason]` approves") && !failure.contains('\u{1b}'), "{failure}");
        }
    }

    #[test]
    fn a_number_always_means_the_same_question() {
        let mut session = Session { board: board(&["apr_5", "apr_6"]), ..Session::new(Zone::utc()) };
        assert_eq!((session.number("apr_5"), session.number("apr_6"), session.number("apr_5")), (1, 2, 1));
        session.board.forget("apr_5");
        assert!(session.find("1").is_err());
        assert_eq!(session.find("2").unwrap().approval_id, "apr_6");
        assert_eq!(session.find("apr_6").unwrap().approval_id, "apr_6");
        for wrong in ["0", "3", "apr_7", "99999999999999999999"] {
            assert!(session.find(wrong).unwrap_err().to_string().contains(wrong));
        }
    }
}
