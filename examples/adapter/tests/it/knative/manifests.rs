//! The manifests in `deploy` fit each other, and what the program takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Parser;
use eventlane_adapter::{
    cli::Cli,
    config::{
        Loaded,
        node::{self, Node, Value},
    },
};

use super::load;

struct Manifest {
    file: String,
    node: Node,
}

fn manifests() -> Vec<Manifest> {
    let mut all = Vec::new();
    for directory in ["kubernetes", "knative", "keda"] {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("deploy")
            .join(directory);
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let documents = node::parse(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            all.extend(documents.into_iter().map(|node| Manifest {
                file: file.clone(),
                node,
            }));
        }
    }
    all
}

impl Manifest {
    fn kind(&self) -> &str {
        text(&self.node, "kind")
    }

    fn name(&self) -> &str {
        text(&self.node, "metadata.name")
    }

    /// The pods of what has a template.
    fn pod(&self) -> Option<&Node> {
        find(&self.node, "spec.template.spec")
    }
}

fn find<'a>(node: &'a Node, path: &str) -> Option<&'a Node> {
    path.split('.')
        .try_fold(node, |node, key| match key.parse::<usize>() {
            Ok(index) => list(node).get(index),
            Err(_) => node.get(key),
        })
}

fn text<'a>(node: &'a Node, path: &str) -> &'a str {
    let found = find(node, path).and_then(Node::text);
    found.unwrap_or_else(|| panic!("no {path}"))
}

fn list(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        _ => &[],
    }
}

fn items<'a>(node: &'a Node, path: &str) -> &'a [Node] {
    find(node, path).map(list).unwrap_or_default()
}

/// The entries of a mapping of texts.
fn texts<'a>(node: &'a Node, path: &str) -> BTreeMap<&'a str, &'a str> {
    match find(node, path).map(|node| &node.value) {
        Some(Value::Map(entries)) => {
            let entries = entries.iter();
            let entry = entries.map(|(key, node)| (key.text.as_str(), node.text().unwrap()));
            entry.collect()
        }
        _ => BTreeMap::new(),
    }
}

/// What runs adapters, each with the manifests of its file.
fn workloads(manifests: &[Manifest]) -> impl Iterator<Item = (&Manifest, Vec<&Manifest>)> {
    let with_pods = manifests.iter().filter(|manifest| manifest.pod().is_some());
    with_pods.map(|workload| {
        let beside = manifests.iter().filter(|other| other.file == workload.file);
        (workload, beside.collect())
    })
}

fn named<'a>(beside: &[&'a Manifest], kind: &str, name: &str) -> &'a Node {
    let found = beside
        .iter()
        .find(|other| other.kind() == kind && other.name() == name);
    &found.unwrap_or_else(|| panic!("no {kind} {name}")).node
}

fn arguments(workload: &Manifest) -> Vec<&str> {
    let pod = workload.pod().unwrap();
    items(pod, "containers.0.args")
        .iter()
        .map(|node| node.text().unwrap())
        .collect()
}

fn flag<'a>(arguments: &[&'a str], name: &str) -> Option<&'a str> {
    arguments
        .iter()
        .find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='))
}

/// What the container finds at a path: the volume, and what is left of the path in it.
fn mounted<'a>(pod: &'a Node, path: &str) -> (&'a Node, PathBuf) {
    let mut mounts = items(pod, "containers.0.volumeMounts").iter();
    let mount = mounts.find(|mount| Path::new(path).starts_with(text(mount, "mountPath")));
    let mount = mount.unwrap_or_else(|| panic!("nothing is mounted at {path}"));
    let mut volumes = items(pod, "volumes").iter();
    let volume = volumes.find(|volume| text(volume, "name") == text(mount, "name"));
    let inside = Path::new(path)
        .strip_prefix(text(mount, "mountPath"))
        .unwrap();
    (volume.expect("a volume"), inside.to_owned())
}

