//! Chance without a sequence: every decision depends on the seed, the place where it is made and
//! the numbers that name it, and on no decision before. So a world from which events or faults
//! have been taken away goes on as before wherever it can.

use std::{
    collections::HashSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// Where something can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Site {
    SinkSlow,
    SinkRetry,
    SinkThrottle,
    SinkHold,
    SinkLostAnswer,
    SinkStall,
    SinkPanic,
    SinkGone,
    SinkShort,
    LetterFail,
    LetterLostAnswer,
    LetterStall,
    LetterPanic,
    PollFail,
    PollFatal,
    SettleFail,
    SettlePartial,
    SettleLostAnswer,
    SettleSlow,
    SettleHang,
    ReceiveFail,
    ReceiveLostAnswer,
    ReceiveHasty,
    ReceiveTwice,
}

impl Site {
    pub(crate) const COUNT: usize = Self::ReceiveTwice as usize + 1;
}

/// Choices that are no faults: they stay when faults are taken away.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Choice {
    Plan = 1000,
    SinkPace,
    Cut,
    SettlePace,
    ReceivePace,
    ReceiveCount,
    PollCount,
    Coordinator,
    Exit,
    Pipeline,
    Poller,
    Recovery,
}

/// A fault that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Names it.
    pub key: u64,
    /// The place, for people.
    pub name: String,
}

#[derive(Debug)]
pub(crate) struct Dice {
    seed: u64,
    rates: [u32; Site::COUNT],
    only: Option<HashSet<u64>>,
    calm: AtomicBool,
    fired: Mutex<Vec<Fault>>,
}

impl Dice {
    /// Rates are in a thousand. With `only`, no other fault happens.
    pub(crate) fn new(seed: u64, rates: [u32; Site::COUNT], only: Option<HashSet<u64>>) -> Self {
        Self {
            seed,
            rates,
            only,
            calm: AtomicBool::new(false),
            fired: Mutex::default(),
        }
    }

    /// From now on nothing goes wrong, or something does again.
    pub(crate) fn set_calm(&self, calm: bool) {
        self.calm.store(calm, Relaxed);
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm.load(Relaxed)
    }

    /// A generator for one decision.
    pub(crate) fn choose(&self, choice: Choice, ids: &[u64]) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.key(choice as u64, ids))
    }

    /// Whether something goes wrong here, and the generator for how.
    pub(crate) fn fault(&self, site: Site, ids: &[u64]) -> Option<fastrand::Rng> {
        let rate = self.rates[site as usize];
        if rate == 0 || self.is_calm() {
            return None;
        }
        let key = self.key(site as u64, ids);
        let mut random = fastrand::Rng::with_seed(key);
        if random.u32(0..1000) >= rate {
            return None;
        }
        if self.only.as_ref().is_some_and(|only| !only.contains(&key)) {
            return None;
        }
        let name = format!("{site:?}{ids:?}");
        let mut fired = self.fired.lock().unwrap_or_else(PoisonError::into_inner);
        if fired.iter().all(|fault| fault.key != key) {
            fired.push(Fault { key, name });
        }
        Some(random)
    }

    /// What went wrong so far.
    pub(crate) fn fired(&self) -> Vec<Fault> {
        self.fired
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn key(&self, site: u64, ids: &[u64]) -> u64 {
        let mut key = mix(self.seed ^ 0x9e37_79b9_7f4a_7c15);
        for id in [site].iter().chain(ids) {
            key = mix(key ^ id.wrapping_mul(0xbf58_476d_1ce4_e5b9));
        }
        key
    }
}

/// The finaliser of splitmix64.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
