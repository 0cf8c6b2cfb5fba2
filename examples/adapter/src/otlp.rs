//! Traces by OTLP over HTTP: a span for each attempt, with the pipeline, the number of events and the
//! first one's id.
//!
//! Where they go, and with which headers, is said by OpenTelemetry's own variables
//! (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`,
//! `OTEL_TRACES_SAMPLER`, ...). Without the first there are none.

use std::fmt;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
];

/// Sends what is left when it is dropped.
pub struct Traces(SdkTracerProvider);

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            eprintln!("the last traces could not be sent: {error}");
        }
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Traces")
    }
}

/// What sends spans, if the environment says where to. A thread of its own sends them in batches.
pub fn traces<S>() -> Option<(impl Layer<S>, Traces)>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    ENDPOINTS
        .iter()
        .find(|name| std::env::var_os(name).is_some())?;
    let exporter = SpanExporter::builder().with_http().build();
    let exporter = exporter
        .inspect_err(|error| eprintln!("no traces: {error}"))
        .ok()?;
    let resource = match std::env::var_os("OTEL_SERVICE_NAME") {
        Some(_) => Resource::builder(),
        None => Resource::builder().with_service_name("eventlane-adapter"),
    };
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build();
    let tracer = provider.tracer("eventlane");
    // Of what sends the traces, none are made.
    let own = Targets::new().with_target("eventlane", LevelFilter::DEBUG);
    let layer = tracing_opentelemetry::layer().with_tracer(tracer);
    Some((layer.with_filter(own), Traces(provider)))
}
