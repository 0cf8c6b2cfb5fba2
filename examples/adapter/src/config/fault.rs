//! What is wrong in a configuration, and where.

use std::{collections::BTreeSet, fmt};

use serde::de::Unexpected;

use super::node::{Key, Node, Place, Value};

/// A mistake in a configuration file. No value of the file is in its texts.
#[derive(Clone, Debug)]
pub struct Fault(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    message: String,
    /// What to do about it, next to the place.
    label: Option<String>,
    at: Option<Place>,
    /// The keys that lead there, outermost last while it is on its way up.
    path: Vec<String>,
    known: Vec<String>,
    /// A field that nobody knows: its value may be a secret.
    unknown: Option<String>,
    /// Something is not there: the place is that of the key above.
    missing: bool,
}

impl Fault {
    /// A mistake, and nothing yet of where it is.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            message: message.into(),
            label: None,
            at: None,
            path: Vec::new(),
            known: Vec::new(),
            unknown: None,
            missing: false,
        }))
    }

    /// Sets where it is, unless that is known more exactly.
    #[must_use]
    pub fn at(mut self, at: Place) -> Self {
        self.0.at.get_or_insert(at);
        self
    }

    /// Sets what to do about it.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.0.label = Some(label.into());
        self
    }

    /// Sets where it is within `node`: at the field that nobody knows, else at `fallback`.
    #[must_use]
    pub(super) fn within(self, node: &Node, fallback: Place) -> Self {
        if self.0.at.is_some() || self.0.missing || node.is_null() {
            return self;
        }
        let field = self.0.unknown.as_deref().and_then(|name| find(node, name));
        let at = field.map_or(fallback, |key| key.at);
        self.at(at)
    }

    /// Adds the next outer key of the way there.
    #[must_use]
    pub(crate) fn under(mut self, key: impl Into<String>) -> Self {
        self.0.path.push(key.into());
        self
    }

    /// Where a mistake is that the library has found in what `node` became: at the first setting
    /// that its message names, else at `fallback`.
    pub(crate) fn named(message: String, node: &Node, fallback: Place) -> Self {
        let lower = message.to_lowercase();
        let words: BTreeSet<&str> = lower
            .split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '.' | '-'))
            .map(|word| word.trim_matches('.'))
            .flat_map(|word| [word, word.rsplit('.').next().unwrap_or(word)])
            .collect();
        let exact = words.iter().find_map(|word| at_path(node, word));
        let at = exact.or_else(|| named_in(node, &words));
        let at = at.unwrap_or(fallback);
        Self::new(message).at(at)
    }

    /// As it is shown: the place in `file`, the line, and what to do.
    pub fn shown<'a>(&'a self, file: &'a str, text: &'a str) -> Shown<'a> {
        Shown {
            fault: self,
            file,
            text,
        }
    }

    fn suggestion(&self) -> Option<&str> {
        nearest(self.0.unknown.as_deref()?, &self.0.known)
    }
}

fn find<'a>(node: &'a Node, name: &str) -> Option<&'a Key> {
    match &node.value {
        Value::Scalar { .. } => None,
        Value::List(items) => items.iter().find_map(|item| find(item, name)),
        Value::Map(entries) => {
            let here = entries.iter().find(|(key, _)| key.text == name);
            let here = here.map(|(key, _)| key);
            here.or_else(|| entries.iter().find_map(|(_, node)| find(node, name)))
        }
    }
}

/// Where `retry.attempts` stands, say.
fn at_path(node: &Node, path: &str) -> Option<Place> {
    let (outer, last) = path.rsplit_once('.')?;
    let parent = outer.split('.').try_fold(node, |node, key| node.get(key))?;
    parent.entry(last).map(|(key, _)| key.at)
}

fn named_in(node: &Node, words: &BTreeSet<&str>) -> Option<Place> {
    match &node.value {
        Value::Scalar { .. } => None,
        Value::List(items) => items.iter().find_map(|item| named_in(item, words)),
        // What is further in is more exact.
        Value::Map(entries) => entries
            .iter()
            .find_map(|(_, node)| named_in(node, words))
            .or_else(|| {
                let here = entries
                    .iter()
                    .find(|(key, _)| words.contains(key.text.as_str()));
                here.map(|(key, _)| key.at)
            }),
    }
}

