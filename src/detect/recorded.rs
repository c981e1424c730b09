//! A rule over recorded rows, as the operator would have judged them: the same shard, profiles learnt from the rows
//! before, incidents with the rule's own times.
//!
//! Causal: a row's outcome depends on no later row. The interval between two values of the rule's metric is not told but
//! learnt: the median of the steps so far. Rows may come more often, with the values of other metrics.

use super::{Change, ChangeKind, MetricSet, Phase, Rule, Shard, TargetRule, Verdict};
use crate::learn::{self, Options, Sample};
use crate::measure::Round;

const DAY_MS: i64 = 86_400_000;
/// Days that a profile is learnt from; the default of `collection.window`.
const WINDOW_DAYS: u32 = 14;
/// How often profiles are learnt anew; the default of `refresh`.
const REFRESH_MS: i64 = DAY_MS;
const HOUR_MS: i64 = 3_600_000;
/// How often it is tried while no profile is ready, once a metric has what one takes at the least.
const UNREADY_RETRY_MS: i64 = HOUR_MS;
/// Steps that the interval is the median of.
const STEPS: usize = 65;
/// Intervals without a row after which a round counts as missed.
const MISSED_INTERVALS: i64 = 3;
/// Id of the one rule.
const RULE: u64 = 0;

/// What the rule says of one row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Verdict; `None` without a value or a ready profile.
    pub verdict: Option<Verdict>,
    /// Number of the incident that is open, from 1.
    pub incident: Option<u64>,
    /// First breach of the open incident, milliseconds since the Unix epoch.
    pub onset: Option<i64>,
}

/// What a profile of one metric is learnt from.
#[derive(Clone, Debug, Default)]
struct Past {
    /// Samples of the window, in order of time; some older ones may be among them.
    samples: Vec<Sample>,
    learnt_at: Option<i64>,
}

impl Past {
    fn forget(&mut self, begin: i64) {
        // Rarely enough that moving the rest costs nothing beside the rows.
        if self.samples.first().is_some_and(|first| first.at < begin.saturating_sub(DAY_MS)) {
            self.samples.drain(..self.samples.partition_point(|sample| sample.at < begin));
        }
    }

    /// Whether there is as much as makes a profile ready at the least. Before, learning is for nothing.
    fn may_be_ready(&self, at: i64) -> bool {
        let seen_ms = self.samples.first().map_or(0, |first| at.saturating_sub(first.at));
        seen_ms as f64 >= learn::READY_DAYS * DAY_MS as f64 && self.samples.len() >= learn::LEAST_SAMPLES
    }
}

/// One rule over recorded rows.
pub struct RecordedRule {
    shard: Shard,
    target: usize,
    rule: Rule,
    metrics: MetricSet,
    /// Whether any verdict of the rule depends on what is normal.
    learns: bool,
    /// Indices of the metrics that it judges: only these are learnt.
    judged: Vec<usize>,
    /// Of each metric.
    past: Vec<Past>,
    latest: Option<i64>,
    /// Last row with a value of the rule's metric.
    latest_value: Option<i64>,
    steps: Vec<i64>,
    /// Usual time between two such rows, in ms.
    interval: i64,
    incidents: u64,
    changes: Vec<Change>,
    round: Round,
}

impl RecordedRule {
    /// A rule that was resolved for these metrics, and has seen nothing.
    pub fn new(rule: Rule, metrics: MetricSet) -> Self {
        let mut shard = Shard::new();
        let target = shard.add_target(metrics.len());
        let past = vec![Past::default(); metrics.len()];
        let learns = rule.detector.uses_profiles();
        let judged = rule.judged();
        let values = Vec::with_capacity(metrics.len());
        let mut recorded = Self {
            shard,
            target,
            rule,
            metrics,
            learns,
            judged,
            past,
            latest: None,
            latest_value: None,
            steps: Vec::with_capacity(STEPS),
            interval: 0,
            incidents: 0,
            changes: Vec::new(),
            round: Round { target, at: 0, values },
        };
        recorded.set_rule();
        recorded
    }

