//! Every error has an `ErrorInfo`, whoever makes it: the daemon, its libraries, or the transport.

use std::time::Duration;

use aegis::proto::v1;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use prost::Message as _;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
use tower::{Service as _, ServiceExt as _};

use crate::harness::{Setup, propose, refusal};

const PROPOSE: &str = "/aegis.v1.GovernanceService/Propose";

/// A message in gRPC's frame, with this flag in front.
fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag], &length[..], message].concat()
}

/// The status of a call with exactly these bytes and headers: it is in the headers or in the trailers.
async fn send(channel: &Channel, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Status {
    let mut request = http::Request::post(format!("http://localhost{path}")).version(http::Version::HTTP_2);
    request = request.header("content-type", "application/grpc").header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut channel = channel.clone();
    let request = request.body(Body::new(Full::from(body))).unwrap();
    let response = channel.ready().await.unwrap().call(request).await.unwrap();
    if let Some(status) = Status::from_header_map(response.headers()) {
        return status;
    }
    let trailers = response.into_body().collect().await.unwrap().trailers().cloned().unwrap_or_default();
    Status::from_header_map(&trailers).unwrap()
}

#[track_caller]
fn is(status: &Status, code: Code, why: &str) {
    assert_eq!(refusal(status), (code, why.to_owned()), "{status:?}");
    use tonic_types::StatusExt as _;
    assert_eq!(status.get_details_error_info().unwrap().domain, "aegis");
}

#[tokio::test]
async fn what_is_no_message_is_refused_with_a_reason() {
    let daemon = Setup::new().args(&["--max-message-bytes", "65536"]).start();
    let channel = daemon.tcp().await;
    let good = propose("read", "crm").encode_to_vec();
    let bad = |why| (Code::InvalidArgument, why);
    for (what, body, (code, why)) in [
        ("nothing", Vec::new(), bad("INVALID_REQUEST")),
        ("a part of a frame", vec![0, 0], bad("INVALID_REQUEST")),
        ("less than announced", framed(0, &good)[..8].to_vec(), bad("INVALID_REQUEST")),
        ("a flag that there is not", framed(7, &good), bad("INVALID_REQUEST")),
        ("compressed, by nothing", framed(1, &good), bad("INVALID_REQUEST")),
        ("no protobuf", framed(0, &[0xff; 20]), bad("INVALID_REQUEST")),
        ("too much", framed(0, &vec![0; 1 << 17]), bad("MESSAGE_TOO_LARGE")),
    ] {
        let status = send(&channel, PROPOSE, &[], body).await;
        assert_eq!(refusal(&status), (code, why.to_owned()), "{what}: {status:?}");
    }
    let message = framed(0, &good);
    for encoding in ["gzip", "zstd", "nonsense"] {
        let status = send(&channel, PROPOSE, &[("grpc-encoding", encoding)], message.clone()).await;
        is(&status, Code::Unimplemented, "UNSUPPORTED_COMPRESSION");
    }
    let status = send(&channel, PROPOSE, &[("grpc-encoding", "identity")], message.clone()).await;
    assert_eq!(status.code(), Code::Ok);
    is(
        &send(&channel, PROPOSE, &[("grpc-timeout", "soon")], message.clone()).await,
        Code::InvalidArgument,
        "INVALID_REQUEST",
    );
    is(
        &send(&channel, PROPOSE, &[("origin", "http://evil")], message.clone()).await,
        Code::PermissionDenied,
        "CROSS_ORIGIN",
    );
    is(
        &send(&channel, "/aegis.v1.GovernanceService/Nothing", &[], message.clone()).await,
        Code::Unimplemented,
        "UNKNOWN_METHOD",
    );
    is(&send(&channel, "/other.Service/Method", &[], message.clone()).await, Code::Unimplemented, "UNKNOWN_METHOD");
    let bearer = [("authorization", "Bearer nonsense")];
    is(&send(&channel, PROPOSE, &bearer, message.clone()).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
    is(
        &send(&channel, "/aegis.v1.PolicyService/GetPolicy", &[], framed(0, &[])).await,
        Code::Unauthenticated,
        "CREDENTIAL_REQUIRED",
    );
}

#[tokio::test]
async fn a_deadline_that_passes_has_a_reason() {
    let daemon = Setup::new().args(&["--receive-timeout", "100ms"]).start();
    let channel = daemon.tcp().await;
    // The request never arrives whole. The deadline is the daemon's: a client gives up by itself at its own.
    let body = StreamBody::new(tokio_stream::pending::<Result<Frame<bytes::Bytes>, Status>>());
    let request = http::Request::post(format!("http://localhost{PROPOSE}"))
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let request = request.body(Body::new(body)).unwrap();
    let mut channel = channel.clone();
    let answer = channel.ready().await.unwrap().call(request).await.unwrap();
    is(&Status::from_header_map(answer.headers()).unwrap(), Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn errors_of_health_and_reflection_have_a_reason_wherever_their_status_is() {
    let daemon = Setup::new().start();
    let channel = daemon.tcp().await;
    let unknown = || HealthCheckRequest { service: "nothing".into() };
    let status = HealthClient::new(channel.clone()).check(unknown()).await.unwrap_err();
    is(&status, Code::NotFound, "NO_SUCH_SERVICE");

    // Reflection answers as a stream, so its errors are in the trailers.
    let asked = |message_request| {
        let mut client = ServerReflectionClient::new(channel.clone());
        async move {
            let request = ServerReflectionRequest { host: String::new(), message_request };
            let answers = client.server_reflection_info(tokio_stream::once(request)).await;
            let mut answers: tonic::Streaming<ServerReflectionResponse> = match answers {
                Ok(answers) => answers.into_inner(),
                Err(status) => return Some(status),
            };
            answers.message().await.err()
        }
    };
    for (request, code, why) in [
        (None, Code::InvalidArgument, "INVALID_REQUEST"),
        (Some(MessageRequest::FileContainingSymbol("no.Such".into())), Code::NotFound, "NO_SUCH_SERVICE"),
        (Some(MessageRequest::FileByFilename("no.proto".into())), Code::NotFound, "NO_SUCH_SERVICE"),
    ] {
        let what = format!("{request:?}");
        is(&asked(request).await.unwrap_or_else(|| panic!("{what} is answered")), code, why);
    }
    assert!(asked(Some(MessageRequest::ListServices(String::new()))).await.is_none());
}

#[tokio::test]
async fn a_stop_of_the_daemon_has_a_reason_and_advice() {
    use tonic_types::StatusExt as _;
    let mut daemon = Setup::new().start();
    let mut watching = daemon.admin().await.watch_policy(v1::WatchPolicyRequest {}).await.unwrap().into_inner();
    watching.message().await.unwrap().unwrap();
    daemon.terminate();
    let status = loop {
        match watching.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a stream that lost what comes ended as if all were well"),
            Err(status) => break status,
        }
    };
    is(&status, Code::Unavailable, "NOT_SERVING");
    let advice = status.get_details_retry_info().and_then(|info| info.retry_delay);
    assert_eq!(advice, Some(Duration::from_secs(1)));
    daemon.ended().await;
}
