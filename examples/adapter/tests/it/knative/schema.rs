//! The schemas of our own resources say what the adapter reads, neither more nor less.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use eventlane_adapter::config::node::{self, Node, Value};

use super::load;

fn deploy(path: &str) -> Node {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let text = fs::read_to_string(directory.join(path)).unwrap();
    node::parse(&text).unwrap().swap_remove(0)
}

fn at<'a>(node: &'a Node, path: &str) -> &'a Node {
    path.split('.').fold(node, |node, key| match key.parse() {
        Ok(index) => list(node).get::<usize>(index).unwrap(),
        Err(_) => node.get(key).unwrap_or_else(|| panic!("no {key}")),
    })
}

fn list(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        _ => &[],
    }
}

fn entries(node: &Node) -> impl Iterator<Item = (&str, &Node)> {
    let entries: &[_] = match &node.value {
        Value::Map(entries) => entries,
        _ => &[],
    };
    entries.iter().map(|(key, node)| (key.text.as_str(), node))
}

/// What of structural schemas ours have.
fn mistakes(schema: &Node, value: &Node, path: &str, found: &mut Vec<String>) {
    let ty = schema.get("type").and_then(Node::text).unwrap();
    let text = value.text().unwrap_or_default();
    let right = match ty {
        "object" => matches!(value.value, Value::Map(_)),
        "array" => matches!(value.value, Value::List(_)),
        "integer" => text.parse::<i32>().is_ok(),
        "boolean" => matches!(text, "true" | "false"),
        "string" => value.text().is_some(),
        _ => panic!("{ty} of {path}"),
    };
    if !right {
        found.push(format!("{path} is no {ty}"));
    }
    if let Some(known) = schema.get("enum")
        && !list(known).iter().any(|one| one.text() == Some(text))
    {
        found.push(format!("{path} is none of its values"));
    }
    if let Some(least) = schema.get("minimum").and_then(Node::text)
        && text.parse::<i32>().ok() < least.parse().ok()
    {
        found.push(format!("{path} is too small"));
    }
    for name in schema.get("required").map(list).unwrap_or_default() {
        let name = name.text().unwrap();
        if value.get(name).is_none() {
            found.push(format!("{path}.{name} is missing"));
        }
    }
    if let Some(items) = schema.get("items") {
        for (at, item) in list(value).iter().enumerate() {
            mistakes(items, item, &format!("{path}.{at}"), found);
        }
    }
    if let Some(properties) = schema.get("properties") {
        for (name, value) in entries(value) {
            match properties.get(name) {
                Some(schema) => mistakes(schema, value, &format!("{path}.{name}"), found),
                None => found.push(format!("{path}.{name} is unknown")),
            }
        }
    }
}

fn schema(name: &str) -> Node {
    let crd = deploy(&format!("crds/{name}.yaml"));
    at(&crd, "spec.versions.0.schema.openAPIV3Schema").clone()
}

const KINDS: [&str; 3] = ["rocketmq-source", "mns-source", "sqs-source"];

#[test]
fn the_examples_are_what_the_schemas_say() {
    for name in KINDS {
        let (crd, example) = (
            deploy(&format!("crds/{name}.yaml")),
            deploy(&format!("resources/{name}.yaml")),
        );
        let kind = at(&crd, "spec.names.kind").text();
        assert_eq!(at(&example, "kind").text(), kind);
        let version = at(&crd, "spec.versions.0.name").text().unwrap();
        let group = at(&crd, "spec.group").text().unwrap();
        let api_version = format!("{group}/{version}");
        assert_eq!(
            at(&example, "apiVersion").text(),
            Some(api_version.as_str())
        );
        let plural = at(&crd, "spec.names.plural").text().unwrap();
        let full = format!("{plural}.{group}");
        assert_eq!(at(&crd, "metadata.name").text(), Some(full.as_str()));
        let mut found = Vec::new();
        mistakes(&schema(name), &example, kind.unwrap(), &mut found);
        // Whatever `metadata` has.
        assert_eq!(found, Vec::<String>::new());
    }
}

#[test]
fn a_schema_notices_mistakes() {
    let schema = schema("sqs-source");
    let text = "kind: SqsSource\nspec: {queueUrl: a, consumers: 0, ordering: order, \
                delivery: {retry: many}, sink: {ref: {name: a}}}";
    let value = node::parse(text).unwrap().swap_remove(0);
    let mut found = Vec::new();
    mistakes(&schema, &value, "it", &mut found);
    found.sort();
    assert_eq!(
        found,
        [
            "it.spec.consumers is too small",
            "it.spec.delivery.retry is no integer",
            "it.spec.delivery.retry is too small",
            "it.spec.ordering is none of its values",
            "it.spec.queueURL is missing",
            "it.spec.queueUrl is unknown",
            "it.spec.sink.ref.kind is missing",
        ]
    );
}

/// Every object of a schema, as the way there.
fn objects<'a>(schema: &'a Node, path: &[&'a str], all: &mut Vec<(Vec<&'a str>, &'a Node)>) {
    if let Some(items) = schema.get("items") {
        objects(items, &[path, &["[]"]].concat(), all);
    }
    if let Some(properties) = schema.get("properties") {
        all.push((path.to_vec(), properties));
        for (name, schema) in entries(properties) {
            objects(schema, &[path, &[name]].concat(), all);
        }
    }
}

/// A field that nobody knows is put into each object, and the adapter says what it knows there.
#[test]
fn the_schemas_have_the_fields_that_the_adapter_reads() {
    for name in KINDS {
        let crd = deploy(&format!("crds/{name}.yaml"));
        let kind = at(&crd, "spec.names.kind").text().unwrap().to_owned();
        let schema = schema(name);
        let mut all = Vec::new();
        objects(at(&schema, "properties.spec"), &[], &mut all);
        assert!(all.len() > 8, "{name} has {} objects", all.len());
        for (path, properties) in all {
            let mut text = format!(
                "apiVersion: eventlane.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: a}}\nspec: "
            );
            for key in &path {
                match *key {
                    "[]" => text.push('['),
                    key => write!(text, "{{{key}: ").unwrap(),
                }
            }
            text.push_str("{zzz: 1}");
            for key in path.iter().rev() {
                text.push(if *key == "[]" { ']' } else { '}' });
            }
            let error = load("a.yaml", &text, None, &[]).unwrap_err().to_string();
            let known = error
                .lines()
                .find_map(|line| line.split_once("known here: "));
            let (_, known) = known.unwrap_or_else(|| panic!("{path:?}: {error}"));
            let known: BTreeSet<_> = known.split(", ").collect();
            let said: BTreeSet<_> = entries(properties).map(|(name, _)| name).collect();
            assert_eq!(known, said, "{kind} {path:?}");
        }
    }
}
