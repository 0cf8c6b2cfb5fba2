//! Knative's `DeliverySpec`, with the meaning that its Kafka data plane gives it.

use std::time::Duration;

use eventlane::{
    Growth, Retry,
    event::http::Mode,
    sink::{HttpSinkConfig, http::StatusSets},
};
use serde::Deserialize;

use super::{
    Context,
    annotations::{Annotations, REQ_TIMEOUT, RETRY_COUNT, RETRY_INTERVAL},
    destination::Destination,
    period::Period,
    text::Count,
};
use crate::config::{DeadLetterConfig, DeliveryConfig, delivery::HttpLetters, fault::Fault};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct DeliverySpec {
    dead_letter_sink: Option<Destination>,
    retry: Option<Count>,
    timeout: Option<Period>,
    backoff_policy: Option<BackoffPolicy>,
    backoff_delay: Option<Period>,
    retry_after_max: Option<Period>,
    format: Option<Format>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BackoffPolicy {
    Linear,
    Exponential,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[serde(alias = "JSON")]
    Json,
    Binary,
}

/// How failed events are tried again.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Policy {
    /// Attempts beyond the first.
    retries: u32,
    timeout: Duration,
    delays: Delays,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Delays {
    Growing(Growth, Duration),
    Constant(Duration),
}

/// Without `spec.delivery`: what Knative's controller fills in.
const UNSAID: Policy = Policy {
    retries: 10,
    timeout: Duration::from_secs(600),
    delays: Delays::Growing(Growth::KnativeExponential, Duration::from_millis(300)),
};

/// The delay of a `spec.delivery` that has none.
const DELAY: Duration = Duration::from_millis(200);

impl DeliverySpec {
    /// Whether Knative looks at it at all.
    fn counts(&self) -> bool {
        self.dead_letter_sink.is_some() || self.retry.is_some() || self.timeout.is_some()
    }

    fn policy(&self) -> Policy {
        if !self.counts() {
            return UNSAID;
        }
        let growth = match self.backoff_policy {
            Some(BackoffPolicy::Linear) => Growth::Linear,
            Some(BackoffPolicy::Exponential) | None => Growth::KnativeExponential,
        };
        Policy {
            retries: self.retry.map_or(0, |Count(retries)| retries),
            timeout: self
                .timeout
                .map_or(UNSAID.timeout, |Period(timeout)| timeout),
            delays: Delays::Growing(growth, self.backoff_delay.map_or(DELAY, |Period(it)| it)),
        }
    }
}

impl Policy {
    /// The longest delay is the last one, so that the policy is what it says, within limits: what
    /// is tried without an end should be neither hammered nor forgotten.
    fn retry(self) -> Retry {
        const LEAST: Duration = Duration::from_secs(30);
        const MOST: Duration = Duration::from_secs(3600);
        let (growth, delay, max) = match self.delays {
            Delays::Constant(delay) if !delay.is_zero() => (Growth::Linear, delay, delay),
            Delays::Constant(delay) => (Growth::Linear, delay, LEAST),
            Delays::Growing(growth, delay) => {
                let factor = match growth {
                    Growth::Linear => self.retries,
                    _ => 1u32.checked_shl(self.retries).unwrap_or(u32::MAX),
                };
                let last = delay.saturating_mul(factor);
                (growth, delay, last.clamp(LEAST, MOST))
            }
        };
        Retry::default()
            .with_attempts(self.retries.saturating_add(1))
            .with_delays(delay, max)
            .with_growth(growth, 0.0)
            .with_timeout(self.timeout)
    }
}

/// Puts in what the resource says of delivery.
pub(super) fn apply(
    spec: Option<&DeliverySpec>,
    annotations: &Annotations,
    (context, namespace): (&Context<'_>, &str),
    (http, delivery): (&mut HttpSinkConfig, &mut DeliveryConfig),
    notes: &mut Vec<String>,
) -> Result<(), Fault> {
    let unsaid = DeliverySpec::default();
    let spec = spec.unwrap_or(&unsaid);
    if !spec.counts() {
        for (name, said) in [
            ("backoffPolicy", spec.backoff_policy.is_some()),
            ("backoffDelay", spec.backoff_delay.is_some()),
        ] {
            if said {
                let needs = "needs one of retry, timeout, deadLetterSink to mean something";
                notes.push(format!("spec.delivery.{name}: {needs}, as in Knative"));
            }
        }
    }
    let mut policy = spec.policy();
    annotated(&mut policy, spec, annotations, context)?;
    if policy.timeout.is_zero() {
        let path = ["spec", "delivery", "timeout"];
        return Err(context.site.fault(&path, "`timeout` must be above 0"));
    }
    delivery.retry = policy.retry();
    // 501 and 505 count with the other 5xx, and 410 is about this event.
    let statuses = StatusSets::default()
        .with_retry(["501", "505"])
        .with_reject(["410"]);
    http.statuses = statuses.clone();
    if let Some(Period(most)) = spec.retry_after_max {
        http.max_retry_after = most;
    }
    if let Some(Format::Json) = spec.format {
        http.mode = Mode::Structured;
    }
    if let Some(sink) = &spec.dead_letter_sink {
        let path = ["spec", "delivery", "deadLetterSink"];
        let endpoint = sink.http(context.site, &path, namespace, notes)?;
        let letters = HttpLetters {
            endpoint: endpoint.with_mode(http.mode).with_statuses(statuses),
            ..HttpLetters::default()
        };
        delivery.dead_letter = Some(DeadLetterConfig::Http(Box::new(letters)));
    }
    Ok(())
}

/// What annotations say, which must not be something else than `spec.delivery`.
fn annotated(
    policy: &mut Policy,
    spec: &DeliverySpec,
    annotations: &Annotations,
    context: &Context<'_>,
) -> Result<(), Fault> {
    let growing = spec.backoff_policy.is_some() || spec.backoff_delay.is_some();
    for (name, twice, field) in [
        (
            RETRY_COUNT,
            annotations.retry_count.is_some() && spec.retry.is_some(),
            "spec.delivery.retry",
        ),
        (
            RETRY_INTERVAL,
            annotations.retry_interval.is_some() && growing,
            "what spec.delivery says of back-off",
        ),
        (
            REQ_TIMEOUT,
            annotations.req_timeout.is_some() && spec.timeout.is_some(),
            "spec.delivery.timeout",
        ),
    ] {
        if twice {
            let path = ["metadata", "annotations", name];
            let message = format!("{name} and {field} say the same: leave one of them out");
            return Err(context.site.fault(&path, message));
        }
    }
    policy.retries = annotations.retry_count.unwrap_or(policy.retries);
    policy.timeout = annotations.req_timeout.unwrap_or(policy.timeout);
    if let Some(interval) = annotations.retry_interval {
        policy.delays = Delays::Constant(interval);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> DeliverySpec {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn defaults_are_knatives() {
        for (json, retries, delay, timeout) in [
            ("{}", 10, 300, 600),
            // Ignored as a whole.
            (
                r#"{"backoffDelay": "PT5S", "backoffPolicy": "linear"}"#,
                10,
                300,
                600,
            ),
            // The default of 10 is lost.
            (r#"{"deadLetterSink": {"uri": "http://a"}}"#, 0, 200, 600),
            (r#"{"timeout": "PT5S"}"#, 0, 200, 5),
            (r#"{"retry": 3}"#, 3, 200, 600),
            (r#"{"retry": 3, "backoffDelay": "PT5S"}"#, 3, 5000, 600),
        ] {
            let expected = Policy {
                retries,
                timeout: Duration::from_secs(timeout),
                delays: Delays::Growing(Growth::KnativeExponential, Duration::from_millis(delay)),
            };
            assert_eq!(spec(json).policy(), expected, "{json}");
        }
    }

    #[test]
    fn the_cap_cuts_nothing_of_the_policy_off() {
        for (json, max) in [
            ("{}", 307.2),
            (r#"{"retry": 0}"#, 30.0),
            (
                r#"{"retry": 3, "backoffPolicy": "linear", "backoffDelay": "PT20S"}"#,
                60.0,
            ),
            (r#"{"retry": 4, "backoffDelay": "PT20S"}"#, 320.0),
            (r#"{"retry": 2000000000}"#, 3600.0),
        ] {
            let retry = spec(json).policy().retry();
            assert_eq!(retry.max, Duration::from_secs_f64(max), "{json}");
            assert_eq!(retry.jitter, 0.0);
        }
    }
}
