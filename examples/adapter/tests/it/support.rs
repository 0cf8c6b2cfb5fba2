//! A Kafka in this process, and the program as a child.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::Command,
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use eventlane_testkit::{Process, eventually};
use rdkafka::{
    ClientConfig,
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, Producer},
};
use tempfile::TempDir;

/// Long enough for anything that happens at all on a loaded machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The Kafka that comes with librdkafka: one broker for all tests.
pub(crate) struct Broker {
    topics: Mutex<mpsc::Sender<(String, i32, mpsc::Sender<()>)>>,
    pub(crate) bootstrap: String,
}

/// The cluster may not leave the thread that made it.
static BROKER: LazyLock<Broker> = LazyLock::new(|| {
    let (topics, wanted) = mpsc::channel::<(String, i32, mpsc::Sender<()>)>();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let cluster = MockCluster::new(1).expect("an embedded Kafka");
        tell.send(cluster.bootstrap_servers()).unwrap();
        for (name, partitions, done) in wanted {
            cluster.create_topic(&name, partitions, 1).unwrap();
            done.send(()).unwrap();
        }
    });
    Broker {
        topics: Mutex::new(topics),
        bootstrap: told.recv().expect("an embedded Kafka"),
    }
});

/// The one that all tests share.
pub(crate) fn broker() -> &'static Broker {
    &BROKER
}

impl Broker {
    /// A topic of a new name.
    pub(crate) fn topic(&self, partitions: i32) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("topic-{}", NUMBER.fetch_add(1, Relaxed));
        let (done, created) = mpsc::channel();
        let wanted = (name.clone(), partitions, done);
        self.topics.lock().unwrap().send(wanted).unwrap();
        created.recv().expect("a topic");
        name
    }

    /// Numbered records of each of these keys, as the checking sink wants them.
    pub(crate) fn produce(&self, topic: &str, keys: &[&str], numbers: std::ops::Range<u64>) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .create()
            .unwrap();
        for number in numbers {
            for key in keys {
                let value = format!("{{\"key\":\"{key}\",\"seq\":{number}}}");
                let record = BaseRecord::to(topic).key(*key).payload(&value);
                producer.send(record).map_err(|(error, _)| error).unwrap();
            }
        }
        producer.flush(LIMIT).unwrap();
    }
}

/// A directory with files for the program.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("a file can be written");
        path
    }
}

/// The program with these arguments.
pub(crate) fn command<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eventlane-adapter"));
    command.args(arguments).env("RUST_LOG", "info");
    command
}

/// The program running this configuration, with further flags.
pub(crate) fn run(files: &Files, config: &str, flags: &[&str]) -> Process {
    let config = files.write("adapter.yaml", config);
    let mut command = command(["run", "--log-format", "text"]);
    command.arg(config).args(flags);
    Process::spawn(command)
}

/// Waits until the program has logged something with all of this in one line.
pub(crate) fn logged(process: &Process, words: &[&str]) -> String {
    eventually(LIMIT, &format!("{words:?} in the log"), || {
        let log = process.stderr();
        let mut lines = log.lines();
        lines
            .find(|line| words.iter().all(|word| line.contains(word)))
            .map(str::to_owned)
    })
}

/// A pipeline from a topic to a path of the sink that has its name.
pub(crate) fn pipeline(name: &str, topic: &str, sink: &str, delivery: &str) -> String {
    let bootstrap = &broker().bootstrap;
    format!(
        "  {name}:
    source:
      kafka:
        bootstrap_servers: {bootstrap}
        group: {topic}
        session_timeout: 6s
        topics: [{topic}]
    sink:
      http:
        url: {sink}{name}
    delivery: {{{delivery}}}
"
    )
}

/// What the program answers to a GET on its port for health and metrics: status and body.
pub(crate) fn get(process: &Process, path: &str) -> (u16, String) {
    let line = logged(process, &["health and metrics"]);
    let address = line.split_once("address=").expect("an address").1;
    let mut stream = TcpStream::connect(address.trim()).expect("the port is open");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}
