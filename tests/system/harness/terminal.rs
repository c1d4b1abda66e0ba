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
    pub(crate) fn start(daemon: &Daemon, arguments: &[&str], (cols, rows): (u16, u16)) -> Self {
        let mut command = CommandBuilder::new(AEGIS);
        command.args(arguments);
        command.env_clear();
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
