//! Receipt handles, as the broker writes them.

/// `ckOffset popTime invisibleMs reviveQueue topicKind broker queueId offset commitLogOffset`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Handle {
    /// The offset that the checkpoint begins with.
    pub(super) checkpoint: u64,
    /// Milliseconds.
    pub(super) popped: u64,
    /// Milliseconds.
    pub(super) invisible: u64,
    pub(super) fifo: bool,
    /// Whether the message is of the group's retry topic.
    pub(super) retry: bool,
    pub(super) broker: usize,
    pub(super) queue: u32,
    pub(super) offset: u64,
    pub(super) log: usize,
}

/// The revive queue of messages in order.
const FIFO: &str = "999";

impl Handle {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let fields: Vec<_> = text.split(' ').collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            checkpoint: number(0)?,
            popped: number(1)?,
            invisible: number(2)?,
            fifo: *fields.get(3)? == FIFO,
            retry: number(4)? == 1,
            broker: fields.get(5)?.strip_prefix("broker-")?.parse().ok()?,
            queue: number(6)?.try_into().ok()?,
            offset: number(7)?,
            log: number(8)?.try_into().ok()?,
        })
    }

    pub(super) fn write(&self) -> String {
        format!("{} {}", self.head(), self.log)
    }

    /// As a proxy in local mode returns it after a change: it begins with the checkpoint of the
    /// batch, and the field of the offset in the commit log is one too late.
    pub(super) fn write_wrong(&self, batch: u64) -> String {
        let batch = Self {
            checkpoint: batch,
            ..self.clone()
        };
        format!("{} 0 {}", batch.head(), self.log)
    }

    fn head(&self) -> String {
        let Self {
            checkpoint,
            popped,
            invisible,
            broker,
            queue,
            offset,
            ..
        } = self;
        let (revive, kind) = (
            if self.fifo { FIFO } else { "0" },
            if self.retry { 1 } else { 0 },
        );
        format!(
            "{checkpoint} {popped} {invisible} {revive} {kind} broker-{broker} {queue} {offset}"
        )
    }

    pub(super) fn is_over(&self, now: u64) -> bool {
        self.popped + self.invisible <= now
    }
}
