//! How long to wait before connecting again.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// Longest wait.
const LONGEST: Duration = Duration::from_secs(30);
/// Longest first wait, so that a server that comes back at once is seen at once.
const FIRST: Duration = Duration::from_secs(1);

/// Waits that double from the interval between rounds, or from a second if that is shorter, up to 30 s.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    next: Duration,
}

impl Backoff {
    /// For a target with this interval between rounds.
    pub fn new(interval: Duration) -> Self {
        let first = interval.min(FIRST);
        Self { first, next: first }
    }

    /// The next wait. `chance` (0..1) spreads it between half of it and all of it, so that the collectors of many
    /// databases do not come back in step.
    pub fn wait(&mut self, chance: f64) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        wait.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0))
    }

    /// Begins anew, after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// A number in 0..1 that differs between tasks and calls. Spreading waits needs no more.
pub fn chance() -> f64 {
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_half_a_minute_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_secs(10));
        let waits: Vec<u64> = (0..7).map(|_| backoff.wait(1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        backoff.reset();
        assert_eq!(backoff.wait(1.0), Duration::from_secs(1));
    }

    #[test]
    fn chance_spreads_waits_between_half_and_all() {
        let mut backoff = Backoff::new(Duration::from_secs(10));
        assert_eq!(backoff.wait(0.0), Duration::from_millis(500));
        assert!((0.0..1.0).contains(&chance()));
    }
}
