//! Handles of messages on lease, and what one of the proxy's modes gets wrong about them.
//!
//! A handle is valid from the receive, or the change, that returned it until the next change. The
//! server does not notice when a dead one is used, so it must not be: see [the client](super).

use std::{fmt, sync::Arc};

use super::{Address, pb};

/// A message on lease, as the server wants to be told of it. Cheap to clone.
#[derive(Clone)]
pub struct ReceiptHandle(Arc<Inner>);

struct Inner {
    /// A proxy in local mode knows its own handles only.
    address: Address,
    topic: pb::Resource,
    message_id: String,
    receipt: String,
    attempt: u32,
}

impl ReceiptHandle {
    pub(super) fn new(
        address: Address,
        topic: pb::Resource,
        message_id: String,
        receipt: String,
        attempt: u32,
    ) -> Self {
        Self(Arc::new(Inner {
            address,
            topic,
            message_id,
            receipt,
            attempt,
        }))
    }

    /// The topic of the message.
    pub fn topic(&self) -> &str {
        &self.0.topic.name
    }

    /// The id of the message.
    pub fn message_id(&self) -> &str {
        &self.0.message_id
    }

    /// How often the message had been handed out, this time included.
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    pub(super) fn address(&self) -> &Address {
        &self.0.address
    }

    pub(super) fn resource(&self) -> &pb::Resource {
        &self.0.topic
    }

    pub(super) fn receipt(&self) -> &str {
        &self.0.receipt
    }

    /// What is valid after the server has returned a new receipt; none leaves the old one valid.
    pub(super) fn renewed(&self, receipt: String, mends: bool) -> Self {
        if receipt.is_empty() {
            return self.clone();
        }
        let receipt = match mends {
            true => mend(&self.0.receipt, receipt),
            false => receipt,
        };
        Self::new(
            self.0.address.clone(),
            self.0.topic.clone(),
            self.0.message_id.clone(),
            receipt,
            self.0.attempt,
        )
    }
}

impl fmt::Debug for ReceiptHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiptHandle")
            .field("topic", &self.topic())
            .field("message_id", &self.message_id())
            .field("receipt", &self.receipt())
            .finish_non_exhaustive()
    }
}

/// Puts right what ChangeInvisibleDuration returns in local mode (Apache 5.3 to 5.5 at least).
///
/// A receipt is: the checkpoint's offset, pop time, lease in ms, revive queue, kind of topic,
/// broker, queue, offset, offset in the commit log. Local mode returns the checkpoint of the batch
/// that the message came in, though the new one begins at the message, and zero for the last: an
/// acknowledgement then finds nothing, and a dead letter becomes another message. This makes what
/// cluster mode returns; receipts of another form, and right ones, stay as they are.
fn mend(before: &str, after: String) -> String {
    const OFFSET: usize = 7;
    const COMMIT_LOG: usize = 8;
    let old: Vec<_> = before.split(' ').collect();
    let mut new: Vec<_> = after.split(' ').collect();
    if old.len() <= COMMIT_LOG || new.len() <= COMMIT_LOG || old[5..=OFFSET] != new[5..=OFFSET] {
        return after;
    }
    let numbers = [old[OFFSET], old[COMMIT_LOG], new[0], new[COMMIT_LOG]];
    if numbers.iter().any(|number| number.parse::<i64>().is_err()) {
        return after;
    }
    new[0] = new[OFFSET];
    new[COMMIT_LOG] = old[COMMIT_LOG];
    new.truncate(COMMIT_LOG + 1);
    new.join(" ")
}

#[cfg(test)]
mod tests {
    use eventlane_testkit::growth::assert_linear;
    use proptest::prelude::*;

    use super::*;

    const FIRST: &str = "4 1795446649124 8000 0 0 broker-a 0 6 8681827";
    const LOCAL: &str = "4 1795446649149 8000 0 0 broker-a 0 6 0 8681827";
    const CLUSTER: &str = "6 1795446649149 8000 0 0 broker-a 0 6 8681827";

    #[test]
    fn what_local_mode_returns_becomes_what_cluster_mode_returns() {
        assert_eq!(mend(FIRST, LOCAL.into()), CLUSTER);
        let again = "6 1795446649199 8000 0 0 broker-a 0 6 0 8681827";
        let expected = "6 1795446649199 8000 0 0 broker-a 0 6 8681827";
        assert_eq!(mend(CLUSTER, again.into()), expected);
    }

    #[test]
    fn what_is_right_or_unknown_stays() {
        assert_eq!(mend(FIRST, CLUSTER.into()), CLUSTER);
        for other in [
            "",
            "opaque",
            "a b c d e broker-a 0 6 9",
            "1 2 3 4 5",
            "1 2 3 4 5 other 0 6 7",
            "1 2 3 4 5 broker-a 0 7 7",
            "4 1795446649149 8000 0 0 broker-a 0 6",
            "4 1795446649149 8000 0 0 broker-a 0 6 x",
        ] {
            assert_eq!(mend(FIRST, other.into()), other);
        }
    }

    #[test]
    fn nothing_is_made_of_an_unknown_old_one() {
        for other in [
            "",
            "opaque",
            "1 2 3 4 5 other 0 6 7",
            "4 1 2 0 0 broker-a 0 6 x",
        ] {
            assert_eq!(mend(other, LOCAL.into()), LOCAL);
        }
    }

    #[test]
    fn mending_can_be_switched_off_and_nothing_returned_changes_nothing() {
        let address = Address::parse("a:1").unwrap();
        let topic = pb::Resource::default();
        let handle = ReceiptHandle::new(address, topic, "id".into(), FIRST.into(), 1);
        assert_eq!(handle.renewed(LOCAL.into(), true).receipt(), CLUSTER);
        assert_eq!(handle.renewed(LOCAL.into(), false).receipt(), LOCAL);
        assert_eq!(handle.renewed(String::new(), true).receipt(), FIRST);
    }

    const RECEIPT: &str = "(-?[0-9]{1,20} |broker-a |0 |[a-z%é]{0,3} | ){0,12}|.{0,20}";

    proptest! {
        /// What is made of it has the broker's form, or it is what the server returned.
        #[test]
        fn any_receipt_is_mended_or_left_alone(
            before in RECEIPT,
            after in RECEIPT,
            changed in 0..10_usize,
        ) {
            for (before, after) in [(&*before, &*after), (FIRST, &*after), (&*before, LOCAL), (&*after, &*after)] {
                let mended = mend(before, after.to_owned());
                prop_assert!(mended == after || mended.split(' ').count() == 9, "{mended}");
            }
            let mut parts: Vec<_> = LOCAL.split(' ').collect();
            parts[changed] = &after;
            mend(FIRST, parts.join(" "));
        }
    }

    #[test]
    fn long_receipts_take_linear_time() {
        for piece in [" ", "0 ", "9"] {
            let make = |parts: usize| format!("{LOCAL} {}", piece.repeat(parts));
            assert_linear(piece, 4_000, make, |receipt| mend(FIRST, receipt.clone()));
        }
    }
}
