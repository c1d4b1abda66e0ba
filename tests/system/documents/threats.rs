//! The threat model of SECURITY.md names tests that there are, and every test of `tests/adversary`.

use std::collections::BTreeSet;

use aegis::domain::Defence;
use regex::Regex;

use super::{blocks, read, root};

/// The names of the tests in a file.
fn tests_in(source: &str) -> BTreeSet<String> {
    let test =
        Regex::new(r"#\[(?:tokio::)?test(?:\([^)]*\))?\]\n\s*(?:#\[.*\]\n\s*)*(?:async )?fn ([a-z_0-9]+)").unwrap();
    test.captures_iter(source).map(|found| found[1].to_owned()).collect()
}

/// Every test of `tests/adversary`, as the threat model names it.
fn adversary() -> BTreeSet<String> {
    let files = std::fs::read_dir(root().join("tests/adversary")).unwrap().map(|entry| entry.unwrap().path());
    let sources = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    sources
        .flat_map(|path| {
            let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
            tests_in(&std::fs::read_to_string(&path).unwrap()).into_iter().map(move |test| format!("{file}::{test}"))
        })
        .collect()
}

/// Whether there is a test of that name: `file::test` of `tests/adversary`, or `system::file::test`.
fn is_a_test(name: &str, adversary: &BTreeSet<String>) -> bool {
    if let Some(path) = name.strip_prefix("lib::") {
        let (file, test) = path.split_once("::tests::").expect("a module and a test");
        return tests_in(&read(&format!("src/{}.rs", file.replace("::", "/")))).contains(test);
    }
    match name.strip_prefix("system::").map(|rest| rest.split_once("::").expect("a file and a test")) {
        Some((file, test)) => tests_in(&read(&format!("tests/system/{file}.rs"))).contains(test),
        None => adversary.contains(name),
    }
}

#[test]
fn the_threat_model_names_tests_that_there_are_and_every_test_of_the_adversary() {
    let adversary = adversary();
    assert!(adversary.len() > 50, "{adversary:?}");
    let text = blocks::prose(&read("SECURITY.md"));
    let name = Regex::new(r"`([a-z_0-9]+(?:::[a-z_0-9]+)+)`").unwrap();
    let named: BTreeSet<String> = name.captures_iter(&text).map(|found| found[1].to_owned()).collect();
    let missing: Vec<&String> = named.iter().filter(|name| !is_a_test(name, &adversary)).collect();
    assert!(missing.is_empty(), "SECURITY.md names what is no test: {missing:#?}");
    let unnamed: Vec<&String> = adversary.difference(&named).collect();
    assert!(unnamed.is_empty(), "SECURITY.md does not name: {unnamed:#?}");
}

#[test]
fn each_defence_has_a_test_that_fails_without_it() {
    let adversary = adversary();
    let mut left: BTreeSet<&str> = Defence::ALL.iter().map(|defence| defence.as_str()).collect();
    for line in read("tests/adversary/defences").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [defence, test] = words[..] else { panic!("not a defence and a test: {line}") };
        assert!(left.remove(defence), "`{defence}` is no defence, or stands here twice");
        assert!(is_a_test(test, &adversary), "{defence}: there is no test {test}");
    }
    assert!(left.is_empty(), "tests/adversary/defences has no test for {left:?}");
}
