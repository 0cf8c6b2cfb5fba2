//! XML as MNS speaks it: a document is read into a small tree, by local names and without
//! complaints about what is not known.
//!
//! * **Text is kept to the letter**, line ends and space included: it may be a message's body.
//! * **Nothing from outside is fetched or expanded**: an entity is one of XML's five or a
//!   character, or it stays as it is written. Depth and number of elements are bounded; the size
//!   is, by the transport.
//! * Tolerant in what it reads, since there are several servers; strict in what it writes.

use quick_xml::{
    Reader,
    escape::{partial_escape, resolve_predefined_entity},
    events::{BytesRef, Event},
};

/// An element: its local name, its own text without any change but un-escaping, and the elements in
/// it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    name: String,
    text: String,
    children: Vec<Self>,
}

/// Bounds on what a hostile server can make us hold. A full answer has five levels and some
/// thousand elements.
const DEEPEST: usize = 16;
const MOST: usize = 50_000;

/// Why a document can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(String);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Malformed {
    fn from(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

impl Element {
    /// Reads a document. Prefixes, attributes, comments and document types are skipped over,
    /// entities that nobody knows stay as they are. Bytes that are not UTF-8 become U+FFFD: one of
    /// them must not keep the rest of a batch from being received.
    pub(crate) fn parse(document: &[u8]) -> Result<Self, Malformed> {
        let document = String::from_utf8_lossy(document);
        let mut reader = Reader::from_str(document.trim_start_matches('\u{feff}'));
        reader.config_mut().allow_dangling_amp = true;
        reader.config_mut().expand_empty_elements = true;
        let mut open: Vec<Self> = Vec::new();
        let mut root = None;
        let mut count = 0;
        loop {
            let event = reader
                .read_event()
                .map_err(|error| Malformed(error.to_string()))?;
            match event {
                Event::Start(start) => {
                    count += 1;
                    if open.len() >= DEEPEST || count > MOST {
                        return Err("it is nested too deeply, or has too many elements".into());
                    }
                    if root.is_some() {
                        return Err("it goes on behind its end".into());
                    }
                    open.push(Self {
                        name: start.local_name().as_ref().to_owned(),
                        ..Self::default()
                    });
                }
                Event::End(_) => {
                    let Some(done) = open.pop() else {
                        return Err("an element ends that has not begun".into());
                    };
                    match open.last_mut() {
                        Some(parent) => parent.children.push(done),
                        None => root = Some(done),
                    }
                }
                // Line ends stay what they are: they are part of the message.
                Event::Text(text) => push(&mut open, &text.into_inner()),
                Event::CData(text) => push(&mut open, &text.into_inner()),
                Event::GeneralRef(reference) => match resolve(&reference) {
                    Some(text) => push(&mut open, &text),
                    None => push(&mut open, &format!("&{};", &*reference)),
                },
                Event::Eof if open.is_empty() => return root.ok_or("it is empty".into()),
                Event::Eof => return Err("it ends too early".into()),
                Event::Empty(_)
                | Event::Comment(_)
                | Event::Decl(_)
                | Event::PI(_)
                | Event::DocType(_) => {}
            }
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The elements in it that have this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The first element in it that has this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of an element in it, to the letter.
    pub(crate) fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }

    /// The text of an element in it without the space around it; `None` if nothing is left.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let text = self.text_of(name)?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// The number in an element in it; `None` if it is none.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.value(name)?.parse().ok()
    }
}

/// Text outside of the root is of no interest.
fn push(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn resolve(reference: &BytesRef<'_>) -> Option<String> {
    if let Some(known) = resolve_predefined_entity(reference) {
        return Some(known.to_owned());
    }
    reference.resolve_char_ref().ok().flatten().map(Into::into)
}

/// Writes a document. Names are ours and written as they are; whoever opens an element closes it.
#[derive(Debug)]
pub(super) struct Writer(String);

impl Writer {
    /// Begins a document with the namespace of MNS.
    pub(super) fn new(root: &str) -> Self {
        const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
        const SPACE: &str = "http://mns.aliyuncs.com/doc/v1/";
        Self(format!(r#"{HEAD}<{root} xmlns="{SPACE}">"#))
    }

    pub(super) fn open(&mut self, name: &str) {
        self.0.extend(["<", name, ">"]);
    }

    pub(super) fn close(&mut self, name: &str) {
        self.0.extend(["</", name, ">"]);
    }

    /// An element with nothing but text, which is escaped.
    pub(super) fn element(&mut self, name: &str, text: &str) {
        self.open(name);
        self.0.push_str(&partial_escape(text));
        self.close(name);
    }

    /// Ends the document.
    pub(super) fn finish(mut self, root: &str) -> String {
        self.close(root);
        self.0
    }
}

/// Whether XML 1.0 can carry a text at all (its production `Char`).
pub(super) fn carries(text: &str) -> bool {
    text.chars()
        .all(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..))
}

#[cfg(test)]
mod tests;