    /// Indices of the metrics that the rule judges.
    pub fn judged(&self) -> &[usize] {
        &self.judged
    }

    /// What there must be before the first verdict, for people.
    pub fn needs(&self) -> &'static str {
        self.rule.detector.needs()
    }

    /// Judges one row and learns from it. `at` in milliseconds since the Unix epoch, after that of the row before;
    /// `values` in the order of the metrics, NaN where there is none.
    pub fn row(&mut self, at: i64, values: &[f64]) -> Outcome {
        if self.learns {
            self.learn_when_due(at);
        }
        let has_value = values.get(self.rule.metric).is_some_and(|value| value.is_finite());
        if let Some(latest) = self.latest_value.filter(|_| has_value) {
            self.learn_interval(at.saturating_sub(latest));
        }
        if let Some(latest) = self.latest
            && at.saturating_sub(latest) > self.interval.saturating_mul(MISSED_INTERVALS)
        {
            // The operator would have noticed that nothing came.
            for missed in [1, 1 + MISSED_INTERVALS] {
                let when = latest.saturating_add(self.interval.saturating_mul(missed)).min(at);
                self.shard.missed(self.target, when, &mut self.changes);
                self.count_changes();
            }
        }
        self.latest = Some(at);
        if has_value {
            self.latest_value = Some(at);
        }
        self.round.at = at;
        self.round.values.clear();
        self.round.values.extend(values.iter().map(|value| *value as f32));
        self.shard.round(&self.round, &mut self.changes);
        let verdict = self.shard.judge_round(self.target, RULE, at, &self.round.values);
        self.count_changes();
        if self.learns {
            self.remember(at);
        }
        let open = self.shard.incidents(self.target).find(|(id, incident)| *id == RULE && incident.phase().is_open());
        Outcome {
            verdict,
            incident: open.map(|_| self.incidents),
            onset: open.and_then(|(_, incident)| incident.onset()),
        }
    }

    fn remember(&mut self, at: i64) {
        for index in &self.judged {
            let value = self.round.values.get(*index).copied().filter(|value| value.is_finite());
            if let (Some(past), Some(value)) = (self.past.get_mut(*index), value) {
                past.samples.push(Sample { at, value });
            }
        }
    }

    fn count_changes(&mut self) {
        let opened = self.changes.iter().filter(|change| change.kind == ChangeKind::Opened).count();
        self.incidents += opened as u64;
        self.changes.clear();
    }

    fn set_rule(&mut self) {
        let rule = TargetRule { id: RULE, rule: self.rule.clone().into(), expected_interval_ms: self.interval };
        self.shard.set_rules(self.target, vec![rule]);
        // There is no history before the first row: a memory that wants one begins empty.
        let cold: Vec<(u64, Rule)> = self.shard.cold(self.target).map(|(id, rule)| (id, rule.clone())).collect();
        for (id, rule) in cold {
            if let Some(begun) = self.shard.replay(self.target, &rule) {
                self.shard.warm(self.target, id, begun.finish(), []);
            }
        }
    }

    /// The median of the first steps; taken anew as often as there are twice as many, so that a first step that is no
    /// ordinary one is soon outvoted.
    fn learn_interval(&mut self, step: i64) {
        if self.steps.len() >= STEPS {
            return;
        }
        self.steps.push(step);
        if !(self.steps.len() - 1).is_power_of_two() && self.steps.len() != 1 {
            return;
        }
        let mut sorted = self.steps.clone();
        sorted.sort_unstable();
        let interval = sorted[sorted.len() / 2];
        if interval != self.interval {
            self.interval = interval;
            self.set_rule();
        }
    }

    fn learn_when_due(&mut self, at: i64) {
        let begin = at.saturating_sub(i64::from(WINDOW_DAYS) * DAY_MS);
        for index in self.judged.iter().copied() {
            let (Some(past), Some(metric)) = (self.past.get_mut(index), self.metrics.get(index)) else { continue };
            let is_ready = self.shard.is_ready(self.target, index);
            let every = if is_ready { REFRESH_MS } else { UNREADY_RETRY_MS };
            if past.learnt_at.is_some_and(|learnt| at.saturating_sub(learnt) < every) {
                continue;
            }
            past.forget(begin);
            if !is_ready && !past.may_be_ready(at) {
                continue;
            }
            past.learnt_at = Some(at);
            let options = Options {
                minimum: metric.minimum,
                maximum: metric.maximum,
                window_days: WINDOW_DAYS,
                now: at,
                ..Options::default()
            };
            // As in the engine: what is ready is not given up for what is not.
            if let Some(profile) = learn::learn(&past.samples, &options).filter(|profile| profile.ready) {
                self.shard.set_profile(self.target, index, Some(&profile));
            }
        }
    }

    /// Index of the metric that the rule is about.
    pub fn metric(&self) -> usize {
        self.rule.metric
    }

    /// Where the rule's incident stands after the last row.
    pub fn phase(&self) -> Phase {
        self.shard.incidents(self.target).next().map_or(Phase::Normal, |(_, incident)| incident.phase())
    }
}

