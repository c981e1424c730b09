//! What the collectors report, and what becomes of a round.

use std::sync::Arc;
use std::time::Instant;

use super::handle::Connection;
use super::recorder::Entry;
use super::settings::{IncidentChange, Noticed};
use super::targets::expected_interval;
use super::task::Task;
use crate::collect::Report;
use crate::detect::Change;
use crate::measure::{ABSENT, Cadence, Round, TargetKey};

/// Rounds kept in memory per target: what a verification looks back on.
const RECENT_ROUNDS: usize = 720;

impl Task {
    pub fn report(&mut self, index: usize, report: Report) {
        let Some(Some(target)) = self.targets.get(index) else { return };
        let key = &target.settings.key;
        match report {
            Report::Round { round, received, .. } => self.round(index, round, received),
            Report::Connected { identity, .. } => {
                tracing::info!(target = %key, version = identity.version, role = ?identity.role, "connected");
                self.take_role(index, identity.role);
                self.update_view(index, |view| view.connection = Connection::Connected(identity));
            }
            Report::Failed(error) => {
                tracing::warn!(target = %key, %error, "the database cannot be observed");
                self.telemetry.collection_failed();
                self.update_view(index, |view| view.connection = Connection::Failed(Arc::new(error)));
            }
            Report::Unavailable(unavailable) => {
                for missing in &unavailable {
                    tracing::warn!(target = %key, metrics = missing.metrics.join(","), reason = missing.reason, "metrics unavailable");
                }
                self.update_view(index, |view| view.unavailable = unavailable);
            }
            Report::Reset(reason) => {
                tracing::info!(target = %key, reason, "counters begin anew; no rate over this interval");
            }
            Report::UsualTimes(times) => {
                self.recorder.record(Entry::UsualTimes { target: key.clone(), times });
            }
        }
    }

    fn round(&mut self, index: usize, round: Round, received: Instant) {
        self.telemetry.round();
        self.shard.round(&round, &mut self.changes);
        if !self.changes.is_empty() {
            let mut changes = std::mem::take(&mut self.changes);
            for change in changes.drain(..) {
                self.changed(index, change, received);
            }
            self.changes = changes;
            self.publish_incidents(index);
        }
        let Some(Some(target)) = self.targets.get_mut(index) else { return };
        let values: Arc<[f32]> = round.values.into();
        // While there is no connection every value is absent: nothing to keep.
        if values.iter().any(|value| !value.is_nan()) {
            let series = target.series.clone();
            self.recorder.record(Entry::Round { series, at: round.at, values: values.clone() });
        }
        if target.recent.len() == RECENT_ROUNDS {
            target.recent.pop_front();
        }
        target.recent.push_back((round.at, values));
    }

    /// Notes what changed of an incident, and tells those who write of it.
    fn changed(&mut self, index: usize, change: Change, received: Instant) {
        let Some(Some(target)) = self.targets.get(index) else { return };
        let Some(rule) = self.rules.get(change.rule).cloned() else { return };
        // A detector of several metrics says which one carries it.
        let metric = change.verdict.map_or(rule.rule.metric, |verdict| verdict.metric);
        let Some(meaning) = target.metrics.get(metric) else { return };
        let key = &target.settings.key;
        tracing::info!(
            target = %key, rule = rule.name, metric = meaning.name, kind = ?change.kind,
            value = change.verdict.map(|verdict| verdict.value),
            sigmas = change.verdict.and_then(|verdict| verdict.sigmas),
            "incident"
        );
        if let Some(phase) = change.kind.phase() {
            self.rules.follow(key, change.rule, change.onset, phase);
        }
        // Both are gone only when the process ends.
        let _ = self.noticed.send(Noticed::Incident { target: key.clone(), rule: rule.name.clone() });
        if change.kind.concerns_anomaly() {
            let _ = self.incidents.send(IncidentChange {
                target: key.clone(),
                rule,
                metric: meaning.name.clone(),
                unit: meaning.unit.clone(),
                change,
                received,
            });
        }
    }

    /// Samples of a metric at and after `since`: see [`super::Handle::samples`].
    pub fn samples(&self, key: &TargetKey, metric: &str, since: i64) -> Vec<(i64, f32)> {
        let Some(target) = self.by_key.get(key).and_then(|index| self.targets[*index].as_ref()) else {
            return Vec::new();
        };
        let Some(metric) = target.metrics.index(metric) else { return Vec::new() };
        let dear = target.metrics.get(metric).is_some_and(|meaning| meaning.cadence == Cadence::Statements);
        let light = i64::try_from(target.settings.interval.as_millis()).unwrap_or(i64::MAX);
        // A value may be as late as the collector lets it be.
        let patience = dear.then(|| expected_interval(target, metric).saturating_mul(2).saturating_add(light / 2));
        let recent = target.recent.iter().filter(|(at, _)| *at >= since);
        due(recent.map(|(at, values)| (*at, &**values)), metric, patience)
    }
}

