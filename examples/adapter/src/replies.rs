//! Where the CloudEvents in an endpoint's answers go.

use std::{borrow::Cow, fmt, sync::Arc};

use async_trait::async_trait;
use eventlane::{
    Result,
    sink::{Batch, HttpSink, Outcome, Sink, Verdicts},
};
use eventlane_kafka::KafkaSink;

use crate::config::RepliesTo;

/// A sink of replies; it stays when the endpoint is exchanged.
#[derive(Clone)]
pub struct ReplySink(Arc<dyn Sink>);

impl ReplySink {
    /// Connects to it.
    ///
    /// # Errors
    /// The library's.
    pub async fn connect(to: &RepliesTo) -> Result<Self> {
        Ok(Self(match to {
            RepliesTo::Kafka(config) => Arc::new(KafkaSink::connect((**config).clone()).await?),
            RepliesTo::Http(config) => Arc::new(HttpSink::new((**config).clone())?),
        }))
    }
}

#[async_trait]
impl Sink for ReplySink {
    async fn send(&self, batch: Batch) -> Outcome {
        self.0.send(batch).await
    }

    fn verdicts(&self) -> Verdicts {
        self.0.verdicts()
    }

    fn destination(&self) -> Cow<'_, str> {
        self.0.destination()
    }
}

impl fmt::Debug for ReplySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReplySink")
            .field(&self.0.destination())
            .finish()
    }
}