#[cfg(test)]
mod growth;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::AnomalyRuleSpec;
    use crate::detect::{MetricDescriptor, resolve};
    use crate::measure::Cadence;

    /// 2026-03-02 00:00:00 UTC, a Monday.
    const MONDAY: i64 = 1_772_409_600_000;
    const MINUTE: i64 = 60_000;

    fn metrics() -> MetricSet {
        let descriptor = MetricDescriptor {
            name: "v".into(),
            unit: String::new(),
            minimum: None,
            maximum: None,
            cadence: Cadence::Light,
            share: None,
        };
        std::iter::once(descriptor).collect()
    }

    fn recorded(detector: &str, written: serde_json::Value) -> RecordedRule {
        let detect = serde_json::json!({"metric": "v", detector: written});
        let spec = serde_json::json!({"baselineRef": {"name": "b"}, "for": "10m", "detect": detect});
        let spec: AnomalyRuleSpec = serde_json::from_value(spec).unwrap();
        RecordedRule::new(resolve(&spec, &metrics()).unwrap(), metrics())
    }

    fn limit() -> RecordedRule {
        recorded("limit", serde_json::json!({"above": 10}))
    }

    fn sigma() -> RecordedRule {
        recorded("sigma", serde_json::json!({"above": 4}))
    }

    #[test]
    fn an_incident_opens_after_for_and_resolves_after_it_is_clear_as_long() {
        let mut recorded = limit();
        let outcomes: Vec<Outcome> = (0..100)
            .map(|minute| {
                let high = (20..25).contains(&minute) || (40..60).contains(&minute);
                recorded.row(MONDAY + minute * MINUTE, &[if high { 11.0 } else { 1.0 }])
            })
            .collect();
        let open: Vec<usize> = (0..100).filter(|minute| outcomes[*minute].incident.is_some()).collect();
        // Five minutes are not ten; the second breach opens at 50 and is over ten minutes after it was clear at 60.
        assert_eq!((open.first(), open.last()), (Some(&50), Some(&69)));
        assert!(open.iter().all(|minute| outcomes[*minute].incident == Some(1)));
        assert_eq!(outcomes[50].onset, Some(MONDAY + 40 * MINUTE));
        assert_eq!(recorded.phase(), Phase::Normal);
    }

    #[test]
    fn a_metric_that_has_a_value_in_every_sixth_row_only_is_judged_by_its_own_interval() {
        let mut recorded = limit();
        let opened = (0..600).find(|row| {
            let value = if *row < 300 { 1.0 } else { 11.0 };
            let present = if row % 6 == 0 { value } else { f64::NAN };
            recorded.row(MONDAY + row * MINUTE / 6, &[present]).incident.is_some()
        });
        assert_eq!(opened, Some(360), "ten minutes after the first breach");
        assert!(!recorded.shard.incidents(recorded.target).any(|(_, incident)| incident.no_data()));
    }

    #[test]
    fn a_gap_is_no_proof_of_a_breach() {
        let mut recorded = limit();
        for minute in 0..20 {
            recorded.row(MONDAY + minute * MINUTE, &[1.0]);
        }
        assert_eq!(recorded.row(MONDAY + 20 * MINUTE, &[11.0]).incident, None);
        assert_eq!(recorded.row(MONDAY + 300 * MINUTE, &[11.0]).incident, None);
    }

    #[test]
    fn a_sigma_rule_is_silent_for_a_week_and_then_knows_the_hour() {
        let mut recorded = sigma();
        let value = |hour: i64, minute: i64| {
            let busy = if hour % 24 == 3 { 100.0 } else { 10.0 };
            busy + ((hour * 60 + minute) % 7) as f64
        };
        let mut judged = 0;
        for hour in 0..10 * 24 {
            for minute in (0..60).step_by(20) {
                let outcome = recorded.row(MONDAY + (hour * 60 + minute) * MINUTE, &[value(hour, minute)]);
                assert_eq!(outcome.incident, None, "hour {hour}");
                judged += usize::from(outcome.verdict.is_some());
                assert!(hour >= 7 * 24 || outcome.verdict.is_none(), "hour {hour}");
            }
        }
        assert!(judged >= 2 * 24 * 3, "{judged}");
        // What is ordinary at three is not at five.
        let night = MONDAY + (10 * 24 + 5) * 60 * MINUTE;
        let last = (0..8).map(|step| recorded.row(night + step * 5 * MINUTE, &[100.0])).last().unwrap();
        assert_eq!(last.incident, Some(1));
        assert!(last.verdict.is_some_and(|verdict| verdict.breach && verdict.confidence > 0.6));
    }

    #[test]
    fn nothing_is_learnt_before_it_can_be_of_use_nor_for_a_rule_that_needs_none() {
        let mut needs_none = limit();
        let mut needs = sigma();
        for hour in 0..200 {
            for recorded in [&mut needs_none, &mut needs] {
                recorded.row(MONDAY + hour * 60 * MINUTE, &[(hour % 7) as f64]);
            }
            assert_eq!(needs.past[0].learnt_at.is_some(), hour >= 7 * 24, "hour {hour}");
        }
        assert!(needs.shard.is_ready(needs.target, 0));
        assert!(needs_none.past[0].learnt_at.is_none() && needs_none.past[0].samples.is_empty());
        // A sample a day is never enough, and nothing older than the window is kept for long.
        let mut sparse = sigma();
        for day in 0..100 {
            sparse.row(MONDAY + day * DAY_MS, &[1.0]);
        }
        assert!(sparse.past[0].learnt_at.is_none() && sparse.past[0].samples.len() <= 17, "{:?}", sparse.past);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_row_depends_on_no_later_row(
            values in proptest::collection::vec(prop_oneof![0.0..20.0_f64, Just(f64::NAN), any::<f64>()], 1..200),
            steps in proptest::collection::vec(1_i64..4_000_000, 200),
            cut in 0_usize..200,
        ) {
            let cut = cut.min(values.len());
            let run = |values: &[f64]| -> Vec<String> {
                let mut recorded = limit();
                let mut at = MONDAY;
                values.iter().zip(&steps).map(|(value, step)| {
                    at += step;
                    format!("{:?}", recorded.row(at, &[*value]))
                }).collect()
            };
            prop_assert_eq!(&run(&values)[..cut], &run(&values[..cut])[..]);
        }
    }
}
