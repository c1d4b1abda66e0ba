//! The routes, and the two pages that describe them.

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::api::{Api, Services};
use super::{
    approval_stream, approvals, audit, call, decisions, docs, evaluate, execute, halts, health, identity, limits, log,
    openapi, policy, proposals, redact, rotate, tokens,
};

/// All operations, and the document that describes them.
pub(crate) fn router(services: Services) -> Router {
    let (router, document) = operations().split_for_parts();
    let document = openapi::finish(document);
    let docs = docs::page(&document);
    // Static text: every answer shares it.
    let (document, html) = (Bytes::from(document.to_string()), Bytes::from(docs.html));
    let policy = HeaderValue::try_from(docs.policy).expect("a content security policy is ASCII");
    router
        .route("/openapi.json", page("application/json", document, None))
        .route("/docs", page("text/html; charset=utf-8", html, Some(policy)))
        .with_state(Arc::new(services))
}

/// A page that never changes, with what a browser may do with it.
fn page(media_type: &'static str, text: Bytes, policy: Option<HeaderValue>) -> MethodRouter<Api> {
    get(move || {
        let mut answer = call::with_type(StatusCode::OK, media_type, text.clone());
        answer.headers_mut().extend(policy.clone().map(|policy| (header::CONTENT_SECURITY_POLICY, policy)));
        std::future::ready(answer)
    })
}

pub(super) fn operations() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(openapi::beginning())
        .routes(routes!(health::health))
        .routes(routes!(evaluate::evaluate))
        .routes(routes!(execute::execute))
        .routes(routes!(proposals::propose))
        .routes(routes!(proposals::decision))
        .routes(routes!(proposals::report))
        .routes(routes!(proposals::cancel))
        .routes(routes!(approvals::list))
        .routes(routes!(approval_stream::stream))
        .routes(routes!(approvals::get))
        .routes(routes!(approvals::approve))
        .routes(routes!(approvals::deny))
        .routes(routes!(audit::rows))
        .routes(routes!(decisions::list))
        .routes(routes!(decisions::get))
        .routes(routes!(redact::redact))
        .routes(routes!(log::records))
        .routes(routes!(log::stats))
        .routes(routes!(log::checkpoint))
        .routes(routes!(log::inclusion_proof))
        .routes(routes!(log::consistency_proof))
        .routes(routes!(rotate::rotate))
        .routes(routes!(policy::get, policy::update))
        .routes(routes!(policy::validate))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(halts::list, halts::halt))
        .routes(routes!(halts::resume))
        .routes(routes!(limits::list))
        .routes(routes!(limits::reset))
        .routes(routes!(identity::get))
        .routes(routes!(identity::create_code))
        .routes(routes!(identity::exchange_code))
}
