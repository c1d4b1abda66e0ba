//! Telemetry: a log on stderr, and traces over OTLP if the standard `OTEL_*` variables configure them.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `AEGIS_LOG` | what to log, as `tracing-subscriber`'s filter has it; default `info` |
//! | `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` | where to send traces (gRPC); default: none |
//! | `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_TIMEOUT` | as in the OpenTelemetry specification |
//! | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | as in the OpenTelemetry specification |
//! | `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*` | as in the OpenTelemetry specification |
//! | `OTEL_SDK_DISABLED=true` | no traces, whatever else is set |

use std::io::{self, IsTerminal as _};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer as _, fmt};

use super::throttle::Throttle;

/// The format of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Pretty on a terminal, otherwise JSON.
    #[default]
    Auto,
    /// Pretty, for people.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TelemetryError {
    /// `AEGIS_LOG` is not a valid filter.
    #[error("AEGIS_LOG: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The exporter cannot be built from the `OTEL_*` variables.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// Telemetry is already set up.
    #[error(transparent)]
    Init(#[from] TryInitError),
}

/// Running telemetry. Its shutdown exports the remaining traces.
#[derive(Debug)]
pub(crate) struct Telemetry(Option<SdkTracerProvider>);

/// Sets up the log and, if configured, the export of traces, which needs a tokio runtime.
pub(crate) fn init(format: LogFormat) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    let filter = filter.parse(std::env::var("AEGIS_LOG").unwrap_or_default())?;
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let json = match format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Pretty => false,
        LogFormat::Json => true,
    };
    // A line that cannot be written is lost. Reporting that on a closed stderr would panic.
    let log = if json {
        fmt::layer().json().flatten_event(true).log_internal_errors(false).with_writer(io::stderr).boxed()
    } else {
        fmt::layer().with_target(false).with_ansi(colour).log_internal_errors(false).with_writer(io::stderr).boxed()
    };

    let provider = if wants_traces() { Some(tracer_provider()?) } else { None };
    let traces = provider.as_ref().map(|provider| {
        // Only our own spans: exporting the spans of the exporter would create more of them.
        let ours = Targets::new().with_target("aegis", LevelFilter::DEBUG);
        tracing_opentelemetry::layer().with_tracer(provider.tracer("aegis")).with_filter(ours)
    });
    tracing_subscriber::registry().with(log.with_filter(filter.and(Throttle))).with(traces).try_init()?;
    Ok(Telemetry(provider))
}

impl Telemetry {
    /// Exports the remaining traces.
    pub(crate) fn shutdown(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "not every trace was exported");
        }
    }
}

fn wants_traces() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let disabled = std::env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    !disabled && (set("OTEL_EXPORTER_OTLP_ENDPOINT") || set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
}

fn tracer_provider() -> Result<SdkTracerProvider, TelemetryError> {
    global::set_text_map_propagator(TraceContextPropagator::new());
    let exporter = SpanExporter::builder().with_tonic().build()?;
    let mut resource = Resource::builder();
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("aegis");
    }
    let resource = resource.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build())
}
