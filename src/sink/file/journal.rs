//! Which lines of a file are durable.
//!
//! `good` is the length up to which everything was written *and* synced. Anything beyond it is
//! `suspect`, and so is the descriptor once a sync has failed: the kernel may drop the pages that
//! it could not write and report success the next time, so the file is opened anew and cut back to
//! `good`. A file that was replaced or emptied meanwhile is followed, and nothing of it cut off.

use std::io;

/// What a journal is written to: a file, or one that fails in tests.
pub(super) trait Medium {
    /// Opens it, again if it is open already, ended with its last whole line.
    fn open(&mut self) -> io::Result<Opened>;
    /// How long it is; `None` if what is open is no longer what would be opened.
    fn len(&mut self) -> io::Result<Option<u64>>;
    /// Writes some of the bytes to its end.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Cuts it off.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync(&mut self) -> io::Result<()>;
}

pub(super) struct Opened {
    pub(super) len: u64,
    /// Whether it is what was open before.
    pub(super) same: bool,
}

/// Lines, of which only those that are durable are there to stay.
pub(super) struct Journal<M> {
    medium: M,
    /// Up to here it is durable, and ends with a whole line.
    good: u64,
    /// Whether there may be something beyond, or the descriptor can't be trusted.
    suspect: bool,
}

impl<M: Medium> Journal<M> {
    /// Takes what is there as durable.
    pub(super) fn open(mut medium: M) -> io::Result<Self> {
        let good = medium.open()?.len;
        Ok(Self {
            medium,
            good,
            suspect: false,
        })
    }

    /// Appends lines, which end at `ends`. Returns how many are durable, and what kept the others
    /// from it.
    pub(super) fn append(&mut self, lines: &[u8], ends: &[usize]) -> (usize, Option<io::Error>) {
        match self.try_append(lines, ends) {
            Ok(done) => done,
            Err(error) => (0, Some(error)),
        }
    }

    /// An `Err` means that none is kept. What was written of them is cut off by the next call.
    fn try_append(
        &mut self,
        lines: &[u8],
        ends: &[usize],
    ) -> io::Result<(usize, Option<io::Error>)> {
        self.prepare()?;
        self.suspect = true;
        let (written, error) = self.write_all(lines);
        let kept = ends.partition_point(|end| *end <= written);
        let len = kept
            .checked_sub(1)
            .and_then(|last| ends.get(last))
            .copied()
            .unwrap_or(0);
        let good = self.good + len as u64;
        if len != written {
            self.medium.truncate(good)?;
        }
        self.medium.sync()?;
        self.good = good;
        self.suspect = false;
        Ok((kept, error))
    }

    /// Finds a place to write to.
    fn prepare(&mut self) -> io::Result<()> {
        if self.suspect {
            let opened = self.medium.open()?;
            if !opened.same {
                self.good = opened.len;
            } else if opened.len > self.good {
                // Whole lines perhaps, but none that counts as kept: they are written again.
                self.medium.truncate(self.good)?;
            } else {
                self.good = opened.len;
            }
            self.suspect = false;
        } else if self.medium.len()? != Some(self.good) {
            self.suspect = true;
            self.good = self.medium.open()?.len;
            self.suspect = false;
        }
        Ok(())
    }

    /// How much was written, and what stopped it.
    fn write_all(&mut self, bytes: &[u8]) -> (usize, Option<io::Error>) {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.medium.write(rest) {
                Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
                Ok(some) => written += some,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (written, Some(error)),
            }
        }
        (written, None)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A file of which the first `durable` bytes survive a crash, on a disk with room for `room`
    /// bytes.
    #[derive(Default)]
    struct Fake {
        content: Vec<u8>,
        durable: Vec<u8>,
        room: usize,
        fail_sync: VecDeque<bool>,
        fail_truncate: VecDeque<bool>,
        replaced: bool,
        opens: usize,
    }

    impl Medium for Fake {
        fn open(&mut self) -> io::Result<Opened> {
            self.opens += 1;
            let same = !std::mem::take(&mut self.replaced);
            Ok(Opened {
                len: self.content.len() as u64,
                same,
            })
        }

