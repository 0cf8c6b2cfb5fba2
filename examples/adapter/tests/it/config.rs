//! Configurations: what each mistake is answered, and what good ones become.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use eventlane_adapter::{
    config::{ConfigError, Loaded, load_texts},
    explain::explain,
};

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
