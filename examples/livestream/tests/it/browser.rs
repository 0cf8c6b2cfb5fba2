//! The page in a real browser.

use std::{path::Path, thread::sleep, time::Duration};

use eventlane_testkit::Browser;

use crate::program::{Livestream, assert_complete};

const LIMIT: Duration = Duration::from_secs(30);

/// A number that the page shows.
fn shown(id: &str) -> String {
    format!("Number(document.getElementById('{id}').textContent.replaceAll(',', ''))")
}

#[test]
fn results_come_back_whatever_happens_to_the_service() {
    let Some(mut browser) = Browser::start_or_skip() else {
        return;
    };
    let livestream = Livestream::start(&["--rate", "60"]);
    browser.open(&livestream.url());

    // Results come back, with their scores and latencies.
    browser.wait_for(&format!("{} > 100", shown("back")), LIMIT);
    browser.wait_for(
        "document.querySelectorAll('#feed li .pill').length > 5",
        LIMIT,
    );
    browser.wait_for(
        "document.querySelector('#viewers tr td:nth-child(6)').textContent.endsWith('s')",
        LIMIT,
    );

    // More to do, and more workers.
    browser.click("#surge");
    browser.wait_for(
        "document.getElementById('mood').textContent === 'surge'",
        LIMIT,
    );
    browser.click("[data-mode=slow]");
    browser.wait_for(&format!("{} >= 3", shown("worker-count")), LIMIT);

    // One of them is killed; what it was scoring is scored by another.
    browser.click("[data-mode=normal]");
    browser.click("#kill");
    browser.wait_for(&format!("{} >= 1", shown("killed")), LIMIT);
    browser.wait_for(
        "document.querySelector('#fleet li[data-state=killed]')",
        LIMIT,
    );

    // One viewer fails: its lane is held, and results of others come back.
    let viewer = browser.eval("document.querySelector('#viewers tr:nth-child(2)').dataset.viewer");
    let row = format!("#viewers tr[data-viewer={viewer}]");
    browser.click(&format!("{row} button"));
    browser.wait_for(
        &format!("document.querySelector('{row}').dataset.held === 'true'"),
        LIMIT,
    );
    browser.eval(&format!("window.before = {}, true", shown("back")));
    browser.wait_for(&format!("{} > window.before + 50", shown("back")), LIMIT);

    // Throttled, and let go.
    browser.click("[data-mode=throttled]");
    browser.wait_for(
        "document.getElementById('mode-pill').textContent === 'throttled'",
        LIMIT,
    );
    browser.eval(&format!("window.before = {}, true", shown("retried")));
    browser.wait_for(&format!("{} > window.before", shown("retried")), LIMIT);
    browser.click("[data-mode=normal]");
    browser.wait_for(
        &format!("document.querySelector('{row}').dataset.held === 'false'"),
        LIMIT,
    );

    livestream.stop();
    browser.wait_for(
        "document.getElementById('phase').textContent === 'ended'",
        Duration::from_secs(60),
    );
    let notice = browser.eval("document.getElementById('notice').textContent");
    assert!(notice.as_str().unwrap().contains("lost 0"), "{notice}");
    let report = livestream.report();
    assert_complete(&report);
    assert!(
        report["service"]["throttled"].as_u64() > Some(0),
        "{report}"
    );
    assert!(report["service"]["failed"].as_u64() > Some(0), "{report}");
    assert!(report["workers"]["most"].as_u64() >= Some(3), "{report}");
    assert!(report["workers"]["killed"].as_u64() >= Some(1), "{report}");
}

/// A minute of it for the README, calm enough for a debug build; `pngquant` makes the file smaller.
#[test]
#[ignore = "makes docs/livestream.png, in a minute"]
fn a_picture_for_the_readme() {
    let mut browser = Browser::start_or_skip().expect("a browser");
    let livestream = Livestream::start(&["--rate", "90"]);
    browser.resize(1200, 1300);
    browser.open(&livestream.url());
    browser.wait_for(&format!("{} > 600", shown("back")), LIMIT);
    browser.click("#surge");
    sleep(Duration::from_secs(24));
    browser.click("#viewers tr:nth-child(4) button");
    sleep(Duration::from_secs(5));
    browser.click("#surge");
    sleep(Duration::from_secs(4));
    browser.click("#kill");
    sleep(Duration::from_millis(1200));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    browser.screenshot(&root.expect("the workspace").join("docs/livestream.png"));
    browser.click("[data-mode=normal]");
    livestream.stop();
    assert_complete(&livestream.report());
}
