//! FIFO groups.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use eventlane::{Event, Pipeline, Retry, sink::FunctionSink};
use eventlane_rocketmq::{RocketMqQueue, client::OutgoingMessage};
use eventlane_testkit::rocketmq::TopicType;

use crate::support::{Is, SECOND, Topic, ack, body, dead_letters, on_both, receive};

on_both! {
    a_queue_waits_for_what_is_on_lease
    order_holds_when_a_batch_is_given_back
    a_poisoned_message_goes_to_the_brokers_dead_letters_alone
}

async fn a_queue_waits_for_what_is_on_lease(is: Is) {
    let Some(server) = is.shared() else { return };
    let topic = Topic::create(&server, TopicType::Fifo, 1, 16).await;
    let consumer = topic.consumer().await;
    assert!(consumer.settings().fifo);
    for number in 0..3 {
        let group = format!("g{}", number % 2);
        topic
            .send(OutgoingMessage::new(number.to_string()).with_group(group))
            .await;
    }
    let first = consumer.receive(2, server.wait()).await.unwrap();
    assert_eq!(first.iter().map(body).collect::<Vec<_>>(), ["0", "1"]);
    assert_eq!(first[1].message_group.as_deref(), Some("g1"));
    assert!(
        consumer
            .receive(32, server.wait())
            .await
            .unwrap()
            .is_empty()
    );
    ack(&consumer, &first).await;
    let next = receive(&consumer, 1).await;
    assert_eq!(body(&next[0]), "2");
    ack(&consumer, &next).await;
}

async fn order_holds_when_a_batch_is_given_back(is: Is) {
    let Some(server) = is.shared() else { return };
    let topic = Topic::create(&server, TopicType::Fifo, 2, 16).await;
    let consumer = topic.consumer().await;
    for number in 0..20 {
        let group = format!("g{}", number % 4);
        topic
            .send(OutgoingMessage::new(number.to_string()).with_group(group))
            .await;
    }
    let mut taken: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    let mut given_back = false;
    while taken.values().map(Vec::len).sum::<usize>() < 20 {
        let messages = receive(&consumer, 1).await;
        if !given_back {
            given_back = true;
            for message in &messages {
                let changed = consumer
                    .change_invisible(&message.handle, SECOND, false)
                    .await;
                changed.unwrap();
            }
            continue;
        }
        for message in &messages {
            let group = message.message_group.clone().unwrap();
            taken
                .entry(group)
                .or_default()
                .push(body(message).parse().unwrap());
        }
        ack(&consumer, &messages).await;
    }
    assert_eq!(taken.len(), 4);
    for (group, numbers) in taken {
        assert!(
            numbers.is_sorted_by(|one, next| one < next),
            "{group}: {numbers:?}"
        );
    }
}

/// The broker, left alone, would take the innocent ones of its batch along.
async fn a_poisoned_message_goes_to_the_brokers_dead_letters_alone(is: Is) {
    let Some(server) = is.shared() else { return };
    let topic = Topic::create(&server, TopicType::Fifo, 1, 16).await;
    for number in 0..12 {
        let group = format!("g{}", number % 3);
        topic
            .send(OutgoingMessage::new(number.to_string()).with_group(group))
            .await;
    }
    let taken = Arc::new(Mutex::new(Vec::<u32>::new()));
    let sink = {
        let taken = Arc::clone(&taken);
        FunctionSink::new(move |event: Event| {
            let text = event.data().unwrap().as_bytes().to_vec();
            let number = String::from_utf8(text).unwrap().parse().unwrap();
            let outcome = match number {
                4 => Err("poison"),
                _ => {
                    taken.lock().unwrap().push(number);
                    Ok(())
                }
            };
            async move { outcome }
        })
    };
    let queue = RocketMqQueue::connect(topic.config()).await.unwrap();
    let source = queue.into_source();
    let letters = source.dead_letters();
    let retry = Retry::default().with_attempts(2);
    let pipeline = Pipeline::new(source, sink)
        .with_retry(retry.with_delays(SECOND / 20, SECOND / 20))
        .with_dead_letter(letters)
        .with_idle_timeout(server.time(3 * SECOND));
    let report = pipeline.run().await.unwrap();
    assert_eq!(
        (report.delivered, report.dead_lettered, report.redelivered),
        (11, 1, 0),
        "{report}"
    );
    let letters = dead_letters(&topic, 1).await;
    assert_eq!((letters.len(), body(&letters[0])), (1, "4".to_owned()));
    for group in 0..3 {
        let mut taken = taken.lock().unwrap().clone();
        taken.retain(|number| number % 3 == group);
        assert!(taken.is_sorted(), "{taken:?}");
    }
    // It was done with that: nothing comes again.
    let rest = topic.consumer().await.receive(32, server.wait()).await;
    assert!(rest.unwrap().is_empty());
}
