//! A network with faults: Toxiproxy.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use eventlane_testkit::Server;
use serde_json::{Value, json};

/// What the network does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Toxic {
    /// Connections are closed and refused.
    Cut,
    /// 100 ms there and 100 ms back, and so many KB/s each way.
    Slow { rate: u64 },
    /// Every connection is reset, also each new one.
    Reset,
    /// Connections stay open, and what is sent is swallowed.
    Hang,
}

/// Ways to one or more addresses, all with the same faults.
#[derive(Debug)]
pub(crate) struct Network {
    links: Vec<Link>,
}

#[derive(Debug)]
struct Link {
    name: String,
    address: SocketAddr,
}

const LATENCY: Duration = Duration::from_millis(100);

impl Network {
    /// Ways from the addresses on the left (port 0: a free one) to those on the right.
    pub(crate) fn new(routes: impl IntoIterator<Item = (SocketAddr, SocketAddr)>) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let link = |(listen, upstream): (SocketAddr, SocketAddr)| {
            let name = format!("link-{}", NUMBER.fetch_add(1, Relaxed));
            let proxy = json!({
                "name": name,
                "listen": listen.to_string(),
                "upstream": upstream.to_string(),
                "enabled": true,
            });
            let made = call("POST", "/proxies", Some(&proxy));
            let address = made["listen"].as_str().and_then(|text| text.parse().ok());
            Link {
                name,
                address: address.unwrap_or_else(|| panic!("no address of a proxy: {made}")),
            }
        };
        Self {
            links: routes.into_iter().map(link).collect(),
        }
    }

    /// A way to one address, from a free local port.
    pub(crate) fn to(upstream: SocketAddr) -> Self {
        Self::new([((Ipv4Addr::LOCALHOST, 0).into(), upstream)])
    }

    /// Where the first way begins.
    pub(crate) fn address(&self) -> SocketAddr {
        self.links[0].address
    }

    /// From now on, until [`heal`](Self::heal).
    pub(crate) fn poison(&self, toxic: Toxic) {
        for link in &self.links {
            match toxic {
                Toxic::Cut => link.enable(false),
                Toxic::Slow { rate } => {
                    for stream in ["upstream", "downstream"] {
                        link.add(
                            "latency",
                            stream,
                            &json!({ "latency": LATENCY.as_millis() }),
                        );
                        link.add("bandwidth", stream, &json!({ "rate": rate }));
                    }
                }
                Toxic::Reset => link.add("reset_peer", "downstream", &json!({ "timeout": 0 })),
                Toxic::Hang => {
                    for stream in ["upstream", "downstream"] {
                        link.add("timeout", stream, &json!({ "timeout": 0 }));
                    }
                }
            }
        }
    }

    /// Takes away every fault. Connections that hang are closed by that.
    pub(crate) fn heal(&self) {
        for link in &self.links {
            let toxics = call("GET", &format!("/proxies/{}/toxics", link.name), None);
            for toxic in toxics.as_array().into_iter().flatten() {
                let name = toxic["name"].as_str().expect("a toxic has a name");
                call(
                    "DELETE",
                    &format!("/proxies/{}/toxics/{name}", link.name),
                    None,
                );
            }
            link.enable(true);
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // If the server is gone, so are the links.
        for link in &self.links {
            drop(request("DELETE", &format!("/proxies/{}", link.name), None));
        }
    }
}

impl Link {
    fn enable(&self, enabled: bool) {
        let change = json!({ "enabled": enabled });
        call("POST", &format!("/proxies/{}", self.name), Some(&change));
    }

    fn add(&self, ty: &str, stream: &str, attributes: &Value) {
        let toxic = json!({ "type": ty, "stream": stream, "attributes": attributes });
        call(
            "POST",
            &format!("/proxies/{}/toxics", self.name),
            Some(&toxic),
        );
    }
}

/// Panics unless it works.
fn call(method: &str, path: &str, body: Option<&Value>) -> Value {
    let (status, answer) = request(method, path, body)
        .unwrap_or_else(|error| panic!("toxiproxy: {method} {path}: {error}"));
    assert!(
        (200..300).contains(&status),
        "toxiproxy: {method} {path}: {status} {answer}"
    );
    serde_json::from_str(&answer).unwrap_or(Value::Null)
}

fn request(method: &str, path: &str, body: Option<&Value>) -> std::io::Result<(u16, String)> {
    // Never dropped: the end of the process closes the guard's pipe.
    static SERVER: OnceLock<Server> = OnceLock::new();
    let endpoint = SERVER
        .get_or_init(|| Server::start("toxiproxy", &[]))
        .endpoint();
    let host = endpoint.trim_start_matches("http://");
    let body = body.map_or_else(String::new, Value::to_string);
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    // It refuses what looks like a browser by its User-Agent, and wants to see one.
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: eventlane\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status.unwrap_or(0), body.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::{io::ErrorKind, net::TcpListener, thread};

    use tokio::time::Instant;

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

    fn ping(stream: &mut TcpStream) -> std::io::Result<Duration> {
        let start = Instant::now();
        stream.set_read_timeout(Some(Duration::from_secs(3)))?;
        stream.write_all(b"ping")?;
        stream.read_exact(&mut [0; 4])?;
        Ok(start.elapsed())
    }

    #[test]
    fn each_toxic_hurts_and_heals() {
        if eventlane_testkit::is_skipped("Toxiproxy") {
            return;
        }
        let network = Network::to(echo());
        let open = || TcpStream::connect(network.address());
        let mut stream = open().unwrap();
        ping(&mut stream).unwrap();

        network.poison(Toxic::Slow { rate: 100 });
        assert!(ping(&mut stream).unwrap() >= 2 * LATENCY);
        network.heal();
        ping(&mut stream).unwrap();

        network.poison(Toxic::Cut);
        assert!(ping(&mut stream).is_err());
        assert_eq!(open().unwrap_err().kind(), ErrorKind::ConnectionRefused);
        network.heal();
        let mut stream = open().unwrap();
        ping(&mut stream).unwrap();

        network.poison(Toxic::Reset);
        assert!(ping(&mut stream).is_err());
        assert!(ping(&mut open().unwrap()).is_err());
        network.heal();
        let mut stream = open().unwrap();
        ping(&mut stream).unwrap();

        network.poison(Toxic::Hang);
        let timed_out = ping(&mut stream).unwrap_err();
        assert_eq!(timed_out.kind(), ErrorKind::WouldBlock);
        network.heal();
        ping(&mut open().unwrap()).unwrap();
    }
}
