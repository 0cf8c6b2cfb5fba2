//! Calls, and the connections that carry them.
//!
//! There is one connection to each server, which carries any number of calls side by side; several
//! were no faster. It is made when the first call needs it, and anew after it was lost, so that a
//! server that is away costs no more than the calls that fail.
//!
//! Every call ends: gRPC's own deadline covers the request, and a timer around it the time until
//! there is a connection. What fails is not repeated here.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use eventlane::{ErrorKind, Result};
use futures_util::Stream;
use http::uri::PathAndQuery;
use tokio::time::timeout;
use tonic::{
    Request, Streaming,
    client::Grpc,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::{Address, identity::Identities, metadata::Identity, pb};
use crate::{
    config::RocketMqConfig,
    error::{self, Failure},
};

/// A message has a body of 4 MiB and properties of 16 KiB at most; tonic's own limit is below that.
const LARGEST_ANSWER: usize = 16 << 20;

/// Time that a call has beyond its deadline, which does not cover establishing a connection.
const GRACE: Duration = Duration::from_millis(500);

/// A method of the service, and what it does in words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Method {
    pub(super) path: &'static str,
    pub(super) operation: &'static str,
}

macro_rules! methods {
    ($($constant:ident: $name:literal, $operation:literal;)*) => {
        impl Method {$(
            pub(super) const $constant: Self = Self {
                path: concat!("/apache.rocketmq.v2.MessagingService/", $name),
                operation: $operation,
            };
        )*}
    };
}

methods! {
    TELEMETRY: "Telemetry", "open a session";
    HEARTBEAT: "Heartbeat", "keep a session";
    TERMINATE: "NotifyClientTermination", "end a session";
    ROUTE: "QueryRoute", "find a topic's brokers";
    RECEIVE: "ReceiveMessage", "receive messages";
    ACK: "AckMessage", "acknowledge messages";
    CHANGE: "ChangeInvisibleDuration", "change a lease";
    FORWARD: "ForwardMessageToDeadLetterQueue", "make a dead letter";
    SEND: "SendMessage", "send messages";
}

/// An answer that has one status.
pub(super) trait Answer {
    /// The status, which no answer should lack.
    fn status(&self) -> Option<&pb::Status>;
}

macro_rules! answers {
    ($($ty:ident)*) => {$(
        impl Answer for pb::$ty {
            fn status(&self) -> Option<&pb::Status> {
                self.status.as_ref()
            }
        }
    )*};
}

answers! {
    StatusResponse QueryRouteResponse ChangeInvisibleResponse AckMessageResponse SendMessageResponse
}

/// Makes calls.
#[derive(Debug)]
pub(super) struct Transport {
    identity: Identity,
    identities: Identities,
    endpoint: Template,
    channels: Mutex<HashMap<Address, Channel>>,
    pub(super) request_timeout: Duration,
}

/// What the connections have in common.
#[derive(Debug)]
struct Template {
    connect_timeout: Duration,
    #[cfg(feature = "tls")]
    tls: Option<tonic::transport::ClientTlsConfig>,
}

impl Transport {
    pub(super) fn new(config: &RocketMqConfig) -> Result<Self> {
        Ok(Self {
            identity: Identity::new(config)?,
            identities: Identities::new(config),
            endpoint: Template {
                connect_timeout: config.connect_timeout,
                #[cfg(feature = "tls")]
                tls: tls(config)?,
            },
            channels: Mutex::default(),
            request_timeout: config.request_timeout,
        })
    }

