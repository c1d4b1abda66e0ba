//! The admin listener: plain HTTP for probes and Prometheus, by default on loopback.
//!
//! | path | says |
//! | --- | --- |
//! | `/livez`, `/live` | 200 while the process answers |
//! | `/readyz`, `/ready` | 200 while agents can be answered, else 503 with why |
//! | `/metrics` | counts and states, in Prometheus' text format |
//!
//! It accepts few connections, each for a short time. On loopback it only answers requests to `localhost` or to an
//! address. That refuses a web page whose own domain name resolves to this machine.
//!
//! States are read at the time of the request, from what the daemon keeps anyway. What would be forgotten, like how
//! long calls took, is in [`Metrics`](crate::metrics::Metrics). No metric names a session, an actor or an action,
//! because a reader of metrics is not an auditor.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::uri::Authority;
use axum::http::{Request, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::ServiceExt as _;

use super::descriptors;
use crate::audit::{StoreError, StoreHealth};
use crate::auth::{Known, Listener, Staleness};
use crate::domain::{Defence, Roles};
use crate::governance::Governor;
use crate::limits::Space;
use crate::outbound::witnesses::Witnesses;
use crate::server::gate::Refusals;
use crate::server::listen::{self, Bound, Door};
use crate::server::places::Places;
use crate::server::streams::Streams;
use crate::server::transport::{ConnectionLimits, Transport};

/// The sources of the metrics.
#[derive(Clone)]
pub(crate) struct Admin {
    /// The governor.
    pub(crate) governor: Arc<Governor>,
    /// The identities in force.
    pub(crate) known: Arc<Known>,
    /// The counter of refused calls.
    pub(crate) refusals: Arc<Refusals>,
    /// The witnesses of checkpoints.
    pub(crate) witnesses: Arc<Witnesses>,
    /// The streams that are open.
    pub(crate) streams: Streams,
    /// The file of the record.
    pub(crate) record: PathBuf,
}

/// The longest age of a connection. A response that runs by then has the grace period to end.
const AGE: Duration = Duration::from_mins(1);
const GRACE: Duration = Duration::from_secs(10);
/// The most concurrent requests on one HTTP/2 connection.
const REQUESTS: u32 = 8;

/// Answers until told to stop. `patience` is the timeout of a client's first bytes, and of the headers of a request.
pub(crate) async fn serve(listener: TcpListener, admin: Admin, patience: Duration, stop: CancellationToken) {
    let is_loopback = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let routes = Router::new()
        .route("/live", get(live))
        .route("/livez", get(live))
        .route("/ready", get(ready))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(admin);
    let answer = tower::service_fn(move |request: Request<Body>| {
        let routes = routes.clone();
        async move {
            if is_loopback && Defence::AdminHost.on() && !names_this_machine(&request) {
                return Ok((StatusCode::MISDIRECTED_REQUEST, "call this listener by its address\n").into_response());
            }
            routes.oneshot(request).await
        }
    });
    let service = answer.map_response(|answer| answer.map(Body::new));
    let limits =
        ConnectionLimits { calls: REQUESTS, receiving: 0, open_calls: 0, headers: patience, age: AGE, grace: GRACE };
    let transport = Transport::new(service, limits, |_| {}, stop.clone());
    let serving = transport.clone();
    let door = Door {
        listener: Listener::Main { anonymous: Roles::NONE },
        tls: None,
        patience,
        places: Places::new(if Defence::AdminPlaces.on() { descriptors::ADMIN } else { Semaphore::MAX_PERMITS }),
        bound_by: "as many connections as the admin listener takes",
        serve: move |stream, connection| serving.serve(stream, connection),
        stop,
    };
    listen::accept(Bound::Tcp(listener), door).await;
    transport.finish(GRACE).await;
}

/// Whether a request is to an address or to `localhost`. A request without a host is accepted: no browser sends one.
fn names_this_machine<B>(request: &Request<B>) -> bool {
    let authority = match (request.headers().get(header::HOST), request.uri().authority()) {
        (Some(host), _) => host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()),
        (None, Some(authority)) => Some(authority.clone()),
        (None, None) => return true,
    };
    authority.is_some_and(|authority| {
        let host = authority.host();
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
    })
}

