//! What the programs do alike: options, signals, ports, numbers.

use std::{io, net::Ipv4Addr, time::Duration};

use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

/// How many ports are tried.
const PORTS: u16 = 50;

/// Reads a length of time such as `30s`, `500ms` or `5m`.
///
/// # Errors
/// If it is none.
pub fn duration(text: &str) -> Result<Duration, String> {
    let unit = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("a time has a unit: 500ms, 30s, 5m or 1h".to_owned()),
    };
    number
        .parse::<f64>()
        .ok()
        .and_then(|number| Duration::try_from_secs_f64(number * seconds).ok())
        .ok_or_else(|| "not a time: write it like 30s".to_owned())
}

/// 1234567 as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Listens on a port of this machine, or on the next one that is free.
///
/// # Errors
/// If none can be had, or for another reason than that they are in use.
pub async fn listen(port: u16) -> Result<TcpListener, String> {
    let ports = match port {
        0 => 0..=0,
        _ => port..=port.saturating_add(PORTS - 1),
    };
    for port in ports.clone() {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(format!("can't listen on 127.0.0.1:{port}: {error}")),
        }
    }
    let (first, last) = ports.into_inner();
    Err(format!(
        "the ports {first} to {last} are all in use: choose another one with --port"
    ))
}

/// Runs `work`, and cancels `over` when it ends, for whatever reason.
pub async fn ending<T>(over: CancellationToken, work: impl Future<Output = T>) -> T {
    let _over = over.drop_guard();
    work.await
}

/// Ctrl-C and SIGTERM.
#[derive(Debug)]
pub struct Signals([Signal; 2]);

impl Signals {
    /// Begins to listen for them.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn new() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ]))
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for text in ["10", "s", "-1s", "1d", "", "1e300h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_grouped() {
        let all = [0, 999, 1000, 1_234_567].map(grouped);
        assert_eq!(all, ["0", "999", "1,000", "1,234,567"]);
    }

    #[tokio::test]
    async fn a_port_in_use_gives_the_next_one() {
        let first = listen(0).await.unwrap();
        let taken = first.local_addr().unwrap().port();
        let second = listen(taken).await.unwrap();
        assert!(second.local_addr().unwrap().port() > taken);
    }

    #[tokio::test]
    async fn the_last_port_is_the_end() {
        let last = listen(u16::MAX).await;
        let error = listen(u16::MAX).await.unwrap_err();
        // Somebody else may have it, which is as good.
        drop(last);
        assert_eq!(
            error,
            "the ports 65535 to 65535 are all in use: choose another one with --port"
        );
    }
}
