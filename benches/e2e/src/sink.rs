//! The endpoint: takes everything, at a fraction of what sending it costs, and checks the order.
//!
//! A process of its own, so that the CPU time of what is measured can be told apart. It reads
//! HTTP/1.1 requests that have a `content-length` and no others: it serves this bench alone.

use std::{
    cell::RefCell,
    collections::VecDeque,
    fs,
    io::{Read, Write},
    rc::Rc,
    time::Duration,
};

use memchr::memmem;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream, tcp::OwnedWriteHalf},
    sync::Notify,
    task::LocalSet,
    time::{Instant, sleep_until},
};

use crate::check::{Checks, Request};

/// What a sink does.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How many events it says are enough
    #[arg(long)]
    expect: u64,
    /// How many keys there are
    #[arg(long)]
    keys: usize,
    /// How long it takes to answer, in milliseconds
    #[arg(long, default_value_t = 0)]
    delay: u64,
    /// Whether to look at how old events are
    #[arg(long)]
    latency: bool,
    /// Write the first request to standard error
    #[arg(long)]
    show: bool,
}

struct Sink {
    options: Options,
    checks: RefCell<Checks>,
    /// Answers that wait for their time, in the order of these: it is the same delay for all.
    waiting: RefCell<VecDeque<(Instant, Request, Rc<OwnedWriteHalf>)>>,
    more: Notify,
}

const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// Runs until standard input ends. Writes lines: its address; an empty one at the first event; what
/// it has seen, once that is enough; and again in the end.
pub(crate) fn run(options: Options) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let checks = RefCell::new(Checks::new(options.keys, options.latency));
    let sink = Rc::new(Sink {
        options,
        checks,
        waiting: RefCell::default(),
        more: Notify::new(),
    });
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        say(&listener.local_addr()?.to_string())?;
        tokio::task::spawn_local({
            let sink = Rc::clone(&sink);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    // A connection that breaks is the client's business.
                    tokio::task::spawn_local(serve(Rc::clone(&sink), stream));
                }
            }
        });
        tokio::task::spawn_local({
            let sink = Rc::clone(&sink);
            async move { sink.answer_in_time().await }
        });
        let input = || std::io::stdin().read_to_end(&mut Vec::new());
        tokio::task::spawn_blocking(input).await??;
        sink.tell()
    })
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// The CPU time of this process.
fn cpu_micros() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // utime and stime are fields 14 and 15, in hundredths of a second; the name before them may
    // hold anything.
    let fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let ticks = fields
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().ok());
    Some(ticks.sum::<Option<u64>>()? * 10_000)
}

impl Sink {
    fn tell(&self) -> std::io::Result<()> {
        let mut seen = self.checks.borrow_mut().seen();
        seen.cpu_micros = cpu_micros().unwrap_or_default();
        say(&serde_json::to_string(&seen)?)
    }

    fn take(&self, head: &[u8], body: &[u8], to: &Rc<OwnedWriteHalf>) -> std::io::Result<()> {
        let (request, before, after) = {
            let mut checks = self.checks.borrow_mut();
            let before = checks.events();
            let request = checks.arrive(body);
            (request, before, checks.events())
        };
        if before == 0 && after > 0 {
            say("")?;
            if self.options.show {
                let text = String::from_utf8_lossy;
                eprintln!("{}{}", text(head), text(body));
            }
        }
        if (before..after).contains(&(self.options.expect - 1)) {
            self.tell()?;
        }
        if self.options.delay == 0 {
            return self.answer(request, to);
        }
        let due = Instant::now() + Duration::from_millis(self.options.delay);
        let mut waiting = self.waiting.borrow_mut();
        waiting.push_back((due, request, Rc::clone(to)));
        self.more.notify_one();
        Ok(())
    }

    fn answer(&self, request: Request, to: &OwnedWriteHalf) -> std::io::Result<()> {
        self.checks.borrow_mut().leave(request);
        match to.try_write(ANSWER) {
            Ok(written) if written == ANSWER.len() => Ok(()),
            Ok(_) => Err(std::io::Error::other("no room for an answer")),
            Err(error) => Err(error),
        }
    }

    /// One timer for all answers: one for each would cost more than the answers.
    async fn answer_in_time(&self) {
        loop {
            let due = self.waiting.borrow().front().map(|(due, ..)| *due);
            match due {
                None => self.more.notified().await,
                Some(due) => sleep_until(due).await,
            }
            let now = Instant::now();
            loop {
                let mut waiting = self.waiting.borrow_mut();
                if waiting.front().is_none_or(|(due, ..)| *due > now) {
                    break;
                }
                if let Some((_, request, to)) = waiting.pop_front() {
                    // A connection that breaks is the client's business.
                    drop(self.answer(request, &to));
                }
            }
        }
    }
}

async fn serve(sink: Rc<Sink>, stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut from, to) = stream.into_split();
    let to = Rc::new(to);
    let mut buffer: Vec<u8> = Vec::with_capacity(4 << 10);
    loop {
        if let Some(end) = memmem::find(&buffer, b"\r\n\r\n") {
            let head = end + 4;
            let length = head + body_length(&buffer[..head])?;
            while buffer.len() < length {
                buffer.reserve(length - buffer.len());
                if from.read_buf(&mut buffer).await? == 0 {
                    return Ok(());
                }
            }
            sink.take(&buffer[..head], &buffer[head..length], &to)?;
            buffer.drain(..length);
        } else if from.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

fn body_length(head: &[u8]) -> std::io::Result<usize> {
    const NAME: &[u8] = b"content-length: ";
    // hyper writes names in lower case; other clients take the long way.
    let value = memmem::find(head, NAME).map(|at| &head[at + NAME.len()..]);
    let slow = || {
        let mut lines = head.split(|byte| *byte == b'\n');
        lines.find_map(|line| {
            let (name, value) = line.split_at_checked(NAME.len() - 1)?;
            name.eq_ignore_ascii_case(&NAME[..NAME.len() - 1])
                .then(|| value.trim_ascii_start())
        })
    };
    let digits = value.or_else(slow).and_then(|value| {
        let digits = value.iter().take_while(|byte| byte.is_ascii_digit());
        std::str::from_utf8(&value[..digits.count()])
            .ok()?
            .parse()
            .ok()
    });
    digits.ok_or_else(|| std::io::Error::other("a request without a content-length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_length_however_it_is_written() {
        for head in [
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 42\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length:  42\r\nHost: a\r\n\r\n",
        ] {
            assert_eq!(body_length(head.as_bytes()).unwrap(), 42, "{head}");
        }
        assert!(body_length(b"GET / HTTP/1.1\r\n\r\n").is_err());
    }
}
