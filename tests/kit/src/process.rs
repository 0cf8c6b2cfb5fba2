//! Programs under test as child processes.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use tokio::time::Instant;

use crate::eventually;

/// A running program. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stderr: Arc<Mutex<Vec<(Instant, String)>>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Process {
    /// Starts `program` with `arguments`; its standard output is ours, its standard error is
    /// captured.
    pub fn start(
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Self {
        let mut command = Command::new(program);
        command.args(arguments);
        Self::spawn(command)
    }

    /// The same for a command with an environment, a directory and so on of its own.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let pipe = BufReader::new(child.stderr.take().expect("standard error is piped"));
        let reader = thread::spawn({
            let stderr = Arc::clone(&stderr);
            move || {
                for line in pipe.lines().map_while(Result::ok) {
                    let mut lines = stderr.lock().expect("no holder panics");
                    lines.push((Instant::now(), line));
                }
            }
        });
        Self {
            child,
            stderr,
            reader: Some(reader),
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal: `"TERM"`, `"INT"`, `"KILL"`, `"STOP"`, `"CONT"`. Panics if the process has
    /// ended.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.id().to_string())
            .status();
        assert!(
            status.expect("kill can be run").success(),
            "SIG{name}: the process has ended\n{}",
            self.stderr()
        );
    }

    /// Waits for the end of the process and returns its status and everything that it wrote to
    /// standard error. Panics after `limit`.
    pub fn wait(mut self, limit: Duration) -> (ExitStatus, String) {
        let status = eventually(limit, "the end of the process", || {
            self.child.try_wait().expect("a child can be waited for")
        });
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader does not panic");
        }
        (status, self.stderr())
    }

    /// Like [`wait`](Self::wait), and panics unless the process has succeeded.
    pub fn succeed(self, limit: Duration) -> String {
        let (status, stderr) = self.wait(limit);
        assert!(status.success(), "{status}\n{stderr}");
        stderr
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("a child can be asked")
            .is_none()
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        let lines = self.stderr.lock().expect("no holder panics");
        lines.iter().flat_map(|(_, line)| [line, "\n"]).collect()
    }

    /// When it wrote lines that contain `part` to standard error.
    pub fn said(&self, part: &str) -> Vec<Instant> {
        let lines = self.stderr.lock().expect("no holder panics");
        let said = lines.iter().filter(|(_, line)| line.contains(part));
        said.map(|(at, _)| *at).collect()
    }

    /// Resident memory in bytes; `None` once it has ended.
    pub fn resident(&self) -> Option<u64> {
        self.status_field("VmRSS:")
    }

    /// The most resident memory that it has ever had, in bytes; `None` once it has ended.
    pub fn peak_resident(&self) -> Option<u64> {
        self.status_field("VmHWM:")
    }

    /// Open file descriptors; `None` once it has ended.
    pub fn descriptors(&self) -> Option<u64> {
        let open = fs::read_dir(format!("/proc/{}/fd", self.id())).ok()?;
        Some(open.count() as u64)
    }

    /// Threads; `None` once it has ended.
    pub fn threads(&self) -> Option<u64> {
        self.status("Threads:")?.parse().ok()
    }

    fn status_field(&self, name: &str) -> Option<u64> {
        let kilobytes = self.status(name)?;
        Some(kilobytes.strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    }

    fn status(&self, name: &str) -> Option<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().to_owned())
    }

    /// CPU time used so far, user and system, to 10 ms; `None` once it has ended.
    pub fn cpu(&self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).ok()?;
        // The second field, the name, may hold spaces and parentheses. utime and stime are fields
        // 14 and 15.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
        let ticks: u64 =
            fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
        // USER_HZ is 100 on every architecture that Rust runs on.
        Some(Duration::from_millis(ticks * 10))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if it has ended, which is as good.
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            eprintln!(
                "standard error of process {}:\n{}",
                self.id(),
                self.stderr()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_and_signals_and_captures() {
        let process = Process::start(
            "sh",
            [
                "-c",
                "trap 'echo bye >&2; exit 3' TERM; echo hi >&2; while :; do :; done",
            ],
        );
        eventually(Duration::from_secs(5), "a line", || {
            (process.stderr() == "hi\n").then_some(())
        });
        assert!(process.resident().unwrap() > 100_000);
        assert!(process.peak_resident() >= process.resident());
        assert_eq!(process.threads(), Some(1));
        assert!(process.descriptors() >= Some(3));
        eventually(Duration::from_secs(5), "CPU time", || {
            process.cpu().filter(|cpu| !cpu.is_zero())
        });
        assert_eq!(process.said("hi").len(), 1);
        assert_eq!(process.said("bye").len(), 0);
        process.signal("TERM");
        let (status, stderr) = process.wait(Duration::from_secs(5));
        assert_eq!((status.code(), stderr.as_str()), (Some(3), "hi\nbye\n"));
    }
}
