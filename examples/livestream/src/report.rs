//! What became of everything, in the end.

use std::path::Path;

use eventlane::Report;
use eventlane_example_room::program::grouped;
use serde::Serialize;

use crate::{Failure, fleet, front, results, snapshot::Scene};

/// The report.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    /// Interactions that the viewers sent.
    pub(crate) sent: u64,
    /// Interactions whose result is in the topic of results.
    pub(crate) scored: u64,
    /// Results that arrived at the page, each counted once.
    pub(crate) replies: u64,
    /// Results that should have arrived and did not.
    pub(crate) lost: u64,
    /// Interactions that are still in Kafka: of a viewer who fails to the end.
    pub(crate) left: u64,
    pub(crate) order_violations: u64,
    /// The median and the 99th percentile of the last thousand, from Kafka to the page, in ms.
    latency: Option<(u64, u64)>,
    workers: fleet::Counts,
    service: front::Counts,
    page: results::Counts,
    scoring: Report,
    returning: Report,
}

impl Summary {
    pub(crate) fn new(scene: &Scene, scoring: Report, returning: Report) -> Self {
        let (service, page) = (scene.front.counts(), scene.results.counts());
        let sent = scene.stream.audience.sent();
        Self {
            sent,
            scored: scoring.delivered,
            replies: page.arrived,
            lost: scoring.delivered.saturating_sub(page.arrived),
            left: sent.saturating_sub(scoring.delivered),
            order_violations: service.order_violations + page.order_violations,
            latency: scene.results.view().latency,
            workers: scene.fleet.counts(),
            service,
            page,
            scoring,
            returning,
        }
    }

    /// Tells it.
    ///
    /// # Errors
    /// If something was lost or came out of order, or the file can't be written.
    pub(crate) fn conclude(&self, file: Option<&Path>) -> Result<(), Failure> {
        let lines = [
            ("sent", self.sent),
            ("scored", self.scored),
            ("replies", self.replies),
            ("lost", self.lost),
            ("order violations", self.order_violations),
            ("retried", self.scoring.retried),
            ("most workers", self.workers.most.into()),
        ];
        println!();
        for (what, count) in lines {
            println!("{what:>17}  {:>9}", grouped(count));
        }
        if let Some((p50, p99)) = self.latency {
            println!("{:>17}  {p50} ms, 99 %: {p99} ms", "there and back");
        }
        if self.left > 0 {
            let left = grouped(self.left);
            println!("\n{left} were sent and not scored: a real Kafka hands them out again.");
        }
        if let Some(file) = file {
            let json = serde_json::to_string(self)?;
            std::fs::write(file, format!("{json}\n"))
                .map_err(|error| format!("write {}: {error}", file.display()))?;
        }
        match (self.lost, self.order_violations) {
            (0, 0) => Ok(()),
            (0, broken) => Err(format!("{broken} events came out of order").into()),
            (lost, _) => Err(format!("{lost} results were lost").into()),
        }
    }
}
