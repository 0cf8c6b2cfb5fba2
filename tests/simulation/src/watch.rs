//! A loop that never waits stops the virtual clock for good: only a real one notices.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

/// Ends the process when one world goes on for too long in real time: [`watch`].
#[derive(Debug)]
pub struct Watch(Arc<AtomicU64>);

/// Watches the worlds of one thread, as long as the value lives. None takes a minute, however slow
/// the machine.
pub fn watch(seconds: u64) -> Watch {
    let current = Arc::new(AtomicU64::new(u64::MAX));
    let watched = Arc::downgrade(&current);
    thread::spawn(move || {
        let (mut last, mut times) = (u64::MAX, 0);
        while let Some(current) = watched.upgrade() {
            let seed = current.load(Relaxed);
            drop(current);
            (last, times) = if seed == last {
                (last, times + 1)
            } else {
                (seed, 0)
            };
            if times > seconds && seed != u64::MAX {
                eprintln!("seed {seed} FAILS\n    something goes round in a loop and never waits");
                std::process::exit(1);
            }
            thread::sleep(Duration::from_secs(1));
        }
    });
    Watch(current)
}

impl Watch {
    /// Another world begins.
    pub fn begins(&self, seed: u64) {
        self.0.store(seed, Relaxed);
    }
}
