use std::{fs, time::Duration};

use async_trait::async_trait;
use eventlane::{
    Capability, Event, Pipeline, Result, Source,
    conformance::{Harness, Message, Timing},
    queue::Poller,
    sink::FunctionSink,
};
use tempfile::TempDir;

use crate::spool::Spool;

const LEASE: Duration = Duration::from_millis(1500);

struct Spools;

#[async_trait]
impl Harness for Spools {
    type Topic = TempDir;

    fn capability(&self) -> Capability {
        Capability::queue(LEASE)
    }

    fn keeps_keys(&self) -> bool {
        false
    }

    fn timing(&self) -> Timing {
        Timing::default().with_recovery(LEASE)
    }

    async fn create(&self) -> Result<TempDir> {
        Ok(TempDir::new().expect("a directory"))
    }

    async fn produce(&self, spool: &TempDir, messages: &[Message]) -> Result<()> {
        for message in messages {
            let name = format!("{}-{}", message.key, message.body.replace('"', ""));
            fs::write(spool.path().join(name), &message.body).expect("there is room");
        }
        Ok(())
    }

    async fn open(&self, spool: &TempDir) -> Result<Box<dyn Source>> {
        Ok(Box::new(Poller::new(Spool::open(spool.path(), LEASE)?)))
    }
}

eventlane::conformance::tests!(Spools, flavor = "multi_thread");

#[tokio::test]
async fn two_processes_share_a_directory() {
    let spool = TempDir::new().unwrap();
    for number in 0..200 {
        fs::write(spool.path().join(format!("{number:03}")), "x").unwrap();
    }
    let run = || {
        let sink = FunctionSink::new(|_: Event| async { tokio::task::yield_now().await });
        let source = Poller::new(Spool::open(spool.path(), LEASE).unwrap());
        Pipeline::new(source, sink)
            .with_idle_timeout(Duration::from_secs(1))
            .run()
    };
    let (one, other) = tokio::join!(run(), run());
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.delivered + other.delivered, 200, "{one}, {other}");
    assert_eq!(fs::read_dir(spool.path()).unwrap().count(), 0);
}

/// What a queue of one's own costs.
#[test]
fn the_queue_is_short() {
    let lines = include_str!("spool.rs").lines().map(str::trim);
    let code = lines.filter(|line| !line.is_empty() && !line.starts_with("//"));
    assert!(code.count() < 150);
}
