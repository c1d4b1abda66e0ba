//! The answer of each condition for each kind of value.

use serde_json::json;

use super::*;

fn truth(condition: &Condition, params: &Value, masked: &[&str]) -> String {
    let masked: Vec<ParamPath> = masked.iter().map(|path| ParamPath::new(*path)).collect();
    let now = Timestamp::UNIX_EPOCH;
    let names = Names { authenticated: None, declared: Some("agent-7") };
    match condition.truth(&Facts { params: params.as_object().unwrap(), masked: &masked, now, names }) {
        Truth::True => "holds".to_owned(),
        Truth::False => "does not hold".to_owned(),
        Truth::Unknown(doubt) => doubt.why.to_string(),
    }
}

fn param(path: &str, test: Test) -> Condition {
    Condition::Param(ParamPath::new(path), test)
}

/// The answers of a test for these values of `n`: `+` holds, `-` does not, `?` is unknown.
fn signs(test: &Test, values: &Value) -> String {
    let sign = |value: &Value| match test.passes(value) {
        Ok(true) => '+',
        Ok(false) => '-',
        Err(_) => '?',
    };
    values.as_array().unwrap().iter().map(sign).collect()
}

const TYPE: &str = "it needs a number and the value is text";

#[test]
fn a_comparison_across_types_is_unknown() {
    let gt = param("n", Test::Gt(json!(100)));
    assert_eq!(truth(&gt, &json!({"n": 150}), &[]), "holds");
    assert_eq!(truth(&gt, &json!({"n": 100}), &[]), "does not hold");
    assert_eq!(truth(&gt, &json!({"n": null}), &[]), "does not hold");
    assert_eq!(truth(&gt, &json!({"n": "150"}), &[]), TYPE);
    assert_eq!(truth(&gt, &json!({"n": true}), &[]), "it needs a number and the value is a boolean");
    assert_eq!(signs(&Test::Lte(json!("b")), &json!(["a", "c", 5, true, ["a"], {}])), "+-????");
}

#[test]
fn equality_is_unknown_if_a_lenient_reader_could_see_the_value() {
    let values = json!([5, 5.0, "5", " 5.0", [5], ["5"], {"a": [[5]]}, 6, "6", "five", true, [], {"5": 6}, "[5]"]);
    assert_eq!(signs(&Test::Eq(json!(5)), &values), "++?????-------");
    assert_eq!(signs(&Test::Eq(json!(true)), &json!([true, "true", "TRUE", [true], 1, "1", false])), "+???---");
    assert_eq!(
        signs(&Test::Eq(json!("a")), &json!(["a", "a\n", "A", ["a"], ["b", {"x": "a"}], {"a": 1}, "[\"a\"]"])),
        "+--??--"
    );
    assert_eq!(
        signs(&Test::Eq(json!(["a"])), &json!([["a"], [["a"]], {"x": ["a"]}, "a", "[\"a\"]", ["b"], []])),
        "+--?---"
    );
    assert_eq!(
        signs(&Test::In(vec![json!(5), json!("x")]), &json!([5, "x", "5", ["x"], 6, [], ["5", "x"]])),
        "++??--?"
    );
    assert_eq!(signs(&Test::In(vec![json!(5), json!("5")]), &json!([5, "5"])), "++", "one certain match is enough");
}

#[test]
fn containing_is_unknown_for_a_nested_text_and_for_a_scalar() {
    let values =
        json!(["xay", "b", ["a"], ["xay"], [["a"]], {"a": 1}, {"b": "a"}, {"b": {"a": 1}}, ["b"], 5, true, [5]]);
    assert_eq!(signs(&Test::Contains(json!("a")), &values), "+-+??+?--??-");
    let values = json!([[5], [5.0], [[5]], ["5"], {"x": 5}, [6], {"5": 6}, 5, "5", "[5]", true]);
    assert_eq!(signs(&Test::Contains(json!(5)), &values), "++-----????");
}

