//! What a browser may send to this daemon: requests of the daemon's own pages, and nothing that another site is behind.
//!
//! A page of another site can send requests to `localhost`. It can also point a name of its own at this machine, and so
//! read the answers (DNS rebinding). A browser says who is behind a request: in Host, Origin and Sec-Fetch-Site. All
//! three are checked, on every request.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{HOST, HeaderName, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Method, Request, Uri};

use crate::auth::Connection;
use crate::domain::{CallError, Defence, ErrorCode, is_loopback};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The names of this daemon, beside `localhost` and the addresses that it listens on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts(Vec<String>);

impl Hosts {
    /// These names. Upper and lower case are alike.
    pub(crate) fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| name.to_ascii_lowercase()).collect())
    }

    /// Refuses a request for another host, or one that a page of another site sent.
    pub(crate) fn check<B>(&self, request: &Request<B>) -> Result<(), CallError> {
        let connection = request.extensions().get::<Arc<Connection>>();
        let authority = authority(request)?;
        // No browser reaches a unix socket.
        let local = connection.map_or(Some(None), |connection| connection.local.map(Some));
        if let Some(local) = local
            && !self.are(authority.host(), local)
            && Defence::WebHost.on()
        {
            let host = authority.host();
            return Err(refused(format!(
                "the request is for the host `{host}`, and this daemon is not known by that name: use its address, or \
                 start it with --allowed-host {host}"
            )));
        }
        let headers = request.headers();
        if let Some(site) = headers.get(SEC_FETCH_SITE)
            && !matches!(site.as_bytes(), b"same-origin" | b"none")
            && !is_visit(request)
            && Defence::WebSite.on()
        {
            return Err(refused("a page of another site sent this request, and the daemon accepts none from those"));
        }
        match origin(headers)? {
            Some(origin) if !is_same(&origin, &authority) && Defence::WebOrigin.on() => {
                Err(refused("a page of another origin sent this request, and the daemon accepts none from those"))
            }
            _ => Ok(()),
        }
    }

    fn are(&self, host: &str, local: Option<IpAddr>) -> bool {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let own = local.is_some_and(|local| bare.parse() == Ok(local.to_canonical()));
        own || is_loopback(host) || self.0.iter().any(|name| name.eq_ignore_ascii_case(bare))
    }
}

/// Whether a person follows a link to the console, from a chat or a mail. The page is the same for everybody and has no
/// data, a frame is no visit, and the page that had the link keeps no handle on it (`cross-origin-opener-policy`).
fn is_visit<B>(request: &Request<B>) -> bool {
    let is = |name, value: &str| request.headers().get(name).is_some_and(|found| found == value);
    request.method() == Method::GET
        && matches!(request.uri().path(), "/" | "/console" | "/console/")
        && is(SEC_FETCH_MODE, "navigate")
        && is(SEC_FETCH_DEST, "document")
}

fn refused(message: impl Into<String>) -> CallError {
    CallError::new(ErrorCode::CrossOrigin, message)
}

/// The one authority that the request names: in Host, in its URI (`:authority` of HTTP/2), or alike in both.
fn authority<B>(request: &Request<B>) -> Result<Authority, CallError> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    let host = match host {
        None => None,
        Some(host) => Some(host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()).ok_or_else(unclear)?),
    };
    match (host, request.uri().authority(), more) {
        (Some(host), None, None) => Ok(host),
        (None, Some(authority), None) => Ok(authority.clone()),
        (Some(host), Some(authority), None) if host == *authority => Ok(host),
        _ => Err(unclear()),
    }
}

fn unclear() -> CallError {
    refused("the request does not say for which host it is, or says it twice: send one Host header")
}

/// The origin of the page that sent the request, if a page sent it.
fn origin(headers: &HeaderMap) -> Result<Option<Uri>, CallError> {
    let mut origins = headers.get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => Ok(None),
        // `null`, among others: a page that hides where it is from.
        (Some(origin), None) => match origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok()) {
            Some(origin) if origin.authority().is_some() => Ok(Some(origin)),
            _ => Err(refused("a page of an unknown origin sent this request")),
        },
        _ => Err(refused("the request has two Origin headers")),
    }
}

