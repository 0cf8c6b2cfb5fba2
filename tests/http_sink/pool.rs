//! Which connections are kept, for how long, and what becomes of the others.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use eventlane::sink::{
    Batch, Sink,
    http::{HttpSink, Protocol},
};
use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::{Notify, mpsc},
};

use crate::{
    server::{OK, Raw, Then},
    support::{config, deliver, event, sink, within},
};

const BODY: Then = Then::Answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");

/// All at once: each answer waits until all requests are there, so that each has a connection.
struct Surge {
    url: String,
    /// A connection has ended.
    ended: mpsc::UnboundedReceiver<()>,
    accepts: Arc<AtomicUsize>,
    /// Closes the server's half of all connections.
    close: Arc<Notify>,
}

impl Surge {
    async fn start(size: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (ending, ended) = mpsc::unbounded_channel();
        let (accepts, close) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (accepted, closing) = (Arc::clone(&accepts), Arc::clone(&close));
        let barrier = Arc::new(tokio::sync::Barrier::new(size));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::Relaxed);
                let (ending, closing) = (ending.clone(), Arc::clone(&closing));
                let barrier = Arc::clone(&barrier);
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    let mut open = true;
                    loop {
                        tokio::select! {
                            read = stream.read(&mut buffer) => match read {
                                Ok(0) | Err(_) => break,
                                Ok(_) => {}
                            },
                            () = closing.notified(), if open => {
                                open = false;
                                stream.shutdown().await.unwrap();
                                continue;
                            }
                        }
                        // A request of these tests fits into one segment.
                        assert!(buffer.starts_with(b"POST / HTTP/1.1\r\n"));
                        barrier.wait().await;
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                        stream.write_all(answer).await.unwrap();
                    }
                    let _nobody_waits = ending.send(());
                });
            }
        });
        Self {
            url,
            ended,
            accepts,
            close,
        }
    }

    fn accepts(&self) -> usize {
        self.accepts.load(Ordering::Relaxed)
    }

    async fn ended(&mut self, count: usize) {
        for _ in 0..count {
            within(self.ended.recv()).await.unwrap();
        }
    }
}

async fn surge(sink: &HttpSink, size: usize) {
    join_all((0..size).map(|_| deliver(sink, event()))).await;
}

#[tokio::test]
async fn unused_connections_are_closed_without_traffic() {
    let mut server = Surge::start(3).await;
    let idle = Duration::from_millis(50);
    let sink = HttpSink::new(config(&server.url).with_idle_timeout(idle)).unwrap();
    surge(&sink, 3).await;
    server.ended(3).await;
    // It goes on as before, and those that came later are closed as well.
    surge(&sink, 3).await;
    server.ended(3).await;
    assert_eq!(server.accepts(), 6);
}

#[tokio::test]
async fn unused_connections_end_with_the_sink() {
    let mut server = Surge::start(3).await;
    let sink = sink(&server.url);
    surge(&sink, 3).await;
    drop(sink);
    server.ended(3).await;
}

#[tokio::test]
async fn no_more_unused_connections_are_kept_than_configured() {
    let mut server = Surge::start(8).await;
    let sink = HttpSink::new(config(&server.url).with_max_idle_connections(5)).unwrap();
    surge(&sink, 8).await;
    server.ended(3).await;
    surge(&sink, 8).await;
    assert_eq!(server.accepts(), 8 + 3);
}

#[tokio::test]
async fn none_is_kept_if_none_shall_be() {
    let mut server = Raw::start(|_| BODY).await;
    let none = [
        config(&server.url()).with_max_idle_connections(0),
        config(&server.url()).with_idle_timeout(Duration::ZERO),
    ];
    for (before, config) in none.into_iter().enumerate() {
        let sink = HttpSink::new(config).unwrap();
        for _ in 0..3 {
            deliver(&sink, event()).await;
            server.closed().await;
        }
        assert_eq!(server.accepts(), (before + 1) * 3);
    }
}

#[tokio::test]
async fn an_answer_that_announces_the_end_costs_nothing() {
    for answer in [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ] {
        // The server does not close by itself: the client does as it was told.
        let mut server = Raw::start(move |_| Then::Answer(answer)).await;
        let sink = sink(&server.url());
        for sent in 1..=20 {
            deliver(&sink, event()).await;
            assert_eq!(server.accepts(), sent, "{answer}");
        }
        for _ in 0..20 {
            server.closed().await;
        }
    }
}

