//! A control group that a daemon lives in, as in a container: so much memory and so many descriptors.
//!
//! Linux has two kinds of control groups, and both do. Where this process may make no group, the peak that the kernel
//! says of the process is all that is checked, and the test says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{Daemon, Setup};

/// The memory of the sidecar in `deploy/kubernetes`, in bytes.
pub(crate) const MEMORY: u64 = 256 << 20;
/// The descriptors that many machines give a process.
const DESCRIPTORS: u32 = 1024;

/// A group with a bound on its memory. It is removed with this, after the processes in it have ended.
pub(crate) struct Cage {
    group: Option<PathBuf>,
}

/// The files of a group, by its kind.
const LIMITS: [&str; 2] = ["memory.max", "memory.limit_in_bytes"];

impl Cage {
    /// A group of its own below the one of this process.
    pub(crate) fn new() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("aegis-test-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let mut refused = Vec::new();
        for parent in parents() {
            // In the second kind, a group has a bound on memory only where its parent passes that on.
            let _ = fs::write(parent.join("cgroup.subtree_control"), "+memory");
            let group = parent.join(&name);
            if let Err(error) = fs::create_dir(&group) {
                refused.push(format!("{}: {error}", group.display()));
                continue;
            }
            let cage = Self { group: Some(group.clone()) };
            let limit = LIMITS.iter().map(|file| group.join(file)).find(|file| file.exists());
            match limit.map(|file| fs::write(file, MEMORY.to_string())) {
                // Without swap, so that memory is what is bounded.
                Some(Ok(())) => {
                    let _ = fs::write(group.join("memory.swap.max"), "0");
                    return cage;
                }
                Some(Err(error)) => panic!("{}: a group can be made and not bounded: {error}", group.display()),
                None => refused.push(format!("{}: no controller of memory", group.display())),
            }
        }
        eprintln!("NOT CONFINED: no control group can be made, so only the peak is checked: {}", refused.join("; "));
        Self { group: None }
    }

    /// The daemon of this setup, in here.
    pub(crate) fn around(&self, setup: Setup) -> Setup {
        let setup = setup.descriptors(DESCRIPTORS, DESCRIPTORS);
        match &self.group {
            Some(group) => setup.first(&format!("echo $$ > {}/cgroup.procs", group.display())),
            None => setup,
        }
    }

    /// The daemon on the data of another one, in here.
    pub(crate) fn again(&self, mut daemon: Daemon) -> Daemon {
        daemon.kill();
        self.around(Setup::over(&daemon)).start()
    }

    /// How often the kernel ended a process in here for want of memory.
    pub(crate) fn killed(&self) -> u64 {
        let Some(group) = &self.group else { return 0 };
        let said = ["memory.events", "memory.oom_control"].map(|file| fs::read_to_string(group.join(file)));
        let said = said.into_iter().flatten().next().expect("the group says what it killed");
        let killed = said.lines().find_map(|line| line.strip_prefix("oom_kill ")).expect("a count");
        killed.trim().parse().expect("a number")
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        if let Some(group) = &self.group {
            // A process that was just killed is in it for a moment more.
            for _ in 0..200 {
                if fs::remove_dir(group).is_ok() {
                    return;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            eprintln!("{}: this control group cannot be removed", group.display());
        }
    }
}

/// Where a group could be made: the own one first, then those above it.
fn parents() -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of = |is_kind: &dyn Fn(&str) -> bool| {
        own.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            is_kind(controllers).then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let mut found = Vec::new();
    if let Some(path) = of(&|controllers| controllers.split(',').any(|name| name == "memory")) {
        found.push(("/sys/fs/cgroup/memory", path));
    } else if let Some(path) = of(&str::is_empty) {
        found.push(("/sys/fs/cgroup", path));
    }
    found
        .iter()
        .flat_map(|(root, path)| {
            let root = Path::new(*root);
            let own = root.join(path);
            own.ancestors().take_while(|at| at.starts_with(root)).map(Path::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

/// The most memory that the daemon has had, in MiB.
pub(crate) fn peak_mib(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel says it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}
