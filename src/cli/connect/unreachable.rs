//! Why a daemon cannot be reached, and what would help.

use std::io;

use super::address::Address;
use super::target::{Source, Target};
use crate::cli::failure::{Failure, because};

/// Whether nobody listens at the address. A daemon that is starting may listen soon.
pub(super) fn nobody_listens(error: &(dyn std::error::Error + 'static)) -> bool {
    let kind = io_error(error).map(io::Error::kind);
    matches!(kind, Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound))
}

/// Where the daemon was sought, why there, and what would help.
pub(super) fn failure(target: &Target, error: &(dyn std::error::Error + 'static)) -> Failure {
    let Target { address, source, tls: _, token: _ } = target;
    let failure = Failure::new(format!("cannot reach the daemon at {address}: {}", root_cause(error)))
        .hint(format!("that endpoint is {source}"));
    let is_denied = io_error(error).is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    failure.hint(match (address, source) {
        (Address::Socket(_), Source::Socket(_)) if is_denied => {
            "only the user that the daemon runs as may open it; others use --endpoint and AEGIS_TOKEN"
        }
        (Address::Socket(_), _) if is_denied => {
            "the mode of that socket, or of a directory above it, keeps you out: its operator can let your group in"
        }
        // The first bytes of a plaintext answer are no TLS record.
        (Address::Tls { .. }, _) if root_cause(error).contains("InvalidContentType") => {
            "what answers there does not use TLS: is it an http:// endpoint?"
        }
        (Address::Tls { .. }, _) => {
            "is that the daemon, does --tls-ca name who signed its certificate, and does it ask for one (--tls-cert)?"
        }
        _ => "is the daemon running? Start one with `aegis serve`, or name another with --endpoint",
    })
}

fn io_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e io::Error> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

/// The innermost cause, which a person can do something about.
pub(in crate::cli) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    match io_error(error).and_then(io::Error::raw_os_error) {
        Some(code) => because(&io::Error::from_raw_os_error(code)),
        None => std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error).to_string(),
    }
}