    /// The connection to a server; made when it is first used, and again when it is lost.
    fn channel(&self, address: &Address) -> Result<Channel, tonic::transport::Error> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let channel = self.endpoint.connect(address)?;
        channels.insert(address.clone(), channel.clone());
        Ok(channel)
    }

    /// Forgets the connections to all others.
    pub(super) fn retain(&self, addresses: &[Address]) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.retain(|address, _| addresses.contains(address));
    }

    /// How many credentials there have been; for [`renew`](Self::renew).
    pub(super) async fn generation(&self) -> u64 {
        let current = self.identities.current().await;
        current.map_or(0, |identity| identity.generation)
    }

    /// Whether a call that failed is worth another one, since it was refused and there are other
    /// credentials now than at the time of this generation.
    pub(super) async fn renew(&self, failure: &Failure, generation: u64) -> bool {
        failure.kind == ErrorKind::Unauthorized && self.identities.renew(generation).await
    }

    /// A call with one answer, which has to come within the time for requests. Refused, it is made
    /// once more if there are other credentials.
    pub(super) async fn call<Q, A>(
        &self,
        method: Method,
        address: &Address,
        question: Q,
    ) -> Result<A, Failure>
    where
        Q: prost::Message + Clone + Send + Sync + 'static,
        A: Answer + prost::Message + Default + Send + Sync + 'static,
    {
        let generation = self.generation().await;
        let answer = self.call_once(method, address, question.clone()).await;
        let checked = match &answer {
            Ok(answer) => error::check(method.operation, A::status(answer)),
            Err(failure) => Err(failure.clone()),
        };
        match checked {
            Err(failure) if self.renew(&failure, generation).await => {
                self.call_once(method, address, question).await
            }
            _ => answer,
        }
    }

    async fn call_once<Q, A>(
        &self,
        method: Method,
        address: &Address,
        question: Q,
    ) -> Result<A, Failure>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let identity = self.identities.current().await;
        let identity = identity.map_err(|failure| failure.at(address))?;
        let mut request = self.identity.request(question, &identity);
        request.set_timeout(self.request_timeout);
        let answer = async {
            let mut grpc = self.grpc(method, address).await?;
            let path = PathAndQuery::from_static(method.path);
            let answer = grpc
                .unary(request, path, ProstCodec::<Q, A>::default())
                .await;
            answer.map_err(|status| Failure::rpc(method.operation, &status))
        };
        let answer = timeout(self.request_timeout + GRACE, answer).await;
        match answer.unwrap_or_else(|_| Err(late(method))) {
            Ok(answer) => Ok(answer.into_inner()),
            Err(failure) => Err(failure.at(address)),
        }
    }

    /// A call whose answer has to be a good one.
    pub(super) async fn demand<Q, A>(
        &self,
        method: Method,
        address: &Address,
        question: Q,
    ) -> Result<A, Failure>
    where
        Q: prost::Message + Clone + Send + Sync + 'static,
        A: Answer + prost::Message + Default + Send + Sync + 'static,
    {
        let answer: A = self.call(method, address, question).await?;
        let checked = error::check(method.operation, answer.status());
        checked.map(|()| answer).map_err(|it| it.at(address))
    }

    /// A call with many answers. The deadline is for all of them; it is the caller's, too, who has
    /// to put it around what follows.
    pub(super) async fn ask<Q, A>(
        &self,
        method: Method,
        address: &Address,
        question: Q,
        deadline: Duration,
    ) -> Result<Streaming<A>, Failure>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let identity = self.identities.current().await?;
        let mut request = self.identity.request(question, &identity);
        request.set_timeout(deadline);
        let mut grpc = self.grpc(method, address).await?;
        let path = PathAndQuery::from_static(method.path);
        let codec = ProstCodec::<Q, A>::default();
        let answers = grpc.server_streaming(request, path, codec).await;
        answers
            .map(tonic::Response::into_inner)
            .map_err(|status| Failure::rpc(method.operation, &status).at(address))
    }

    /// A stream in both directions, without a deadline.
    pub(super) async fn talk<T>(
        &self,
        method: Method,
        address: &Address,
        outgoing: impl Stream<Item = T> + Send + 'static,
    ) -> Result<Streaming<T>, Failure>
    where
        T: prost::Message + Default + Send + Sync + 'static,
    {
        let identity = self.identities.current().await?;
        let request: Request<_> = self.identity.request(outgoing, &identity);
        let mut grpc = self.grpc(method, address).await?;
        let path = PathAndQuery::from_static(method.path);
        let codec = ProstCodec::<T, T>::default();
        let answers = grpc.streaming(request, path, codec).await;
        answers
            .map(tonic::Response::into_inner)
            .map_err(|status| Failure::rpc(method.operation, &status).at(address))
    }

    /// A connection that is ready for a call.
    async fn grpc(&self, method: Method, address: &Address) -> Result<Grpc<Channel>, Failure> {
        let failed = |error: &tonic::transport::Error| {
            let status = tonic::Status::unavailable(chain(error));
            Failure::rpc(method.operation, &status).at(address)
        };
        let channel = self.channel(address).map_err(|error| failed(&error))?;
        let mut grpc = Grpc::new(channel).max_decoding_message_size(LARGEST_ANSWER);
        grpc.ready().await.map_err(|error| failed(&error))?;
        Ok(grpc)
    }

    /// The deadline of a call that the server holds for `wait`.
    pub(super) fn deadline(&self, wait: Duration) -> Duration {
        wait + self.request_timeout
    }

    /// An answer that may take as long as the deadline says.
    pub(super) async fn within<T>(
        &self,
        method: Method,
        address: &Address,
        deadline: Duration,
        answer: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let answer = timeout(deadline + GRACE, answer).await;
        answer.unwrap_or_else(|_| Err(late(method).at(address)))
    }
}

/// The failure of a call that has not ended in time.
fn late(method: Method) -> Failure {
    Failure::new(
        ErrorKind::Unavailable,
        method.operation,
        "no answer came in time",
    )
}

/// An error with all that caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}

impl Template {
    fn connect(&self, address: &Address) -> Result<Channel, tonic::transport::Error> {
        #[cfg(feature = "tls")]
        let scheme = self.tls.as_ref().map_or("http", |_| "https");
        #[cfg(not(feature = "tls"))]
        let scheme = "http";
        let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))?
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true);
        #[cfg(feature = "tls")]
        let endpoint = match &self.tls {
            Some(tls) => endpoint.tls_config(tls.clone())?,
            None => endpoint,
        };
        Ok(endpoint.connect_lazy())
    }
}

#[cfg(feature = "tls")]
fn tls(config: &RocketMqConfig) -> Result<Option<tonic::transport::ClientTlsConfig>> {
    use tonic::transport::{Certificate, ClientTlsConfig};

    if !config.is_tls() {
        return Ok(None);
    }
    let tls = ClientTlsConfig::new();
    let Some(ca) = config.tls.as_ref().and_then(|tls| tls.ca.as_ref()) else {
        return Ok(Some(tls.with_native_roots()));
    };
    let invalid = |reason: String| {
        eventlane::Error::new(ErrorKind::Config, "configure TLS", reason)
            .with_context("file", ca.display())
    };
    let pem = std::fs::read(ca).map_err(|error| invalid(format!("{error} (ca)")))?;
    let begin = b"-----BEGIN CERTIFICATE-----";
    if !pem.windows(begin.len()).any(|window| window == begin) {
        return Err(invalid("the file has no certificate in PEM (ca)".into()));
    }
    Ok(Some(tls.ca_certificate(Certificate::from_pem(pem))))
}
