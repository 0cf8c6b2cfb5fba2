//! Queues, messages and leases.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::FakeOptions;

const REPLAY: Duration = Duration::from_secs(300);
const LONGEST: Duration = Duration::from_secs(43_200);

/// Why a request is refused: a code and a text.
pub(super) type Refusal = (&'static str, String);

#[derive(Debug)]
pub(super) struct Queues {
    options: FakeOptions,
    queues: HashMap<String, Queue>,
    sent: u64,
    pub(super) attempts: Vec<String>,
}

#[derive(Debug, Default)]
struct Queue {
    fifo: bool,
    visibility: Duration,
    redrive: Option<(u32, String)>,
    /// In the order of sending.
    messages: Vec<Stored>,
    deleted: HashSet<String>,
    replays: HashMap<String, (Instant, Vec<String>)>,
}

#[derive(Clone, Debug)]
struct Stored {
    id: String,
    body: String,
    attributes: Map<String, Value>,
    group: Option<String>,
    sequence: u64,
    sent: u64,
    receives: u32,
    /// While this lies ahead it is on lease, or was given back with a delay.
    visible: Instant,
    /// When the present lease was begun.
    leased: Instant,
    /// Deleted or changed since it was received: no replay of that receive.
    touched: bool,
    from: Option<String>,
}

impl Stored {
    /// Of the last receive.
    fn handle(&self) -> String {
        format!("{}#{}", self.id, self.receives)
    }

    fn show(&self, wanted: &Request<'_>) -> Value {
        let mut system = Map::new();
        if wanted.system {
            system.insert("SentTimestamp".into(), self.sent.to_string().into());
            let receives = self.receives.to_string();
            system.insert("ApproximateReceiveCount".into(), receives.into());
            system.insert("SenderId".into(), "AIDAFAKE".into());
            if let Some(group) = &self.group {
                system.insert("MessageGroupId".into(), group.as_str().into());
            }
            if wanted.fifo {
                system.insert(
                    "SequenceNumber".into(),
                    format!("{:020}", self.sequence).into(),
                );
            }
            if let Some(from) = &self.from {
                system.insert("DeadLetterQueueSourceArn".into(), arn(from).into());
            }
        }
        let mut shown = json!({
            "MessageId": self.id,
            "ReceiptHandle": self.handle(),
            "Body": self.body,
            "Attributes": system,
        });
        if wanted.attributes && !self.attributes.is_empty() {
            shown["MessageAttributes"] = self.attributes.clone().into();
        }
        shown
    }
}

/// A receive.
#[derive(Clone, Debug, Default)]
pub(super) struct Request<'a> {
    pub(super) max: usize,
    pub(super) visibility: Option<Duration>,
    pub(super) attempt: Option<&'a str>,
    pub(super) system: bool,
    pub(super) attributes: bool,
    pub(super) fifo: bool,
}

pub(super) fn arn(queue: &str) -> String {
    format!("arn:aws:sqs:us-east-1:000000000000:{queue}")
}

impl Queues {
    pub(super) fn new(options: FakeOptions) -> Self {
        Self {
            options,
            queues: HashMap::new(),
            sent: 0,
            attempts: Vec::new(),
        }
    }

    pub(super) fn create(&mut self, name: &str) {
        if self.queues.contains_key(name) {
            return;
        }
        let fifo = name.ends_with(".fifo");
        let dead = if fifo { "dead.fifo" } else { "dead" };
        let redrive = self.options.max_receives.filter(|_| name != dead);
        let queue = Queue {
            fifo,
            visibility: self.options.visibility,
            redrive: redrive.map(|max| (max, dead.to_owned())),
            ..Queue::default()
        };
        self.queues.insert(name.to_owned(), queue);
        if redrive.is_some() {
            self.create(dead);
        }
    }

    fn queue(&mut self, name: &str) -> Result<&mut Queue, Refusal> {
        self.queues.get_mut(name).ok_or_else(|| {
            (
                "QueueDoesNotExist",
                "The specified queue does not exist.".to_owned(),
            )
        })
    }

