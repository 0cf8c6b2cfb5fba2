//! Queues and leases.

use std::{collections::HashSet, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tokio::time::Instant;

/// Milliseconds since 1970 on the server's clock, and the same moment for leases.
pub(super) type Now = (u64, Instant);

/// A message as it was sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Outgoing {
    pub(super) body: String,
    pub(super) group: Option<String>,
    pub(super) delay: Duration,
    pub(super) priority: Option<u8>,
    /// `UserProperties` and `SystemProperties` as XML.
    pub(super) properties: String,
}

#[derive(Debug)]
struct Stored {
    id: String,
    sent: Outgoing,
    enqueued: u64,
    first_dequeue: Option<u64>,
    dequeues: u32,
    visible: Instant,
    handle: Option<String>,
}

/// A message that is handed out.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) id: String,
    pub(super) handle: String,
    pub(super) sent: Outgoing,
    pub(super) enqueued: u64,
    pub(super) first_dequeue: u64,
    pub(super) next_visible: u64,
    pub(super) dequeues: u32,
}

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) lease: Duration,
    messages: Vec<Stored>,
    number: u64,
}

/// The code of a refusal.
pub(super) type Code = &'static str;

impl Queue {
    pub(super) fn new(lease: Duration) -> Self {
        Self {
            lease,
            messages: Vec::new(),
            number: 0,
        }
    }

    pub(super) fn send(&mut self, sent: Outgoing, (millis, now): Now) -> String {
        self.number += 1;
        let id = format!("5F290C92{millis:X}-{:X}", self.number);
        self.messages.push(Stored {
            id: id.clone(),
            enqueued: millis,
            first_dequeue: None,
            dequeues: 0,
            visible: now + sent.delay,
            handle: None,
            sent,
        });
        // Stable: among equals, the oldest stays first.
        self.messages
            .sort_by_key(|message| message.sent.priority.unwrap_or(8));
        id
    }

    pub(super) fn receive(&mut self, most: usize, (millis, now): Now) -> Vec<Taken> {
        let (lease, mut number) = (self.lease, self.number);
        let mut held = HashSet::new();
        let mut taken = Vec::new();
        for message in &mut self.messages {
            if taken.len() == most {
                break;
            }
            let group = message.sent.group.clone();
            if message.visible > now {
                held.extend(group);
                continue;
            }
            if group.is_some_and(|group| held.contains(&group)) {
                continue;
            }
            number += 1;
            let handle = handle(number);
            message.visible = now + lease;
            message.dequeues += 1;
            message.handle = Some(handle.clone());
            taken.push(Taken {
                id: message.id.clone(),
                handle,
                sent: message.sent.clone(),
                enqueued: message.enqueued,
                first_dequeue: *message.first_dequeue.get_or_insert(millis),
                next_visible: millis + whole_millis(lease),
                dequeues: message.dequeues,
            });
        }
        self.number = number;
        taken
    }

    pub(super) fn delete(&mut self, handle: &str, (_, now): Now) -> Result<(), Code> {
        let at = self.find(handle, now)?;
        self.messages.remove(at);
        Ok(())
    }

    /// The new handle, and when the message will be visible.
    pub(super) fn change_visibility(
        &mut self,
        handle: &str,
        lease: Duration,
        (millis, now): Now,
    ) -> Result<(String, u64), Code> {
        let at = self.find(handle, now)?;
        self.number += 1;
        let renewed = self::handle(self.number);
        let message = &mut self.messages[at];
        message.visible = now + lease;
        message.handle = Some(renewed.clone());
        Ok((renewed, millis + whole_millis(lease)))
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn in_flight(&self, now: Instant) -> usize {
        let mut messages = self.messages.iter();
        messages
            .by_ref()
            .filter(|message| message.dequeues > 0 && message.visible > now)
            .count()
    }

    fn find(&self, handle: &str, now: Instant) -> Result<usize, Code> {
        if !handle.starts_with("1-") || !handle.ends_with("==") {
            return Err("ReceiptHandleError");
        }
        let mut messages = self.messages.iter();
        messages
            .position(|message| message.visible > now && message.handle.as_deref() == Some(handle))
            .ok_or("MessageNotExist")
    }
}

/// With all the characters that base64 has and URLs don't.
fn handle(number: u64) -> String {
    let mut bytes = vec![0xfb, 0xff, 0xfe, 0xff];
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.push(0);
    let handle = format!("1-{}", BASE64_STANDARD.encode(&bytes));
    assert!(handle.contains(['+', '/']) && handle.ends_with("=="));
    handle
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("it fits")
}
