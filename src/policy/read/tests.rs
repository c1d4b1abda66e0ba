//! What loading refuses, what it warns of, and the messages.

use crate::policy::{Policy, Source};

fn load(text: &str) -> Result<Policy, String> {
    Policy::load(&[Source { name: "p.yaml".to_owned(), text: text.to_owned() }]).map_err(|errors| errors.to_string())
}

/// A rule with this content, as `rules: [{name: R, ...}]`.
fn rule(inner: &str) -> Result<Policy, String> {
    load(&format!("rules:\n  - name: R\n    {inner}\n"))
}

#[track_caller]
fn refused(inner: &str, message: &str) {
    let errors = rule(inner).expect_err(inner);
    assert!(errors.contains(message), "{inner}\n  says    {errors}\n  and not {message}");
}

fn warnings(inner: &str) -> Vec<String> {
    rule(inner).unwrap().warnings().iter().map(ToString::to_string).collect()
}

#[test]
fn a_message_names_the_place_and_what_would_be_right() {
    let errors = load("rules:\n  - name: R\n    match: { typ: 'delete*' }\n    aproval: block\n").unwrap_err();
    assert_eq!(
        errors,
        "p.yaml:3:14: rules[0].match.typ: unknown key `typ`, did you mean `type`?\n\
         p.yaml:4:5: rules[0].aproval: unknown key `aproval`, did you mean `approval`?"
    );
}

#[test]
fn unknown_keys_are_refused_everywhere() {
    assert!(load("default: {}\nrules: []\n").unwrap_err().contains("did you mean `defaults`?"));
    assert!(load("defaults: {aproval: block}").unwrap_err().contains("did you mean `approval`?"));
    refused("condition: {param_gt: {n: 5}}", "rules[0].condition: unknown key `condition`, did you mean `conditions`?");
    refused("limit: {}", "rules[0].limit: a limit needs `max`");
    refused("limit: {max: 1, pre: 1h}", "rules[0].limit.pre: unknown key `pre`, did you mean `per`?");
    refused("mode: shadow", "unknown key `mode`");
    refused("conditions: {parm_gt: {n: 1}}", "unknown condition `parm_gt`, did you mean `param_gt`?");
    refused("conditions: {time_afer: '09:00'}", "did you mean `time_after`?");
    refused("conditions: {weekday: [1]}", "did you mean `weekdays`?");
    refused("conditions: {foo: 1}", "unknown condition `foo`: there are time_after");
    assert!(load("x-rules: &a {approval: auto}\nrules: [{<<: *a}]").is_ok());
}

#[test]
fn versions_names_and_globs_must_have_the_right_type() {
    for version in ["\"1\"", "1"] {
        assert!(load(&format!("version: {version}\nrules: []")).is_ok());
    }
    for version in ["'99'", "2", "~", "1.0", "true", "[1]"] {
        assert!(load(&format!("version: {version}\nrules: []")).unwrap_err().contains("unknown version"), "{version}");
    }
    for name in ["7", "~", "", "true", "[a]", "{a: 1}", "1.0"] {
        assert!(
            load(&format!("rules: [{{name: {name}}}]")).unwrap_err().contains("rules[0].name: must be text"),
            "{name}"
        );
    }
    assert!(load("rules: [{name: ''}]").unwrap_err().contains("rules[0].name: must not be empty"));
    assert!(load("rules: [{name: <default>}]").unwrap_err().contains("stands for no rule at all"));
    for glob in ["5", "true", "~", "1.5", "0x10", "1e3"] {
        assert!(rule(&format!("match: {{type: {glob}}}")).unwrap_err().contains("must be text"), "{glob}");
    }
}

#[test]
fn a_file_gives_a_name_only_once() {
    let errors = load("rules:\n  - {name: N}\n  - {name: N, approval: auto}\n").unwrap_err();
    assert!(errors.starts_with("p.yaml:3:5: rules[1]: the name `N` is already that of the rule on line 2"), "{errors}");
    let policy = load("rules:\n  - {name: rule_1}\n  - {approval: auto}\n").unwrap();
    assert!(policy.warnings()[0].message.contains("the automatic name `rule_1`"));
}

