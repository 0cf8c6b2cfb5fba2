//! What the sink knows of events: their keys, their order, how old they are.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A record's payload begins with these, in this order; see [`payload`].
const KEY: &[u8] = b"{\"key\":";
const SEQ: &[u8] = b",\"seq\":";
const AT: &[u8] = b",\"at\":";

/// Writes a payload of `size` bytes: a JSON object with the key's number, the record's number
/// within the key, and the time at which it was to be sent, or 0 if its age is of no interest.
pub(crate) fn payload(key: usize, seq: u64, at: u64, size: usize, text: &mut String) {
    use std::fmt::Write;
    text.clear();
    let written = write!(text, "{{\"key\":{key},\"seq\":{seq},\"at\":{at},\"pad\":\"");
    debug_assert!(written.is_ok());
    let padding = size.saturating_sub(text.len() + 2);
    text.extend(std::iter::repeat_n('x', padding));
    text.push_str("\"}");
}

/// Microseconds since 1970, the same for all processes.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}

/// What a payload says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    key: usize,
    seq: u64,
    at: u64,
}

impl Record {
    /// All payloads in a body: one, or those of a batch.
    fn all(body: &[u8]) -> impl Iterator<Item = Self> {
        memchr::memmem::find_iter(body, KEY).filter_map(|start| Self::read(&body[start..]))
    }

    fn read(text: &[u8]) -> Option<Self> {
        let (key, text) = number(text, KEY)?;
        let (seq, text) = number(text, SEQ)?;
        let (at, _) = number(text, AT)?;
        let key = usize::try_from(key).ok()?;
        Some(Self { key, seq, at })
    }
}

fn number<'a>(text: &'a [u8], name: &[u8]) -> Option<(u64, &'a [u8])> {
    let text = text.strip_prefix(name)?;
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(digits);
    let value = digits.iter().try_fold(0u64, |value, digit| {
        value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })?;
    Some((value, rest))
}

/// A request that is being dealt with.
#[derive(Debug)]
pub(crate) struct Request {
    number: u64,
    keys: Vec<usize>,
}

/// What has come in so far.
#[derive(Debug)]
pub(crate) struct Checks {
    keys: Vec<Key>,
    seen: Seen,
    first: Option<Instant>,
    latencies: Option<Vec<u64>>,
    spare: Vec<Vec<usize>>,
}

#[derive(Clone, Debug, Default)]
struct Key {
    next: u64,
    /// The request that is at work on this key; 0 for none.
    busy: u64,
}

/// What a sink tells of itself.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) events: u64,
    /// Requests that came while another with one of their keys had not been answered.
    pub(crate) concurrent: u64,
    /// Events that came after a later one of their key, duplicates included.
    pub(crate) late: u64,
    /// Events that came before an earlier one of their key.
    pub(crate) early: u64,
    /// From the first event to the last one.
    pub(crate) seconds: f64,
    /// The CPU time of the sink, which it takes away from the others on a small machine.
    pub(crate) cpu_micros: u64,
    /// From the time at which they were to be sent to their arrival, in milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Seen {
    /// Everything against the order of a key.
    pub(crate) fn violations(&self) -> u64 {
        self.concurrent + self.late + self.early
    }
}

impl Checks {
    /// For so many keys, and with the events' ages if that is asked for.
    pub(crate) fn new(keys: usize, latencies: bool) -> Self {
        Self {
            keys: vec![Key::default(); keys],
            seen: Seen::default(),
            first: None,
            latencies: latencies.then(Vec::new),
            spare: Vec::new(),
        }
    }

    /// A request has come.
    pub(crate) fn arrive(&mut self, body: &[u8]) -> Request {
        self.seen.requests += 1;
        let number = self.seen.requests;
        let now = self.latencies.as_ref().map(|_| now());
        let mut keys = self.spare.pop().unwrap_or_default();
        for record in Record::all(body) {
            self.seen.events += 1;
            if let (Some(now), Some(latencies)) = (now, &mut self.latencies)
                && record.at > 0
            {
                latencies.push(now.saturating_sub(record.at));
            }
            let Some(key) = self.keys.get_mut(record.key) else {
                continue;
            };
            if key.busy != 0 && key.busy != number {
                self.seen.concurrent += 1;
            }
            key.busy = number;
            match record.seq.cmp(&key.next) {
                std::cmp::Ordering::Less => self.seen.late += 1,
                std::cmp::Ordering::Equal => key.next += 1,
                std::cmp::Ordering::Greater => {
                    self.seen.early += 1;
                    key.next = record.seq + 1;
                }
            }
            keys.push(record.key);
        }
        let now = Instant::now();
        let first = *self.first.get_or_insert(now);
        self.seen.seconds = (now - first).as_secs_f64();
        Request { number, keys }
    }

    /// A request is about to be answered.
    pub(crate) fn leave(&mut self, mut request: Request) {
        for key in request.keys.drain(..) {
            let key = &mut self.keys[key];
            if key.busy == request.number {
                key.busy = 0;
            }
        }
        self.spare.push(request.keys);
    }

    /// How many events have come.
    pub(crate) fn events(&self) -> u64 {
        self.seen.events
    }

    pub(crate) fn seen(&mut self) -> Seen {
        if let Some(latencies) = &mut self.latencies {
            latencies.sort_unstable();
            let at = |share: f64| {
                let last = latencies.len().saturating_sub(1);
                let micros = latencies.get((last as f64 * share).round() as usize);
                micros.map_or(0.0, |micros| *micros as f64 / 1000.0)
            };
            (self.seen.p50, self.seen.p99, self.seen.max) = (at(0.5), at(0.99), at(1.0));
        }
        self.seen.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(records: &[(usize, u64)]) -> Vec<u8> {
        let mut body = String::new();
        for &(key, seq) in records {
            let mut text = String::new();
            payload(key, seq, 7, 100, &mut text);
            assert_eq!(text.len(), 100);
            body.push_str(&text);
        }
        body.into_bytes()
    }

    #[test]
    fn finds_concurrency_and_disorder() {
        let mut checks = Checks::new(3, false);
        let first = checks.arrive(&body(&[(0, 0), (0, 1), (1, 0)]));
        let second = checks.arrive(&body(&[(2, 0)]));
        assert_eq!(checks.seen().concurrent, 0);
        let third = checks.arrive(&body(&[(1, 2)]));
        let seen = checks.seen();
        assert_eq!((seen.concurrent, seen.early, seen.late), (1, 1, 0));
        [first, second, third]
            .into_iter()
            .for_each(|request| checks.leave(request));
        let fourth = checks.arrive(&body(&[(1, 1), (0, 2)]));
        checks.leave(fourth);
        let seen = checks.seen();
        assert_eq!((seen.concurrent, seen.early, seen.late), (1, 1, 1));
        assert_eq!((seen.requests, seen.events), (4, 7));
    }
}
