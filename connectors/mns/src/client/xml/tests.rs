use eventlane_testkit::growth::assert_linear;
use proptest::{collection::vec, prelude::*, string::string_regex};

use super::*;

fn parse(document: &str) -> Result<Element, Malformed> {
    Element::parse(document.as_bytes())
}

#[test]
fn names_are_local() {
    let document = r#"<?xml version="1.0"?><!DOCTYPE x><m:Messages xmlns:m="http://mns.aliyuncs.com/doc/v1" a="1">
        <!-- note --><m:Message><MessageId> 5F29 </MessageId><New><Deep/></New></m:Message><Message/></m:Messages>"#;
    let root = parse(document).unwrap();
    assert_eq!(root.name(), "Messages");
    assert_eq!(root.all("Message").count(), 2);
    let first = root.child("Message").unwrap();
    assert_eq!(first.value("MessageId"), Some("5F29"));
    assert_eq!(first.text_of("MessageId"), Some(" 5F29 "));
    assert_eq!(first.value("Missing"), None);
}

#[test]
fn nothing_is_an_answer() {
    for empty in [
        "<Messages/>",
        "<Messages></Messages>",
        "<Messages> </Messages>",
    ] {
        let root = parse(empty).unwrap();
        assert_eq!((root.name(), root.all("Message").count()), ("Messages", 0));
    }
}

#[test]
fn text_is_taken_to_the_letter() {
    let body = |document: &str| {
        let root = parse(&format!("<M><B>{document}</B></M>")).unwrap();
        root.text_of("B").unwrap().to_owned()
    };
    assert_eq!(body("&lt;a&gt; &amp;&quot;&apos;"), "<a> &\"'");
    assert_eq!(body("a&#10;b&#xD;c&#x4e2d;"), "a\nb\rc中");
    assert_eq!(body(" \t\r\n a \n"), " \t\r\n a \n");
    assert_eq!(body("x<![CDATA[<&]]>&amp;y<!-- no -->z"), "x<&&yz");
    // What an XML processor would refuse.
    assert_eq!(
        body("&unknown; &#0; &#xD800; &#x1;"),
        "&unknown; &#0; &#xD800; \u{1}"
    );
    assert_eq!(body("a & b"), "a & b");
    assert_eq!(body("]]>"), "]]>");
}

#[test]
fn numbers_are_text() {
    let root = parse("<M><A> 8 </A><B>x</B><C/><D>99999999999999999999</D><E>-1</E></M>").unwrap();
    assert_eq!(root.number::<u32>("A"), Some(8));
    for name in ["B", "C", "D", "E", "F"] {
        assert_eq!(root.number::<u32>(name), None, "{name}");
    }
}

#[test]
fn what_is_broken_is_an_error() {
    for document in [
        "",
        " ",
        "text",
        "<",
        "<a",
        "<a>",
        "<a></b>",
        "</a>",
        "<a/><b/>",
        "<a>&#xD</a",
        "<a><![CDATA[",
        "<!--",
        "{\"json\": true}",
    ] {
        assert!(parse(document).is_err(), "{document}");
    }
}

#[test]
fn neither_depth_nor_number_is_unbounded() {
    let deep = |levels: usize| format!("{}{}", "<a>".repeat(levels), "</a>".repeat(levels));
    assert!(parse(&deep(DEEPEST)).is_ok());
    assert!(parse(&deep(DEEPEST + 1)).is_err());
    assert!(parse(&"<a>".repeat(1_000_000)).is_err());
    let wide = |many: usize| format!("<a>{}</a>", "<b/>".repeat(many));
    assert!(parse(&wide(MOST - 1)).is_ok());
    assert!(parse(&wide(MOST)).is_err());
}

#[test]
fn time_grows_with_the_document_and_no_faster() {
    for piece in [
        "&",
        "&amp;",
        "&#x41;",
        "&unknown;",
        "&#9999999999;",
        "<b/>",
        "<b>x</b>",
        "<b a='1' c='2'/>",
        "<![CDATA[x]]>",
        "<!-- x -->",
        "<!--",
        "<?x?>",
        "<!DOCTYPE [",
        "<![CDATA[",
        "</",
        "<",
        ">",
        "]]>",
        " ",
        "\u{e9}",
    ] {
        let make = |parts: usize| format!("<a>{}</a>", piece.repeat(parts));
        assert_linear(piece, 3_000, make, |document| parse(document));
        let make = |parts: usize| format!("<a>{}", piece.repeat(parts));
        assert_linear(piece, 3_000, make, |document| parse(document));
    }
    let make = |parts: usize| format!("<{0}>x</{0}>", "a".repeat(10 * parts));
    assert_linear("a long name", 3_000, make, |document| parse(document));
    let make = |parts: usize| format!("<a {}/>", "b='1' ".repeat(parts));
    assert_linear("attributes", 3_000, make, |document| parse(document));
    let make = |parts: usize| [b"<a>", &b"\xff".repeat(parts)[..], b"</a>"].concat();
    assert_linear("bytes that are not UTF-8", 3_000, make, |bytes| {
        Element::parse(bytes)
    });
}

#[test]
fn bytes_that_are_not_utf_8_are_replaced() {
    let root = Element::parse(b"\xef\xbb\xbf<a><b>x\xffy</b></a>").unwrap();
    assert_eq!(root.text_of("b"), Some("x\u{fffd}y"));
}

#[test]
fn xml_can_not_carry_everything() {
    assert!(carries("plain\t\r\n中\u{fffd}\u{1f600}\u{7f}"));
    for text in ["\0", "a\u{b}", "\u{1b}", "\u{ffff}", "\u{fffe}"] {
        assert!(!carries(text), "{text:?}");
    }
}

/// Elements as a writer could have been given them.
fn tree() -> impl Strategy<Value = Element> {
    let name = string_regex("[A-Za-z_][A-Za-z0-9_.-]{0,8}")
        .unwrap()
        .boxed();
    let text = any::<String>().prop_filter("XML carries it", |text| carries(text));
    let leaf = (name.clone(), text).prop_map(|(name, text)| Element {
        name,
        text,
        children: Vec::new(),
    });
    leaf.prop_recursive(3, 24, 6, move |inner| {
        (name.clone(), vec(inner, 1..6)).prop_map(|(name, children)| Element {
            name,
            text: String::new(),
            children,
        })
    })
}

fn write(element: &Element, to: &mut Writer) {
    if element.children.is_empty() {
        return to.element(&element.name, &element.text);
    }
    to.open(&element.name);
    for child in &element.children {
        write(child, to);
    }
    to.close(&element.name);
}

proptest! {
    #[test]
    fn what_is_written_is_read(tree in tree()) {
        let mut writer = Writer::new("Root");
        write(&tree, &mut writer);
        let root = parse(&writer.finish("Root")).unwrap();
        prop_assert_eq!(&root.children, &[tree]);
    }

    #[test]
    fn bytes_never_panic(bytes in vec(any::<u8>(), 0..512)) {
        drop(Element::parse(&bytes));
    }

    #[test]
    fn markup_never_panics(text in "(<|>|/|&|;|#|x|!|-|\\[|CDATA|\\]|\\?|\"|a|[0-9]| ){0,80}") {
        drop(parse(&text));
    }

    #[test]
    fn a_message_that_is_cut_short_is_an_error(cut in 1..200_usize) {
        let whole = format!("<Message><MessageBody>{}</MessageBody></Message>", "&lt;".repeat(40));
        let end = whole.len() - cut.min(whole.len());
        prop_assert!(parse(&whole[..end]).is_err());
    }
}