#[test]
fn a_time_is_hours_and_minutes_and_a_window_is_not_empty() {
    for time in ["\"9\"", "'24:00'", "' 09:00'", "09:00:30", "1:30:00", "noon"] {
        refused(&format!("conditions: {{time_after: {time}}}"), "must be a time like \"09:00\"");
    }
    for time in ["900", "9.5", "~", "true", "['09:00']"] {
        refused(&format!("conditions: {{time_after: {time}}}"), "rules[0].conditions.time_after: must be a time");
    }
    refused(
        "conditions: {time_after: 09:00, time_before: '9:00'}",
        "p.yaml:3:37: rules[0].conditions.time_before: is the same",
    );
    assert!(rule("conditions: {time_after: 18:00, time_before: 08:00}").is_ok());
    assert!(warnings("conditions: {time_before: 00:00}")[0].contains("never holds"));
}

#[test]
fn weekdays_are_a_list_of_iso_numbers() {
    for days in ["[]", "3", "'3'", "~", "{'3': 1}"] {
        refused(&format!("conditions: {{weekdays: {days}}}"), "must be a list of days, Monday = 1");
    }
    for day in ["0", "8", "-1", "'3'", "wed", "3.0", "true", "[3]", "~"] {
        refused(
            &format!("conditions: {{weekdays: [1, {day}]}}"),
            "rules[0].conditions.weekdays[1]: must be a whole number",
        );
    }
    refused("conditions: {weekdays: [1, 1]}", "the day 1 is given twice");
}

#[test]
fn a_timezone_is_an_iana_name_and_needs_a_condition_on_the_clock() {
    refused("conditions: {weekdays: [1], timezone: Europe/Berln}", "did you mean `Europe/Berlin`?");
    refused("conditions: {timezone: UTC}", "rules[0].conditions.timezone: means nothing here");
    assert!(rule("conditions: {weekdays: [1], timezone: America/New_York}").is_ok());
}

#[test]
fn parameter_conditions_map_names_to_values_of_the_right_type() {
    for key in ["param_eq", "param_gt", "param_matches", "param_in", "param_exists"] {
        for spec in ["~", "count", "[n]", "5", "{}"] {
            refused(&format!("conditions: {{{key}: {spec}}}"), "must be a mapping from parameter names");
        }
    }
    refused("conditions: {param_gt: {5: 1}}", "a key must be text: write \"5\"");
    refused("conditions: {param_gt: {true: 1}}", "a key must be text");
    for expected in ["[1]", "~", "true", "{a: 1}"] {
        refused(&format!("conditions: {{param_gt: {{n: {expected}}}}}"), "must be a number or text to compare with");
    }
    refused("conditions: {param_eq: {n: ~}}", "counts as missing, which is `param_exists: {name: false}`");
    refused("conditions: {param_contains: {n: ~}}", "not nothing (null)");
    refused("conditions: {param_in: {n: [1, ~]}}", "rules[0].conditions.param_in.n[1]: must be a value");
    refused("conditions: {param_in: {n: 1}}", "must be a list of the values it may have");
    refused("conditions: {param_in: {n: []}}", "nothing is in an empty list");
    refused("conditions: {param_exists: {n: 1}}", "must be true (the parameter must be there)");
    for pattern in ["5", "[h]", "~"] {
        refused(&format!("conditions: {{param_matches: {{n: {pattern}}}}}"), "must be text");
    }
    refused("conditions: {param_matches: {s: '[x'}}", "`[x` is not a regular expression: unclosed character class");
    refused("conditions: {param_matches: {s: '(?!prod).*'}}", "look-around");
    refused("conditions: {param_eq: {n: .inf}}", "is no finite number");
    refused("conditions: {param_eq: {n: 9007199254740993}}", "beyond ±(2^53 - 1)");
}

#[test]
fn combinations_need_at_least_one_condition() {
    for wrong in ["all: []", "any: []", "not: {}", "all: [{}]", "any: [{param_eq: {a: 1}}, {}]"] {
        refused(&format!("conditions: {{{wrong}}}"), "must ");
    }
    refused("conditions: {not: [{}]}", "rules[0].conditions.not: must be a mapping of conditions");
    refused("conditions: {any: {param_eq: {a: 1}}}", "must be a list of mappings");
    refused(
        "conditions: {any: [{param_eq: {a: 1}}, {not: {parm_eq: {b: 1}}}]}",
        "rules[0].conditions.any[1].not.parm_eq: unknown",
    );
    assert!(rule("conditions: {any: [{param_eq: {a: 1}}, {not: {all: [{weekdays: [1]}]}}]}").is_ok());
    assert!(rule("conditions: {}").is_ok());
    refused("conditions: ~", "must be a mapping of conditions, not nothing (null); leave the key out");
}

