//! What the operator counts: Prometheus metrics with bounded labels only.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

type Labels = Vec<(&'static str, &'static str)>;

/// What the operator counts.
pub struct Telemetry {
    registry: Registry,
    rounds: Counter<u64, AtomicU64>,
    history_lost: Family<Labels, Counter<u64, AtomicU64>>,
    collection_failures: Counter<u64, AtomicU64>,
    anomalies: Counter<u64, AtomicU64>,
    anomaly_latency: Histogram,
    reconciles: Family<Labels, Counter<u64, AtomicU64>>,
    reconcile_seconds: Family<Labels, Histogram>,
    transitions: Family<Labels, Counter<u64, AtomicU64>>,
    leader: Gauge<i64, AtomicI64>,
    watch_age: Family<Vec<(&'static str, String)>, Gauge<i64, AtomicI64>>,
}

impl Default for Telemetry {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("dbmedic");
        let telemetry = Self {
            rounds: Counter::default(),
            history_lost: Family::default(),
            collection_failures: Counter::default(),
            anomalies: Counter::default(),
            // 1 ms to 16 s: the goal is 50 ms in the median.
            anomaly_latency: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            reconciles: Family::default(),
            reconcile_seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 4.0, 8))),
            transitions: Family::default(),
            leader: Gauge::default(),
            watch_age: Family::default(),
            registry: Registry::default(),
        };
        registry.register("rounds", "Rounds judged", telemetry.rounds.clone());
        registry.register(
            "history_lost",
            "Entries not written to the history, by entry and reason (a full queue, or the class of error)",
            telemetry.history_lost.clone(),
        );
        registry.register(
            "collection_failures",
            "Times that a database became unreachable",
            telemetry.collection_failures.clone(),
        );
        registry.register("anomalies", "Anomalies created", telemetry.anomalies.clone());
        registry.register(
            "anomaly_latency_seconds",
            "Time from the sample to its Anomaly object",
            telemetry.anomaly_latency.clone(),
        );
        registry.register("reconciles", "Passes by kind and result", telemetry.reconciles.clone());
        registry.register("reconcile_seconds", "Duration of a pass by kind", telemetry.reconcile_seconds.clone());
        registry.register("remediation_transitions", "States entered by Remediations", telemetry.transitions.clone());
        registry.register("leader", "1 while this replica holds the Lease", telemetry.leader.clone());
        registry.register(
            "watch_age_seconds",
            "Seconds since a watch last gave a sign of life",
            telemetry.watch_age.clone(),
        );
        Self { registry, ..telemetry }
    }
}

impl Telemetry {
    /// A round was judged.
    pub fn round(&self) {
        self.rounds.inc();
    }

    /// An entry was not written to the history.
    pub fn history_lost(&self, entry: &'static str, reason: &'static str) {
        self.history_lost.get_or_create(&vec![("entry", entry), ("reason", reason)]).inc();
    }

    /// A database became unreachable.
    pub fn collection_failed(&self) {
        self.collection_failures.inc();
    }

    /// An Anomaly was created this long after its sample was received.
    pub fn anomaly_created(&self, latency: Duration) {
        self.anomalies.inc();
        self.anomaly_latency.observe(latency.as_secs_f64());
        tracing::info!(milliseconds = latency.as_secs_f64() * 1000.0, "Anomaly created");
    }

    /// A pass over an object ended.
    pub fn reconciled(&self, kind: &'static str, result: &'static str, duration: Duration) {
        self.reconciles.get_or_create(&vec![("kind", kind), ("result", result)]).inc();
        self.reconcile_seconds.get_or_create(&vec![("kind", kind)]).observe(duration.as_secs_f64());
    }

    /// A Remediation entered a state.
    pub fn transition(&self, state: &'static str) {
        self.transitions.get_or_create(&vec![("state", state)]).inc();
    }

    /// Whether the Lease is held.
    pub fn set_leader(&self, held: bool) {
        self.leader.set(i64::from(held));
    }

    /// Age of a watch.
    pub fn set_watch_age(&self, kind: &str, seconds: i64) {
        self.watch_age.get_or_create(&vec![("kind", kind.to_owned())]).set(seconds);
    }

    /// The metrics in OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
