//! The queue.

use aws_sdk_sqs::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region},
    types::SendMessageBatchRequestEntry,
};

const BODY: usize = 220;

pub(crate) fn client(endpoint: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "bench"))
        .endpoint_url(endpoint)
        .build();
    Client::from_conf(config)
}

/// Makes a queue with so many messages.
pub(crate) async fn fill(endpoint: &str, messages: usize) -> String {
    let client = client(endpoint);
    let name = format!("bench-{}", std::process::id());
    // Deleted by whoever emptied it before; there is none at first.
    if let Ok(old) = client.get_queue_url().queue_name(&name).send().await {
        let url = old.queue_url().expect("a URL");
        client
            .delete_queue()
            .queue_url(url)
            .send()
            .await
            .expect("deletes");
    }
    let queue = client
        .create_queue()
        .queue_name(&name)
        .send()
        .await
        .expect("a queue");
    let url = queue.queue_url().expect("a URL").to_owned();
    let body = format!("{{\"x\":\"{}\"}}", "y".repeat(BODY - 8));
    let batches: Vec<usize> = (0..messages).step_by(10).collect();
    let senders = batches
        .chunks(batches.len().div_ceil(4).max(1))
        .map(|part| {
            let (client, url, body, part) =
                (client.clone(), url.clone(), body.clone(), part.to_vec());
            tokio::spawn(async move {
                for first in part {
                    let entries = (first..(first + 10).min(messages)).map(|number| {
                        let entry = SendMessageBatchRequestEntry::builder().id(number.to_string());
                        entry.message_body(body.as_str()).build().expect("complete")
                    });
                    let send = client.send_message_batch().queue_url(&url);
                    send.set_entries(Some(entries.collect()))
                        .send()
                        .await
                        .expect("sends");
                }
            })
        });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.expect("sends");
    }
    url
}
