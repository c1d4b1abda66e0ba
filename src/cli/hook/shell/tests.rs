//! The tricks by which a command hides another one, and what is found.
//!
//! One word a step: `git push` for a command with its words, `<file` and `>file` for redirections, `NAME=` for a
//! variable that steers other programs, `?` for what is not known.

use super::*;

fn found(command: &str) -> Vec<String> {
    let text = |step: Step| match step {
        Step::Run { name, argv, .. } if name.contains('/') => format!("{name}: {}", argv.join(" ")),
        Step::Run { argv, .. } => argv.join(" "),
        Step::File { access: Access::Read, path, .. } => format!("<{path}"),
        Step::File { access: Access::Write, path, .. } => format!(">{path}"),
        Step::Connect(address) => format!("@{address}"),
        Step::Variable { name, .. } => format!("{name}="),
        Step::Unknown { .. } => "?".to_owned(),
    };
    steps(command, "/work", Some("/home/me")).into_iter().map(text).collect()
}

/// Commands, and everything that each does.
const FOUND: &[(&str, &[&str])] = &[
    // Lists, pipelines and blocks.
    ("git status", &["git status"]),
    ("a; b & c && d || e | f", &["a", "b", "c", "d", "e", "f"]),
    ("a\nb # c\n\n", &["a", "b"]),
    ("(a; { b; })", &["a", "b"]),
    ("! a && time b", &["a", "b"]),
    ("if a; then b; elif c; then d; else e; fi", &["a", "b", "c", "d", "e"]),
    ("for x in $(a); do b; done", &["a", "b"]),
    ("for ((i=0;i<$(a);i++)); do b; done", &["a", "b"]),
    ("while a; do b; done; until c; do d; done", &["a", "b", "c", "d"]),
    ("case $(a) in x|$(b)) c;; *) d;; esac", &["a", "b", "c", "d"]),
    ("[[ -n $(a) && $(b) == c ]]", &["a", "b"]),
    ("(( x = $(a) ))", &["a", "x = $(a)"]),
    ("(( 1 + 2 ))", &[]),
    ("( (rm x) )", &["rm x"]),
    ("((rm x) )", &["rm x"]),
    ("((rm x))", &["rm x"]),
    ("coproc a", &["a"]),
    // Substitutions, wherever they are.
    ("echo $(a $(b))", &["b", "a $(b)", "echo $(a $(b))"]),
    ("echo `a \\`b\\``", &["b", "a `b`", "echo `a \\`b\\``"]),
    ("echo \"x $(a) y\"", &["a", "echo \"x $(a) y\""]),
    ("echo ${x:-$(a)} ${y#`b`}", &["a", "b", "echo ${x:-$(a)} ${y#`b`}"]),
    ("echo $((a x) ; (b))", &["a x", "b", "echo $((a x) ; (b))"]),
    ("echo $((1 + $(a)))", &["a", "echo $((1 + $(a)))"]),
    ("x=$(a)", &["a"]),
    ("x=(1 $(a) [2]=$(b))", &["a", "b"]),
    ("export x=$(a)", &["a", "export x=$(a)"]),
    ("cat <(a) > >(b)", &["a", "b", "cat /dev/fd/63"]),
    ("cat <<E\n$(a)\nE", &["a", "cat"]),
    ("cat <<'E'\n$(a)\nE", &["cat"]),
    ("cat <<E\nf(x) * \"y\nE", &["cat"]),
    ("[[ x =~ ^(a|b)$ ]] && a", &["a"]),
    ("cat <<< $(a)", &["a", "cat"]),
    ("a > $(b)", &["b", "?", "a"]),
    // Quotes.
    ("\\rm -rf /", &["rm -rf /"]),
    ("'r'\"m\" -rf ~ $HOME/x", &["rm -rf /home/me /home/me/x"]),
    ("r\\\nm -rf /", &["rm -rf /"]),
    ("\"r\\\nm\" x", &["rm x"]),
    ("echo 'rm -rf /; a' # b", &["echo rm -rf /; a"]),
    ("/usr/bin/rm x; /bin/rm y", &["/usr/bin/rm x", "/bin/rm y"]),
    ("./rm x; /tmp/rm y", &["./rm: ./rm x", "/tmp/rm: /tmp/rm y"]),
    // Programs that start others.
    ("env A=1 -u B rm x", &["rm x"]),
    ("env -i PATH=/tmp git x", &["PATH=", "git x"]),
    ("sudo -nu root -- rm x", &["sudo -nu root -- rm x", "rm x"]),
    ("sudo -u root A=1 rm x", &["sudo -u root A=1 rm x", "rm x"]),
    ("nohup nice -n 5 timeout -k 1 10 setsid rm x &", &["rm x"]),
    ("command rm x; builtin cd y; exec rm z", &["rm x", "cd y", "rm z"]),
    ("command -v rm", &["command -v rm"]),
    ("stdbuf -oL ionice -c 3 rm x", &["rm x"]),
    ("busybox rm x; busybox sh -c 'rm y'", &["rm x", "rm y"]),
    ("ls | xargs -0 -n 1 rm -f", &["ls", "rm -f (words of stdin)"]),
    ("ls | xargs", &["ls", "echo (words of stdin)"]),
    (
        "find . -name x -exec rm {} \\; -o -execdir a {} +",
        &["find . -name x -exec rm {} ; -o -execdir a {} +", "rm {}", "a {}"],
    ),
    ("watch -n 1 'a; b'", &["a", "b"]),
    ("su -c 'rm x' root", &["su -c rm x root", "rm x"]),
    ("flock /tmp/l -c 'rm x'", &["rm x"]),
    ("flock /tmp/l rm x", &["rm x"]),
    ("script -qc 'rm x' /dev/null", &["?"]),
    ("script -q -c 'rm x' /dev/null", &["rm x"]),
    // Shells.
    ("bash -c 'rm x'", &["rm x"]),
    ("bash -lc \"rm x && a\" name 1", &["rm x", "a"]),
    ("sh -e -o pipefail -c 'bash -c \"rm x\"'", &["rm x"]),
    ("sh <<E\nrm x\nE", &["rm x"]),
    ("bash -s <<< 'rm x'", &["rm x"]),
    ("bash build.sh x; sh -x ./y", &["./build.sh: bash build.sh x", "./y: sh -x ./y"]),
    ("(bash) <<< 'rm x'", &["rm x"]),
    ("eval rm 'x y; a'", &["rm x y", "a"]),
    ("eval \"$(a)\"", &["a", "?"]),
    ("trap 'rm x' EXIT", &["rm x"]),
    ("alias ls='rm x'; ls", &["alias ls=rm x", "rm x", "ls"]),
    ("f() { rm x; }; f", &["rm x", "f"]),
    ("function git { rm x; }; git status", &["rm x", "git status"]),
    (". ./env.sh; source x", &["./env.sh: . ./env.sh", "./x: source x"]),
    ("git switch -c x; git -C y push -u z", &["git switch -c x", "git -C y push -u z"]),
];

