//! Turns the status of a failed call into sentences.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::connect::root_cause;
use super::failure::Failure;
use crate::domain::visible;

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        if let Some(what) = is_no_grpc(&status) {
            return Self::new(format!("what answers there is not a daemon's gRPC listener: {what}"))
                .hint("is it the port of the metrics? A daemon prints `listening on URL` when it starts");
        }
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.as_str()).unwrap_or_default();
        let sentence = sentence(&status, reason);
        let mut failure = Self::new(&sentence);
        for violation in details.bad_request().map(|request| request.field_violations.as_slice()).unwrap_or_default() {
            let (field, description) = (visible(&violation.field), visible(&violation.description));
            let said = if field.is_empty() { description.into_owned() } else { format!("{field}: {description}") };
            // If there is a single violation, the daemon's message repeats it.
            if !sentence.contains(&said) {
                failure = failure.hint(said);
            }
        }
        match (status.code(), reason) {
            (_, "CREDENTIAL_REQUIRED") => failure.hint("the token goes into AEGIS_TOKEN"),
            (Code::Unauthenticated, _) => failure.hint("what was sent is AEGIS_TOKEN: is it one of this daemon's?"),
            (_, "DIGEST_MISMATCH") => failure.hint("`aegis pending` shows what is asked now"),
            (_, "REVISION_MISMATCH") => failure.hint("`aegis policy show` shows what is in force now"),
            _ => failure,
        }
    }
}

/// A sentence for people: the kind of refusal, the daemon's own message, and its documented reason.
fn sentence(status: &Status, reason: &str) -> String {
    let said = visible(status.message());
    let said = match (is_connection_lost(status), said.is_empty()) {
        (true, _) => return format!("the connection to the daemon was lost: {}", root_cause(status)),
        (false, true) => "it gave no reason".into(),
        (false, false) => said,
    };
    let kind = match status.code() {
        Code::InvalidArgument | Code::OutOfRange => "the daemon cannot accept this",
        Code::Unauthenticated => "the daemon does not know who is asking",
        Code::PermissionDenied => "not allowed",
        Code::NotFound => "not found",
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => "refused",
        Code::ResourceExhausted => "the daemon has reached a limit",
        Code::Unavailable => "the daemon cannot do this now",
        Code::DeadlineExceeded | Code::Cancelled => "no answer in time",
        Code::Unimplemented => "this daemon cannot do that",
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => "the daemon failed",
    };
    if reason.is_empty() { format!("{kind}: {said}") } else { format!("{kind}: {said} ({})", visible(reason)) }
}

/// The sign of a server that does not speak gRPC: an HTTP status without a gRPC status, or no HTTP/2 at all.
fn is_no_grpc(status: &Status) -> Option<String> {
    const WITHOUT_STATUS: &str = "grpc-status header missing, mapped from ";
    // tonic has these only as texts.
    let message = status.message();
    if let Some(at) = message.find(WITHOUT_STATUS) {
        return Some(visible(&message[at + WITHOUT_STATUS.len()..]).into_owned());
    }
    let is_no_http2 = is_connection_lost(status) && root_cause(status).contains("frame with invalid size");
    is_no_http2.then(|| "it does not speak HTTP/2".to_owned())
}

/// Whether the call got no answer because of the connection, and not because of its content.
pub(super) fn is_connection_lost(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled)
        && std::error::Error::source(status).is_some()
}

/// Whether to open a stream again that ended so: the daemon went away, restarted, or dropped a slow reader.
pub(super) fn is_worth_resuming(status: &Status) -> bool {
    is_connection_lost(status)
        || matches!(
            status.code(),
            Code::Unavailable | Code::Aborted | Code::Cancelled | Code::DeadlineExceeded | Code::ResourceExhausted
        )
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;
    use crate::cli::exit::Exit;

    #[test]
    fn a_refusal_says_what_where_and_the_documented_reason() {
        let mut details = ErrorDetails::with_error_info("ALREADY_DECIDED", "aegis", []);
        details.add_bad_request_violation("action.type", "must not be empty");
        details.add_bad_request_violation("", "too \u{1b}[2Jlarge");
        let status = Status::with_error_details(Code::FailedPrecondition, "approved by ann\u{202e}", details);
        let failure = Failure::from(status);
        assert_eq!(
            failure.to_string(),
            "refused: approved by ann\\u{202e} (ALREADY_DECIDED)\n  action.type: must not be empty\n  \
             too \\u{1b}[2Jlarge"
        );
        assert_eq!(failure.exit(), Exit::Failed);
    }

    #[test]
    fn every_status_is_a_sentence_with_exit_code_1() {
        for code in (0..17).map(Code::from_i32) {
            let failure = Failure::from(Status::new(code, ""));
            assert_eq!(failure.exit(), Exit::Failed, "{code:?}");
            assert!(failure.to_string().contains("it gave no reason"), "{code:?}: {failure}");
            assert!(!failure.to_string().contains(&format!("{code:?}")) || code == Code::Ok, "{failure}");
        }
    }

    #[test]
    fn another_server_is_not_taken_for_a_daemon() {
        let status = Status::unimplemented("grpc-status header missing, mapped from HTTP status code 404");
        let failure = Failure::from(status).to_string();
        assert!(failure.contains("not a daemon's gRPC listener: HTTP status code 404"), "{failure}");
    }

    #[test]
    fn an_error_from_the_daemon_is_not_a_lost_connection() {
        assert!(!is_connection_lost(&Status::unavailable("the record cannot be written")));
        let lost = Status::from_error(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
        assert!(is_connection_lost(&lost), "{lost:?}");
    }
}
