//! Small documents over HTTP: an issuer's keys, the answer of a service that is told something.
//!
//! Everything is bounded: the length of an answer, the time for all of it. Plain HTTP is for loopback alone. Redirects are not
//! followed: whoever is trusted is named in full. A connection serves one request, for these are minutes apart.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::domain::is_loopback;
use crate::watcher::read_bounded;

/// The longest file of authorities.
const MAX_AUTHORITIES: usize = 1 << 20;

/// Why a document could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address is not one that may be fetched from.
    #[error("`{url}` {why}")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The authorities cannot be read, or are none.
    #[error("{}: {why}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The machine has no authorities that could be trusted.
    #[error("this machine has no authorities for https ({0}): name a file of them")]
    NoAuthorities(io::Error),
    /// No connection, or it broke.
    #[error("{url}: {why}")]
    Transport {
        /// Where.
        url: Url,
        /// What the transport said, and why.
        why: String,
    },
    /// The answer is not the document.
    #[error("{url} answers {status}{}", if status.is_redirection() { ", and redirects are not followed" } else { "" })]
    Status {
        /// Where.
        url: Url,
        /// What it answered.
        status: StatusCode,
    },
    /// The answer is longer than it may be.
    #[error("{url} answers with more than {max_bytes} bytes")]
    TooLong {
        /// Where.
        url: Url,
        /// The bound.
        max_bytes: usize,
    },
    /// It took too long.
    #[error("{url} has not answered within {timeout:?}")]
    Timeout {
        /// Where.
        url: Url,
        /// The bound.
        timeout: Duration,
    },
}

/// Where a document is: `https`, or `http` on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url(Uri);

impl Url {
    /// Reads an address. `http` is refused for everything but `localhost` and addresses of loopback: whoever is on the way
    /// could answer instead.
    pub fn parse(text: &str) -> Result<Self, FetchError> {
        let refuse = |why| Err(FetchError::Address { url: text.to_owned(), why });
        let Ok(uri) = text.parse::<Uri>() else { return refuse("is not a URL") };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return refuse("is not a URL with a host: `https://idp.example/keys`, for example");
        };
        if authority.as_str().contains('@') {
            return refuse("holds a user or a password, which is sent to nobody here");
        }
        match scheme {
            "https" => Ok(Self(uri)),
            "http" if is_loopback(authority.host()) => Ok(Self(uri)),
            "http" => refuse("is plain http to another machine: whoever is on the way could answer instead; use https"),
            _ => refuse("is neither https nor http"),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a fetch may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The longest answer.
    pub max_bytes: usize,
    /// The longest time, from the first look-up of the name to the last byte.
    pub timeout: Duration,
}

/// An answer, whatever it says.
#[derive(Clone, Debug)]
pub struct Answer {
    /// How it went.
    pub status: StatusCode,
    /// What it holds.
    pub body: Bytes,
}

/// Fetches.
#[derive(Clone, Debug)]
pub struct Client {
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Client {
    /// Trusts the authorities in this file (PEM) and no others; those of the machine, where there is none. Reads files:
    /// not for a thread that must not block.
    pub fn new(authorities: Option<&Path>) -> Result<Self, FetchError> {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring speaks the versions of TLS that rustls has by default");
        let tls = match authorities {
            Some(path) => builder.with_root_certificates(read_authorities(path)?),
            None => builder.with_native_roots().map_err(FetchError::NoAuthorities)?,
        };
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls.with_no_client_auth());
        let connector = connector.https_or_http().enable_http1().build();
        let http = legacy::Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { http })
    }

    /// The document at this address; any other answer than 200 is an error.
    pub async fn get(&self, url: &Url, bounds: Bounds) -> Result<Bytes, FetchError> {
        let Answer { status, body } = self.send(Method::GET, url, None, Bytes::new(), bounds).await?;
        match status {
            StatusCode::OK => Ok(body),
            status => Err(FetchError::Status { url: url.clone(), status }),
        }
    }

    /// Sends a document of this media type, and gives the answer whatever its status.
    pub async fn post(
        &self,
        url: &Url,
        media_type: &'static str,
        body: Bytes,
        bounds: Bounds,
    ) -> Result<Answer, FetchError> {
        self.send(Method::POST, url, Some(media_type), body, bounds).await
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        media_type: Option<&'static str>,
        body: Bytes,
        Bounds { max_bytes, timeout }: Bounds,
    ) -> Result<Answer, FetchError> {
        let transport = |why| FetchError::Transport { url: url.clone(), why };
        let mut request = Request::builder().method(method).uri(url.0.clone()).header(ACCEPT, "*/*");
        request = request.header(USER_AGENT, concat!("aegis/", env!("CARGO_PKG_VERSION")));
        if let Some(media_type) = media_type {
            request = request.header(CONTENT_TYPE, media_type);
        }
        let request = request.body(Full::new(body)).map_err(|error| transport(error.to_string()))?;
        let answer = async {
            let answer = self.http.request(request).await.map_err(|error| transport(reasons(&error)))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), max_bytes).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    return FetchError::TooLong { url: url.clone(), max_bytes };
                }
                transport(reasons(&*error))
            })?;
            Ok(Answer { status, body: body.to_bytes() })
        };
        let late = |_| FetchError::Timeout { url: url.clone(), timeout };
        tokio::time::timeout(timeout, answer).await.map_err(late)?
    }
}

