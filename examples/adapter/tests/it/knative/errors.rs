//! Resources with mistakes: what each is answered.

use std::{fs, path::Path};

use super::load;

/// `EVENTLANE_UPDATE=1 cargo test -p eventlane-adapter --test it knative::errors` writes the texts
/// anew.
#[test]
fn every_mistake_in_a_resource_is_shown_where_it_stands() {
    let update = std::env::var("EVENTLANE_UPDATE").is_ok_and(|value| value == "1");
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/knative/errors");
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let shown = match load(&name, &text, None, &[]) {
            Err(error) => format!("{error}\n"),
            Ok(_) => panic!("{name} is taken for good"),
        };
        assert!(!shown.contains("hunter2"), "a secret is shown:\n{shown}");
        let expected = path.with_extension("txt");
        if update {
            fs::write(&expected, &shown).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != shown {
            wrong.push(shown);
        }
        seen += 1;
    }
    assert!(seen >= 60, "the mistakes are not there: {seen}");
    let wrong = wrong.join("\n");
    assert!(wrong.is_empty(), "other than in the file:\n{wrong}");
}
