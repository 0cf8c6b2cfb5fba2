//! Configurations: what each mistake is answered, and what good ones become.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use eventlane_adapter::{
    config::{ConfigError, Loaded, de, load_texts, node},
    explain::explain,
    schema::schema,
};
use serde_json::Value;

use crate::conforms::conforms;

fn files(directory: &str) -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it")
        .join(directory);
    let entries = fs::read_dir(directory).expect("the directory of the test's files");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension() == Some(OsStr::new("yaml")));
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.display().to_string(), text)
    };
    paths.into_iter().map(read).collect()
}

fn load(name: &str, text: &str) -> Result<Loaded, ConfigError> {
    load_texts(&[(name.to_owned(), text.to_owned())], &|name| match name {
        "KAFKA_PASSWORD" => Some("hush".to_owned()),
        _ => None,
    })
}

/// `EVENTLANE_UPDATE=1 cargo test -p eventlane-adapter --test it mistake` writes the texts anew.
#[test]
fn every_mistake_is_shown_where_it_stands() {
    let update = std::env::var("EVENTLANE_UPDATE").is_ok_and(|value| value == "1");
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (path, yaml) in files("errors") {
        let name = Path::new(&path)
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let shown = match load(&name, &yaml) {
            Err(error) => format!("{error}\n"),
            Ok(_) => panic!("{name} is taken for good"),
        };
        assert!(!shown.contains("hunter2"), "a secret is shown:\n{shown}");
        let expected = Path::new(&path).with_extension("txt");
        if update {
            fs::write(&expected, &shown).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != shown {
            wrong.push(shown);
        }
        seen += 1;
    }
    assert!(seen > 70, "the mistakes are not there");
    assert!(
        wrong.is_empty(),
        "other than in the file:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn what_is_explained_is_a_configuration_that_means_the_same() {
    for (path, yaml) in files("configs") {
        let loaded = load(&path, &yaml).unwrap_or_else(|error| panic!("{error}"));
        let explained = explain(&loaded);
        for secret in ["hush", "whisper"] {
            assert!(!explained.contains(secret), "{explained}");
        }
        let again =
            load("explained", &explained).unwrap_or_else(|error| panic!("{error}\n{explained}"));
        assert_eq!(explain(&again), explained);
    }
}

/// Documents as JSON, with nothing put in for variables.
fn documents(yaml: &str) -> Vec<Value> {
    let documents = node::parse(yaml).unwrap_or_else(|fault| panic!("{fault}"));
    let documents = documents.iter().filter(|node| !node.is_null());
    documents
        .map(|node| de::read(node).unwrap_or_else(|fault| panic!("{fault}")))
        .collect()
}

#[test]
fn the_schema_takes_what_is_good() {
    let schema = serde_json::to_value(schema()).unwrap();
    for (path, yaml) in files("configs") {
        for document in documents(&yaml) {
            conforms(&document, &schema).unwrap_or_else(|why| panic!("{path}: {why}"));
        }
        let explained = explain(&load(&path, &yaml).unwrap());
        for document in documents(&explained) {
            conforms(&document, &schema).unwrap_or_else(|why| panic!("{path}, explained: {why}"));
        }
    }
}

/// What an editor can know: names, types, choices. The rest is the program's to find.
#[test]
fn the_schema_refuses_what_is_not_a_configuration() {
    let schema = serde_json::to_value(schema()).unwrap();
    let structural = ["unknown field", "expected ", "is missing here"];
    // A text may look like a number, and the choice of a sink's login is between two mappings.
    let beyond = ["number_for_text.yaml"];
    let mut refused = 0;
    for (path, yaml) in files("errors") {
        let name = Path::new(&path)
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let shown = fs::read_to_string(Path::new(&path).with_extension("txt")).unwrap();
        let first = shown.lines().next().unwrap();
        let not_yaml = first.contains("not valid YAML");
        let known = structural.iter().any(|text| first.contains(text));
        if not_yaml || !known || beyond.contains(&&*name) {
            continue;
        }
        let all = documents(&yaml);
        let good = all
            .iter()
            .all(|document| conforms(document, &schema).is_ok());
        assert!(!good, "{name} conforms to the schema");
        refused += 1;
    }
    assert!(refused > 25, "{refused}");
}

/// Every YAML block of the guide that is a configuration is one that works.
#[test]
fn the_guide_shows_configurations_that_work() {
    let guide = include_str!("../../README.md");
    let blocks: Vec<_> = guide.split("```yaml\n").skip(1).collect();
    assert!(blocks.len() >= 3);
    let directory = tempfile::tempdir().unwrap();
    for block in blocks {
        let yaml = block.split("```").next().unwrap();
        let secrets = yaml.split("/run/secrets/").skip(1);
        for name in secrets.map(|rest| rest.split(['"', '}', '\n']).next().unwrap()) {
            fs::write(directory.path().join(name), "hush").unwrap();
        }
        let place = format!("{}/", directory.path().display());
        let yaml = yaml.replace("/run/secrets/", &place);
        let texts = [("README.md".to_owned(), yaml)];
        // `K_SINK` and its like are Knative's to set.
        let set = |name: &str| !name.starts_with("K_");
        let loaded = load_texts(&texts, &|name| {
            set(name).then(|| format!("value-of-{name}"))
        });
        loaded.unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Also in settings that are no secrets themselves.
#[test]
fn what_comes_from_where_secrets_are_kept_is_not_explained() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("name");
    fs::write(&file, "hush\n").unwrap();
    let yaml = format!(
        "pipelines: {{p: {{source: {{kafka: {{bootstrap_servers: b, group: \"${{file:{0}}}\", \
         instance_id: {{file: {0}}}, topics: [t, \"${{KAFKA_PASSWORD}}\", \"${{NAME:-n}}\"]}}}}, \
         sink: {{http: {{url: \"http://a/?code=hush\"}}}}}}}}",
        file.display()
    );
    let loaded = load("test", &yaml).unwrap_or_else(|error| panic!("{error}"));
    let kafka = loaded.config.pipelines["p"].source.kafka.as_ref().unwrap();
    assert_eq!(kafka.group, "hush", "it is used all the same");
    let explained = explain(&loaded);
    assert!(!explained.contains("hush"), "{explained}");
    assert!(
        explained.contains("- n"),
        "other variables show: {explained}"
    );
}
