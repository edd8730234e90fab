//! Timing: contestants take turns in rounds, and the median round counts.

use std::{
    hint::black_box,
    sync::Barrier,
    time::{Duration, Instant},
};

use allocation_counter::{measure, opt_out};
use tokio::runtime::Runtime;

/// The length of a round. It is long enough that reading the clock does not matter, and short enough that a neighbor's
/// burst of work hits a few rounds of each contestant instead of all rounds of one.
const ROUND: Duration = Duration::from_millis(20);
const ROUNDS: usize = 25;

/// The largest number of operations whose allocations are counted.
const COUNTED: u64 = 1_000;

/// A contestant: a function that does the work a given number of times and returns how long that took.
pub struct Side<'a>(Box<dyn FnMut(u64) -> Duration + 'a>);

/// The cost of one operation.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// The median of the rounds, in nanoseconds.
    pub ns: f64,
    /// The number of allocations, if they were counted.
    pub allocs: Option<f64>,
}

/// A contestant that is a plain function.
pub fn side<'a, T>(mut once: impl FnMut() -> T + 'a) -> Side<'a> {
    Side(Box::new(move |n| {
        let start = Instant::now();
        for _ in 0..n {
            black_box(once());
        }
        start.elapsed()
    }))
}

/// A contestant that is an async function, run on a runtime of the measuring thread.
pub fn side_async<'a, T>(runtime: &'a Runtime, mut once: impl AsyncFnMut() -> T + 'a) -> Side<'a> {
    Side(Box::new(move |n| {
        runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..n {
                black_box(once().await);
            }
            start.elapsed()
        })
    }))
}

/// A contestant that measures its own time.
pub fn side_timed<'a>(run: impl FnMut(u64) -> Duration + 'a) -> Side<'a> {
    Side(Box::new(run))
}

/// Times the contestants in turns and counts their allocations on this thread.
pub fn compare<const N: usize>(mut sides: [Side<'_>; N]) -> [Cost; N] {
    let mut rounds = vec![Vec::with_capacity(ROUNDS); N];
    let mut sizes = Vec::new();
    opt_out(|| {
        sizes.extend(sides.iter_mut().map(calibrate));
        for round in 0..ROUNDS {
            for turn in 0..N {
                let at = (round + turn) % N;
                let took = (sides[at].0)(sizes[at]);
                rounds[at].push(took.as_nanos() as f64 / sizes[at] as f64);
            }
        }
    });
    let mut rounds = rounds.into_iter().zip(sizes);
    sides.map(|mut side| {
        let (times, size) = rounds.next().unwrap_or_default();
        let n = size.clamp(10, COUNTED);
        let counted = measure(|| {
            (side.0)(n);
        });
        Cost { ns: median(times), allocs: Some((counted.count_total as f64 / n as f64 * 10.0).round() / 10.0) }
    })
}

/// The operations per second of `threads` threads together. Each thread makes its own `op`, which does a batch of work
/// and returns the number of operations in it.
pub fn throughput<F: FnMut() -> u64>(threads: usize, window: Duration, make: impl Fn() -> F + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let work = || {
        opt_out_returning(|| {
            let mut op = make();
            op();
            barrier.wait();
            let (start, mut done) = (Instant::now(), 0);
            while start.elapsed() < window {
                done += op();
            }
            done as f64 / start.elapsed().as_secs_f64()
        })
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().map(|thread| thread.join().expect("a measuring thread panicked")).sum()
    })
}

/// The throughput of two threads over that of one, by the median of rounds; 2 is perfect scaling.
pub fn scaling<F: FnMut() -> u64>(make: impl Fn() -> F + Sync) -> f64 {
    let window = Duration::from_millis(60);
    let round = |_| throughput(2, window, &make) / throughput(1, window, &make);
    median((0..11).map(round).collect())
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Runs a function without counting its allocations, since counting costs a few nanoseconds for each.
pub fn opt_out_returning<T>(run: impl FnOnce() -> T) -> T {
    let mut result = None;
    opt_out(|| result = Some(run()));
    result.expect("`opt_out` runs the function")
}

/// The number of operations that fill a round. Finding it also warms the contestant up.
fn calibrate(side: &mut Side<'_>) -> u64 {
    let mut n = 1;
    loop {
        let took = (side.0)(n);
        if took >= ROUND / 2 || n >= 1 << 40 {
            return ((ROUND.as_secs_f64() / took.as_secs_f64() * n as f64) as u64).max(1);
        }
        n *= 2;
    }
}
