//! How things are timed: contestants take turns, in rounds, and the median round counts.

use std::{
    hint::black_box,
    sync::Barrier,
    time::{Duration, Instant},
};

use allocation_counter::{measure, opt_out};
use tokio::runtime::Runtime;

/// Long enough that reading the clock does not count, short enough that a neighbour's burst of work hits few
/// rounds of each contestant and not all rounds of one.
const ROUND: Duration = Duration::from_millis(20);
const ROUNDS: usize = 25;

/// Operations whose allocations are counted, at most.
const COUNTED: u64 = 1_000;

/// One contestant: does the work so many times and says how long it took.
pub struct Side<'a>(Box<dyn FnMut(u64) -> Duration + 'a>);

/// What one operation costs.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Nanoseconds; the median of the rounds.
    pub ns: f64,
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

/// A contestant that is a future, on a runtime of the thread that measures.
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

/// A contestant that keeps its own time.
pub fn side_timed<'a>(run: impl FnMut(u64) -> Duration + 'a) -> Side<'a> {
    Side(Box::new(run))
}

/// Times the contestants in turns and counts what each allocates on this thread.
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

/// Operations per second of so many threads together. Each makes its own `op`, which does a batch of work
/// and says how many operations that was.
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

/// How much more two threads get done than one, by the median of rounds; 2 is perfect.
pub fn scaling<F: FnMut() -> u64>(make: impl Fn() -> F + Sync) -> f64 {
    let window = Duration::from_millis(60);
    let round = |_| throughput(2, window, &make) / throughput(1, window, &make);
    median((0..11).map(round).collect())
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Runs without counting allocations, which costs a few nanoseconds each.
pub fn opt_out_returning<T>(run: impl FnOnce() -> T) -> T {
    let mut result = None;
    opt_out(|| result = Some(run()));
    result.expect("it has run")
}

/// How many operations fill a round; warms up on the way.
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
