//! Progress in the terminal: lines that stand still, or now and then a plain one where there is no
//! terminal.

use std::{
    collections::VecDeque,
    io::{self, IsTerminal},
    sync::Arc,
    time::Duration,
};

use eventlane_example_room::program::grouped;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};
use tracing_subscriber::fmt::MakeWriter;

use crate::snapshot::{Phase, Snapshot};

/// How often there is a plain line.
const PLAIN_EVERY: Duration = Duration::from_secs(2);
/// How many seconds the little chart shows.
const CHART: usize = 30;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Where progress and log lines go: standard error, without getting into each other's way.
#[derive(Clone, Debug)]
pub(crate) struct Terminal {
    lines: Option<MultiProgress>,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        let lines = io::stderr().is_terminal().then(MultiProgress::new);
        Self { lines }
    }

    /// Shows snapshots until they end.
    pub(crate) async fn show(self, snapshots: watch::Receiver<Arc<Snapshot>>) {
        match self.lines {
            Some(lines) => draw(&lines, snapshots).await,
            None => print(snapshots).await,
        }
    }
}

async fn draw(lines: &MultiProgress, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
    let style = ProgressStyle::with_template("{prefix:>11.cyan.bold}  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bars = ["live stream", "delivered", "retried", "held"].map(|prefix| {
        let bar = ProgressBar::new_spinner()
            .with_style(style.clone())
            .with_prefix(prefix);
        lines.add(bar)
    });
    while snapshots.changed().await.is_ok() {
        let messages = messages(&snapshots.borrow_and_update());
        for (bar, message) in bars.iter().zip(messages) {
            bar.set_message(message);
        }
    }
    // Fails if the terminal is gone; then there is nothing to clear.
    lines.clear().ok();
}

fn messages(snapshot: &Snapshot) -> [String; 4] {
    let Snapshot {
        phase,
        stream,
        lanes,
        endpoint,
        ..
    } = snapshot;
    let mood = match (phase, stream.surging) {
        (Phase::Joining, _) => "the consumer group forms …",
        (Phase::Draining | Phase::Ended, _) => "over; delivering the rest",
        (Phase::Live, true) => "a surge!",
        (Phase::Live, false) => "",
    };
    let held = match &lanes.first_held {
        Some(lane) if lanes.held > 0 => format!(
            "{} lanes; {}: {}, attempt {}",
            lanes.held,
            lane.key.as_deref().unwrap_or("?"),
            lane.reason,
            lane.attempts
        ),
        _ => format!("{} lanes", lanes.held),
    };
    [
        format!(
            "{:>9}  {:>6}/s  {mood}",
            grouped(stream.sent),
            grouped(stream.rate)
        ),
        format!(
            "{:>9}  {:>6}/s  {}",
            grouped(lanes.delivered),
            grouped(endpoint.rate),
            chart(&snapshot.history.accepted)
        ),
        format!("{:>9}", grouped(lanes.retried)),
        format!("{held:>9}"),
    ]
}

async fn print(mut snapshots: watch::Receiver<Arc<Snapshot>>) {
    let mut ticks = tokio::time::interval_at(Instant::now() + PLAIN_EVERY, PLAIN_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            changed = snapshots.changed() => if changed.is_err() { return },
            _ = ticks.tick() => {
                let snapshot = snapshots.borrow_and_update();
                let (lanes, endpoint) = (&snapshot.lanes, &snapshot.endpoint);
                eprintln!(
                    "received {}, delivered {} ({}/s), retried {}, held lanes {}, order violations {}",
                    lanes.received, lanes.delivered, endpoint.rate, lanes.retried, lanes.held,
                    endpoint.counts.order_violations,
                );
            }
        }
    }
}

/// The last values as little bars.
fn chart(values: &VecDeque<u64>) -> String {
    let values = values.range(values.len().saturating_sub(CHART)..);
    let highest = values.clone().max().copied().unwrap_or(0).max(1);
    let bar = |value: &u64| BARS[(value * (BARS.len() as u64 - 1) / highest) as usize];
    values.map(bar).collect()
}

impl<'a> MakeWriter<'a> for Terminal {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine(self.lines.clone())
    }
}

/// Writes above the progress lines.
#[derive(Debug)]
pub(crate) struct LogLine(Option<MultiProgress>);

impl io::Write for LogLine {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let write = || io::stderr().write_all(text);
        self.0
            .as_ref()
            .map_or_else(write, |lines| lines.suspend(write))?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_is_as_high_as_its_highest_value() {
        assert_eq!(chart(&[0, 50, 100].into()), "▁▄█");
        assert_eq!(chart(&[0, 0].into()), "▁▁");
        assert_eq!(chart(&(0..100).collect()).chars().count(), CHART);
    }
}
