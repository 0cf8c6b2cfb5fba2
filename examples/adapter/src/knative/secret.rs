//! Secrets that a resource refers to, as a cluster mounts them: a file for each key, in a directory
//! for each secret.

use std::{fs, path::PathBuf};

use serde::Deserialize;

use super::Context;
use crate::config::fault::Fault;

/// `secretKeyRef: {name, key}`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct SecretValue {
    secret_key_ref: Option<SecretKey>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretKey {
    name: String,
    key: String,
    #[serde(default)]
    optional: bool,
}

impl SecretValue {
    /// The file, if there is a reference, and one that has to be there is.
    pub(super) fn file(
        &self,
        context: &Context<'_>,
        path: &[&str],
    ) -> Result<Option<PathBuf>, Fault> {
        let Some(SecretKey {
            name,
            key,
            optional,
        }) = &self.secret_key_ref
        else {
            return Ok(None);
        };
        let fault = |message: String| Err(context.site.fault(path, message));
        let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('/');
        if !plain(name) || !plain(key) {
            return fault("`name` and `key` are names, not paths".to_owned());
        }
        let Some(directory) = context.secrets else {
            let message = format!("the secret {name} is not to be had");
            let label = format!("--secrets DIR says where it is mounted: DIR/{name}/{key}");
            return fault(message).map_err(|fault| fault.label(label));
        };
        let file = directory.join(name).join(key);
        match file.is_file() {
            true => Ok(Some(file)),
            false if *optional => Ok(None),
            false => fault(format!("there is no file {}", file.display())),
        }
    }

    /// What the file says.
    pub(super) fn text(
        &self,
        context: &Context<'_>,
        path: &[&str],
    ) -> Result<Option<String>, Fault> {
        let Some(file) = self.file(context, path)? else {
            return Ok(None);
        };
        match fs::read_to_string(&file) {
            Ok(text) => Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned())),
            Err(error) => {
                let message = format!("can't read the file {}: {error}", file.display());
                Err(context.site.fault(path, message))
            }
        }
    }

    /// The same of what has to be there.
    pub(super) fn required(&self, context: &Context<'_>, path: &[&str]) -> Result<String, Fault> {
        let missing = || {
            let name = path.last().unwrap_or(&"it");
            let fault = context
                .site
                .fault(path, format!("`{name}` is missing here"));
            fault.label(format!("give `{name}: {{secretKeyRef: {{name, key}}}}`"))
        };
        self.text(context, path)?.ok_or_else(missing)
    }
}

/// What `spec.auth` of a queue says.
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
}

impl Keys {
    /// Both keys, each under its name, or none; with them a token, if there is one.
    pub(super) fn read(
        context: &Context<'_>,
        (id_name, id): (&str, Option<&SecretValue>),
        (secret_name, secret): (&str, Option<&SecretValue>),
        (token_name, token): (&str, &SecretValue),
    ) -> Result<Option<Self>, Fault> {
        if id.is_none() && secret.is_none() {
            return Ok(None);
        }
        let path = |name| ["spec", "auth", name];
        let required = |name, value: Option<&SecretValue>| {
            let unset = SecretValue::default();
            value.unwrap_or(&unset).required(context, &path(name))
        };
        Ok(Some(Self {
            id: required(id_name, id)?,
            secret: required(secret_name, secret)?,
            token: token.text(context, &path(token_name))?,
        }))
    }
}
