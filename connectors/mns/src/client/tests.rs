use eventlane_testkit::growth::assert_linear;
use proptest::{collection::vec, prelude::*};

use super::*;

fn refusal(document: &str) -> Refusal {
    let document = Element::parse(document.as_bytes()).ok();
    let error = document.as_ref().filter(|root| root.name() == "Error");
    Refusal {
        operation: "delete messages",
        status: 404,
        code: error
            .and_then(|error| error.value("Code"))
            .unwrap_or_default()
            .to_owned(),
        document,
        ..Refusal::default()
    }
}

fn kinds(document: &str) -> Result<Vec<Option<ErrorKind>>> {
    let handles = ["a==", "b<&", "c"].map(ReceiptHandle::from);
    let results = partial(refusal(document), &handles)?;
    let kind = |result: Result<()>| result.err().map(|error| error.kind());
    Ok(results.into_iter().map(kind).collect())
}

#[test]
fn those_that_are_listed_failed() {
    let document = r#"<Errors xmlns="http://mns.aliyuncs.com/doc/v1/">
        <Error><ErrorCode>ReceiptHandleError</ErrorCode><ErrorMessage>x</ErrorMessage><ReceiptHandle>b&lt;&amp;</ReceiptHandle></Error>
        <Error><ErrorCode>InternalError</ErrorCode><ReceiptHandle> c </ReceiptHandle></Error></Errors>"#;
    assert_eq!(
        kinds(document).unwrap(),
        [None, Some(ErrorKind::Fenced), Some(ErrorKind::Unavailable)]
    );
}

#[test]
fn nothing_counts_as_deleted_that_may_not_be() {
    let strange = "<Errors><Error><ErrorCode>ReceiptHandleError</ErrorCode><ReceiptHandle>b&lt;&amp;</ReceiptHandle></Error>\
        <Error><ErrorCode>InternalError</ErrorCode></Error></Errors>";
    let unknown = Some(ErrorKind::Unavailable);
    assert_eq!(
        kinds(strange).unwrap(),
        [unknown, Some(ErrorKind::Fenced), unknown]
    );
    for nothing in ["<Errors/>", "<Other/>", ""] {
        assert!(kinds(nothing).is_err(), "{nothing}");
    }
}

#[test]
fn one_error_may_be_about_them_all() {
    let fenced = Some(ErrorKind::Fenced);
    assert_eq!(
        kinds("<Error><Code>MessageNotExist</Code></Error>").unwrap(),
        [fenced; 3]
    );
    let error = kinds("<Error><Code>QueueNotExist</Code></Error>").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn parts_of_seconds_are_rounded_up() {
    for (millis, whole) in [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2)] {
        assert_eq!(seconds(Duration::from_millis(millis)), whole);
    }
}

/// A server can list as many failures as an answer has room for.
#[test]
fn a_long_list_of_failures_takes_linear_time() {
    for handle in ["a==", "other"] {
        let make = |parts| {
            let entry = format!("<Error><ReceiptHandle>{handle}</ReceiptHandle></Error>");
            format!("<Errors>{}</Errors>", entry.repeat(parts))
        };
        assert_linear(handle, 500, make, |document| kinds(document));
    }
}

proptest! {
    #[test]
    fn any_list_of_failures_has_a_result_for_each(
        entries in vec(("(a==|b&lt;&amp;|c|[a-z<>/]{0,3})", "(ReceiptHandleError|InternalError|[A-Z]{0,3}|&|<a/>)"), 0..8),
    ) {
        let entry = |(handle, code): &(String, String)| {
            format!("<Error><ErrorCode>{code}</ErrorCode><ReceiptHandle>{handle}</ReceiptHandle></Error>")
        };
        let entries: String = entries.iter().map(entry).collect();
        if let Ok(results) = kinds(&format!("<Errors>{entries}</Errors>")) {
            prop_assert_eq!(results.len(), 3);
        }
    }
}
