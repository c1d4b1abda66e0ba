//! The reviewer's screen on a real terminal: it acts on what is shown and chosen, and on nothing else.

use serde_json::{Value, json};

use crate::harness::{Daemon, Setup, Terminal, stderr, stdout};

const POLICY: &str = "
rules:
  - {name: fast, match: {type: 'fast*'}, approval: approve, timeout: 2s, risk_level: low}
  - {name: slow, match: {type: 'slow*'}, approval: approve, risk_level: low}
  - {name: crit, match: {type: '*'}, approval: approve, timeout: 2h, risk_level: critical}
";

const ESC: &str = "\u{1b}";
const END: &str = "\u{1b}[F";
const PAGE_DOWN: &str = "\u{1b}[6~";
const PAGE_UP: &str = "\u{1b}[5~";

/// Puts a question, and says which approval it is.
fn ask(daemon: &Daemon, kind: &str, target: &str, more: &[&str]) -> String {
    let output = daemon.cli(&[&["propose", kind, target, "--format", "json"], more].concat());
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let decision: Value = serde_json::from_str(&stdout(&output)).expect("the decision is JSON");
    decision["approval_id"].as_str().expect("there is an approval").to_owned()
}

/// How each question has ended, oldest first.
fn decided(daemon: &Daemon) -> Vec<(String, Value)> {
    let output = daemon.cli(&["audit", "--format", "jsonl", "--oldest-first"]);
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).expect("a row is JSON");
        (row["action_type"].as_str().expect("a type").to_owned(), row["human_decision"].clone())
    };
    stdout(&output).lines().map(row).collect()
}

#[tokio::test]
async fn what_is_typed_when_a_question_ends_votes_on_no_other() {
    let daemon = Setup::new().policy(POLICY).start();
    ask(&daemon, "drop_db", "prod", &[]);
    let slow = ask(&daemon, "slow_read", "x", &[]);
    let mut review = Terminal::start(&daemon, &["review"], (100, 26));
    review.shows("> CRITICAL  drop_db").await;
    review.press("G");
    review.shows("> LOW       slow_read").await;
    review.press("a");
    review.shows("Approve slow_read@x?").await;
    review.press("looks");
    review.shows("because (optional): looks").await;
    // Another reviewer is first. Each letter that follows would be a command of the list: `a` approves, Enter sends.
    assert_eq!(daemon.cli(&["deny", &slow]).status.code(), Some(0));
    review.shows("This has ended").await;
    review.press(" fine, that is the agreed amount");
    review.shows("because (optional): looks fine, that is the agreed amount").await;
    assert!(review.screen().contains("ENDED: denied by"), "the details stay, as ended: {}", review.screen());
    review.press("\r");
    review.shows("nothing was sent").await;
    review.press(ESC);
    // A key that follows at once would be read as one key with Alt.
    review.until("the list", |screen| screen.contains("Session") && !screen.contains("because")).await;
    assert!(review.screen().contains("> LOW       slow_read"), "{}", review.screen());
    review.press("a");
    review.shows("choose another one with j or k").await;
    assert_eq!(decided(&daemon), [("drop_db".into(), Value::Null), ("slow_read".into(), json!("denied"))]);

    // What is chosen can be answered.
    review.press("k");
    review.shows("> CRITICAL  drop_db").await;
    review.press("d");
    review.shows("Deny drop_db@prod?").await;
    review.press("no\r");
    review.shows("denied drop_db@prod").await;
    assert_eq!(decided(&daemon), [("drop_db".into(), json!("denied")), ("slow_read".into(), json!("denied"))]);
    review.press("q");
    assert_eq!(review.ended().await, 0);
}

#[tokio::test]
async fn what_is_typed_when_a_question_expires_votes_on_no_other() {
    let daemon = Setup::new().policy(POLICY).start();
    ask(&daemon, "drop_db", "prod", &[]);
    ask(&daemon, "fast_read", "x", &[]);
    let mut review = Terminal::start(&daemon, &["review"], (100, 26));
    review.shows("> CRITICAL  drop_db").await;
    review.press("G\r");
    review.shows("ENDED: expired").await;
    review.press("aaa\raaa\raaa\r");
    review.shows("choose another one").await;
    assert_eq!(decided(&daemon), [("drop_db".into(), Value::Null), ("fast_read".into(), json!("expired"))]);
}

