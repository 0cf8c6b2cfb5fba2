//! Where servers are.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use super::pb;

/// Host and port. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    host: Arc<str>,
    port: u16,
}

impl Address {
    /// Reads `host:port`; an IPv6 address is in brackets.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        match bare {
            Some(v6) => v6.parse::<Ipv6Addr>().ok().map(|_| ())?,
            None if host.contains(':') => return None,
            None => {}
        }
        Self::new(bare.unwrap_or(host), port.parse().ok()?)
    }

    /// What a server says; `None` if that is no address.
    pub(super) fn of(address: &pb::Address) -> Option<Self> {
        Self::new(&address.host, u16::try_from(address.port).ok()?)
    }

    fn new(host: &str, port: u16) -> Option<Self> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
        let whole = !host.is_empty() && host.bytes().all(fits) && port > 0;
        whole.then(|| Self {
            host: host.into(),
            port,
        })
    }

    /// The host as a URI has it.
    pub(crate) fn host_for_uri(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.to_string(),
        }
    }

    /// What the server is told of the address that was dialled.
    pub(super) fn endpoints(all: &[Self]) -> pb::Endpoints {
        let is = |parses: fn(&str) -> bool| all.iter().all(|address| parses(&address.host));
        let scheme = if is(|host| host.parse::<Ipv4Addr>().is_ok()) {
            1
        } else if is(|host| host.parse::<Ipv6Addr>().is_ok()) {
            2
        } else {
            3
        };
        let address = |it: &Self| pb::Address {
            host: it.host.to_string(),
            port: it.port.into(),
        };
        pb::Endpoints {
            scheme,
            addresses: all.iter().map(address).collect(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host_for_uri(), self.port)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// An address that was read is one again, and makes no more of a URI than host and port.
        #[test]
        fn any_text_is_an_address_or_none(text in "\\PC{0,20}|\\[?[a-z0-9:.]{0,20}\\]?(:[0-9]{0,7})?", port: i32) {
            let said = pb::Address { host: text.clone(), port };
            for address in [Address::parse(&text), Address::of(&said)].into_iter().flatten() {
                let written = address.to_string();
                prop_assert!(!written.contains(['/', '@', '?', '#', ' ', '%']), "{written}");
                Address::endpoints(&[address]);
            }
        }
    }
}