/// In several rounds, for the sake of systems that let a process have few open files.
#[tokio::test]
async fn a_thousand_connections_closed_while_unused_cost_nothing() {
    const AT_ONCE: usize = 100;
    let mut server = Surge::start(AT_ONCE).await;
    let sink = sink(&server.url);
    for round in 1..=10 {
        surge(&sink, AT_ONCE).await;
        assert_eq!(server.accepts(), round * AT_ONCE);
        server.close.notify_waiters();
        server.ended(AT_ONCE).await;
    }
    surge(&sink, AT_ONCE).await;
    assert_eq!(server.accepts(), 11 * AT_ONCE);
}

#[tokio::test]
async fn sixty_four_in_flight_need_sixty_four_connections() {
    in_flight_need_as_many_connections(|| OK).await;
}

/// Their connections come back a moment after the answer.
#[tokio::test]
async fn sixty_four_in_flight_with_bodies_need_sixty_four_connections() {
    in_flight_need_as_many_connections(|| BODY).await;
}

async fn in_flight_need_as_many_connections(
    answer: impl Fn() -> Then + Send + Sync + Copy + 'static,
) {
    const AT_ONCE: usize = 64;
    let server = Raw::start(move |_| answer()).await;
    let config = config(&server.url()).with_protocol(Protocol::Http1);
    let sink = HttpSink::new(config).unwrap();
    let left = AtomicUsize::new(10_000);
    let lane = || async {
        while left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
            .is_ok()
        {
            deliver(&sink, event()).await;
        }
    };
    join_all((0..AT_ONCE).map(|_| lane())).await;
    assert!(server.accepts() <= AT_ONCE, "{}", server.accepts());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connections_in_use_are_bounded_with_several_threads_too() {
    const AT_ONCE: usize = 32;
    let server = Raw::start(|_| BODY).await;
    let sink = Arc::new(sink(&server.url()));
    let lanes = (0..AT_ONCE).map(|_| {
        let sink = Arc::clone(&sink);
        tokio::spawn(async move {
            for _ in 0..100 {
                deliver(&*sink, event()).await;
            }
        })
    });
    for lane in join_all(lanes).await {
        lane.unwrap();
    }
    assert!(server.accepts() <= 2 * AT_ONCE, "{}", server.accepts());
}

#[tokio::test]
async fn an_exchange_given_up_ends_its_connection() {
    let mut server = Raw::start(|request| match request {
        1 => Then::Repeat("HTTP/1.1 200 OK\r\n", "x: y\r\n", Duration::from_millis(5)),
        _ => OK,
    })
    .await;
    let sink = sink(&server.url());
    deliver(&sink, event()).await;
    server.request().await;
    {
        let sending = sink.send(Batch::one(event()));
        tokio::select! {
            outcome = sending => panic!("{outcome:?}"),
            _ = server.request() => {}
        }
    }
    // The server finds out by writing to it.
    server.closed().await;
    deliver(&sink, event()).await;
    assert_eq!(server.accepts(), 2);
}

/// The runtime that a connection was made on may be gone when the sink is used again.
#[test]
fn a_sink_outlives_a_runtime() {
    fn run<T>(future: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(future)
    }
    let idle = Duration::from_millis(50);
    let (listening, url) = std::sync::mpsc::channel();
    let (closed, closing) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        run(async {
            let mut server = Raw::start(|_| OK).await;
            listening.send(server.url()).unwrap();
            loop {
                server.closed().await;
                closed.send(()).unwrap();
            }
        });
    });
    let sink = HttpSink::new(config(&url.recv().unwrap()).with_idle_timeout(idle)).unwrap();
    for _ in 0..2 {
        run(deliver(&sink, event()));
        closing.recv_timeout(crate::support::HANGS).unwrap();
    }
    run(async {
        deliver(&sink, event()).await;
        // Its sweep runs although the former one ended with its runtime.
        let waiting =
            tokio::task::spawn_blocking(move || closing.recv_timeout(crate::support::HANGS));
        waiting.await.unwrap().unwrap();
    });
}
