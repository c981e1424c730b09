//! Tests of the collector against a real server.

#![allow(clippy::float_cmp, reason = "small whole numbers")]

mod cost;
mod faults;
mod rights;
mod values;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{CollectorConfig, CollectorHandle, Report, spawn};
use crate::api::CustomMetric;
use crate::database::postgresql::Endpoint;
use crate::measure::{BUILT_IN, Role, TargetKey, Unavailable, built_in};

/// How long anything awaited may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// A running collector and all it said.
struct Watched {
    handle: CollectorHandle,
    reports: mpsc::Receiver<(usize, Report)>,
    seen: Vec<Report>,
    quiet: Arc<AtomicBool>,
    _cancel: DropGuard,
}

impl Watched {
    fn start(endpoint: Endpoint) -> Self {
        Self::with_custom(endpoint, &[])
    }

    /// With metrics of one's own, as `(name, query)`.
    fn with_custom(endpoint: Endpoint, custom: &[(&str, &str)]) -> Self {
        let custom = custom
            .iter()
            .map(|&(name, query)| CustomMetric { name: name.into(), query: query.into(), ..Default::default() })
            .collect();
        let config = CollectorConfig {
            target_index: 3,
            key: TargetKey { namespace: "shop".into(), baseline: "orders".into(), pod: "orders-0".into() },
            endpoint,
            interval: Duration::from_millis(100),
            statements_interval: Duration::from_millis(200),
            custom,
        };
        let cancel = CancellationToken::new();
        let (sender, reports) = mpsc::channel(64);
        let (_, nothing_stored) = oneshot::channel();
        let quiet = Arc::new(AtomicBool::new(true));
        let handle = spawn(config, nothing_stored, quiet.clone(), sender, cancel.clone());
        Self { handle, reports, seen: Vec::new(), quiet, _cancel: cancel.drop_guard() }
    }

    async fn next(&mut self) -> Report {
        let (target, report) =
            tokio::time::timeout(PATIENCE, self.reports.recv()).await.expect("in time").expect("alive");
        assert_eq!(target, 3);
        if let Report::Round { round, .. } = &report {
            assert_physical(&round.values);
        }
        self.seen.push(report.clone());
        report
    }

    /// The first report that `wanted` makes something of.
    async fn until<T>(&mut self, mut wanted: impl FnMut(&Report) -> Option<T>) -> T {
        let search = async {
            loop {
                if let Some(found) = wanted(&self.next().await) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, search).await.expect("in time")
    }

    /// The next present value of a metric.
    async fn value(&mut self, name: &str) -> f64 {
        self.until(|report| value_of(report, name)).await
    }

    async fn connected(&mut self) -> crate::measure::Identity {
        self.until(|report| match report {
            Report::Connected { identity, .. } => Some(identity.clone()),
            _ => None,
        })
        .await
    }

    async fn failed(&mut self) -> &'static str {
        self.until(|report| match report {
            Report::Failed(error) => Some(error.class()),
            _ => None,
        })
        .await
    }

    async fn reset(&mut self) -> String {
        self.until(|report| match report {
            Report::Reset(reason) => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    async fn unavailable(&mut self) -> Vec<Unavailable> {
        self.until(|report| match report {
            Report::Unavailable(unavailable) => Some(unavailable.clone()),
            _ => None,
        })
        .await
    }

    /// The next this many rounds.
    async fn rounds(&mut self, count: usize) -> Vec<Vec<f32>> {
        let mut rounds = Vec::new();
        while rounds.len() < count {
            if let Report::Round { round, .. } = self.next().await {
                rounds.push(round.values);
            }
        }
        rounds
    }

    async fn role(&mut self) -> Role {
        self.until(|report| match report {
            Report::Round { role, .. } => Some(*role),
            _ => None,
        })
        .await
    }
}

fn value_of(report: &Report, name: &str) -> Option<f64> {
    let Report::Round { round, .. } = report else { return None };
    let value = round.values[index(name)];
    (!value.is_nan()).then(|| f64::from(value))
}

fn index(name: &str) -> usize {
    built_in(name).expect(name)
}

/// No value is beyond what is physically possible, and no rate beyond what these tests can cause.
fn assert_physical(values: &[f32]) {
    for (metric, &value) in BUILT_IN.iter().zip(values) {
        let value = f64::from(value);
        if value.is_nan() {
            continue;
        }
        assert!(metric.minimum.is_none_or(|minimum| value >= minimum), "{} = {value}", metric.name);
        assert!(metric.maximum.is_none_or(|maximum| value <= maximum), "{} = {value}", metric.name);
        let highest = match metric.name {
            "throughput" => 50_000.0,
            "response_time" | "response_time_p95" => 5_000.0,
            "disk_io" | "temp_files" => 20e9,
            _ => f64::INFINITY,
        };
        assert!(value <= highest, "{} = {value}", metric.name);
    }
}
