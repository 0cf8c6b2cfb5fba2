//! Queues of such servers, as who sends to them and who counts sees them.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};

/// A queue, FIFO or not.
#[derive(Clone, Debug)]
pub struct Queue {
    host: String,
    url: String,
}

impl Queue {
    /// Makes one with leases of so many seconds, at a server's URL.
    pub fn create(endpoint: &str, name: &str, fifo: bool, lease: u64) -> Self {
        let host = endpoint.trim_start_matches("http://").to_owned();
        let mut create = json!({
            "QueueName": name,
            "Attributes": { "VisibilityTimeout": lease.to_string() },
        });
        if fifo {
            create["QueueName"] = format!("{name}.fifo").into();
            create["Attributes"]["FifoQueue"] = "true".into();
        }
        let created = call(&host, "CreateQueue", &create).unwrap_or_else(|error| panic!("{error}"));
        let url = created["QueueUrl"].as_str().expect("a URL").to_owned();
        Self { host, url }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends at most ten messages: of a key, which is their group, and with a number.
    ///
    /// # Errors
    /// If the server has not taken them all.
    pub fn send(&self, messages: &[(String, u64)]) -> Result<(), String> {
        let entries: Vec<_> = (messages.iter().enumerate())
            .map(|(at, (key, seq))| {
                let mut entry = json!({
                    "Id": at.to_string(),
                    "MessageBody": json!({ "key": key, "seq": seq }).to_string(),
                });
                if self.url.ends_with(".fifo") {
                    entry["MessageGroupId"] = key.as_str().into();
                    entry["MessageDeduplicationId"] = format!("{key}-{seq}").into();
                }
                entry
            })
            .collect();
        let batch = json!({ "QueueUrl": self.url, "Entries": entries });
        let sent = call(&self.host, "SendMessageBatch", &batch)?;
        match sent["Successful"].as_array().map(Vec::len) {
            Some(taken) if taken == messages.len() => Ok(()),
            _ => Err(sent.to_string()),
        }
    }

    /// About how many messages wait, and how many are on lease.
    ///
    /// # Errors
    /// If the server does not say.
    pub fn counts(&self) -> Result<(u64, u64), String> {
        const NAMES: [&str; 2] = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
        ];
        let ask = json!({ "QueueUrl": self.url, "AttributeNames": NAMES });
        let got = call(&self.host, "GetQueueAttributes", &ask)?;
        let number = |name| got["Attributes"][name].as_str()?.parse().ok();
        NAMES
            .map(number)
            .into_iter()
            .collect::<Option<Vec<u64>>>()
            .map(|counts| (counts[0], counts[1]))
            .ok_or_else(|| got.to_string())
    }
}

/// A call in the JSON protocol. Neither server here looks at signatures.
fn call(host: &str, action: &str, body: &Value) -> Result<Value, String> {
    let failed = |error: io::Error| format!("SQS {action}: {error}");
    let answer = post(host, action, &body.to_string()).map_err(failed)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.get(9..12) {
        Some("200") => serde_json::from_str(body).map_err(|error| format!("{error}: {body}")),
        _ => Err(format!("SQS {action}: {answer}")),
    }
}

/// With HTTP/1.0 an answer ends with its connection, and has no chunks.
fn post(host: &str, action: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let credential = "AWS4-HMAC-SHA256 Credential=id/20260101/us-east-1/sqs/aws4_request";
    let head = format!(
        "POST / HTTP/1.0\r\nHost: {host}\r\nX-Amz-Target: AmazonSQS.{action}\r\n\
         Content-Type: application/x-amz-json-1.0\r\n\
         Authorization: {credential}, SignedHeaders=host, Signature=0\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
