//! Servers that scripts of `tests/brokers` start.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
};

/// A server with one port. Killed when it is dropped and when the process ends in whatever way, and
/// its data deleted, unless a test has failed.
#[derive(Debug)]
pub struct Server {
    script: &'static str,
    data: PathBuf,
    endpoint: String,
    guard: Child,
}

impl Server {
    /// Starts one by `tests/brokers/<script> serve`, on a port that nobody uses. Panics when it
    /// can't.
    pub fn start(script: &'static str, options: &[&str]) -> Self {
        let mut failure = String::new();
        for port in ports() {
            match Self::start_at(script, options, port) {
                Ok(server) => return server,
                // Somebody has taken it since, perhaps another thread of this process.
                Err(error) if error.contains("is in use") || error.contains("a server runs") => {
                    failure = error;
                }
                Err(error) => {
                    failure = error;
                    break;
                }
            }
        }
        let failure = failure.trim();
        panic!("{failure}; EVENTLANE_SKIP_REAL=1 leaves out the tests that need a real {script}");
    }

    fn start_at(script: &'static str, options: &[&str], port: u16) -> Result<Self, String> {
        let target = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(2)
            .expect("the workspace")
            .join("target");
        let data = target.join(format!("brokers/{}-{port}", std::process::id()));
        let mut command = command(script, &data);
        command
            .args(["serve", "--port", &port.to_string()])
            .args(options)
            // A process group of its own, so that Ctrl-C does not end the guard before it has done
            // its work.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut guard = command
            .spawn()
            .map_err(|error| format!("start {command:?}: {error}"))?;
        let output = guard.stdout.take().expect("standard output is piped");
        let mut endpoint = String::new();
        BufReader::new(output)
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
            script,
            data,
            endpoint: endpoint.trim().to_owned(),
            guard,
        })
    }

    /// Its URL.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Runs another command of the script.
    pub fn run(&self, what: &str) {
        let output = command(self.script, &self.data)
            .arg(what)
            .output()
            .expect("bash can be run");
        assert!(
            output.status.success(),
            "{} {what}: {}",
            self.script,
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut input) = self.guard.stdin.take()
            && (thread::panicking() || std::env::var_os("EVENTLANE_KEEP_BROKERS").is_some())
        {
            drop(input.write_all(b"keep\n"));
            eprintln!("the log of {} is in {}", self.script, self.data.display());
        }
        drop(self.guard.wait());
    }
}

fn command(script: &str, data: &Path) -> Command {
    let mut command = Command::new("bash");
    command
        .arg(format!(
            "{}/../brokers/{script}",
            env!("CARGO_MANIFEST_DIR")
        ))
        .env("EVENTLANE_BROKERS_DATA", data);
    command
}

/// Ports that nobody uses now, below those of Kafka's clusters and those that Linux gives to
/// outgoing connections. They begin elsewhere in each process, so that processes rarely meet; two
/// threads never get the same one, which is the name of their server's data.
fn ports() -> impl Iterator<Item = u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id() % 4000;
    (0..4000)
        .map(move |_| 15_000 + ((first * 7 + NEXT.fetch_add(1, Relaxed)) % 4000) as u16)
        .filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
}
