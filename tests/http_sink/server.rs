//! Servers: one that answers bytes with bytes, and hyper's.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use crate::support::within;

/// What a [`Raw`] server does when it has read a request.
pub(crate) enum Then {
    /// Writes this and waits for the next request.
    Answer(&'static str),
    /// Writes this and closes in good order.
    Close(&'static str),
    /// Writes this and resets the connection.
    Reset(&'static str),
    /// Writes this again and again, for as long as somebody reads; the pause between is this.
    Repeat(&'static str, &'static str, Duration),
}

pub(crate) const OK: Then = Then::Answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");

/// Reads requests as bytes.
pub(crate) struct Raw {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<String>,
    accepts: Arc<AtomicUsize>,
    /// Closed when a connection's task has ended.
    closed: mpsc::UnboundedReceiver<()>,
}

impl Raw {
    /// Answers the request number n, from 0, as `then` says.
    pub(crate) async fn start(then: impl Fn(usize) -> Then + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        let (closing, closed) = mpsc::unbounded_channel();
        let accepts = Arc::new(AtomicUsize::new(0));
        let (then, count) = (Arc::new(then), Arc::new(AtomicUsize::new(0)));
        let accepted = Arc::clone(&accepts);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::Relaxed);
                let (then, count) = (Arc::clone(&then), Arc::clone(&count));
                let (sender, closing) = (sender.clone(), closing.clone());
                tokio::spawn(async move {
                    let next = || then(count.fetch_add(1, Ordering::Relaxed));
                    let _broken = connection(stream, &sender, next).await;
                    let _nobody_waits = closing.send(());
                });
            }
        });
        Self {
            address,
            requests,
            accepts,
            closed,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) async fn request(&mut self) -> String {
        within(self.requests.recv()).await.unwrap()
    }

    pub(crate) fn accepts(&self) -> usize {
        self.accepts.load(Ordering::Relaxed)
    }

    /// Waits until a connection has ended.
    pub(crate) async fn closed(&mut self) {
        within(self.closed.recv()).await.unwrap();
    }
}

async fn connection(
    mut stream: TcpStream,
    requests: &mpsc::UnboundedSender<String>,
    next: impl Fn() -> Then,
) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await? {
        let _nobody_reads = requests.send(request);
        match next() {
            Then::Answer(bytes) => stream.write_all(bytes.as_bytes()).await?,
            Then::Close(bytes) => {
                stream.write_all(bytes.as_bytes()).await?;
                return stream.shutdown().await;
            }
            Then::Reset(bytes) => {
                stream.write_all(bytes.as_bytes()).await?;
                // Let the bytes arrive; a reset would overtake them.
                tokio::time::sleep(Duration::from_millis(50)).await;
                return stream.set_zero_linger();
            }
            Then::Repeat(first, again, pause) => {
                stream.write_all(first.as_bytes()).await?;
                loop {
                    stream.write_all(again.as_bytes()).await?;
                    match pause {
                        Duration::ZERO => tokio::task::yield_now().await,
                        pause => tokio::time::sleep(pause).await,
                    }
                }
            }
        }
    }
    Ok(())
}

async fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<String>> {
    loop {
        let text = String::from_utf8_lossy(buffer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_ascii_lowercase()
                .split("\r\n")
                .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())
                .unwrap_or(0);
            if body.len() >= length {
                buffer.drain(..head.len() + 4 + length);
                return Ok(Some(format!("{head}\r\n\r\n{}", &body[..length])));
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// A request as hyper reads it.
pub(crate) type Received = Request<Bytes>;

/// Speaks HTTP/1.1 and HTTP/2, over TLS or not.
pub(crate) struct Hyper {
    address: SocketAddr,
    scheme: &'static str,
    requests: mpsc::UnboundedReceiver<Received>,
    accepts: Arc<AtomicUsize>,
}

impl Hyper {
    pub(crate) async fn start(
        answer: impl Fn(&Received) -> Response<String> + Send + Sync + 'static,
    ) -> Self {
        Self::serve(None, answer).await
    }

    pub(crate) async fn tls(acceptor: TlsAcceptor) -> Self {
        Self::serve(Some(acceptor), |_| Response::new(String::new())).await
    }

    async fn serve(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&Received) -> Response<String> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        let accepts = Arc::new(AtomicUsize::new(0));
        let accepted = Arc::clone(&accepts);
        let answer = Arc::new(answer);
        let scheme = if tls.is_some() { "https" } else { "http" };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::Relaxed);
                let (sender, answer, tls) = (sender.clone(), Arc::clone(&answer), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => exchange(stream, sender, answer).await,
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else {
                                return;
                            };
                            exchange(stream, sender, answer).await;
                        }
                    }
                });
            }
        });
        Self {
            address,
            scheme,
            requests,
            accepts,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://localhost:{}/events", self.scheme, self.address.port())
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) async fn request(&mut self) -> Received {
        within(self.requests.recv()).await.unwrap()
    }

    pub(crate) fn accepts(&self) -> usize {
        self.accepts.load(Ordering::Relaxed)
    }
}

async fn exchange<A>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    requests: mpsc::UnboundedSender<Received>,
    answer: Arc<A>,
) where
    A: Fn(&Received) -> Response<String> + Send + Sync + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (requests, answer) = (requests.clone(), Arc::clone(&answer));
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let request = Request::from_parts(parts, body);
            let response = answer(&request).map(|body| Full::new(Bytes::from(body)));
            let _nobody_reads = requests.send(request);
            Ok::<_, Infallible>(response)
        }
    });
    let _broken = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
