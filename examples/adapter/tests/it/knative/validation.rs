//! The manifests in `deploy` are what the servers of Kubernetes, Knative and KEDA take.

use std::{fs, path::Path, process::Command};

/// What it says, and whether it is content.
fn validate(paths: &[&Path]) -> (String, bool) {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(package.join("tests/manifests/validate"))
        .args(paths)
        .current_dir(package)
        .output()
        .expect("bash runs everywhere the tests do");
    let said = [output.stdout, output.stderr].concat();
    (
        String::from_utf8_lossy(&said).into_owned(),
        output.status.success(),
    )
}

#[test]
fn servers_take_the_manifests() {
    if eventlane_testkit::is_skipped("copy of the schemas of Kubernetes, Knative and KEDA") {
        return;
    }
    let paths = [
        "deploy/kubernetes",
        "deploy/knative",
        "deploy/keda",
        "deploy/crds",
        // Knative publishes no schema of KafkaSource where packages are found.
        "deploy/resources/mns-source.yaml",
        "deploy/resources/rocketmq-source.yaml",
        "deploy/resources/sqs-source.yaml",
    ];
    let (said, content) = validate(&paths.map(Path::new));
    assert!(content, "{said}");

    let directory = tempfile::tempdir().unwrap();
    let mistakes = [
        ("kubernetes/deployment.yaml", "replicas: ", "replicas: of "),
        ("kubernetes/deployment.yaml", "  strategy:", "  startegy:"),
        ("knative/sink-binding.yaml", "  subject:", "  subjekt:"),
        ("keda/kafka.yaml", "maxReplicaCount: ", "maxReplicas: "),
        ("keda/sqs.yaml", "kind: ScaledObject", "kind: Scaledobject"),
    ];
    for (number, (file, right, wrong)) in mistakes.into_iter().enumerate() {
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
        let text = fs::read_to_string(deploy.join(file)).unwrap();
        assert!(text.contains(right), "{file}: {right}");
        let path = directory.path().join(format!("{number}.yaml"));
        fs::write(path, text.replacen(right, wrong, 1)).unwrap();
    }
    let (said, content) = validate(&[directory.path()]);
    assert!(!content, "{said}");
    for number in 0..mistakes.len() {
        assert!(said.contains(&format!("{number}.yaml: ")), "{said}");
    }
}
