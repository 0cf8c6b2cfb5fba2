//! Whether the destination may be asked at all. A circuit breaker, a rate limit and adaptive
//! concurrency belong here.
//!
//! Two reasons to wait, each for the whole destination and independent of the other:
//!
//! * a **rest**, because it asked for one (`Retry-After`). Over when its time is;
//! * a **hold**, because it refuses everybody ([`Verdict::Hold`](crate::sink::Verdict::Hold)). One
//!   request at a time is let through as a probe, after delays that grow as [`Retry`] says. Over
//!   when the destination takes an event.
//!
//! Nothing that is in flight is touched by either.

use std::time::Duration;

use tokio::time::Instant;

use super::Retry;

/// Rests the destination as long as it asked for, and holds it while it refuses everybody.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    rest_until: Option<Instant>,
    hold: Option<Hold>,
}

/// `strikes` counts refusals, the probes' included; while `probing`, a probe is under way.
#[derive(Debug)]
struct Hold {
    strikes: u32,
    until: Instant,
    probing: bool,
}

/// What may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permit {
    Open,
    /// One request, to see.
    Probe,
    /// Nothing, until then if that is known.
    Closed(Option<Instant>),
}

impl Gate {
    /// Asked before every batch. A probe that is permitted and sent must be reported by
    /// [`probing`](Self::probing), or the next one is permitted, too.
    pub(crate) fn permit(&mut self, now: Instant) -> Permit {
        if let Some(until) = self.rest_until {
            if now < until {
                return Permit::Closed(Some(until));
            }
            self.rest_until = None;
        }
        match &self.hold {
            None => Permit::Open,
            Some(hold) if hold.probing => Permit::Closed(None),
            Some(hold) if now < hold.until => Permit::Closed(Some(hold.until)),
            Some(_) => Permit::Probe,
        }
    }

    /// A probe has been sent.
    pub(crate) fn probing(&mut self) {
        if let Some(hold) = &mut self.hold {
            hold.probing = true;
        }
    }

    /// The destination asked to be left alone.
    pub(crate) fn rest(&mut self, until: Instant) {
        self.rest_until = self.rest_until.max(Some(until));
    }

    /// The destination refused, whatever the event. Returns whether it did not before.
    ///
    /// Only a probe's refusal prolongs the hold: with 64 requests under way when a credential is
    /// rotated, the delay would otherwise be at its longest at once.
    pub(crate) fn refuse(
        &mut self,
        now: Instant,
        probe: bool,
        retry: &Retry,
        random: &mut fastrand::Rng,
    ) -> bool {
        match &mut self.hold {
            // Answers to what was under way when the hold began tell nothing new.
            Some(_) if !probe => false,
            Some(hold) => {
                hold.strikes = hold.strikes.saturating_add(1);
                hold.until = now + retry.delay(hold.strikes, random);
                hold.probing = false;
                false
            }
            None => {
                self.hold = Some(Hold {
                    strikes: 1,
                    until: now + retry.delay(1, random),
                    probing: false,
                });
                true
            }
        }
    }

    /// The destination took an event, of a probe or of what was under way when the hold began.
    /// Returns whether a hold ends.
    pub(crate) fn answered(&mut self) -> bool {
        self.hold.take().is_some()
    }

    /// A probe ended without telling whether the hold is over: cut off, or failed for a reason of
    /// its own. The next one may go after `pause`; it counts as no strike.
    pub(crate) fn probe_lost(&mut self, now: Instant, pause: Duration) {
        if let Some(hold) = &mut self.hold {
            hold.probing = false;
            hold.until = now + pause;
        }
    }

    /// Whether the destination is left alone as it asked.
    pub(crate) fn rests(&self, now: Instant) -> bool {
        self.rest_until.is_some_and(|until| now < until)
    }

    /// Whether the destination is held.
    pub(crate) fn is_held(&self) -> bool {
        self.hold.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_lets_one_probe_through_at_growing_intervals() {
        let (retry, mut random) = (Retry::default(), fastrand::Rng::with_seed(1));
        let (mut gate, start) = (Gate::default(), Instant::now());
        assert_eq!(gate.permit(start), Permit::Open);
        assert!(gate.refuse(start, false, &retry, &mut random));
        assert!(
            !gate.refuse(start, false, &retry, &mut random),
            "a late answer begins nothing"
        );
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..4 {
            let Permit::Closed(Some(until)) = gate.permit(now) else {
                panic!("closed")
            };
            waits.push(until - now);
            now = until;
            assert_eq!(gate.permit(now), Permit::Probe);
            gate.probing();
            assert_eq!(gate.permit(now), Permit::Closed(None));
            gate.refuse(now, true, &retry, &mut random);
        }
        assert!(
            waits.windows(2).all(|pair| pair[0] < pair[1] * 2),
            "{waits:?}"
        );
        assert!(gate.answered());
        assert_eq!(gate.permit(now), Permit::Open);
    }

    #[test]
    fn a_rest_only_grows() {
        let (mut gate, now) = (Gate::default(), Instant::now());
        gate.rest(now + Duration::from_secs(2));
        gate.rest(now + Duration::from_secs(1));
        let at = now + Duration::from_millis(1500);
        assert_eq!(
            gate.permit(at),
            Permit::Closed(Some(now + Duration::from_secs(2)))
        );
        assert_eq!(gate.permit(now + Duration::from_secs(2)), Permit::Open);
    }
}
