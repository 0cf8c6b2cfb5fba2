//! A source of one's own: the files of a directory, in the order of their names.
//!
//! Each file is one event. A file that was delivered is moved to the subdirectory `done`; whatever
//! is still in the directory is not done. That is the whole memory of this source, so a crash loses
//! nothing: what was in hand is still there and comes again. It also means that only one process
//! may read a directory at a time.

use std::{
    collections::{BTreeMap, VecDeque},
    future, io, mem,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use eventlane::{
    Capability, Error, ErrorKind, Event, Result, Source,
    event::Data,
    source::{
        Action, Assignment, Delivery, Demand, Partition, Receipt, Settle, Settled, Settlement,
        Settling, Signal,
    },
};
use tokio::{fs, time};

/// What has no partitions of its own is one partition, assigned once.
const PARTITION: Partition = Partition(0);
const EPOCH: u32 = 1;

/// How often an empty directory is looked at.
const PERIOD: Duration = Duration::from_millis(100);

/// The half that the engine polls.
pub(crate) struct Directory {
    shared: Arc<Shared>,
    /// Seen, but not handed out: only a cache, so losing it does no harm.
    waiting: VecDeque<String>,
    assigned: bool,
    next_seq: u64,
}

/// The half that the engine settles, while a poll waits.
struct Shared {
    inbox: PathBuf,
    done: PathBuf,
    /// What was handed out and is not settled, by the `seq` of its receipt.
    in_hand: Mutex<BTreeMap<u64, String>>,
}

impl Directory {
    /// Opens a directory, and makes its subdirectory `done` unless it is there.
    pub(crate) async fn open(inbox: impl Into<PathBuf>) -> Result<Self> {
        let inbox = inbox.into();
        let done = inbox.join("done");
        // What can't work from the start is a matter of configuration: nobody should try it again.
        let created = fs::create_dir_all(&done).await;
        created.map_err(failed(ErrorKind::Config, "open directory", &inbox))?;
        let in_hand = Mutex::default();
        Ok(Self {
            shared: Arc::new(Shared {
                inbox,
                done,
                in_hand,
            }),
            waiting: VecDeque::new(),
            assigned: false,
            next_seq: 0,
        })
    }

    /// The files that are not in hand.
    async fn look(&self) -> Result<VecDeque<String>> {
        let inbox = &self.shared.inbox;
        let failed = || failed(ErrorKind::Unavailable, "list directory", inbox);
        let mut names = Vec::new();
        let mut entries = fs::read_dir(inbox).await.map_err(failed())?;
        while let Some(entry) = entries.next_entry().await.map_err(failed())? {
            // What is not text can't be an event's id; such a file stays where it is.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            // Whoever writes a file calls it `.name` until it is whole.
            if !name.starts_with('.') && entry.file_type().await.is_ok_and(|kind| kind.is_file()) {
                names.push(name);
            }
        }
        let in_hand = self.shared.in_hand();
        names.retain(|name| !in_hand.values().any(|held| held == name));
        names.sort_unstable();
        Ok(names.into())
    }

    async fn read(&self, name: &str) -> Result<Event> {
        let path = self.shared.inbox.join(name);
        let content = fs::read(&path).await;
        let content = content.map_err(failed(ErrorKind::Unavailable, "read file", &path))?;
        let media_type = match name.ends_with(".json") {
            true => "application/json",
            false => "application/octet-stream",
        };
        // The same file has the same id each time it is delivered, so that a receiver can tell.
        let event = Event::builder()
            .id(name)
            .source("/directory")
            .ty("com.example.file");
        Ok(event
            .data_content_type(media_type)
            .data(Data::bytes(content))
            .build()?)
    }
}

#[async_trait]
impl Source for Directory {
    fn capability(&self) -> Capability {
        // A queue without leases: nobody else takes a file from us, so there is nothing to extend
        // or to release.
        let mut capability = Capability::log();
        capability.settling = Settling::Individual;
        capability.pause = false;
        capability
    }

    fn settler(&self) -> Arc<dyn Settle> {
        Arc::<Shared>::clone(&self.shared)
    }

    async fn poll(&mut self, demand: Demand) -> Result<Signal> {
        if !self.assigned {
            self.assigned = true;
            let name = self.shared.inbox.display().to_string().into();
            let assignment = Assignment {
                partition: PARTITION,
                epoch: EPOCH,
                name,
            };
            return Ok(Signal::Assigned(vec![assignment]));
        }
        if demand.is_none() {
            // Only news are wanted now, and there never are any.
            return future::pending().await;
        }
        let mut waiting = loop {
            let waiting = match self.waiting.is_empty() {
                true => self.look().await?,
                false => mem::take(&mut self.waiting),
            };
            if !waiting.is_empty() {
                break waiting;
            }
            time::sleep(PERIOD).await;
        };
        let (mut read, mut bytes) = (Vec::new(), 0);
        while read.len() < demand.records
            && let Some(name) = waiting.pop_front()
        {
            let event = self.read(&name).await?;
            bytes += event.size();
            // The demand is a hard cap. But what is larger than all of it has to pass too: alone.
            if bytes > demand.bytes && !read.is_empty() {
                waiting.push_front(name);
                break;
            }
            read.push((name, event));
        }
        // The engine drops a poll whenever it wants something else. That loses nothing, because all
        // that is awaited is above this line, and all that is handed out is noted below.
        self.waiting = waiting;
        let mut in_hand = self.shared.in_hand();
        let deliveries = read.into_iter().map(|(name, event)| {
            let receipt = Receipt {
                partition: PARTITION,
                epoch: EPOCH,
                seq: self.next_seq,
            };
            self.next_seq += 1;
            let delivery = Delivery {
                key: key(&name),
                ..Delivery::new(receipt, event)
            };
            in_hand.insert(receipt.seq, name);
            delivery
        });
        Ok(Signal::Deliveries(deliveries.collect()))
    }

    fn pause(&mut self, _: &[Partition]) -> Result<()> {
        Err(unsupported("pause"))
    }

    fn resume(&mut self, _: &[Partition]) -> Result<()> {
        Err(unsupported("resume"))
    }

    async fn close(self: Box<Self>) -> Result<()> {
        // Nothing has to be given back: it is still in the directory. But from now on it can't be
        // settled.
        self.shared.in_hand().clear();
        Ok(())
    }
}

#[async_trait]
impl Settle for Shared {
    async fn settle(&self, batch: Vec<Settlement>) -> Result<Settled> {
        let mut settled = Settled::default();
        for Settlement { receipt, action } in batch {
            // One that fails must not stop the others.
            if let Err(error) = self.settle_one(receipt, &action).await {
                settled.failed.push((receipt, error));
            }
        }
        Ok(settled)
    }
}

impl Shared {
    async fn settle_one(&self, receipt: Receipt, action: &Action) -> Result<()> {
        let Action::Done = action else {
            return Err(unsupported("settle"));
        };
        let Some(name) = self.in_hand().get(&receipt.seq).cloned() else {
            return Err(Error::new(
                ErrorKind::Fenced,
                "settle",
                "the source is closed",
            ));
        };
        let path = self.inbox.join(&name);
        match fs::rename(&path, self.done.join(&name)).await {
            // Moved already, by a call that was dropped before it could say so.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            moved => moved.map_err(failed(ErrorKind::Unavailable, "move file", &path))?,
        }
        self.in_hand().remove(&receipt.seq);
        Ok(())
    }

    fn in_hand(&self) -> MutexGuard<'_, BTreeMap<u64, String>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `0007-alice.json` and `0009-alice.json` stay in order, and nobody else waits for them.
fn key(name: &str) -> Option<bytes::Bytes> {
    let (_, key) = name.split_once('-')?;
    let (key, _) = key.split_once('.').unwrap_or((key, ""));
    Some(key.to_owned().into())
}

/// Says what was being done, to what. The kind decides what the engine does: after `Unavailable` it
/// tries again.
fn failed(kind: ErrorKind, operation: &'static str, path: &Path) -> impl Fn(io::Error) -> Error {
    move |error| Error::new(kind, operation, error.to_string()).with_context("path", path.display())
}

fn unsupported(operation: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, operation, "a file can only be done")
}
