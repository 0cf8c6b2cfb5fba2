//! Dead letters in a file.
//!
//! Three layers: [`FileDeadLetter`] makes lines, the journal knows which of them are durable, and
//! the disk is the only one that touches the file. Writing and syncing block, so they run on
//! tokio's blocking threads, one call at a time.

use std::{
    borrow::Cow,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use tokio::sync::Mutex;

use super::{DeadLetter, DeadLetterSink, dead_letter::copy};
use crate::{Error, ErrorKind, Event, Result, event::json};

mod disk;
mod journal;
mod replay;

use disk::Disk;
use journal::Journal;
pub use replay::DeadLetters;

/// Keeps dead letters in a file: one event in the JSON format on each line
/// ([`DeadLetter::to_event`]).
///
/// * **Durable.** A letter counts as kept when the file has been synced; one sync for all letters
///   of a call. Where that fails, they are not kept, and the file is opened anew and cut back
///   before anything else is written: after a failed sync, neither its descriptor nor what the
///   system holds of it can be trusted.
/// * **Whole lines.** What a full disk or a crash left of a line is cut off, before the next write
///   or when the file is opened again; it belongs to a letter that never counted as kept. A last
///   line that only lacks its line break gets it.
/// * **Byte for byte.** JSON data with line breaks in it, or white space around it, is written as
///   `data_base64`.
/// * **Alone.** The file is locked: two writers would cut off each other's lines. It may be moved
///   away, replaced or emptied meanwhile; the next letters go to the file that is at the path then.
///
/// Created with mode 0600, in a directory that must exist.
///
/// ```
/// use eventlane::sink::FileDeadLetter;
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("dead.jsonl");
///
/// let dead_letters = FileDeadLetter::open(&path)?;
/// // … later, perhaps in another process:
/// for event in FileDeadLetter::read(&path)? {
///     println!("{}", event?.id());
/// }
/// # Ok::<(), eventlane::Error>(())
/// ```
pub struct FileDeadLetter {
    shown: String,
    journal: Arc<Mutex<Journal<Disk>>>,
}

impl FileDeadLetter {
    /// Opens the file, and creates it if it isn't there. Blocks for as long as that takes.
    ///
    /// # Errors
    /// `Config` if there is no file to be had at this path, it is in use, or it holds something
    /// else than events.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let shown = path.display().to_string();
        let journal = Journal::open(Disk::new(path)).map_err(|cause| {
            let message =
                format!("{cause}; choose a file in a directory that exists and can be written to");
            Error::new(ErrorKind::Config, "open dead-letter file", message)
                .with_context("file", &shown)
                .with_source(cause)
        })?;
        Ok(Self {
            shown,
            journal: Arc::new(Mutex::new(journal)),
        })
    }

    /// The events in a file of dead letters, in the order in which they were kept.
    ///
    /// # Errors
    /// `Config` if it can't be opened. What is wrong with a line is an item of the iterator.
    pub fn read(path: impl AsRef<Path>) -> Result<DeadLetters> {
        DeadLetters::open(path.as_ref())
    }
}

#[async_trait]
impl DeadLetterSink for FileDeadLetter {
    async fn keep(&self, letters: &[DeadLetter]) -> Vec<Result<()>> {
        let mut lines = Vec::new();
        let mut ends = Vec::with_capacity(letters.len());
        for letter in letters {
            write_line(&letter.to_event(), &mut lines);
            ends.push(lines.len());
        }
        // The guard goes with the work: should this future be dropped, the next call waits until
        // the file is let go of.
        let mut journal = Arc::clone(&self.journal).lock_owned().await;
        let work = tokio::task::spawn_blocking(move || journal.append(&lines, &ends));
        let (kept, error) = match work.await {
            Ok(done) => done,
            Err(error) => (0, Some(io::Error::other(error))),
        };
        let why = error.map_or_else(String::new, |error| error.to_string());
        let failed = || {
            Error::new(ErrorKind::Unavailable, "write dead letter", why.as_str())
                .with_context("file", &self.shown)
        };
        let result = |at| if at < kept { Ok(()) } else { Err(failed()) };
        (0..letters.len()).map(result).collect()
    }

    fn destination(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.shown)
    }
}

impl fmt::Debug for FileDeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileDeadLetter")
            .field("path", &self.shown)
            .finish_non_exhaustive()
    }
}

/// Appends the event as one line.
fn write_line(event: &Event, out: &mut Vec<u8>) {
    let start = out.len();
    json::write(event, out);
    if let Some(data) = event.data() {
        let data = data.as_bytes();
        let white = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
        let spaced = white(data.first()) || white(data.last());
        let broken = out[start..]
            .iter()
            .any(|byte| matches!(byte, b'\n' | b'\r'));
        if (spaced || broken)
            && let Ok(bare) = copy(event, |_| true).build()
        {
            out.truncate(start);
            json::write(&bare, out);
            out.pop();
            out.extend_from_slice(br#","data_base64":""#);
            out.extend_from_slice(BASE64_STANDARD.encode(data).as_bytes());
            out.extend_from_slice(br#""}"#);
        }
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Data;

    #[test]
    fn an_event_is_one_line_and_keeps_its_bytes() {
        for data in [
            "{\n  \"a\": 1.10\r\n}",
            " 1",
            "1\n",
            "{\"a\":1.10}",
            "\"a\\nb\"",
            "null",
        ] {
            for data in [
                Data::json(data).unwrap(),
                Data::text(data),
                Data::bytes(data),
            ] {
                let event = Event::builder()
                    .id("1")
                    .source("/test")
                    .ty("test")
                    .extension("partitionkey", "a\u{2028}b")
                    .data(data)
                    .build()
                    .unwrap();
                let mut line = Vec::new();
                write_line(&event, &mut line);
                assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
                assert_eq!(json::read(&line.into()).unwrap(), event);
            }
        }
    }
}
