//! What consumers and producers have in common: sessions and routes.
//!
//! * **Sessions** are opened with the access points when a client starts, and with each server that
//!   a route names when it is first used. Those that no route names any more are left.
//! * **Routes** are asked for when a topic is first used, every half a minute from then on, and after
//!   a receive that found nobody, at the access points in turn. Nothing but a better answer replaces the last one, so that a broker
//!   is found again where it was.
//! * **The end** is said to every server that knows us, since it would keep us in its books for
//!   another two minutes. Leases are not touched by it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use eventlane::{ErrorKind, Result};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    Address, ServerSettings, duration,
    metadata::VERSION,
    pb,
    route::{Route, Routes},
    session::{Context, Session},
    transport::{Method, Transport},
};
use crate::{config::RocketMqConfig, error::Failure};

const ROUTES_LAST: Duration = Duration::from_secs(30);

/// A client, without what it is there for.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) context: Arc<Context>,
    namespace: String,
    /// The configured endpoints, at least one.
    access: Vec<Address>,
    sessions: Mutex<HashMap<Address, Arc<Session>>>,
    routes: Routes,
    turn: AtomicUsize,
    closed: AtomicBool,
    refresh: Mutex<Option<JoinHandle<()>>>,
}

impl Core {
    /// Connects to the first access point that lets us in.
    pub(super) async fn start(
        config: &RocketMqConfig,
        client_type: i32,
        group: Option<&str>,
        pub_sub: pb::PubSub,
    ) -> Result<Arc<Self>> {
        config.validate_connection()?;
        let access = config.addresses()?;
        let settings = pb::Settings {
            client_type: Some(client_type),
            access_point: Some(Address::endpoints(&access)),
            backoff_policy: None,
            request_timeout: Some(duration(config.request_timeout)),
            pub_sub: Some(pub_sub),
            user_agent: Some(pb::UserAgent {
                language: RUST,
                version: VERSION.to_owned(),
                platform: std::env::consts::OS.to_owned(),
                hostname: String::new(),
            }),
        };
        let core = Arc::new(Self {
            context: Arc::new(Context {
                transport: Transport::new(config)?,
                client_type,
                group: group.map(|name| resource(&config.namespace, name)),
                settings,
                pushed: watch::Sender::new(ServerSettings::default()),
                started: AtomicBool::new(false),
            }),
            namespace: config.namespace.clone(),
            access,
            sessions: Mutex::default(),
            routes: Routes::default(),
            turn: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            refresh: Mutex::default(),
        });
        let mut outcome = Ok(());
        for address in &core.access {
            outcome = core.session(address).ready().await.map(drop);
            if outcome.is_ok() {
                break;
            }
        }
        outcome?;
        let weak = Arc::downgrade(&core);
        let refresh = tokio::spawn(async move {
            loop {
                sleep(ROUTES_LAST.mul_f64(0.8 + fastrand::f64() * 0.4)).await;
                let Some(core) = weak.upgrade() else { return };
                core.refresh().await;
            }
        });
        *core.refresh.lock().unwrap_or_else(PoisonError::into_inner) = Some(refresh);
        Ok(core)
    }

    /// From now on, what only restarts explain is taken for one.
    pub(super) fn started(&self) {
        self.context.started.store(true, Ordering::Relaxed);
    }

    /// A topic or group of the namespace.
    pub(super) fn resource(&self, name: &str) -> pb::Resource {
        resource(&self.namespace, name)
    }

    /// Takes turns.
    pub(super) fn next(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// The session with a server, which may not be open yet.
    pub(super) fn session(&self, address: &Address) -> Arc<Session> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let open = || Arc::new(Session::open(Arc::clone(&self.context), address.clone()));
        Arc::clone(sessions.entry(address.clone()).or_insert_with(open))
    }

