//! A client of RocketMQ's own, run by `tests/brokers/rocketmq-clients`, which says what it can do.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use eventlane_testkit::rocketmq::RocketMq;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::mpsc,
    time::timeout,
};

use crate::support::SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Java,
    Python,
}

/// A message that it has consumed: when its work on it began and ended, in nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Consumed {
    pub(super) body: String,
    pub(super) from: u128,
    pub(super) to: u128,
}

/// What a member of a group has consumed so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Log(Arc<Mutex<Vec<Consumed>>>);

impl Log {
    pub(super) fn push(&self, consumed: Consumed) {
        self.0.lock().unwrap().push(consumed);
    }

    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(super) fn all(&self) -> Vec<Consumed> {
        self.0.lock().unwrap().clone()
    }
}

/// Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Official {
    child: Child,
    input: ChildStdin,
    answers: mpsc::UnboundedReceiver<Value>,
    pub(super) consumed: Log,
}

impl Official {
    /// Panics, and says what to do, if it can't be had.
    pub(super) async fn start(language: Language, broker: &RocketMq) -> Self {
        const SCRIPT: &str = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/brokers/rocketmq-clients"
        );
        let language = match language {
            Language::Java => "java",
            Language::Python => "python",
        };
        let mut command = Command::new("bash");
        command.args([SCRIPT, language, broker.endpoint()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let consumed = Log::default();
        let (send, answers) = mpsc::unbounded_channel();
        tokio::spawn({
            let consumed = consumed.clone();
            async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    let answer: Value = serde_json::from_str(&line).unwrap();
                    let time = |name: &str| answer[name].as_u64().unwrap().into();
                    match answer.get("body") {
                        Some(body) => consumed.push(Consumed {
                            body: body.as_str().unwrap().to_owned(),
                            from: time("from"),
                            to: time("to"),
                        }),
                        None => drop(send.send(answer)),
                    }
                }
            }
        });
        let mut official = Self {
            input: child.stdin.take().unwrap(),
            child,
            answers,
            consumed,
        };
        let ready = json!({ "ready": true });
        // The first time, it is downloaded.
        if timeout(300 * SECOND, official.answers.recv()).await.ok() != Some(Some(ready)) {
            let mut reason = String::new();
            drop(official.child.start_kill());
            let mut stderr = official.child.stderr.take().unwrap();
            drop(stderr.read_to_string(&mut reason).await);
            panic!(
                "{}; EVENTLANE_SKIP_REAL=1 leaves out the tests that need a real RocketMQ",
                reason.trim()
            );
        }
        official
    }

    /// Has it do something, which has to succeed.
    pub(super) async fn call(&mut self, command: Value) -> Value {
        let answer = self.try_call(&command).await;
        answer.unwrap_or_else(|error| panic!("{error}: {command}"))
    }

    pub(super) async fn try_call(&mut self, command: &Value) -> Result<Value, String> {
        let line = format!("{command}\n");
        self.input.write_all(line.as_bytes()).await.unwrap();
        let answer = timeout(60 * SECOND, self.answers.recv()).await;
        let answer = answer.expect("an answer in time").expect("it lives");
        match answer.get("error") {
            Some(error) => Err(error.to_string()),
            None => Ok(answer),
        }
    }

    /// Sends messages and returns their ids.
    pub(super) async fn send(&mut self, topic: &str, messages: &[Value]) -> Vec<String> {
        let command = json!({ "do": "send", "topic": topic, "messages": messages });
        strings(&self.call(command).await["sent"])
    }

    /// Receives so many messages, and acknowledges them.
    pub(super) async fn receive(&mut self, topic: &str, group: &str, count: usize) -> Vec<Value> {
        let command = json!({ "do": "receive", "topic": topic, "group": group, "count": count });
        self.call(command).await["messages"]
            .as_array()
            .unwrap()
            .clone()
    }

    /// Begins to consume.
    pub(super) async fn consume(
        &mut self,
        topic: &str,
        group: &str,
        lease: Duration,
        work: Duration,
    ) {
        let work = u64::try_from(work.as_millis()).unwrap();
        let command = json!({
            "do": "consume", "topic": topic, "group": group, "lease": lease.as_secs(), "work": work,
        });
        self.call(command).await;
    }

    /// Ends it as a crash does.
    pub(super) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }
}

pub(super) fn strings(value: &Value) -> Vec<String> {
    let all = value.as_array().unwrap().iter();
    all.map(|it| it.as_str().unwrap().to_owned()).collect()
}

pub(super) fn encode(body: &[u8]) -> String {
    BASE64_STANDARD.encode(body)
}

pub(super) fn decode(body: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(body.as_str().unwrap()).unwrap()
}
