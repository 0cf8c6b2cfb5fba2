//! The endpoint is not there any more, and says so or not.

use std::{thread, time::Duration};

use super::Run;
use crate::{Load, Outcome};

/// Its port is closed and all its connections are reset, in the middle of everything; then it is back.
pub(super) fn restarts(load: Load) -> Outcome {
    let run = Run::start(load, Duration::from_millis(8));
    let mut restarts = 0;
    while !run.is_done() {
        run.wait_for_more(load.events / 8);
        run.sink.go_down();
        thread::sleep(Duration::from_millis(300));
        run.sink.come_up();
        restarts += 1;
    }
    run.deliver_all();
    run.outcome(|unconfirmed| {
        format!("{restarts} restarts; {unconfirmed} taken whose answer could not be written")
    })
}

/// All its connections are dead, those in use and those that wait for the next request, and nobody
/// says so; new ones are not.
pub(super) fn half_open(load: Load) -> Outcome {
    let run = Run::start(load, Duration::from_millis(8));
    let mut times = 0;
    while !run.is_done() {
        run.wait_for_more(load.events / 4);
        run.sink.vanish();
        times += 1;
    }
    run.deliver_all();
    run.outcome(|unconfirmed| {
        format!("vanished {times} times; {unconfirmed} taken whose answer could not be written")
    })
}
