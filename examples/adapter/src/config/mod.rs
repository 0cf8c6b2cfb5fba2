//! The configuration: YAML files, and what they become.
//!
//! A file is parsed to a tree that knows its places ([`node`]), what it leaves to environment and
//! files is put in ([`secrets`]), and the library's own configuration types are read from that
//! ([`de`]), so that every setting of the library is one here. Mistakes are shown where they stand
//! ([`fault`]).

use std::{
    collections::BTreeMap,
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use eventlane::{OnExhausted, duration::Written};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod de;
pub mod delivery;
pub mod fault;
pub mod node;
pub mod secrets;
pub mod sink;
pub mod source;

pub use delivery::{DeadLetterConfig, DeliveryConfig};
pub use sink::{RepliesTo, SinkConfig};
pub use source::{Chosen, PollerConfig, SourceConfig};

use fault::Fault;
use node::{Node, Place};

use crate::knative::{self, Around, environment::Environment};

/// What a file says: the adapter's own settings, and its pipelines.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdapterConfig {
    /// Where health and metrics are served. Default 127.0.0.1:9464.
    #[schemars(with = "Option<String>")]
    pub listen: Option<SocketAddr>,
    /// How long a stop may take, of every pipeline that doesn't say it itself. Default 25 s: less
    /// than the 30 s that Kubernetes grants.
    #[serde(with = "eventlane::duration::optional")]
    #[schemars(with = "Option<Written>")]
    pub grace: Option<Duration>,
    /// The pipelines, by name.
    pub pipelines: BTreeMap<String, PipelineConfig>,
}

/// From a source to a sink.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineConfig {
    /// Where messages come from.
    pub source: SourceConfig,
    /// Where events go.
    pub sink: SinkConfig,
    /// How they get there.
    #[serde(default)]
    pub delivery: DeliveryConfig,
    /// Extension attributes that every event gets, dead letters included, whatever it had.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, String>,
}

/// Where health and metrics are served, unless the configuration says otherwise.
pub const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9464);

/// How long a stop may take, unless the configuration says otherwise.
pub const GRACE: Duration = Duration::from_secs(25);

/// What is wrong with a configuration, shown as it stands in its file.
#[derive(Debug)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl std::error::Error for ConfigError {}

/// A configuration, and the documents that it came from.
#[derive(Debug)]
pub struct Loaded {
    /// What all files say together.
    pub config: AdapterConfig,
    /// What is written, with everything put in: one for each document.
    pub documents: Vec<Node>,
    /// What of them means nothing here, a line each.
    pub notes: Vec<String>,
}

/// Reads configuration files, or standard input for `-`, and puts in what they leave to the
/// environment. `secrets` is where the secrets are that resources of Kubernetes refer to.
///
/// # Errors
/// The first mistake.
pub fn load(files: &[PathBuf], secrets: Option<&Path>) -> Result<Loaded, ConfigError> {
    let mut texts = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let text = match name.as_str() {
            "-" => std::io::read_to_string(std::io::stdin()),
            _ => fs::read_to_string(file),
        };
        match text {
            Ok(text) => texts.push((name, text)),
            Err(error) => return Err(ConfigError(format!("error: can't read {name}: {error}"))),
        }
    }
    let around = Around {
        variables: &|name| std::env::var(name).ok(),
        secrets,
    };
    load_around(&texts, around)
}

/// The same of texts, each with the name of its file.
///
/// # Errors
/// The first mistake.
pub fn load_texts(
    texts: &[(String, String)],
    variables: secrets::Variables<'_>,
) -> Result<Loaded, ConfigError> {
    let secrets = None;
    load_around(texts, Around { variables, secrets })
}

/// The same with everything that resources of Kubernetes leave to where they run.
///
/// # Errors
/// The first mistake.
pub fn load_around(texts: &[(String, String)], around: Around<'_>) -> Result<Loaded, ConfigError> {
    let mut loaded = Loaded {
        config: AdapterConfig::default(),
        documents: Vec::new(),
        notes: Vec::new(),
    };
    for (name, text) in texts {
        let shown = |fault: &Fault| ConfigError(fault.shown(name, text).to_string());
        for mut document in node::parse(text).map_err(|fault| shown(&fault))? {
            if document.is_null() {
                continue;
            }
            secrets::resolve(&mut document, around.variables).map_err(|fault| shown(&fault))?;
            let config = match knative::read(&document, around) {
                Some(resource) => {
                    let resource = resource.map_err(|fault| shown(&fault))?;
                    loaded.notes.extend(resource.notes);
                    resource.config
                }
                None => {
                    let environment = Environment::read(around.variables);
                    let environment = environment.map_err(|fault| shown(&fault))?;
                    environment.complete(&mut document);
                    read(&document).map_err(|fault| shown(&fault))?
                }
            };
            merge(&mut loaded.config, config, &document).map_err(|fault| shown(&fault))?;
            loaded.documents.push(document);
        }
    }
    if loaded.config.pipelines.is_empty() {
        let names: Vec<_> = texts.iter().map(|(name, _)| name.as_str()).collect();
        let message = "error: there is no pipeline: give at least one under `pipelines`";
        return Err(ConfigError(format!(
            "{message}\n  --> {}",
            names.join(", ")
        )));
    }
    Ok(loaded)
}

