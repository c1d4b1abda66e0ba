//! The screen at every size, read as a person would read it.

use crossterm::event::KeyCode;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use super::*;
use crate::cli::approval::tests::at;
use crate::cli::review::board::tests::{approval, pending};
use crate::cli::review::desk::tests::{desk, ended, press};
use crate::cli::review::desk::{Background, Tail};
use crate::cli::review::feed::News;
use crate::proto::v1::{Approval, AuditRow, RiskLevel, SessionAction};

fn buffer(desk: &mut Desk, (width, height): (u16, u16), has_colours: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let mut window = Window::default();
    let now = at("2026-11-20T12:05:30Z");
    terminal.draw(|frame| window = draw(desk, frame, Theme { has_colours }, now)).unwrap();
    desk.seen(window);
    terminal.backend().buffer().clone()
}

fn drawn(desk: &mut Desk, size: (u16, u16)) -> String {
    let buffer = buffer(desk, size, true);
    let line = |y| {
        let symbols: String = (0..size.0).map(|x| buffer[(x, y)].symbol()).collect();
        symbols.trim_end().to_owned()
    };
    let screen = (0..size.1).map(line).collect::<Vec<_>>().join("\n");
    assert!(!screen.contains(['\u{1b}', '\u{202e}']), "{screen:?}");
    screen
}

fn with(id: &str, change: impl FnOnce(&mut Approval)) -> News {
    let mut approval = approval(id);
    change(&mut approval);
    News::Pending(Box::new(approval))
}

#[test]
fn the_list_shows_what_is_needed_to_answer() {
    let screen = drawn(&mut desk(&["apr_1", "apr_2"]), (80, 30));
    assert!(screen.contains("aegis review   2 wait   1/2   2 high") && screen.contains("live"), "{screen}");
    assert!(screen.contains("> HIGH  bulk_update  crm     agent-7  s1       9m 30s"), "{screen}");
    assert!(screen.contains("  params    count = 150"), "{screen}");
    assert!(screen.contains("a approve   d deny"), "{screen}");
}

#[test]
fn every_size_can_be_drawn() {
    let mut desk = desk(&["apr_1", "apr_2", "apr_3"]);
    desk.follow(Tail::Row(Box::new(AuditRow { number: 7, ..AuditRow::default() })));
    let states = ["", "\n", "a", "\u{1b}", "q", "D", "\n", "\u{1b}", "\u{1b}", "/x", "\u{1b}", "?", "q", "h", "t"];
    for keys in states {
        press(&mut desk, keys);
        for width in (0..70).step_by(3).chain([1, 2, 80, 119, 120, 200]) {
            for height in (0..40).step_by(3).chain([1, 2]) {
                drawn(&mut desk, (width, height));
            }
        }
    }
}

#[test]
fn a_narrow_screen_shows_which_action_it_is_and_what_is_typed() {
    let mut desk = desk(&["apr_1"]);
    let screen = drawn(&mut desk, (24, 12));
    assert!(screen.contains("> HIGH") && screen.contains("9m 30s"), "{screen}");
    press(&mut desk, "aa long reason that ends here");
    let screen = drawn(&mut desk, (24, 14));
    assert!(screen.contains("Approve bulk_update@crm") && screen.contains("ends here"), "{screen}");
    assert!(screen.contains("\nrisk\n  HIGH"), "a label has a line of its own: {screen}");
}

#[test]
fn a_wide_screen_shows_the_question_beside_the_list() {
    let mut desk = desk(&["apr_1", "apr_2"]);
    let screen = drawn(&mut desk, (200, 50));
    let row = screen.lines().find(|line| line.starts_with("> HIGH")).unwrap();
    assert!(row.contains('│') && row.contains("risk"), "{screen}");
    press(&mut desk, "a");
    assert!(drawn(&mut desk, (200, 50)).contains("> HIGH"), "the list stays while a reason is typed");
}

