//! What is consumed of a topic.

use eventlane::Result;
use serde::{Deserialize, Serialize};

use super::invalid;
use crate::client::pb;

/// A topic, and which of its messages: all, those with one of some tags, or those for which an
/// SQL92 expression is true. The server filters.
///
/// All consumers of a group have to want the same of a topic: what the server keeps for the group
/// is what the last one said.
///
/// ```
/// use eventlane_rocketmq::Subscription;
///
/// let tags = Subscription::new("orders").with_tags("paid || shipped");
/// let sql = Subscription::new("orders").with_sql("TAGS IS NOT NULL AND region = 'eu'");
/// assert_ne!(tags, sql);
/// ```
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Subscription {
    /// The topic.
    pub topic: String,
    /// Tags, separated by `||`.
    #[serde(default)]
    pub tags: Option<String>,
    /// An SQL92 expression over properties, whose names have to be identifiers, and `TAGS`. The
    /// broker has to allow it (`enablePropertyFilter`).
    #[serde(default)]
    pub sql: Option<String>,
}

impl Subscription {
    /// All messages of a topic.
    pub fn new(topic: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            ..Self::default()
        }
    }

    /// Only messages with one of these tags, which `||` separates.
    #[must_use]
    pub fn with_tags(mut self, tags: impl Into<String>) -> Self {
        self.tags = Some(tags.into());
        self
    }

    /// Only messages for which this is true.
    #[must_use]
    pub fn with_sql(mut self, expression: impl Into<String>) -> Self {
        self.sql = Some(expression.into());
        self
    }

    pub(super) fn validate(&self) -> Result<()> {
        let blank = |text: &Option<String>| text.as_ref().is_some_and(|it| it.trim().is_empty());
        let fault = if self.topic.trim().is_empty() {
            "a topic has no name (topics)"
        } else if self.tags.is_some() && self.sql.is_some() {
            "a topic is filtered by tags or by SQL, not by both (topics)"
        } else if blank(&self.tags) || blank(&self.sql) {
            "a filter is empty; leave it out to get all messages (topics)"
        } else {
            return Ok(());
        };
        Err(invalid(fault))
    }

    pub(crate) fn filter(&self) -> pb::FilterExpression {
        const TAG: i32 = 1;
        const SQL: i32 = 2;
        let (r#type, expression) = match (&self.sql, &self.tags) {
            (Some(sql), _) => (SQL, sql.as_str()),
            (None, Some(tags)) => (TAG, tags.as_str()),
            (None, None) => (TAG, "*"),
        };
        pb::FilterExpression {
            r#type,
            expression: expression.to_owned(),
        }
    }
}

impl From<&str> for Subscription {
    fn from(topic: &str) -> Self {
        Self::new(topic)
    }
}

impl From<String> for Subscription {
    fn from(topic: String) -> Self {
        Self::new(topic)
    }
}
