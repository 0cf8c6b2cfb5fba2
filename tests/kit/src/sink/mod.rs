//! HTTP endpoints that count and check what they are sent.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    thread,
};

use tokio::{runtime, sync::oneshot};

mod act;
mod check;
mod counting;
mod faults;
mod hostile;
mod message;
mod pace;
mod report;
mod server;

pub use act::{Act, Then, When};
pub use counting::{Counted, Counting, CountingSink};
pub use faults::{Answer, Faults};
pub use hostile::HostileSink;
pub use report::{Record, Report};
pub use server::CheckingSink;

/// A listener on a free local port, served on a thread of its own until dropped; then every
/// connection is closed.
#[derive(Debug)]
struct Served {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Served {
    fn start<F>(serve: impl FnOnce(tokio::net::TcpListener) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()>,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("sink: a free port");
        listener
            .set_nonblocking(true)
            .expect("a listener can be made non-blocking");
        let address = listener.local_addr().expect("a listener has an address");
        let (stop, mut stopped) = oneshot::channel();
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("sink: runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("sink: listener");
                tokio::select! {
                    () = serve(listener) => {}
                    _ = &mut stopped => {}
                }
            });
        });
        Self {
            address,
            _stop: stop,
        }
    }
}
