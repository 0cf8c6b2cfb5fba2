//! Resources of Kubernetes in place of a configuration: Knative's `KafkaSource` as it is, and for
//! the queues resources of our own that are made like it.
//!
//! A resource becomes an [`AdapterConfig`]: a pipeline for each of its `consumers`, in this process.
//! What Knative's controller would do (a dispatcher, `status`, addresses for `ref`s) is nobody's
//! business here. KNATIVE.md says of every field what becomes of it.

use std::{collections::BTreeMap, path::Path, time::Duration};

use eventlane::{
    OnExhausted,
    sink::{HttpSink, HttpSinkConfig},
};

use crate::config::{
    AdapterConfig, Chosen, DeadLetterConfig, DeliveryConfig, PipelineConfig, PollerConfig,
    SinkConfig, SourceConfig, fault::Fault, node::Node, secrets::Variables,
};

mod annotations;
mod delivery;
mod destination;
pub mod environment;
mod kafka;
mod metadata;
mod mns;
mod period;
mod rocketmq;
mod secret;
mod site;
mod sqs;
mod text;

use annotations::Annotations;
use delivery::DeliverySpec;
use destination::Destination;
use environment::Environment;
use metadata::Metadata;
use site::Site;

/// What a resource leaves to where it runs.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// The environment: `K_SINK` and so on.
    pub variables: Variables<'a>,
    /// Where the secrets are that it refers to: a file for each key, in a directory for each secret.
    pub secrets: Option<&'a Path>,
}

impl std::fmt::Debug for Around<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Around")
            .field("secrets", &self.secrets)
            .finish_non_exhaustive()
    }
}

/// What a resource says.
#[derive(Debug)]
pub struct Resource {
    /// The pipelines that it stands for.
    pub config: AdapterConfig,
    /// What of it means nothing here, a line each.
    pub notes: Vec<String>,
}

const KAFKA: &[&str] = &[
    "sources.knative.dev/v1",
    "sources.knative.dev/v1beta1",
    "sources.knative.dev/v1alpha1",
];
const OURS: &[&str] = &["eventlane.dev/v1alpha1"];

/// How long a receive waits for messages, which no resource says. A stop waits for it: the default of
/// MNS, 30 s, is all that Kubernetes grants.
const RECEIVE: Duration = Duration::from_secs(10);

/// The kinds that are understood.
const KINDS: &[&str] = &["KafkaSource", "RocketMQSource", "MnsSource", "SqsSource"];

/// Reads a document that is a resource; `None` if it is something else.
///
/// # Errors
/// The first mistake in it.
pub fn read(document: &Node, around: Around<'_>) -> Option<Result<Resource, Fault>> {
    let is_one = document.get("apiVersion").is_some() || document.get("kind").is_some();
    is_one.then(|| resource(document, around))
}

fn resource(document: &Node, around: Around<'_>) -> Result<Resource, Fault> {
    let site = Site(document);
    let said = |key: &str| document.get(key).and_then(Node::text);
    let Some(kind) = said("kind") else {
        let fault = site.fault(&[], "a resource needs its `kind`");
        return Err(fault.label(KINDS.join(", ")));
    };
    let versions = match kind {
        "KafkaSource" => KAFKA,
        _ if KINDS.contains(&kind) => OURS,
        _ => return Err(site.known(&["kind"], kind, KINDS)),
    };
    let version = said("apiVersion").unwrap_or_default();
    if !versions.contains(&version) {
        return Err(site.known(&["apiVersion"], version, versions));
    }
    let environment = Environment::read(around.variables)?;
    let context = Context {
        site,
        secrets: around.secrets,
        environment,
    };
    match kind {
        "KafkaSource" => kafka::read(&context),
        "RocketMQSource" => rocketmq::read(&context),
        "MnsSource" => mns::read(&context),
        _ => sqs::read(&context),
    }
}

/// What the parts of a resource are read with.
struct Context<'a> {
    site: Site<'a>,
    secrets: Option<&'a Path>,
    environment: Environment,
}

/// What all kinds have in common.
struct Common<'a> {
    metadata: &'a Metadata,
    consumers: Option<text::Count>,
    sink: Option<&'a Destination>,
    delivery: Option<&'a DeliverySpec>,
    overrides: Option<&'a environment::Overrides>,
    /// The order that is meant, and where events without a key go.
    order: DeliveryConfig,
}

/// Puts together what has been read of a queue.
fn assemble_queue(
    context: &Context<'_>,
    common: Common<'_>,
    mut source: SourceConfig,
) -> Result<Resource, Fault> {
    source.poller = Some(PollerConfig {
        wait: Some(RECEIVE),
        ..PollerConfig::default()
    });
    assemble(context, common, source, Vec::new())
}

