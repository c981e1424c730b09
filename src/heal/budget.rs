//! The budget: changes begun in any 60 minutes, counted over the reservations of the ledger.

/// Length of the sliding window, in ms.
pub const WINDOW_MS: i64 = 60 * 60 * 1000;

/// One reservation of the ledger.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Reservation {
    /// UID of the Remediation.
    pub uid: String,
    /// Policy as `namespace/name`.
    pub policy: String,
    /// When it was taken, ms since the Unix epoch.
    pub at_ms: i64,
}

impl Reservation {
    /// Whether it still counts. One from the future (a clock that was set back) counts.
    pub fn is_live(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.at_ms) < WINDOW_MS
    }
}

/// Whether another change may begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Budget {
    /// There is a slot.
    Free,
    /// There is none before this time, in ms since the Unix epoch.
    Exhausted {
        /// When the oldest counted reservation leaves the window.
        until_ms: i64,
    },
}

/// Counts the live reservations of a policy.
pub fn used(ledger: &[Reservation], policy: &str, now_ms: i64) -> usize {
    ledger.iter().filter(|reservation| reservation.policy == policy && reservation.is_live(now_ms)).count()
}

/// Whether the Remediation holds a live reservation.
pub fn holds(ledger: &[Reservation], uid: &str, now_ms: i64) -> bool {
    ledger.iter().any(|reservation| reservation.uid == uid && reservation.is_live(now_ms))
}

/// Whether the policy may begin another change.
pub fn check(ledger: &[Reservation], policy: &str, limit: u32, now_ms: i64) -> Budget {
    let mut times: Vec<i64> = ledger
        .iter()
        .filter(|reservation| reservation.policy == policy && reservation.is_live(now_ms))
        .map(|reservation| reservation.at_ms)
        .collect();
    let limit = limit as usize;
    if times.len() < limit {
        return Budget::Free;
    }
    times.sort_unstable();
    let leaves = times.get(times.len() - limit.max(1)).copied().unwrap_or(now_ms);
    Budget::Exhausted { until_ms: leaves.saturating_add(WINDOW_MS) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reservation(uid: &str, at_ms: i64) -> Reservation {
        Reservation { uid: uid.into(), policy: "shop/standard".into(), at_ms }
    }

    #[test]
    fn a_reservation_counts_for_sixty_minutes() {
        let ledger = [reservation("a", 0), reservation("b", 1000)];
        assert_eq!(check(&ledger, "shop/standard", 2, 2000), Budget::Exhausted { until_ms: WINDOW_MS });
        assert_eq!(check(&ledger, "shop/standard", 2, WINDOW_MS), Budget::Free);
        assert_eq!(check(&ledger, "shop/other", 1, 2000), Budget::Free);
        assert!(holds(&ledger, "a", WINDOW_MS - 1) && !holds(&ledger, "a", WINDOW_MS));
    }

    #[test]
    fn a_reservation_from_the_future_counts() {
        assert_eq!(
            check(&[reservation("a", 5000)], "shop/standard", 1, 0),
            Budget::Exhausted { until_ms: 5000 + WINDOW_MS }
        );
    }

    proptest! {
        #[test]
        fn no_sixty_minutes_ever_see_more_than_the_limit(
            asks in proptest::collection::vec(0_i64..4 * WINDOW_MS, 1..200), limit in 1_u32..6,
        ) {
            let mut asks = asks;
            asks.sort_unstable();
            let mut ledger = Vec::new();
            for at_ms in asks {
                if check(&ledger, "shop/standard", limit, at_ms) == Budget::Free {
                    ledger.push(reservation("x", at_ms));
                }
            }
            for first in &ledger {
                let inside = ledger.iter().filter(|one| (first.at_ms..first.at_ms + WINDOW_MS).contains(&one.at_ms)).count();
                prop_assert!(inside <= limit as usize);
            }
        }

        #[test]
        fn at_the_promised_time_there_is_a_slot(times in proptest::collection::vec(0_i64..WINDOW_MS, 1..20), limit in 1_u32..6) {
            let ledger: Vec<_> = times.iter().map(|at_ms| reservation("x", *at_ms)).collect();
            if let Budget::Exhausted { until_ms } = check(&ledger, "shop/standard", limit, WINDOW_MS - 1) {
                prop_assert_eq!(check(&ledger, "shop/standard", limit, until_ms), Budget::Free);
            }
        }
    }
}
