//! `docs/guarantees.md` names tests, and they are there: a promise whose test was renamed or removed
//! is one that nobody can check.

use std::{collections::HashMap, fs, path::Path};

#[test]
fn every_test_that_the_guarantees_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/guarantees.md")).unwrap();
    let mut sources: HashMap<&str, String> = HashMap::new();
    let mut named = 0;
    for paragraph in page.split("\n\n").flat_map(|block| block.split('|')) {
        let mut file = None;
        // What stands between backticks is every second part.
        for code in paragraph.split('`').skip(1).step_by(2) {
            if code.ends_with(".rs") {
                file = Some(code);
                continue;
            }
            let Some(file) = file.filter(|_| code.contains('_')) else {
                continue;
            };
            let source = sources.entry(file).or_insert_with(|| {
                fs::read_to_string(root.join(file))
                    .unwrap_or_else(|error| panic!("{file}: {error}"))
            });
            assert!(
                source.contains(&format!("fn {code}(")),
                "{file} has no {code}"
            );
            named += 1;
        }
    }
    assert!(
        named > 80,
        "{named}: is the page still read as it is written?"
    );
}