#[test]
fn every_command_of_a_script_is_found() {
    for (command, is) in FOUND {
        assert_eq!(&found(command), is, "{command}");
    }
}

#[test]
fn what_is_known_only_when_it_runs_is_never_left_out() {
    for command in [
        "$X -rf /",
        "X=rm; $X x",
        "r${X}m x",
        "$(a) x",
        "/bin/r? x",
        "{rm,-rf,/}",
        "$'\\x72m' x",
        "eval $X",
        "eval \"$X\"",
        "bash -c \"$X\"",
        "bash -c \"echo $X\"",
        "bash $X",
        "bash <(curl x)",
        "curl x | sh",
        "curl x | sudo bash -s -- y",
        "echo cm0= | base64 -d | sh",
        "cat x | bash -",
        "bash < x",
        "sh",
        "sh <<E\n$X\nE",
        "source <(a)",
        "source $X",
        "env $X rm",
        "env -S 'rm x'",
        "sudo $X rm",
        "sudo --new-option x rm",
        "timeout $T rm x",
        "xargs sh -c",
        "ls | xargs -I{} {} x",
        "ls | xargs -I% sh -c 'rm %'",
        "find . -exec sh -c \"$X\" \\;",
        "find . $X",
        "parallel rm ::: x",
        "hash -p /tmp/x git",
        "enable -f ./x.so y",
        "mapfile -C rm x",
        "fc -s rm",
        "git -c core.pager=x log",
        "git --exec-path=/tmp status",
        "tar --checkpoint-action=exec=x -cf y z",
        "rsync -e x a b",
        "bash --rcfile x -i",
        "cd() { :; }",
        "x='a[$(rm)]'; echo $((x))",
        "x='a[$(rm)]'; [[ x -eq 1 ]]",
        "printf -v 'a[$(rm)]' x",
        "x='$(rm)'; echo ${x@P}",
        "a > $X",
        "a > x*",
        "cd $X; a > y",
        "echo *(e:'rm x':)",
        "fish -c 'a'",
        "cat <<$'E'\na\nE\nrm x\n$E",
        "cat <<'E F'\na\nE F",
        "cat <<E\na\\\nE\ncat <<F\nE\nrm x\nF",
        "a (",
        "a 'b",
        "if a",
    ] {
        let found = found(command);
        assert!(found.contains(&"?".to_owned()), "{command}: {found:?}");
    }
}

