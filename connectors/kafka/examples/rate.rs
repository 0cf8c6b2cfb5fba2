//! How fast a topic is read: `rate BROKERS fill TOPIC COUNT SIZE` and `rate BROKERS read TOPIC COUNT [DEMAND]`.

use std::time::Duration;

use eventlane::source::{Action, Demand, Receipt, Settlement, Signal, Source};
use eventlane_kafka::{KafkaConfig, KafkaSource};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use tokio::time::Instant;

fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
fn threads() {
    for entry in std::fs::read_dir("/proc/self/task").unwrap() {
        let p = entry.unwrap().path();
        let stat = std::fs::read_to_string(p.join("stat")).unwrap();
        let (name, rest) = stat.rsplit_once(')').unwrap();
        let f: Vec<_> = rest.split_whitespace().collect();
        let t = (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0;
        if t > 0.02 {
            println!("  {} {t:.2} s", name.split_once('(').unwrap().1);
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    for l in status
        .lines()
        .filter(|l| l.starts_with("VmHWM") || l.starts_with("VmRSS"))
    {
        println!("  {l}");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    tracing_subscriber_init();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (brokers, topic) = (&args[0], &args[2]);
    let count: u64 = args[3].parse().unwrap();
    if args[1] == "fill" {
        let size: usize = args[4].parse().unwrap();
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .create()
            .unwrap();
        admin
            .create_topics(
                &[NewTopic::new(topic, 4, TopicReplication::Fixed(1))],
                &AdminOptions::new(),
            )
            .await
            .unwrap();
        let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("linger.ms", "20")
            .set("queue.buffering.max.messages", "1000000")
            .create()
            .unwrap();
        let payload = vec![b'x'; size];
        for at in 0..count {
            let key = format!("key-{}", at % 1000);
            let mut record = BaseRecord::to(topic).key(&key).payload(&payload);
            while let Err((_, back)) = producer.send(record) {
                record = back;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        producer.flush(Duration::from_secs(60)).unwrap();
        return;
    }
    let demand: usize = args.get(4).map_or(10_000, |d| d.parse().unwrap());
    let group = format!("rate-{}", std::process::id());
    let mut config = KafkaConfig::new(brokers, group, [topic]);
    for pair in &args[5.min(args.len())..] {
        let (k, v) = pair.split_once('=').unwrap();
        config = config.with_property(k, v);
    }
    if args[1] == "bare" {
        use rdkafka::consumer::{BaseConsumer, Consumer};
        let c: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", format!("bare-{}", std::process::id()))
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("fetch.queue.backoff.ms", "10")
            .set("queued.max.messages.kbytes", "16384")
            .create()
            .unwrap();
        c.subscribe(&[topic]).unwrap();
        let (mut start, mut n) = (None, 0);
        while n < count {
            if let Some(Ok(_)) = c.poll(Duration::from_millis(100)) {
                n += 1;
                start.get_or_insert_with(|| (Instant::now(), cpu()));
            }
        }
        let (at, c0) = start.unwrap();
        let took = at.elapsed().as_secs_f64();
        println!(
            "bare: {n} in {took:.2} s: {:.0} k/s, {:.0} ns CPU each",
            n as f64 / took / 1e3,
            (cpu() - c0) / n as f64 * 1e9
        );
        threads();
        return;
    }
    let mut source = Box::new(KafkaSource::connect(config).await.unwrap());
    let monitor = source.monitor();
    let settler = source.settler();
    let (mut start, mut n, mut polls, mut bytes) = (None, 0u64, 0u64, 0usize);
    let mut last: std::collections::HashMap<_, Receipt> = Default::default();
    let slow = std::env::var("SLOW")
        .ok()
        .and_then(|s| s.parse::<u64>().ok());
    while n < count {
        match source
            .poll(Demand {
                records: demand,
                bytes: 64 << 20,
            })
            .await
            .unwrap()
        {
            Signal::Deliveries(d) => {
                polls += 1;
                n += d.len() as u64;
                start.get_or_insert_with(|| (Instant::now(), cpu()));
                bytes += d.iter().map(|d| d.event.size()).sum::<usize>();
                let l = d.last().unwrap().receipt;
                last.insert(l.partition, l);
                if let Some(ms) = slow {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                }
            }
            other => println!("{other:?}"),
        }
    }
    let (at, c0) = start.unwrap();
    let took = at.elapsed().as_secs_f64();
    println!(
        "{n} in {took:.2} s: {:.0} k/s, {:.0} ns CPU each, {:.0} per poll, {} B each",
        n as f64 / took / 1e3,
        (cpu() - c0) / n as f64 * 1e9,
        n as f64 / polls as f64,
        bytes as u64 / n
    );
    threads();
    let batch = last
        .values()
        .map(|r| Settlement {
            receipt: Receipt {
                seq: r.seq + 1,
                ..*r
            },
            action: Action::DoneBelow { beyond: vec![] },
        })
        .collect();
    let t = Instant::now();
    println!(
        "settled {:?} in {:?}",
        settler.settle(batch).await,
        t.elapsed()
    );
    println!("lag {:?}", monitor.lag());
    let t = Instant::now();
    source.close().await.unwrap();
    println!("closed in {:?}", t.elapsed());
}
fn tracing_subscriber_init() {}
