//! Counters and histograms of this run, for Prometheus.
//!
//! What the daemon knows anyway (open questions, free space, the policy in force) is not here: it is read when somebody
//! asks for the page. Here is what would be forgotten: how long calls took, how they ended, what was decided.
//!
//! **Labels** come from the program, or from the policy (the name of a rule). Nothing that a caller sends becomes a
//! label. A policy with more rules than [`MAX_RULES`] has one series for all further ones, named `other`.
//!
//! Names follow Prometheus' conventions (<https://prometheus.io/docs/practices/naming/>): base units, `_total` for
//! counters.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::Collector;
#[cfg(target_os = "linux")]
use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};

/// How many rules have a series of their own.
pub const MAX_RULES: usize = 200;

/// The name of the series of all further rules.
const OTHER: &str = "other";

/// Seconds of calls: from 100 us to an hour, which is the longest wait.
const CALL_SECONDS: [f64; 17] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0];
/// Seconds that people take.
const ANSWER_SECONDS: [f64; 11] = [1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0, 604_800.0];
/// Seconds of one batch on its way to the disk.
const COMMIT_SECONDS: [f64; 12] = [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0, 5.0];
/// Jobs in one batch.
const BATCH_JOBS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// The metrics of one daemon.
pub struct Metrics {
    registry: Registry,
    calls: IntCounterVec,
    call_seconds: HistogramVec,
    errors: IntCounterVec,
    credentials: IntCounterVec,
    decisions: IntCounterVec,
    rules: Mutex<HashSet<String>>,
    answer_seconds: HistogramVec,
    commit_seconds: Histogram,
    batch_jobs: Histogram,
    reloads: IntCounterVec,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics that all stand at zero.
    pub fn new() -> Self {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        let _ = registry.register(Box::new(ProcessCollector::for_self()));
        let metrics = Self {
            calls: counters(
                &registry,
                "aegis_calls_total",
                "Calls that were answered, by how they ended: a code of gRPC, or a status of HTTP.",
                &["protocol", "method", "code"],
            ),
            call_seconds: histograms(
                &registry,
                "aegis_call_duration_seconds",
                "Time until a call was answered, its wait for a reviewer included. Of a stream: until it began.",
                &["protocol", "method"],
                &CALL_SECONDS,
            ),
            errors: counters(
                &registry,
                "aegis_errors_total",
                "Calls that were answered with an error, by its reason.",
                &["reason"],
            ),
            credentials: counters(
                &registry,
                "aegis_authentication_failures_total",
                "Calls whose credential was refused, by the kind of the credential.",
                &["method"],
            ),
            decisions: counters(
                &registry,
                "aegis_decisions_total",
                "Decisions of this run, by their first outcome, their risk level and the rule that decided.",
                &["outcome", "risk_level", "rule"],
            ),
            rules: Mutex::default(),
            answer_seconds: histograms(
                &registry,
                "aegis_approval_duration_seconds",
                "Time from a question to its end, by how it ended.",
                &["ending"],
                &ANSWER_SECONDS,
            ),
            commit_seconds: histogram(
                &registry,
                "aegis_commit_duration_seconds",
                "Time that one batch of changes took to reach the disk.",
                &COMMIT_SECONDS,
            ),
            batch_jobs: histogram(
                &registry,
                "aegis_batch_jobs",
                "Jobs that shared one batch, and so one sync of the disk.",
                &BATCH_JOBS,
            ),
            reloads: counters(
                &registry,
                "aegis_reloads_total",
                "Changes of the policy and of the identities, by whether they came into force.",
                &["what", "result"],
            ),
            registry,
        };
        for what in ["policy", "identities"] {
            for result in ["accepted", "rejected"] {
                let _ = metrics.reloads.with_label_values(&[what, result]);
            }
        }
        for method in ["bearer", "certificate", "none"] {
            let _ = metrics.credentials.with_label_values(&[method]);
        }
        for ending in ["approved", "denied", "expired", "cancelled"] {
            let _ = metrics.answer_seconds.with_label_values(&[ending]);
        }
        metrics
    }

