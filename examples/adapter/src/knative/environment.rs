//! What Knative gives to a container of a `ContainerSource`, and to whatever a `SinkBinding` binds:
//! `K_SINK`, `K_CE_OVERRIDES`, `K_CA_CERTS`.

use std::collections::BTreeMap;

use eventlane::sink::{HttpSinkConfig, http::Tls};
use serde::Deserialize;

use crate::config::{
    fault::Fault,
    node::{Key, Node, Place, Value},
    secrets::Variables,
};

/// `spec.ceOverrides`, and what `K_CE_OVERRIDES` says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Overrides {
    pub(super) extensions: BTreeMap<String, String>,
}

/// What the variables say.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    sink: Option<String>,
    certificates: Option<String>,
    pub(super) extensions: BTreeMap<String, String>,
}

impl Environment {
    /// Reads them.
    ///
    /// # Errors
    /// If `K_CE_OVERRIDES` is not what Knative writes.
    pub fn read(variables: Variables<'_>) -> Result<Self, Fault> {
        let set = |name| variables(name).filter(|value| !value.trim().is_empty());
        let overrides = match set("K_CE_OVERRIDES") {
            Some(text) => serde_json::from_str(&text).map_err(|error| {
                let like = r#"{"extensions":{"name":"value"}}"#;
                Fault::new(format!("K_CE_OVERRIDES is not like {like}: {error}"))
            })?,
            None => Overrides::default(),
        };
        Ok(Self {
            sink: set("K_SINK"),
            certificates: set("K_CA_CERTS"),
            extensions: overrides.extensions,
        })
    }

    pub(super) fn sink(&self) -> Option<HttpSinkConfig> {
        let mut config = HttpSinkConfig::new(self.sink.clone()?);
        if let Some(certificates) = &self.certificates {
            config = config.with_tls(Tls::default().with_ca(certificates.as_str()));
        }
        Some(config)
    }

    /// Gives each pipeline of a configuration that has no sink the one of `K_SINK`, and its events
    /// what `K_CE_OVERRIDES` says.
    pub fn complete(&self, document: &mut Node) {
        let Some(sink) = &self.sink else {
            return;
        };
        let Some(Value::Map(pipelines)) = get(document, "pipelines").map(|node| &mut node.value)
        else {
            return;
        };
        for (_, pipeline) in pipelines {
            let at = pipeline.at;
            let Value::Map(settings) = &mut pipeline.value else {
                continue;
            };
            if settings.iter().any(|(key, _)| key.text == "sink") {
                continue;
            }
            let mut http = vec![("url", text(sink, at))];
            if let Some(certificates) = &self.certificates {
                http.push(("tls", map([("ca", text(certificates, at))], at)));
            }
            settings.push((key("sink", at), map([("http", map(http, at))], at)));
            let mut extensions = match get(pipeline, "extensions") {
                Some(Node {
                    value: Value::Map(extensions),
                    ..
                }) => std::mem::take(extensions),
                // A mistake that reading the configuration reports.
                Some(node) if !node.is_null() => continue,
                _ => Vec::new(),
            };
            for (name, value) in &self.extensions {
                extensions.retain(|(key, _)| key.text != *name);
                extensions.push((key(name, at), text(value, at)));
            }
            if let Value::Map(settings) = &mut pipeline.value {
                settings.retain(|(key, _)| key.text != "extensions");
                let extensions = Node {
                    value: Value::Map(extensions),
                    at,
                    secret: false,
                };
                settings.push((key("extensions", at), extensions));
            }
        }
    }
}

fn get<'a>(node: &'a mut Node, name: &str) -> Option<&'a mut Node> {
    match &mut node.value {
        Value::Map(entries) => {
            let entry = entries.iter_mut().find(|(key, _)| key.text == name);
            entry.map(|(_, node)| node)
        }
        Value::Scalar { .. } | Value::List(_) => None,
    }
}

fn key(text: &str, at: Place) -> Key {
    Key {
        text: text.to_owned(),
        at,
    }
}

fn text(text: &str, at: Place) -> Node {
    Node {
        value: Value::Scalar {
            text: text.to_owned(),
            plain: false,
        },
        at,
        secret: false,
    }
}

fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Node)>, at: Place) -> Node {
    let entries = entries
        .into_iter()
        .map(|(name, node)| (key(name, at), node));
    Node {
        value: Value::Map(entries.collect()),
        at,
        secret: false,
    }
}
