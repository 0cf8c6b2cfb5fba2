//! What eventlane's tests and benches have in common: a real Kafka, servers that speak SQS, an HTTP
//! endpoint that checks what it is sent, a network that can be cut, child processes, a browser.
//!
//! Nothing here knows eventlane: it is judged from outside. Everything blocks the calling thread
//! unless it is `async`, and panics when something does not work, with a line that says what to do:
//! these are tests.

pub mod adapter;
pub mod browser;
pub mod clock;
pub mod growth;
pub mod kafka;
pub mod process;
pub mod proxy;
pub mod rocketmq;
pub mod server;
pub mod sink;
pub mod sqs;

pub use adapter::Adapter;
pub use browser::Browser;
pub use kafka::Kafka;
pub use process::Process;
pub use proxy::Proxy;
pub use server::Server;
pub use sink::{CheckingSink, CountingSink, HostileSink};

use std::{io::Write, thread, time::Duration};

use tokio::time::Instant;

/// Waits until `done` gives something, asking every 20 ms; panics after `limit`, naming `what`.
///
/// For what can't tell by itself that it has changed: a broker's committed offsets, a process's
/// memory.
pub fn eventually<T>(limit: Duration, what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether `EVENTLANE_SKIP_REAL` is 1, after a line that names what the running test would need.
pub fn is_skipped(needed: &str) -> bool {
    let skipped = std::env::var("EVENTLANE_SKIP_REAL").is_ok_and(|value| value == "1");
    if skipped {
        let thread = thread::current();
        let test = thread.name().unwrap_or("a test");
        let line =
            format!("SKIPPED {test}: it needs a real {needed}, and EVENTLANE_SKIP_REAL is 1\n");
        // Not eprintln!, whose output the harness hides when a test passes.
        std::io::stderr()
            .write_all(line.as_bytes())
            .expect("standard error is open");
    }
    skipped
}
