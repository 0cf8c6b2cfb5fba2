//! The endpoint that only counts, for benches.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::Served;

/// An HTTP/1.1 endpoint that answers 204 and counts, at a fraction of the cost of sending it the
/// request, on one thread of its own. It reads requests that have a `content-length`, and no
/// others.
#[derive(Debug)]
pub struct CountingSink {
    served: Served,
    counts: Arc<Counts>,
}

/// What a [`CountingSink`] does beside counting.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting {
    /// How long each request takes.
    pub delay: Duration,
    /// Whether to look for two requests at a time with the same `ce-partitionkey`.
    pub check_keys: bool,
}

/// What a [`CountingSink`] has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Requests.
    pub requests: u64,
    /// Events: one a request, or as many as its batch has.
    pub events: u64,
    /// Bytes of bodies.
    pub bytes: u64,
    /// Requests that came while another with the same key was being dealt with, if that was to be
    /// checked.
    pub concurrent: u64,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    events: AtomicU64,
    bytes: AtomicU64,
    concurrent: AtomicU64,
    busy: Mutex<HashSet<Vec<u8>>>,
}

/// What is of interest in a request.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    length: usize,
    body: usize,
    batch: bool,
    key: Option<Vec<u8>>,
}

impl CountingSink {
    /// An endpoint on a free port.
    pub fn start(counting: Counting) -> Self {
        let counts = Arc::new(Counts::default());
        let served = Served::start({
            let counts = Arc::clone(&counts);
            async move |listener: TcpListener| {
                let mut connections = JoinSet::new();
                loop {
                    tokio::select! {
                        accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                            connections.spawn(connection(stream, counting, Arc::clone(&counts)));
                        },
                        Some(_) = connections.join_next() => {}
                    }
                }
            }
        });
        Self { served, counts }
    }

    /// Where it is: `http://127.0.0.1:40123/`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address())
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.served.address
    }

    /// What it has seen so far.
    pub fn counted(&self) -> Counted {
        let counts = &self.counts;
        Counted {
            requests: counts.requests.load(Relaxed),
            events: counts.events.load(Relaxed),
            bytes: counts.bytes.load(Relaxed),
            concurrent: counts.concurrent.load(Relaxed),
        }
    }
}

async fn connection(mut stream: TcpStream, counting: Counting, counts: Arc<Counts>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        let Some(head) = head(&buffer, counting.check_keys) else {
            match stream.read_buf(&mut buffer).await {
                Ok(1..) => continue,
                Ok(0) | Err(_) => return,
            }
        };
        while buffer.len() < head.length + head.body {
            if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
                return;
            }
        }
        let body = &buffer[head.length..][..head.body];
        counts.requests.fetch_add(1, Relaxed);
        counts.bytes.fetch_add(body.len() as u64, Relaxed);
        let events = if head.batch {
            memchr::memmem::find_iter(body, b"\"specversion\"").count()
        } else {
            1
        };
        counts.events.fetch_add(events as u64, Relaxed);
        if let Some(key) = &head.key
            && !counts
                .busy
                .lock()
                .expect("no holder panics")
                .insert(key.clone())
        {
            counts.concurrent.fetch_add(1, Relaxed);
        }
        if !counting.delay.is_zero() {
            tokio::time::sleep(counting.delay).await;
        }
        if let Some(key) = &head.key {
            counts.busy.lock().expect("no holder panics").remove(key);
        }
        buffer.drain(..head.length + head.body);
        if stream
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .await
            .is_err()
        {
            return;
        }
    }
}

/// `None` if it is not complete.
fn head(buffer: &[u8], with_key: bool) -> Option<Head> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = request.parse(buffer).expect("a valid request") else {
        return None;
    };
    let header = |name: &str| {
        request
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    };
    let number = |value: &[u8]| str::from_utf8(value).ok()?.parse().ok();
    Some(Head {
        length,
        body: header("content-length").and_then(number).unwrap_or(0),
        batch: header("content-type")
            .is_some_and(|value| value.starts_with(b"application/cloudevents-batch")),
        key: with_key
            .then(|| header("ce-partitionkey").map(<[u8]>::to_vec))
            .flatten(),
    })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net,
    };

    use super::*;

    #[test]
    fn counts_events_and_finds_concurrent_requests_of_a_key() {
        let sink = CountingSink::start(Counting {
            delay: Duration::from_millis(50),
            check_keys: true,
        });
        let request =
            "POST / HTTP/1.1\r\nhost: a\r\nce-partitionkey: k\r\ncontent-length: 2\r\n\r\n{}";
        let batch = "POST / HTTP/1.1\r\ncontent-type: application/cloudevents-batch+json\r\ncontent-length: 38\r\n\r\n\
            [{\"specversion\":1.0},{\"specversion\":0}]";
        let mut connections = [0, 1].map(|_| net::TcpStream::connect(sink.address()).unwrap());
        connections
            .iter_mut()
            .for_each(|connection| connection.write_all(request.as_bytes()).unwrap());
        connections
            .iter_mut()
            .for_each(|connection| connection.read_exact(&mut [0; 27]).unwrap());
        connections[0].write_all(batch.as_bytes()).unwrap();
        connections[0].read_exact(&mut [0; 27]).unwrap();
        assert_eq!(
            sink.counted(),
            Counted {
                requests: 3,
                events: 4,
                bytes: 42,
                concurrent: 1
            }
        );
    }
}