        fn len(&mut self) -> io::Result<Option<u64>> {
            Ok((!self.replaced).then_some(self.content.len() as u64))
        }

        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // In small pieces, as a file may.
            let len = bytes.len().min(5).min(self.room - self.content.len());
            if len == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.content.extend_from_slice(&bytes[..len]);
            Ok(len)
        }

        fn truncate(&mut self, len: u64) -> io::Result<()> {
            if self.fail_truncate.pop_front() == Some(true) {
                return Err(io::Error::other("truncate"));
            }
            self.content.truncate(usize::try_from(len).unwrap());
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            if self.fail_sync.pop_front() == Some(true) {
                return Err(io::Error::other("sync"));
            }
            self.durable.clone_from(&self.content);
            Ok(())
        }
    }

    fn journal(room: usize) -> Journal<Fake> {
        Journal::open(Fake {
            room,
            ..Fake::default()
        })
        .unwrap()
    }

    fn append(journal: &mut Journal<Fake>, lines: &[&str]) -> (usize, bool) {
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        for line in lines {
            bytes.extend_from_slice(line.as_bytes());
            ends.push(bytes.len());
        }
        let (kept, error) = journal.append(&bytes, &ends);
        (kept, error.is_some())
    }

    #[test]
    fn lines_that_fit_are_kept_and_no_part_of_others() {
        let mut journal = journal(12);
        assert_eq!(append(&mut journal, &["aaaa\n"]), (1, false));
        assert_eq!(append(&mut journal, &["bbbb\n", "cccc\n"]), (1, true));
        assert_eq!(journal.medium.durable, b"aaaa\nbbbb\n");
        assert_eq!(append(&mut journal, &["dddd\n"]), (0, true));
        assert_eq!(journal.medium.durable, b"aaaa\nbbbb\n");
        journal.medium.room = 100;
        assert_eq!(append(&mut journal, &["cccc\n"]), (1, false));
        assert_eq!(journal.medium.durable, b"aaaa\nbbbb\ncccc\n");
    }

    #[test]
    fn after_a_failed_sync_lines_are_written_anew_to_a_new_descriptor() {
        let mut journal = journal(100);
        assert_eq!(append(&mut journal, &["aaaa\n"]), (1, false));
        journal.medium.fail_sync.push_back(true);
        assert_eq!(append(&mut journal, &["bbbb\n", "cccc\n"]), (0, true));
        assert_eq!(journal.medium.opens, 1);
        assert_eq!(append(&mut journal, &["bbbb\n", "cccc\n"]), (2, false));
        assert_eq!(journal.medium.opens, 2);
        assert_eq!(journal.medium.durable, b"aaaa\nbbbb\ncccc\n");
    }

    #[test]
    fn a_torn_line_that_could_not_be_cut_off_is_cut_off_later() {
        let mut journal = journal(8);
        assert_eq!(append(&mut journal, &["aaaa\n"]), (1, false));
        journal.medium.fail_truncate.push_back(true);
        assert_eq!(append(&mut journal, &["bbbb\n"]), (0, true));
        assert_eq!(journal.medium.content, b"aaaa\nbbb");
        journal.medium.room = 100;
        assert_eq!(append(&mut journal, &["cccc\n"]), (1, false));
        assert_eq!(journal.medium.durable, b"aaaa\ncccc\n");
    }

    #[test]
    fn follows_a_file_that_was_replaced_or_emptied() {
        let mut journal = journal(100);
        assert_eq!(append(&mut journal, &["aaaa\n"]), (1, false));
        journal.medium.content.clear();
        assert_eq!(append(&mut journal, &["bbbb\n"]), (1, false));
        assert_eq!(journal.medium.durable, b"bbbb\n");
        // Replaced between a failed sync and the next attempt: nothing of the new file is cut off.
        journal.medium.fail_sync.push_back(true);
        assert_eq!(append(&mut journal, &["cccc\n"]), (0, true));
        journal.medium.content = b"xxxx\nyyyy\nzzzz\n".to_vec();
        journal.medium.replaced = true;
        assert_eq!(append(&mut journal, &["cccc\n"]), (1, false));
        assert_eq!(journal.medium.durable, b"xxxx\nyyyy\nzzzz\ncccc\n");
    }
}
