//! What is sent, and when.
//!
//!
//! Called on every step of the loop. Sends until nothing may be sent: no ready lane, no request
//! left in the budget, a gate that is closed, or a batch that still waits for company. Nothing is
//! sent once the pipeline stops.

use std::mem;

use smallvec::SmallVec;
use tokio::time::Instant;

use super::{attempt::Attempt, gate::Permit, lanes::InHand, run::Engine};
use crate::sink::Batch;

impl Engine<'_> {
    /// Ends the attempts whose time is up. Looks at all of them, which is cheap: it happens once
    /// for each deadline that is reached, not for each attempt.
    pub(super) fn time_out(&mut self, now: Instant) {
        let mut next = now + self.options.retry.timeout;
        for attempt in mem::take(&mut self.in_flight) {
            if attempt.deadline <= now {
                self.judge(attempt.time_out(), now);
            } else {
                next = next.min(attempt.deadline);
                self.in_flight.push(attempt);
            }
        }
        self.deadline = next;
        self.meter.now.in_flight = self.in_flight.len() as u64;
    }

    /// Sends as long as anything may be sent. Returns when to come back, if time alone will change
    /// that.
    pub(super) fn dispatch(&mut self, now: Instant) -> Option<Instant> {
        while self.stop.is_none() && self.in_flight.len() < self.options.budgets.requests {
            let head = self.lanes.head()?;
            let over = head.leased && self.leases.is_over(head.receipt, now);
            if head.invalid.is_some() || over {
                self.set_aside(now);
                continue;
            }
            let probe = match self.gate.permit(now) {
                Permit::Open => false,
                Permit::Probe => true,
                Permit::Closed(until) => return until,
            };
            if let Some(at) = self.lingers(now) {
                return Some(at);
            }
            let items = self.compose(now);
            if probe {
                self.gate.probing();
            }
            self.send(items, probe, now);
        }
        None
    }

    /// Until when the next batch may still wait for company.
    fn lingers(&self, now: Instant) -> Option<Instant> {
        let policy = self.options.batch;
        if policy.events <= 1 || policy.linger.is_zero() || self.ended {
            return None;
        }
        let (events, bytes, since) = self.lanes.waiting();
        let events = if self.per_event {
            self.lanes.ready_lanes()
        } else {
            events
        };
        let until = since? + policy.linger;
        (events < policy.events && bytes < policy.bytes && now < until).then_some(until)
    }

    /// Takes the next batch off the lanes: full by count, by bytes, or because the next event may
    /// only go in a smaller one (its `cap`). With per-event verdicts at most one event of each
    /// lane, since a later one might be taken where an earlier one is not. Never empty.
    fn compose(&mut self, now: Instant) -> SmallVec<[InHand; 1]> {
        let policy = self.options.batch;
        let (mut bytes, mut most) = (0, policy.events.max(1));
        let mut items = SmallVec::with_capacity(most.min(self.lanes.waiting().0));
        while let Some(head) = self.lanes.head() {
            most = most.min(head.cap);
            let fits = items.is_empty()
                || (items.len() < most
                    && bytes + head.bytes <= policy.bytes
                    && head.invalid.is_none()
                    && !(head.leased && self.leases.is_over(head.receipt, now)));
            if !fits {
                break;
            }
            bytes += head.bytes;
            let stay = !self.per_event && items.len() + 1 < most;
            let Some(item) = self.lanes.pop(stay) else {
                break;
            };
            if let Some(partition) = self.partitions.of(item.1.receipt) {
                partition.out += 1;
            }
            items.push(item);
        }
        self.lanes.leave();
        items
    }

    /// Makes the request and lets it run. Its attempt number is the highest among its events.
    fn send(&mut self, items: SmallVec<[InHand; 1]>, probe: bool, now: Instant) {
        let attempt = items
            .iter()
            .map(|(_, item)| item.attempts)
            .max()
            .unwrap_or(0)
            + 1;
        let events = items.iter().map(|(_, item)| item.event.clone()).collect();
        let span = tracing::debug_span!(
            "send",
            pipeline = %self.options.name,
            events = items.len(),
            attempt,
            first = %items.first().map_or("", |(_, item)| item.event.id()),
        );
        self.meter.now.requests += 1;
        self.meter.batch_events.record(items.len() as f64);
        let sending = self.sink.send(Batch { events, attempt });
        let deadline = now + self.options.retry.timeout;
        if self.in_flight.is_empty() {
            self.deadline = deadline;
        }
        self.in_flight
            .push(Attempt::new(items, probe, now, deadline, sending, span));
        self.meter.now.in_flight = self.in_flight.len() as u64;
    }
}
