//! What each call does.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use eventlane_testkit::rocketmq::TopicType;
use prost::Message;

use super::{
    Fault, Kind, Shared, State,
    filter::Filter,
    pb::{
        self,
        calls::{AckMessageResultEntry, SendResultEntry},
    },
    server::wait,
    sessions,
    store::{Pop, Refusal},
};

const OK: i32 = 20000;
const MULTIPLE_RESULTS: i32 = 30000;
const NO_MESSAGE: i32 = 40401;

/// The shortest and the longest that a receive is held, in milliseconds.
const HOLDS: (u64, u64) = (1000, 20_000);

/// A call that is carried out.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) shared: Arc<Shared>,
    pub(super) broker: usize,
    pub(super) client: String,
    /// Until its deadline.
    pub(super) patience: Option<Duration>,
    pub(super) fault: Option<Fault>,
}

fn new_status(code: i32, text: &str) -> pb::Status {
    pb::Status {
        code,
        message: text.to_owned(),
    }
}

/// An answer of any kind with nothing but a status, which all of them have in the same place.
pub(super) fn status(code: i32, text: &str) -> Bytes {
    let status = Some(new_status(code, text));
    pb::StatusResponse { status }.encode_to_vec().into()
}

fn read<T: Message + Default>(question: Bytes) -> Result<T, Refusal> {
    T::decode(question).map_err(|error| (40000, error.to_string()))
}

fn millis(duration: Option<prost_types::Duration>) -> u64 {
    let duration: Duration = duration.unwrap_or_default().try_into().unwrap_or_default();
    u64::try_from(duration.as_millis()).unwrap()
}

fn name(resource: Option<pb::Resource>) -> String {
    resource.unwrap_or_default().name
}

fn no_topic(topic: &str) -> Refusal {
    (
        40402,
        format!("No topic route info in name server for the topic: {topic}"),
    )
}

impl State {
    /// Its type and how many queues a broker has of it. Dead letters have one, on each.
    fn topic(&self, name: &str) -> Option<(TopicType, u32)> {
        let dead = |(topic, _): &(String, u32)| topic == name && name.starts_with("%DLQ%");
        let mut queues = self.stores.iter().flat_map(|store| store.queues.keys());
        let dead = queues.any(dead).then_some((TopicType::Normal, 1));
        self.topics.get(name).copied().or(dead)
    }
}

impl Call {
    pub(super) async fn perform(self, kind: Kind, question: Bytes) -> Result<Vec<Bytes>, Refusal> {
        let answer = match kind {
            Kind::Receive => return self.receive(read(question)?).await,
            Kind::Heartbeat => self.heartbeat()?,
            Kind::Terminate | Kind::Telemetry => {
                self.shared.state().sessions[self.broker].remove(&self.client);
                status(OK, "OK")
            }
            Kind::Route => self.route(&read(question)?)?,
            Kind::Ack => self.ack(read(question)?),
            Kind::Change => self.change(read(question)?)?,
            Kind::Forward => self.forward(read(question)?)?,
            Kind::Send => self.send(read(question)?),
        };
        Ok(vec![answer])
    }

    fn heartbeat(&self) -> Result<Bytes, Refusal> {
        if self.shared.state().groups_lost {
            return Err((40003, "group not found".to_owned()));
        }
        match self.shared.state().sessions[self.broker].knows(&self.client) {
            true => Ok(status(OK, "OK")),
            false => {
                let text = "cannot find client settings for this client";
                Err((40015, text.to_owned()))
            }
        }
    }

    fn route(&self, question: &pb::QueryRouteRequest) -> Result<Bytes, Refusal> {
        const READ_WRITE: i32 = 4;
        let topic = name(question.topic.clone());
        let state = self.shared.state();
        let (ty, queues) = state.topic(&topic).ok_or_else(|| no_topic(&topic))?;
        let numbers = state
            .route
            .iter()
            .flat_map(|at| (0..queues).map(move |id| (*at, id)));
        let queues = numbers.map(|(at, id)| {
            let address = self.shared.addresses[at];
            pb::MessageQueue {
                topic: question.topic.clone(),
                id: id as i32,
                permission: READ_WRITE,
                broker: Some(pb::Broker {
                    name: format!("broker-{at}"),
                    id: 0,
                    endpoints: Some(pb::Endpoints {
                        scheme: 1,
                        addresses: vec![pb::Address {
                            host: address.ip().to_string(),
                            port: address.port().into(),
                        }],
                    }),
                }),
                accept_message_types: vec![message_type(ty)],
            }
        });
        let answer = pb::QueryRouteResponse {
            status: Some(new_status(OK, "OK")),
            message_queues: queues.collect(),
        };
        Ok(answer.encode_to_vec().into())
    }

