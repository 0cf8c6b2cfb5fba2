//! Where in a resource a mistake is.

use serde::de::Error as _;

use crate::config::{
    de,
    fault::Fault,
    node::{Node, Place},
};

/// A resource, to find places in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site<'a>(pub(super) &'a Node);

impl<'a> Site<'a> {
    pub(super) fn read<T: serde::Deserialize<'a>>(self) -> Result<T, Fault> {
        de::read(self.0)
    }

    /// A mistake in what is under `path`, or where it is missing.
    pub(super) fn fault(self, path: &[&str], message: impl Into<String>) -> Fault {
        let (at, depth, _) = self.find(path);
        within(Fault::new(message).at(at), &path[..depth])
    }

    /// Something that is none of these.
    pub(super) fn known(self, path: &[&str], said: &str, known: &'static [&'static str]) -> Fault {
        let (at, depth, _) = self.find(path);
        within(Fault::unknown_variant(said, known).at(at), &path[..depth])
    }

    /// A mistake that the library has found in what is under `path`: shown at the field that its
    /// message names, if there is one.
    pub(super) fn named(self, path: &[&str], message: String) -> Fault {
        let (at, depth, node) = self.find(path);
        within(Fault::named(message, node, at), &path[..depth])
    }

    /// The place of the last key of `path` that is there, how far that is, and what it stands for.
    fn find(self, path: &[&str]) -> (Place, usize, &'a Node) {
        let mut found = (self.0.at, 0, self.0);
        for key in path {
            match found.2.entry(key) {
                Some((key, node)) => found = (key.at, found.1 + 1, node),
                None => break,
            }
        }
        found
    }
}

fn within(fault: Fault, path: &[&str]) -> Fault {
    path.iter()
        .rev()
        .fold(fault, |fault, key| fault.under(*key))
}
