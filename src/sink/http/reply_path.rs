//! From an answer to the sink of replies.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{StatusCode, response};
use smallvec::SmallVec;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    ResponseBody,
    answer::{Answer, read_answer},
    replies::{Replies, Undecodable},
};
use crate::{
    event::{Event, Value},
    metrics as names,
    sink::{Batch, Failure, Outcome, Sink, Verdict, Verdicts},
};

/// The extension attribute that counts how many replies have led to an event.
const HOPS: &str = "eventlanehops";

/// How long to wait before replies are handed over again: it doubles from one to the other. Short,
/// since a lane and a request wait meanwhile.
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(1);

/// Where replies go.
pub(super) struct ReplyPath {
    sink: Arc<dyn Sink>,
    options: Replies,
    /// Who is asked.
    url: String,
}

impl ReplyPath {
    pub(super) fn new(sink: Arc<dyn Sink>, options: Replies, url: String) -> Self {
        Self { sink, options, url }
    }

    /// The replies in an answer that means *delivered*; what that makes of the events asked about,
    /// if there is something wrong with it.
    pub(super) async fn read(
        &self,
        head: &response::Parts,
        body: ResponseBody,
    ) -> Result<Vec<Event>, Verdict> {
        let (reason, message, beginning) =
            match read_answer(head, body, self.options.max_bytes).await {
                Answer::Replies(replies) => return Ok(replies),
                Answer::BrokenOff(why) => {
                    let why = why.replace(char::is_control, " ");
                    let message = format!("a body that broke off: {why}");
                    return Err(Verdict::Retry(self.failure(
                        head.status,
                        "reply_broken_off",
                        &message,
                        Bytes::new(),
                    )));
                }
                Answer::Undecodable {
                    reason,
                    message,
                    beginning,
                } => (reason, message, beginning),
            };
        metrics::counter!(
            names::REPLY_UNDECODABLE, "destination" => self.url.clone(), "reason" => reason
        )
        .increment(1);
        let failure = self.failure(head.status, reason, &message, beginning);
        match self.options.undecodable {
            Undecodable::Reject => Err(Verdict::Reject(failure)),
            Undecodable::Retry => Err(Verdict::Retry(failure)),
            Undecodable::Ignore => {
                tracing::debug!(reason, "passed over: {}", failure.message);
                Ok(Vec::new())
            }
        }
    }

    fn failure(
        &self,
        status: StatusCode,
        reason: &'static str,
        message: &str,
        body: Bytes,
    ) -> Box<Failure> {
        let status = status.as_u16();
        let mut failure = Failure::new(
            reason,
            format!("POST {} answered {status} with {message}", self.url),
        );
        failure.status = Some(status);
        failure.body = body;
        Box::new(failure)
    }

    /// Hands the replies to what was asked over, in their order. `Delivered` once all of them are
    /// taken; any other verdict is about what was asked.
    pub(super) async fn hand_over(&self, asked: &[Event], replies: Vec<Event>) -> Verdict {
        let hops = asked.iter().map(hops).max().unwrap_or(0).saturating_add(1);
        if hops > self.options.max_hops {
            let message = format!(
                "the replies of POST {} go round in circles: this one would be the {hops}th in a \
                 row; do they come back to where the events come from?",
                self.url
            );
            return Verdict::Reject(Box::new(Failure::new("reply_loop", message)));
        }
        let deadline = Instant::now() + self.options.timeout;
        let mut replies = replies.into_iter().peekable();
        while replies.peek().is_some() {
            let mut part = SmallVec::new();
            while let Some(reply) = replies.next_if(|reply| self.goes_with(&part, reply)) {
                match reply.with_extension(HOPS, i32::try_from(hops).unwrap_or(i32::MAX)) {
                    Ok(reply) => part.push(reply),
                    Err(error) => {
                        let message = format!("a reply of POST {}: {error}", self.url);
                        return Verdict::Reject(Box::new(Failure::new("reply_invalid", message)));
                    }
                }
            }
            let verdict = self.hand_over_part(part, deadline).await;
            if !matches!(verdict, Verdict::Delivered) {
                return verdict;
            }
        }
        Verdict::Delivered
    }

