use super::*;

fn refused(code: i32, message: &str) -> Failure {
    let message = message.to_owned();
    Failure::refused("test", &pb::Status { code, message })
}

#[test]
fn the_table_is_sorted() {
    assert!(CODES.is_sorted_by(|one, next| one.0 < next.0));
}

#[test]
fn every_code_has_its_kind() {
    let kinds = [
        (
            Config,
            &[40001, 40002, 40003, 40010, 40011, 40014, 40018][..],
        ),
        (Config, &[40400, 40402, 40403, 50100, 50500]),
        (Rejected, &[40000, 40004, 40005, 40006, 40007, 40008, 40009]),
        (Rejected, &[40012, 40016, 40019, 41300, 41301, 41302, 43100]),
        (Rejected, &[43101, 41399, 44444]),
        (Fenced, &[40013, 40401]),
        (Unauthorized, &[40100, 40101, 40200, 40300, 40399]),
        (Unavailable, &[40015, 40800, 50001, 50002, 50400, 50401]),
        (Unavailable, &[50402, 59999]),
        (Throttled, &[42900, 42999]),
        (
            Unexpected,
            &[0, -1, i32::MIN, i32::MAX, 12345, 40017, 42800],
        ),
    ];
    for (kind, codes) in kinds {
        for code in codes {
            assert_eq!(refused(*code, "").kind, kind, "{code}");
        }
    }
    for (code, ..) in CODES {
        let listed = kinds.iter().any(|(_, codes)| codes.contains(code));
        assert!(listed, "{code} is not tested");
    }
}

#[test]
fn only_the_first_start_believes_what_restarts_say() {
    for (code, _, _) in CODES {
        let first = refused(*code, "");
        let later = first.clone().since_start();
        match code {
            40003 | 40014 | 40402 => {
                assert_eq!((first.kind, later.kind), (Config, Unavailable), "{code}");
            }
            _ => assert_eq!(first.kind, later.kind, "{code}"),
        }
    }
    let unknown_group = tonic::Status::invalid_argument("group not found");
    let first = Failure::rpc("test", &unknown_group);
    assert_eq!(first.kind, Config);
    assert_eq!(first.since_start().kind, Unavailable);
}

#[test]
fn a_bad_filter_is_known_by_what_is_said() {
    let filter = refused(50001, "parse the consumer's subscription failed, group: G");
    assert_eq!(filter.since_start().kind, Config);
    assert_eq!(refused(50001, "a NullPointerException").kind, Unavailable);
}

#[test]
fn a_broker_that_the_proxy_does_not_find_ends_no_lease() {
    let prefix = "org.apache.rocketmq.proxy.common.ProxyException:";
    let away = refused(40013, &format!("{prefix} cannot find broker broker-a"));
    assert_eq!(away.kind, Unavailable);
    let over = refused(40013, &format!("{prefix} receipt handle is expired"));
    assert_eq!(over.kind, Fenced);
}

#[test]
fn forgotten_settings_are_sent_again() {
    assert!(refused(40015, "").needs_settings());
    let race = "Cannot invoke \"Settings.getSubscription()\" because \"settings\" is null";
    assert!(refused(50001, race).needs_settings());
    assert!(!refused(50001, "disk full").needs_settings());
    assert!(!refused(40402, "settings null").needs_settings());
}

#[test]
fn errors_are_one_line() {
    let error = Error::from(refused(40402, "no topic\nroute \u{7}info"));
    assert_eq!(error.kind(), Config);
    assert_eq!(
        error.to_string(),
        "test: no topic route info; create the topic, or correct its name (code: 40402)",
    );
    let long = Error::from(refused(1, &"x ".repeat(100_000))).to_string();
    assert!(long.len() < 400 && !long.contains('\n'), "{long}");
    let silent = Error::from(refused(50001, "")).to_string();
    assert!(silent.contains("without a reason"), "{silent}");
    let rpc = Failure::rpc("test", &tonic::Status::unavailable(""));
    assert_eq!(Error::from(rpc).to_string(), "test: Unavailable");
}
