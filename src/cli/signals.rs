//! The signals that interrupt a wait, and that `propose` passes to its command. A thread catches them and notes their
//! sender.

use std::io;

use rustix::process::Signal;
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;
use tokio::sync::mpsc;

/// Every signal that ends a process which does not catch it, and that another process may send on purpose.
const CAUGHT: [Signal; 6] = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2];

/// A signal that was caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caught {
    pub(super) signal: Signal,
    /// Whether the kernel sent it, as for Ctrl-C. Then every process in the foreground of the terminal has it already.
    pub(super) is_from_terminal: bool,
}

/// Signals from the time they are caught. They are kept until they are read.
pub(super) struct Signals(mpsc::UnboundedReceiver<Caught>);

impl Signals {
    /// Catches them from now on, as long as the process runs.
    pub(super) fn catch() -> io::Result<Self> {
        let mut signals = SignalsInfo::<WithOrigin>::new(CAUGHT.map(Signal::as_raw))?;
        let (sender, caught) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for origin in &mut signals {
                let signal = CAUGHT.into_iter().find(|signal| signal.as_raw() == origin.signal);
                let is_from_terminal = origin.cause == Cause::Kernel;
                if signal.is_some_and(|signal| sender.send(Caught { signal, is_from_terminal }).is_err()) {
                    return;
                }
            }
        });
        Ok(Self(caught))
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Caught {
        match self.0.recv().await {
            Some(caught) => caught,
            None => std::future::pending().await,
        }
    }
}
