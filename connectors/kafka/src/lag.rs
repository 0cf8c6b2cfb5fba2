//! How far behind the consumer is.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU8, Ordering::Relaxed},
};

/// A view of a running source; see [`KafkaSource::monitor`](crate::KafkaSource::monitor). Cheap to
/// clone; outlives the source, and then shows nothing.
///
/// Reading it asks nobody: the consumer's thread refreshes it from what the last fetches said, so
/// it costs the broker nothing and shows at most about a second ago.
///
/// ```no_run
/// # async fn example() -> eventlane::Result<()> {
/// use eventlane_kafka::{KafkaConfig, KafkaSource};
///
/// let config = KafkaConfig::new("localhost:9092", "billing", ["orders"]);
/// let source = KafkaSource::connect(config).await?;
/// let monitor = source.monitor(); // before the source goes into a pipeline
/// for partition in monitor.partitions() {
///     println!("{}/{}: {:?} behind", partition.topic, partition.partition, partition.lag());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct KafkaMonitor(Arc<View>);

#[derive(Debug, Default)]
struct View {
    partitions: Mutex<Vec<PartitionLag>>,
    connection: AtomicU8,
}

/// What [`View::connection`] holds, beside 0 for "not known".
const CONNECTED: u8 = 1;
const CUT_OFF: u8 = 2;

/// Where a partition stands. Refreshed about once a second, and whenever something is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionLag {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
    /// What the group has committed: everything below is done. `None` if nothing is known to be.
    pub committed: Option<u64>,
    /// The offset of the next record to be read: behind the last one that was, or where reading
    /// begins. `None` if nothing was read and the place to begin is left to librdkafka.
    pub position: Option<u64>,
    /// The end of what can be read: the high watermark; with read-committed isolation, once
    /// everything is read, what open transactions don't hide. `None` before the first fetch.
    pub end: Option<u64>,
}

impl PartitionLag {
    /// How many offsets lie between what is committed (or, if nothing is, what has been read) and
    /// the end. `None` as long as not both are known.
    pub fn lag(&self) -> Option<u64> {
        let from = self.committed.or(self.position)?;
        Some(self.end?.saturating_sub(from))
    }
}

impl KafkaMonitor {
    /// The partitions assigned, by topic and number.
    pub fn partitions(&self) -> Vec<PartitionLag> {
        self.0
            .partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The sum over the partitions assigned. `None` if there are none, or if the lag of one is not
    /// known yet.
    pub fn lag(&self) -> Option<u64> {
        let partitions = self
            .0
            .partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if partitions.is_empty() {
            return None;
        }
        partitions.iter().map(PartitionLag::lag).sum()
    }

    /// Whether a connection to any broker stood when librdkafka last counted them; `None` if it
    /// doesn't count: the property `statistics.interval.ms` makes it do so, say every 5000 ms.
    pub fn is_connected(&self) -> Option<bool> {
        match self.0.connection.load(Relaxed) {
            CONNECTED => Some(true),
            CUT_OFF => Some(false),
            _ => None,
        }
    }

    /// librdkafka has counted its connections.
    pub(crate) fn set_connected(&self, connected: bool) {
        let state = if connected { CONNECTED } else { CUT_OFF };
        self.0.connection.store(state, Relaxed);
    }

    /// Replaces the whole view, sorted, so that a reader never sees half of a refresh.
    pub(crate) fn set(&self, mut partitions: Vec<PartitionLag>) {
        partitions.sort_unstable_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        *self
            .0
            .partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = partitions;
    }
}
