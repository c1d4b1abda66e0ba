//! A terminal for a command of the binary under test: what it shows, and keys for it.

use std::io::{Read as _, Write};
use std::sync::{Arc, Mutex};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use super::daemon::{AEGIS, Daemon, eventually, without};

/// A command on a terminal of its own. It is killed when this is dropped.
pub(crate) struct Terminal {
    screen: Arc<Mutex<vt100::Parser>>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    _master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    /// Starts `aegis` with these arguments, on a screen of so many columns and rows.
    pub(crate) fn start(daemon: &Daemon, arguments: &[&str], size: (u16, u16)) -> Self {
        Self::start_with(daemon, arguments, size, &[])
    }

    /// The same with these variables.
    pub(crate) fn start_with(
        daemon: &Daemon,
        arguments: &[&str],
        size: (u16, u16),
        variables: &[(&str, &str)],
    ) -> Self {
        let mut command = CommandBuilder::new(AEGIS);
        command.args(arguments);
        Self::spawn(daemon, command, size, variables)
    }

    /// Starts a script of bash, in which `"$0"` is `aegis`.
    pub(crate) fn script(daemon: &Daemon, script: &str, size: (u16, u16)) -> Self {
        let mut command = CommandBuilder::new("bash");
        command.args(["--noprofile", "--norc", "-c", script, AEGIS]);
        Self::spawn(daemon, command, size, &[])
    }

    fn spawn(
        daemon: &Daemon,
        mut command: CommandBuilder,
        (cols, rows): (u16, u16),
        variables: &[(&str, &str)],
    ) -> Self {
        command.env_clear();
        for (name, value) in variables {
            command.env(name, value);
        }
        command.env("AEGIS_DATA_DIR", daemon.data_dir());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("TERM", "xterm-256color");
        if let Some((name, defences)) = without() {
            command.env(name, defences);
        }
        let size = PtySize { rows, cols, ..PtySize::default() };
        let pair = native_pty_system().openpty(size).expect("there is a pseudo-terminal");
        let child = pair.slave.spawn_command(command).expect("the command starts");
        drop(pair.slave);
        let mut output = pair.master.try_clone_reader().expect("the terminal can be read");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, cols, 0)));
        let shown = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                shown.lock().expect("the screen is whole").process(&bytes[..count]);
            }
        });
        let keys = pair.master.take_writer().expect("the terminal can be written");
        Self { screen, keys, child, _master: pair.master }
    }

    /// What the screen shows.
    pub(crate) fn screen(&self) -> String {
        self.screen.lock().expect("the screen is whole").screen().contents()
    }

    /// Whether anything on the screen has a colour.
    pub(crate) fn has_colours(&self) -> bool {
        let parser = self.screen.lock().expect("the screen is whole");
        let (rows, columns) = parser.screen().size();
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let plain =
            |cell: &vt100::Cell| cell.fgcolor() == vt100::Color::Default && cell.bgcolor() == vt100::Color::Default;
        cells.filter_map(|(row, column)| parser.screen().cell(row, column)).any(|cell| !plain(cell))
    }

    /// The line of the screen, from 1, that contains this.
    pub(crate) fn line_of(&self, text: &str) -> usize {
        let screen = self.screen();
        let found = screen.lines().position(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("no line has `{text}`:\n{screen}")) + 1
    }

    /// Presses these keys again and again until the screen is like this: for keys that may come before what they are
    /// for, and do no harm twice.
    pub(crate) async fn press_until(&mut self, keys: &str, what: &str, is_so: impl Fn(&str) -> bool) {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
        while !is_so(&self.screen()) {
            assert!(tokio::time::Instant::now() < deadline, "the screen never showed `{what}`:\n{}", self.screen());
            self.press(keys);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Waits until the screen shows this.
    pub(crate) async fn shows(&self, text: &str) {
        self.until(text, |screen| screen.contains(text)).await;
    }

    /// Waits until the screen is like this.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let looked = eventually(what, || {
            let screen = self.screen();
            std::future::ready(is_so(&screen).then_some(()))
        });
        let found = tokio::time::timeout(std::time::Duration::from_secs(30), looked).await.is_ok();
        assert!(found, "the screen never showed `{what}`:\n{}", self.screen());
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("the terminal takes keys");
    }

    /// Waits until the command has ended, and says its exit code.
    pub(crate) async fn ended(&mut self) -> u32 {
        eventually("the command ends", || {
            let ended = self.child.try_wait().expect("the command can be waited for");
            std::future::ready(ended.map(|status| status.exit_code()))
        })
        .await
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
