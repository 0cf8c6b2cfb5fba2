//! Sessions: what makes a server know us.
//!
//! A session is a stream. Our settings go first; the server answers with its own, and only then
//! knows the client: a receive that overtakes them fails. It forgets us when the stream ends, after
//! a minute or two without a heartbeat, and when it restarts. So each session is kept by a task
//! that opens the stream, sends heartbeats, and begins anew when the stream ends or somebody is
//! told that he is not known.
//!
//! * **Who waits.** Receives and sends wait for the session to be open, or for the next attempt to
//!   fail, and then tell that failure. Acknowledgements need no session.
//! * **Anew.** A session ends with its stream, with a heartbeat that says that we are unknown, when
//!   the server asks for it, and when a receive is told that there are no settings. Of several that
//!   are told so at the same time, the first one ends it.
//! * **What the server says of the group** is told back to it. Apache's proxy looks the group up for each
//!   receive; as long as it can't, since the broker has just come back, it goes by the client's
//!   settings (5.5: for up to 20 s). Without a word there, a FIFO group gets its messages without
//!   order, several batches of a queue at a time.
//! * **Pauses** between attempts grow to a second. They are short because whoever waits has longer
//!   ones of his own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use eventlane::ErrorKind;
use futures_util::stream;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};
use tonic::Streaming;

use super::{
    Address, ServerSettings, pb,
    transport::{Method, Transport},
};
use crate::error::{self, Failure};

const HEARTBEAT: Duration = Duration::from_secs(10);

/// Pauses between attempts: the first and the longest. Those who need the session pause, too.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// The pause after a failure that will not pass by itself.
const HOPELESS: Duration = Duration::from_secs(20);

/// What all sessions of a client share.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) transport: Transport,
    pub(super) client_type: i32,
    pub(super) group: Option<pb::Resource>,
    pub(super) settings: pb::Settings,
    /// What the servers have said last.
    pub(super) pushed: watch::Sender<ServerSettings>,
    /// Whether the client has been of use: from then on, restarts explain a lot.
    pub(super) started: AtomicBool,
}

