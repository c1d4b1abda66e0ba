//! What the daemon says about itself: a log on stderr, and traces over OTLP where the standard `OTEL_*` variables ask.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `AEGIS_LOG` | what to log, as `tracing-subscriber`'s filter has it; default `info` |
//! | `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` | where to send traces (gRPC); none are sent without one |
//! | `OTEL_EXPORTER_OTLP_HEADERS`, `_TIMEOUT`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*` | as the OpenTelemetry specification has them |
//! | `OTEL_SDK_DISABLED=true` | no traces, whatever else is set |

use std::io::{self, IsTerminal as _};

use opentelemetry::global;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer as _, fmt};

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// Telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `AEGIS_LOG` is no filter.
    #[error("AEGIS_LOG: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The exporter cannot be built from the `OTEL_*` variables.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// Telemetry was set up before.
    #[error(transparent)]
    Init(#[from] TryInitError),
}

/// Telemetry while it lasts: what is still to be exported goes out when this is shut down.
#[derive(Debug)]
pub struct Telemetry(Option<SdkTracerProvider>);

/// Sets up the log and, where asked for, the export of traces. Needs a tokio runtime for the latter.
pub fn init(format: LogFormat) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    let filter = filter.parse(std::env::var("AEGIS_LOG").unwrap_or_default())?;
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let json = match format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Pretty => false,
        LogFormat::Json => true,
    };
    // A line that cannot be written is lost. To complain about it on stderr, where nobody reads any more, would panic.
    let log = if json {
        fmt::layer().json().flatten_event(true).log_internal_errors(false).with_writer(io::stderr).boxed()
    } else {
        fmt::layer().with_target(false).with_ansi(colour).log_internal_errors(false).with_writer(io::stderr).boxed()
    };

    let provider = if wants_traces() { Some(tracer_provider()?) } else { None };
    let traces = provider.as_ref().map(|provider| {
        // Only our own spans: the exporter's and the transport's would feed on themselves.
        let ours = Targets::new().with_target("aegis", LevelFilter::DEBUG);
        tracing_opentelemetry::layer().with_tracer(provider.tracer("aegis")).with_filter(ours)
    });
    tracing_subscriber::registry().with(log.with_filter(filter)).with(traces).try_init()?;
    Ok(Telemetry(provider))
}

impl Telemetry {
    /// Sends what is still to be sent.
    pub fn shutdown(self) {
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
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build())
}
