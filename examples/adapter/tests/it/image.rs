//! What the image of `deploy/Dockerfile` has is enough: glibc and libgcc, and a user without rights.

use std::{fs, path::Path, process::Command};

use eventlane_testkit::{
    CheckingSink, Process,
    sink::{Answer, Faults},
};

use crate::support::{Files, LIMIT, broker, pipeline};

/// What `gcr.io/distroless/cc` brings.
const LIBRARIES: [&str; 4] = ["ld-linux", "libc.so", "libgcc_s.so", "libm.so"];

/// The paths of the shared libraries that a program is linked with.
fn libraries(program: &str) -> Vec<String> {
    let output = Command::new("ldd").arg(program).output().expect("ldd runs");
    let text = String::from_utf8(output.stdout).unwrap();
    let path = |line: &str| {
        let mut words = line.split_whitespace();
        words.find(|word| word.starts_with('/')).map(str::to_owned)
    };
    text.lines().filter_map(path).collect()
}

fn copy(from: &str, root: &Path, to: &str) {
    let to = root.join(to.trim_start_matches('/'));
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}

/// The program as user 65532 in a root directory with nothing but itself, those libraries, `/etc/hosts` and
/// a configuration.
fn contained(files: &Files, config: &str) -> Process {
    let root = files.path("root");
    let program = env!("CARGO_BIN_EXE_eventlane-adapter");
    copy(program, &root, "usr/local/bin/eventlane-adapter");
    for library in libraries(program) {
        copy(&library, &root, &library);
    }
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
    fs::write(root.join("etc/adapter.yaml"), config).unwrap();
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-user=65532", "--map-group=65532", "--root"])
        .arg(&root)
        .args(["--wd=/", "/usr/local/bin/eventlane-adapter", "run"])
        .args(["--listen=127.0.0.1:0", "/etc/adapter.yaml"])
        .env_clear();
    Process::spawn(command)
}

#[test]
fn the_program_needs_glibc_and_nothing_else() {
    for library in libraries(env!("CARGO_BIN_EXE_eventlane-adapter")) {
        let name = library.rsplit('/').next().unwrap();
        assert!(
            LIBRARIES.iter().any(|it| name.starts_with(it)),
            "{library} is not in the image"
        );
    }
}

#[test]
fn it_runs_with_what_the_image_has() {
    let files = Files::new();
    let topic = broker().topic(1);
    broker().produce(&topic, &["a", "b"], 0..10);
    let sink = CheckingSink::start(Faults {
        next: [Answer::Status(503)].into(),
        ..Faults::default()
    });
    let url = sink.url().replace("127.0.0.1", "localhost");
    let config = pipeline("orders", &topic, &url, "idle_timeout: 1s");
    let process = contained(&files, &format!("pipelines:\n{config}"));
    let (status, log) = process.wait(LIMIT);
    assert_eq!(status.code(), Some(0), "{log}");
    let report = sink.report();
    report.assert_in_order(0);
    assert_eq!(report.distinct, 20, "{log}");
}
