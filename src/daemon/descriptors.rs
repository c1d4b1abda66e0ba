//! File descriptors. The daemon uses as many as the system allows, and divides them so that no listener can starve
//! another.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::error::ServeError;
use crate::domain::Defence;

/// Descriptors kept for the record, the watched files, and the daemon's outgoing connections.
const KEPT: usize = 64;
/// Descriptors for connections to the admin listener.
pub(crate) const ADMIN: usize = 32;
/// The fewest descriptors with which the daemon starts.
const LEAST: usize = 2 * (KEPT + ADMIN);

/// How many connections each listener may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connections {
    /// The main listener, all addresses together.
    pub(crate) main: usize,
    /// The socket in the data directory.
    pub(crate) private: usize,
}

/// Raises the limit of this process as far as possible, and divides the descriptors.
pub(crate) fn connections(wanted: usize) -> Result<Connections, ServeError> {
    let limit = raise();
    let connections = divide(limit, wanted).ok_or(ServeError::Descriptors { limit, least: LEAST })?;
    if connections.main < wanted {
        tracing::warn!(
            descriptors = limit,
            connections = connections.main,
            "fewer connections than --max-connections: this process may open only so many files (`ulimit -n`)"
        );
    }
    let Connections { main, private } = connections;
    tracing::info!(descriptors = limit, main, private, "connections that may be open");
    Ok(connections)
}

/// An eighth goes to the private socket, so that a reviewer can connect whatever agents do.
fn divide(limit: usize, wanted: usize) -> Option<Connections> {
    if limit < LEAST {
        return None;
    }
    let limit = if Defence::Descriptors.on() { limit } else { usize::MAX };
    let free = limit - KEPT - ADMIN;
    let private = wanted.min(free / 8);
    Some(Connections { main: wanted.min(free - private), private })
}

fn raise() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!(%error, "the limit on open files cannot be raised");
    }
    let in_force = getrlimit(Resource::Nofile).current;
    in_force.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_divided_and_never_exceeded() {
        let all = |limit| divide(limit, 10_000);
        assert_eq!(all(1_048_576), Some(Connections { main: 10_000, private: 10_000 }));
        assert_eq!(all(1024), Some(Connections { main: 812, private: 116 }));
        assert_eq!(divide(1024, 10), Some(Connections { main: 10, private: 10 }));
        assert_eq!(all(LEAST - 1), None);
        for limit in LEAST..5000 {
            let Connections { main, private } = all(limit).unwrap();
            assert!(main > 0 && private > 0 && main + private + KEPT + ADMIN <= limit, "{limit}");
        }
    }
}