#[test]
fn a_timeout_is_a_number_with_a_unit() {
    for timeout in ["30s", "5m", "1h", "720h"] {
        assert!(rule(&format!("timeout: {timeout}")).is_ok(), "{timeout}");
    }
    for timeout in ["0s", "-5m", "5", "1d", "05m", "s", "1h30m", "1.5h", "+5m", "é", "5é"] {
        refused(&format!("timeout: '{timeout}'"), "is no time: write a whole number with a unit");
    }
    refused("timeout: 30", "must be text");
    refused("timeout: 721h", "longer than an approval may stay open");
    refused("timeout: 99999999999999999999999h", "longer than an approval may stay open");
    assert!(warnings("approval: block\n    timeout: 5m")[0].contains("mean nothing with `approval: block`"));
    assert_eq!(warnings("approval: confirm\n    timeout: 5m"), Vec::<String>::new());
}

#[test]
fn a_timeout_never_allows_a_high_or_critical_risk() {
    for risk in ["high", "critical"] {
        refused(&format!("risk_level: {risk}\n    on_timeout: allow"), "never possible at risk level");
    }
    assert!(rule("on_timeout: allow").is_ok());
    refused("on_timeout: block", "did you mean `deny`?");
}

#[test]
fn what_is_legal_but_odd_gives_a_warning() {
    assert!(warnings("match: {type: 're['}")[0].contains("never closed"));
    assert!(warnings("match: {type: '[^a]x'}")[0].contains("does not negate"));
    assert!(warnings("approval: block\n    match: {actor: 'bot-*'}")[0].contains("chooses its own name"));
    for answer in ["approval: auto", "approval: confirm", "on_timeout: allow"] {
        assert_eq!(warnings(&format!("{answer}\n    match: {{actor: 'bot-*'}}")), Vec::<String>::new(), "{answer}");
    }
    for (inner, warning) in [
        ("match: {type: ''}", "p.yaml:3:19: rules[0].match.type: matches only what is empty: leave the key out"),
        (
            "conditions: {weekdays: [5], time_after: 22:00, time_before: 06:00}",
            "p.yaml:3:18: rules[0].conditions.weekdays: is the day of the moment, and the window crosses midnight",
        ),
        ("match: {target: 's3://${BUCKET}/*'}", "rules[0].match.target: `${BUCKET}` stands for itself"),
        ("reason: 'Ask ${TEAM:-ops}.'", "rules[0].reason: `${TEAM:-ops}` stands for itself"),
        (
            "conditions: {param_in: {env: [prod, '${ENV}']}}",
            "rules[0].conditions.param_in.env[1]: `${ENV}` stands for itself",
        ),
        ("redact: [customers.0.iban]", "`0` is a key here, never an index"),
    ] {
        assert!(warnings(inner).iter().any(|said| said.contains(warning)), "{inner}: {:?}", warnings(inner));
    }
    for inner in [
        "conditions: {weekdays: [5], time_after: 22:00, time_before: 00:00}",
        "conditions: {weekdays: [1, 2, 3, 4, 5, 6, 7], time_after: 22:00, time_before: 06:00}",
        "conditions: {weekdays: [5], time_after: 09:00, time_before: 18:00}",
        "conditions: {param_matches: {path: '^\\$\\{HOME\\}'}}",
        "reason: costs ${5}",
        "redact: [customers.iban]",
    ] {
        assert_eq!(warnings(inner), Vec::<String>::new(), "{inner}");
    }
    assert!(warnings("conditions: {param_matches: {s: '[a&&b]'}}")[0].contains("is an intersection"));
    assert!(warnings("match: {target: on}")[0].contains("`on` is text here"));
}

#[test]
fn the_name_of_a_masked_parameter_has_only_keys() {
    for path in [
        "customers[0].iban",
        "customers[].iban",
        "customers[*].iban",
        "customers.*.iban",
        "$.customers.iban",
        "customers..iban",
    ] {
        refused(
            &format!("redact: ['{path}']"),
            "a list on the way stands for each of its elements: write `customers.iban`",
        );
    }
    for path in [".", "*", "$"] {
        refused(&format!("redact: ['{path}']"), "is no name of a parameter");
    }
    assert!(load("redact: ['*.iban']").unwrap_err().contains("redact[0]: `*.iban` is no name of a parameter"));
}

