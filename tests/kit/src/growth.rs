//! How the time of a decoder grows with its input.

use std::{hint::black_box, time::Duration};

use tokio::time::Instant;

/// Eight times the input may take so many times as long. Linear is 8, quadratic 64; between them
/// is room for caches, allocations and whoever else uses the machine.
const MOST: u32 = 24;

/// No input takes so long for each byte, not even in a build without optimisation.
const SLOWEST: Duration = Duration::from_micros(5);

/// Panics unless `decode` takes time in proportion to its input, of which `make` makes one with so
/// many parts. The quickest of several runs counts; what was slow for other reasons is not slow
/// each time.
#[allow(unreachable_pub, reason = "included by tests without the crate, too")]
pub fn assert_linear<I: AsRef<[u8]>, R>(
    what: &str,
    parts: usize,
    make: impl Fn(usize) -> I,
    decode: impl Fn(&I) -> R,
) {
    let (small, large) = (make(parts), make(8 * parts));
    let quickest = |input: &I| {
        let runs = (0..5).map(|_| {
            let start = Instant::now();
            black_box(decode(black_box(input)));
            start.elapsed()
        });
        // What is too short can't be measured.
        runs.min()
            .unwrap_or_default()
            .max(Duration::from_micros(20))
    };
    let mut last = (Duration::ZERO, Duration::ZERO);
    // Often: on a machine with more to do, whole rounds are slow.
    for _ in 0..40 {
        last = (quickest(&small), quickest(&large));
        let bytes = u32::try_from(large.as_ref().len()).expect("it is not that large");
        if last.1 < last.0 * MOST && last.1 / bytes < SLOWEST {
            return;
        }
    }
    let (one, eight) = last;
    panic!("{what}: {parts} parts take {one:?}, eight times as many {eight:?}");
}
