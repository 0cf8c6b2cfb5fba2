//! `replay`: a file of dead letters, back to a sink.
//!
//! In order, one after the other, each tried until it is taken. How far it came stands in a file
//! beside the letters, written after each letter that was taken: a replay that was killed goes on
//! there, and repeats at most the letter that was on its way.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use eventlane::{
    Error, ErrorKind, Event, Retry,
    sink::{Batch, FileDeadLetter, HttpSink, Outcome, Sink, Verdict},
};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::exit::Exit;

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How to replay.
#[derive(Debug)]
pub struct Replay {
    /// The file of dead letters.
    pub file: PathBuf,
    /// Letters a second; as fast as they are taken without it.
    pub rate: Option<f64>,
    /// From the beginning, whatever was replayed before.
    pub again: bool,
    /// Letters that the endpoint rejects are left out, and stay in the file. Otherwise they end the
    /// replay.
    pub skip_rejected: bool,
}

/// What a replay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Letters that were replayed before.
    pub before: u64,
    /// Letters that were taken now.
    pub taken: u64,
    /// Letters that were rejected, and lines that hold none.
    pub skipped: u64,
}

impl Replay {
    /// Sends the letters, until all are sent or `stop` is cancelled.
    ///
    /// # Errors
    /// A file that can't be read or written, a line that holds no event, a letter that is rejected.
    pub async fn run(&self, sink: &HttpSink, stop: &CancellationToken) -> Result<Replayed, Error> {
        let mut position = Position::open(&self.file, self.again)?;
        let mut replayed = Replayed {
            before: position.done,
            ..Replayed::default()
        };
        let mut next = Instant::now();
        let letters = FileDeadLetter::read(&self.file)?;
        for (at, letter) in (1..).zip(letters) {
            if at <= replayed.before {
                continue;
            }
            if stop.is_cancelled() {
                break;
            }
            if let Some(rate) = self.rate {
                tokio::select! { () = sleep_until(next) => {}, () = stop.cancelled() => break }
                next = next.max(Instant::now()) + Duration::from_secs_f64(1.0 / rate);
            }
            let taken = match letter {
                Ok(letter) => match deliver(sink, &letter, stop).await {
                    Some(taken) => taken,
                    None => break,
                },
                Err(error) => Err(error),
            };
            match taken {
                Ok(()) => replayed.taken += 1,
                Err(error) if self.skip_rejected => {
                    warn!(letter = at, %error, "left out");
                    replayed.skipped += 1;
                }
                Err(error) => return Err(error.with_context("letter", at)),
            }
            position.set(at)?;
        }
        Ok(replayed)
    }
}

/// Tries until the letter is taken or rejected; `None` if it was stopped.
async fn deliver(
    sink: &HttpSink,
    letter: &Event,
    stop: &CancellationToken,
) -> Option<Result<(), Error>> {
    let pace = Retry::default();
    let mut pause = pace.initial;
    loop {
        let verdict = tokio::select! {
            outcome = sink.send(Batch::one(letter.clone())) => match outcome {
                Outcome::All(verdict) => Some(verdict),
                Outcome::Each(verdicts) => verdicts.into_iter().next(),
            },
            () = sleep(pace.timeout) => None,
            () = stop.cancelled() => return None,
        };
        let asked = match verdict {
            Some(Verdict::Delivered) => return Some(Ok(())),
            Some(
                Verdict::Reject(failure) | Verdict::TooLarge(failure) | Verdict::Stop(failure),
            ) => {
                let error = Error::new(ErrorKind::Rejected, "replay", failure.message);
                return Some(Err(error.with_context("event", letter.id())));
            }
            Some(verdict) => {
                let failure = verdict.failure();
                let reason = failure.map_or("", |failure| &failure.message);
                warn!(
                    event = letter.id(),
                    ?pause,
                    "not taken; trying again: {reason}"
                );
                failure.and_then(|failure| failure.retry_after)
            }
            None => {
                warn!(
                    event = letter.id(),
                    ?pause,
                    "no answer in time; trying again"
                );
                None
            }
        };
        let wait = asked.unwrap_or_default().max(pause);
        tokio::select! { () = sleep(wait) => {}, () = stop.cancelled() => return None }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// How many letters are done, in `FILE.position` beside the letters.
struct Position {
    path: PathBuf,
    done: u64,
    _lock: File,
}

impl Position {
    fn open(letters: &Path, again: bool) -> Result<Self, Error> {
        let mut name = letters.as_os_str().to_owned();
        name.push(".position");
        let path = PathBuf::from(name);
        let fail = |message: String| {
            Error::new(ErrorKind::Config, "replay", message).with_context("file", path.display())
        };
        let mut lock = path.clone().into_os_string();
        lock.push(".lock");
        let lock = OpenOptions::new().create(true).append(true).open(lock);
        let lock = lock.map_err(|error| fail(error.to_string()))?;
        if lock.try_lock().is_err() {
            return Err(fail("another replay of this file is running".to_owned()));
        }
        let done = match fs::read_to_string(&path) {
            _ if again => 0,
            Ok(text) => text.trim().parse().map_err(|_| {
                fail("it holds no number: remove it to replay from the beginning".to_owned())
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(fail(error.to_string())),
        };
        Ok(Self {
            path,
            done,
            _lock: lock,
        })
    }

    /// Replaces the file as a whole: a crash leaves the old number or the new one.
    fn set(&mut self, done: u64) -> Result<(), Error> {
        self.done = done;
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        let write = || {
            let mut file = File::create(&new)?;
            writeln!(file, "{done}")?;
            file.sync_data()?;
            fs::rename(&new, &self.path)
        };
        write().map_err(|error: io::Error| {
            Error::new(ErrorKind::Unavailable, "replay", error.to_string())
                .with_context("file", self.path.display())
        })
    }
}

/// The command: replays, says how it went, and for what exit code.
pub async fn replay(replay: &Replay, sink: &HttpSink, stop: &CancellationToken) -> Exit {
    match replay.run(sink, stop).await {
        Ok(replayed) => {
            let Replayed {
                before,
                taken,
                skipped,
            } = replayed;
            info!(before, taken, skipped, "replayed");
            match (stop.is_cancelled(), skipped) {
                (false, 0) => Exit::Done,
                _ => Exit::Unsettled,
            }
        }
        Err(error) => {
            tracing::error!(%error, "the replay has ended");
            Exit::Failed
        }
    }
}
