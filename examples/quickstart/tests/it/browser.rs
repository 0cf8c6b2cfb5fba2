//! The page in a real browser.

use std::{path::Path, time::Duration};

use eventlane_testkit::Browser;

use crate::program::Quickstart;

const LIMIT: Duration = Duration::from_secs(30);

/// The rest of the page's world: what it shows of itself.
fn shows(browser: &mut Browser, id: &str) -> u64 {
    let text = browser.eval(&format!("document.getElementById('{id}').textContent"));
    let text = text.as_str().unwrap_or_default().replace(',', "");
    text.parse()
        .unwrap_or_else(|_| panic!("{id} shows {text:?}"))
}

fn picture(browser: &mut Browser, name: &str) {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    browser.screenshot(&directory.join(format!("quickstart-{name}.png")));
}

#[test]
fn one_failing_viewer_is_held_and_nobody_else() {
    let Some(mut browser) = Browser::start_or_skip() else {
        return;
    };
    let quickstart = Quickstart::start(&["--port", "0", "--rate", "200"]);
    browser.open(&quickstart.url());

    // Counts rise, and events are shown.
    const DELIVERED: &str =
        "Number(document.getElementById('delivered').textContent.replaceAll(',', ''))";
    browser.wait_for(&format!("{DELIVERED} > 100"), LIMIT);
    let before = shows(&mut browser, "delivered");
    browser.wait_for(&format!("{DELIVERED} > {before}"), LIMIT);
    browser.wait_for("document.querySelectorAll('#feed li').length > 5", LIMIT);
    picture(&mut browser, "normal");

    // The third viewer fails: its lane is held.
    let viewer = browser.eval("document.querySelector('#viewers tr:nth-child(3)').dataset.viewer");
    let row = format!("#viewers tr[data-viewer={viewer}]");
    let held = format!("document.querySelector('{row}').dataset.held === 'true'");
    browser.click(&format!("{row} button"));
    browser.wait_for(&held, LIMIT);
    browser.wait_for(
        "document.getElementById('held-pill').textContent === '1 lane held'",
        LIMIT,
    );
    let last = |selector: &str| {
        format!(
            "Number(document.querySelector('{selector} td:nth-child(2)').textContent.replace(/[#,]/g, ''))"
        )
    };
    let stuck = browser.eval(&last(&row));

    // All other shown viewers go on meanwhile, far enough that none can be waiting for the one that
    // fails.
    let others = "[...document.querySelectorAll('#viewers tr')].filter(row => row.dataset.held === 'false')\
        .map(row => [row.dataset.viewer, Number(row.children[1].textContent.replace(/[#–,]/g, ''))])";
    browser.eval(&format!("window.then = new Map({others}), true"));
    browser.wait_for(
        &format!("{others}.every(([name, last]) => last >= window.then.get(name) + 3)"),
        LIMIT,
    );
    assert_eq!(
        browser.eval(&last(&row)),
        stuck,
        "nothing of {viewer} was taken"
    );
    assert_eq!(
        browser.eval("document.querySelectorAll('#viewers tr[data-held=true]').length"),
        1
    );
    assert!(shows(&mut browser, "retried") > 0);
    picture(&mut browser, "failing");

    // Back to normal: its lane is released, and what has waited comes after what was taken before.
    browser.click("[data-mode=normal]");
    browser.wait_for(&format!("!({held}) && {} > {stuck} + 3", last(&row)), LIMIT);
    browser.wait_for(
        "document.getElementById('held-pill').textContent === 'no lane held'",
        LIMIT,
    );
    assert_eq!(shows(&mut browser, "violations"), 0);

    // Throttled, it rests, and nothing gets lost either.
    browser.click("[data-mode=throttled]");
    browser.wait_for(
        "document.getElementById('held-pill').textContent === 'rests as asked'",
        LIMIT,
    );
    picture(&mut browser, "throttled");
    browser.click("[data-mode=normal]");
    browser.wait_for(
        "document.querySelector('[data-mode=normal]').ariaPressed === 'true'",
        LIMIT,
    );

    // The end is told on the page as well.
    quickstart.stop();
    browser.wait_for(
        "document.getElementById('phase').textContent === 'ended'",
        LIMIT,
    );
    let notice = browser.eval("document.getElementById('notice').textContent");
    assert!(notice.as_str().unwrap().contains("unsettled 0"), "{notice}");
    let report = quickstart.report();
    assert_eq!(report["endpoint"]["order_violations"], 0, "{report}");
    assert!(report["endpoint"]["failed"].as_u64() > Some(0), "{report}");
    assert!(
        report["endpoint"]["throttled"].as_u64() > Some(0),
        "{report}"
    );
    assert_eq!(
        report["endpoint"]["accepted"], report["pipeline"]["received"],
        "{report}"
    );
}
