use serde_json::json;

use super::*;
use crate::api::AnomalyRuleSpec;
use crate::detect::{Rule, Shard, TargetRule, Verdict, resolve};

const DAY: i64 = 86_400_000;
const HOUR: i64 = DAY / 24;
/// 2026-03-02 00:00:00 UTC.
const MONDAY: i64 = 1_772_409_600_000;
const METRIC: &str = "response_time";
const WINDOW_DAYS: u32 = 14;

fn key() -> TargetKey {
    TargetKey { namespace: "shop".into(), baseline: "orders".into(), pod: "orders-0".into() }
}

fn rule(detector: &str, written: serde_json::Value, metrics: &MetricSet) -> Rule {
    let spec = json!({"baselineRef": {"name": "orders"}, "detect": {"metric": METRIC, detector: written}});
    let spec: AnomalyRuleSpec = serde_json::from_value(spec).unwrap();
    resolve(&spec, metrics).unwrap()
}

/// Twice what it was within 40 days, of which the store has the samples of the last 14: a value each ten minutes until
/// Monday, the mean of each hour a third above its median.
async fn worse(directory: &tempfile::TempDir) -> Store {
    let store = Store::open(directory.path().join("history.sqlite")).await.unwrap();
    let begin = MONDAY - 40 * DAY;
    let rounds = (0..40 * 144).map(|index| {
        let at = begin + index * DAY / 144;
        let level = 10.0 * (1.0 + (at - begin) as f32 / (40 * DAY) as f32);
        (at, vec![if index % 6 == 0 { 3.0 * level } else { level }])
    });
    store.import(&key(), &[METRIC.to_owned()], rounds).await.unwrap();
    store.retain(&key(), MONDAY, WINDOW_DAYS).await.unwrap();
    store
}

/// What a rule says of the first sample after a restart.
async fn said(store: &Store, detector: &str, written: serde_json::Value) -> Option<Verdict> {
    let metrics = Arc::new(MetricSet::new(&[]));
    let metric = metrics.index(METRIC).unwrap();
    let rule = rule(detector, written, &metrics);
    let mut shard = Shard::new();
    let target = shard.add_target(metrics.len());
    let watched = TargetRule { id: 1, rule: rule.clone().into(), expected_interval_ms: 600_000 };
    shard.set_rules(target, vec![watched]);
    let course = Course {
        store: store.clone(),
        key: key(),
        metrics: metrics.clone(),
        left_out: LeftOut::default(),
        permits: Arc::new(Semaphore::new(1)),
    };
    let warmed = course.take(shard.replay(target, &rule).unwrap(), MONDAY).await.unwrap();
    let mut round = vec![f32::NAN; metrics.len()];
    round[metric] = 20.0;
    assert!(shard.warm(target, 1, warmed, [(MONDAY + HOUR, round.as_slice())]));
    shard.judge(target, 1, MONDAY + HOUR, 20.0)
}

#[tokio::test]
async fn a_window_longer_than_the_samples_are_kept_is_whole_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = worse(&directory).await;
    let degradation = said(&store, "degradation", json!({"worse": "above", "by": "50%", "over": "30d"})).await;
    let degradation = degradation.expect("thirty days are known");
    // Ten days after the begin it was at 12.5: the medians, not the means of the hours.
    assert!(degradation.breach && (degradation.centre.unwrap() - 12.5).abs() < 0.5, "{degradation:?}");
    let trend = said(&store, "trend", json!({"above": "5%/week", "over": "28d"})).await;
    assert!(trend.expect("four weeks are known").breach);
    let forecast = said(&store, "forecast", json!({"above": "23ms", "within": "14d"})).await;
    assert!(forecast.expect("four weeks are known").breach);
}

#[tokio::test]
async fn what_looks_at_single_samples_takes_no_hours() {
    let metrics = MetricSet::new(&[]);
    let takes = |detector: &str, written| rule(detector, written, &metrics).detector.takes_hours();
    assert!(takes("trend", json!({})) && takes("degradation", json!({})) && takes("forecast", json!({"above": "1s"})));
    assert!(!takes("pattern", json!({})) && !takes("sigma", json!({"above": 3})) && !takes("peers", json!({})));
}
