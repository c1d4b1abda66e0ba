//! What each key does, and what it must never do.

use super::*;
use crate::cli::review::board::tests::{approval, pending};

/// A desk on which these wait, as the screen begins with them.
pub(in crate::cli::review) fn desk(ids: &[&str]) -> Desk {
    let mut desk = Desk::new();
    let snapshot = std::iter::once(News::Snapshot { missed: None }).chain(ids.iter().map(|id| pending(id)));
    for news in snapshot.chain([News::Complete]) {
        desk.hear(news).unwrap();
    }
    desk.seen(Window { rows: 5, lines: 10, last_scroll: 20 });
    desk
}

fn press(desk: &mut Desk, keys: &str) -> Option<Wish> {
    let mut wish = None;
    for c in keys.chars() {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            '\u{8}' => KeyCode::Backspace,
            c => KeyCode::Char(c),
        };
        wish = desk.key(code.into());
    }
    wish
}

fn ended(id: &str) -> News {
    News::Ended(Box::new(approval(id)))
}

fn on(desk: &Desk) -> &str {
    desk.cursor.as_ref().map_or("", |cursor| &cursor.on.approval_id)
}

fn rows(desk: &Desk) -> Vec<&str> {
    desk.rows().map(|approval| approval.approval_id.as_str()).collect()
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
    assert_eq!((on(&desk), desk.position()), ("apr_2", Some(1)));
}

#[test]
fn a_question_that_ends_under_the_cursor_stays_there_as_ended() {
    let mut desk = desk(&["apr_1", "apr_2", "apr_3"]);
    press(&mut desk, "j");
    desk.hear(ended("apr_2")).unwrap();
    assert_eq!((on(&desk), rows(&desk)), ("apr_2", vec!["apr_1", "apr_2", "apr_3"]));
    for key in ["a", "d"] {
        let wish = press(&mut desk, key);
        assert_eq!((wish, &desk.view), (None, &View::List), "no vote on what has ended, nor on a neighbour");
        assert!(desk.notice.contains("has ended"), "{}", desk.notice);
    }
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
    assert_eq!(press(&mut desk, "aqdjkG r\nfine\n"), None);
    let View::Open(Open { prompt: Some(prompt), .. }) = &desk.view else { panic!("{:?}", desk.view) };
    assert_eq!((prompt.reason.as_str(), on(&desk)), ("laqdjkG rfine", "apr_1"));
    assert!(desk.notice.contains("nothing was sent"), "{}", desk.notice);
    assert_eq!(press(&mut desk, "\u{1b}"), None);
    assert_eq!((&desk.view, on(&desk)), (&View::List, "apr_1"));
}

#[test]
fn a_question_that_ends_while_it_is_open_stays_open() {
    let mut desk = desk(&["apr_1", "apr_2"]);
    press(&mut desk, "\n");
    desk.hear(ended("apr_1")).unwrap();
    assert_eq!(press(&mut desk, "a\n"), None, "Enter closes it, and votes on nothing");
    assert_eq!((&desk.view, on(&desk)), (&View::List, "apr_1"));
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
    assert_eq!(press(&mut desk, "a"), None);
    assert_eq!(desk.view, View::List);
    desk.hear(pending("apr_0")).unwrap();
    assert_eq!((press(&mut desk, "j"), on(&desk)), (None, "apr_1"), "the first key only chooses");
    press(&mut desk, "d");
    assert!(matches!(desk.view, View::Open(_)));
}

#[test]
fn keys_typed_before_there_is_a_list_mean_nothing() {
    let mut desk = Desk::new();
    assert_eq!(press(&mut desk, "a\n"), None);
    for news in [News::Snapshot { missed: None }, pending("apr_1"), News::Complete] {
        desk.hear(news).unwrap();
    }
    assert_eq!(desk.view, View::List);
}

#[test]
fn a_vote_is_on_what_was_shown_when_it_was_begun() {
    let mut desk = desk(&["apr_1", "apr_2"]);
    press(&mut desk, "a");
    desk.hear(pending("apr_0")).unwrap();
    let wish = press(&mut desk, "fiine\u{8}\u{8}\u{8}ne\n");
    let Some(Wish::Answer(Vote::Approve, on, reason)) = wish else { panic!("{wish:?}") };
    assert_eq!((on.approval_id.as_str(), reason.as_str()), ("apr_1", "fine"));
    assert_eq!(desk.view, View::List);
}

#[test]
fn after_a_vote_the_cursor_stays_until_a_key_moves_it() {
    let mut desk = desk(&["apr_1", "apr_2"]);
    press(&mut desk, "a\n");
    desk.answered(Ok(Taken { ended: approval("apr_1"), is_recorded: true }));
    assert_eq!((press(&mut desk, "a\n"), on(&desk)), (Some(Wish::Fetch("apr_1".into())), "apr_1"));
}

#[test]
fn esc_takes_a_vote_back() {
    let mut desk = desk(&["apr_1"]);
    assert_eq!(press(&mut desk, "aq\u{1b}"), None);
    assert_eq!(desk.view, View::List);
    press(&mut desk, "\na\u{1b}");
    assert!(matches!(desk.view, View::Open(Open { prompt: None, .. })), "back to the details that it was begun in");
    assert_eq!(press(&mut desk, "qq"), Some(Wish::Quit));
}

#[test]
fn a_paste_sends_nothing() {
    let mut desk = desk(&["apr_1"]);
    press(&mut desk, "d");
    desk.paste("no\nway");
    let wish = press(&mut desk, "\n");
    let Some(Wish::Answer(Vote::Deny, _, reason)) = wish else { panic!("{wish:?}") };
    assert_eq!(reason, "no way");
}

#[test]
fn keys_with_control_or_alt_are_no_commands() {
    let mut desk = desk(&["apr_1"]);
    for modifiers in [KeyModifiers::CONTROL, KeyModifiers::ALT] {
        for c in ['a', 'd', 'q', 'r'] {
            assert_eq!(desk.key(KeyEvent::new(KeyCode::Char(c), modifiers)), None);
            assert_eq!(desk.view, View::List);
        }
    }
    let quit = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(desk.key(quit), Some(Wish::Quit));
}

#[test]
fn an_empty_desk_answers_nothing() {
    let mut desk = desk(&[]);
    assert_eq!(press(&mut desk, "aj\n"), None);
    assert_eq!(press(&mut desk, "r"), Some(Wish::Reload));
    assert_eq!(press(&mut desk, "q"), Some(Wish::Quit));
}

#[test]
fn in_the_details_every_key_of_the_list_only_scrolls() {
    let mut desk = desk(&["apr_1", "apr_2"]);
    assert_eq!(press(&mut desk, "\n"), Some(Wish::Fetch("apr_1".into())));
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
        let View::Open(open) = &desk.view else { panic!("{key:?}") };
        assert_eq!((open.scroll, on(&desk)), (expected, "apr_1"), "{key:?}");
    }
}

#[test]
fn details_bring_the_history_of_the_question_under_the_cursor() {
    let mut desk = desk(&["apr_1", "apr_2"]);
    press(&mut desk, "\n");
    desk.fetched(Ok(Approval { history: vec![SessionAction::default()], ..approval("apr_1") }));
    assert_eq!(desk.shown().unwrap().history.len(), 1);
    assert_eq!(press(&mut desk, "\n"), None);
}
