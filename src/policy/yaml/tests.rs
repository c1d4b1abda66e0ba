use super::*;
use serde_json::Value as Json;
use serde_json::json;

fn read(text: &str) -> Result<Json, String> {
    let mut report = Report::default();
    let node = parse("p.yaml", text, &mut report);
    match report.finish() {
        Ok(_) => Ok(node.expect("no error is reported, so there is a value").to_json()),
        Err(errors) => Err(errors.to_string()),
    }
}

fn refused(text: &str) -> String {
    read(text).expect_err(text)
}

#[test]
fn scalars_follow_yaml_1_2() {
    let text =
        "{a: yes, b: on, c: 18:00, d: 1_000, e: 2026-01-15, f: 5, g: -0.5, h: '5', i: ~, j: true, k: 1e3, l: 0x1F}";
    let expected = json!({
        "a": "yes", "b": "on", "c": "18:00", "d": "1_000", "e": "2026-01-15", "f": 5, "g": -0.5, "h": "5", "i": null,
        "j": true, "k": 1000.0, "l": 31
    });
    assert_eq!(read(text), Ok(expected));
}

#[test]
fn json_is_yaml_and_a_byte_order_mark_is_skipped() {
    assert_eq!(read("\u{feff}{\"rules\": [{\"name\": \"a\\nb\"}]}"), Ok(json!({"rules": [{"name": "a\nb"}]})));
}

#[test]
fn a_value_that_parsers_read_differently_is_refused() {
    for scalar in ["017", "-017", "0b11", "-0x1F", "+0x1F", "+0o17", "00"] {
        assert!(refused(&format!("a: {scalar}")).starts_with("p.yaml:1:4: "), "{scalar}");
    }
}

#[test]
fn anchors_aliases_and_merge_keys_work() {
    let text = "x: &a {one: 1, two: 2}\ny: &b {<<: *a, two: 22, three: 3}\nz:\n  <<: [*b, *a]\n  three: 33\nw: *b\n";
    let expected = json!({
        "x": {"one": 1, "two": 2},
        "y": {"one": 1, "two": 22, "three": 3},
        "z": {"one": 1, "two": 22, "three": 33},
        "w": {"one": 1, "two": 22, "three": 3},
    });
    assert_eq!(read(text), Ok(expected));
    assert_eq!(read("'<<': 5"), Ok(json!({"<<": 5})));
}

#[test]
fn a_key_is_text_and_occurs_once() {
    assert!(refused("a: 1\nb: 2\na: 3\n").starts_with("p.yaml:3:1: a: the key `a` is given twice"));
    assert!(refused("a: 1\n\"a\": 3\n").contains("twice"));
    for key in ["5", "true", "null", "~", "1.5", "{a: b}", "[a]"] {
        assert!(refused(&format!("? {key}\n: 1\n")).contains("a key must be text"), "{key}");
    }
    assert!(refused("<<: {a: 1}\n<<: {b: 1}\n").contains("twice"));
}

#[test]
fn merging_anything_but_mappings_is_refused() {
    for value in ["5", "text", "[5]", "[{a: 1}, 5]", "~"] {
        assert!(
            refused(&format!("a: 1\n<<: {value}\n")).starts_with("p.yaml:2:5: [\"<<\"]: `<<` merges mappings"),
            "{value}"
        );
    }
}

#[test]
fn tags_other_than_those_of_the_core_schema_are_refused() {
    assert_eq!(
        read("{a: !!str 5, b: !!int '5', c: !!seq [], d: !!map {}}"),
        Ok(json!({"a": "5", "b": 5, "c": [], "d": {}}))
    );
    for text in [
        "a: !foo bar",
        "!policy\na: 1",
        "a: !!timestamp x",
        "a: !!python/object:os.system [x]",
        "a: !!int abc",
        "a: ! 5",
    ] {
        let message = refused(text);
        assert!(message.contains("tag"), "{text}: {message}");
    }
}

#[test]
fn a_file_holds_exactly_one_document() {
    assert!(refused("a: 1\n---\nb: 2\n").starts_with("p.yaml:2:1: a second document begins here"));
    for text in ["", "\n", "# only a comment\n", "---\n", "--- # nothing\n...\n"] {
        assert!(refused(text).contains("the document is empty"), "{text:?}");
    }
    assert_eq!(read("---\na: 1\n...\n"), Ok(json!({"a": 1})));
}

#[test]
fn control_characters_are_refused_at_their_place() {
    assert!(refused("a: 1\nb: \0\n").starts_with("p.yaml:2:4: the character U+0000"));
    assert!(refused("a: \u{1b}[31m").contains("U+001B"));
}

#[test]
fn an_alias_inside_its_own_anchor_is_refused() {
    assert!(refused("a: &x [1, *x]").contains("never end"));
    assert!(refused("&a *a").starts_with("p.yaml:1:"));
    assert!(refused("a: *nope").starts_with("p.yaml:1:"));
}

#[test]
fn bombs_are_refused_within_bounds() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..40 {
        let previous = format!("*a{}", i - 1);
        laughs.push_str(&[&format!("a{i}: &a{i} ["), [previous.as_str(); 10].join(", ").as_str(), "]\n"].concat());
    }
    assert!(refused(&laughs).contains("aliases followed"));

    let long = format!("a: &a '{}'\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 2_000].join(", "));
    assert!(refused(&long).contains("bytes of text, aliases followed"));

    assert!(refused(&"[".repeat(200_000)).starts_with("p.yaml:1:"));
    assert!(refused(&"- ".repeat(200_000)).contains("nested deeper"));
    assert!(refused(&"{a: ".repeat(200_000)).starts_with("p.yaml:1:"));
    assert!(
        refused(&(0..2_000).map(|i| " ".repeat(i) + "a:\n").collect::<Vec<_>>().concat()).contains("nested deeper")
    );

    let mut deep = String::from("a0: &a0 [x]\n");
    for i in 1..80 {
        deep = format!("{deep}a{i}: &a{i} [*a{}]\n", i - 1);
    }
    assert!(refused(&deep).contains("nested deeper"));
}

#[test]
fn large_files_are_refused_before_they_are_read() {
    assert!(refused(&"a".repeat(MAX_BYTES + 1)).contains("bytes"));
    assert!(refused(&format!("[{}]", "a,".repeat(700_000))).contains("more values"));
    assert!(refused(&"- a\n".repeat(600_000)).contains("more than 500000 values"));
}

#[test]
fn every_wrong_key_and_tag_is_reported_not_only_the_first() {
    let message = refused("a: !x 1\nb: !y 2\na: 3\n5: 6\n");
    assert_eq!(message.lines().count(), 4, "{message}");
}
