use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::config::mistake;
use crate::Result;

/// What becomes of events that a receiver puts into its answers. Where they go is said by
/// [`HttpSink::with_replies_to`](super::HttpSink::with_replies_to), which also says what is
/// promised; without it nothing here has an effect.
///
/// ```
/// use eventlane::sink::http::{HttpSinkConfig, Replies, Undecodable};
///
/// // This receiver answers `ok` when it has nothing to say.
/// let config = HttpSinkConfig::new("https://example.com/score")
///     .with_replies(Replies::default().with_undecodable(Undecodable::Ignore));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Replies {
    /// What becomes of an event whose answer has a body that is no reply. Rejected by default.
    pub undecodable: Undecodable,
    /// The longest body that is taken for a reply; a longer one is no reply. 1 MiB by default. Each
    /// request in flight ([`Budgets::requests`](crate::Budgets::requests)) may hold so much, on top
    /// of the pipeline's budget.
    pub max_bytes: usize,
    /// How long handing over the replies of one answer may take, trying again included. Then the
    /// receiver is asked again, as the pipeline's [`Retry`](crate::Retry) says. 10 seconds by
    /// default; the attempt's own timeout ends it, too.
    #[serde(with = "crate::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::duration::Written"))]
    pub timeout: Duration,
    /// How many replies may lead to each other: an event, its reply, the reply to that. Ends what
    /// would go on for ever when replies come back to where the events come from. 16 by default.
    pub max_hops: u32,
}

impl Replies {
    /// Sets [`undecodable`](Self::undecodable).
    #[must_use]
    pub fn with_undecodable(mut self, undecodable: Undecodable) -> Self {
        self.undecodable = undecodable;
        self
    }

    /// Sets [`max_bytes`](Self::max_bytes).
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets [`timeout`](Self::timeout).
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets [`max_hops`](Self::max_hops).
    #[must_use]
    pub fn with_max_hops(mut self, hops: u32) -> Self {
        self.max_hops = hops;
        self
    }

    pub(super) fn check(self) -> Result<Self> {
        if self.timeout.is_zero() {
            return Err(mistake("`replies.timeout` must be above 0"));
        }
        if self.max_hops == 0 {
            return Err(mistake("`replies.max_hops` must be at least 1"));
        }
        // A timer can't be set arbitrarily far.
        let timeout = self.timeout.min(Duration::from_secs(24 * 3600));
        Ok(Self { timeout, ..self })
    }
}

impl Default for Replies {
    fn default() -> Self {
        Self {
            undecodable: Undecodable::default(),
            max_bytes: 1 << 20,
            timeout: Duration::from_secs(10),
            max_hops: 16,
        }
    }
}

/// What becomes of an event that was answered with a body that can't be read as a reply: it is no
/// CloudEvent, or claims to be one and breaks the rules, or is too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Undecodable {
    /// It is rejected: given up without another attempt, as Knative's contract wants it. The
    /// default.
    #[default]
    Reject,
    /// It is tried again.
    Retry,
    /// It is delivered, and the body passed over. **Loses replies** that are damaged.
    Ignore,
}
