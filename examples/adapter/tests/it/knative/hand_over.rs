//! Two adapters of one group, one of which is stopped as a cluster stops it.

use std::{collections::HashMap, time::Duration};

use eventlane_testkit::{CheckingSink, Process, eventually, kafka::Keys, sink::Faults};
use tokio::time::Instant;

use super::real::Stage;
use crate::support::{LIMIT, command};

fn adapter(stage: &Stage, sink: &CheckingSink, name: &str) -> Process {
    let resource = format!(
        "apiVersion: sources.knative.dev/v1\nkind: KafkaSource\nmetadata:\n  name: handed-over\n  \
         annotations: {{eventlane.dev/ordering: key}}\nspec:\n  bootstrapServers: [\"{}\"]\n  \
         topics: [handed-over]\n  consumerGroup: handed-over\n  initialOffset: earliest\n  \
         sink: {{uri: \"{}{name}\"}}\n",
        stage.kafka.bootstrap(),
        sink.url(),
    );
    let file = stage.files.write(&format!("{name}.yaml"), &resource);
    let mut command = command(["run", "--log-format", "text", "--listen", "127.0.0.1:0"]);
    command.arg(file);
    Process::spawn(command)
}

/// The longest time that a key was without a request, between these two times.
fn longest_pause(sink: &CheckingSink, from: Instant, to: Instant) -> Duration {
    let mut last = HashMap::new();
    let mut longest = Duration::ZERO;
    for record in sink.records() {
        let before = last.insert(record.key, record.at);
        if record.at > from && record.at < to {
            let before = before.unwrap_or(record.at).max(from);
            longest = longest.max(record.at.saturating_duration_since(before));
        }
    }
    longest
}

/// Scaling out and in while records flow: nothing is lost, nothing delivered twice, every key in
/// order. `--nocapture` shows how long that takes, and how long a key waits for it; each key has an
/// event every 130 ms or so.
#[test]
fn a_group_is_scaled_out_and_in_without_duplicates() {
    let Some(stage) = Stage::new() else { return };
    stage.kafka.create_topic("handed-over", 8, &[]);
    let sink = CheckingSink::recording(Faults {
        delay: Duration::from_millis(10)..Duration::from_millis(30),
        ..Faults::default()
    });
    let first = adapter(&stage, &sink, "first");
    let mut producer = stage.kafka.producer("handed-over", Keys::InTurn(64));
    let mut flow_until = |what: &str, done: &mut dyn FnMut() -> bool| {
        eventually(LIMIT, what, || {
            producer.send(10, 100);
            done().then_some(())
        });
        producer.flush();
        producer.total()
    };
    flow_until("the first to be at work", &mut || {
        sink.report().path("/first") > 300
    });

    let out = Instant::now();
    let second = adapter(&stage, &sink, "second");
    flow_until("the second to be at work", &mut || {
        sink.report().path("/second") > 0
    });
    let joined = Instant::now();
    flow_until("the second to have its share", &mut || {
        sink.report().path("/second") > 300
    });

    let inwards = Instant::now();
    first.signal("TERM");
    let mut first = Some(first);
    let mut left = None;
    flow_until("the end of the first", &mut || {
        let ended = first.as_mut().is_none_or(|first| !first.is_running());
        if ended && let Some(first) = first.take() {
            left = Some((Instant::now(), first.wait(LIMIT)));
        }
        ended
    });
    let (left, (status, log)) = left.expect("it has ended");
    assert!(status.success(), "{log}");
    let taken = sink.report().path("/first");
    let before = sink.report().path("/second");
    let total = flow_until("all with the second", &mut || {
        sink.report().path("/second") > before + 400
    });
    sink.wait(LIMIT, |report| report.distinct >= total);
    let end = Instant::now();
    second.signal("TERM");
    second.succeed(LIMIT);

    assert_eq!(
        sink.report().path("/first"),
        taken,
        "it has sent after its end"
    );
    sink.report().assert_exactly(total);
    assert_eq!(stage.kafka.lag("handed-over", "handed-over"), 0);
    eprintln!(
        "out: joined after {:?}, a key waited {:?} at most; in: ended after {:?}, a key waited {:?} \
         at most",
        joined.saturating_duration_since(out),
        longest_pause(&sink, out, inwards),
        left.saturating_duration_since(inwards),
        longest_pause(&sink, inwards, end),
    );
}
