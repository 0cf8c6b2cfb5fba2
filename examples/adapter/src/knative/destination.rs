//! Knative's `Destination`: where events or dead letters go.

use eventlane::sink::{HttpSinkConfig, http::Tls};
use serde::Deserialize;

use super::site::Site;
use crate::config::fault::Fault;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Destination {
    uri: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<Reference>,
    #[serde(rename = "CACerts")]
    ca_certs: Option<String>,
    audience: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Reference {
    #[serde(default)]
    api_version: String,
    kind: String,
    name: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(rename = "group", default)]
    _group: Option<String>,
    #[serde(rename = "address", default)]
    _address: Option<String>,
}

impl Destination {
    /// The URI, unless it is relative to a `ref`.
    pub(super) fn absolute(&self) -> Option<&str> {
        let relative = |uri: &&str| self.reference.is_some() && !uri.contains("://");
        self.uri.as_deref().filter(|uri| !relative(uri))
    }

    /// The endpoint.
    pub(super) fn http(
        &self,
        site: Site<'_>,
        path: &[&str],
        namespace: &str,
        notes: &mut Vec<String>,
    ) -> Result<HttpSinkConfig, Fault> {
        let under = |key| [path, &[key]].concat();
        let Some(uri) = self.absolute() else {
            let Some(reference) = &self.reference else {
                return Err(site.fault(path, "`uri` is missing here"));
            };
            let message = format!(
                "what the {} `{}` has for an address, only a cluster knows",
                reference.kind, reference.name
            );
            let fault = site.fault(&under("ref"), message);
            let path = self.uri.as_deref().unwrap_or_default();
            let instead = reference.address(namespace);
            return Err(fault.label(match instead {
                Some(url) => format!("instead: uri: {url}{path}"),
                None => "instead: uri: with what its status.address.url is".to_owned(),
            }));
        };
        if self.audience.is_some() {
            let path = under("audience").join(".");
            notes.push(format!("{path}: no OIDC token is sent"));
        }
        let mut config = HttpSinkConfig::new(uri);
        if let Some(certificates) = &self.ca_certs {
            config = config.with_tls(Tls::default().with_ca(certificates.as_str()));
        }
        Ok(config)
    }
}

impl Reference {
    /// What its address usually is.
    fn address(&self, namespace: &str) -> Option<String> {
        let Self { kind, name, .. } = self;
        let namespace = self.namespace.as_deref().unwrap_or(namespace);
        let group = self.api_version.split('/').next().unwrap_or_default();
        match (group, kind.as_str()) {
            ("v1" | "" | "serving.knative.dev", "Service") => {
                Some(format!("http://{name}.{namespace}.svc.cluster.local"))
            }
            ("eventing.knative.dev", "Broker") => {
                let ingress = "http://broker-ingress.knative-eventing.svc.cluster.local";
                Some(format!("{ingress}/{namespace}/{name}"))
            }
            _ => None,
        }
    }
}
