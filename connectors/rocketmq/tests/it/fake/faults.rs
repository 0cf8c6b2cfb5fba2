//! What goes wrong.

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
    time::Duration,
};

/// The calls that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Telemetry,
    Heartbeat,
    Terminate,
    Route,
    Receive,
    Ack,
    Change,
    Forward,
    Send,
}

impl Kind {
    pub(super) fn of(path: &str) -> Option<Self> {
        Some(
            match path.strip_prefix("/apache.rocketmq.v2.MessagingService/")? {
                "Telemetry" => Self::Telemetry,
                "Heartbeat" => Self::Heartbeat,
                "NotifyClientTermination" => Self::Terminate,
                "QueryRoute" => Self::Route,
                "ReceiveMessage" => Self::Receive,
                "AckMessage" => Self::Ack,
                "ChangeInvisibleDuration" => Self::Change,
                "ForwardMessageToDeadLetterQueue" => Self::Forward,
                "SendMessage" => Self::Send,
                _ => return None,
            },
        )
    }
}

/// What happens to a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It is neither done nor answered.
    Hang,
    /// It is done, so much later.
    Slow(Duration),
    /// It is done, and never answered.
    Lost,
    /// It is done, and the stream of the answer breaks before its end: of a receive, behind the
    /// first message.
    Broken,
    /// It is not done; the connection is cut.
    Reset,
    /// It is not done; a status with this code and text.
    Code(i32, &'static str),
    /// It is not done; a status of gRPC's own.
    Rpc(u32, &'static str),
    /// It is not done; the answer is no protobuf.
    Garbage,
    /// It is not done; the answer has nothing in it.
    Nothing,
    /// It is not done; the answer is no gRPC, but a page of HTML with this status.
    Html(u16),
    /// Acknowledgements: the first so many are not done and have this code.
    Entries(usize, i32),
    /// Acknowledgements: the last so many are done, and the answer does not mention them.
    Silent(usize),
}

/// What is to go wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: HashMap<Kind, VecDeque<Fault>>,
    always: HashMap<Kind, Fault>,
    calls: HashMap<Kind, usize>,
}

impl Faults {
    /// Lets the next call of a kind that has no fault yet go wrong.
    pub(crate) fn next(&self, kind: Kind, fault: Fault) {
        let mut state = self.0.lock().unwrap();
        state.next.entry(kind).or_default().push_back(fault);
    }

    /// Lets every call of a kind go wrong for which there is no [`next`](Self::next).
    pub(crate) fn always(&self, kind: Kind, fault: Fault) {
        self.0.lock().unwrap().always.insert(kind, fault);
    }

    /// Lets calls succeed again.
    pub(crate) fn clear(&self) {
        let mut state = self.0.lock().unwrap();
        state.next.clear();
        state.always.clear();
    }

    /// How many calls of a kind have come.
    pub(crate) fn calls(&self, kind: Kind) -> usize {
        let state = self.0.lock().unwrap();
        state.calls.get(&kind).copied().unwrap_or_default()
    }

    /// Counts a call, and says what happens to it.
    pub(super) fn of(&self, kind: Kind) -> Option<Fault> {
        let mut state = self.0.lock().unwrap();
        *state.calls.entry(kind).or_default() += 1;
        let next = state.next.get_mut(&kind).and_then(VecDeque::pop_front);
        next.or_else(|| state.always.get(&kind).copied())
    }
}
