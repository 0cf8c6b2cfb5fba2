//! Resources of Kubernetes instead of a configuration.

use std::path::Path;

use eventlane_adapter::{
    config::{ConfigError, Loaded, load_around},
    knative::Around,
};

mod certificates;
mod delivery;
mod errors;
mod gateway;
mod hand_over;
mod host;
mod manifests;
mod queues;
mod real;
mod resources;
mod rotation;
mod schema;
mod validation;

/// What a file with this text becomes, where these variables are set.
fn load(
    name: &str,
    text: &str,
    secrets: Option<&Path>,
    variables: &[(&str, &str)],
) -> Result<Loaded, ConfigError> {
    let variable = |name: &str| {
        let set = variables.iter().find(|(variable, _)| *variable == name);
        set.map(|(_, value)| (*value).to_owned())
    };
    let around = Around {
        variables: &variable,
        secrets,
    };
    load_around(&[(name.to_owned(), text.to_owned())], around)
}