/// One document, checked as far as that can be done without asking anybody.
fn read(document: &Node) -> Result<AdapterConfig, Fault> {
    let config: AdapterConfig = de::read(document)?;
    for (name, pipeline) in &config.pipelines {
        let node = document
            .get("pipelines")
            .and_then(|pipelines| pipelines.get(name))
            .unwrap_or(document);
        pipeline
            .validate(node)
            .map_err(|fault| fault.under(name.as_str()).under("pipelines"))?;
    }
    Ok(config)
}

fn merge(into: &mut AdapterConfig, from: AdapterConfig, document: &Node) -> Result<(), Fault> {
    let at = |key: &str| document.entry(key).map_or(document.at, |(key, _)| key.at);
    let differs = |key: &str| {
        let message = format!("`{key}` is another one here than in an earlier document");
        Err(Fault::new(message).at(at(key)))
    };
    match (into.listen, from.listen) {
        (Some(a), Some(b)) if a != b => return differs("listen"),
        (a, b) => into.listen = a.or(b),
    }
    match (into.grace, from.grace) {
        (Some(a), Some(b)) if a != b => return differs("grace"),
        (a, b) => into.grace = a.or(b),
    }
    for (name, pipeline) in from.pipelines {
        let pipelines = document.get("pipelines");
        let at = pipelines
            .and_then(|pipelines| pipelines.entry(&name))
            .map_or(document.at, |(key, _)| key.at);
        if into.pipelines.contains_key(&name) {
            let message = format!("the pipeline `{name}` is there already: names are used once");
            return Err(Fault::new(message).at(at).under("pipelines"));
        }
        into.pipelines.insert(name, pipeline);
    }
    Ok(())
}

impl PipelineConfig {
    /// What can't work, as far as that can be told without asking anybody; `node` is what it was
    /// read from.
    fn validate(&self, node: &Node) -> Result<(), Fault> {
        let part = |name: &'static str| {
            let entry = node.entry(name);
            let at = entry.map_or(node.at, |(key, _)| key.at);
            (entry.map_or(node, |(_, part)| part), at)
        };
        let fault = |name: &'static str, message: String| {
            let (part, at): (&Node, Place) = part(name);
            Fault::named(message, part, at).under(name)
        };
        let chosen = self.source.chosen();
        let chosen = chosen.map_err(|message| fault("source", message))?;
        if let Err(error) = chosen.validate() {
            let (source, at) = part("source");
            let entry = source.entry(chosen.name());
            let at = entry.map_or(at, |(key, _)| key.at);
            let system = entry.map_or(source, |(_, system)| system);
            let fault = Fault::named(error.to_string(), system, at);
            return Err(fault.under(chosen.name()).under("source"));
        }
        // Reads certificates and credentials: what can't be read is missed now.
        if let Err(error) = eventlane::sink::HttpSink::new(self.sink.http.clone()) {
            let (sink, at) = part("sink");
            let http = sink.entry("http");
            let at = http.map_or(at, |(key, _)| key.at);
            let fault = Fault::named(error.to_string(), http.map_or(sink, |(_, http)| http), at);
            return Err(fault.under("http").under("sink"));
        }
        if let Some(Err(error)) = self.sink.replies_to.as_ref().map(RepliesTo::validate) {
            return Err(fault("sink", error.to_string()));
        }
        self.delivery
            .validate()
            .map_err(|message| fault("delivery", message))?;
        for (name, value) in &self.extensions {
            if let Err(reason) = crate::extensions::check(name, value) {
                return Err(fault("extensions", reason));
            }
        }
        let released = matches!(self.delivery.exhausted(), OnExhausted::Release { .. });
        if released && matches!(chosen, Chosen::Kafka(_)) {
            let message = "`on_exhausted` is release, but a log like Kafka takes nothing back";
            return Err(fault("delivery", message.to_owned()));
        }
        match (&self.delivery.dead_letter, chosen) {
            (Some(DeadLetterConfig::Broker), Chosen::RocketMq(_)) => Ok(()),
            (Some(DeadLetterConfig::Broker), _) => Err(fault(
                "delivery",
                "only RocketMQ makes dead letters itself: `dead_letter` is http, kafka, file or mns"
                    .to_owned(),
            )),
            (Some(DeadLetterConfig::Http(letters)), _) => letters
                .open()
                .map(drop)
                .map_err(|error| fault("delivery", error.to_string())),
            (Some(DeadLetterConfig::Kafka(config)), _) => config
                .validate()
                .map_err(|error| fault("delivery", error.to_string())),
            (Some(DeadLetterConfig::Mns(config)), _) => config
                .validate()
                .map_err(|error| fault("delivery", error.to_string())),
            (Some(DeadLetterConfig::File(_)) | None, _) => Ok(()),
        }
    }
}