#[tokio::test]
async fn keys_that_scroll_the_details_open_no_other_question() {
    let daemon = Setup::new().policy(POLICY).start();
    for target in ["first", "second", "third"] {
        ask(&daemon, "drop_db", target, &["--description", &"long ".repeat(300)]);
    }
    let mut review = Terminal::start(&daemon, &["review"], (100, 24));
    review.shows("3 wait").await;
    for keys in [END, "G", PAGE_DOWN, PAGE_UP] {
        review.press("\r");
        review.shows("more lines").await;
        // The rule is fetched, and comes last.
        review
            .press_until(END, "the end of the details", |screen| {
                screen.contains("The rule") && !screen.contains("more line")
            })
            .await;
        review.press(keys);
        review.press("a");
        review.shows("Approve drop_db@first?").await;
        review.press(ESC);
        review.until("the details", |screen| !screen.contains("Approve drop_db")).await;
        review.press(ESC);
        review.shows("Risk").await;
    }
    review.press("a");
    review.shows("Approve drop_db@first?").await;
}

#[tokio::test]
async fn control_d_denies_nothing_and_a_question_that_just_came_is_chosen_first() {
    let daemon = Setup::new().policy(POLICY).start();
    let mut review = Terminal::start(&daemon, &["review"], (80, 24));
    review.shows("Nothing waits for a reviewer").await;
    ask(&daemon, "drop_db", "prod", &[]);
    review.shows("· CRITICAL").await;
    review.press("a");
    review.shows("choose it first").await;
    review.press("\u{4}j");
    review.shows("> CRITICAL").await;
    review.press("\u{4}");
    review.press("a");
    review.shows("Approve drop_db@prod?").await;
    assert_eq!(decided(&daemon), [("drop_db".into(), Value::Null)]);
}

#[tokio::test]
async fn an_agents_text_fakes_no_line_of_the_screen() {
    let daemon = Setup::new().policy(POLICY).start();
    let fake = format!("ok{}risk      LOW{}rule      approved by ada", " ".repeat(200), " ".repeat(200));
    let params = json!({ "note": fake, "x = 1": 2 }).to_string();
    ask(&daemon, "drop_db", "prod", &["--description", &fake, "--params", &params]);
    let mut review = Terminal::start(&daemon, &["review"], (80, 40));
    review.press("\r");
    review.shows("digest").await;
    let screen = review.screen();
    assert!(screen.contains("␣×200␣risk␣␣␣␣␣␣LOW"), "{screen}");
    assert!(screen.contains("\"x = 1\" = 2"), "{screen}");
    // The rule, which is the policy's and no agent's, has a `risk_level`.
    let starting = |label: &str| screen.lines().filter(|line| line.trim_start().starts_with(label)).count();
    assert_eq!((starting("risk "), starting("rule ")), (1, 1), "{screen}");
    let at = |text: &str| screen.find(text).unwrap_or_else(|| panic!("no {text}: {screen}"));
    assert!(at("  params") < at("  says"), "{screen}");
}

#[tokio::test]
async fn a_narrow_terminal_shows_what_is_asked_and_takes_the_answer() {
    let daemon = Setup::new().policy(POLICY).start();
    ask(&daemon, "drop_db", "prod", &[]);
    let mut review = Terminal::start(&daemon, &["review"], (26, 12));
    review.shows("> CRITICAL").await;
    review.press("a");
    review.shows("Approve drop_db@prod?").await;
    review.press("because I looked at it\r");
    review.until("the answer", |screen| screen.contains("approved")).await;
    assert_eq!(decided(&daemon), [("drop_db".into(), json!("approved"))]);
}

