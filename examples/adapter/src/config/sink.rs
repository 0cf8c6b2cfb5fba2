//! Where events go.

use eventlane::sink::HttpSinkConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a pipeline's events go.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// An HTTP endpoint.
    pub http: HttpSinkConfig,
}