/// Puts together what has been read, and checks it.
fn assemble(
    context: &Context<'_>,
    common: Common<'_>,
    source: SourceConfig,
    mut notes: Vec<String>,
) -> Result<Resource, Fault> {
    let Context {
        site, environment, ..
    } = context;
    let metadata = common.metadata;
    let annotations = Annotations::read(metadata, *site, &mut notes)?;
    let mut http = sink(context, &common, &mut notes)?;
    let mut delivery = common.order;
    annotations.order(&mut delivery);
    delivery::apply(
        common.delivery,
        &annotations,
        (context, &metadata.namespace()),
        (&mut http, &mut delivery),
        &mut notes,
    )?;
    if let Some(domain) = &annotations.domain {
        http = http.with_header("Host", domain);
        let only = HttpSinkConfig::new("http://localhost/").with_header("Host", domain);
        if let Err(error) = HttpSink::new(only) {
            let path = ["metadata", "annotations", annotations::DOMAIN];
            return Err(site.fault(&path, error.to_string()));
        }
    }
    let mut extensions = BTreeMap::new();
    if let Some(overrides) = common.overrides {
        extensions.clone_from(&overrides.extensions);
    }
    for (name, value) in &environment.extensions {
        extensions
            .entry(name.clone())
            .or_insert_with(|| value.clone());
    }
    for (name, value) in &extensions {
        if let Err(reason) = crate::extensions::check(name, value) {
            return Err(site.fault(&["spec", "ceOverrides", "extensions", name], reason));
        }
    }
    let pipeline = PipelineConfig {
        source,
        sink: SinkConfig {
            http,
            replies_to: None,
        },
        delivery,
        extensions,
    };
    check(&pipeline, *site)?;
    let consumers = match common.consumers {
        Some(text::Count(0)) => {
            let fault = site.fault(&["spec", "consumers"], "0 consumers carry nothing");
            return Err(fault.label("at least 1; to pause, stop the adapter"));
        }
        Some(text::Count(consumers)) => consumers,
        None => 1,
    };
    let name = |number: u32| match consumers {
        1 => metadata.name.clone(),
        _ => format!("{}-{number}", metadata.name),
    };
    let pipelines = (1..=consumers).map(|number| (name(number), pipeline.clone()));
    let config = AdapterConfig {
        pipelines: pipelines.collect(),
        ..AdapterConfig::default()
    };
    Ok(Resource { config, notes })
}

/// Where events go: what the resource says, else what the environment does.
fn sink(
    context: &Context<'_>,
    common: &Common<'_>,
    notes: &mut Vec<String>,
) -> Result<HttpSinkConfig, Fault> {
    let Context {
        site, environment, ..
    } = context;
    let path = ["spec", "sink"];
    let absolute = common.sink.and_then(Destination::absolute);
    match (common.sink, environment.sink()) {
        // A `SinkBinding` has found out what the `ref` stands for.
        (_, Some(bound)) if absolute.is_none() => Ok(bound),
        (Some(sink), _) => sink.http(*site, &path, &common.metadata.namespace(), notes),
        (None, None) => {
            let fault = site.fault(&["spec"], "`sink` is missing here");
            Err(fault.label("give `sink: {uri: URL}`, or set K_SINK"))
        }
        (None, Some(bound)) => Ok(bound),
    }
}

/// What can't work, as far as that can be told without asking anybody.
fn check(pipeline: &PipelineConfig, site: Site<'_>) -> Result<(), Fault> {
    let at = |path: &[&str], error: String| site.named(path, error);
    let chosen = pipeline.source.chosen();
    let chosen = chosen.map_err(|error| at(&["spec"], error))?;
    if let Err(error) = chosen.validate() {
        return Err(at(&["spec"], error.to_string()));
    }
    let released = matches!(pipeline.delivery.exhausted(), OnExhausted::Release { .. });
    if released && matches!(chosen, Chosen::Kafka(_)) {
        let path = ["metadata", "annotations", annotations::ON_EXHAUSTED];
        return Err(site.fault(&path, "a log like Kafka takes nothing back"));
    }
    if let Err(error) = HttpSink::new(pipeline.sink.http.clone()) {
        return Err(at(&["spec", "sink"], error.to_string()));
    }
    if let Some(DeadLetterConfig::Http(letters)) = &pipeline.delivery.dead_letter
        && let Err(error) = letters.open()
    {
        let path = ["spec", "delivery", "deadLetterSink"];
        return Err(at(&path, error.to_string()));
    }
    let checked = pipeline.delivery.validate();
    checked.map_err(|error| at(&["spec", "delivery"], error))
}