fn is_same(origin: &Uri, authority: &Authority) -> bool {
    origin.scheme_str().is_some_and(|scheme| matches!(scheme, "http" | "https"))
        && origin.authority().is_some_and(|of_page| of_page == authority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Listener, Peer};
    use crate::domain::Roles;

    fn check(local: Option<&str>, headers: &[(&str, &str)]) -> bool {
        let address: IpAddr = local.unwrap_or("127.0.0.1").parse().unwrap();
        let peer = Peer::Tcp(address);
        let connection = Connection::new(Listener::Main { anonymous: Roles::NONE }, peer, None);
        let mut request = Request::new(());
        request.extensions_mut().insert(Arc::new(connection.at(local.map(|_| address))));
        for (name, value) in headers {
            request.headers_mut().append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        Hosts::new(&["Aegis.example".to_owned()]).check(&request).is_ok()
    }

    #[test]
    fn a_request_is_for_this_machine_by_a_name_that_nobody_else_can_give_it() {
        for host in ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "192.0.2.7", "aegis.example:443"] {
            assert!(check(Some("192.0.2.7"), &[("host", host)]), "{host}");
        }
        for host in
            ["evil.example", "192.0.2.8", "localhost.evil.example", "127.0.0.1.evil.example", "", "a b", "[::2]"]
        {
            assert!(!check(Some("192.0.2.7"), &[("host", host)]), "{host}");
        }
        assert!(check(Some("2001:db8::1"), &[("host", "[2001:DB8::1]:80")]));
        assert!(!check(Some("127.0.0.1"), &[]));
        assert!(!check(Some("127.0.0.1"), &[("host", "localhost"), ("host", "localhost")]));
        assert!(check(None, &[("host", "whatever")]), "no browser reaches a unix socket");
    }

    #[test]
    fn a_link_of_another_site_leads_to_the_console_and_to_nothing_else() {
        let visit = |method: Method, path: &str, mode: &str, dest: &str, host: &str| {
            let connection = Connection::new(
                Listener::Main { anonymous: Roles::NONE },
                Peer::Tcp(IpAddr::from([127, 0, 0, 1])),
                None,
            );
            let request = Request::builder().method(method).uri(path).header(HOST, host);
            let request = request.header(SEC_FETCH_SITE, "cross-site").header(SEC_FETCH_MODE, mode);
            let mut request = request.header(SEC_FETCH_DEST, dest).body(()).unwrap();
            let local = Some(IpAddr::from([127, 0, 0, 1]));
            request.extensions_mut().insert(Arc::new(connection.at(local)));
            Hosts::default().check(&request).is_ok()
        };
        for path in ["/", "/console", "/console/"] {
            assert!(visit(Method::GET, path, "navigate", "document", "localhost"), "{path}");
            assert!(!visit(Method::GET, path, "navigate", "iframe", "localhost"), "{path} in a frame");
            assert!(!visit(Method::GET, path, "no-cors", "document", "localhost"), "{path}");
            assert!(!visit(Method::POST, path, "navigate", "document", "localhost"), "{path}");
            assert!(!visit(Method::GET, path, "navigate", "document", "evil.example"), "{path} by another name");
        }
        for path in ["/console/console.js", "/api/v1/approvals", "/docs", "/health"] {
            assert!(!visit(Method::GET, path, "navigate", "document", "localhost"), "{path}");
        }
    }

    #[test]
    fn a_page_of_another_site_is_refused_however_it_shows() {
        let host = ("host", "localhost:8000");
        for (name, value) in [
            ("origin", "http://localhost:8000"),
            ("origin", "http://LOCALHOST:8000"),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
        ] {
            assert!(check(Some("127.0.0.1"), &[host, (name, value)]), "{name}: {value}");
        }
        for (name, value) in [
            ("origin", "null"),
            ("origin", ""),
            ("origin", "http://localhost:8001"),
            ("origin", "http://127.0.0.1:8000"),
            ("origin", "https://evil.example"),
            ("origin", "file://"),
            ("origin", "chrome-extension://localhost:8000"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "new"),
        ] {
            assert!(!check(Some("127.0.0.1"), &[host, (name, value)]), "{name}: {value}");
        }
        assert!(!check(Some("127.0.0.1"), &[host, ("origin", "http://localhost:8000"), ("origin", "null")]));
        assert!(!check(None, &[host, ("origin", "null")]));
    }
}
