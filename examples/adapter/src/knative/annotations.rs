//! Annotations and labels that mean something: those of Alibaba Cloud's Knative, and our own.

use std::time::Duration;

use eventlane::{OnExhausted, Ordering};

use super::{metadata::Metadata, site::Site};
use crate::config::{DeliveryConfig, fault::Fault};

/// What annotations say.
#[derive(Debug, Default)]
pub(super) struct Annotations {
    /// `Host` of the requests, which a gateway in `sink.uri` chooses the service by.
    pub(super) domain: Option<String>,
    pub(super) retry_count: Option<u32>,
    pub(super) retry_interval: Option<Duration>,
    pub(super) req_timeout: Option<Duration>,
    ordering: Option<Ordering>,
    on_exhausted: Option<OnExhausted>,
}

/// Of Alibaba Cloud's Knative.
pub(super) const DOMAIN: &str = "k8s.aliyun.com/domain";
pub(super) const RETRY_COUNT: &str = "k8s.aliyun.com/retry-count";
pub(super) const RETRY_INTERVAL: &str = "k8s.aliyun.com/retry-interval";
pub(super) const REQ_TIMEOUT: &str = "k8s.aliyun.com/req-timeout";

/// Our own.
const ORDERING: &str = "eventlane.dev/ordering";
pub(super) const ON_EXHAUSTED: &str = "eventlane.dev/on-exhausted";

/// Prefixes of annotations that would mean something in a cluster.
const ELSEWHERE: [&str; 4] = [
    "k8s.aliyun.com/",
    "autoscaling.eventing.knative.dev/",
    "autoscaling.knative.dev/",
    "keda.autoscaling.knative.dev/",
];

impl Annotations {
    pub(super) fn read(
        metadata: &Metadata,
        site: Site<'_>,
        notes: &mut Vec<String>,
    ) -> Result<Self, Fault> {
        let mut read = Self::default();
        for (name, value) in &metadata.annotations {
            let value = value.trim();
            let path = ["metadata", "annotations", name.as_str()];
            let expected = |what: &str| site.fault(&path, format!("expected {what}"));
            match name.as_str() {
                DOMAIN => read.domain = Some(value.to_owned()),
                RETRY_COUNT => {
                    let count = value.parse().ok().filter(|count| *count <= i32::MAX as u32);
                    let count = count.ok_or_else(|| expected("a whole number from 0 on"))?;
                    read.retry_count = Some(count);
                }
                RETRY_INTERVAL => {
                    let interval = seconds(value);
                    let interval = interval.ok_or_else(|| expected("a number of seconds"))?;
                    read.retry_interval = Some(interval);
                }
                REQ_TIMEOUT => {
                    let timeout = seconds(value).filter(|timeout| !timeout.is_zero());
                    let timeout = timeout.ok_or_else(|| expected("a number of seconds above 0"))?;
                    read.req_timeout = Some(timeout);
                }
                ORDERING => {
                    read.ordering = Some(match value {
                        "key" => Ordering::Key,
                        "partition" => Ordering::Partition,
                        "none" => Ordering::None,
                        _ => return Err(site.known(&path, value, &["key", "partition", "none"])),
                    });
                }
                ON_EXHAUSTED => {
                    read.on_exhausted = Some(match value {
                        "block" => OnExhausted::Block,
                        "release" => OnExhausted::Release {
                            after: Duration::ZERO,
                        },
                        "drop" => OnExhausted::Drop,
                        "stop" => OnExhausted::Stop,
                        _ => {
                            let known = &["block", "release", "drop", "stop"];
                            return Err(site.known(&path, value, known));
                        }
                    });
                }
                _ if name.starts_with("eventlane.dev/") => {
                    return Err(site.known(&path, name, &[ORDERING, ON_EXHAUSTED]));
                }
                _ if ELSEWHERE.iter().any(|prefix| name.starts_with(prefix)) => {
                    notes.push(format!("metadata.annotations: {name} means nothing here"));
                }
                _ => {}
            }
        }
        Ok(read)
    }

    /// Puts in what is not Knative's to say.
    pub(super) fn order(&self, delivery: &mut DeliveryConfig) {
        delivery.ordering = self.ordering.unwrap_or(delivery.ordering);
        delivery.on_exhausted = self.on_exhausted.or(delivery.on_exhausted);
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    let number = text.chars().all(digits).then(|| text.parse().ok())??;
    Duration::try_from_secs_f64(number).ok()
}