async fn live() -> &'static str {
    "live\n"
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, String) {
    match &*admin.governor.store().health().borrow() {
        StoreHealth::Ok => (StatusCode::OK, "ready\n".to_owned()),
        StoreHealth::Failing { why, .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("the record cannot be written: {why}\n"))
        }
    }
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    match admin.metrics().await {
        Ok(text) => Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)),
        Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))),
    }
}

impl Admin {
    async fn metrics(&self) -> Result<String, StoreError> {
        let governor = &self.governor;
        let healthy = matches!(*governor.store().health().borrow(), StoreHealth::Ok);
        // While the record fails, the page still has everything else.
        let stats = if healthy {
            let (now, unreported_after) = (governor.now(), governor.unreported_after());
            Some(governor.store().scan(move |reader| reader.stats(now, unreported_after)).await?)
        } else {
            None
        };

        let mut page = Page::default();
        page.gauge("aegis_record_writable", "Whether the record can be written.", u64::from(healthy));
        let recoveries = *governor.store().recoveries().borrow();
        page.counter("aegis_record_recoveries_total", "Faults that the record recovered from in this run.", recoveries);
        let disk_use = governor.store().disk_use();
        page.counter("aegis_record_syncs_total", "Syncs of the record's files in this run.", disk_use.syncs());
        page.counter("aegis_record_written_bytes_total", "Bytes written to them in this run.", disk_use.bytes());
        let (checkpoints, micros) = disk_use.checkpoints();
        page.counter("aegis_record_checkpoints_total", "Durable commits of the database in this run.", checkpoints);
        let help = "Microseconds that these commits took, while writes waited.";
        page.counter("aegis_record_checkpoint_microseconds_total", help, micros);
        page.gauge("aegis_approvals_pending", "Approvals that wait for a reviewer.", governor.queue().len() as u64);
        page.gauge("aegis_halts", "Halts in force.", governor.halts().count() as u64);
        let (now, oldest) = (governor.now(), governor.queue().page(None, 1, |_| true));
        let ages = oldest.iter().map(|oldest| now.duration_since(oldest.requested_at).as_secs());
        let oldest = ages.map(|age| u64::try_from(age).unwrap_or_default()).next().unwrap_or_default();
        page.gauge(
            "aegis_approvals_oldest_age_seconds",
            "Age of the oldest approval that waits; 0 if none does.",
            oldest,
        );
        page.gauge("aegis_streams_open", "Streams of answers that are open.", self.streams.open_now() as u64);

        let help = "Denials and revocations that are in force and not on the record yet.";
        page.gauge("aegis_unrecorded", help, *governor.unrecorded().count().borrow() as u64);

        let files = [("record", self.record.clone()), ("journal", self.record.with_extension("journal"))];
        let sizes = files.into_iter().filter_map(|(file, path)| Some((file.to_owned(), path.metadata().ok()?.len())));
        page.series("aegis_record_bytes", "Size of the files of the record.", "gauge", "file", sizes);

        if let Some(Space { free, total }) = governor.growth().space() {
            page.gauge("aegis_disk_free_bytes", "Free bytes of the disk that the record is on.", free);
            page.gauge("aegis_disk_size_bytes", "Size of the disk that the record is on.", total);
        }
        let help = "Calls refused in this run because the disk runs low.";
        page.counter("aegis_disk_low_refusals_total", help, governor.growth().refused());

        let clock = *governor.clock_state().borrow();
        page.counter("aegis_clock_jumps_total", "Jumps of the wall clock in this run.", clock.jumps);
        let waits = u64::from(clock.gap.is_some());
        page.gauge("aegis_retention_held", "Whether retention waits for somebody to confirm the clock.", waits);

        self.configuration(&mut page);

        let (unauthenticated, permission_denied) = self.refusals.total();
        let refused =
            [("unauthenticated".to_owned(), unauthenticated), ("permission_denied".to_owned(), permission_denied)];
        page.series("aegis_calls_refused_total", "Calls refused at the gate in this run.", "counter", "why", refused);

        self.witness_states(&mut page);
        if let Some(stats) = stats {
            page.counter("aegis_records_total", "Records in the log.", stats.records);
            let outcomes = stats.by_outcome.into_iter().map(|(outcome, n)| (outcome.to_owned(), n));
            page.series(
                "aegis_recorded_decisions",
                "Decisions on the record, by current outcome.",
                "gauge",
                "outcome",
                outcomes,
            );
            let results = stats.by_status.into_iter().map(|(status, n)| (status.to_owned(), n));
            page.series("aegis_recorded_results", "Decisions on the record, by result.", "gauge", "status", results);
        }
        page.series(
            "aegis_build_info",
            "The program that runs.",
            "gauge",
            "version",
            [(env!("CARGO_PKG_VERSION").to_owned(), 1)],
        );
        match governor.metrics().text() {
            Ok(text) => page.0.push_str(&text),
            Err(error) => tracing::error!(%error, "a metric cannot be written"),
        }
        Ok(page.0)
    }

