//! An HTTP client for small documents, such as the keys of an issuer.
//!
//! The length of a response and the total time are bounded. Plain HTTP is allowed for loopback only. Redirects are not
//! followed: the configuration must name the final address. Each request has its own connection, because requests are
//! minutes apart.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::resolve::Resolver;
use crate::domain::is_loopback;
use crate::watcher::read_bounded;

/// The longest file of certificate authorities, in bytes.
const MAX_AUTHORITIES: usize = 1 << 20;

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The address is not allowed.
    #[error("`{url}` {why}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file of authorities cannot be read, or has none.
    #[error("{}: {why}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// This machine has no certificate authorities to trust.
    #[error("this machine has no certificate authorities for https ({0}): name a file of them")]
    NoAuthorities(io::Error),
    /// There is no connection, so nothing was sent.
    #[error("{url}: {why}")]
    Connect {
        /// The address.
        url: Url,
        /// The error of the transport, with its causes.
        why: String,
    },
    /// The connection failed.
    #[error("{url}: {why}")]
    Transport {
        /// The address.
        url: Url,
        /// The error of the transport, with its causes.
        why: String,
    },
    /// The response has another status than 200.
    #[error("{url} answers {status}{}", if status.is_redirection() { ", and redirects are not followed" } else { "" })]
    Status {
        /// The address.
        url: Url,
        /// The status of the response.
        status: StatusCode,
    },
    /// The response is too long.
    #[error("{url} answers with more than {max_bytes} bytes")]
    TooLong {
        /// The address.
        url: Url,
        /// The limit.
        max_bytes: usize,
    },
    /// The response took too long.
    #[error("{url} has not answered within {timeout:?}")]
    Timeout {
        /// The address.
        url: Url,
        /// The limit.
        timeout: Duration,
    },
}

/// The address of a document: `https`, or `http` on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Url(Uri);

impl Url {
    /// Parses an address. Refuses `http` for all hosts except `localhost` and loopback addresses, because anyone on the
    /// network path could answer.
    pub(crate) fn parse(text: &str) -> Result<Self, FetchError> {
        let refuse = |why| Err(FetchError::Address { url: text.to_owned(), why });
        let Ok(uri) = text.parse::<Uri>() else { return refuse("is not a URL") };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return refuse("is not a URL with a host: `https://idp.example/keys`, for example");
        };
        if authority.as_str().contains('@') {
            return refuse("contains a user or a password, which is never sent: remove it");
        }
        match scheme {
            "https" => Ok(Self(uri)),
            "http" if is_loopback(authority.host()) => Ok(Self(uri)),
            "http" => refuse("is plain http to another machine: anyone on the network path could answer; use https"),
            _ => refuse("is neither https nor http"),
        }
    }
}

impl Url {
    /// The host and the port.
    pub(crate) fn place(&self) -> (&str, u16) {
        let host = self.0.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let default = if self.0.scheme_str() == Some("https") { 443 } else { 80 };
        (host, self.0.port_u16().unwrap_or(default))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The limits of a fetch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The longest response, in bytes.
    pub max_bytes: usize,
    /// The longest time, from the DNS lookup to the last byte.
    pub timeout: Duration,
}

/// A response of any status.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

/// The HTTP client.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: legacy::Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
}

impl Client {
    /// Trusts only the certificate authorities in this PEM file, or those of the machine if no file is given. Reads
    /// files, so it blocks the thread.
    pub(crate) fn new(authorities: Option<&Path>) -> Result<Self, FetchError> {
        Self::resolving(authorities, Resolver::system())
    }

    /// The same, for one host at these addresses and for no other host.
    pub(crate) fn pinned(authorities: Option<&Path>, addresses: Vec<SocketAddr>) -> Result<Self, FetchError> {
        Self::resolving(authorities, Resolver::pinned(addresses))
    }