#[test]
fn the_row_under_the_cursor_stays_in_sight() {
    let ids: Vec<String> = (0..100).map(|i| format!("apr_{i:03}")).collect();
    let mut desk = desk(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    press(&mut desk, &"j".repeat(70));
    assert!(drawn(&mut desk, (80, 9)).contains("> HIGH"));
    let screen = drawn(&mut desk, (80, 50));
    assert!(screen.contains("apr_070") && screen.contains("71/100"), "{screen}");
}

#[test]
fn what_does_not_fit_is_announced_and_can_be_reached() {
    let mut desk = desk(&["apr_1"]);
    press(&mut desk, "\n");
    assert!(drawn(&mut desk, (60, 12)).contains("more lines"));
    desk.key(KeyCode::End.into());
    let end = drawn(&mut desk, (60, 12));
    assert!(end.contains("Earlier actions") && !end.contains("more line"), "{end}");
    // Back by as many keys as are needed, however often End was pressed.
    desk.key(KeyCode::Up.into());
    desk.key(KeyCode::Up.into());
    assert!(drawn(&mut desk, (60, 12)).contains("more lines"));
}

#[test]
fn a_line_that_goes_on_is_marked_where_no_agent_writes() {
    let mut desk = desk(&["apr_1"]);
    press(&mut desk, "\n");
    let screen = drawn(&mut desk, (50, 40));
    let digest: Vec<&str> = screen.lines().skip_while(|line| !line.starts_with("  digest")).take(2).collect();
    assert!(digest[1].starts_with("  ↳         "), "{screen}");
}

#[test]
fn no_text_of_an_agent_stands_where_a_label_does() {
    let fake = format!("{} risk LOW rule fine approved", "x".repeat(60));
    let mut desk = desk(&[]);
    desk.hear(with("apr_1", |it| {
        let action = it.action.as_mut().unwrap();
        (action.target, action.description) = (fake.clone(), fake.clone());
        action.r#type = "y risk LOW".into();
    }))
    .unwrap();
    press(&mut desk, "\n");
    for width in 12..100 {
        let screen = drawn(&mut desk, (width, 200));
        let indent = if width < 40 { "" } else { "  " };
        let labels = |label: &str| {
            let starts = |line: &&str| line.strip_prefix(indent).is_some_and(|rest| rest.starts_with(label));
            screen.lines().filter(starts).count()
        };
        assert_eq!((labels("risk"), labels("rule")), (1, 1), "{width}: {screen}");
    }
}

#[test]
fn a_vote_is_asked_for_with_its_question_in_sight() {
    let mut desk = desk(&["apr_1"]);
    press(&mut desk, &format!("d{}the end", "x".repeat(200)));
    let screen = drawn(&mut desk, (80, 24));
    assert!(screen.contains("Deny bulk_update@crm?") && screen.contains("because (optional): "), "{screen}");
    assert!(screen.contains("the end") && screen.contains("count = 150"), "{screen}");
}

#[test]
fn what_has_ended_is_shown_as_ended_wherever_it_is_seen() {
    let mut desk = desk(&["apr_1", "apr_2"]);
    press(&mut desk, "a");
    desk.hear(ended("apr_1")).unwrap();
    let screen = drawn(&mut desk, (80, 24));
    assert!(screen.contains("ENDED: while nobody looked") && screen.contains("This has ended: Esc"), "{screen}");
    press(&mut desk, "\u{1b}");
    let screen = drawn(&mut desk, (80, 24));
    assert!(screen.contains("> HIGH  bulk_update  crm     agent-7  s1       ended"), "{screen}");
    assert!(screen.contains("aegis review   1 waits"), "{screen}");
}

#[test]
fn a_lost_connection_is_said_at_the_top() {
    let mut desk = desk(&["apr_1"]);
    desk.hear(News::Lost("the daemon ended the stream".into())).unwrap();
    let screen = drawn(&mut desk, (80, 24));
    assert!(screen.contains("connection lost, trying again …"), "{screen}");
    assert!(screen.contains("the daemon ended the stream"), "{screen}");
    for news in [News::Snapshot { missed: None }, News::Complete] {
        desk.hear(news).unwrap();
    }
    let screen = drawn(&mut desk, (80, 24));
    assert!(screen.contains("live") && screen.contains("connected again"), "{screen}");
}

#[test]
fn without_colours_the_words_and_signs_are_enough() {
    let mut desk = desk(&["apr_1"]);
    desk.hear(with("apr_2", |it| it.risk_level = RiskLevel::Critical as i32)).unwrap();
    for keys in ["", "jx", "a", "\u{1b}", "?"] {
        press(&mut desk, keys);
        let buffer = buffer(&mut desk, (80, 40), false);
        assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset), "{keys}");
    }
    press(&mut desk, "q");
    let buffer = buffer(&mut desk, (80, 40), false);
    assert!(buffer.content.iter().any(|cell| cell.modifier.contains(Modifier::REVERSED)), "the chosen row stands out");
}

