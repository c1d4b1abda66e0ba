//! What each key does, and what it must never do.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::*;
use crate::cli::review::board::tests::{approval, pending};
use crate::proto::v1::{AuditRow, ProposalContext, RiskLevel};

/// A desk on which these wait, as the screen begins with them.
pub(in crate::cli::review) fn desk(ids: &[&str]) -> Desk {
    let mut desk = Desk::new(Zone::utc());
    let snapshot = std::iter::once(News::Snapshot { missed: None }).chain(ids.iter().map(|id| pending(id)));
    for news in snapshot.chain([News::Complete]) {
        desk.hear(news).unwrap();
    }
    desk.seen(Window { rows: 5, lines: 10, last_scroll: 20, ..Window::default() });
    desk
}

pub(in crate::cli::review) fn press(desk: &mut Desk, keys: &str) -> Option<Wish> {
    let mut wish = None;
    for c in keys.chars() {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            '\u{8}' => KeyCode::Backspace,
            '\t' => KeyCode::Tab,
            c => KeyCode::Char(c),
        };
        wish = desk.key(code.into());
    }
    wish
}

pub(in crate::cli::review) fn ended(id: &str) -> News {
    News::Ended(Box::new(approval(id)))
}

fn on(desk: &Desk) -> &str {
    desk.cursor.as_ref().map_or("", |cursor| &cursor.on.approval_id)
}

fn rows(desk: &Desk) -> Vec<&str> {
    desk.rows().into_iter().map(|approval| approval.approval_id.as_str()).collect()
}

fn place(desk: &Desk) -> Option<usize> {
    desk.position(&desk.rows())
}

fn is_list(desk: &Desk) -> bool {
    desk.page == Page::Queue && desk.prompt.is_none() && !desk.is_helping
}

fn reason(desk: &Desk) -> &str {
    desk.prompt.as_ref().map_or("no prompt", |prompt| &prompt.reason)
}

/// The ids that a wish answers, and how.
fn answers(wish: Option<Wish>) -> (Vote, Vec<String>, String) {
    let Some(Wish::Answer(vote, on, reason)) = wish else { panic!("{wish:?}") };
    (vote, on.into_iter().map(|one| one.approval_id).collect(), reason)
}

/// As if all of the question under the cursor had been on the screen.
fn read(desk: &mut Desk) {
    let approval_id = on(desk).to_owned();
    let shown = Some(Shown { approval_id, width: 80, essential: 10, lines: 0..12 });
    desk.seen(Window { rows: 5, lines: 10, last_scroll: 20, shown, ..Window::default() });
}

fn of_session(id: &str, session: &str) -> News {
    let context = Some(ProposalContext { session_id: session.into(), metadata: None });
    News::Pending(Box::new(Approval { context, ..approval(id) }))
}

