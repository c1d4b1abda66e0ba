//! Programs that start another program, as data: what their options are, and where the other command begins.
//!
//! An option that is not listed here makes the command unknown: its value could be taken for the command.

/// A program that starts another one.
pub(super) struct Wrapper {
    pub(super) name: &'static str,
    /// Short options without a value, and with one.
    pub(super) flags: &'static str,
    pub(super) values: &'static str,
    /// Long options without a value, and with one.
    pub(super) long_flags: &'static [&'static str],
    pub(super) long_values: &'static [&'static str],
    /// How many operands come before the command.
    pub(super) operands: usize,
    /// Options whose value is a script.
    pub(super) scripts: &'static [&'static str],
    pub(super) starts: Starts,
    /// Whether it is an action itself, because it changes who runs the command, or what with.
    pub(super) is_action: bool,
}

/// How the rest of the words is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Starts {
    /// As a command.
    Command,
    /// As a command, with more words from the input.
    CommandWithInput,
    /// As a script: a shell runs the words, joined by blanks.
    Script,
    /// Not at all: only an option names a script. Without it, a shell reads its input.
    Shell,
}

const PLAIN: Wrapper = Wrapper {
    name: "",
    flags: "",
    values: "",
    long_flags: &[],
    long_values: &[],
    operands: 0,
    scripts: &[],
    starts: Starts::Command,
    is_action: false,
};

/// Every wrapper that is known.
const WRAPPERS: &[Wrapper] = &[
    Wrapper { name: "builtin", ..PLAIN },
    Wrapper { name: "busybox", ..PLAIN },
    Wrapper { name: "caffeinate", flags: "dimsu", values: "tw", ..PLAIN },
    Wrapper {
        name: "chroot",
        long_flags: &["--skip-chdir"],
        long_values: &["--groups", "--userspec"],
        operands: 1,
        is_action: true,
        ..PLAIN
    },
    Wrapper { name: "chrt", flags: "abfioprRdm", values: "TPD", operands: 1, ..PLAIN },
    Wrapper { name: "command", flags: "p", ..PLAIN },
    Wrapper { name: "doas", flags: "nLs", values: "Cu", is_action: true, ..PLAIN },
    Wrapper {
        name: "env",
        flags: "i0v",
        values: "uC",
        long_flags: &["--ignore-environment", "--null", "--debug"],
        long_values: &["--unset", "--chdir"],
        ..PLAIN
    },
    Wrapper { name: "exec", flags: "cl", values: "a", ..PLAIN },
    Wrapper {
        name: "flock",
        flags: "seuxnoF",
        values: "wE",
        long_flags: &["--shared", "--exclusive", "--unlock", "--nonblock", "--nb", "--close", "--no-fork", "--verbose"],
        long_values: &["--wait", "--timeout", "--conflict-exit-code"],
        operands: 1,
        scripts: &["-c", "--command"],
        ..PLAIN
    },
    Wrapper { name: "ionice", flags: "t", values: "cn", long_flags: &["--ignore"], long_values: &["--class"], ..PLAIN },
    Wrapper { name: "nice", values: "n", long_values: &["--adjustment"], ..PLAIN },
    Wrapper { name: "nocorrect", ..PLAIN },
    Wrapper { name: "noglob", ..PLAIN },
    Wrapper { name: "nohup", ..PLAIN },
    Wrapper { name: "pkexec", long_flags: &["--keep-cwd"], long_values: &["--user"], is_action: true, ..PLAIN },
    Wrapper { name: "repeat", operands: 1, ..PLAIN },
    Wrapper {
        name: "runuser",
        flags: "lmpfP-",
        values: "uggGsw",
        long_flags: &["--login", "--preserve-environment", "--fast", "--pty"],
        long_values: &["--user", "--group", "--supp-group", "--shell", "--whitelist-environment"],
        scripts: &["-c", "--command", "--session-command"],
        is_action: true,
        ..PLAIN
    },
    Wrapper {
        name: "script",
        flags: "aefqr",
        values: "EImoOBT",
        long_flags: &["--append", "--return", "--flush", "--force", "--quiet"],
        scripts: &["-c", "--command"],
        starts: Starts::Shell,
        ..PLAIN
    },
    Wrapper { name: "setsid", flags: "cfw", long_flags: &["--ctty", "--fork", "--wait"], ..PLAIN },
    Wrapper { name: "stdbuf", values: "ioe", long_values: &["--input", "--output", "--error"], ..PLAIN },
    Wrapper { name: "strace", flags: "fFcCdhiknqrtTvVxy", values: "abeEIoOpPsSuX", ..PLAIN },
    Wrapper {
        name: "su",
        flags: "lmpfP",
        values: "gGsw",
        long_flags: &["--login", "--preserve-environment", "--fast", "--pty"],
        long_values: &["--group", "--supp-group", "--shell", "--whitelist-environment"],
        scripts: &["-c", "--command", "--session-command"],
        starts: Starts::Shell,
        is_action: true,
        ..PLAIN
    },
    Wrapper {
        name: "sudo",
        flags: "ABbEHknPS",
        values: "CDghpRrtTuU",
        long_flags: &["--askpass", "--background", "--preserve-env", "--set-home", "--non-interactive", "--stdin"],
        long_values: &["--chdir", "--group", "--host", "--prompt", "--chroot", "--user", "--role", "--type"],
        is_action: true,
        ..PLAIN
    },
    Wrapper { name: "taskset", flags: "a", long_flags: &["--all-tasks"], operands: 1, ..PLAIN },
    Wrapper { name: "time", flags: "pv", ..PLAIN },
    Wrapper {
        name: "timeout",
        flags: "fpv",
        values: "ks",
        long_flags: &["--preserve-status", "--foreground", "--verbose"],
        long_values: &["--kill-after", "--signal"],
        operands: 1,
        ..PLAIN
    },
    Wrapper { name: "toybox", ..PLAIN },
    Wrapper { name: "unbuffer", flags: "p", ..PLAIN },
    Wrapper {
        name: "watch",
        flags: "bcdegptwC",
        values: "nq",
        long_flags: &["--differences", "--errexit", "--no-title", "--chgexit", "--color", "--beep", "--precise"],
        long_values: &["--interval"],
        starts: Starts::Script,
        ..PLAIN
    },
    Wrapper {
        name: "xargs",
        flags: "0prtxo",
        values: "adEIiLlnPs",
        long_flags: &["--null", "--no-run-if-empty", "--verbose", "--interactive", "--exit", "--open-tty"],
        long_values: &[
            "--arg-file",
            "--delimiter",
            "--max-args",
            "--max-procs",
            "--replace",
            "--max-lines",
            "--max-chars",
        ],
        starts: Starts::CommandWithInput,
        ..PLAIN
    },
];