    /// Sets an attribute, as CreateQueue does.
    pub(super) fn set(&mut self, name: &str, attribute: &str, value: &str) -> Result<(), Refusal> {
        let queue = self.queue(name)?;
        if let ("VisibilityTimeout", Ok(seconds)) = (attribute, value.parse()) {
            queue.visibility = Duration::from_secs(seconds);
        }
        if let ("RedrivePolicy", Ok(Value::Object(policy))) =
            (attribute, serde_json::from_str(value))
        {
            let max = policy["maxReceiveCount"].as_u64().unwrap_or(1) as u32;
            let dead = policy["deadLetterTargetArn"].as_str().unwrap_or_default();
            let dead = dead.rsplit(':').next().unwrap_or_default().to_owned();
            queue.redrive = Some((max, dead));
        }
        Ok(())
    }

    pub(super) fn send(
        &mut self,
        name: &str,
        body: &str,
        group: Option<&str>,
    ) -> Result<String, Refusal> {
        self.send_with(name, body, group, Map::new())
    }

    pub(super) fn send_with(
        &mut self,
        name: &str,
        body: &str,
        group: Option<&str>,
        attributes: Map<String, Value>,
    ) -> Result<String, Refusal> {
        self.sent += 1;
        let sequence = self.sent;
        let queue = self.queue(name)?;
        if queue.fifo && group.is_none() {
            let text = "The request must contain the parameter MessageGroupId.";
            return Err(("MissingParameter", text.to_owned()));
        }
        let now = Instant::now();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let id = format!("00000000-0000-0000-0000-{sequence:012}");
        queue.messages.push(Stored {
            id: id.clone(),
            body: body.to_owned(),
            attributes,
            group: group.map(str::to_owned),
            sequence,
            sent: since.as_millis() as u64,
            receives: 0,
            visible: now,
            leased: now,
            touched: false,
            from: None,
        });
        Ok(id)
    }

    /// Messages, and when to look again if there are none.
    pub(super) fn receive(
        &mut self,
        name: &str,
        mut request: Request<'_>,
    ) -> Result<(Vec<Value>, Option<Instant>), Refusal> {
        let now = Instant::now();
        let queue = self.queue(name)?;
        request.fifo = queue.fifo;
        let until = now + request.visibility.unwrap_or(queue.visibility);
        if let Some(messages) = queue.replay(&request, until) {
            return Ok((messages, None));
        }
        let (mut given, mut moved, mut soonest) = (Vec::new(), Vec::new(), None);
        let mut blocked = HashSet::new();
        for message in &mut queue.messages {
            if given.len() >= request.max {
                break;
            }
            let group = message.group.clone().filter(|_| queue.fifo);
            if group.as_ref().is_some_and(|group| blocked.contains(group)) {
                continue;
            }
            if message.visible > now {
                soonest = soonest.min(Some(message.visible)).or(Some(message.visible));
                blocked.extend(group);
                continue;
            }
            let redrive = queue.redrive.as_ref();
            if redrive.is_some_and(|(max, _)| message.receives >= *max) {
                moved.push(message.id.clone());
                continue;
            }
            message.receives += 1;
            message.touched = false;
            (message.visible, message.leased) = (until, now);
            given.push((message.id.clone(), message.show(&request)));
        }
        let ids = given.iter().map(|(id, _)| id.clone()).collect();
        if let Some(attempt) = request.attempt.filter(|_| !given.is_empty()) {
            queue.replays.insert(attempt.to_owned(), (now, ids));
        }
        let dead = queue.redrive.as_ref().map(|(_, dead)| dead.clone());
        let (gone, kept) = std::mem::take(&mut queue.messages)
            .into_iter()
            .partition(|message| moved.contains(&message.id));
        queue.messages = kept;
        if let Some(dead) = dead.and_then(|dead| self.queues.get_mut(&dead)) {
            let gone: Vec<Stored> = gone;
            dead.messages.extend(gone.into_iter().map(|message| Stored {
                from: Some(name.to_owned()),
                ..message
            }));
        }
        Ok((given.into_iter().map(|(_, shown)| shown).collect(), soonest))
    }

    pub(super) fn delete(&mut self, name: &str, handle: &str) -> Result<(), Refusal> {
        let queue = self.queue(name)?;
        let Some(at) = queue.find(handle)? else {
            return Ok(());
        };
        let message = &queue.messages[at];
        if message.handle() != handle {
            // Said to be done, and is not.
            return Ok(());
        }
        queue.deleted.insert(message.id.clone());
        queue.messages.remove(at);
        Ok(())
    }