#[test]
fn keys_move_the_cursor_and_stop_at_the_ends() {
    let ids: Vec<String> = (1..=9).map(|i| format!("apr_{i}")).collect();
    let mut desk = desk(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    for (key, expected) in [
        (KeyCode::Char('j'), "apr_2"),
        (KeyCode::Down, "apr_3"),
        (KeyCode::Char('k'), "apr_2"),
        (KeyCode::Up, "apr_1"),
        (KeyCode::Up, "apr_1"),
        (KeyCode::PageDown, "apr_6"),
        (KeyCode::PageDown, "apr_9"),
        (KeyCode::PageUp, "apr_4"),
        (KeyCode::End, "apr_9"),
        (KeyCode::Home, "apr_1"),
        (KeyCode::Char('G'), "apr_9"),
    ] {
        desk.key(key.into());
        assert_eq!(on(&desk), expected, "{key:?}");
    }
}

#[test]
fn the_cursor_stays_on_its_question_when_the_list_moves() {
    let mut desk = desk(&["apr_1", "apr_2", "apr_3"]);
    press(&mut desk, "j");
    desk.hear(ended("apr_1")).unwrap();
    desk.hear(pending("apr_0")).unwrap();
    assert_eq!((on(&desk), place(&desk)), ("apr_2", Some(1)));
    // One that is more urgent comes first, and takes nothing away from the question under the cursor.
    let urgent = Approval { risk_level: RiskLevel::Critical as i32, ..approval("apr_9") };
    desk.hear(News::Pending(Box::new(urgent))).unwrap();
    assert_eq!((on(&desk), place(&desk), rows(&desk)[0]), ("apr_2", Some(2), "apr_9"));
    let (_, answered, _) = answers(press(&mut desk, "a\n"));
    assert_eq!(answered, ["apr_2"]);
}

#[test]
fn a_question_that_ends_under_the_cursor_stays_there_as_ended() {
    let mut desk = desk(&["apr_1", "apr_2", "apr_3"]);
    press(&mut desk, "j");
    desk.hear(ended("apr_2")).unwrap();
    assert_eq!((on(&desk), rows(&desk)), ("apr_2", vec!["apr_1", "apr_2", "apr_3"]));
    for key in ["a", "d", "D", "x"] {
        let wish = press(&mut desk, key);
        assert!(wish.is_none() && is_list(&desk), "no vote on what has ended, nor on a neighbour");
        assert!(desk.notice.text.contains("has ended"), "{}", desk.notice.text);
    }
    assert_eq!(desk.marked(), 0);
    press(&mut desk, "j");
    assert_eq!((on(&desk), rows(&desk)), ("apr_3", vec!["apr_1", "apr_3"]), "it goes when the cursor does");
    press(&mut desk, "k");
    assert_eq!(on(&desk), "apr_1");
}

#[test]
fn a_question_that_ends_while_a_reason_is_typed_keeps_its_prompt_and_takes_every_key() {
    let mut desk = desk(&["apr_1", "apr_2"]);
    press(&mut desk, "al");
    desk.hear(ended("apr_1")).unwrap();
    // Each letter would be a command of the list.
    assert_eq!(press(&mut desk, "aqdjkGDx/ r\nfine\n"), None);
    assert_eq!((reason(&desk), on(&desk)), ("laqdjkGDx/ rfine", "apr_1"));
    assert!(desk.notice.text.contains("nothing was sent"), "{}", desk.notice.text);
    assert_eq!(press(&mut desk, "\u{1b}"), None);
    assert!(is_list(&desk) && on(&desk) == "apr_1");
}

#[test]
fn a_question_that_ends_while_it_is_open_stays_open() {
    let mut desk = desk(&["apr_1", "apr_2"]);
    press(&mut desk, "\n");
    desk.hear(ended("apr_1")).unwrap();
    assert_eq!(press(&mut desk, "a\n"), None, "Enter closes it, and votes on nothing");
    assert!(is_list(&desk) && on(&desk) == "apr_1");
}

#[test]
fn what_a_new_snapshot_does_not_hold_has_ended() {
    let mut desk = desk(&["apr_1", "apr_2"]);
    press(&mut desk, "a");
    for news in [News::Lost("gone".into()), News::Snapshot { missed: None }, pending("apr_2"), News::Complete] {
        desk.hear(news).unwrap();
    }
    assert_eq!(press(&mut desk, "x\n"), None);
    assert_eq!((on(&desk), rows(&desk)), ("apr_1", vec!["apr_1", "apr_2"]));
}

#[test]
fn a_question_that_the_program_put_the_cursor_on_takes_no_vote_before_it_is_chosen() {
    let mut desk = desk(&[]);
    desk.hear(pending("apr_1")).unwrap();
    for key in ["a", "d", "D", "x"] {
        assert_eq!(press(&mut desk, key), None);
        assert!(is_list(&desk));
    }
    desk.hear(pending("apr_0")).unwrap();
    assert_eq!((press(&mut desk, "j"), on(&desk)), (None, "apr_1"), "the first key only chooses");
    press(&mut desk, "d");
    assert!(desk.prompt.is_some());
}

#[test]
fn keys_typed_before_there_is_a_list_mean_nothing() {
    let mut desk = Desk::new(Zone::utc());
    assert_eq!(press(&mut desk, "a\nxD"), None);
    for news in [News::Snapshot { missed: None }, pending("apr_1"), News::Complete] {
        desk.hear(news).unwrap();
    }
    assert!(is_list(&desk));
}

#[test]
fn a_vote_is_on_what_was_shown_when_it_was_begun() {
    let mut desk = desk(&["apr_1", "apr_2"]);
    press(&mut desk, "a");
    desk.hear(pending("apr_0")).unwrap();
    let wish = press(&mut desk, "fiine\u{8}\u{8}\u{8}ne\n");
    let Some(Wish::Answer(Vote::Approve, on, reason)) = wish else { panic!("{wish:?}") };
    assert_eq!((on, reason.as_str()), (vec![approval("apr_1")], "fine"), "its digest as well");
    assert!(is_list(&desk));
}

#[test]
fn after_a_vote_the_cursor_stays_until_a_key_moves_it() {
    let mut desk = desk(&["apr_1", "apr_2"]);
    press(&mut desk, "a\n");
    desk.answered(Ok(Taken { ended: approval("apr_1"), is_recorded: true }));
    assert_eq!((press(&mut desk, "a\n"), on(&desk)), (None, "apr_1"));
    assert!(desk.page == Page::Open, "Enter opened it");
}

#[test]
fn esc_takes_a_vote_back() {
    let mut desk = desk(&["apr_1"]);
    assert_eq!(press(&mut desk, "aq\u{1b}"), None);
    assert!(is_list(&desk));
    press(&mut desk, "\na\u{1b}");
    assert!(desk.page == Page::Open && desk.prompt.is_none(), "back to the details that it was begun in");
    assert_eq!(press(&mut desk, "qq"), Some(Wish::Quit));
}

#[test]
fn a_paste_sends_nothing() {
    let mut desk = desk(&["apr_1"]);
    desk.paste("a\n");
    assert!(is_list(&desk));
    press(&mut desk, "d");
    desk.paste("no\nway");
    assert_eq!(answers(press(&mut desk, "\n")), (Vote::Deny, vec!["apr_1".into()], "no way".into()));
}

#[test]
fn keys_with_control_or_alt_are_no_commands() {
    let mut desk = desk(&["apr_1"]);
    for modifiers in [KeyModifiers::CONTROL, KeyModifiers::ALT] {
        for c in ['a', 'd', 'q', 'r', 'x'] {
            assert_eq!(desk.key(KeyEvent::new(KeyCode::Char(c), modifiers)), None);
            assert!(is_list(&desk));
        }
    }
    let control = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
    assert_eq!(desk.key(control('z')), Some(Wish::Suspend));
    assert_eq!(desk.key(control('c')), Some(Wish::Quit));
    press(&mut desk, "awrong");
    desk.key(control('u'));
    assert_eq!(reason(&desk), "");
}

#[test]
fn an_empty_desk_answers_nothing() {
    let mut desk = desk(&[]);
    assert_eq!(press(&mut desk, "aDxj\n"), None);
    assert_eq!(press(&mut desk, "r"), Some(Wish::Reload));
    assert_eq!(press(&mut desk, "q"), Some(Wish::Quit));
}

#[test]
fn in_the_details_every_key_of_the_list_only_scrolls() {
    let mut desk = desk(&["apr_1", "apr_2"]);
    press(&mut desk, "\n");
    for (key, expected) in [
        (KeyCode::End, 20),
        (KeyCode::Down, 20),
        (KeyCode::PageUp, 10),
        (KeyCode::Char('G'), 20),
        (KeyCode::Home, 0),
        (KeyCode::PageDown, 10),
        (KeyCode::Char('k'), 9),
    ] {
        assert_eq!(desk.key(key.into()), None);
        assert!(desk.page == Page::Open, "{key:?}");
        assert_eq!((desk.scroll, on(&desk)), (expected, "apr_1"), "{key:?}");
    }
}

#[test]
fn what_is_around_the_question_under_the_cursor_is_fetched_one_at_a_time() {
    let mut desk = desk(&["apr_1", "apr_2"]);
    assert_eq!(desk.wants(), Some(Wish::Fetch(Box::new(approval("apr_1")))));
    press(&mut desk, "j");
    assert_eq!(desk.wants(), None, "one is on its way");
    let background = Background { session: vec![SessionAction::default()], ..Background::default() };
    desk.fetched("apr_1".into(), Ok(background.clone()));
    assert_eq!(desk.background(), None, "it is about another question");
    assert_eq!(desk.wants(), Some(Wish::Fetch(Box::new(approval("apr_2")))));
    desk.fetched("apr_2".into(), Ok(background.clone()));
    assert_eq!(desk.background(), Some(&background));
    assert_eq!(desk.wants(), None);
    press(&mut desk, "k");
    assert!(desk.wants().is_some());
    desk.fetched("apr_1".into(), Err(Failure::new("no")));
    assert_eq!(desk.wants(), None, "what cannot be had is not asked for again and again");
}

#[test]
fn several_are_answered_together_only_where_each_was_shown_in_full() {
    let mut desk = desk(&["apr_1", "apr_2", "apr_3"]);
    press(&mut desk, "x");
    assert_eq!(desk.marked(), 0);
    assert!(desk.notice.text.contains("all of it was on the screen"), "{}", desk.notice.text);
    for _ in 0..2 {
        read(&mut desk);
        press(&mut desk, "xj");
    }
    assert_eq!(desk.marked(), 2);
    assert_eq!(press(&mut desk, "afine\n"), None, "Enter does not send yet");
    assert_eq!(press(&mut desk, "xqa\n"), None, "nor any other key");
    let (vote, ids, reason) = answers(press(&mut desk, "y"));
    assert_eq!((vote, ids, reason.as_str()), (Vote::Approve, vec!["apr_1".into(), "apr_2".into()], "fine"));
    assert_eq!(desk.marked(), 0);
}

#[test]
fn what_ends_meanwhile_is_not_answered_with_the_others() {
    let mut desk = desk(&["apr_1", "apr_2"]);
    for _ in 0..2 {
        read(&mut desk);
        press(&mut desk, "xj");
    }
    press(&mut desk, "d\n");
    desk.hear(ended("apr_2")).unwrap();
    assert_eq!(answers(press(&mut desk, "y")).1, ["apr_1"]);
    // Of those that are marked while one ends, one is left.
    let mut desk = self::desk(&["apr_1", "apr_2"]);
    for _ in 0..2 {
        read(&mut desk);
        press(&mut desk, "xj");
    }
    for id in ["apr_1", "apr_2"] {
        desk.hear(ended(id)).unwrap();
    }
    assert_eq!(desk.marked(), 0);
}

#[test]
fn a_vote_in_the_details_is_on_what_is_open_whatever_is_marked() {
    let mut desk = desk(&["apr_1", "apr_2"]);
    read(&mut desk);
    press(&mut desk, "xj\n");
    assert_eq!(answers(press(&mut desk, "a\n")).1, ["apr_2"]);
    assert_eq!(desk.marked(), 1, "the other one is marked still");
}

#[test]
fn a_session_is_denied_as_it_was_when_it_was_asked_for() {
    let mut desk = desk(&[]);
    for (id, session) in [("apr_1", "s1"), ("apr_2", "s2"), ("apr_3", "s1"), ("apr_4", "s1"), ("apr_5", "")] {
        desk.hear(of_session(id, session)).unwrap();
    }
    press(&mut desk, "g");
    press(&mut desk, "Dout of hand\n");
    desk.hear(of_session("apr_6", "s1")).unwrap();
    desk.hear(ended("apr_3")).unwrap();
    assert_eq!(press(&mut desk, "n\n"), None, "n goes back to the reason, Enter on again");
    let (vote, ids, reason) = answers(press(&mut desk, "y"));
    assert_eq!((vote, ids, reason.as_str()), (Vote::Deny, vec!["apr_1".into(), "apr_4".into()], "out of hand"));
    press(&mut desk, "G");
    assert_eq!(on(&desk), "apr_6");
    press(&mut desk, "k");
    assert_eq!(press(&mut desk, "D"), None);
    assert!(desk.prompt.is_none() && desk.notice.text.contains("no session"), "{}", desk.notice.text);
}

#[test]
fn it_is_said_how_many_answers_were_refused_and_why() {
    let mut desk = desk(&["apr_1", "apr_2"]);
    for _ in 0..2 {
        read(&mut desk);
        press(&mut desk, "xj");
    }
    press(&mut desk, "d\ny");
    desk.answered(Err(Failure::new("already decided")));
    desk.answered(Ok(Taken { ended: approval("apr_2"), is_recorded: true }));
    assert_eq!(desk.notice.text, "1 of 2 answers were refused. The last: already decided");
    assert!(desk.notice.is_warning);
}

#[test]
fn a_filter_leaves_what_matches_and_what_it_leaves_is_not_chosen() {
    let mut desk = desk(&["apr_1", "apr_2", "apr_3"]);
    press(&mut desk, "/apr_2");
    assert_eq!((rows(&desk), on(&desk)), (vec!["apr_2"], "apr_2"));
    press(&mut desk, "\n");
    assert_eq!(press(&mut desk, "a"), None);
    assert!(desk.prompt.is_none(), "the program moved the cursor: {}", desk.notice.text);
    press(&mut desk, "j");
    assert_eq!(answers(press(&mut desk, "a\n")).1, ["apr_2"]);
    assert_eq!(press(&mut desk, "\u{1b}"), None, "Esc clears the filter before it ends the program");
    assert_eq!(rows(&desk).len(), 3);
    assert_eq!(on(&desk), "apr_2");
    // Letters of the filter are no commands, and it can leave nothing.
    assert_eq!(press(&mut desk, "/adq\u{8}x"), None);
    assert_eq!((rows(&desk).len(), on(&desk)), (0, ""));
    desk.hear(pending("apr_4")).unwrap();
    assert_eq!(on(&desk), "", "what the filter hides gets no cursor");
    press(&mut desk, "\u{1b}");
    assert_eq!(rows(&desk).len(), 4);
    assert_eq!(press(&mut desk, "a"), None);
    assert!(desk.prompt.is_none());
}

#[test]
fn a_click_chooses_what_stood_there_and_answers_nothing() {
    let mut desk = desk(&["apr_1", "apr_2", "apr_3"]);
    let hits = vec![(3, "apr_1".to_owned()), (4, "apr_2".into()), (5, "apr_3".into())];
    desk.seen(Window { hits, list_columns: 0..80, rows: 5, lines: 10, last_scroll: 20, ..Window::default() });
    let mouse = |kind, row| MouseEvent { kind, column: 10, row, modifiers: KeyModifiers::NONE };
    let click = |row| mouse(MouseEventKind::Down(MouseButton::Left), row);
    // The list moves before the click arrives.
    desk.hear(pending("apr_0")).unwrap();
    desk.mouse(click(5));
    assert_eq!(on(&desk), "apr_3");
    desk.mouse(click(9));
    assert_eq!(on(&desk), "apr_3", "nothing stands there");
    desk.hear(ended("apr_2")).unwrap();
    desk.mouse(click(4));
    assert_eq!(on(&desk), "apr_3", "what has ended is not chosen, nor is its neighbour");
    desk.mouse(mouse(MouseEventKind::ScrollUp, 5));
    assert_eq!(on(&desk), "apr_1");
    desk.mouse(click(3));
    assert!(desk.page == Page::Open && desk.prompt.is_none(), "a click on the chosen row opens it");
    desk.mouse(mouse(MouseEventKind::ScrollDown, 5));
    assert_eq!(desk.scroll, 3);
    press(&mut desk, "a");
    desk.mouse(click(4));
    assert_eq!(on(&desk), "apr_1");
}

#[test]
fn in_the_help_and_on_other_pages_no_key_answers() {
    let mut desk = desk(&["apr_1"]);
    for page in ["?", "h", "t"] {
        press(&mut desk, page);
        for key in ["a", "d", "D", "x", "\n"] {
            assert!(!matches!(press(&mut desk, key), Some(Wish::Answer(..))), "{page} {key}");
            assert!(desk.prompt.is_none());
        }
        if !is_list(&desk) {
            press(&mut desk, "q");
        }
        assert!(is_list(&desk), "{page}");
    }
}

#[test]
fn the_pages_are_fetched_when_somebody_looks() {
    let mut desk = desk(&[]);
    assert_eq!(press(&mut desk, "h"), Some(Wish::FetchAnswered));
    assert_eq!(press(&mut desk, "t"), Some(Wish::FollowRecord));
    assert_eq!(press(&mut desk, "\t"), None);
    assert_eq!((press(&mut desk, "\t"), desk.page), (None, Page::Answered), "both are there");
    assert_eq!(press(&mut desk, "r"), Some(Wish::FetchAnswered));
    desk.follow(Tail::Refused("no".into()));
    assert_eq!(press(&mut desk, "t"), Some(Wish::FollowRecord), "it is tried again");
    assert_eq!(press(&mut desk, "m"), Some(Wish::CaptureMouse(false)));
}

#[test]
fn the_history_has_each_that_ended_once_the_last_first() {
    let mut desk = desk(&["apr_1", "apr_2"]);
    let at = |id: &str, seconds| {
        let ended_at = Some(prost_types::Timestamp { seconds, nanos: 0 });
        let ending = Some(crate::proto::v1::Ending { ended_at, ..Default::default() });
        Approval { ending, ..approval(id) }
    };
    desk.hear(News::Ended(Box::new(at("apr_1", 20)))).unwrap();
    desk.fetched_answered(Ok(vec![at("apr_1", 20), at("apr_7", 30), at("apr_8", 10)]));
    desk.hear(News::Ended(Box::new(at("apr_2", 40)))).unwrap();
    let ids: Vec<&str> = desk.answered.iter().map(|one| one.approval_id.as_str()).collect();
    assert_eq!(ids, ["apr_2", "apr_7", "apr_1", "apr_8"]);
}

#[test]
fn the_record_keeps_the_newest_rows_and_the_place_of_whoever_scrolled() {
    let mut desk = desk(&[]);
    press(&mut desk, "t");
    for number in 1..=600 {
        desk.follow(Tail::Row(Box::new(AuditRow { number, ..AuditRow::default() })));
    }
    let numbers: Vec<u64> = desk.record.rows().map(|row| row.number).collect();
    assert_eq!((numbers.len(), numbers[0], numbers[499]), (500, 600, 101));
    assert_eq!(desk.scroll, 0, "whoever has not scrolled sees the newest");
    desk.seen(Window { last_scroll: 480, lines: 20, ..Window::default() });
    press(&mut desk, "jj");
    desk.follow(Tail::Row(Box::new(AuditRow { number: 601, ..AuditRow::default() })));
    assert_eq!(desk.scroll, 3);
    // The same row again is no new one.
    desk.follow(Tail::Row(Box::new(AuditRow { number: 601, ..AuditRow::default() })));
    assert_eq!(desk.scroll, 3);
}