/// The wrapper of this name.
pub(super) fn wrapper(name: &str) -> Option<&'static Wrapper> {
    WRAPPERS.iter().find(|wrapper| wrapper.name == name)
}

/// Shells: their script is an option's value, a file, or their input.
pub(super) const SHELLS: &[&str] = &["sh", "bash", "dash", "zsh", "ksh", "ksh93", "mksh", "ash", "rbash", "hush"];

/// The directories of the system's programs. A name in one of them and the bare name are the same program.
pub(super) const SYSTEM: &[&str] = &[
    "/bin",
    "/sbin",
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/opt/homebrew/bin",
    "/run/current-system/sw/bin",
];

/// Builtins that run text from elsewhere, with the option that does it; `""` means always.
pub(super) const HIDDEN: &[(&str, &[&str])] = &[
    ("bind", &["-x"]),
    ("compgen", &["-C", "-F"]),
    ("complete", &["-C", "-F"]),
    ("enable", &["-f"]),
    ("fc", &[""]),
    ("hash", &["-p"]),
    ("mapfile", &["-C"]),
    ("parallel", &[""]),
    ("readarray", &["-C"]),
    ("zmodload", &[""]),
];

/// Options by which a program runs another one, or loads code: the program is an action, and what runs is unknown.
pub(super) const CODE: &[(&str, &[&str])] = &[
    ("csh", &[""]),
    ("fish", &[""]),
    ("git", &["-c", "--config-env", "--exec-path"]),
    ("man", &["-P", "--pager"]),
    ("nsenter", &[""]),
    ("pwsh", &[""]),
    ("rsync", &["-e", "--rsh", "--rsync-path"]),
    ("scp", &["-o", "-S"]),
    ("sort", &["--compress-program"]),
    ("ssh", &["-o", "-F"]),
    ("systemd-run", &[""]),
    (
        "tar",
        &[
            "-I",
            "-F",
            "--to-command",
            "--checkpoint-action",
            "--use-compress-program",
            "--info-script",
            "--rsh-command",
        ],
    ),
    ("tcsh", &[""]),
    ("unshare", &[""]),
    ("vim", &["-c", "--cmd", "-S"]),
    ("vi", &["-c", "--cmd", "-S"]),
    ("nvim", &["-c", "--cmd", "-S"]),
];

/// Variables that change what later commands run. A `*` at the end stands for anything.
const VARIABLES: &[&str] = &[
    "BASHOPTS",
    "BASH_ENV",
    "BASH_FUNC_*",
    "CDPATH",
    "DYLD_*",
    "EDITOR",
    "ENV",
    "GIT_*",
    "HOME",
    "IFS",
    "LD_*",
    "LESSOPEN",
    "LESSCLOSE",
    "MANPAGER",
    "NODE_OPTIONS",
    "PAGER",
    "PATH",
    "PERL5*",
    "PROMPT_COMMAND",
    "PS4",
    "PYTHON*",
    "RUBY*",
    "SHELL",
    "SHELLOPTS",
    "VISUAL",
    "ZDOTDIR",
    "RUSTC_WRAPPER",
    "AEGIS_*",
];

/// Whether this variable changes what later commands run.
pub(super) fn steers(variable: &str) -> bool {
    VARIABLES.iter().any(|known| match known.strip_suffix('*') {
        Some(start) => variable.starts_with(start),
        None => *known == variable,
    })
}