fn read_authorities(path: &Path) -> Result<RootCertStore, FetchError> {
    let wrong = |why: String| FetchError::Authorities { path: path.to_owned(), why };
    let pem = read_bounded(path, MAX_AUTHORITIES).map_err(|error| wrong(error.to_string()))?;
    if pem.len() > MAX_AUTHORITIES {
        return Err(wrong(format!("is longer than {MAX_AUTHORITIES} bytes")));
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(format!("is not PEM: {error}")))?;
        roots.add(certificate).map_err(|error| wrong(format!("holds no authority: {error}")))?;
    }
    if roots.is_empty() { Err(wrong("holds no certificate in PEM".to_owned())) } else { Ok(roots) }
}

/// What an error says and what is behind it: a transport's own words are only *that* something failed.
fn reasons(error: &(dyn std::error::Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        said = format!("{said}: {error}");
        source = error.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    const BOUNDS: Bounds = Bounds { max_bytes: 100, timeout: Duration::from_mins(1) };

    /// A server that says this to everybody, and what the first one said to it.
    async fn server(says: String) -> (Url, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/keys", listener.local_addr().unwrap())).unwrap();
        let heard = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut heard = vec![0; 4096];
            let n = socket.read(&mut heard).await.unwrap();
            // A client that has read enough ends the connection: that is its right.
            let _ = socket.write_all(says.as_bytes()).await;
            if says.is_empty() {
                std::future::pending::<()>().await;
            }
            String::from_utf8_lossy(&heard[..n]).into_owned()
        });
        (url, heard)
    }

    fn answer(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    fn client() -> Client {
        // No authorities are needed for plain HTTP, and a machine may have none.
        let tmp = tempfile::tempdir().unwrap();
        let bundle = tmp.path().join("ca.pem");
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        std::fs::write(&bundle, authority.pem()).unwrap();
        Client::new(Some(&bundle)).unwrap()
    }

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        for good in ["https://idp.example/keys", "http://127.0.0.1:8080/", "http://[::1]/x", "http://localhost:1/x"] {
            assert_eq!(Url::parse(good).unwrap().to_string(), good);
        }
        for (bad, says) in [
            ("http://idp.example/keys", "use https"),
            ("http://127.0.0.1.example/keys", "use https"),
            ("http://localhost.example/", "use https"),
            ("ftp://idp.example/keys", "neither https nor http"),
            ("https://ada:secret@idp.example/keys", "user or a password"),
            ("/keys", "is not a URL with a host"),
            ("not a url", "is not a URL"),
        ] {
            let said = Url::parse(bad).unwrap_err().to_string();
            assert!(said.contains(says) && said.contains(bad), "{said}");
        }
    }

    #[tokio::test]
    async fn a_document_is_had_whole_or_not_at_all() {
        let (url, heard) = server(answer("200 OK", "{}")).await;
        assert_eq!(client().get(&url, BOUNDS).await.unwrap(), "{}");
        assert!(heard.await.unwrap().starts_with("GET /keys HTTP/1.1\r\n"));

        let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1000));
        let cut = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf".to_owned();
        for (says, refused) in [
            (answer("200 OK", &"x".repeat(101)), "more than 100 bytes"),
            (endless, "more than 100 bytes"),
            (cut, "/keys: "),
            (answer("302 Found", ""), "answers 302 Found, and redirects are not followed"),
            (answer("404 Not Found", "{}"), "answers 404 Not Found"),
            ("nonsense\r\n\r\n".to_owned(), "/keys: "),
        ] {
            let (url, _heard) = server(says).await;
            let said = client().get(&url, BOUNDS).await.unwrap_err().to_string();
            assert!(said.contains(refused), "{said}");
        }
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_not_waited_for() {
        let (url, _heard) = server(String::new()).await;
        let bounds = Bounds { timeout: Duration::from_millis(20), ..BOUNDS };
        let error = client().get(&url, bounds).await.unwrap_err();
        assert!(matches!(error, FetchError::Timeout { .. }), "{error}");
    }

    #[tokio::test]
    async fn what_is_posted_arrives_and_any_status_is_an_answer() {
        let (url, heard) = server(answer("409 Conflict", "7\n")).await;
        let answer = client().post(&url, "text/plain", Bytes::from_static(b"old 5"), BOUNDS).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::CONFLICT, &b"7\n"[..]));
        let heard = heard.await.unwrap();
        assert!(heard.contains("content-type: text/plain\r\n") && heard.ends_with("\r\n\r\nold 5"), "{heard}");
    }
}