    pub(super) fn change(
        &mut self,
        name: &str,
        handle: &str,
        after: Duration,
    ) -> Result<(), Refusal> {
        let queue = self.queue(name)?;
        let now = Instant::now();
        let gone =
            "Reason: Message does not exist or is not available for visibility timeout change.";
        let at = queue.find(handle)?;
        let at = at.ok_or_else(|| invalid(handle, "ReceiptHandle", gone))?;
        let message = &mut queue.messages[at];
        if message.handle() != handle || message.visible <= now {
            let text = "The message referred to isn't in flight.";
            return Err(("MessageNotInflight", text.to_owned()));
        }
        if after > LONGEST || now - message.leased + after > LONGEST {
            let reason = "Reason: Total VisibilityTimeout for the message is beyond the limit.";
            let seconds = after.as_secs().to_string();
            return Err(invalid(&seconds, "VisibilityTimeout", reason));
        }
        message.visible = now + after;
        message.touched = true;
        Ok(())
    }

    pub(super) fn attributes(&mut self, name: &str) -> Result<Value, Refusal> {
        let (len, flying) = (self.len(name), self.in_flight(name));
        let queue = self.queue(name)?;
        let mut attributes = json!({
            "QueueArn": arn(name),
            "VisibilityTimeout": queue.visibility.as_secs().to_string(),
            "ApproximateNumberOfMessages": (len - flying).to_string(),
            "ApproximateNumberOfMessagesNotVisible": flying.to_string(),
        });
        if queue.fifo {
            attributes["FifoQueue"] = "true".into();
        }
        if let Some((max, dead)) = &queue.redrive {
            let policy = json!({ "deadLetterTargetArn": arn(dead), "maxReceiveCount": max });
            attributes["RedrivePolicy"] = policy.to_string().into();
        }
        Ok(attributes)
    }

    pub(super) fn len(&self, name: &str) -> usize {
        self.queues
            .get(name)
            .map_or(0, |queue| queue.messages.len())
    }

    pub(super) fn in_flight(&self, name: &str) -> usize {
        let now = Instant::now();
        let messages = self
            .queues
            .get(name)
            .map_or(&[][..], |queue| &queue.messages);
        messages
            .iter()
            .filter(|message| message.visible > now)
            .count()
    }
}

impl Queue {
    /// What an earlier receive with the same id was answered with.
    fn replay(&mut self, request: &Request<'_>, until: Instant) -> Option<Vec<Value>> {
        let (at, ids) = self.replays.get(request.attempt?)?;
        let now = Instant::now();
        let same =
            |message: &Stored| message.visible > now && message.leased == *at && !message.touched;
        let mut places = Vec::new();
        for id in ids {
            let place = self.messages.iter().position(|message| message.id == *id)?;
            places.push(place);
        }
        let valid = self.fifo
            && now - *at < REPLAY
            && places.iter().all(|place| same(&self.messages[*place]));
        valid.then(|| {
            let show = |place: &usize| {
                let message = &mut self.messages[*place];
                message.visible = until;
                message.show(request)
            };
            places.iter().map(show).collect()
        })
    }

    /// The place of the message that a handle was given for; `None` if it was deleted.
    fn find(&self, handle: &str) -> Result<Option<usize>, Refusal> {
        let id = handle.split('#').next().unwrap_or_default();
        if self.deleted.contains(id) {
            return Ok(None);
        }
        let Some(at) = self.messages.iter().position(|message| message.id == id) else {
            let text = "The input receipt handle is invalid.".to_owned();
            return Err(("ReceiptHandleIsInvalid", text));
        };
        let message = &self.messages[at];
        if self.fifo && (message.visible <= Instant::now() || message.handle() != handle) {
            let reason = "Reason: The receipt handle has expired.";
            return Err(invalid(handle, "ReceiptHandle", reason));
        }
        Ok(Some(at))
    }
}

fn invalid(value: &str, parameter: &str, reason: &str) -> Refusal {
    let text = format!("Value {value} for parameter {parameter} is invalid. {reason}");
    ("InvalidParameterValue", text)
}
