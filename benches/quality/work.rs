//! What the sections share: work on every core, with results in the order of the work, and a stream that is listened to.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use dbmedic::detect::stream::{Reading, Stream, StreamOptions};

/// Names of [`super::generate::STEPS`].
pub fn step_name(step: usize) -> &'static str {
    ["10 s", "1 min", "5 min", "1 h"][step]
}

/// The seeds of so many generated series: from 0 on, or from `QUALITY_FIRST_SEED` for series that nothing was adjusted on.
pub fn seeds(count: u64) -> std::ops::Range<u64> {
    let first = std::env::var("QUALITY_FIRST_SEED").ok().and_then(|first| first.parse().ok()).unwrap_or(0);
    first..first + count
}

/// A stream, and the number of the last incident that it told.
#[derive(Clone)]
pub struct Listener {
    stream: Stream,
    incident: Option<u64>,
}

impl Listener {
    /// To a stream that has seen nothing, with its shipped default but for the threshold.
    pub fn new(threshold: f64) -> Self {
        Self { stream: Stream::new(StreamOptions { threshold, ..StreamOptions::default() }), incident: None }
    }

    /// What is said of a sample, and whether it opens an incident.
    pub fn sample(&mut self, at: i64, value: f64) -> (Reading, bool) {
        let reading = self.stream.sample(at, value);
        let opens = reading.incident > self.incident;
        self.incident = self.incident.max(reading.incident);
        (reading, opens)
    }
}

/// Calls `each` for every item, on as many threads as there are cores.
pub fn side_by_side<T: Sync, R: Send>(items: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((index, item)) = Some(next.fetch_add(1, Ordering::Relaxed))
                    .and_then(|index| items.get(index).map(|item| (index, item)))
                {
                    let result = each(item);
                    // A thread that panics ends the run; what it had pushed before is whole.
                    results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
