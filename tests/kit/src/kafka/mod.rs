//! A real Apache Kafka, started by `tests/brokers/kafka`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
};

use crate::{Proxy, is_skipped};

mod client;
mod producer;

pub use producer::{Keys, Producer};

/// What cluster to start. The default is one node that speaks plaintext.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Three nodes instead of one; topics are replicated to all.
    pub three_nodes: bool,
    /// SASL listeners: `alice` (password `alice-secret`) may do everything, `bob` (`bob-secret`)
    /// nothing.
    pub sasl: bool,
    /// TLS listeners.
    pub tls: bool,
    /// Listeners behind proxies, which [`Kafka::cut`] cuts.
    pub proxied: bool,
    /// With `proxied`: the test puts proxies of its own there, by [`Kafka::routes`].
    pub own_proxies: bool,
    /// Properties of the brokers: `key=value`.
    pub set: Vec<String>,
    /// A version of Kafka other than the usual one.
    pub version: Option<String>,
}

/// A cluster. When it is dropped, and also when the process ends in whatever way, its nodes are
/// killed and their data deleted; the data of a failed test stay, in `target/brokers`.
#[derive(Debug)]
pub struct Kafka {
    nodes: u16,
    port: u16,
    data: PathBuf,
    guard: Child,
    proxied: bool,
    proxies: Vec<Proxy>,
    // Keeps other processes off this range of ports.
    _range: TcpListener,
}

impl Kafka {
    /// Starts a cluster (3 to 4 s; three nodes 7 to 11 s). Panics when it can't.
    ///
    /// `None` if `EVENTLANE_SKIP_REAL` is 1, after a line that says so:
    ///
    /// ```no_run
    /// use eventlane_testkit::{Kafka, kafka::Options};
    ///
    /// let Some(kafka) = Kafka::start_or_skip(Options::default()) else { return };
    /// ```
    pub fn start_or_skip(options: Options) -> Option<Self> {
        (!is_skipped("Kafka")).then(|| Self::start(options))
    }

