//! The file under a journal: opened, locked, mended.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use tracing::warn;

use super::journal::{Medium, Opened};
use crate::event::json;

/// The file at a path.
pub(super) struct Disk {
    path: PathBuf,
    file: Option<File>,
    /// Which file was open last, to tell after a failure to open it again whether it is still the
    /// same.
    last: Option<Identity>,
}

/// Device and inode.
type Identity = (u64, u64);

impl Disk {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            last: None,
        }
    }

    /// The open file; an error after a failed [`open`](Medium::open).
    fn file(&mut self) -> io::Result<&mut File> {
        self.file
            .as_mut()
            .ok_or_else(|| io::Error::other("the file is not open"))
    }

    /// Ends the file with its last whole line, and returns how long it is then.
    fn mend(&self, file: &mut File) -> io::Result<u64> {
        let len = file.metadata()?.len();
        let whole = end_of_last_line(file, len)?;
        if whole == len {
            return Ok(len);
        }
        let mut rest = Vec::new();
        file.seek(SeekFrom::Start(whole))?;
        file.read_to_end(&mut rest)?;
        let mended = if json::read(&rest.into()).is_ok() {
            file.write_all(b"\n")?;
            len + 1
        } else {
            warn!(file = %self.path.display(), bytes = len - whole, "cut off a torn dead letter");
            file.set_len(whole)?;
            whole
        };
        file.sync_data()?;
        Ok(mended)
    }
}

impl Medium for Disk {
    /// Refuses what is not ours to write to before anything is changed: a device, a file that
    /// somebody has locked, one that does not begin like letters. Only then is a torn line cut off.
    fn open(&mut self) -> io::Result<Opened> {
        // A device or a pipe would take letters and keep none.
        if fs::metadata(&self.path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            ));
        }
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.path)?;
        self.file = None;
        let here = identity(&file.metadata()?);
        let same = self.last.replace(here) == Some(here);
        // Only now that the descriptor which held the lock is gone.
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    "somebody else writes to it",
                ));
            }
            Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => {
                return Err(error);
            }
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        if !begins_like_letters(&mut file)? {
            let message = "it holds something else than dead letters";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let len = self.mend(&mut file)?;
        sync_directory(&self.path)?;
        self.file = Some(file);
        Ok(Opened { len, same })
    }

    /// Compares the open file with the one at the path, which may have been replaced (log
    /// rotation).
    fn len(&mut self) -> io::Result<Option<u64>> {
        let here = match fs::metadata(&self.path) {
            Ok(metadata) => identity(&metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let open = self.file()?.metadata()?;
        Ok((identity(&open) == here).then_some(open.len()))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file()?.write(bytes)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file()?.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file()?.sync_data()
    }
}

/// Whether the file can be one of ours: mending any other would destroy it.
fn begins_like_letters(file: &mut File) -> io::Result<bool> {
    const BEGINNING: &[u8] = br#"{"specversion":"1.0","id":""#;
    let mut beginning = Vec::new();
    // Append mode concerns writes only: what was just opened is read from its beginning.
    Read::by_ref(file)
        .take(BEGINNING.len() as u64)
        .read_to_end(&mut beginning)?;
    Ok(BEGINNING.starts_with(&beginning))
}

/// Where the line after the last line break begins.
fn end_of_last_line(file: &mut File, len: u64) -> io::Result<u64> {
    const STEP: u64 = 64 * 1024;
    let mut end = len;
    let mut buffer = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(STEP);
        file.seek(SeekFrom::Start(start))?;
        buffer.clear();
        Read::by_ref(file)
            .take(end - start)
            .read_to_end(&mut buffer)?;
        if let Some(at) = buffer.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// The name of a new file is durable only when its directory is.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

#[cfg(unix)]
fn identity(metadata: &fs::Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

/// Where files can't be told apart, one that is locked isn't replaced either.
#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> Identity {
    (0, 0)
}