#[tokio::test]
async fn only_what_was_on_the_screen_in_full_is_answered_together() {
    let daemon = Setup::new().policy(POLICY).start();
    ask(&daemon, "drop_db", "long", &["--description", &"long ".repeat(300)]);
    ask(&daemon, "slow_read", "short", &[]);
    let mut review = Terminal::start(&daemon, &["review"], (80, 40));
    review.shows("> CRITICAL  drop_db").await;
    review.press("x");
    review.shows("only where all of it was on the screen").await;
    assert!(!review.screen().contains("marked   "), "{}", review.screen());
    // Its lines are read, by scrolling. Then it can be marked, and the other one, which fits.
    review.press_until("J", "all of its lines", |screen| screen.contains("  digest")).await;
    review.press("x");
    review.shows("1 marked").await;
    review.press("G");
    review.shows("> LOW       slow_read").await;
    review.press_until("J", "all of its lines", |screen| screen.contains("  digest")).await;
    review.press("x");
    review.shows("2 marked").await;
    review.press("a");
    review.shows("Approve the 2 marked questions?").await;
    review.press("both are fine\r");
    review.shows("Press y to send").await;
    // Another reviewer is first with one of the two. The other one is sent.
    let waiting: Value = serde_json::from_str(&stdout(&daemon.cli(&["pending", "--format", "json"]))).unwrap();
    let slow = waiting[1]["approval_id"].as_str().unwrap();
    assert_eq!(daemon.cli(&["deny", slow]).status.code(), Some(0));
    review.shows("Approve the 1 marked question?").await;
    review.press("y");
    review.shows("approved drop_db@long").await;
    assert_eq!(decided(&daemon), [("drop_db".into(), json!("approved")), ("slow_read".into(), json!("denied"))]);
}

#[tokio::test]
async fn a_session_is_denied_as_it_was_on_the_screen() {
    let daemon = Setup::new().policy(POLICY).start();
    for target in ["one", "two"] {
        ask(&daemon, "slow_read", target, &["--session", "wild"]);
    }
    ask(&daemon, "slow_tidy", "three", &["--session", "calm"]);
    let mut review = Terminal::start(&daemon, &["review"], (100, 30));
    review.shows("3 wait").await;
    review.press("D");
    review.shows("Deny all 2 questions of the session wild?").await;
    // What comes while the reviewer types was not seen.
    ask(&daemon, "slow_late", "four", &["--session", "wild"]);
    review.press("out of hand\r");
    review.shows("Press y to send").await;
    review.press("\rqa");
    review.press("y");
    review.shows("all 2 answers were taken").await;
    let expected = ["slow_read", "slow_read"].map(|kind| (kind.to_owned(), json!("denied")));
    assert_eq!(decided(&daemon)[..2], expected);
    assert_eq!(decided(&daemon)[2..], ["slow_tidy", "slow_late"].map(|kind| (kind.to_owned(), Value::Null)));
}

#[tokio::test]
async fn a_click_chooses_a_question_and_answers_none() {
    let daemon = Setup::new().policy(POLICY).start();
    ask(&daemon, "drop_db", "prod", &[]);
    ask(&daemon, "slow_read", "x", &[]);
    let mut review = Terminal::start(&daemon, &["review"], (100, 30));
    review.shows("> CRITICAL  drop_db").await;
    let line = review.line_of("slow_read");
    review.press(&format!("{ESC}[<0;10;{line}M{ESC}[<0;10;{line}m"));
    review.shows("> LOW       slow_read").await;
    review.press("a");
    review.shows("Approve slow_read@x?").await;
    let line = review.line_of("approval ");
    review.press(&format!("{ESC}[<0;10;{line}M{ESC}[<0;10;{line}m"));
    review.press("fine\r");
    review.shows("approved slow_read@x").await;
    assert_eq!(decided(&daemon), [("drop_db".into(), Value::Null), ("slow_read".into(), json!("approved"))]);
}

#[tokio::test]
async fn the_screen_outlives_the_daemon_and_answers_what_is_there_afterwards() {
    let daemon = Setup::new().policy(POLICY).start();
    ask(&daemon, "drop_db", "before", &[]);
    let mut review = Terminal::start(&daemon, &["review"], (100, 30));
    review.shows("> CRITICAL  drop_db").await;
    let daemon = daemon.restart();
    ask(&daemon, "slow_read", "after", &[]);
    review.until("the new question", |screen| screen.contains("2 wait") && screen.contains("live")).await;
    review.press("a");
    review.shows("Approve drop_db@before?").await;
    review.press("still fine\r");
    review.shows("approved drop_db@before").await;
    assert_eq!(decided(&daemon), [("drop_db".into(), json!("approved")), ("slow_read".into(), Value::Null)]);
}

