//! The console: pages for people, served at `/console/` from this binary.
//!
//! The pages are static and the same for everybody. What they show, they ask of the REST API with the credential of
//! the person who signed in. `web/` has the sources; `assets/` has what Vite builds from them, and a gate proves that
//! it is fresh. A content security policy allows nothing but these files and this API.

mod codes;

use axum::Router;
use axum::body::Body;
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode, Uri};

pub(crate) use self::codes::{LIFETIME as SIGN_IN_CODE_LIFETIME, SignInCodes};
use crate::domain::Digest;

/// Where the console begins.
const START: &str = "/console/";

/// The script is loaded from this daemon, as are the styles. Nothing may run or load inline, and no page may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// What every answer with a file has.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// A file of the console.
struct File {
    path: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

/// The page. It names the other files.
const PAGE: File =
    File { path: START, media_type: "text/html; charset=utf-8", bytes: include_bytes!("assets/index.html") };
/// The files that the page names.
const FILES: [File; 3] = [
    File {
        path: "/console/console.js",
        media_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("assets/console.js"),
    },
    File {
        path: "/console/console.css",
        media_type: "text/css; charset=utf-8",
        bytes: include_bytes!("assets/console.css"),
    },
    File { path: "/console/icon.svg", media_type: "image/svg+xml", bytes: include_bytes!("assets/icon.svg") },
];

/// The pages, and the ways that lead to them.
pub(crate) fn router() -> Router {
    let start = || get(|| std::future::ready(redirect()));
    let mut router = Router::new().route("/", start()).route("/console", start());
    let mut page = String::from_utf8_lossy(PAGE.bytes).into_owned();
    for file in FILES {
        // A browser keeps a file for as long as the page names the same version of it.
        let (name, version) = (file.path.trim_start_matches(START), version(file.bytes));
        page = page.replace(&format!("\"./{name}\""), &format!("\"./{name}?v={version}\""));
        router = router.route(file.path, served(&file, Bytes::from_static(file.bytes)));
    }
    router.route(PAGE.path, served(&PAGE, Bytes::from(page)))
}

fn redirect() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    answer.headers_mut().insert(header::LOCATION, HeaderValue::from_static(START));
    answer
}

/// The version of a file: the beginning of its SHA-256.
fn version(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string().chars().take(16).collect()
}

fn served(file: &File, bytes: Bytes) -> MethodRouter {
    let (media_type, version) = (file.media_type, version(&bytes));
    get(move |uri: Uri, headers: HeaderMap| {
        std::future::ready(answer(media_type, &version, bytes.clone(), &uri, &headers))
    })
}

/// The file, or that the browser has it already.
fn answer(media_type: &'static str, version: &str, bytes: Bytes, uri: &Uri, asked: &HeaderMap) -> Response<Body> {
    let tag = format!("\"{version}\"");
    let is_known = asked.get_all(header::IF_NONE_MATCH).iter().any(|known| {
        let tags = known.to_str().unwrap_or_default().split(',');
        tags.into_iter().any(|known| matches!(known.trim().trim_start_matches("W/"), "*") || known.trim() == tag)
    });
    let mut answer = Response::new(if is_known { Body::empty() } else { Body::from(bytes) });
    if is_known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let is_versioned = uri.query().is_some_and(|query| query == format!("v={version}"));
    let kept = if is_versioned { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = answer.headers_mut();
    headers.extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
    headers.extend(HeaderValue::try_from(tag).ok().map(|tag| (header::ETAG, tag)));
    answer
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(path: &str, known: Option<&HeaderValue>) -> (StatusCode, HeaderMap, String) {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        request.headers_mut().extend(known.map(|tag| (header::IF_NONE_MATCH, tag.clone())));
        let (parts, body) = router().oneshot(request).await.unwrap().into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        (parts.status, parts.headers, text)
    }

    #[tokio::test]
    async fn the_page_names_its_files_by_version_and_nothing_of_another_host() {
        let (status, headers, page) = ask("/console/", None).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers[header::CACHE_CONTROL], "no-cache");
        for File { path, bytes, .. } in FILES {
            let named = format!("./{}?v={}", path.trim_start_matches(START), version(bytes));
            assert!(page.contains(&named), "{named} is not in {page}");
            let (status, headers, _) = ask(&format!("{path}?v={}", version(bytes)), None).await;
            assert_eq!(
                (status, headers[header::CACHE_CONTROL].to_str().unwrap().contains("immutable")),
                (StatusCode::OK, true)
            );
        }
        assert!(!page.contains("//") && !page.contains("<style") && !page.contains(" style="), "{page}");
    }

    #[tokio::test]
    async fn every_file_forbids_inline_code_frames_and_guesses() {
        for File { path, media_type, .. } in [PAGE].into_iter().chain(FILES) {
            let (_, headers, _) = ask(path, None).await;
            let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"), "{policy}");
            assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
            assert_eq!(headers[header::CONTENT_TYPE], media_type);
            for (name, value) in HEADERS {
                assert_eq!(headers[&name], value, "{path}");
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_the_browser_has_is_not_sent_again() {
        let (_, headers, text) = ask("/console/console.css", None).await;
        assert!(!text.is_empty());
        let (status, again, text) = ask("/console/console.css", Some(&headers[header::ETAG])).await;
        assert_eq!(
            (status, &again[header::ETAG], text.as_str()),
            (StatusCode::NOT_MODIFIED, &headers[header::ETAG], "")
        );
        let other = HeaderValue::from_static("\"other\"");
        assert_eq!(ask("/console/console.css", Some(&other)).await.0, StatusCode::OK);
        let (status, headers, _) = ask("/console/console.css?v=other", None).await;
        assert_eq!((status, &headers[header::CACHE_CONTROL]), (StatusCode::OK, &HeaderValue::from_static("no-cache")));
    }

    #[tokio::test]
    async fn the_root_leads_to_the_console() {
        for path in ["/", "/console"] {
            let (status, headers, _) = ask(path, None).await;
            assert_eq!((status, headers[header::LOCATION].to_str().unwrap()), (StatusCode::SEE_OTHER, START), "{path}");
        }
    }
}
