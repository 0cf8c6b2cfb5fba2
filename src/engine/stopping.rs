//! The end: by request, by error, or because the source has nothing left.
//!
//!
//! The grace time is divided: until `cut` what is in flight may finish; then it is cut off, and
//! until `end` settlements may be answered; what is left is for closing the source. With the
//! default of 30 s these are 27 s, 1.5 s and 1.5 s. A stop can't be taken back, and a second one
//! changes nothing.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::{PipelineError, Report, run::Engine};
use crate::{Error, source::Source};

/// The soft stop: what is in flight is finished. At `cut` it is cut off, and at `end` nothing is
/// waited for any more.
#[derive(Clone, Copy)]
pub(super) struct Stop {
    pub(super) cut: Instant,
    pub(super) end: Instant,
    pub(super) hard: bool,
}

impl Engine<'_> {
    /// Begins to stop: nothing more is sent, and what waits in lanes is left to the broker. Polling
    /// goes on without demand, for the news.
    pub(super) fn soft_stop(&mut self, now: Instant) {
        if self.stop.is_some() {
            return;
        }
        let grace = self.options.grace;
        let reserve = (grace / 4).min(Duration::from_secs(3));
        let end = now + grace - reserve / 2;
        self.stop = Some(Stop {
            cut: now + grace - reserve,
            end,
            hard: false,
        });
        for item in self.lanes.remove(|_| true) {
            self.abandon(&item);
        }
    }

    /// The time to finish is over. What is cut off may have been taken, and comes again.
    pub(super) fn hard_stop(&mut self) {
        warn!(pipeline = %self.options.name, "the grace time is over: cutting off what is in flight");
        if let Some(stop) = &mut self.stop {
            stop.hard = true;
        }
        self.cut_off(|_| true);
    }

    /// Whether nothing more is to be sent.
    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// Whether the loop may end: at the end of the time, or when nothing is in hand, everything is
    /// settled and no revocation is open.
    pub(super) fn finished(&self, now: Instant) -> bool {
        if self.stop.is_some_and(|stop| now >= stop.end) {
            return true;
        }
        (self.stop.is_some() || self.ended) && self.is_empty() && {
            self.settling.is_idle(&self.partitions) && self.leaving.is_empty()
        }
    }

    /// Whether nothing is in hand.
    pub(super) fn is_empty(&self) -> bool {
        self.buffered_events == 0 && self.in_flight.is_empty() && self.letters.is_idle()
    }

    /// Whether the source has ended and all that is left is to tell it so.
    pub(super) fn at_rest(&self) -> bool {
        self.ended && self.is_empty()
    }

    /// Ends the pipeline with an error, after what is in flight.
    pub(super) fn fail(&mut self, error: Error) {
        warn!(pipeline = %self.options.name, %error, "stopping");
        self.error.get_or_insert(error);
        self.soft_stop(Instant::now());
    }

    /// Closes the source and adds up.
    pub(super) async fn close(mut self, source: Box<dyn Source>) -> Result<Report, PipelineError> {
        let now = Instant::now();
        let (hard_stopped, end) = match self.stop {
            Some(stop) => (stop.hard, stop.end + (stop.end - stop.cut)),
            None => (false, now + self.options.grace),
        };
        self.in_flight.clear();
        // A source that closes cleanly needs a moment even if the settlements used up all the time.
        let end = end
            .max(now + Duration::from_millis(250))
            .max(source.closes_by().unwrap_or(now));
        match timeout_at(end, source.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(pipeline = %self.options.name, %error, "closing the source"),
            Err(_) => warn!(pipeline = %self.options.name, "the source did not close in time"),
        }
        self.meter.now.in_flight = 0;
        self.meter.publish(self.progress);
        let now = &self.meter.now;
        let report = Report {
            received: now.received,
            redelivered: now.redelivered,
            delivered: now.delivered,
            requests: now.requests,
            retried: now.retried,
            dead_lettered: now.dead_lettered,
            dropped: now.dropped,
            released: now.released,
            fenced: now.fenced,
            unsettled: self.unsettled + self.buffered_events as u64,
            unconfirmed: self.partitions.unconfirmed() + self.settling.unconfirmed(),
            hard_stopped,
            elapsed: Instant::now().saturating_duration_since(self.started),
        };
        info!(pipeline = %self.options.name, "{report}");
        match self.error {
            None => Ok(report),
            Some(error) => Err(PipelineError { error, report }),
        }
    }
}
