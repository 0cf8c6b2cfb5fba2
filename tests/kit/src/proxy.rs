//! A TCP proxy that can be cut or stalled: the network's faults.

use std::{net::SocketAddr, thread};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    runtime,
    sync::watch,
    task::JoinSet,
};

/// Forwards connections from one local address to another. Stops when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    /// Everything passes.
    Up,
    /// Connections stay open; nothing passes.
    Stalled,
    /// Connections are closed and refused.
    Cut,
}

impl Proxy {
    /// Listens on `listen` (port 0: a free one) and forwards to `upstream`, which need not answer
    /// yet.
    pub fn start(listen: SocketAddr, upstream: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind(listen)
            .unwrap_or_else(|error| panic!("proxy: listen on {listen}: {error}"));
        listener
            .set_nonblocking(true)
            .expect("a listener can be made non-blocking");
        let address = listener.local_addr().expect("a listener has an address");
        let (network, state) = watch::channel(Network::Up);
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("proxy: runtime");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("proxy: listener");
                serve(listener, upstream, state).await;
            });
        });
        Self { address, network }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes every connection and refuses new ones, until [`restore`](Self::restore).
    pub fn cut(&self) {
        self.network.send_replace(Network::Cut);
    }

    /// Leaves connections open and accepts new ones, but lets nothing pass, until
    /// [`restore`](Self::restore).
    pub fn stall(&self) {
        self.network.send_replace(Network::Stalled);
    }

    /// Lets everything pass again. What was held back while stalled is sent now.
    pub fn restore(&self) {
        self.network.send_replace(Network::Up);
    }
}

async fn serve(listener: TcpListener, upstream: SocketAddr, mut state: watch::Receiver<Network>) {
    let address = listener.local_addr().expect("a listener has an address");
    let mut listener = Some(listener);
    let network = state.clone();
    loop {
        let bound = match listener.take() {
            Some(listener) => listener,
            None => TcpListener::bind(address)
                .await
                .expect("proxy: the port is still free"),
        };
        let mut connections = JoinSet::new();
        let gone = loop {
            tokio::select! {
                accepted = bound.accept() => if let Ok((client, _)) = accepted {
                    connections.spawn(forward(client, upstream, network.clone()));
                },
                Some(_) = connections.join_next() => {}
                changed = state.wait_for(|network| *network == Network::Cut) => break changed.is_err(),
            }
        };
        drop((bound, connections));
        if gone
            || state
                .wait_for(|network| *network != Network::Cut)
                .await
                .is_err()
        {
            return;
        }
    }
}

async fn forward(client: TcpStream, upstream: SocketAddr, state: watch::Receiver<Network>) {
    let Ok(server) = TcpStream::connect(upstream).await else {
        return;
    };
    for stream in [&client, &server] {
        if stream.set_nodelay(true).is_err() {
            return;
        }
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Either direction's end closes both, as a broken network does.
    tokio::select! {
        () = copy(from_client, to_server, state.clone()) => {}
        () = copy(from_server, to_client, state) => {}
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<Network>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        if state
            .wait_for(|network| *network != Network::Stalled)
            .await
            .is_err()
            || to.write_all(&buffer[..read]).await.is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Read, Write},
        net::{TcpListener, TcpStream},
        time::Duration,
    };

    use super::*;

    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
            }
        });
        address
    }

    #[test]
    fn forwards_stalls_cuts_and_comes_back() {
        let proxy = Proxy::start("127.0.0.1:0".parse().unwrap(), echo());
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        let mut byte = [0];
        client.write_all(b"a").unwrap();
        client.read_exact(&mut byte).unwrap();

        proxy.stall();
        client.write_all(b"b").unwrap();
        client
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        assert_eq!(
            client.read(&mut byte).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        proxy.restore();
        client.set_read_timeout(None).unwrap();
        client.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"b");

        proxy.cut();
        assert!(
            matches!(client.read(&mut byte), Ok(0) | Err(_)),
            "the connection is closed"
        );
        crate::eventually(Duration::from_secs(5), "refused", || {
            TcpStream::connect(proxy.address()).err()
        });
        proxy.restore();
        let mut client = crate::eventually(Duration::from_secs(5), "back", || {
            TcpStream::connect(proxy.address()).ok()
        });
        client.write_all(b"c").unwrap();
        client.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"c");
    }
}