#[test]
fn every_error_of_every_file_is_reported() {
    let source = |name: &str, text: &str| Source { name: name.to_owned(), text: text.to_owned() };
    let layers = [
        source("a.yaml", "rules: [{aproval: auto}, {match: read}, 5]"),
        source("b.yaml", "rules: ["),
        source("c.yaml", "version: 9"),
    ];
    let files: Vec<String> = Policy::load(&layers).unwrap_err().into_iter().map(|error| error.file).collect();
    assert_eq!(files, ["a.yaml", "a.yaml", "a.yaml", "b.yaml", "c.yaml"]);
    assert!(Policy::load(&[]).unwrap_err().to_string().contains("at least one file"));
}

#[test]
fn the_size_of_a_policy_is_bounded() {
    assert!(load(&format!("rules: [{}]", "{},".repeat(50_001))).unwrap_err().contains("rules: has 50001 rules"));
    let layer = Source { name: "p".to_owned(), text: "x-a: 1\n".to_owned() };
    assert!(Policy::load(&vec![layer; 65]).unwrap_err().to_string().contains("65 layers"));
    let layer = Source { name: "p".to_owned(), text: "#".repeat(4 << 20) };
    assert!(Policy::load(&vec![layer; 5]).unwrap_err().to_string().contains("together have 20971520 bytes"));
    assert_eq!(
        load("rules: []").unwrap().warnings()[0].to_string(),
        "p.yaml:1:1: there are no rules: every action gets the defaults [NO_RULES]"
    );
}

#[test]
fn the_secrets_of_a_policy_are_read_strictly() {
    let refused = |inner: &str, message: &str| {
        let errors = load(&format!("secrets: {inner}")).expect_err(inner);
        assert!(errors.contains(message), "{inner}\n  says    {errors}\n  and not {message}");
    };
    refused(
        "[password]",
        "p.yaml:1:10: secrets: must be a mapping with `defaults`, `names` and `patterns`, not a list",
    );
    refused("{default: true}", "unknown key `default`, did you mean `defaults`?");
    refused("{defaults: yes}", "must be true or false");
    refused("{names: ['']}", "secrets.names[0]: must not be empty");
    refused("{names: ['a[']}", "secrets.names[0]: `a[` is no glob: unclosed character class");
    refused("{patterns: ['(']}", "is not a regular expression");
    refused("{patterns: ['x*']}", "matches the empty text, so it is found everywhere");
    refused(&format!("{{names: [{}]}}", "a,".repeat(101)), "has 101 entries, at most 100 are possible");
    assert!(load("secrets: {defaults: false, names: ['*IBAN*'], patterns: ['EMP-\\d+']}").is_ok());
}

#[test]
fn lists_and_sets_are_read_strictly() {
    refused("match: {type: []}", "rules[0].match.type: must not be empty: leave the key out");
    refused("match: {type: [a, 5]}", "rules[0].match.type[1]: must be text (in quotes), not a number");
    refused("match: {type: {set: reads}}", "rules[0].match.type.set: there is no set `reads`: name it under `sets`");
    refused("match: {type: {st: reads}}", "unknown key `st`, did you mean `set`?");
    refused("match: {type: {set: a, b: c}}", "must be a glob, a list of globs or `{ set: NAME }`, not a mapping");
    refused("conditions: {param_not_in: {n: 5}}", "must be a list of the values it must not have, or `{ set: NAME }`");
    let misspelt = load("sets: {regions: [eu]}\nrules: [{conditions: {param_in: {r: {set: region}}}}]").unwrap_err();
    assert_eq!(
        misspelt,
        "p.yaml:2:43: rules[0].conditions.param_in.r.set: there is no set `region`, did you mean `regions`?"
    );
    for (sets, message) in [
        ("[a]", "sets: must be a mapping from names to lists of values, not a list"),
        ("{a: b}", "sets.a: must be a list of texts, numbers or booleans, not text"),
        ("{a: []}", "sets.a: must not be empty"),
        ("{a: [[1]]}", "sets.a[0]: must be a text, a number or a boolean, not a list"),
        ("{'': [a]}", "the name of a set has 1 to 64 characters"),
    ] {
        let errors = load(&format!("sets: {sets}\nrules: [{{}}]")).unwrap_err();
        assert!(errors.contains(message), "{sets}: {errors}");
    }
    // A set of a later layer is known to an earlier one.
    let layer = |name: &str, text: &str| Source { name: name.to_owned(), text: text.to_owned() };
    let rule = layer("a.yaml", "rules: [{match: {type: {set: late}}}]");
    assert!(Policy::load(&[rule.clone(), layer("b.yaml", "sets: {late: [x]}")]).is_ok());
    let number = Policy::load(&[rule, layer("b.yaml", "sets: {late: [7]}")]).unwrap_err().to_string();
    let message = "a.yaml:1:30: rules[0].match.type.set[0]: must be text (in quotes), not a number";
    assert!(number.contains(message), "{number}");
}