/// The values of the rounds in which one was due; [`ABSENT`] where there was none.
///
/// `patience` is for a metric that has no value in most rounds by design: it is missed only where there was no value
/// for longer than that (ms), or where the database gave no value at all.
fn due<'a>(rounds: impl Iterator<Item = (i64, &'a [f32])>, metric: usize, patience: Option<i64>) -> Vec<(i64, f32)> {
    let mut samples: Vec<(i64, f32)> = Vec::new();
    let mut last_value: Option<i64> = None;
    // A round that was passed over since the last sample: whether a value was missing shows later.
    let mut passed: Option<i64> = None;
    for (at, values) in rounds {
        let value = values.get(metric).copied().filter(|value| value.is_finite()).unwrap_or(ABSENT);
        let overdue = patience.is_none_or(|patience| last_value.is_some_and(|last| at - last > patience));
        if value.is_nan() {
            if overdue || values.iter().all(|value| value.is_nan()) {
                samples.push((at, ABSENT));
                passed = None;
            } else {
                passed = Some(at);
            }
            continue;
        }
        if let Some(passed) = passed.take().filter(|_| overdue) {
            samples.push((passed, ABSENT));
        }
        samples.push((at, value));
        last_value = Some(at);
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heal::verify;

    const LIGHT: usize = 0;
    const DEAR: usize = 1;
    /// Light rounds each 10 s, values over statements each 30 s.
    const PATIENCE: Option<i64> = Some(65);

    /// Rounds of a light and a dear metric, 10 s apart, as (time in s, value); NaN is written as a dash.
    fn of(metric: usize, patience: Option<i64>, rounds: &[(f32, f32)]) -> String {
        let rounds: Vec<(i64, [f32; 2])> =
            (0..).step_by(10).zip(rounds.iter().map(|&(light, dear)| [light, dear])).collect();
        let found = due(rounds.iter().map(|(at, values)| (*at, values.as_slice())), metric, patience);
        let shown = found.iter().map(|(at, value)| {
            let value = if value.is_nan() { "-".to_owned() } else { value.to_string() };
            format!("{at}:{value}")
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_absent_value_of_every_round_is_a_gap() {
        assert_eq!(
            of(LIGHT, None, &[(1.0, 2.0), (ABSENT, 2.0), (f32::INFINITY, 2.0), (1.0, 2.0)]),
            "0:1 10:- 20:- 30:1"
        );
        assert_eq!(of(LIGHT, None, &[]), "");
    }

    #[test]
    fn light_rounds_are_no_gap_in_a_metric_over_statements() {
        let light = (1.0, ABSENT);
        let rounds = [light, light, (1.0, 2.0), light, light, (1.0, 3.0), light, light, (1.0, 4.0), light];
        assert_eq!(of(DEAR, PATIENCE, &rounds), "20:2 50:3 80:4");
    }

    #[test]
    fn an_interval_without_statements_is_no_gap_and_two_are_one() {
        let mut rounds = [(1.0, ABSENT); 16];
        (rounds[0].1, rounds[6].1, rounds[15].1) = (2.0, 3.0, 4.0);
        assert_eq!(of(DEAR, PATIENCE, &rounds), "0:2 60:3 130:- 140:- 150:4");
        let late = [(1.0, 2.0), (1.0, ABSENT), (1.0, 3.0)];
        assert_eq!(of(DEAR, Some(15), &late), "0:2 10:- 20:3", "seen with the value that ends it");
    }

    #[test]
    fn an_outage_is_a_gap_in_every_metric_however_short() {
        let rounds = [(1.0, 2.0), (1.0, 3.0), (ABSENT, ABSENT), (1.0, 4.0)];
        assert_eq!(of(LIGHT, None, &rounds), "0:1 10:1 20:- 30:1");
        assert_eq!(of(DEAR, PATIENCE, &rounds), "0:2 10:3 20:- 30:4");
    }

    #[test]
    fn two_good_values_an_outage_and_a_good_value_are_not_success() {
        let rounds = [(1.0, 2.0), (1.0, 2.0), (ABSENT, ABSENT), (1.0, 2.0)];
        let rounds: Vec<(i64, [f32; 2])> =
            (1000..).step_by(1000).zip(rounds.iter().map(|&(light, dear)| [light, dear])).collect();
        let verification = crate::api::Verification {
            metric: "response_time".into(),
            before: 100.0,
            lower: None,
            upper: Some(10.0),
            query_ids: Vec::new(),
            statements_before_ms: None,
            timeout_seconds: 300,
        };
        for (metric, patience) in [(LIGHT, None), (DEAR, PATIENCE)] {
            let samples = due(rounds.iter().map(|(at, values)| (*at, values.as_slice())), metric, patience);
            let measurement = verify::Measurement { now_ms: 5000, applied_ms: 0, samples: &samples, statements: None };
            let verdict = verify::judge(&verification, &measurement).0;
            assert!(matches!(verdict, verify::Verdict::Pending { .. }), "{verdict:?}");
        }
    }
}
