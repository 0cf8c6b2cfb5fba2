//! Handles: what the fake has to get wrong, and what is made of it.

use super::*;

/// Three messages, the last of which was extended.
async fn extended(fake: &Fake, mends: bool) -> (Consumer, Vec<ReceivedMessage>) {
    // What is made a dead letter by mistake.
    put(fake, 100..101);
    let consumer = Consumer::connect(&config(fake).with_mend_handles(mends)).await;
    let consumer = consumer.unwrap();
    ack(&consumer, &receive(&consumer, 1).await).await;
    put(fake, 0..3);
    let mut messages = receive(&consumer, 3).await;
    let last = messages.last_mut().unwrap();
    let handle = consumer.change_invisible(&last.handle, LEASE, false).await;
    last.handle = handle.unwrap();
    (consumer, messages)
}

#[tokio::test]
async fn unmended_handles_of_local_mode_do_harm() {
    for (local, mends, harm) in [
        (true, false, true),
        (true, true, false),
        (false, false, false),
    ] {
        let options = FakeOptions {
            local,
            ..FakeOptions::default()
        };
        let fake = start(false, options);
        let (consumer, messages) = extended(&fake, mends).await;
        ack(&consumer, &messages).await;
        assert_eq!(fake.left("g", "t"), usize::from(harm), "{local} {mends}");

        let fake = start(false, options);
        let (consumer, messages) = extended(&fake, mends).await;
        let last = &messages[2];
        consumer.dead_letter(&last.handle).await.unwrap();
        let expected = if harm { "100".to_owned() } else { body(last) };
        assert_eq!(fake.dead("g"), [expected], "{local} {mends}");
    }
}

#[tokio::test]
async fn dead_handles_are_taken_without_a_word() {
    let fake = normal();
    let consumer = consumer(&fake).await;
    put(&fake, 0..1);
    let [message] = receive(&consumer, 1).await.try_into().unwrap();
    let change = async |handle| consumer.change_invisible(handle, LEASE, false).await;
    let newer = change(&message.handle).await.unwrap();
    // Replaced: no effect.
    ack(&consumer, std::slice::from_ref(&message)).await;
    assert_eq!(fake.left("g", "t"), 1);
    // Replaced, and changed: two leases.
    let other = change(&message.handle).await.unwrap();
    assert_eq!(fake.left("g", "t"), 2);
    for handle in [&newer, &newer, &other] {
        consumer.ack(std::slice::from_ref(handle)).await.unwrap()[0]
            .as_ref()
            .unwrap();
    }
    assert_eq!(fake.left("g", "t"), 0);
    // Acknowledged, and changed: it lives again.
    change(&other).await.unwrap();
    assert_eq!(fake.left("g", "t"), 1);
}
