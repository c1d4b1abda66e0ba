//! The REST API, as a client of HTTP/1.1 or HTTP/2 calls it.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::daemon::{DEADLINE, Daemon};

/// A client of the REST API.
#[derive(Clone)]
pub(crate) struct Rest {
    base: String,
    client: Client<HttpConnector, Full<Bytes>>,
    headers: Vec<(String, String)>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The body as JSON; null if it is empty.
    pub(crate) body: Value,
}

impl Rest {
    /// Over HTTP/1.1, without a credential.
    pub(crate) fn of(daemon: &Daemon) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { base: daemon.endpoint.clone(), client, headers: Vec::new() }
    }

    /// Over HTTP/2, without a credential.
    pub(crate) fn over_http2(daemon: &Daemon) -> Self {
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        Self { base: daemon.endpoint.clone(), client, headers: Vec::new() }
    }

    /// With this header on every request.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this token.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    pub(crate) async fn get(&self, path: &str) -> Answered {
        self.send(Method::GET, path, Bytes::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answered {
        self.send(Method::POST, path, body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answered {
        self.send(Method::PUT, path, body.to_string()).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Answered {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        let answer = async {
            let (head, body) = self.client.request(request).await.expect("the daemon answers").into_parts();
            (head, body.collect().await.expect("the answer arrives whole").to_bytes())
        };
        let (head, body) = tokio::time::timeout(DEADLINE, answer).await.expect("the daemon answers in time");
        let text = String::from_utf8(body.to_vec()).expect("an answer is text");
        let json = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answered { status: head.status.as_u16(), headers: head.headers, body: json }
    }
}

impl Answered {
    /// The body of a success.
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{:#}", self.body);
        self.body
    }

    /// The status and the code of a problem.
    pub(crate) fn problem(&self) -> (u16, &str) {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{:#}", self.body);
        let code = self.body["code"].as_str().expect("a problem has a code");
        assert_eq!(self.body["type"], format!("urn:aegis:error:{code}"));
        assert_eq!(self.body["status"], self.status);
        (self.status, code)
    }

    /// The wrong fields that a problem names, sorted.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let violations = self.body["violations"].as_array().map_or(&[][..], Vec::as_slice);
        let mut fields: Vec<_> = violations.iter().map(|wrong| wrong["field"].as_str().expect("a path")).collect();
        fields.sort_unstable();
        fields
    }
}
