//! What a `datacontenttype` says about how data is written in the JSON format (§3.1 there).

/// `type/subtype` without parameters.
fn essence(media_type: &str) -> Option<(&str, &str)> {
    let essence = media_type.split(';').next()?.trim();
    essence.split_once('/')
}

fn ends_with_ignore_case(text: &str, suffix: &str) -> bool {
    text.len()
        .checked_sub(suffix.len())
        .and_then(|at| text.get(at..))
        .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

/// A "JSON content type": `*/json` or `*/*+json`. Absent counts as JSON.
pub(crate) fn is_json(media_type: Option<&str>) -> bool {
    let Some(media_type) = media_type else {
        return true;
    };
    essence(media_type).is_some_and(|(_, subtype)| {
        subtype.eq_ignore_ascii_case("json") || ends_with_ignore_case(subtype, "+json")
    })
}

/// A type whose content is text in UTF-8: `text/*`, XML, and no other charset declared.
pub(crate) fn is_text(media_type: &str) -> bool {
    essence(media_type).is_some_and(|(ty, subtype)| {
        ty.eq_ignore_ascii_case("text")
            || subtype.eq_ignore_ascii_case("xml")
            || ends_with_ignore_case(subtype, "+xml")
    }) && charset(media_type)
        .is_none_or(|set| set.eq_ignore_ascii_case("utf-8") || set.eq_ignore_ascii_case("us-ascii"))
}

/// The parameter `charset`, without quotes.
fn charset(media_type: &str) -> Option<&str> {
    media_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches('"'))
    })
}

pub(crate) fn starts_with_ignore_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// What a message's content type says about it (HTTP §3, Kafka §3.2): batched is tested first,
/// since its type begins like the structured one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Envelope {
    Batch,
    Structured,
    /// An event format other than JSON.
    Unknown,
    None,
}

pub(crate) const UNKNOWN_FORMAT: &str = "an event format other than JSON is not supported";

pub(crate) fn envelope(content_type: &str) -> Envelope {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let suffix =
        |prefix: &str| starts_with_ignore_case(essence, prefix).then(|| &essence[prefix.len()..]);
    let json = |format: &str| format.is_empty() || format.eq_ignore_ascii_case("+json");
    if let Some(format) = suffix("application/cloudevents-batch") {
        if json(format) {
            Envelope::Batch
        } else {
            Envelope::Unknown
        }
    } else if let Some(format) = suffix("application/cloudevents") {
        if json(format) {
            Envelope::Structured
        } else {
            Envelope::Unknown
        }
    } else {
        Envelope::None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_by_subtype_or_suffix_without_parameters_in_any_case() {
        for yes in [
            "application/json",
            "Application/JSON",
            "text/json; charset=utf-8",
            "application/vnd.x+json; charset=utf-8",
            "image/x+JSON",
            "application/json ;a=b",
        ] {
            assert!(is_json(Some(yes)), "{yes}");
        }
        for no in [
            "application/jsonl",
            "application/x-json",
            "json",
            "",
            "text/plain; a=x/json",
        ] {
            assert!(!is_json(Some(no)), "{no}");
        }
        assert!(is_json(None));
    }

    #[test]
    fn text_by_type_or_xml_unless_of_another_charset() {
        for yes in [
            "text/plain",
            "TEXT/CSV",
            "application/xml",
            "image/svg+xml; charset=\"UTF-8\"",
        ] {
            assert!(is_text(yes), "{yes}");
        }
        for no in [
            "text/plain;charset=iso-8859-1",
            "application/octet-stream",
            "application/xmlx",
            "",
        ] {
            assert!(!is_text(no), "{no}");
        }
    }

    #[test]
    fn batched_is_tested_before_structured() {
        for (content_type, expected) in [
            ("application/cloudevents-batch+json", Envelope::Batch),
            (
                "Application/CloudEvents-Batch+JSON; charset=utf-8",
                Envelope::Batch,
            ),
            ("application/cloudevents-batch+avro", Envelope::Unknown),
            ("application/cloudevents+json", Envelope::Structured),
            (
                "APPLICATION/CLOUDEVENTS+JSON;charset=utf-8",
                Envelope::Structured,
            ),
            ("application/cloudevents", Envelope::Structured),
            ("application/cloudevents+avro", Envelope::Unknown),
            ("application/cloudeventsx", Envelope::Unknown),
            ("application/json", Envelope::None),
            ("x application/cloudevents+json", Envelope::None),
            ("applicatioń/cloudevents", Envelope::None),
            ("", Envelope::None),
        ] {
            assert_eq!(envelope(content_type), expected, "{content_type}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_of_some_type(
            text in "(?i)(application/cloudevents(-batch)?|[a-zé/+ ]{0,12})([+;/= \"]|json|xml|charset|é){0,8}|(?s).{0,40}",
        ) {
            let kind = envelope(&text);
            let cased = envelope(&text.to_ascii_uppercase());
            prop_assert_eq!(kind, cased);
            prop_assert!(!(is_json(Some(&text)) && is_text(&text)) || text.to_ascii_lowercase().contains("text/"));
            is_text(&text);
        }
    }
}
