//! YAML as a tree that knows where everything stands.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use super::fault::Fault;

/// More than any configuration has; aliases of aliases could ask for any number.
const MOST_NODES: usize = 100_000;
/// Deeper than any configuration is; reading goes by recursion.
const DEEPEST: usize = 64;

/// Where something stands in its file: from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
    /// How many characters of the line it takes.
    pub width: usize,
}

impl Place {
    fn of(span: Span) -> Self {
        let (start, end) = (span.start, span.end);
        let width = match end.line() == start.line() {
            true => end.col().saturating_sub(start.col()),
            false => 1,
        };
        Self {
            line: start.line(),
            column: start.col() + 1,
            width: width.max(1),
        }
    }
}

/// A value, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it stands.
    pub at: Place,
    /// Whether it was put in from a place where secrets are kept.
    pub secret: bool,
}

/// What a [`Node`] is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text. One that is `plain` may stand for a number, a truth value or nothing.
    Scalar {
        /// What is written.
        text: String,
        /// Whether without quotes.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Its text.
    pub text: String,
    /// Where it stands.
    pub at: Place,
}

impl Node {
    /// What a key stands for, of a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|(_, node)| node)
    }

    /// A key and what it stands for, of a mapping that has it.
    pub fn entry(&self, key: &str) -> Option<&(Key, Self)> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(it, _)| it.text == key),
            Value::Scalar { .. } | Value::List(_) => None,
        }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Whether nothing is written.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }
}

/// The documents of a file.
///
/// # Errors
/// Where it is no YAML, or YAML of a kind that configuration does without.
pub fn parse(text: &str) -> Result<Vec<Node>, Fault> {
    let mut builder = Builder {
        events: Parser::new_from_str(text),
        anchors: HashMap::new(),
        nodes: 0,
    };
    let mut documents = Vec::new();
    loop {
        match builder.next()? {
            (Event::StreamEnd, _) => return Ok(documents),
            (Event::StreamStart | Event::Nothing | Event::DocumentEnd, _) => {}
            (Event::DocumentStart(_), _) => builder.anchors.clear(),
            (event, span) => documents.push(builder.node(event, span, 0)?),
        }
    }
}

struct Builder<'a> {
    events: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Fault> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let at = Place::of(Span::empty(*error.marker()));
                Err(Fault::new(format!("not valid YAML: {}", error.info())).at(at))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Fault> {
        let at = Place::of(span);
        if depth > DEEPEST {
            return Err(Fault::new(format!("nested more than {DEEPEST} deep")).at(at));
        }
        self.count(1, at)?;
        let (value, anchor) = match event {
            Event::Alias(anchor) => {
                let aliased = self.anchors.get(&anchor).cloned();
                let unknown = || Fault::new("an alias within what it stands for").at(at);
                let node = aliased.ok_or_else(unknown)?;
                self.count(size(&node), at)?;
                return Ok(Node { at, ..node });
            }
            Event::Scalar(text, style, anchor, tag) => {
                let text_tag = tag.is_some_and(|tag| tag.suffix == "str");
                let plain = style == ScalarStyle::Plain && !text_tag;
                let text = text.into_owned();
                (Value::Scalar { text, plain }, anchor)
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
                (Value::List(items), anchor)
            }
            Event::MappingStart(anchor, _) => (Value::Map(self.mapping(depth)?), anchor),
            _ => return Err(Fault::new("not valid YAML here").at(at)),
        };
        let node = Node {
            value,
            at,
            secret: false,
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn mapping(&mut self, depth: usize) -> Result<Vec<(Key, Node)>, Fault> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let at = Place::of(span);
            let Event::Scalar(text, ..) = event else {
                return Err(Fault::new("a key is a text").at(at));
            };
            let key = Key {
                text: text.into_owned(),
                at,
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            if key.text == "<<" {
                match value.value {
                    Value::Map(more) => merged.extend(more),
                    _ => return Err(Fault::new("`<<` takes in a mapping").at(at)),
                }
                continue;
            }
            if let Some((first, _)) = entries.iter().find(|(it, _)| it.text == key.text) {
                let message = format!("`{}` is given twice", key.text);
                let first = format!("it stands in line {}, too", first.at.line);
                return Err(Fault::new(message).at(at).label(first));
            }
            entries.push((key, value));
        }
        for (key, value) in merged {
            if !entries.iter().any(|(it, _)| it.text == key.text) {
                entries.push((key, value));
            }
        }
        Ok(entries)
    }

    fn count(&mut self, nodes: usize, at: Place) -> Result<(), Fault> {
        self.nodes += nodes;
        if self.nodes > MOST_NODES {
            return Err(Fault::new(format!("more than {MOST_NODES} values")).at(at));
        }
        Ok(())
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar { .. } => 0,
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|(_, node)| size(node)).sum(),
    }
}