    /// In the order of the real one's checks.
    fn check(&self, question: pb::ReceiveMessageRequest, hold: u64) -> Result<Pop, Refusal> {
        let mut state = self.shared.state();
        state.asked = question.batch_size;
        if !state.sessions[self.broker].knows(&self.client) {
            let text = "NullPointerException: Cannot invoke \"Settings.getSubscription()\" \
                        because \"settings\" is null";
            return Err((50001, text.to_owned()));
        }
        let patience = self.patience.map_or(u64::MAX, |it| it.as_millis() as u64);
        if patience < hold {
            let text = "The deadline time remaining is not enough for polling";
            return Err((40018, text.to_owned()));
        }
        let queue = question.message_queue.unwrap_or_default();
        let topic = name(queue.topic);
        let (_, queues) = state.topic(&topic).ok_or_else(|| no_topic(&topic))?;
        let broker = queue.broker.unwrap_or_default().name;
        if broker != format!("broker-{}", self.broker) {
            return Err((50001, format!("{broker} is not here")));
        }
        let invisible = millis(question.invisible_duration);
        let shortest = self.shared.shortest_lease.as_millis();
        if u128::from(invisible) < shortest {
            let text = format!("the invisibleTime is too small. min is {shortest}");
            return Err((40011, text));
        }
        let filter = Filter::read(&question.filter_expression.unwrap_or_default());
        let filter = filter.ok_or_else(|| {
            let text = "parse the consumer's subscription failed";
            (50001, text.to_owned())
        })?;
        let group_name = name(question.group);
        let group = state.groups.get(&group_name);
        let group = group.ok_or_else(|| (40003, "group not found".to_owned()))?;
        let settings = state.sessions[self.broker].settings(&self.client);
        let (fifo, most_attempts) = match settings {
            Some(settings) if state.groups_lost => sessions::unknown(settings),
            _ => (group.fifo, group.max_attempts),
        };
        let Ok(max) = usize::try_from(question.batch_size) else {
            return Err((50001, "the batch size is negative".to_owned()));
        };
        Ok(Pop {
            topic,
            queues,
            filter,
            invisible,
            max: max.min(32),
            fifo,
            most_attempts: most_attempts.unsigned_abs(),
            group: group_name,
        })
    }