    /// Starts a cluster; panics when it can't.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "reads better at the call: start(Options { .. })"
    )]
    pub fn start(options: Options) -> Self {
        let mut failure = String::new();
        for (port, range) in ranges() {
            match Self::start_at(port, range, &options) {
                Ok(kafka) => return kafka,
                // Of another program.
                Err(error) if error.contains("is in use") => failure = error,
                Err(error) => {
                    failure = error;
                    break;
                }
            }
        }
        panic!(
            "{}; EVENTLANE_SKIP_REAL=1 leaves out the tests that need a real Kafka",
            failure.trim()
        );
    }

    /// A cluster of one plaintext node that all tests of the process share; like
    /// [`start_or_skip`](Self::start_or_skip). Use topics and groups of your own
    /// ([`topic`](Self::topic)), and leave the node alone.
    pub fn shared_or_skip() -> Option<&'static Self> {
        (!is_skipped("Kafka")).then(Self::shared)
    }

    /// The same; panics when it can't be started.
    pub fn shared() -> &'static Self {
        // Never dropped: the end of the process closes the guard's pipe.
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Options::default()))
    }

    fn start_at(port: u16, range: TcpListener, options: &Options) -> Result<Self, String> {
        let target = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(2)
            .expect("the workspace")
            .join("target");
        let data = target.join(format!("brokers/{}-{port}", std::process::id()));
        let nodes = if options.three_nodes { 3 } else { 1 };
        let mut command = script(&data);
        command.args([
            "serve",
            "--nodes",
            &nodes.to_string(),
            "--port",
            &port.to_string(),
        ]);
        let flags = [
            ("--sasl", options.sasl),
            ("--tls", options.tls),
            ("--proxied", options.proxied),
        ];
        command.args(flags.iter().filter(|(_, on)| *on).map(|(flag, _)| flag));
        command.args(options.set.iter().flat_map(|property| ["--set", property]));
        if let Some(version) = &options.version {
            command.env("KAFKA_VERSION", version);
        }
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
        let mut ready = String::new();
        let mut output = BufReader::new(guard.stdout.take().expect("standard output is piped"));
        output
            .read_line(&mut ready)
            .map_err(|error| format!("read from {command:?}: {error}"))?;
        if ready.is_empty() {
            let mut reason = String::new();
            drop(
                guard
                    .stderr
                    .take()
                    .map(|mut stderr| stderr.read_to_string(&mut reason)),
            );
            drop(guard.wait());
            return Err(reason);
        }
        let mut kafka = Self {
            nodes,
            port,
            data,
            guard,
            proxied: options.proxied,
            proxies: Vec::new(),
            _range: range,
        };
        if options.proxied && !options.own_proxies {
            let proxy = |(listen, upstream)| Proxy::start(listen, upstream);
            kafka.proxies = kafka.routes().map(proxy).collect();
        }
        Ok(kafka)
    }

    /// Where proxies have to listen, and where they have to connect to: one for each node.
    pub fn routes(&self) -> impl Iterator<Item = (SocketAddr, SocketAddr)> + use<> {
        let port = self.port;
        (0..self.nodes).map(move |node| (local(port + 20 + node), local(port + 10 + node)))
    }

    /// The bootstrap servers, plaintext.
    pub fn bootstrap(&self) -> String {
        self.addresses(0)
    }

    /// The bootstrap servers behind the proxies.
    pub fn proxied_bootstrap(&self) -> String {
        assert!(self.proxied, "started without Options::proxied");
        self.addresses(20)
    }

    /// The bootstrap servers that speak SASL over plaintext.
    pub fn sasl_bootstrap(&self) -> String {
        self.addresses(30)
    }

    /// The bootstrap servers that speak SASL over TLS.
    pub fn sasl_tls_bootstrap(&self) -> String {
        self.addresses(40)
    }

    /// The bootstrap servers that speak TLS.
    pub fn tls_bootstrap(&self) -> String {
        self.addresses(50)
    }

    /// The bootstrap servers that speak TLS with a certificate that has expired.
    pub fn expired_tls_bootstrap(&self) -> String {
        self.addresses(60)
    }

    /// A PEM file of the TLS listeners: `ca.pem`, `client.pem`, `client.key`, or `rogue-ca.pem`,
    /// which has signed nothing.
    pub fn tls_file(&self, name: &str) -> PathBuf {
        self.data.join("tls").join(name)
    }

    fn addresses(&self, offset: u16) -> String {
        let addresses = (0..self.nodes).map(|node| local(self.port + offset + node).to_string());
        addresses.collect::<Vec<_>>().join(",")
    }

    /// Kills a node (from 1), as a crash does.
    pub fn kill(&self, node: u16) {
        self.run("kill", node);
    }

    /// Shuts a node down in order.
    pub fn term(&self, node: u16) {
        self.run("term", node);
    }

    /// Starts a node that was killed or shut down, with its data.
    pub fn revive(&self, node: u16) {
        self.run("revive", node);
    }

    /// Lets a node hang: connections are accepted, nothing is answered.
    pub fn pause(&self, node: u16) {
        self.run("pause", node);
    }

    /// Lets a node that hangs go on.
    pub fn resume(&self, node: u16) {
        self.run("resume", node);
    }

    fn run(&self, command: &str, node: u16) {
        let output = script(&self.data)
            .args([command, &node.to_string()])
            .output()
            .expect("bash can be run");
        assert!(
            output.status.success(),
            "kafka {command} {node}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Cuts the network between the brokers and everybody who has come through
    /// [`proxied_bootstrap`](Self::proxied_bootstrap).
    pub fn cut(&self) {
        self.proxies.iter().for_each(Proxy::cut);
    }

    /// Mends what [`cut`](Self::cut) has cut.
    pub fn restore(&self) {
        self.proxies.iter().for_each(Proxy::restore);
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if let Some(mut input) = self.guard.stdin.take()
            && (thread::panicking() || std::env::var_os("EVENTLANE_KEEP_BROKERS").is_some())
        {
            drop(input.write_all(b"keep\n"));
            eprintln!(
                "the data and logs of the brokers are in {}",
                self.data.display()
            );
        }
        drop(self.guard.wait());
    }
}

fn script(data: &Path) -> Command {
    let mut command = Command::new("bash");
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../brokers/kafka"))
        .env("EVENTLANE_BROKERS_DATA", data);
    command
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// The ranges of a hundred ports that nobody uses, by the last port of each, which is taken as the
/// sign of it. They lie below those that Linux gives to outgoing connections.
fn ranges() -> impl Iterator<Item = (u16, TcpListener)> {
    let first = std::process::id() as u16 % 120;
    (0..120).filter_map(move |range| {
        let port = 20_000 + (first + range) % 120 * 100;
        TcpListener::bind(local(port + 99))
            .ok()
            .map(|listener| (port, listener))
    })
}