    /// A method that callers may use: its series begin at zero.
    pub fn expect_call(&self, protocol: &str, method: &str, code: &str) {
        let _ = self.calls.with_label_values(&[protocol, method, code]);
        let _ = self.call_seconds.with_label_values(&[protocol, method]);
    }

    /// An error that callers may get: its series begins at zero.
    pub fn expect_error(&self, reason: &str) {
        let _ = self.errors.with_label_values(&[reason]);
    }

    /// A call was answered.
    pub fn call(&self, protocol: &str, method: &str, code: &str, took: Duration) {
        self.calls.with_label_values(&[protocol, method, code]).inc();
        self.call_seconds.with_label_values(&[protocol, method]).observe(took.as_secs_f64());
    }

    /// A call was answered with an error.
    pub fn error(&self, reason: &str) {
        self.errors.with_label_values(&[reason]).inc();
    }

    /// A credential was refused.
    pub fn authentication_failed(&self, method: &str) {
        self.credentials.with_label_values(&[method]).inc();
    }

    /// A decision is on the record.
    pub fn decision(&self, outcome: &str, risk_level: &str, rule: &str) {
        let rule = if self.has_series(rule) { rule } else { OTHER };
        self.decisions.with_label_values(&[outcome, risk_level, rule]).inc();
    }

    fn has_series(&self, rule: &str) -> bool {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.contains(rule) || rules.len() < MAX_RULES && rules.insert(rule.to_owned())
    }

    /// A question ended.
    pub fn answer(&self, ending: &str, after: Duration) {
        self.answer_seconds.with_label_values(&[ending]).observe(after.as_secs_f64());
    }

    /// A batch of this many jobs reached the disk.
    pub fn batch(&self, jobs: usize, took: Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a batch has at most a few hundred jobs")]
        self.batch_jobs.observe(jobs as f64);
    }

    /// The policy or the identities were read again.
    pub fn reload(&self, what: &str, accepted: bool) {
        self.reloads.with_label_values(&[what, if accepted { "accepted" } else { "rejected" }]).inc();
    }

    /// All of them in Prometheus' text format, version 0.0.4.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Registers one of them.
#[expect(clippy::expect_used, reason = "the names stand in this file, and its test makes all of them")]
fn registered<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let made = made.expect("a valid name and valid labels");
    registry.register(Box::new(made.clone())).expect("a name that is used once");
    made
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

fn histograms(registry: &Registry, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    registered(registry, HistogramVec::new(options, labels))
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    registered(registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_begin_at_zero_and_count() {
        let metrics = Metrics::new();
        metrics.expect_call("grpc", "aegis.v1.GovernanceService/Propose", "OK");
        let zero = metrics.text().unwrap();
        let propose = r#"aegis_calls_total{code="OK",method="aegis.v1.GovernanceService/Propose",protocol="grpc"}"#;
        assert!(zero.contains(&format!("{propose} 0\n")), "{zero}");
        assert!(zero.contains("aegis_reloads_total{result=\"rejected\",what=\"identities\"} 0\n"), "{zero}");
        metrics.call("grpc", "aegis.v1.GovernanceService/Propose", "OK", Duration::from_millis(3));
        metrics.batch(7, Duration::from_micros(180));
        let one = metrics.text().unwrap();
        assert!(one.contains(&format!("{propose} 1\n")), "{one}");
        assert!(one.contains("aegis_batch_jobs_bucket{le=\"8\"} 1\n"), "{one}");
        assert!(one.contains("aegis_commit_duration_seconds_count 1\n"), "{one}");
    }

    #[test]
    fn a_policy_of_many_rules_has_a_bounded_number_of_series() {
        let metrics = Metrics::new();
        for n in 0..10 * MAX_RULES {
            metrics.decision("allow", "low", &format!("rule_{n}"));
            metrics.decision("allow", "low", "rule_3");
        }
        let text = metrics.text().unwrap();
        assert_eq!(text.lines().filter(|line| line.starts_with("aegis_decisions_total{")).count(), MAX_RULES + 1);
        assert!(text.contains("rule=\"rule_3\"} 2001\n"), "{text}");
        assert!(text.contains("rule=\"other\"} 1800\n"), "{text}");
    }
}
