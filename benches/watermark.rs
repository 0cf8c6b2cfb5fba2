//! What the watermark costs per event: delivered, completed in several orders, asked for its
//! position.
//!
//! `cargo bench --bench watermark`. The time shown is the time per event.
#![allow(dead_code, reason = "the engine uses what the bench does not")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

#[allow(unused_imports, reason = "its tests are not run here")]
#[path = "../src/engine/watermark.rs"]
mod watermark;

use watermark::Watermark;

/// Events open at a time.
const OPEN: u64 = 10_000;

fn completes(c: &mut Criterion, name: &str, seqs: impl Fn(u64) -> u64, order: impl Fn(u64) -> u64) {
    let mut group = c.benchmark_group("watermark");
    group.throughput(Throughput::Elements(OPEN));
    group.bench_function(name, |bench| {
        let (mut mark, mut next) = (Watermark::default(), 0);
        bench.iter(|| {
            let first = next;
            for at in first..first + OPEN {
                black_box(mark.deliver(seqs(at)));
            }
            next += OPEN;
            for at in 0..OPEN {
                mark.complete(first + order(at));
            }
            black_box(mark.position())
        });
    });
    group.finish();
}

fn watermark(c: &mut Criterion) {
    completes(c, "in order", |at| at, |at| at);
    completes(c, "the oldest last", |at| at, |at| OPEN - 1 - at);
    // 7919 is prime, so this visits every one.
    completes(c, "scattered", |at| at, |at| at * 7919 % OPEN);
    completes(
        c,
        "scattered, every fourth offset skipped",
        |at| at + at / 3,
        |at| at * 7919 % OPEN,
    );

    let mut mark = Watermark::default();
    let ordinals: Vec<_> = (0..OPEN).filter_map(|seq| mark.deliver(seq)).collect();
    ordinals
        .iter()
        .filter(|at| *at % 3 > 0)
        .for_each(|&at| mark.complete(at));
    c.bench_function("watermark/beyond, 3,333 ranges", |bench| {
        bench.iter(|| black_box(mark.beyond(4096)));
    });
}

criterion_group!(benches, watermark);
criterion_main!(benches);