/// The name among `known` that was probably meant.
fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_', '.'], "");
    let wanted = plain(name);
    let likeness = |known: &&String| strsim::jaro_winkler(&wanted, &plain(known));
    let best = known
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) > 0.84).then_some(best.as_str())
}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        let expected = plainly(expected);
        let quotes = match (expected.as_str(), &found) {
            ("a text", Unexpected::Seq | Unexpected::Map | Unexpected::Unit) => "",
            ("a text", _) => ": put it in quotes",
            _ => "",
        };
        Self::new(format!(
            "expected {expected}, found {}{quotes}",
            kind(found)
        ))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::new(format!("expected {}", plainly(expected)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let known: Vec<_> = expected.iter().map(|&name| name.to_owned()).collect();
        let fault = Self::new(format!("expected one of {}", expected.join(", ")));
        match nearest(variant, &known) {
            Some(meant) => fault.label(format!("did you mean `{meant}`?")),
            None => fault,
        }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let mut fault = Self::new(format!("unknown field `{field}`"));
        fault.0.known = expected.iter().map(|&name| name.to_owned()).collect();
        fault.0.unknown = Some(field.to_owned());
        fault.0.label = fault.suggestion().map(|it| format!("did you mean `{it}`?"));
        fault
    }

    fn missing_field(field: &'static str) -> Self {
        let mut fault = Self::new(format!("`{field}` is missing here"));
        fault.0.missing = true;
        fault
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("`{field}` is given twice"))
    }
}

fn kind(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
        Unexpected::Str(_) | Unexpected::Char(_) => "a text",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a mapping",
        _ => "something else",
    }
}

/// What serde calls by the names of Rust's types.
fn plainly(expected: &dyn serde::de::Expected) -> String {
    let text = expected.to_string();
    let plain = match text.as_str() {
        "usize" | "u64" | "u32" => "a whole number",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "a text",
        "a sequence" => "a list",
        "a map" => "a mapping",
        text if text.starts_with("struct ") => "a mapping",
        _ => return text,
    };
    plain.to_owned()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Fault {}

/// A [`Fault`] with its place in the file.
#[derive(Debug)]
pub struct Shown<'a> {
    fault: &'a Fault,
    file: &'a str,
    text: &'a str,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            message,
            label,
            at,
            path,
            known,
            unknown,
            missing: _,
        } = &*self.fault.0;
        writeln!(f, "error: {message}")?;
        let Some(Place {
            line,
            column,
            width,
        }) = *at
        else {
            return write!(f, "  --> {}", self.file);
        };
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "{gutter} --> {}:{line}:{column}", self.file)?;
        if let Some(text) = self.text.lines().nth(line.saturating_sub(1)) {
            let hide = path.iter().any(|key| key == "headers" || is_secret(key));
            let begin: String = text.chars().take(column - 1).collect();
            let (before, shown) = match unknown {
                _ if hide => (begin, hidden(text)),
                // What stands behind a name that nobody knows may be anything.
                Some(_) => {
                    let known: String = text.chars().take(column + width).collect();
                    let rest = text.chars().skip(column + width);
                    let more = rest.into_iter().any(|c| !c.is_whitespace());
                    let known = masked(&known) + if more { " ..." } else { "" };
                    (masked(&begin), known)
                }
                None => (masked(&begin), masked(text)),
            };
            let before = " ".repeat(before.chars().count());
            let left = shown.chars().count().saturating_sub(before.len());
            let mark = "^".repeat(width.min(left).max(1));
            writeln!(f, "{gutter} |")?;
            writeln!(f, "{number} | {shown}")?;
            write!(f, "{gutter} | {before}{mark}")?;
            match label {
                Some(label) => writeln!(f, " {label}")?,
                None => writeln!(f)?,
            }
        }
        if !path.is_empty() {
            let path: Vec<_> = path.iter().rev().map(String::as_str).collect();
            writeln!(f, "{gutter} = in {}", path.join("."))?;
        }
        if !known.is_empty() {
            writeln!(f, "{gutter} = known here: {}", known.join(", "))?;
        }
        Ok(())
    }
}

