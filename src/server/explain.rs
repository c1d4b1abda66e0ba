//! Reasons for the errors of the libraries: a status that tonic, health or reflection makes has no details, so this
//! adds them. Every error of the daemon has an `ErrorInfo`.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};

use super::receive::too_large;
use crate::domain::{CallError, ErrorCode};

/// The response, with a reason if it failed at once and has none. Such a response has its status in the headers.
pub(super) fn headers(answer: Response<Body>, message_bytes: usize) -> Response<Body> {
    match Status::from_header_map(answer.headers()).and_then(|status| reason(&status, message_bytes)) {
        Some(error) => Status::from(error).into_http(),
        None => answer,
    }
}

/// The response of a library's own service. It can fail later too, with its status in the trailers.
pub(super) fn trailers(answer: Response<Body>, message_bytes: usize) -> Response<Body> {
    answer.map(|body| Body::new(Explained { body, message_bytes }))
}

/// What went wrong, if the status has no details.
fn reason(status: &Status, message_bytes: usize) -> Option<CallError> {
    if status.code() == Code::Ok || !status.details().is_empty() {
        return None;
    }
    let code = match status.code() {
        Code::OutOfRange => return Some(too_large(message_bytes)),
        Code::Unimplemented => ErrorCode::UnknownMethod,
        // Our own faults have details. This is a request that is no message, or not exactly one.
        Code::InvalidArgument | Code::Internal => ErrorCode::InvalidRequest,
        Code::DeadlineExceeded => ErrorCode::DeadlineExceeded,
        Code::Cancelled => ErrorCode::Cancelled,
        Code::Unavailable => ErrorCode::NotServing,
        Code::NotFound => ErrorCode::NoSuchService,
        _ => ErrorCode::Internal,
    };
    Some(CallError::new(code, status.message()))
}

struct Explained {
    body: Body,
    message_bytes: usize,
}

impl HttpBody for Explained {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let message_bytes = self.message_bytes;
        Pin::new(&mut self.body).poll_frame(cx).map_ok(|mut frame| {
            if let Some(trailers) = frame.trailers_mut()
                && let Some(error) = Status::from_header_map(trailers).and_then(|it| reason(&it, message_bytes))
            {
                // What cannot be a header stays as it is.
                let _ = Status::from(error).add_header(trailers);
            }
            frame
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
