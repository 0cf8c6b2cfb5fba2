//! A real Apache RocketMQ 5, started by `tests/brokers/rocketmq`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::Duration,
};

use crate::is_skipped;

/// What to start. The default is a broker whose process is the gRPC proxy, too, as
/// `mqbroker --enable-proxy` starts it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Broker and proxy are two processes.
    pub cluster: bool,
    /// What is not acknowledged comes again 0.4 s after its lease has ended, not 2 to 3 s.
    pub kv: bool,
    /// Leases and long polls from 1 s on, which are 10 s and 5 s at least otherwise.
    pub short: bool,
    /// The proxy looks groups up every 20 s, as it does by default, not every 2 s.
    pub stale_groups: bool,
    /// Authentication and authorization: `eventlane` (password `eventlane-secret`) may do
    /// everything.
    pub acl: bool,
    /// TLS with a certificate that [`RocketMq::ca`] has signed, besides plaintext.
    pub tls: bool,
}

/// What a topic is for. A broker refuses messages of another type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicType {
    /// Messages without an order.
    Normal,
    /// Messages with a group, in its order.
    Fifo,
    /// Messages that are delivered later.
    Delay,
}

/// Which of the processes of a cluster. Without [`Options::cluster`] there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// That which has the messages.
    Broker,
    /// That which speaks gRPC.
    Proxy,
}

/// A broker. When it is dropped, and also when the process ends in whatever way, it is killed and
/// its data deleted; the data of a failed test stay, in `target/brokers`.
#[derive(Debug)]
pub struct RocketMq {
    endpoint: String,
    data: PathBuf,
    guard: Child,
    // Keeps other processes off this range of ports.
    _range: TcpListener,
}

