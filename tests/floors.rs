//! Checks the structure: no folder of `src` imports one above it, and no two files import each other, in `src` or in
//! an SDK.
//!
//! Everything is read from the sources. The tests in a file do not count. Neither does a re-export, which only passes
//! a name on. Go needs no check: its compiler refuses packages that import each other.
#![expect(clippy::panic, reason = "all of this is a test, and a test says what it expects")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// The floors, top to bottom. Each uses only the ones below it.
const FLOORS: [&str; 16] = [
    "main",
    "cli",
    "daemon",
    "server",
    "auth",
    "outbound",
    "governance",
    "approvals",
    "limits",
    "audit",
    "store",
    "policy",
    "proto",
    "watcher",
    "metrics",
    "domain",
];

/// Which file uses which. Paths begin at the root of the repository.
type Imports = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

fn files(root: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).unwrap_or_else(|error| panic!("{}: {error}", root.display())) {
        let path = entry.expect("a directory can be listed").path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is right")
}

/// The modules of the crate by path (`audit::log::record`), with their code without comments, texts and tests.
fn modules() -> BTreeMap<Vec<String>, (PathBuf, String)> {
    let noise = pattern(r#"(?s)//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*""#);
    let tests = pattern(r"#\[cfg\(test\)\]\s*(?:pub(?:\([^)]*\))?\s+)?mod tests \{");
    let mut modules = BTreeMap::new();
    for file in files(Path::new("src"), "rs") {
        let mut path: Vec<String> =
            file.with_extension("").iter().skip(1).map(|step| step.to_string_lossy().into_owned()).collect();
        let is_test = |step: &String| step == "tests" || step == "testing" || step == "fuzzing";
        if path.iter().any(is_test) {
            continue;
        }
        if path.last().is_some_and(|last| last == "mod" || last == "lib") {
            path.pop();
        }
        let text = fs::read_to_string(&file).expect("a source file is text");
        let code = noise.replace_all(&text, "").into_owned();
        let code = tests.split(&code).next().unwrap_or_default().to_owned();
        modules.insert(path, (file, code));
    }
    modules
}

/// Every path in a `use`: `a::{b, c::{d as e, self}}` is `a::b`, `a::c::d` and `a::c`.
fn expand(tree: &str, before: &[String], into: &mut Vec<Vec<String>>) {
    let (head, group) = tree.split_once('{').map_or((tree, None), |(head, rest)| (head, rest.rsplit_once('}')));
    let mut path = before.to_vec();
    for step in head.split(" as ").next().unwrap_or_default().split("::").map(str::trim) {
        if !step.is_empty() && (step != "self" || path.is_empty()) {
            path.push(step.to_owned());
        }
    }
    let Some((group, _)) = group else { return into.push(path) };
    let (mut depth, mut start) = (0, 0);
    for (i, byte) in group.bytes().chain([b',']).enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                let one = group[start..i].trim();
                if !one.is_empty() {
                    expand(one, &path, into);
                }
                start = i + 1;
            }
            _ => {}
        }
    }
}

/// The absolute paths within the crate that a module names, and separately those that it re-exports.
fn named(module: &[String], code: &str) -> (Vec<Vec<String>>, Vec<Vec<String>>) {
    let imports = pattern(r"(?s)(pub(?:\([^)]*\))?\s+)?\buse\s+([^;]+);");
    let inline = pattern(r"\b(?:crate|super)(?:::[A-Za-z_][A-Za-z0-9_]*)+");
    let (mut used, mut passed_on) = (Vec::new(), Vec::new());
    for found in imports.captures_iter(code) {
        expand(&found[2], &[], if found.get(1).is_some() { &mut passed_on } else { &mut used });
    }
    // `pub(in crate::a)` says who may name something, and imports nothing.
    let visibility = pattern(r"pub\(in [^)]*\)");
    let rest = imports.replace_all(code, "");
    let rest = visibility.replace_all(&rest, "");
    used.extend(inline.find_iter(&rest).map(|path| path.as_str().split("::").map(str::to_owned).collect()));
    let absolute = |paths: Vec<Vec<String>>| {
        let steps = paths.into_iter().filter_map(|path| {
            let ups = path.iter().take_while(|step| *step == "super").count();
            match path[0].as_str() {
                "crate" => Some(path[1..].to_vec()),
                "super" => Some([&module[..module.len().checked_sub(ups)?], &path[ups..]].concat()),
                "self" => Some([module, &path[1..]].concat()),
                // Either a child without a prefix, or a path of another crate, which matches no module.
                _ => Some([module, &path[..]].concat()),
            }
        });
        steps.collect::<Vec<_>>()
    };
    (absolute(used), absolute(passed_on))
}

fn rust() -> Imports {
    let modules = modules();
    let named: BTreeMap<_, _> = modules.iter().map(|(path, (_, code))| (path, named(path, code))).collect();
    // The file that defines what a path names: the deepest module on the path, or the module that this one re-exports.
    let defined_by = |path: &[String]| {
        let mut path = path.to_vec();
        for _ in 0..10 {
            let depth = (0..=path.len()).rev().find(|depth| modules.contains_key(&path[..*depth]))?;
            let name = path.get(depth)?.clone();
            let passed_on = &named[&path[..depth].to_vec()].1;
            match passed_on.iter().find(|passed| passed.last() == Some(&name) && passed.len() > depth) {
                Some(definer) => path.clone_from(definer),
                None => return Some(path[..depth].to_vec()),
            }
        }
        None
    };
    let mut imports = Imports::new();
    for (module, (file, _)) in &modules {
        let used = named[module].0.iter().filter_map(|path| {
            // The use of a whole module is the use of its file.
            let whole = modules.contains_key(path).then(|| path.clone());
            whole.or_else(|| defined_by(path)).filter(|used| used != module && !used.is_empty())
        });
        let used = used.map(|used| modules[&used].0.clone()).collect();
        imports.insert(file.clone(), used);
    }
    imports
}