    /// The policy, the identities and the certificate in force.
    fn configuration(&self, page: &mut Page) {
        let policy = self.governor.generations().state();
        let policy = policy.borrow();
        page.gauge("aegis_policy_rules", "Rules in force.", policy.current.policy.rules().len() as u64);
        let rejected = u64::from(policy.rejected.is_some());
        page.gauge("aegis_policy_rejected", "Whether the current policy files were refused.", rejected);
        let loaded_at = u64::try_from(policy.current.loaded_at.as_second()).unwrap_or_default();
        page.gauge("aegis_policy_loaded_timestamp_seconds", "When the policy came into force.", loaded_at);
        let revision = policy.current.policy.revision().to_string();
        page.series("aegis_policy_info", "The policy in force.", "gauge", "revision", [(revision, 1)]);

        let Staleness { rejected, failing } = *self.known.staleness().borrow();
        let rejected = u64::from(rejected);
        page.gauge("aegis_identities_rejected", "Whether the current identities files were refused.", rejected);
        let help = "Issuers whose last fetch of keys failed.";
        page.gauge("aegis_identities_keys_failing", help, failing as u64);
        if let Some(tls) = &self.known.load().tls {
            let until = u64::try_from(tls.validity.until.as_second()).unwrap_or_default();
            page.gauge(
                "aegis_tls_certificate_expiry_timestamp_seconds",
                "When the TLS certificate of the daemon expires.",
                until,
            );
        }
    }

    fn witness_states(&self, page: &mut Page) {
        let witnesses = self.witnesses.states().clone();
        if !witnesses.is_empty() {
            let sizes = witnesses.iter().map(|witness| (label(&witness.name), witness.size));
            let help = "Size of the last checkpoint that a witness accepted.";
            page.series("aegis_witness_tree_size", help, "gauge", "witness", sizes);
            let behind = witnesses.iter().map(|witness| (label(&witness.name), u64::from(witness.error.is_some())));
            let help = "Whether a witness has not accepted the latest checkpoint.";
            page.series("aegis_witness_behind", help, "gauge", "witness", behind);
        }
    }
}

/// A name from the configuration, escaped for a label.
fn label(name: &str) -> String {
    name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Prometheus' text format (<https://prometheus.io/docs/instrumenting/exposition_formats/>), reduced to what is needed
/// here: whole numbers and at most one label with an escaped value.
#[derive(Default)]
struct Page(String);

impl Page {
    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "gauge");
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "counter");
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn series(
        &mut self,
        name: &str,
        help: &str,
        kind: &str,
        label: &str,
        values: impl IntoIterator<Item = (String, u64)>,
    ) {
        self.head(name, help, kind);
        for (value, n) in values {
            let _ = writeln!(self.0, "{name}{{{label}=\"{value}\"}} {n}");
        }
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_text_format_of_prometheus() {
        let mut page = Page::default();
        page.gauge("a", "An a.", 1);
        page.series("b_total", "Bs.", "counter", "why", [("x".to_owned(), 2), ("y".to_owned(), 0)]);
        let expected = "# HELP a An a.\n# TYPE a gauge\na 1\n# HELP b_total Bs.\n# TYPE b_total counter\n\
                        b_total{why=\"x\"} 2\nb_total{why=\"y\"} 0\n";
        assert_eq!(page.0, expected);
    }
}