#[test]
fn what_is_marked_has_a_sign_and_is_listed_before_it_is_answered() {
    let mut desk = desk(&["apr_1", "apr_2"]);
    drawn(&mut desk, (100, 60));
    press(&mut desk, "xj");
    drawn(&mut desk, (100, 60));
    press(&mut desk, "x");
    let screen = drawn(&mut desk, (100, 60));
    assert!(screen.contains("2 marked") && screen.contains("\n *HIGH") && screen.contains("\n>*HIGH"), "{screen}");
    press(&mut desk, "a");
    desk.hear(ended("apr_1")).unwrap();
    let screen = drawn(&mut desk, (100, 60));
    assert!(screen.contains("Approve the 1 marked question?") && screen.contains("ended"), "{screen}");
}

#[test]
fn the_question_brings_its_context() {
    let mut desk = desk(&["apr_1"]);
    let action = SessionAction { r#type: "read\u{1b}[2J".into(), target: "crm".into(), ..SessionAction::default() };
    let rule = vec![("match".to_owned(), r#"{"type":"bulk_*"}"#.to_owned())];
    let background = Background { session: Vec::new(), actor: Some(vec![action]), rule };
    desk.fetched("apr_1".into(), Ok(background));
    let screen = drawn(&mut desk, (100, 60));
    for text in ["This is its first action.", "read\\u{1b}[2J@crm", "  match: {\"type\":\"bulk_*\"}"] {
        assert!(screen.contains(text), "{text}\n{screen}");
    }
}

#[test]
fn the_history_and_the_record_are_pages_of_their_own() {
    let mut desk = desk(&["apr_1"]);
    desk.hear(ended("apr_1")).unwrap();
    press(&mut desk, "h");
    let screen = drawn(&mut desk, (100, 20));
    assert!(screen.contains("history   1 ended") && screen.contains("bulk_update@crm"), "{screen}");
    press(&mut desk, "t");
    desk.follow(Tail::CaughtUp);
    assert!(drawn(&mut desk, (100, 20)).contains("Nothing is on the record yet"));
    desk.follow(Tail::Row(Box::new(AuditRow { number: 7, matched_rule: "bulk_ops".into(), ..AuditRow::default() })));
    let screen = drawn(&mut desk, (100, 20));
    assert!(screen.contains("Rule") && screen.contains("bulk_ops") && screen.contains("live"), "{screen}");
    desk.follow(Tail::Refused("not allowed".into()));
    assert!(drawn(&mut desk, (100, 20)).contains("The record cannot be read here: not allowed"));
}

#[test]
fn a_filter_shows_what_it_is_and_how_much_it_leaves() {
    let mut desk = desk(&["apr_1", "apr_2"]);
    desk.hear(pending("apr_3")).unwrap();
    press(&mut desk, "/apr_3");
    let screen = drawn(&mut desk, (80, 24));
    assert!(screen.contains("\n/apr_3") && screen.contains("1 of 3 match"), "{screen}");
    press(&mut desk, "x\n");
    assert!(drawn(&mut desk, (80, 24)).contains("Nothing that waits matches the filter"));
}
