use super::*;

const URL: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders";
const ARN: &str = "arn:aws:sqs:eu-west-1:123456789012:orders";

fn attributes(pairs: &[(QueueAttributeName, &str)]) -> HashMap<QueueAttributeName, String> {
    let pairs = pairs.iter().cloned();
    pairs
        .map(|(name, value)| (name, value.to_owned()))
        .collect()
}

#[test]
fn a_queue_is_what_its_attributes_say() {
    let attributes = attributes(&[
        (QueueAttributeName::VisibilityTimeout, "45"),
        (QueueAttributeName::FifoQueue, "true"),
        (QueueAttributeName::QueueArn, ARN),
    ]);
    let facts = judge(&SqsConfig::new(URL), Some(&attributes)).unwrap();
    let lease = Duration::from_secs(45);
    assert_eq!((facts.fifo, facts.lease), (true, lease));
    assert_eq!((facts.visibility, &*facts.source), (None, ARN));
}

#[test]
fn the_configuration_has_the_last_word() {
    let attributes = attributes(&[
        (QueueAttributeName::VisibilityTimeout, "0"),
        (QueueAttributeName::QueueArn, ARN),
    ]);
    let minute = Duration::from_secs(60);
    let event = crate::EventConfig::new().with_source("/orders");
    let config = SqsConfig::new(URL)
        .with_visibility(minute)
        .with_event(event);
    let facts = judge(&config, Some(&attributes)).unwrap();
    assert_eq!((facts.lease, facts.visibility), (minute, Some(minute)));
    assert_eq!((facts.fifo, &*facts.source), (false, "/orders"));
}

#[test]
fn what_may_not_be_read_is_assumed_and_made_so() {
    let assumed = Duration::from_secs(30);
    let config = SqsConfig::new(format!("{URL}.fifo"));
    let facts = judge(&config, None).unwrap();
    assert_eq!((facts.lease, facts.visibility), (assumed, Some(assumed)));
    assert!(facts.fifo);
    assert_eq!(facts.source, config.queue_url);
}

#[test]
fn a_queue_that_can_not_work_is_refused() {
    let zero = attributes(&[(QueueAttributeName::VisibilityTimeout, "0")]);
    let error = judge(&SqsConfig::new(URL), Some(&zero)).unwrap_err();
    assert!(error.to_string().contains("set visibility"), "{error}");
    let arn = attributes(&[(QueueAttributeName::QueueArn, "not a URI")]);
    let error = judge(&SqsConfig::new(URL), Some(&arn)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn only_a_missing_permission_is_one() {
    assert!(may_not(Some("AccessDenied")));
    assert!(may_not(Some(
        "com.amazon.coral.service#AccessDeniedException"
    )));
    assert!(!may_not(Some("InvalidClientTokenId")));
    assert!(!may_not(None));
}
