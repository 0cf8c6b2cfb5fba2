//! What every resource has.

use std::collections::BTreeMap;

use serde::{Deserialize, de::IgnoredAny};

/// A resource: `apiVersion`, `kind`, `metadata`, `spec`, and a `status` that is somebody else's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Whole<S> {
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    pub(super) metadata: Metadata,
    pub(super) spec: S,
    #[serde(rename = "status", default)]
    _status: Option<IgnoredAny>,
}

/// Kubernetes' `ObjectMeta`. What only a cluster writes is taken and left alone, so that what
/// `kubectl get -o yaml` says can be run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) name: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(rename = "uid", default)]
    _uid: Option<IgnoredAny>,
    #[serde(rename = "resourceVersion", default)]
    _resource_version: Option<IgnoredAny>,
    #[serde(rename = "generation", default)]
    _generation: Option<IgnoredAny>,
    #[serde(rename = "creationTimestamp", default)]
    _creation_timestamp: Option<IgnoredAny>,
    #[serde(rename = "deletionTimestamp", default)]
    _deletion_timestamp: Option<IgnoredAny>,
    #[serde(rename = "deletionGracePeriodSeconds", default)]
    _deletion_grace_period_seconds: Option<IgnoredAny>,
    #[serde(rename = "finalizers", default)]
    _finalizers: Option<IgnoredAny>,
    #[serde(rename = "generateName", default)]
    _generate_name: Option<IgnoredAny>,
    #[serde(rename = "managedFields", default)]
    _managed_fields: Option<IgnoredAny>,
    #[serde(rename = "ownerReferences", default)]
    _owner_references: Option<IgnoredAny>,
    #[serde(rename = "selfLink", default)]
    _self_link: Option<IgnoredAny>,
}

impl Metadata {
    /// The namespace; Kubernetes' default one if none is given.
    pub(super) fn namespace(&self) -> String {
        self.namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned())
    }
}
