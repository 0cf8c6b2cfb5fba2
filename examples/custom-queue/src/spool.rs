//! A queue with leases, in a directory: everything that eventlane has to be told about it.
//!
//! A message is a file. Its name says all there is to know, and renaming it is atomic, so that any
//! number of processes can share the directory: `ID` was never handed out, `ID~COUNT~UNTIL` was
//! handed out COUNT times, and belongs to whoever knows this name until UNTIL (milliseconds since
//! 1970).

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use eventlane::{
    Error, ErrorKind, Event, Result,
    event::Data,
    queue::{Limits, Message, QueueBackend},
};
use tokio::time::{Instant, sleep};

/// How often an empty directory is looked at: nothing tells us when a file comes.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) struct Spool {
    directory: PathBuf,
    name: String,
    lease: Duration,
}

impl Spool {
    /// Opens a directory.
    pub(crate) fn open(directory: impl Into<PathBuf>, lease: Duration) -> Result<Self> {
        let directory = directory.into();
        fs::read_dir(&directory).map_err(|error| failed("open the spool", &directory, &error))?;
        let name = directory.display().to_string();
        Ok(Self {
            directory,
            name,
            lease,
        })
    }

    fn take(&self, max: usize) -> io::Result<Vec<Message<String>>> {
        let names = fs::read_dir(&self.directory)?.map(|entry| Ok(entry?.file_name()));
        let mut names = names.collect::<io::Result<Vec<_>>>()?;
        names.sort_unstable();
        let names = names.iter().filter_map(|name| name.to_str());
        let mut taken = Vec::new();
        for (name, (id, count, until)) in names.filter_map(|name| Some((name, parse(name)?))) {
            if taken.len() == max {
                break;
            }
            if self.directory.join(name).is_dir() {
                continue;
            }
            let handle = format!("{id}~{}~{}", count + 1, millis() + self.lease.as_millis());
            // Whoever renames it first has it.
            if until > millis() || !self.rename(name, &handle)? {
                continue;
            }
            let body = fs::read(self.directory.join(&handle))?;
            let event = Event::builder()
                .id(id)
                .source("/spool")
                .ty("file")
                .data(Data::bytes(body));
            let event = event.build().map_err(io::Error::other)?;
            taken.push(Message::new(handle, id, event).with_attempt(count + 1));
        }
        Ok(taken)
    }

    /// Whether there was such a file.
    fn rename(&self, from: &str, to: &str) -> io::Result<bool> {
        match fs::rename(self.directory.join(from), self.directory.join(to)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl QueueBackend for Spool {
    type Handle = String;

    fn name(&self) -> &str {
        &self.name
    }

    fn limits(&self) -> Limits {
        Limits::default()
            .with_lease(self.lease)
            .with_wait(Duration::from_secs(2))
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message<String>>> {
        let until = Instant::now() + wait;
        loop {
            let taken = self.take(max);
            let taken = taken.map_err(|error| failed("read the spool", &self.directory, &error))?;
            if !taken.is_empty() || Instant::now() >= until {
                return Ok(taken);
            }
            sleep(LOOK).await;
        }
    }

    async fn delete(&self, handles: &[String]) -> Result<Vec<Result<()>>> {
        let remove = |handle: &String| {
            let path = self.directory.join(handle);
            fs::remove_file(&path).map_err(|error| failed("delete a message", &path, &error))
        };
        Ok(handles.iter().map(remove).collect())
    }

    async fn change_visibility(
        &self,
        changes: &[(String, Duration)],
    ) -> Result<Vec<Result<String>>> {
        let change = |(handle, by): &(String, Duration)| {
            let (id, count, _) = parse(handle).ok_or_else(gone)?;
            let fresh = format!("{id}~{count}~{}", millis() + by.as_millis());
            match self.rename(handle, &fresh) {
                Ok(true) => Ok(fresh),
                Ok(false) => Err(gone()),
                Err(error) => Err(failed("change a lease", &self.directory, &error)),
            }
        };
        Ok(changes.iter().map(change).collect())
    }
}

fn parse(name: &str) -> Option<(&str, u32, u128)> {
    let mut parts = name.split('~');
    let id = parts.next()?;
    match (parts.next(), parts.next()) {
        (Some(count), Some(until)) => Some((id, count.parse().ok()?, until.parse().ok()?)),
        (None, _) => Some((id, 0, 0)),
        _ => None,
    }
}

fn millis() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis()
}

fn gone() -> Error {
    Error::new(
        ErrorKind::Fenced,
        "settle",
        "the message belongs to somebody else by now",
    )
}

fn failed(what: &'static str, path: &Path, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound if what == "delete a message" => return gone(),
        io::ErrorKind::NotFound => ErrorKind::Config,
        io::ErrorKind::PermissionDenied => ErrorKind::Unauthorized,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, what, error.to_string()).with_context("path", path.display())
}