    /// A long poll.
    async fn receive(&self, question: pb::ReceiveMessageRequest) -> Result<Vec<Bytes>, Refusal> {
        let group = name(question.group.clone());
        let longest = {
            let state = self.shared.state();
            let group = state.groups.get(&group);
            group.map_or(HOLDS.1, |it| it.polling.as_millis() as u64)
        };
        let hold = millis(question.long_polling_timeout);
        let hold = hold.max(HOLDS.0).min(longest);
        let pop = self.check(question, hold)?;
        let end = self.shared.now() + hold;
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            let (now, due, down, messages) = {
                let (now, mut state) = (self.shared.now(), self.shared.state());
                let down = state.down.contains(&self.broker);
                let store = &mut state.stores[self.broker];
                let messages = if down {
                    Vec::new()
                } else {
                    store.pop(&pop, now)
                };
                (now, store.tick(now), down, messages)
            };
            if !messages.is_empty() {
                let parts = messages.into_iter().map(|message| {
                    let content = Some(pb::Content::Message(Box::new(message)));
                    pb::ReceiveMessageResponse { content }
                        .encode_to_vec()
                        .into()
                });
                let mut answer = vec![status(OK, "OK")];
                answer.extend(parts);
                return Ok(answer);
            }
            if now >= end || down {
                return Err((NO_MESSAGE, "no new message".to_owned()));
            }
            let until = due.unwrap_or(end).clamp(now + 1, end);
            wait(changed, Duration::from_millis(until - now)).await;
        }
    }

    fn ack(&self, question: pb::AckMessageRequest) -> Bytes {
        let (group, topic) = (name(question.group), name(question.topic));
        let (now, mut state) = (self.shared.now(), self.shared.state());
        let store = &mut state.stores[self.broker];
        let fault = self.fault;
        let entries = question.entries.into_iter().enumerate().map(|(at, entry)| {
            let outcome = match fault {
                Some(Fault::Entries(count, code)) if at < count => Err((code, String::new())),
                _ => store.ack(&group, &topic, &entry.receipt_handle, now),
            };
            let (code, text) = match outcome {
                Ok(()) => (OK, "OK".to_owned()),
                Err(refusal) => refusal,
            };
            AckMessageResultEntry {
                message_id: entry.message_id,
                receipt_handle: entry.receipt_handle,
                status: Some(new_status(code, &text)),
            }
        });
        let mut entries: Vec<_> = entries.collect();
        drop(state);
        self.shared.changed.notify_waiters();
        let codes: Vec<_> = entries.iter().filter_map(|it| it.status.clone()).collect();
        let same = codes.windows(2).all(|two| two[0].code == two[1].code);
        let top = match codes.first() {
            Some(first) if same => first.clone(),
            _ => new_status(MULTIPLE_RESULTS, "mixed"),
        };
        if let Some(Fault::Silent(count)) = fault {
            entries.truncate(entries.len().saturating_sub(count));
        }
        let answer = pb::AckMessageResponse {
            status: Some(top),
            entries,
        };
        answer.encode_to_vec().into()
    }

    fn change(&self, question: pb::ChangeInvisibleRequest) -> Result<Bytes, Refusal> {
        let (group, topic) = (name(question.group), name(question.topic));
        let (now, mut state) = (self.shared.now(), self.shared.state());
        state.changes.push(millis(question.invisible_duration));
        let receipt_handle = state.stores[self.broker].change(
            (&group, &topic),
            &question.receipt_handle,
            millis(question.invisible_duration),
            question.suspend.unwrap_or(false),
            now,
        )?;
        drop(state);
        self.shared.changed.notify_waiters();
        let answer = pb::ChangeInvisibleResponse {
            status: Some(new_status(OK, "OK")),
            receipt_handle,
        };
        Ok(answer.encode_to_vec().into())
    }

    fn forward(&self, question: pb::ForwardToDeadLetterRequest) -> Result<Bytes, Refusal> {
        let (group, topic) = (name(question.group), name(question.topic));
        let attempt = question.delivery_attempt.unsigned_abs();
        let mut state = self.shared.state();
        let store = &mut state.stores[self.broker];
        store.forward(&group, &topic, &question.receipt_handle, attempt)?;
        drop(state);
        self.shared.changed.notify_waiters();
        Ok(status(OK, "OK"))
    }

    fn send(&self, question: pb::SendMessageRequest) -> Bytes {
        // What comes together goes to one queue, whatever its groups, and has one result: the offset
        // of the first, and an id that none has.
        let together = question.messages.len() > 1;
        let first = question
            .messages
            .first()
            .and_then(|it| it.system_properties.as_ref());
        let queue = first.and_then(|it| it.queue_id).unwrap_or(0).unsigned_abs();
        let entries = question.messages.into_iter().map(|message| {
            let id = message.system_properties.as_ref();
            let id = id.map(|it| it.message_id.clone()).filter(|_| !together);
            let message_id = id.unwrap_or_else(|| "of none".to_owned());
            let (code, text, offset) = match self.send_one(message, together.then_some(queue)) {
                Ok(offset) => (OK, "OK".to_owned(), offset),
                Err((code, text)) => (code, text, 0),
            };
            SendResultEntry {
                status: Some(new_status(code, &text)),
                message_id,
                offset,
            }
        });
        let mut entries: Vec<_> = entries.collect();
        entries.truncate(1);
        self.shared.changed.notify_waiters();
        let first = entries.first().and_then(|entry| entry.status.clone());
        // Of one that was refused, the real one has no entry.
        let refused = first.clone().filter(|it| it.code != OK);
        let answer = pb::SendMessageResponse {
            entries: if refused.is_some() {
                Vec::new()
            } else {
                entries
            },
            status: first,
        };
        answer.encode_to_vec().into()
    }

    fn send_one(&self, message: pb::Message, to: Option<u32>) -> Result<i64, Refusal> {
        const LARGEST: usize = 4 << 20;
        let topic = name(message.topic.clone());
        let system = message.system_properties.clone().unwrap_or_default();
        let mut state = self.shared.state();
        let (ty, queues) = state.topic(&topic).ok_or_else(|| no_topic(&topic))?;
        let tag = system.tag.unwrap_or_default();
        let refused = [
            (
                message.body.is_empty(),
                41302,
                "message body cannot be empty",
            ),
            (
                message.body.len() > LARGEST,
                41301,
                "message body is too large",
            ),
            (tag.contains('|'), 40004, "tag cannot contain '|'"),
            (
                message.user_properties.contains_key("TAGS"),
                40007,
                "property is used by system",
            ),
            (
                message_type(ty) != system.message_type,
                40014,
                "message type does not match",
            ),
        ];
        if let Some((_, code, text)) = refused.into_iter().find(|(it, ..)| *it) {
            return Err((code, text.to_owned()));
        }
        // The group's queue, whatever the request says.
        let queue = match (to, &system.message_group) {
            (Some(queue), _) => queue,
            (None, Some(group)) => group
                .bytes()
                .fold(7_u32, |hash, b| hash.wrapping_mul(31) + u32::from(b)),
            (None, None) => system.queue_id.unwrap_or(0).unsigned_abs(),
        };
        let at = system.delivery_timestamp.map(|at| {
            let millis = at.seconds * 1000 + i64::from(at.nanos) / 1_000_000;
            u64::try_from(millis).unwrap_or(0)
        });
        let store = &mut state.stores[self.broker];
        Ok(store.append(queue % queues.max(1), message, at))
    }
}

fn message_type(ty: TopicType) -> i32 {
    match ty {
        TopicType::Normal => 1,
        TopicType::Fifo => 2,
        TopicType::Delay => 3,
    }
}
