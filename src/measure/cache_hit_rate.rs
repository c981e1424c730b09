//! `cache_hit_rate`: Share of block accesses that the server's buffers answered.

use super::{Cadence, Interval, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "cache_hit_rate",
    unit: "%",
    minimum: Some(0.0),
    maximum: Some(100.0),
    cadence: Cadence::Light,
    share: None,
    source: "pg_stat_database: blks_hit, blks_read",
    description: "Share of block accesses that the server's own buffers answered. What the operating system's cache answered counts as a miss.",
    value,
};

fn value(interval: &Interval<'_>) -> Option<f64> {
    let hit = interval.growth(|database| database.blks_hit)?;
    let read = interval.growth(|database| database.blks_read)?;
    let all = hit + read;
    (all > 0.0).then(|| 100.0 * hit / all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::DatabaseCounters;
    use crate::measure::testing::{counters, interval};

    #[test]
    fn it_is_the_share_of_hits() {
        let earlier = counters(DatabaseCounters { blks_hit: 1_000, blks_read: 0, ..Default::default() });
        let later = counters(DatabaseCounters { blks_hit: 1_090, blks_read: 10, ..Default::default() });
        assert_eq!(value(&interval(Some(&earlier), &later, None)), Some(90.0));
    }

    #[test]
    fn without_accesses_there_is_none() {
        let same = counters(DatabaseCounters { blks_hit: 1_000, ..Default::default() });
        assert_eq!(value(&interval(Some(&same), &same, None)), None);
    }
}
