//! The address of a daemon: a URL or a unix socket.

use std::fmt;
use std::path::PathBuf;

use crate::cli::failure::Failure;
use crate::domain::is_loopback;

/// A daemon's address, as gRPC can use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Plaintext { url: String, host: String },
    Tls { url: String },
    Socket(PathBuf),
}

impl Address {
    /// Reads an address from a flag, a variable or a file.
    pub(super) fn read(text: &str, from: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            Failure::usage(format!("{from}: `{text}` is not an endpoint: {why}"))
                .hint("write https://HOST:PORT, http://HOST:PORT or unix:/PATH, for example http://127.0.0.1:50051")
        };
        if let Some(rest) = text.strip_prefix("unix:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return if path.is_empty() { Err(wrong("it has no path")) } else { Ok(Self::Socket(path.into())) };
        }
        let uri: http::Uri = text.parse().map_err(|_| wrong("it is no URL"))?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it has no host"));
        match uri.scheme_str() {
            Some("http") => Ok(Self::Plaintext { host: host?.to_owned(), url: text.to_owned() }),
            Some("https") => host.map(|_| Self::Tls { url: text.to_owned() }),
            Some(other) => Err(wrong(&format!("it begins with `{other}:`"))),
            None => Err(wrong("it does not begin with http:// or unix:")),
        }
    }

    /// Whether nobody on the network path can read what is sent: TLS, a unix socket, or loopback. The SDKs have the
    /// same rule.
    pub(super) fn is_private(&self) -> bool {
        match self {
            Self::Tls { .. } | Self::Socket(_) => true,
            Self::Plaintext { host, .. } => is_loopback(host),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plaintext { url, .. } | Self::Tls { url } => f.write_str(url),
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(endpoint: &str) -> String {
        Address::read(endpoint, "--endpoint").err().map(|failure| failure.to_string()).unwrap_or_default()
    }

    #[test]
    fn an_invalid_endpoint_is_refused_with_what_would_be_right() {
        for (endpoint, says) in [
            ("127.0.0.1:50051", "does not begin with http://"),
            ("localhost", "does not begin with http://"),
            ("ftp://a:1", "begins with `ftp:`"),
            ("unix:", "has no path"),
            ("http://", "is no URL"),
            ("a b", "is no URL"),
        ] {
            let message = error(endpoint);
            assert!(message.contains(says) && message.contains("http://"), "{endpoint}: {message}");
        }
        assert_eq!(error("unix:relative.sock"), "");
        assert_eq!(error("unix:///tmp/a.sock"), "");
    }

    #[test]
    fn only_tls_unix_sockets_and_loopback_are_private() {
        let is_private = |endpoint: &str| Address::read(endpoint, "a test").unwrap().is_private();
        for endpoint in [
            "http://127.0.0.1:1",
            "http://127.9.9.9:1",
            "http://localhost:1",
            "http://LOCALHOST:1",
            "http://[::1]:1",
            "https://example.com:1",
            "unix:/tmp/a.sock",
        ] {
            assert!(is_private(endpoint), "{endpoint}");
        }
        for host in ["0.0.0.0", "10.0.0.1", "example.com", "localhost.example.com", "[::]"] {
            assert!(!is_private(&format!("http://{host}:1")), "{host}");
        }
    }
}
