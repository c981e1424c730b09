//! From a sample to its Anomaly object, against a bare create of the same object.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use dbmedic::api::{Anomaly, AnomalyRule, conditions};
use dbmedic_test_support::shop::{OPERATOR, Operator, Shop};
use dbmedic_test_support::{Cluster, eventually};
use kube::api::{Api, ListParams, ObjectMeta, PostParams};

use super::table::{Figure, milliseconds, progress, quantile};

/// Rules, each breached one second after the one before it; then all of them are breached at once.
const RULES: usize = 40;
const BURST: usize = 20;
const PATIENCE: Duration = Duration::from_secs(90);
/// The operator's own count.
const COUNTED: &str = "dbmedic_anomaly_latency_seconds_count";
const GOAL: (f64, f64) = (50.0, 250.0);

/// The Baseline's own metric: seconds since a moment that is not there yet.
pub const CLOCK: &str = "
  customMetrics:
  - name: custom_clock
    unit: s
    query: select coalesce(extract(epoch from clock_timestamp() - min(began)), 0)::float8 from bench_clock
  - name: custom_burst
    unit: s
    query: select coalesce(extract(epoch from clock_timestamp() - min(began)), 0)::float8 from bench_burst
";

/// The tables that [`CLOCK`] reads.
///
/// # Errors
/// The database refuses.
pub async fn prepare(shop: &Shop) -> Result<()> {
    let tables = "create table if not exists bench_clock (began timestamptz); \
                  create table if not exists bench_burst (began timestamptz); \
                  grant select on bench_clock, bench_burst to dbmedic_monitor";
    shop.postgres.execute("orders", tables).await
}

/// Median and 99th percentile of the operator's own account, and of a bare create.
///
/// # Errors
/// Fewer Anomalies appear than rules are breached.
pub async fn measure(cluster: &Cluster, shop: &Shop, operator: &Operator) -> Result<Vec<Figure>> {
    progress(&format!("sample to Anomaly object, {RULES} times"));
    cluster.apply_yaml(&rules(&shop.namespace)?, &shop.namespace).await?;
    let api: Api<AnomalyRule> = Api::namespaced(cluster.client("admin").await?, &shop.namespace);
    eventually(PATIENCE, "every rule is ready", async || {
        let rules = api.list(&ListParams::default()).await?.items;
        let ready = |rule: &&AnomalyRule| {
            let status = rule.status.clone().unwrap_or_default();
            conditions::find(&status.conditions, "Ready").is_some_and(|condition| condition.status == "True")
        };
        Ok((rules.iter().filter(ready).count() > RULES + BURST).then_some(()))
    })
    .await?;
    let known = created(shop)?.len();
    // The log is that of earlier processes too.
    let counted_before = operator.metric(COUNTED).await?;
    shop.postgres.execute("orders", "insert into bench_clock values (clock_timestamp())").await?;
    let mut steady = await_created(shop, known, RULES).await?;
    let bare = bare_creates(cluster, shop).await?;
    shop.postgres.execute("orders", "insert into bench_burst values (clock_timestamp() - interval '1 hour')").await?;
    let mut burst = await_created(shop, known + RULES, BURST).await?;
    let counted = (operator.metric(COUNTED).await? - counted_before) as usize;
    anyhow::ensure!(counted == RULES + BURST, "{counted} Anomalies in the histogram");

    let (middle, worst) = (quantile(&mut steady, 0.5), quantile(&mut steady, 0.99));
    let mut bare = bare;
    let (bare_middle, bare_worst) = (quantile(&mut bare, 0.5), quantile(&mut bare, 0.99));
    Ok(vec![
        Figure::new(format!("sample → Anomaly object, p50 of {RULES}"), format!("{middle:.1} ms"))
            .goal("≤ 50 ms", middle <= GOAL.0)
            .against(format!("bare create {bare_middle:.1} ms: {:.1}x", middle / bare_middle)),
        Figure::new("sample → Anomaly object, p99", format!("{worst:.1} ms"))
            .goal("≤ 250 ms", worst <= GOAL.1)
            .against(format!("bare create {bare_worst:.1} ms")),
        Figure::new(
            format!("{BURST} Anomalies of one round: median, last"),
            format!("{:.1}, {:.1} ms", quantile(&mut burst, 0.5), quantile(&mut burst, 1.0)),
        ),
    ])
}

fn rules(namespace: &str) -> Result<String> {
    let mut text = String::new();
    let clock = (0..RULES).map(|index| ("custom_clock", index, index + 2));
    let burst = (0..BURST).map(|index| ("custom_burst", index, 10));
    for (metric, index, limit) in clock.chain(burst) {
        let name = format!("{}-{index}", metric.trim_start_matches("custom_"));
        write!(
            text,
            "---\napiVersion: dbmedic.io/v1alpha1\nkind: AnomalyRule\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             spec:\n  baselineRef: {{name: orders}}\n  detect: {{metric: {metric}, limit: {{above: {limit}}}}}\n  for: 0s\n"
        )?;
    }
    Ok(text)
}

/// The exact latencies in the order of their Anomalies, from the operator's log, in ms.
fn created(shop: &Shop) -> Result<Vec<f64>> {
    let log = std::fs::read_to_string(shop.operator_log())?;
    let value =
        |line: &str| line.split_once("Anomaly created milliseconds=")?.1.split_whitespace().next()?.parse().ok();
    Ok(log.lines().filter_map(value).collect())
}

async fn await_created(shop: &Shop, known: usize, more: usize) -> Result<Vec<f64>> {
    eventually(PATIENCE, format!("{more} more Anomalies"), async || {
        let mut all = created(shop)?;
        Ok((all.len() >= known + more).then(|| all.drain(known..known + more).collect()))
    })
    .await
}

/// The same object created by a client that has nothing else to do, in a namespace that nobody watches.
async fn bare_creates(cluster: &Cluster, shop: &Shop) -> Result<Vec<f64>> {
    let namespace = cluster.namespace("bare").await?;
    let client = cluster.client("admin").await?;
    let stored: Api<Anomaly> = Api::namespaced(client.clone(), &shop.namespace);
    let example = stored.list(&ListParams::default().limit(1)).await?.items.pop().context("no Anomaly")?;
    // Nobody else may create one: see the author gate.
    let operator = cluster.service_account_client(OPERATOR.0, OPERATOR.1).await?;
    let api: Api<Anomaly> = Api::namespaced(operator, &namespace);
    let mut taken = Vec::new();
    for index in 0..RULES {
        let metadata = ObjectMeta {
            name: Some(format!("bare-{index}")),
            labels: example.metadata.labels.clone(),
            ..ObjectMeta::default()
        };
        let anomaly = Anomaly { metadata, spec: example.spec.clone(), status: None };
        let began = Instant::now();
        api.create(&PostParams::default(), &anomaly).await?;
        taken.push(milliseconds(began.elapsed()));
        // As far apart as the operator's own, so that both find the server equally warm.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(taken)
}
