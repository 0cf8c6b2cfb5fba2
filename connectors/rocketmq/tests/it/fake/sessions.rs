//! Sessions of one proxy: by client, what it is, and the stream to it.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;
use tokio::sync::mpsc;

use super::{
    Group,
    grpc::{self, Part},
    pb,
};

#[derive(Debug, Default)]
pub(super) struct Sessions {
    clients: HashMap<String, Session>,
    /// Streams of clients that were forgotten.
    others: Vec<mpsc::UnboundedSender<Part>>,
    number: u64,
}

#[derive(Debug)]
struct Session {
    number: u64,
    settings: pb::Settings,
    stream: mpsc::UnboundedSender<Part>,
}

impl Sessions {
    /// Returns its number.
    pub(super) fn begin(
        &mut self,
        client: &str,
        settings: pb::Settings,
        stream: mpsc::UnboundedSender<Part>,
    ) -> u64 {
        self.number += 1;
        let session = Session {
            number: self.number,
            settings,
            stream,
        };
        self.clients.insert(client.to_owned(), session);
        self.number
    }

    pub(super) fn leave(&mut self, client: &str, number: u64) {
        let same = self.clients.get(client);
        if same.is_some_and(|session| session.number == number) {
            self.clients.remove(client);
        }
    }

    /// A client's settings have changed; they are answered.
    pub(super) fn change(&mut self, client: &str, settings: pb::Settings, group: Option<&Group>) {
        if let Some(session) = self.clients.get_mut(client) {
            let told = merge(settings.clone(), group);
            drop(session.stream.send(grpc::frame(&told)));
            session.settings = settings;
        }
    }

    pub(super) fn settings(&self, client: &str) -> Option<&pb::Settings> {
        self.clients.get(client).map(|session| &session.settings)
    }

    pub(super) fn unknown(&self) -> Vec<(bool, i32)> {
        let sessions = self.clients.values();
        sessions.map(|session| unknown(&session.settings)).collect()
    }

    pub(super) fn remove(&mut self, client: &str) {
        self.clients.remove(client);
    }

    pub(super) fn knows(&self, client: &str) -> bool {
        self.clients.contains_key(client)
    }

    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }

    pub(super) fn forget(&mut self) {
        let forgotten = self.clients.drain().map(|(_, session)| session.stream);
        self.others.extend(forgotten);
    }

    pub(super) fn send(&self, message: &Bytes) {
        for session in self.clients.values() {
            drop(session.stream.send(grpc::frame(message)));
        }
    }

    pub(super) fn end(&mut self, orderly: bool) {
        self.others.clear();
        for (_, session) in self.clients.drain() {
            let end = match orderly {
                true => grpc::trailers(0, ""),
                false => grpc::broken(),
            };
            drop(session.stream.send(end));
        }
    }

    /// Tells a group's members what it is like.
    pub(super) fn tell(&self, name: &str, group: &Group) {
        let members = self
            .clients
            .values()
            .filter(|session| group_of(&session.settings).is_some_and(|it| it.name == name));
        for session in members {
            let settings = merge(session.settings.clone(), Some(group));
            drop(session.stream.send(grpc::frame(&settings)));
        }
    }
}

pub(super) fn group_of(settings: &pb::Settings) -> Option<&pb::Resource> {
    match settings.pub_sub.as_ref()? {
        pb::PubSub::Subscription(it) => it.group.as_ref(),
        pb::PubSub::Publishing(_) => None,
    }
}

/// What a proxy takes a group for that it can't look up: what its member says, or a new group.
pub(super) fn unknown(settings: &pb::Settings) -> (bool, i32) {
    let fifo = match &settings.pub_sub {
        Some(pb::PubSub::Subscription(it)) => it.fifo == Some(true),
        Some(pb::PubSub::Publishing(_)) | None => false,
    };
    let policy = settings.backoff_policy.as_ref();
    (fifo, policy.map_or(17, |policy| policy.max_attempts))
}

/// The client's settings with the server's in them, as a command.
pub(super) fn merge(mut settings: pb::Settings, group: Option<&Group>) -> Bytes {
    if let Some(group) = group {
        let next = group.backoff.iter();
        let next = next.map(|it| (*it).try_into().unwrap()).collect();
        settings.backoff_policy = Some(pb::RetryPolicy {
            max_attempts: group.max_attempts,
            strategy: Some(pb::Strategy::Customized(pb::CustomizedBackoff { next })),
        });
        if let Some(pb::PubSub::Subscription(it)) = &mut settings.pub_sub {
            it.fifo = Some(group.fifo);
            it.receive_batch_size = Some(group.batch);
            it.long_polling_timeout = Some(group.polling.try_into().unwrap());
        }
    }
    let command = pb::TelemetryCommand {
        settings: Some(settings),
        ..Default::default()
    };
    command.encode_to_vec().into()
}