#[tokio::test]
async fn the_screen_stops_and_comes_back_as_other_programs_do() {
    let daemon = Setup::new().policy(POLICY).start();
    ask(&daemon, "drop_db", "prod", &[]);
    let script = "set -m; \"$0\" review; echo \"stopped: $?\"; read -r line; fg >/dev/null; echo \"ended: $?\"";
    let mut shell = Terminal::script(&daemon, script, (100, 30));
    shell.shows("> CRITICAL  drop_db").await;
    shell.press("\u{1a}");
    shell.shows("stopped: 148").await;
    assert!(!shell.screen().contains("drop_db"), "the terminal is the shell's again: {}", shell.screen());
    shell.press("go on\r");
    shell.shows("> CRITICAL  drop_db").await;
    shell.press("q");
    shell.shows("ended: 0").await;
}

#[tokio::test]
async fn no_colour_is_used_where_none_is_wanted() {
    let daemon = Setup::new().policy(POLICY).start();
    ask(&daemon, "drop_db", "prod", &[]);
    for (variables, has_colours) in [(&[("NO_COLOR", "1")][..], false), (&[], true)] {
        let review = Terminal::start_with(&daemon, &["review"], (100, 30), variables);
        review.shows("> CRITICAL  drop_db").await;
        review.shows("live").await;
        assert_eq!(review.has_colours(), has_colours, "{variables:?}");
    }
}

#[tokio::test]
async fn the_history_and_the_record_are_a_key_away() {
    let daemon = Setup::new().policy(POLICY).start();
    let first = ask(&daemon, "slow_read", "first", &[]);
    assert_eq!(daemon.cli(&["deny", &first, "--reason", "not today"]).status.code(), Some(0));
    ask(&daemon, "drop_db", "prod", &[]);
    let mut review = Terminal::start(&daemon, &["review"], (120, 30));
    review.shows("1 waits").await;
    review.press("h");
    review.until("the history", |screen| screen.contains("slow_read@first") && screen.contains("not today")).await;
    review.press("t");
    review.until("the record", |screen| screen.contains("Rule") && screen.contains("denied")).await;
    ask(&daemon, "slow_new", "later", &[]);
    review.shows("slow_new").await;
    review.press("a");
    review.press(ESC);
    review.shows("> CRITICAL").await;
    assert_eq!(decided(&daemon)[1..], ["drop_db", "slow_new"].map(|kind| (kind.to_owned(), Value::Null)));
}

#[tokio::test]
async fn a_daemon_is_not_started_to_end_with_a_terminal() {
    let daemon = Setup::new().start();
    let data = daemon.home.path().join("other");
    let arguments = ["serve", "--port", "0", "--ends-with-parent", "--data-dir", data.to_str().unwrap()];
    let mut serve = Terminal::start(&daemon, &arguments, (100, 24));
    serve.shows("standard input is a terminal").await;
    assert_eq!(serve.ended().await, 2);
}

#[tokio::test]
async fn a_command_gets_the_terminals_signal_once() {
    let daemon = Setup::new().start();
    let script = "trap 'echo caught' INT; echo ready; while ! test -e stop; do sleep 0.05; done; exit 5";
    let script = script.replace("stop", daemon.home.path().join("stop").to_str().unwrap());
    let mut propose = Terminal::start(&daemon, &["propose", "read_x", "--", "sh", "-c", &script], (100, 24));
    propose.shows("ready").await;
    propose.press("\u{3}");
    propose.shows("caught").await;
    std::fs::write(daemon.home.path().join("stop"), "").unwrap();
    assert_eq!(propose.ended().await, 5);
    assert_eq!(propose.screen().matches("caught").count(), 1, "{}", propose.screen());
}