/// The configuration as the container would read it, with the secrets of its file.
fn configuration(workload: &Manifest, beside: &[&Manifest]) -> Loaded {
    let pod = workload.pod().unwrap();
    let arguments = arguments(workload);
    let (volume, key) = mounted(pod, arguments.last().unwrap());
    let map = named(beside, "ConfigMap", text(volume, "configMap.name"));
    let data = texts(map, "data")[key.to_str().unwrap()];
    let directory = tempfile::tempdir().unwrap();
    for volume in items(pod, "volumes")
        .iter()
        .filter(|volume| volume.get("secret").is_some())
    {
        let name = text(volume, "secret.secretName");
        let mut mounts = items(pod, "containers.0.volumeMounts").iter();
        let mount = mounts.find(|mount| text(mount, "name") == text(volume, "name"));
        let mount = Path::new(text(mount.unwrap(), "mountPath"));
        let files = directory.path().join(mount.strip_prefix("/").unwrap());
        fs::create_dir_all(&files).unwrap();
        for (key, value) in texts(named(beside, "Secret", name), "stringData") {
            fs::write(files.join(key), value).unwrap();
        }
    }
    let inside = |path: &str| directory.path().join(path.trim_start_matches('/'));
    let data = data.replace(
        "${file:/",
        &format!("${{file:{}/", directory.path().display()),
    );
    let secrets = flag(&arguments, "--secrets").map(inside);
    let variables: &[_] = match workload.kind() {
        "ContainerSource" => &[("K_SINK", "http://broker/")],
        _ => &[],
    };
    let loaded = load(&workload.file, &data, secrets.as_deref(), variables);
    loaded.unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn containers_start_with_what_is_mounted() {
    let manifests = manifests();
    let mut seen = 0;
    for (workload, beside) in workloads(&manifests) {
        let pod = workload.pod().unwrap();
        let arguments = arguments(workload);
        let program = ["eventlane-adapter"].into_iter();
        if let Err(error) = Cli::try_parse_from(program.chain(arguments.iter().copied())) {
            panic!("{}: {error}", workload.file);
        }
        let loaded = configuration(workload, &beside);
        let grace = match flag(&arguments, "--grace") {
            Some(grace) => grace
                .trim_end_matches('s')
                .parse()
                .map(Duration::from_secs)
                .unwrap(),
            None => loaded.config.grace.expect("a grace time"),
        };
        let granted = text(pod, "terminationGracePeriodSeconds").parse().unwrap();
        // Besides: closing the source, and a log that is still to be written.
        let needed = grace + Duration::from_secs(5);
        assert!(
            needed <= Duration::from_secs(granted),
            "{}: {granted} s",
            workload.file
        );
        let container = &items(pod, "containers")[0];
        let listen = flag(&arguments, "--listen").expect("probes don't come from loopback");
        let port = listen.rsplit(':').next().unwrap();
        assert_eq!(text(container, "ports.0.containerPort"), port);
        for (probe, path) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
            let probe = find(container, probe).unwrap();
            assert_eq!(text(probe, "httpGet.path"), path);
            assert_eq!(text(probe, "httpGet.port"), text(container, "ports.0.name"));
        }
        for (path, value) in [
            ("securityContext.readOnlyRootFilesystem", "true"),
            ("securityContext.allowPrivilegeEscalation", "false"),
            ("securityContext.capabilities.drop.0", "ALL"),
        ] {
            assert_eq!(text(container, path), value, "{}", workload.file);
        }
        assert_eq!(text(pod, "securityContext.runAsNonRoot"), "true");
        assert!(find(container, "resources.limits.memory").is_some());
        seen += 1;
    }
    assert_eq!(seen, 3);
}

#[test]
fn selectors_choose_the_pods_that_they_are_for() {
    let manifests = manifests();
    let within = |few: &BTreeMap<&str, &str>, many: &BTreeMap<&str, &str>| {
        !few.is_empty() && few.iter().all(|(key, value)| many.get(key) == Some(value))
    };
    let mut labels = BTreeMap::new();
    for (workload, _) in workloads(&manifests).filter(|(it, _)| it.kind() == "Deployment") {
        let pods = texts(&workload.node, "spec.template.metadata.labels");
        assert!(within(
            &texts(&workload.node, "spec.selector.matchLabels"),
            &pods
        ));
        labels.insert(workload.name(), pods);
    }
    // Two Deployments that choose each other's pods would fight.
    let all: BTreeSet<_> = labels.values().collect();
    assert_eq!(all.len(), labels.len());
    for (kind, path) in [
        ("PodDisruptionBudget", "spec.selector.matchLabels"),
        ("NetworkPolicy", "spec.podSelector.matchLabels"),
        ("SinkBinding", "spec.subject.selector.matchLabels"),
    ] {
        let manifest = manifests
            .iter()
            .find(|manifest| manifest.kind() == kind)
            .unwrap();
        // A binding chooses Deployments by their own labels, which are those of the pods.
        let chosen = texts(&manifest.node, path);
        assert!(within(&chosen, &labels["eventlane-adapter"]), "{kind}");
    }
}

#[test]
fn keda_measures_what_the_adapters_read() {
    let manifests = manifests();
    let named_in = |file: &str, kind: &str| {
        let mut found = manifests
            .iter()
            .filter(move |it| it.file == file && it.kind() == kind);
        found
            .next()
            .unwrap_or_else(|| panic!("no {kind} in {file}"))
    };
    let kafka = &named_in("kafka.yaml", "ScaledObject").node;
    let (workload, beside) = workloads(&manifests)
        .find(|(it, _)| it.file == "deployment.yaml")
        .unwrap();
    assert_eq!(text(kafka, "spec.scaleTargetRef.name"), workload.name());
    let loaded = configuration(workload, &beside);
    let source = loaded.config.pipelines["orders"]
        .source
        .kafka
        .as_ref()
        .unwrap();
    let trigger = texts(kafka, "spec.triggers.0.metadata");
    assert_eq!(trigger["consumerGroup"], source.group);
    assert_eq!([trigger["topic"].to_owned()][..], source.topics[..]);
    let authentication = named_in("kafka.yaml", "TriggerAuthentication");
    assert_eq!(
        text(kafka, "spec.triggers.0.authenticationRef.name"),
        authentication.name()
    );
    let secret = named_in("kafka.yaml", "Secret");
    for reference in items(&authentication.node, "spec.secretTargetRef") {
        assert_eq!(text(reference, "name"), secret.name());
        assert!(texts(&secret.node, "stringData").contains_key(text(reference, "key")));
    }

    let sqs = &named_in("sqs.yaml", "ScaledObject").node;
    let (workload, beside) = workloads(&manifests)
        .find(|(it, _)| it.kind() == "ContainerSource")
        .unwrap();
    let made = format!("{}-deployment", workload.name());
    assert_eq!(text(sqs, "spec.scaleTargetRef.name"), made);
    let loaded = configuration(workload, &beside);
    let queue = &loaded.config.pipelines["orders"]
        .source
        .sqs
        .as_ref()
        .unwrap()
        .queue_url;
    assert_eq!(texts(sqs, "spec.triggers.0.metadata")["queueURL"], queue);
}