impl Context {
    /// What a failure means by now.
    pub(super) fn judge(&self, failure: Failure) -> Failure {
        match self.started.load(Ordering::Relaxed) {
            true => failure.since_start(),
            false => failure,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct State {
    is_up: bool,
    /// Attempts that have come to something, good or bad.
    attempts: u64,
    failure: Option<Failure>,
}

impl State {
    /// Whether somebody has to mend something first.
    fn is_hopeless(&self) -> bool {
        let failure = self.failure.as_ref();
        failure.is_some_and(|failure| !failure.kind.is_transient())
    }
}

/// A session with one server. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Session {
    state: Arc<watch::Sender<State>>,
    reopen: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Session {
    /// Begins to open a session, in the background.
    pub(super) fn open(context: Arc<Context>, address: Address) -> Self {
        let state = Arc::new(watch::Sender::new(State::default()));
        let reopen = Arc::new(Notify::new());
        let keeper = Keeper {
            settings: watch::Sender::new(context.settings.clone()),
            context,
            address,
            state: Arc::clone(&state),
            reopen: Arc::clone(&reopen),
        };
        Self {
            state,
            reopen,
            task: tokio::spawn(keeper.keep()),
        }
    }

    /// Whether the server knows us, as far as is known.
    pub(super) fn is_up(&self) -> bool {
        self.state.borrow().is_up
    }

    /// Waits until the session is open, or the next attempt to open it has failed, unless the last
    /// one failed for good. Returns its number.
    pub(super) async fn ready(&self) -> Result<u64, Failure> {
        let mut states = self.state.subscribe();
        let seen = states.borrow().attempts;
        let state = states
            .wait_for(|state| state.is_up || state.attempts > seen || state.is_hopeless())
            .await;
        let closed = || {
            Failure::new(
                ErrorKind::Unavailable,
                OPEN.operation,
                "the client is closed",
            )
        };
        let state = state.map_err(|_| closed())?;
        match state.is_up {
            true => Ok(state.attempts),
            false => Err(state.failure.clone().unwrap_or_else(closed)),
        }
    }

    /// Begins anew, unless that has happened since the session had this number.
    pub(super) fn reopen(&self, number: u64) {
        let closed = self.state.send_if_modified(|state| {
            let same = state.is_up && state.attempts == number;
            state.is_up &= !same;
            same
        });
        if closed {
            self.reopen.notify_one();
        }
    }
}

const OPEN: Method = Method::TELEMETRY;

/// The task of a session.
struct Keeper {
    context: Arc<Context>,
    address: Address,
    /// Ours, with what this server has said of the group.
    settings: watch::Sender<pb::Settings>,
    state: Arc<watch::Sender<State>>,
    reopen: Arc<Notify>,
}

impl Keeper {
    /// Opens the session again and again.
    async fn keep(self) {
        let (shortest, longest) = PAUSES;
        let mut pause = shortest;
        loop {
            match self.establish_renewed().await {
                Ok(stream) => {
                    pause = shortest;
                    let failure = self.attend(stream).await;
                    tracing::debug!(server = %self.address, ?failure, "a session has ended");
                    self.state.send_modify(|state| {
                        (state.is_up, state.failure) = (false, failure);
                    });
                }
                Err(failure) => {
                    let failure = self.context.judge(failure);
                    tracing::debug!(server = %self.address, ?failure, "no session");
                    self.state.send_modify(|state| {
                        (state.is_up, state.failure) = (false, Some(failure));
                        state.attempts += 1;
                    });
                }
            }
            let hopeless = self.state.borrow().is_hopeless();
            let rest = if hopeless { HOPELESS } else { pause };
            sleep(rest.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Once more, if we were refused and there are other credentials.
    async fn establish_renewed(&self) -> Result<Streaming<pb::TelemetryCommand>, Failure> {
        let transport = &self.context.transport;
        let generation = transport.generation().await;
        match self.establish().await {
            Err(failure) if transport.renew(&failure, generation).await => self.establish().await,
            outcome => outcome,
        }
    }

    /// Sends our settings and waits for the server's.
    async fn establish(&self) -> Result<Streaming<pb::TelemetryCommand>, Failure> {
        let transport = &self.context.transport;
        // Now, and whenever they change. It must not end: the session would.
        let state = (self.settings.subscribe(), true);
        let outgoing = stream::unfold(state, async |(mut settings, first)| {
            if !first {
                settings.changed().await.ok()?;
            }
            let command = pb::TelemetryCommand {
                settings: Some(settings.borrow_and_update().clone()),
                ..Default::default()
            };
            Some((command, (settings, false)))
        });
        let open = async {
            let mut stream = transport.talk(OPEN, &self.address, outgoing).await?;
            loop {
                if self.follow(&mut stream).await? == Followed::Settings {
                    return Ok(stream);
                }
            }
        };
        let patience = transport.request_timeout;
        let stream = transport
            .within(OPEN, &self.address, patience, open)
            .await?;
        self.state.send_modify(|state| {
            (state.is_up, state.failure) = (true, None);
            state.attempts += 1;
        });
        Ok(stream)
    }

    /// Follows the next command.
    async fn follow(
        &self,
        stream: &mut Streaming<pb::TelemetryCommand>,
    ) -> Result<Followed, Failure> {
        let ended = || {
            Failure::new(
                ErrorKind::Unavailable,
                OPEN.operation,
                "the server ended it",
            )
        };
        let command = stream.message().await;
        let command = command
            .map_err(|status| Failure::rpc(OPEN.operation, &status))
            .and_then(|command| command.ok_or_else(ended))
            .map_err(|failure| failure.at(&self.address))?;
        if let Some(status) = &command.status {
            error::check(OPEN.operation, Some(status)).map_err(|it| it.at(&self.address))?;
        }
        if command.reconnect.is_some() {
            return Err(ended().at(&self.address));
        }
        let Some(settings) = &command.settings else {
            return Ok(Followed::Other);
        };
        self.settings.send_if_modified(|ours| adopt(ours, settings));
        let settings = ServerSettings::read(settings);
        self.context.pushed.send_if_modified(|last| {
            let changed = *last != settings;
            *last = settings;
            changed
        });
        Ok(Followed::Settings)
    }

    /// Keeps the session until it ends; why, if not because somebody wanted it.
    async fn attend(&self, mut stream: Streaming<pb::TelemetryCommand>) -> Option<Failure> {
        let mut heartbeats = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                followed = self.follow(&mut stream) => {
                    if let Err(failure) = followed {
                        return Some(failure);
                    }
                }
                () = self.reopen.notified() => return None,
                _ = heartbeats.tick() => {
                    if let Err(failure) = self.heartbeat().await {
                        tracing::debug!(server = %self.address, ?failure, "a heartbeat failed");
                        if failure.needs_settings() {
                            return Some(failure);
                        }
                    }
                }
            }
        }
    }

    /// Says that we are still there.
    async fn heartbeat(&self) -> Result<(), Failure> {
        let Context {
            transport,
            group,
            client_type,
            ..
        } = &*self.context;
        let question = pb::HeartbeatRequest {
            group: group.clone(),
            client_type: *client_type,
        };
        let answer: Result<pb::StatusResponse, _> = transport
            .demand(Method::HEARTBEAT, &self.address, question)
            .await;
        answer.map(drop)
    }
}

/// Makes what a server says of the group a part of our settings. Whether that changed them.
fn adopt(ours: &mut pb::Settings, said: &pb::Settings) -> bool {
    let Some(pb::PubSub::Subscription(said_of)) = &said.pub_sub else {
        return false;
    };
    let Some(pb::PubSub::Subscription(own)) = &mut ours.pub_sub else {
        return false;
    };
    let attempts = |policy: &pb::RetryPolicy| pb::RetryPolicy {
        max_attempts: policy.max_attempts,
        strategy: None,
    };
    let policy = said.backoff_policy.as_ref().map(attempts);
    let changed = own.fifo != said_of.fifo || ours.backoff_policy != policy;
    own.fifo = said_of.fifo;
    ours.backoff_policy = policy;
    changed
}

/// What a command was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Followed {
    Settings,
    Other,
}
