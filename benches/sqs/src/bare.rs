//! The bare loop.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, MessageSystemAttributeName};
use eventlane_testkit::clock::{Clock, Took};

use crate::{Options, queue::client};

pub(crate) async fn empty(endpoint: &str, url: &str, options: &Options) -> Took {
    let (client, done) = (client(endpoint), Arc::new(AtomicUsize::new(0)));
    let clock = Clock::start();
    let tasks = (0..options.receivers).map(|_| {
        let (client, url, done) = (client.clone(), url.to_owned(), Arc::clone(&done));
        let messages = options.messages;
        tokio::spawn(async move {
            while done.load(SeqCst) < messages {
                let receive = client
                    .receive_message()
                    .queue_url(&url)
                    .max_number_of_messages(10);
                // What eventlane needs for its events, this asks for, too.
                let receive = receive
                    .wait_time_seconds(1)
                    .message_attribute_names("All")
                    .message_system_attribute_names(MessageSystemAttributeName::All);
                let received = receive.send().await.expect("receives");
                if received.messages().is_empty() {
                    continue;
                }
                let entries = received.messages().iter().enumerate().map(|(at, message)| {
                    DeleteMessageBatchRequestEntry::builder()
                        .id(at.to_string())
                        .receipt_handle(message.receipt_handle().unwrap_or_default())
                        .build()
                        .expect("complete")
                });
                let delete = client.delete_message_batch().queue_url(&url);
                let delete = delete.set_entries(Some(entries.collect()));
                let deleted = delete.send().await.expect("deletes");
                done.fetch_add(deleted.successful().len(), SeqCst);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("runs");
    }
    clock.stop()
}