    /// One of a broker's addresses: rather one with a session.
    pub(super) fn pick<'a>(&self, addresses: &'a [Address]) -> Option<&'a Address> {
        let turn = self.next();
        let rotated = || (0..addresses.len()).map(|at| &addresses[(turn + at) % addresses.len()]);
        let up = rotated().find(|address| self.session(address).is_up());
        up.or_else(|| rotated().next())
    }

    /// The route of a topic: what is known of it, or the answer of the first access point that
    /// gives one.
    pub(super) async fn route(&self, topic: &str) -> Result<Arc<Route>, Failure> {
        match self.routes.get(topic) {
            Some(route) if self.routes.is_doubted(topic) => {
                Ok(self.query(topic).await.unwrap_or(route))
            }
            Some(route) => Ok(route),
            None => self.query(topic).await,
        }
    }

    /// The route of a topic may be out of date: it is asked for when it is needed next.
    pub(super) fn doubt(&self, topic: &str) {
        self.routes.doubt(topic);
    }

    /// Asks the access points, beginning with another one each time.
    async fn query(&self, topic: &str) -> Result<Arc<Route>, Failure> {
        const METHOD: Method = Method::ROUTE;
        let turn = self.next();
        let mut failure = None;
        for at in 0..self.access.len() {
            let address = &self.access[(turn + at) % self.access.len()];
            let question = pb::QueryRouteRequest {
                topic: Some(self.resource(topic)),
                endpoints: Some(Address::endpoints(std::slice::from_ref(address))),
            };
            let answer: Result<pb::QueryRouteResponse, _> = self
                .context
                .transport
                .demand(METHOD, address, question)
                .await;
            match answer.map(|answer| Route::read(answer.message_queues)) {
                Ok(route) if route.brokers.is_empty() => {
                    let reason = "the topic has no queues that can be reached";
                    let none = Failure::new(ErrorKind::Unavailable, METHOD.operation, reason);
                    failure = Some(none.at(address));
                }
                Ok(route) => {
                    let route = Arc::new(route);
                    self.routes.set(topic, Arc::clone(&route));
                    return Ok(route);
                }
                Err(other) => failure = Some(other),
            }
        }
        let none = || Failure::new(ErrorKind::Config, METHOD.operation, "there is no endpoint");
        Err(self.context.judge(failure.unwrap_or_else(none)))
    }

    /// Asks for all routes again, and leaves servers that are in none of them.
    async fn refresh(&self) {
        for topic in self.routes.topics() {
            if let Err(failure) = self.query(&topic).await {
                tracing::debug!(topic, ?failure, "the topic's last route is kept");
            }
        }
        let mut addresses = self.routes.addresses();
        addresses.extend_from_slice(&self.access);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|address, _| addresses.contains(address));
        drop(sessions);
        self.context.transport.retain(&addresses);
    }

    /// Says goodbye to all servers. Leases stay as they are.
    pub(super) async fn close(&self) {
        if self.closed.swap(true, Ordering::Relaxed) {
            return;
        }
        let addresses = self.known();
        terminate(Arc::clone(&self.context), addresses).await;
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.clear();
    }

    /// The servers that know us.
    fn known(&self) -> Vec<Address> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let up = sessions.iter().filter(|(_, session)| session.is_up());
        up.map(|(address, _)| address.clone()).collect()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let mut refresh = self.refresh.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(refresh) = refresh.take() {
            refresh.abort();
        }
        drop(refresh);
        let addresses = self.known();
        if self.closed.load(Ordering::Relaxed) || addresses.is_empty() {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            drop(runtime.spawn(terminate(Arc::clone(&self.context), addresses)));
        }
    }
}

/// Says goodbye; who does not answer soon does not matter.
async fn terminate(context: Arc<Context>, addresses: Vec<Address>) {
    const METHOD: Method = Method::TERMINATE;
    const PATIENCE: Duration = Duration::from_secs(1);
    let calls = addresses.iter().map(async |address| {
        let question = pb::NotifyClientTerminationRequest {
            group: context.group.clone(),
        };
        let call = context
            .transport
            .call::<_, pb::StatusResponse>(METHOD, address, question);
        match timeout(PATIENCE, call).await {
            Ok(Ok(_)) => {}
            outcome => tracing::debug!(server = %address, ?outcome, "no goodbye"),
        }
    });
    futures_util::future::join_all(calls).await;
}

/// The language, in the server's numbering.
const RUST: i32 = 5;

fn resource(namespace: &str, name: &str) -> pb::Resource {
    pb::Resource {
        resource_namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}
