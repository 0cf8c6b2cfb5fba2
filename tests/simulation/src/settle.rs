//! A request to the broker that takes its time on the way there and back, and what can go wrong
//! with it.

use std::{sync::Arc, time::Duration};

use eventlane::{Error, ErrorKind, Result};
use tokio::{sync::oneshot, task::AbortHandle, time::sleep};

use crate::{
    dice::{Choice, Site},
    life::LifeId,
    world::World,
};

/// What goes wrong with one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble {
    /// Without effect.
    pub(crate) fails: Option<fastrand::Rng>,
    /// For some entries.
    pub(crate) partly: Option<fastrand::Rng>,
    /// After it had its effect.
    pub(crate) no_answer: bool,
    /// Milliseconds before and after the effect.
    pub(crate) slow: (u64, u64),
    /// No answer for so long, and no effect.
    pub(crate) hangs: Option<u64>,
}

impl Trouble {
    pub(crate) fn draw(world: &World, life: LifeId, ids: &[u64]) -> Self {
        let dice = &world.dice;
        let mut trouble = Self {
            fails: dice.fault(Site::SettleFail, ids),
            partly: dice.fault(Site::SettlePartial, ids),
            no_answer: dice.fault(Site::SettleLostAnswer, ids).is_some(),
            slow: (0, 0),
            hangs: dice
                .fault(Site::SettleHang, ids)
                .map(|mut random| random.u64(5000..40_000)),
        };
        if let Some(mut random) = dice.fault(Site::SettleSlow, ids) {
            trouble.slow = (random.u64(0..1500), random.u64(0..1500));
        }
        if trouble.is_any() {
            let mut ledger = world.ledger();
            ledger.note(|| format!("broker: {}", trouble.name()));
            ledger.settle_fault(life);
        }
        trouble
    }

    fn is_any(&self) -> bool {
        let slow = self.slow != (0, 0);
        self.fails.is_some()
            || self.partly.is_some()
            || self.no_answer
            || slow
            || self.hangs.is_some()
    }

    fn name(&self) -> String {
        let all = [
            (self.hangs.is_some(), "hangs"),
            (self.fails.is_some(), "fails"),
            (self.partly.is_some(), "fails partly"),
            (self.no_answer, "gives no answer"),
            (self.slow != (0, 0), "is slow"),
        ];
        let named = all.iter().filter(|(is, _)| *is).map(|(_, name)| *name);
        format!("a request {}", named.collect::<Vec<_>>().join(", "))
    }
}

/// An error that passes.
pub(crate) fn passing(random: &mut fastrand::Rng, operation: &'static str) -> Error {
    match random.u32(0..3) {
        0 => Error::new(ErrorKind::Throttled, operation, "too many requests")
            .with_retry_after(Duration::from_millis(random.u64(0..1500))),
        _ => Error::new(ErrorKind::Unavailable, operation, "not now"),
    }
}

/// Carries out a request: `effect` is told which entries fail. When its caller goes away before it
/// has reached the broker, chance decides whether it does.
pub(crate) async fn call<T: Send + 'static>(
    world: &Arc<World>,
    life: LifeId,
    trouble: Trouble,
    ids: &[u64],
    effect: impl FnOnce(&mut dyn FnMut(usize) -> Option<Error>) -> T + Send + 'static,
) -> Result<T> {
    let mut pace = world.dice.choose(Choice::SettlePace, ids);
    let most = world.settle_pace() + 1;
    let (there, back) = (pace.u64(0..most), pace.u64(0..most));
    let goes_through = world.dice.choose(Choice::Cut, ids).bool();
    let (answer, answered) = oneshot::channel();
    let on_its_way = Arc::clone(world);
    let task = tokio::spawn(async move {
        let world = on_its_way;
        if let Some(hangs) = trouble.hangs {
            sleep(Duration::from_millis(hangs)).await;
            world.ledger().settle_fault(life);
            let error = Error::new(ErrorKind::Unavailable, "settle", "no answer for long");
            return drop(answer.send(Err(error)));
        }
        wait(there + trouble.slow.0).await;
        if let Some(mut random) = trouble.fails {
            wait(back).await;
            world.ledger().settle_fault(life);
            return drop(answer.send(Err(passing(&mut random, "settle"))));
        }
        let mut partly = trouble.partly;
        let done = effect(&mut |_| {
            let random = partly.as_mut()?;
            random.bool().then(|| passing(random, "settle"))
        });
        world.changed.notify_waiters();
        wait(back + trouble.slow.1).await;
        if trouble.slow != (0, 0) || trouble.no_answer {
            world.ledger().settle_fault(life);
        }
        let result = match trouble.no_answer {
            true => Err(Error::new(
                ErrorKind::Unavailable,
                "settle",
                "the answer was lost",
            )),
            false => Ok(done),
        };
        drop(answer.send(result));
    });
    let cut = Cut {
        task: (!goes_through).then(|| task.abort_handle()),
    };
    let result = match answered.await {
        Ok(result) => result,
        Err(_) => std::future::pending().await,
    };
    drop(cut);
    result
}

async fn wait(ms: u64) {
    if ms > 0 {
        sleep(Duration::from_millis(ms)).await;
    }
}

struct Cut {
    task: Option<AbortHandle>,
}

impl Drop for Cut {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