impl RocketMq {
    /// Starts a broker (6 to 20 s). Panics when it can't; `None` if `EVENTLANE_SKIP_REAL` is 1,
    /// after a line that says so.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "reads better at the call: start_or_skip(Options { .. })"
    )]
    pub fn start_or_skip(options: Options) -> Option<Self> {
        (!is_skipped("RocketMQ")).then(|| Self::start(&options))
    }

    /// A broker that all tests of the process share. Use topics and groups of your own, and leave
    /// the broker alone.
    pub fn shared_or_skip() -> Option<&'static Self> {
        // Never dropped: the end of the process closes the guard's pipe.
        static SHARED: OnceLock<RocketMq> = OnceLock::new();
        (!is_skipped("RocketMQ")).then(|| SHARED.get_or_init(|| Self::start(&Options::default())))
    }

    /// The same with [`Options::short`]; another broker.
    pub fn shared_short_or_skip() -> Option<&'static Self> {
        static SHARED: OnceLock<RocketMq> = OnceLock::new();
        let options = Options {
            short: true,
            ..Options::default()
        };
        (!is_skipped("RocketMQ")).then(|| SHARED.get_or_init(|| Self::start(&options)))
    }

    /// Starts a broker; panics when it can't.
    pub fn start(options: &Options) -> Self {
        let mut failure = String::new();
        for (port, range) in ranges() {
            match Self::start_at(port, range, options) {
                Ok(broker) => return broker,
                // Of another program.
                Err(error) if error.contains("is in use") => failure = error,
                Err(error) => {
                    failure = error;
                    break;
                }
            }
        }
        panic!(
            "{}; EVENTLANE_SKIP_REAL=1 leaves out the tests that need a real RocketMQ",
            failure.trim()
        );
    }

    fn start_at(port: u16, range: TcpListener, options: &Options) -> Result<Self, String> {
        let target = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(2)
            .expect("the workspace")
            .join("target");
        let data = target.join(format!("brokers/{}-{port}", std::process::id()));
        let mut command = script(&data);
        command.args(["serve", "--port", &port.to_string()]);
        let flags = [
            ("--cluster", options.cluster),
            ("--kv", options.kv),
            ("--short", options.short),
            ("--stale-groups", options.stale_groups),
            ("--acl", options.acl),
            ("--tls", options.tls),
        ];
        command.args(flags.iter().filter(|(_, on)| *on).map(|(flag, _)| flag));
        // A process group of its own, so that Ctrl-C does not end the guard before it has done its
        // work.
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut guard = command
            .spawn()
            .map_err(|error| format!("start {command:?}: {error}"))?;
        let mut endpoint = String::new();
        BufReader::new(guard.stdout.take().expect("standard output is piped"))
            .read_line(&mut endpoint)
            .map_err(|error| format!("read from {command:?}: {error}"))?;
        if endpoint.is_empty() {
            let mut reason = String::new();
            let mut stderr = guard.stderr.take().expect("standard error is piped");
            drop(stderr.read_to_string(&mut reason));
            drop(guard.wait());
            return Err(reason);
        }
        Ok(Self {
            endpoint: endpoint.trim().to_owned(),
            data,
            guard,
            _range: range,
        })
    }

    /// Where it speaks gRPC: `127.0.0.1:PORT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The certificate authority, a PEM file, of a broker with [`Options::tls`].
    pub fn ca(&self) -> PathBuf {
        self.data.join("conf/ca.crt")
    }

    /// Creates a topic.
    pub fn create_topic(&self, name: &str, ty: TopicType, queues: u32) {
        let ty = match ty {
            TopicType::Normal => "NORMAL",
            TopicType::Fifo => "FIFO",
            TopicType::Delay => "DELAY",
        };
        self.run(&["topic", name, "--type", ty, "--queues", &queues.to_string()]);
    }

    /// Creates a consumer group, which gets messages in order or not, `max_retry` times again.
    pub fn create_group(&self, name: &str, fifo: bool, max_retry: u32) {
        let max_retry = max_retry.to_string();
        let mut arguments = vec!["group", name, "--max-retry", &max_retry];
        if fifo {
            arguments.push("--fifo");
        }
        self.run(&arguments);
    }

    /// Creates a user of a broker with [`Options::acl`], without any rights.
    pub fn create_user(&self, name: &str, password: &str) {
        self.run(&["user", name, password]);
    }

    /// Kills a process, as a crash does.
    pub fn kill(&self, role: Role) {
        self.run(&["kill", role.name()]);
    }

    /// Ends a process in order (11 to 15 s).
    pub fn term(&self, role: Role) {
        self.run(&["term", role.name()]);
    }

    /// Starts what was ended again, with its data (5 s).
    pub fn revive(&self) {
        self.run(&["revive"]);
    }

    /// Lets a process hang: connections are accepted, nothing is answered.
    pub fn pause(&self, role: Role) {
        self.run(&["pause", role.name()]);
    }

    /// Lets a process that hangs go on.
    pub fn resume(&self, role: Role) {
        self.run(&["resume", role.name()]);
    }

    fn run(&self, arguments: &[&str]) {
        let run = || script(&self.data).args(arguments).output();
        let mut output = run().expect("bash can be run");
        // A broker that has just come up may not answer yet.
        for _ in 0..3 {
            if output.status.success() || !matches!(arguments, ["topic" | "group", ..]) {
                break;
            }
            thread::sleep(Duration::from_millis(200));
            output = run().expect("bash can be run");
        }
        assert!(
            output.status.success(),
            "rocketmq {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Proxy => "proxy",
        }
    }
}

impl Drop for RocketMq {
    fn drop(&mut self) {
        if let Some(mut input) = self.guard.stdin.take()
            && (thread::panicking() || std::env::var_os("EVENTLANE_KEEP_BROKERS").is_some())
        {
            drop(input.write_all(b"keep\n"));
            eprintln!("the logs of rocketmq are in {}", self.data.display());
        }
        drop(self.guard.wait());
    }
}

fn script(data: &Path) -> Command {
    let mut command = Command::new("bash");
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../brokers/rocketmq"))
        .env("EVENTLANE_BROKERS_DATA", data);
    command
}

/// The ranges of ten ports that nobody uses, by the last port of each, which is taken as the sign
/// of it. They lie below those of the servers that speak SQS.
fn ranges() -> impl Iterator<Item = (u16, TcpListener)> {
    let first = (std::process::id() % 300) as u16;
    (0..300).filter_map(move |range| {
        let port = 12_000 + (first + range) % 300 * 10;
        let sign: SocketAddr = (Ipv4Addr::LOCALHOST, port + 9).into();
        TcpListener::bind(sign)
            .ok()
            .map(|listener| (port, listener))
    })
}