fn python() -> Imports {
    let root = Path::new("clients/python/src");
    let found = files(root, "py");
    let of = |dots: &Path| {
        let (module, package) = (dots.with_extension("py"), dots.join("__init__.py"));
        [module, package].into_iter().find(|path| found.contains(path))
    };
    let from = pattern(r"(?m)^\s*from\s+(\.*)([\w.]*)\s+import\s+(?:\(([^)]*)\)|([^\n]*))");
    let whole = pattern(r"(?m)^\s*import\s+(aegis[\w.]*)");
    let mut imports = Imports::new();
    for file in found.iter().filter(|file| !file.iter().any(|step| step == "_proto")) {
        let text = fs::read_to_string(file).expect("a source file is text");
        // An `__init__.py` without code only passes names on.
        if file.ends_with("__init__.py") && !text.contains("\ndef ") && !text.contains("\nclass ") {
            continue;
        }
        let mut used = BTreeSet::new();
        for found in from.captures_iter(&text) {
            let base = match found[1].len() {
                0 => root.to_owned(),
                dots => file.ancestors().nth(dots).expect("a package within the tree").to_owned(),
            };
            let base = found[2].split('.').filter(|step| !step.is_empty()).fold(base, |at, step| at.join(step));
            let names = found.get(3).or(found.get(4)).map_or("", |names| names.as_str());
            for name in names.split(',') {
                let name = name.split('#').next().unwrap_or_default().split(" as ").next().unwrap_or_default().trim();
                used.extend(of(&base.join(name)).or_else(|| of(&base)));
            }
        }
        used.extend(whole.captures_iter(&text).filter_map(|found| of(&root.join(found[1].replace('.', "/")))));
        used.retain(|path| path != file);
        imports.insert(file.clone(), used);
    }
    imports
}

fn typescript() -> Imports {
    let import = pattern(r#"(?m)^\s*(?:import|export)\b[^;]*?\bfrom\s+"(\.[^"]*)""#);
    let mut imports = Imports::new();
    for file in files(Path::new("clients/typescript/src"), "ts") {
        let text = fs::read_to_string(&file).expect("a source file is text");
        let used = import.captures_iter(&text).map(|found| {
            let mut path = file.parent().expect("a folder").to_owned();
            for step in found[1].trim_end_matches(".js").split('/') {
                match step {
                    "." => {}
                    ".." => drop(path.pop()),
                    step => path.push(step),
                }
            }
            path.with_added_extension("ts")
        });
        let used = used.collect();
        imports.insert(file, used);
    }
    imports
}

/// The groups of files that import each other, directly or through others. Empty if there are none.
fn circles(imports: &Imports) -> Vec<Vec<PathBuf>> {
    let reaches = |from: &PathBuf| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(file) = next.pop() {
            for used in imports.get(file).into_iter().flatten() {
                if seen.insert(used.clone()) {
                    next.push(used);
                }
            }
        }
        seen
    };
    let closure: BTreeMap<_, _> = imports.keys().map(|file| (file, reaches(file))).collect();
    let mut circles = BTreeSet::new();
    for (file, seen) in &closure {
        if seen.contains(*file) {
            let circle = seen.iter().filter(|other| closure.get(other).is_some_and(|seen| seen.contains(*file)));
            circles.insert(circle.cloned().collect::<Vec<_>>());
        }
    }
    circles.into_iter().collect()
}

#[test]
fn no_two_files_import_each_other() {
    for (what, imports) in [("src", rust()), ("the Python SDK", python()), ("the TypeScript SDK", typescript())] {
        assert!(imports.values().map(BTreeSet::len).sum::<usize>() > 20, "the imports of {what} are not found");
        let circles = circles(&imports);
        assert!(circles.is_empty(), "{what} has files that import each other: {circles:#?}");
    }
}

#[test]
fn no_folder_imports_one_above_it() {
    let floor = |file: &Path| {
        let name = file.iter().nth(1).map(|step| step.to_string_lossy().trim_end_matches(".rs").to_owned());
        let name = name.unwrap_or_default();
        let at = FLOORS.iter().position(|floor| **floor == name);
        (at.unwrap_or_else(|| panic!("{} is on no floor: give it one in FLOORS", file.display())), name)
    };
    let mut upward = Vec::new();
    for (file, used) in rust() {
        if file == Path::new("src/lib.rs") {
            continue;
        }
        let (here, _) = floor(&file);
        upward.extend(used.iter().filter(|used| floor(used).0 < here).map(|used| format!("{file:?} -> {used:?}")));
    }
    assert!(upward.is_empty(), "imports that run upward: {upward:#?}");
}

#[test]
fn a_circle_of_any_length_is_found() {
    let file = |name: &str| PathBuf::from(name);
    let imports = |arrows: &[(&str, &str)]| {
        let mut imports = Imports::new();
        for (from, to) in arrows {
            imports.entry(file(from)).or_default().insert(file(to));
        }
        imports
    };
    assert!(circles(&imports(&[("a", "b"), ("b", "c"), ("a", "c")])).is_empty());
    assert_eq!(circles(&imports(&[("a", "b"), ("b", "a")])), [[file("a"), file("b")]]);
    assert_eq!(circles(&imports(&[("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")])).len(), 1);
}
