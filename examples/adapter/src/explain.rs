//! The configuration in effect, as YAML.

use std::fmt::Write;

use eventlane::redacted;

use crate::config::{
    AdapterConfig, GRACE, LISTEN, Loaded,
    node::{self, Node, Value},
};

/// What is in effect: every setting, defaults filled in. What is a secret, or comes from a file or
/// a variable that sounds like one, is left out.
///
/// The result is a configuration again, but for the secrets.
pub fn explain(loaded: &Loaded) -> String {
    let mut node = tree(&effective(loaded.config.clone()));
    for document in &loaded.documents {
        redact(&mut node, document);
    }
    let mut out = String::new();
    emit(&node, 0, &mut out);
    out
}

/// With what the adapter decides if nothing is said.
fn effective(mut config: AdapterConfig) -> AdapterConfig {
    config.listen.get_or_insert(LISTEN);
    let grace = *config.grace.get_or_insert(GRACE);
    for pipeline in config.pipelines.values_mut() {
        let delivery = &mut pipeline.delivery;
        delivery.grace.get_or_insert(grace);
        delivery.on_exhausted = Some(delivery.exhausted());
    }
    config
}

/// JSON is YAML, and keeps the order of fields.
fn tree(config: &AdapterConfig) -> Node {
    let json = serde_json::to_string(config).expect("configuration can be written as JSON");
    let mut documents = node::parse(&json).expect("JSON is YAML");
    documents.swap_remove(0)
}

/// Takes out what was put in from where secrets are kept.
fn redact(node: &mut Node, written: &Node) {
    if written.secret {
        node.value = Value::Scalar {
            text: redacted::TEXT.to_owned(),
            plain: false,
        };
        return;
    }
    match (&mut node.value, &written.value) {
        (Value::Map(entries), Value::Map(_)) => {
            for (key, value) in entries {
                if let Some(written) = written.get(&key.text) {
                    redact(value, written);
                }
            }
        }
        (Value::List(items), Value::List(written)) => {
            for (item, written) in items.iter_mut().zip(written) {
                redact(item, written);
            }
        }
        _ => {}
    }
}

fn emit(node: &Node, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                write!(out, "{indent}{}:", scalar(&key.text, false)).ok();
                below(value, depth, out);
            }
        }
        Value::List(items) if !items.is_empty() => {
            for item in items {
                write!(out, "{indent}-").ok();
                below(item, depth, out);
            }
        }
        Value::Map(_) | Value::List(_) | Value::Scalar { .. } => {
            writeln!(out, "{indent}{}", inline(node)).ok();
        }
    }
}

fn below(value: &Node, depth: usize, out: &mut String) {
    let nested = match &value.value {
        Value::Map(entries) => !entries.is_empty(),
        Value::List(items) => !items.is_empty(),
        Value::Scalar { .. } => false,
    };
    if nested {
        out.push('\n');
        emit(value, depth + 1, out);
    } else {
        writeln!(out, " {}", inline(value)).ok();
    }
}

fn inline(node: &Node) -> String {
    match &node.value {
        Value::Scalar { text, plain } => scalar(text, *plain),
        Value::Map(_) => "{}".to_owned(),
        Value::List(_) => "[]".to_owned(),
    }
}

/// Without quotes where that is what it means.
fn scalar(text: &str, plain: bool) -> String {
    let simple = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '+');
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| simple(c) || c == ':')
        && !text.ends_with(':')
        && !matches!(text, "true" | "false" | "null");
    // Durations begin with a digit, and end with a letter.
    let duration = text.starts_with(|c: char| c.is_ascii_digit())
        && text.ends_with(['s', 'm', 'h'])
        && text.chars().all(|c| c.is_ascii_alphanumeric());
    if plain || word || duration {
        return text.to_owned();
    }
    serde_json::to_string(text).expect("a text can be written as JSON")
}