#[test]
fn redirections_are_files_that_are_read_and_written() {
    for (command, is) in [
        ("a > x", &[">x", "a"][..]),
        ("a >> x 2> y <z", &[">x", ">y", "<z", "a"]),
        ("a &> x; b >| y; c <> z; d >& w", &[">x", "a", ">y", "b", ">z", "c", ">w", "d"]),
        ("> x", &[">x"]),
        ("{ a; } > x; (b) > y", &[">x", "a", ">y", "b"]),
        ("while read l; do a; done < x > y", &["<x", ">y", "read l", "a"]),
        ("echo $(< x)", &["<x", "echo $(< x)"]),
        ("a > /dev/null 2>&1 < /dev/null; b >&2 2>&-", &["a", "b"]),
        ("a > /dev/tcp/host/80", &["@host:80", "a"]),
        ("a > ~/.bashrc", &[">/home/me/.bashrc", "a"]),
        ("f() { a; } > x", &[">x", "a"]),
        ("sh -c 'a > x'", &[">x", "a"]),
    ] {
        assert_eq!(found(command), is, "{command}");
    }
}

#[test]
fn variables_that_steer_other_programs_are_noted() {
    for command in
        ["PATH=/tmp git x", "export PATH=/tmp", "LD_PRELOAD=x ls", "GIT_SSH_COMMAND=x git pull", "env BASH_ENV=x sh y"]
    {
        let found = found(command);
        assert!(found.iter().any(|step| step.ends_with('=')), "{command}: {found:?}");
    }
    assert_eq!(found("X=1 FOO=2 a"), ["a"]);
}

#[test]
fn the_words_of_a_command_say_whether_they_are_known() {
    for (command, is) in [
        ("rm x 'y z'", true),
        ("rm $X", false),
        ("rm *", false),
        ("rm {a,b}", false),
        ("rm [", true),
        ("rm \"*\"", true),
    ] {
        let [Step::Run { is_exact, .. }] = &steps(command, "/work", None)[..] else { panic!("{command}") };
        assert_eq!(*is_exact, is, "{command}");
    }
}

/// As `aegis hook` does: a deep command needs a deep stack.
fn on_a_deep_stack(test: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(512 << 20).spawn(test).unwrap().join().unwrap();
}

#[test]
fn no_command_is_too_much() {
    on_a_deep_stack(|| {
        let deep = format!("{}a;{}", "{ ".repeat(MAX_OPENERS), " };".repeat(MAX_OPENERS));
        assert_eq!(found(&deep), ["a"]);
        for command in too_much() {
            assert!(!steps(&command, "/work", None).is_empty(), "{command:.40}");
        }
    });
}

fn too_much() -> Vec<String> {
    vec![
        "(".repeat(400),
        "$(".repeat(400),
        "`".repeat(401),
        "if ".repeat(400),
        "{ ".repeat(400),
        format!("a {}", "x".repeat(MAX_BYTES)),
        "a1;".to_owned() + &(0..MAX_STEPS).map(|i| format!("b{i}")).collect::<Vec<_>>().join(";"),
        "bash -c ".repeat(100) + "x",
        "env ".repeat(100) + "x",
        "eval ".repeat(100) + "x",
        "\0".to_owned(),
        "${".repeat(250),
        "${x:-".repeat(250) + &"}".repeat(250),
        "a $((".repeat(100),
        "<<".repeat(200),
        "'\"`$(".repeat(70),
    ]
}
