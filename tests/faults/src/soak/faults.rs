//! What goes wrong, in turn.

use std::{
    sync::{Mutex, MutexGuard, atomic::AtomicBool},
    thread,
    time::Duration,
};

use eventlane_testkit::{
    HostileSink, Kafka,
    sink::{Act, Then, When},
};
use tokio::time::Instant;

use super::IN_FLIGHT;
use crate::{
    sink::acts,
    toxiproxy::{Network, Toxic},
};

/// What it goes wrong with.
pub(super) struct World<'a> {
    pub(super) kafka: &'a Kafka,
    pub(super) topic: &'a str,
    pub(super) network: Network,
    pub(super) sink: HostileSink,
    pub(super) account: Mutex<Account>,
    /// Whether a fault is under way.
    pub(super) busy: AtomicBool,
    /// 5 s, when there is a fault every minute.
    pub(super) short: Duration,
}

/// What may come twice by faults of the broker and of other members.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Account {
    pub(super) repeated: u64,
    /// How often a key may start again from an earlier event.
    pub(super) rewinds: u64,
}

pub(super) struct Fault {
    pub(super) name: &'static str,
    pub(super) make: fn(&World<'_>),
}

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "the endpoint answers 503",
        make: |world| {
            world.refuse();
            thread::sleep(world.short);
            world.sink.play(Vec::new(), 1);
        },
    },
    Fault {
        name: "the way to the broker is slow",
        make: |world| world.poison(Toxic::Slow { rate: 2_000 }, world.short * 2),
    },
    Fault {
        name: "the endpoint restarts",
        make: |world| {
            world.sink.go_down();
            thread::sleep(world.short / 2);
            world.sink.come_up();
        },
    },
    Fault {
        name: "a member joins, and leaves",
        make: |world| {
            let member = world.adapter();
            thread::sleep(world.short * 2);
            let report = member.stop();
            assert!(!report.hard_stopped, "{report:?}");
        },
    },
    Fault {
        name: "connections to the broker are reset",
        make: |world| world.poison(Toxic::Reset, world.short / 4),
    },
    Fault {
        name: "the endpoint vanishes",
        make: |world| world.sink.vanish(),
    },
    Fault {
        name: "the broker is killed",
        make: |world| {
            world.losing_track(|| {
                world.kafka.kill(1);
                thread::sleep(world.short / 4);
                world.kafka.revive(1);
            });
        },
    },
    Fault {
        name: "the endpoint answers what is no answer",
        make: |world| world.misbehave(acts::malformed(), 10),
    },
    Fault {
        name: "the way to the broker is cut",
        make: |world| world.poison(Toxic::Cut, world.short),
    },
    Fault {
        name: "a member joins, and is killed",
        make: |world| {
            let member = world.adapter();
            thread::sleep(world.short * 2);
            world.losing_track(|| member.kill());
        },
    },
    Fault {
        name: "the endpoint hangs",
        make: |world| world.misbehave(acts::hanging(), 20),
    },
    Fault {
        name: "the broker hangs",
        make: |world| {
            world.losing_track(|| {
                world.kafka.pause(1);
                thread::sleep(world.short);
                world.kafka.resume(1);
            });
        },
    },
];

/// How long what was delivered may be uncommitted: the commit interval, 1 s, and as much again for the
/// commit itself.
const UNCOMMITTED: Duration = Duration::from_secs(2);

impl World<'_> {
    /// From now on the endpoint takes nothing.
    pub(super) fn refuse(&self) {
        let says = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";
        let busy = Act::taken("busy", says, Then::Next).when(When::Refused);
        self.sink.play(vec![busy], 1);
    }

    fn misbehave(&self, acts: Vec<Act>, every: u64) {
        self.sink.play(acts, every);
        thread::sleep(self.short);
        self.sink.play(Vec::new(), 1);
    }

    fn poison(&self, toxic: Toxic, length: Duration) {
        self.losing_track(|| {
            self.network.poison(toxic);
            thread::sleep(length);
            self.network.heal();
        });
    }

    /// Whoever can't reach the broker can't commit; if it takes too long, the group goes on without it
    /// from where it committed last.
    fn losing_track(&self, fault: impl FnOnce()) {
        let last_committed = Instant::now() - UNCOMMITTED;
        fault();
        let mut account = self.account_mut();
        account.repeated += IN_FLIGHT + self.sink.taken_between(last_committed, Instant::now());
        account.rewinds += 1;
    }

    fn account_mut(&self) -> MutexGuard<'_, Account> {
        self.account.lock().expect("no holder panics")
    }

    pub(super) fn account(&self) -> Account {
        *self.account_mut()
    }
}