#[test]
fn the_uses_of_sets_are_bounded() {
    let values: Vec<String> = (0..20_000).map(|i| format!("v{i}")).collect();
    let rules = "  - {conditions: {param_in: {n: {set: all}}}}\n".repeat(100);
    let errors = load(&format!("sets: {{all: [{}]}}\nrules:\n{rules}", values.join(", "))).unwrap_err();
    assert!(errors.contains("all uses of sets together have more than 500000 values"), "{errors}");
}

#[test]
fn a_path_glob_that_matches_no_target_is_refused() {
    refused("match: {target_path: /a/../b}", "rules[0].match.target_path: `/a/../b` matches no target: `.` and `..`");
    refused("match: {target_path: [/a, /b/]}", "rules[0].match.target_path[1]: `/b/` matches no target");
    refused("match: {target_paht: /a}", "unknown key `target_paht`, did you mean `target_path`?");
}

#[test]
fn names_in_conditions_are_a_closed_list() {
    refused(
        "conditions: {param_eq: {owner: '${actor.name}'}}",
        "unknown name `${actor.name}`: there is only `${actor.id}`, the name of whoever proposes",
    );
    refused("conditions: {param_eq: {o: 'x-${actor.id}'}}", "must be the whole value, not a part of one");
    refused("conditions: {param_eq: {o: ['${actor.id}']}}", "must be the whole value");
    refused("conditions: {param_gt: {o: '${actor.id}'}}", "means nothing here: it goes with param_eq, param_in");
    refused("conditions: {param_schema: {o: {const: '${actor.id}'}}}", "means nothing here");
    assert!(warnings("conditions: {param_eq: {o: '${OWNER}'}}")[0].contains("stands for itself"));
    assert!(warnings("conditions: {param_eq: {o: '${actor.id}'}}\n    approval: auto").is_empty());
    let declared = warnings("conditions: {any: [{not: {param_in: {o: ['${actor.id}']}}}]}\n    approval: block");
    assert!(declared[0].contains("chooses what `${actor.id}` stands for"), "{declared:?}");
}

#[test]
fn lengths_and_parts_of_texts_are_read_strictly() {
    refused("conditions: {param_starts: {p: ''}}", "every text begins and ends with the empty one");
    refused("conditions: {param_ends: {p: 5}}", "must be text (in quotes), not a number");
    refused("conditions: {param_len: {p: -1}}", "must be a whole number from 0");
    refused("conditions: {param_len: {p: {}}}", "an empty one always holds");
    refused("conditions: {param_len: {p: {mn: 1}}}", "unknown key `mn`, did you mean `min`?");
    refused("conditions: {param_len: {p: {min: 5, max: 4}}}", "`max` (4) is below `min` (5)");
    refused("conditions: {param_len: {p: '5'}}", "must be a whole number, or a mapping with `min`, `max` or both");
    refused("conditions: {param_notin: {p: [1]}}", "unknown condition `param_notin`, did you mean `param_not_in`?");
}

#[test]
fn a_schema_is_read_strictly() {
    let wrong =
        |schema: &str, message: &str| refused(&format!("conditions: {{param_schema: {{o: {schema}}}}}"), message);
    wrong("{requird: [a]}", "param_schema.o.requird: unknown keyword `requird`, did you mean `required`?");
    wrong("{type: text}", "unknown type `text`, did you mean `string`?");
    wrong("{properties: {a: {minLength: '5'}}}", "properties.a.minLength: must be a whole number from 0, not text");
    wrong("{$ref: '#'}", "refers to no other");
    wrong("{format: email}", "is not checked");
    wrong("{pattern: '('}", "is not a regular expression");
    wrong("{type: []}", "must not be empty");
    wrong("5", "must be a schema: a mapping like { type: string, maxLength: 80 }, not a number");
}
