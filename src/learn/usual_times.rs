//! What each statement usually takes: a running robust mean of its time, fed with quiet intervals only.
//!
//! An incident must never become what the next one is compared with, however often or long there were incidents. So
//! the caller leaves out the intervals of an incident, and of the others each moves the estimate by a bounded step.

use std::collections::HashMap;

/// First byte of the stored form.
const VERSION: u8 = 1;
/// Length of an entry in the stored form: query id, time, intervals.
const ENTRY: usize = 8 + 4 + 2;
/// Intervals that the estimate remembers: two hours of one a minute.
const MEMORY: u16 = 120;
/// Intervals from which the estimate is trusted more than the next value.
const TRUSTED: u16 = 5;
/// Most that a value may differ from a trusted estimate, as a factor: more counts as so much. It is the factor from
/// which a statement counts as slower (see `diagnose`), so that what is noise there is followed here.
const MOST_FACTOR: f32 = 1.5;

/// Usual execution times by query id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UsualTimes {
    times: HashMap<i64, Usual>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Usual {
    /// Natural logarithm of the time in ms: times are compared by their ratio.
    logarithm: f32,
    /// Intervals it was learnt from, at most [`MEMORY`].
    intervals: u16,
}

impl UsualTimes {
    /// The usual mean time of a statement in ms; `None` when none was learnt.
    pub fn get(&self, query_id: i64) -> Option<f64> {
        self.times.get(&query_id).map(|usual| f64::from(usual.logarithm).exp())
    }

    /// Begins with a mean that the server itself has kept, where nothing was learnt yet: the first quiet interval
    /// replaces it.
    pub fn begin(&mut self, query_id: i64, mean_ms: f64) {
        let logarithm = mean_ms.ln() as f32;
        if logarithm.is_finite() {
            self.times.entry(query_id).or_insert(Usual { logarithm, intervals: 0 });
        }
    }

    /// Learns from a quiet interval in which a statement took `mean_ms` on average. Anything but a positive number
    /// is passed over.
    pub fn learn(&mut self, query_id: i64, mean_ms: f64) {
        let logarithm = mean_ms.ln() as f32;
        if !logarithm.is_finite() {
            return;
        }
        let usual = self.times.entry(query_id).or_insert(Usual { logarithm, intervals: 0 });
        let most = if usual.intervals < TRUSTED { f32::INFINITY } else { MOST_FACTOR.ln() };
        usual.intervals = (usual.intervals + 1).min(MEMORY);
        usual.logarithm += (logarithm - usual.logarithm).clamp(-most, most) / f32::from(usual.intervals);
    }

    /// Whether nothing was learnt.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Statements of which something is known.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Forgets all statements but these.
    pub fn retain(&mut self, keep: impl Fn(i64) -> bool) {
        self.times.retain(|query_id, _| keep(*query_id));
    }

    /// The stored form: a version byte, then 14 bytes per statement.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.times.len() * ENTRY);
        bytes.push(VERSION);
        for (query_id, usual) in &self.times {
            bytes.extend_from_slice(&query_id.to_le_bytes());
            bytes.extend_from_slice(&usual.logarithm.to_le_bytes());
            bytes.extend_from_slice(&usual.intervals.to_le_bytes());
        }
        bytes
    }

    /// Reads the stored form; `None` when it is not one of [`UsualTimes::encode`]: then it is learnt anew.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&version, entries) = bytes.split_first()?;
        let (entries, rest) = entries.as_chunks::<ENTRY>();
        if version != VERSION || !rest.is_empty() {
            return None;
        }
        let times = entries.iter().map(|entry| {
            let (query_id, rest) = entry.split_first_chunk::<8>()?;
            let (logarithm, rest) = rest.split_first_chunk::<4>()?;
            let intervals = rest.first_chunk::<2>()?;
            let logarithm = f32::from_le_bytes(*logarithm);
            let usual = Usual { logarithm, intervals: u16::from_le_bytes(*intervals).min(MEMORY) };
            logarithm.is_finite().then_some((i64::from_le_bytes(*query_id), usual))
        });
        Some(Self { times: times.collect::<Option<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn learnt(means: &[f64]) -> UsualTimes {
        let mut times = UsualTimes::default();
        for mean in means {
            times.learn(1, *mean);
        }
        times
    }

    fn usual(means: &[f64]) -> f64 {
        learnt(means).get(1).unwrap()
    }

    #[test]
    fn the_first_intervals_are_averaged() {
        assert!((usual(&[2.0]) - 2.0).abs() < 1e-6);
        assert!((usual(&[1.0, 4.0]) - 2.0).abs() < 1e-6, "by their ratio");
    }

    #[test]
    fn what_the_server_kept_counts_until_something_is_learnt() {
        let mut times = UsualTimes::default();
        times.begin(1, 8.0);
        times.begin(1, 9.0);
        assert!((times.get(1).unwrap() - 8.0).abs() < 1e-5);
        times.learn(1, 2.0);
        times.begin(1, 8.0);
        assert!((times.get(1).unwrap() - 2.0).abs() < 1e-6);
    }

    #[test]
    fn one_bad_interval_hardly_moves_what_was_learnt_from_many() {
        let mut means = vec![1.0; 60];
        means.push(1_000.0);
        assert!(usual(&means) < 1.01, "{}", usual(&means));
    }

    #[test]
    fn a_lasting_change_is_followed_within_half_a_day_of_minutes() {
        let mut means = vec![1.0; 120];
        means.extend([10.0; 720]);
        assert!(usual(&means) > 8.0, "{}", usual(&means));
    }

    #[test]
    fn what_is_no_time_is_passed_over() {
        let times = learnt(&[0.0, -1.0, f64::NAN, f64::INFINITY]);
        assert!(times.is_empty() && times.get(1).is_none());
    }

    #[test]
    fn what_is_not_a_stored_form_is_refused() {
        let mut bytes = learnt(&[1.0]).encode();
        assert_eq!(UsualTimes::decode(&[]), None);
        assert_eq!(UsualTimes::decode(&bytes[..bytes.len() - 1]), None);
        bytes[9..13].copy_from_slice(&f32::NAN.to_le_bytes());
        assert_eq!(UsualTimes::decode(&bytes), None);
        bytes[0] = 0;
        assert_eq!(UsualTimes::decode(&bytes), None);
    }

    proptest! {
        #[test]
        fn the_stored_form_is_read_back(
            means in proptest::collection::vec((any::<i64>(), 1e-4..1e6_f64), 0..50),
        ) {
            let mut times = UsualTimes::default();
            for (query_id, mean) in &means {
                times.learn(*query_id, *mean);
            }
            prop_assert_eq!(UsualTimes::decode(&times.encode()), Some(times));
        }

        #[test]
        fn the_estimate_stays_within_what_was_seen(means in proptest::collection::vec(1e-3..1e5_f64, 1..300)) {
            let lowest = means.iter().copied().fold(f64::INFINITY, f64::min);
            let highest = means.iter().copied().fold(0.0, f64::max);
            let usual = usual(&means);
            prop_assert!(lowest * 0.999 <= usual && usual <= highest * 1.001, "{} {} {}", lowest, usual, highest);
        }
    }
}