    fn resolving(authorities: Option<&Path>, resolver: Resolver) -> Result<Self, FetchError> {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring supports the default TLS versions of rustls");
        let tls = match authorities {
            Some(path) => builder.with_root_certificates(read_authorities(path)?),
            None => builder.with_native_roots().map_err(FetchError::NoAuthorities)?,
        };
        let mut http = HttpConnector::new_with_resolver(resolver);
        http.enforce_http(false);
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls.with_no_client_auth());
        let connector = connector.https_or_http().enable_http1().wrap_connector(http);
        let http = legacy::Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { http })
    }

    /// Fetches the document at this address. Any status other than 200 is an error.
    pub(crate) async fn get(&self, url: &Url, bounds: Bounds) -> Result<Bytes, FetchError> {
        let Answer { status, body } = self.send(Method::GET, url, &[], Bytes::new(), bounds).await?;
        match status {
            StatusCode::OK => Ok(body),
            status => Err(FetchError::Status { url: url.clone(), status }),
        }
    }

    /// Sends a document of this media type and returns the response, whatever its status.
    pub(crate) async fn post(
        &self,
        url: &Url,
        media_type: &'static str,
        body: Bytes,
        bounds: Bounds,
    ) -> Result<Answer, FetchError> {
        self.send(Method::POST, url, &[(CONTENT_TYPE, media_type)], body, bounds).await
    }

    /// Sends a document with these headers and returns the response, whatever its status.
    pub(crate) async fn post_with(
        &self,
        url: &Url,
        headers: &[(HeaderName, &str)],
        body: Bytes,
        bounds: Bounds,
    ) -> Result<Answer, FetchError> {
        self.send(Method::POST, url, headers, body, bounds).await
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: &[(HeaderName, &str)],
        body: Bytes,
        Bounds { max_bytes, timeout }: Bounds,
    ) -> Result<Answer, FetchError> {
        let transport = |why| FetchError::Transport { url: url.clone(), why };
        let mut request = Request::builder().method(method).uri(url.0.clone()).header(ACCEPT, "*/*");
        request = request.header(USER_AGENT, concat!("aegis/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|error| transport(error.to_string()))?;
        let answer = async {
            let answer = self.http.request(request).await.map_err(|error| match reasons(&error) {
                why if error.is_connect() => FetchError::Connect { url: url.clone(), why },
                why => transport(why),
            })?;
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
        roots.add(certificate).map_err(|error| wrong(format!("holds a certificate that is no authority: {error}")))?;
    }
    if roots.is_empty() { Err(wrong("holds no certificate in PEM".to_owned())) } else { Ok(roots) }
}

/// The text of an error with its causes. A transport error alone says only *that* something failed.
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

    /// A server that sends this response to every client. Returns the first request.
    async fn server(says: String) -> (Url, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/keys", listener.local_addr().unwrap())).unwrap();
        let heard = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut heard = vec![0; 4096];
            let n = socket.read(&mut heard).await.unwrap();
            // A client may close the connection when it has read enough.
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
        // Plain HTTP needs no certificate authorities, and a machine may have none.
        let tmp = tempfile::tempdir().unwrap();
        let bundle = tmp.path().join("ca.pem");
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        std::fs::write(&bundle, authority.pem()).unwrap();
        Client::new(Some(&bundle)).unwrap()
    }

    #[test]
    fn plain_http_is_allowed_to_this_machine_only() {
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
    async fn a_document_is_returned_whole_or_not_at_all() {
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
    async fn a_server_that_sends_nothing_times_out() {
        let (url, _heard) = server(String::new()).await;
        let bounds = Bounds { timeout: Duration::from_millis(20), ..BOUNDS };
        let error = client().get(&url, bounds).await.unwrap_err();
        assert!(matches!(error, FetchError::Timeout { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_posted_document_arrives_and_any_status_is_a_response() {
        let (url, heard) = server(answer("409 Conflict", "7\n")).await;
        let answer = client().post(&url, "text/plain", Bytes::from_static(b"old 5"), BOUNDS).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::CONFLICT, &b"7\n"[..]));
        let heard = heard.await.unwrap();
        assert!(heard.contains("content-type: text/plain\r\n") && heard.ends_with("\r\n\r\nold 5"), "{heard}");
    }
}
