//! Each detector on a real database and a real API server, beginning from a history: what opens, as what, and why.
//!
//! The metrics are the Baseline's own, read from a table of dials that a test turns.

mod alone;
mod peers;

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use dbmedic::api::{Anomaly, AnomalyRule};
use dbmedic_test_support::shop::{Options, Shop};
use dbmedic_test_support::{Cluster, Postgres, eventually};
use kube::Api;

use super::world::{PATIENCE, list, programs};

/// Step of the history in seconds.
const STEP: u64 = 60;
const DAY: u64 = 86_400;
const HOUR: u64 = 3_600;

/// A Baseline with these metrics of its own, without rules.
struct Scene {
    cluster: &'static Cluster,
    shop: Shop,
    rules: Api<AnomalyRule>,
    anomalies: Api<Anomaly>,
}

impl Scene {
    async fn open(metrics: &[&str]) -> Result<Self> {
        let cluster = Cluster::shared().await?;
        let custom: Vec<String> = metrics
            .iter()
            .map(|name| format!("{{name: {name}, query: \"select value from dials where name = '{name}'\"}}"))
            .collect();
        let baseline = format!("refresh: daily\n  customMetrics: [{}]", custom.join(", "));
        let replace = vec![("refresh: daily".to_owned(), baseline)];
        let shop = Shop::open(cluster, programs(), Options { rows: 1000, replace, ..Options::default() }).await?;
        let client = cluster.client("admin").await?;
        let namespace = shop.namespace.clone();
        Ok(Self {
            cluster,
            shop,
            rules: Api::namespaced(client.clone(), &namespace),
            anomalies: Api::namespaced(client, &namespace),
        })
    }

    /// Applies a rule that waits for no second sample.
    async fn rule(&self, name: &str, detect: &str) -> Result<()> {
        let text = format!(
            "apiVersion: dbmedic.io/v1alpha1\nkind: AnomalyRule\nmetadata: {{name: {name}}}\nspec:\n  baselineRef: \
             {{name: orders}}\n  detect: {detect}\n  for: 2s\n"
        );
        self.cluster.apply_yaml(&text, &self.shop.namespace).await.with_context(|| name.to_owned())
    }

    /// Waits for the rule's Anomaly with its evidence, which is written after it was created.
    async fn told(&self, rule: &str) -> Result<Anomaly> {
        let told = |anomaly: &Anomaly| anomaly.status.as_ref().is_some_and(|status| !status.evidence.is_empty());
        eventually(PATIENCE, format!("{rule} has an Anomaly that says why"), async || {
            let all = list(&self.anomalies).await?;
            Ok(all.into_iter().find(|anomaly| anomaly.spec.rule_ref.name == rule && told(anomaly)))
        })
        .await
        .with_context(|| self.log())
    }

    /// Names of the rules that have an Anomaly.
    async fn alarmed(&self) -> Result<Vec<String>> {
        Ok(list(&self.anomalies).await?.into_iter().map(|anomaly| anomaly.spec.rule_ref.name).collect())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.shop.operator_log()).unwrap_or_default()
    }
}

/// What is found under a name in an Anomaly's evidence.
fn evidence(anomaly: &Anomaly, name: &str) -> Result<String> {
    let evidence = anomaly.status.as_ref().map(|status| status.evidence.as_slice()).unwrap_or_default();
    let found = evidence.iter().find(|one| one.name == name).map(|one| one.value.clone());
    found.with_context(|| format!("no {name:?} in the evidence of {}: {evidence:?}", anomaly.spec.rule_ref.name))
}

/// Turns a dial.
async fn turn(postgres: &Postgres, metric: &str, value: f64) -> Result<()> {
    let sql = format!(
        "create table if not exists dials (name text primary key, value float8 not null);\ninsert into dials values \
         ('{metric}', {value}) on conflict (name) do update set value = excluded.value"
    );
    postgres.execute("orders", &sql).await
}

/// A history of some days that ends now, as wide CSV: a row each [`STEP`] seconds, of what `values` says for the seconds
/// that are left of it.
fn history(columns: &[&str], days: u64, values: impl Fn(u64) -> Vec<f64>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut text = format!("timestamp,{}\n", columns.join(","));
    for left in (1..=days * DAY / STEP).rev().map(|step| step * STEP) {
        let time = jiff::Timestamp::from_second(i64::try_from(now - left).unwrap_or(0)).unwrap_or_default();
        let values: Vec<String> = values(left).iter().map(|value| format!("{value:.4}")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{time},{}", values.join(","));
    }
    text
}

/// Noise between -1 and 1, the same for the same arguments.
fn noise(left: u64, stream: u64) -> f64 {
    let mut state = (left ^ stream << 48).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    state = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state = (state ^ state >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((state ^ state >> 31) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}