#[test]
fn patterns_search_texts_and_numbers_and_are_unknown_for_nested_texts() {
    let matches =
        |pattern: &str, values: &Value| signs(&Test::Matches(Pattern::new(pattern, 1 << 20, 1 << 20).unwrap()), values);
    assert_eq!(
        matches("^\\w+$", &json!(["ab", "a b", 123_456, ["ab"], {"k": {"v": "ab"}}, ["a b"], [5], {"ab": 1}])),
        "+-+??---"
    );
    assert_eq!(matches("True", &json!([true, false, [true], []])), "??--");
    assert_eq!(matches("^5$", &json!([5.0, "5", "5\n"])), "+++");
}

#[test]
fn a_parameter_exists_if_it_is_there_and_not_null() {
    let (there, gone) = (param("n", Test::Exists(true)), param("n", Test::Exists(false)));
    for (params, holds) in [(json!({"n": 0}), true), (json!({"n": null}), false), (json!({}), false)] {
        let answer = |holds| if holds { "holds" } else { "does not hold" };
        assert_eq!(truth(&there, &params, &[]), answer(holds), "{params}");
        assert_eq!(truth(&gone, &params, &[]), answer(!holds), "{params}");
    }
}

#[test]
fn a_name_with_two_values_is_unknown() {
    let params = json!({"a": {"b": 1}, "a.b": 2});
    let conflict = "the name is both a key and a path, with different values";
    assert_eq!(truth(&param("a.b", Test::Eq(json!(1))), &params, &[]), conflict);
    assert_eq!(truth(&param("a.b", Test::Exists(true)), &params, &[]), "holds");
    assert_eq!(truth(&param("a.b", Test::Exists(true)), &json!({"a": {"b": 1}, "a.b": null}), &[]), conflict);
}

#[test]
fn a_path_through_anything_but_a_mapping_or_null_is_unknown() {
    for test in [Test::Gt(json!(100)), Test::Eq(json!("x")), Test::Exists(true), Test::Exists(false)] {
        let condition = param("a.b.c", test);
        for (params, why) in [
            (json!({"a": "{\"b\": {\"c\": 500}}"}), "the path leads through text"),
            (json!({"a": {"b": [{"c": 500}]}}), "the path leads through a list"),
            (json!({"a": []}), "the path leads through a list"),
            (json!({"a": {"b": 5}}), "the path leads through a number"),
            (json!({"a": true}), "the path leads through a boolean"),
        ] {
            assert_eq!(truth(&condition, &params, &[]), why, "{params}");
        }
        for params in [json!({}), json!({"a": null}), json!({"a": {"b": {}}}), json!({"a": {"b": {"c": null}}})] {
            let is_gone = matches!(condition, Condition::Param(_, Test::Exists(false)));
            assert_eq!(truth(&condition, &params, &[]), if is_gone { "holds" } else { "does not hold" }, "{params}");
        }
    }
    let literal = json!({"a": "text", "a.b": 1});
    assert_eq!(truth(&param("a.b", Test::Eq(json!(1))), &literal, &[]), "the path leads through text");
    assert_eq!(truth(&param("a.b", Test::Exists(true)), &literal, &[]), "holds");
}

#[test]
fn a_masked_value_is_unknown_and_so_is_a_value_that_holds_it() {
    let masked = "the value was masked and is no longer known";
    for name in ["user", "user.email", "user.email.host"] {
        assert_eq!(truth(&param(name, Test::Exists(true)), &json!({}), &["user.email"]), masked, "{name}");
    }
    assert_eq!(truth(&param("user.name", Test::Exists(false)), &json!({}), &["user.email"]), "holds");
}

#[test]
fn combinations_follow_kleenes_logic() {
    let params = json!({"t": 1, "u": "text"});
    let yes = || param("t", Test::Gt(json!(0)));
    let no = || param("t", Test::Gt(json!(1)));
    let doubt = || param("u", Test::Gt(json!(1)));
    let of = |condition: Condition| truth(&condition, &params, &[]);
    assert_eq!(of(Condition::All(vec![vec![doubt()], vec![no()]])), "does not hold");
    assert_eq!(of(Condition::All(vec![vec![doubt(), yes()]])), TYPE);
    assert_eq!(of(Condition::Any(vec![vec![doubt()], vec![yes()]])), "holds");
    assert_eq!(of(Condition::Any(vec![vec![doubt()], vec![no()]])), TYPE);
    assert_eq!(of(Condition::Not(vec![doubt()])), TYPE);
    assert_eq!(of(Condition::Not(vec![no()])), "holds");
}
