use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use eventlane::{
    Capability, Event, Pipeline, Result, Source,
    conformance::{Harness, Message, Order},
    sink::FunctionSink,
};
use tempfile::TempDir;

use crate::directory::Directory;

/// All that the suite needs: how to make a directory, put files into it and open a source on it.
struct Directories {
    capability: Capability,
}

struct Inbox {
    directory: TempDir,
    files: AtomicU64,
}

impl Directories {
    async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let source = Directory::open(directory.path()).await.unwrap();
        Self {
            capability: source.capability(),
        }
    }
}

#[async_trait]
impl Harness for Directories {
    type Topic = Inbox;

    fn capability(&self) -> Capability {
        self.capability
    }

    fn order(&self) -> Order {
        Order::Partition
    }

    async fn create(&self) -> Result<Inbox> {
        Ok(Inbox {
            directory: TempDir::new().unwrap(),
            files: AtomicU64::new(0),
        })
    }

    async fn produce(&self, inbox: &Inbox, messages: &[Message]) -> Result<()> {
        for message in messages {
            let number = inbox.files.fetch_add(1, Ordering::Relaxed);
            let name = format!("{number:06}-{}.json", message.key);
            let hidden = inbox.directory.path().join(format!(".{name}"));
            tokio::fs::write(&hidden, &message.body).await.unwrap();
            tokio::fs::rename(hidden, inbox.directory.path().join(name))
                .await
                .unwrap();
        }
        Ok(())
    }

    async fn open(&self, inbox: &Inbox) -> Result<Box<dyn Source>> {
        Ok(Box::new(Directory::open(inbox.directory.path()).await?))
    }
}

mod conformance {
    eventlane::conformance::tests!(super::Directories::new().await);
}

#[tokio::test]
async fn a_pipeline_moves_what_it_delivers() {
    let inbox = TempDir::new().unwrap();
    let write =
        |name: &str, content: &str| std::fs::write(inbox.path().join(name), content).unwrap();
    write("0002-alice.json", "[2]");
    write("0001-alice.txt", "one");
    write(".0003-alice.json", "half of i");
    let delivered = Arc::new(Mutex::new(Vec::new()));
    let events = Arc::clone(&delivered);
    let sink = FunctionSink::new(move |event: Event| {
        events.lock().unwrap().push((
            event.id().to_owned(),
            event.data_content_type().map(String::from),
        ));
        async { Ok::<(), Infallible>(()) }
    });
    let source = Directory::open(inbox.path()).await.unwrap();
    let pipeline = Pipeline::new(source, sink).with_idle_timeout(Duration::from_millis(300));
    let report = pipeline.run().await.unwrap();
    assert_eq!((report.delivered, report.unsettled), (2, 0));
    let (text, json) = (
        "application/octet-stream".to_owned(),
        "application/json".to_owned(),
    );
    let expected = [
        ("0001-alice.txt".to_owned(), Some(text)),
        ("0002-alice.json".to_owned(), Some(json)),
    ];
    assert_eq!(*delivered.lock().unwrap(), expected);
    let exists = |path: &str| inbox.path().join(path).exists();
    assert!(exists("done/0001-alice.txt") && exists("done/0002-alice.json"));
    assert!(exists(".0003-alice.json") && !exists("0001-alice.txt"));
}

#[tokio::test]
async fn what_can_not_be_a_directory_is_refused() {
    let inbox = TempDir::new().unwrap();
    std::fs::write(inbox.path().join("file"), "").unwrap();
    let error = Directory::open(inbox.path().join("file"))
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind(), eventlane::ErrorKind::Config);
    assert!(error.to_string().contains("file"), "{error}");
}
