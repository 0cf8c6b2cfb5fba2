//! The rules for names and values (CloudEvents §3.1, §3.2).

use std::cell::RefCell;

use fluent_uri::{Uri, UriRef};

use super::Str;

/// The attributes that the specification itself defines (§3.1, §3.2). No extension may have their
/// names.
pub(crate) const CORE: [&str; 8] = [
    "specversion",
    "id",
    "source",
    "type",
    "datacontenttype",
    "dataschema",
    "subject",
    "time",
];

/// What is wrong, as the end of a sentence that begins with the attribute.
pub(crate) type Check = Result<(), &'static str>;

/// Bounds of this implementation, far beyond what anybody uses. A header name must stay below
/// 64 KiB, and a header map holds some 24,000 headers.
const LONGEST_NAME: usize = 255;
const MOST_EXTENSIONS: usize = 1000;

/// A name that an extension may have (§3.1, naming conventions).
pub(crate) fn extension_name(name: &str) -> Check {
    if name.is_empty() {
        return Err("an attribute name must not be empty");
    }
    if name.len() > LONGEST_NAME {
        return Err("an attribute name must not be longer than 255 characters");
    }
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if !name.bytes().fold(true, |fits, b| fits & allowed(b)) {
        return Err("an attribute name has only the characters a-z and 0-9");
    }
    if name == "data" {
        return Err("no attribute may be named data");
    }
    if is_core(name) {
        return Err("an extension must not have the name of a core attribute");
    }
    Ok(())
}

fn is_core(name: &str) -> bool {
    matches!(
        name,
        "specversion"
            | "id"
            | "source"
            | "type"
            | "datacontenttype"
            | "dataschema"
            | "subject"
            | "time"
    )
}

pub(crate) fn extension_count(count: usize) -> Check {
    if count > MOST_EXTENSIONS {
        Err("has more than 1000 extension attributes")
    } else {
        Ok(())
    }
}

/// The type String (§3.1.1): no control characters, no noncharacters.
pub(crate) fn string(text: &str) -> Check {
    if printable_ascii(text) {
        return Ok(());
    }
    for c in text.chars() {
        if c.is_control() {
            return Err("contains a control character");
        }
        if matches!(c, '\u{fdd0}'..='\u{fdef}') || (c as u32) & 0xfffe == 0xfffe {
            return Err("contains a Unicode noncharacter");
        }
    }
    Ok(())
}

/// What almost every value is. Without an early exit, so that the loop vectorises.
fn printable_ascii(text: &str) -> bool {
    text.bytes()
        .fold(true, |fits, b| fits & (0x20..0x7f).contains(&b))
}

pub(crate) const VERSION: &str = "is not 1.0, the one version of CloudEvents that is supported";
pub(crate) const INTEGER: &str = "a number must be a whole one of 32 bits";
pub(crate) const REQUIRED: &str = "is required and must not be empty";

/// An attribute that must be there; its type's check applies.
pub(crate) fn required(text: &str, check: fn(&str) -> Check) -> Check {
    if text.is_empty() {
        Err(REQUIRED)
    } else {
        check(text)
    }
}

/// An attribute that may be absent, but not empty; its type's check applies.
pub(crate) fn optional(text: Option<&str>, check: fn(&str) -> Check) -> Check {
    match text {
        None => Ok(()),
        Some("") => Err("must not be empty"),
        Some(text) => check(text),
    }
}

/// The type URI: has a scheme. A fragment is let through, although RFC 3986 §4.3, which the
/// specification refers to, has none: schema URIs with one are common.
pub(crate) fn uri(text: &str) -> Check {
    Uri::parse(text)
        .map(drop)
        .map_err(|_| "is not an absolute URI (RFC 3986)")
}

/// The type URI-reference (RFC 3986 §4.1).
pub(crate) fn uri_reference(text: &str) -> Check {
    UriRef::parse(text)
        .map(drop)
        .map_err(|_| "is not a URI reference (RFC 3986)")
}

/// `source`. The last good one is kept: events that follow one another most often have the same,
/// and parsing it takes thirty times as long as comparing it.
pub(crate) fn source(text: &Str) -> Check {
    thread_local! {
        static LAST: RefCell<Str> = const { RefCell::new(Str::new_static("/")) };
    }
    LAST.with_borrow_mut(|last| {
        if last != text {
            required(text, uri_reference)?;
            last.clone_from(text);
        }
        Ok(())
    })
}

/// `datacontenttype`: a media type (RFC 2046), `type/subtype` and perhaps parameters. The
/// parameters are only checked for being printable ASCII, so that they can stand in a header.
pub(crate) fn media_type(text: &str) -> Check {
    const FAULT: &str = "is not a media type (RFC 2046)";
    // The usual one costs nothing.
    if text == "application/json" {
        return Ok(());
    }
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let (ty, subtype) = essence.trim_end_matches(' ').split_once('/').ok_or(FAULT)?;
    let fits = token(ty) && token(subtype) && printable_ascii(parameters);
    if fits { Ok(()) } else { Err(FAULT) }
}

fn token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_checked_whatever_came_before() {
        for _ in 0..2 {
            assert_eq!(source(&"/a#b".into()), Ok(()));
            assert_eq!(source(&"/a b".into()), uri_reference("/a b"));
            assert_eq!(source(&"".into()), Err(REQUIRED));
        }
    }

    #[test]
    fn core_names_are_found() {
        assert!(CORE.into_iter().all(is_core));
        assert!(!is_core("subjects") && !is_core("data"));
    }
}