/// Words in the names of settings and variables whose values are not shown.
const SECRET: [&str; 8] = [
    "passw",
    "secret",
    "token",
    "access_key",
    "auth",
    "credential",
    "pem",
    "private",
];

/// Whether what has this name may be a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    name.ends_with("key") || SECRET.iter().any(|word| name.contains(word))
}

/// A line of the file of which all but its first key may be a secret.
fn hidden(line: &str) -> String {
    let key = line.find(':').map_or(0, |colon| colon + 1);
    let indent = line.len() - line.trim_start().len();
    let gap = if key > 0 { " " } else { "" };
    format!("{}{gap}...", &line[..key.max(indent)])
}

/// A line of the file without what may be a secret in it: the values of names that sound like one.
fn masked(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(colon) = rest.find(':') {
        let (before, after) = rest.split_at(colon + 1);
        out.push_str(before);
        let name = before
            .trim_end_matches(':')
            .rsplit(['{', ',', ' ', '[', '"', '\''])
            .find(|part| !part.is_empty());
        let end = after.find([',', '}']).unwrap_or(after.len());
        let value = &after[..end];
        let opens = value.trim_start().starts_with(['{', '[', '&']);
        if value.trim().is_empty() || opens || !name.is_some_and(is_secret) {
            rest = after;
            continue;
        }
        out.push_str(" ...");
        // In quotes a comma may be part of the secret.
        rest = match value.trim_start().starts_with(['"', '\'']) || !line.contains('{') {
            true => "",
            false => &after[end..],
        };
    }
    out.push_str(rest);
    without_login(&out)
}

/// Without what URLs hold of users, passwords and queries.
fn without_login(line: &str) -> String {
    let (mut out, mut rest) = (String::new(), line);
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(['"', '\'', ' ', ',', '}']);
        let (url, left) = after.split_at(end.unwrap_or(after.len()));
        let host = url.rsplit_once('@').map_or(url, |(_, host)| host);
        out.push_str(if host.len() < url.len() { "...@" } else { "" });
        let path = host.split_once('?').map_or(host, |(path, _)| path);
        out.push_str(path);
        out.push_str(if path.len() < host.len() { "?..." } else { "" });
        rest = left;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_shown_without_secrets() {
        for (line, shown) in [
            ("  password: hunter2", "  password: ..."),
            ("  topics: [a, b]", "  topics: [a, b]"),
            (
                "  {user: a, password: hunter2, x: 1}",
                "  {user: a, password: ..., x: 1}",
            ),
            (
                "  {user: a, password: \"hun,ter2\"}",
                "  {user: a, password: ...",
            ),
            ("  token: a, b", "  token: ..."),
            ("  authorization: Bearer abc", "  authorization: ..."),
            ("  url: http://a:80/", "  url: http://a:80/"),
            (
                "  url: \"http://u:hunter2@a:80/x?code=hunter2\" # so",
                "  url: \"http://...@a:80/x?...\" # so",
            ),
        ] {
            assert_eq!(masked(line), shown);
        }
        assert_eq!(hidden("  x-team: [hunter2]"), "  x-team: ...");
        assert_eq!(hidden("  - hunter2"), "  ...");
    }

    #[test]
    fn the_name_that_was_meant_is_found() {
        let known = ["bootstrap_servers", "group", "topics", "session_timeout"].map(str::to_owned);
        for (name, meant) in [
            ("topic", Some("topics")),
            ("bootstrapServers", Some("bootstrap_servers")),
            ("session.timeout", Some("session_timeout")),
            ("colour", None),
        ] {
            assert_eq!(nearest(name, &known), meant, "{name}");
        }
    }
}
