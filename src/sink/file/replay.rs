//! Reading dead letters back.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use crate::{Error, ErrorKind, Event, Result, event::json};

const OPERATION: &str = "read dead-letter file";

/// The events in a file of dead letters: [`FileDeadLetter::read`](super::FileDeadLetter::read).
///
/// A line that holds no event is an error of kind `Rejected` that names it, and reading goes on; so
/// is a torn last line. An error of the file itself is the last item.
#[derive(Debug)]
pub struct DeadLetters {
    path: PathBuf,
    file: Option<BufReader<File>>,
    line: u64,
}

impl DeadLetters {
    /// Opens without a lock: a file can be read while letters are written to it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|cause| {
            Error::new(ErrorKind::Config, OPERATION, cause.to_string())
                .with_context("file", path.display())
                .with_source(cause)
        })?;
        Ok(Self {
            path: path.to_owned(),
            file: Some(BufReader::new(file)),
            line: 0,
        })
    }
}

impl Iterator for DeadLetters {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Result<Event>> {
        loop {
            let mut text = Vec::new();
            match self.file.as_mut()?.read_until(b'\n', &mut text) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(cause) => {
                    self.file = None;
                    let error = Error::new(ErrorKind::Unavailable, OPERATION, cause.to_string());
                    return Some(Err(error
                        .with_context("file", self.path.display())
                        .with_source(cause)));
                }
            }
            self.line += 1;
            let text = text.trim_ascii();
            if text.is_empty() {
                continue;
            }
            return Some(json::read(&text.to_vec().into()).map_err(|invalid| {
                Error::new(ErrorKind::Rejected, OPERATION, invalid.to_string())
                    .with_context("file", self.path.display())
                    .with_context("line", self.line)
                    .with_source(invalid)
            }));
        }
    }
}