    /// Whether a reply may be in one call with these. To a sink that answers for each, no two of
    /// one key: the later might be taken where the earlier is not.
    fn goes_with(&self, part: &[Event], reply: &Event) -> bool {
        let key = |event: &Event| event.extension("partitionkey").map(Value::to_string);
        part.is_empty()
            || self.sink.verdicts() == Verdicts::Whole
            || part.iter().all(|other| key(other) != key(reply))
    }

    async fn hand_over_part(&self, mut part: SmallVec<[Event; 1]>, deadline: Instant) -> Verdict {
        let mut delay = FIRST_DELAY;
        for attempt in 1.. {
            let batch = Batch {
                events: part.clone(),
                attempt,
            };
            let Ok(outcome) = timeout_at(deadline, self.sink.send(batch)).await else {
                let message = format!("not stored within {:?}", self.options.timeout);
                return self.not_taken(Verdict::Retry(Box::new(Failure::new("timeout", message))));
            };
            let before = part.len();
            let worst = keep_what_is_left(&mut part, outcome);
            let taken = before - part.len();
            metrics::counter!(names::REPLIES, "destination" => self.url.clone())
                .increment(taken as u64);
            let Some(verdict) = worst else {
                return Verdict::Delivered;
            };
            let wait = match &verdict {
                Verdict::Retry(failure) => failure.retry_after.unwrap_or(Duration::ZERO).max(delay),
                _ => return self.not_taken(verdict),
            };
            if wait >= deadline.saturating_duration_since(Instant::now()) {
                return self.not_taken(verdict);
            }
            self.count(&verdict);
            sleep(wait).await;
            delay = (delay * 2).min(LONGEST_DELAY);
        }
        unreachable!("attempts don't end")
    }

    fn count(&self, verdict: &Verdict) {
        let reason = verdict.failure().map(|failure| failure.reason.clone());
        metrics::counter!(
            names::REPLY_FAILED,
            "destination" => self.url.clone(), "reason" => reason.unwrap_or_default()
        )
        .increment(1);
    }

    /// What it means for the event that was answered when its reply was not taken.
    fn not_taken(&self, verdict: Verdict) -> Verdict {
        self.count(&verdict);
        let of_reply = |failure: Box<Failure>| {
            // The status and the body are not those of the receiver that was asked.
            let mut about = Failure::new(
                format!("reply_{}", failure.reason),
                format!(
                    "the reply of POST {} can't be handed over to {}: {}",
                    self.url,
                    self.sink.destination(),
                    failure.message
                ),
            );
            about.retry_after = failure.retry_after;
            Box::new(about)
        };
        match verdict {
            Verdict::Delivered => Verdict::Delivered,
            Verdict::Retry(failure) => Verdict::Retry(of_reply(failure)),
            Verdict::Hold(failure) => Verdict::Hold(of_reply(failure)),
            Verdict::Stop(failure) => Verdict::Stop(of_reply(failure)),
            // Sending less to the receiver would not make its reply smaller.
            Verdict::Reject(failure) | Verdict::TooLarge(failure) => {
                Verdict::Reject(of_reply(failure))
            }
        }
    }
}

impl fmt::Debug for ReplyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyPath")
            .field("sink", &self.sink.destination())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// How many replies have led to an event. Whatever else stands there counts as none: a producer's
/// mistake must not keep its events from being answered.
fn hops(event: &Event) -> u32 {
    event
        .extension(HOPS)
        .and_then(|hops| hops.as_str().parse().ok())
        .unwrap_or(0)
}

/// Takes out of a part what was taken. Returns the verdict that decides about the rest: one that
/// trying again can't change before one that it can.
fn keep_what_is_left(part: &mut SmallVec<[Event; 1]>, outcome: Outcome) -> Option<Verdict> {
    let verdicts = match outcome {
        Outcome::All(Verdict::Delivered) => {
            part.clear();
            return None;
        }
        Outcome::All(verdict) => return Some(verdict),
        Outcome::Each(verdicts) => verdicts,
    };
    let (mut verdicts, mut worst) = (verdicts.into_iter(), None);
    part.retain(|_| {
        let missing = || Verdict::Retry(Box::new(Failure::new("no_verdict", "no verdict")));
        match (verdicts.next().unwrap_or_else(missing), &worst) {
            (Verdict::Delivered, _) => return false,
            (verdict, None | Some(Verdict::Retry(_))) => worst = Some(verdict),
            _ => {}
        }
        true
    });
    worst
}
