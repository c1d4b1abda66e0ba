//! Calls of a method by its path: what the gate says to a caller, whatever the method does.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use tonic::metadata::MetadataMap;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::wire::reason;

type Bearer = Box<dyn FnMut(Request<()>) -> Result<Request<()>, Status> + Send>;
pub(crate) type Shown = InterceptedService<Channel, Bearer>;

/// The channel with this token on every call.
pub(crate) fn with_token(channel: Channel, token: &str) -> Shown {
    let value: tonic::metadata::MetadataValue<_> = format!("Bearer {token}").parse().expect("a token is ASCII");
    let show: Bearer = Box::new(move |mut request| {
        request.metadata_mut().insert("authorization", value.clone());
        Ok(request)
    });
    InterceptedService::new(channel, show)
}

/// The channel with nothing to show.
pub(crate) fn bare(channel: Channel) -> Shown {
    InterceptedService::new(channel, Box::new(Ok))
}

/// Calls a method by its path with an empty message: enough to see whether one is let in.
pub(crate) async fn call(service: Shown, path: &str) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(service);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    grpc.server_streaming(Request::new(()), path.parse().expect("a path"), codec).await.map(drop)
}

/// What became of a call at the gate: let in, or refused with this code and reason.
pub(crate) type Verdict = Result<(), (Code, String)>;

/// Calls a method with an empty message. Whatever a method says about the message itself, it was let in.
pub(crate) async fn knock(channel: &Channel, method: &str, authorization: &[&[u8]]) -> Verdict {
    let mut request = Request::new(());
    for value in authorization {
        let value = http::HeaderValue::from_bytes(value).expect("a header value");
        let mut headers = std::mem::take(request.metadata_mut()).into_headers();
        headers.append(http::header::AUTHORIZATION, value);
        *request.metadata_mut() = MetadataMap::from_headers(headers);
    }
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.expect("the daemon answers");
    let path = method.parse().expect("a path");
    // A stream fits every method: one that answers once sends one message.
    match client.server_streaming(request, path, tonic_prost::ProstCodec::<(), ()>::default()).await {
        Ok(_) => Ok(()),
        Err(status) if matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied) => {
            Err((status.code(), reason(&status)))
        }
        Err(status) => {
            assert!(
                matches!(status.code(), Code::InvalidArgument | Code::FailedPrecondition),
                "{method}: an empty message is not answered like this: {status:?}"
            );
            Ok(())
        }
    }
}

/// Calls an operation of REST with nothing in its body. Whatever it says about the request itself, it was let in.
pub(crate) async fn knock_rest(channel: &Channel, method: &str, path: &str, authorization: &[&[u8]]) -> Verdict {
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    let mut request = http::Request::builder().method(method).uri(path);
    for value in authorization {
        request =
            request.header(http::header::AUTHORIZATION, http::HeaderValue::from_bytes(value).expect("a header value"));
    }
    let request = request.body(tonic::body::Body::empty()).expect("a request");
    let answer = channel.clone().oneshot(request).await.expect("the daemon answers");
    let code = match answer.status().as_u16() {
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        status => {
            let expected = [200, 201, 202, 303, 400, 404, 409];
            assert!(expected.contains(&status), "{method} {path}: nothing in it is not answered with {status}");
            return Ok(());
        }
    };
    let body = answer.into_body().collect().await.expect("the answer arrives whole").to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&body).expect("a problem document");
    Err((code, problem["code"].as_str().expect("a code").to_owned()))
}

/// The status line and the body of a GET.
pub(crate) fn get(url: &str) -> (String, String) {
    let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("a URL");
    let mut stream = TcpStream::connect(host).expect("the admin listener answers");
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers with text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.lines().next().expect("a status line").to_owned(), body.to_owned())
}
