//! A source of one's own: the files of a directory, in the order of their names.
//!
//! Each file is one event. A file that was delivered is moved to the subdirectory `done`; whatever is still in the directory
//! is not done. That is the whole memory of this source, so a crash loses nothing: what was in hand is still there and comes
//! again. It also means that only one process may read a directory at a time.

use std::{
    collections::{BTreeMap, VecDeque},
    future,
    io::ErrorKind::NotFound,
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

/// A source that settles one by one is one partition, assigned once.
const PARTITION: Partition = Partition(0);
const EPOCH: u32 = 1;

/// How often an empty directory is looked at.
const PERIOD: Duration = Duration::from_millis(100);

/// The half that the engine polls. The other half, which it settles, works at the same time; they share what is in hand.
pub struct Directory {
    shared: Arc<Shared>,
    /// Seen and not handed out yet, in the order of the names.
    waiting: VecDeque<String>,
    assigned: bool,
}

struct Shared {
    inbox: PathBuf,
    done: PathBuf,
    hand: Mutex<Hand>,
}

/// The files that were handed out and not settled yet, by their receipts' `seq`.
#[derive(Default)]
struct Hand {
    files: BTreeMap<u64, String>,
    next_seq: u64,
}

impl Directory {
    /// Opens a directory, and makes its subdirectory `done` unless it is there.
    pub async fn open(inbox: impl Into<PathBuf>) -> Result<Self> {
        let inbox = inbox.into();
        let done = inbox.join("done");
        // What can't work from the start is a matter of configuration, and stops the pipeline with a message for people.
        fs::create_dir_all(&done).await.map_err(|error| {
            Error::new(ErrorKind::Config, "open directory", error.to_string())
                .with_context("path", done.display())
        })?;
        let shared = Arc::new(Shared {
            inbox,
            done,
            hand: Mutex::default(),
        });
        Ok(Self {
            shared,
            waiting: VecDeque::new(),
            assigned: false,
        })
    }

    /// What is in the directory and neither waits nor is in hand.
    async fn look(&self) -> Result<VecDeque<String>> {
        let inbox = &self.shared.inbox;
        let failed = |error| unavailable("list directory", inbox, &error);
        let mut names = Vec::new();
        let mut entries = fs::read_dir(inbox).await.map_err(failed)?;
        while let Some(entry) = entries.next_entry().await.map_err(failed)? {
            if !entry.file_type().await.is_ok_and(|kind| kind.is_file()) {
                continue;
            }
            let name = entry.file_name().into_string().map_err(|name| {
                Error::new(
                    ErrorKind::Rejected,
                    "list directory",
                    "a file's name is not UTF-8",
                )
                .with_context("name", name.display())
            })?;
            // Whoever writes a file calls it `.name` until it is whole.
            if !name.starts_with('.') {
                names.push(name);
            }
        }
        let hand = self.shared.hand();
        names.retain(|name| !hand.files.values().any(|held| held == name));
        names.sort_unstable();
        Ok(names.into())
    }

    /// Reads as many waiting files as are wanted, and how many names that used up.
    async fn read(&self, demand: Demand) -> Result<(Vec<(String, Event)>, usize)> {
        let (mut read, mut used, mut bytes) = (Vec::new(), 0, 0);
        for name in &self.waiting {
            if read.len() == demand.records {
                break;
            }
            let path = self.shared.inbox.join(name);
            let content = match fs::read(&path).await {
                Ok(content) => content,
                // Somebody took it away again, which is their right until it is handed out.
                Err(error) if error.kind() == NotFound => {
                    used += 1;
                    continue;
                }
                // A file may become readable later; the engine asks again after a while.
                Err(error) => return Err(unavailable("read file", &path, &error)),
            };
            let event = event(name, content)?;
            bytes += event.size();
            // The demand is a hard cap, but a file larger than all of it must pass too: as the first of a poll.
            if bytes > demand.bytes && !read.is_empty() {
                break;
            }
            used += 1;
            read.push((name.clone(), event));
        }
        Ok((read, used))
    }
}

#[async_trait]
impl Source for Directory {
    fn capability(&self) -> Capability {
        // A queue without leases: nobody else takes a file from us, so there is nothing to extend or to release.
        let mut capability = Capability::log();
        capability.settling = Settling::Individual;
        capability.pause = false;
        capability
    }

    fn settler(&self) -> Arc<dyn Settle> {
        Arc::<Shared>::clone(&self.shared)
    }

    /// The engine drops this future whenever it wants something else. So everything is read first, which changes nothing; what
    /// is handed out is noted at the very end, where nothing is awaited any more.
    async fn poll(&mut self, demand: Demand) -> Result<Signal> {
        if !self.assigned {
            self.assigned = true;
            let name = self.shared.inbox.display().to_string().into();
            return Ok(Signal::Assigned(vec![Assignment {
                partition: PARTITION,
                epoch: EPOCH,
                name,
            }]));
        }
        if demand.is_none() {
            // Without demand only news are wanted, and there never are any.
            return future::pending().await;
        }
        let (read, used) = loop {
            if self.waiting.is_empty() {
                self.waiting = self.look().await?;
            }
            let (read, used) = self.read(demand).await?;
            if !read.is_empty() {
                break (read, used);
            }
            self.waiting.drain(..used);
            time::sleep(PERIOD).await;
        };
        self.waiting.drain(..used);
        let mut hand = self.shared.hand();
        Ok(Signal::Deliveries(
            read.into_iter()
                .map(|(name, event)| hand.take(name, event))
                .collect(),
        ))
    }

    fn pause(&mut self, _: &[Partition]) -> Result<()> {
        Err(unsupported("pause"))
    }

    fn resume(&mut self, _: &[Partition]) -> Result<()> {
        Err(unsupported("resume"))
    }

    /// Nothing has to be given back: what is not done is still in the directory. But what is settled from now on must fail.
    async fn close(self: Box<Self>) -> Result<()> {
        self.shared.hand().files.clear();
        Ok(())
    }
}

#[async_trait]
impl Settle for Shared {
    async fn settle(&self, batch: Vec<Settlement>) -> Result<Settled> {
        let mut settled = Settled::default();
        for Settlement { receipt, action } in batch {
            // One that fails does not stop the others.
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
        let name = self
            .hand()
            .files
            .get(&receipt.seq)
            .cloned()
            .ok_or_else(|| {
                Error::new(ErrorKind::Fenced, "settle", "this file is not in hand")
                    .with_context("receipt", receipt)
            })?;
        let from = self.inbox.join(&name);
        match fs::rename(&from, self.done.join(&name)).await {
            Ok(()) => {}
            // Moved already: by an earlier call, which was dropped before it could say so.
            Err(error) if error.kind() == NotFound => {}
            Err(error) => return Err(unavailable("move file", &from, &error)),
        }
        self.hand().files.remove(&receipt.seq);
        Ok(())
    }

    fn hand(&self) -> MutexGuard<'_, Hand> {
        self.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hand {
    fn take(&mut self, name: String, event: Event) -> Delivery {
        let receipt = Receipt {
            partition: PARTITION,
            epoch: EPOCH,
            seq: self.next_seq,
        };
        self.next_seq += 1;
        let delivery = match key(&name) {
            Some(key) => Delivery::new(receipt, event).with_key(key.to_owned()),
            None => Delivery::new(receipt, event),
        };
        self.files.insert(receipt.seq, name);
        delivery
    }
}

/// The files of `0007-alice.json`'s kind stay in order for each `alice`, and nobody waits for anybody else.
fn key(name: &str) -> Option<&str> {
    let (_, rest) = name.split_once('-')?;
    Some(rest.split_once('.').map_or(rest, |(key, _)| key))
}

/// The same file is the same event each time it is delivered: a receiver can tell by the id.
fn event(name: &str, content: Vec<u8>) -> Result<Event> {
    let builder = Event::builder()
        .id(name)
        .source("/directory")
        .ty("com.example.file");
    let event = match Data::json(content.clone()) {
        Ok(json) => builder.data_content_type("application/json").data(json),
        Err(_) => builder
            .data_content_type("application/octet-stream")
            .data(Data::bytes(content)),
    };
    Ok(event.build()?)
}

/// What may be better later: the engine tries again.
fn unavailable(operation: &'static str, path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, operation, error.to_string())
        .with_context("path", path.display())
}

fn unsupported(operation: &'static str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        operation,
        "a directory is settled file by file, as done",
    )
}
