//! The detectors that look at one database.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dbmedic::api::AnomalyState;
use dbmedic_test_support::Signal;

use super::{DAY, HOUR, STEP, Scene, evidence, history, noise, turn};
use crate::world::learnt;

const CUSTOM: [&str; 6] =
    ["custom_memory", "custom_disk", "custom_latency", "custom_wave", "custom_left", "custom_right"];
const KINDS: [&str; 5] = ["select_rate", "insert_rate", "update_rate", "delete_rate", "other_rate"];

/// Memory has grown by a fifth of its level an hour for three hours; the disk grows steadily; latency has grown from day
/// to day for a week; the wave is level, and left and right move together. For half an hour nearly all statements are inserts.
fn values(left: u64) -> Vec<f64> {
    let hours = (3.0 - left as f64 / HOUR as f64).max(0.0);
    let days = left as f64 / DAY as f64;
    let common = noise(left / (20 * STEP), 4);
    let mut values = vec![
        100.0 + 20.0 * hours + noise(left, 1),
        800.0 - 40.0 * days + noise(left, 2),
        20.0 + 3.0 * (8.0 - days).max(0.0) + noise(left, 3),
        50.0 + noise(left, 5),
        10.0 + common + 0.05 * noise(left, 6),
        10.0 + common + 0.05 * noise(left, 7),
    ];
    let mix = if left < HOUR / 2 { [2.0, 40.0, 1.0, 0.0, 1.0] } else { [40.0, 2.0, 5.0, 1.0, 2.0] };
    values.extend(mix.iter().zip(11..).map(|(rate, stream)| rate * (1.0 + 0.1 * noise(left, stream))));
    values
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detector_begins_from_the_history_and_its_anomaly_says_why() -> Result<()> {
    let scene = Scene::open(&CUSTOM).await?;
    let columns: Vec<&str> = CUSTOM.iter().chain(&KINDS).copied().collect();
    let path = scene.shop.data_directory().with_extension("csv");
    std::fs::write(&path, history(&columns, 14, values))?;
    scene.shop.import(&path, dbmedic_test_support::shop::POD, &CUSTOM).await?;
    for (metric, value) in CUSTOM.iter().zip(values(0)) {
        turn(&scene.shop.postgres, metric, value).await?;
    }
    // What is true of the history already, what will be of a dial that is turned, and what never is.
    let at_once = [
        ("growing", "{metric: custom_memory, trend: {direction: increasing, above: 10%/hour}}"),
        ("slower", "{metric: custom_latency, degradation: {by: 50%, over: 7d, limit: 100}}"),
        ("full-soon", "{metric: custom_disk, forecast: {above: 1000, within: 7d, probability: 50}}"),
        ("other-statements", "{queryMix: {over: 20m}}"),
    ];
    let when_turned = [
        ("unseen", "{metric: custom_wave, pattern: {}}"),
        ("apart", "{multivariate: {metrics: [custom_left, custom_right]}}"),
        ("written", "{metric: custom_wave, expression: 'current > baseline_mean * 3.0 && metrics.custom_disk > 1.0'}"),
    ];
    let never = [
        ("falling", "{metric: custom_memory, trend: {direction: decreasing}}"),
        ("full-later", "{metric: custom_disk, forecast: {above: 2000, within: 7d, probability: 50}}"),
    ];
    for (name, detect) in at_once.iter().chain(&when_turned).chain(&never) {
        scene.rule(name, detect).await?;
    }
    let operator = scene.shop.start_operator(scene.cluster).await?;
    operator.ready().await?;
    let client = scene.cluster.client("admin").await?;
    learnt(&kube::Api::namespaced(client, &scene.shop.namespace)).await.with_context(|| scene.log())?;

    let growing = scene.told("growing").await?;
    ensure!(growing.spec.detector == "trend" && evidence(&growing, "slope, relative")?.ends_with("%/hour"));
    let slower = scene.told("slower").await?;
    ensure!(evidence(&slower, "days to the limit")?.ends_with("days"), "{slower:?}");
    let mix = scene.told("other-statements").await?;
    ensure!(mix.spec.metric == "insert_rate", "{mix:?}");
    ensure!(evidence(&mix, "share of insert")?.contains("typically"), "{mix:?}");
    let soon = scene.told("full-soon").await?;
    ensure!(soon.status.as_ref().and_then(|status| status.state) == Some(AnomalyState::Predicted), "{soon:?}");
    for name in ["probability", "eta", "growth rate"] {
        evidence(&soon, name)?;
    }
    for (rule, _) in when_turned.iter().chain(&never) {
        ensure!(!scene.alarmed().await?.iter().any(|name| name == rule), "{rule} without a cause:\n{}", scene.log());
    }

    turn(&scene.shop.postgres, "custom_wave", 200.0).await?;
    turn(&scene.shop.postgres, "custom_left", 11.0).await?;
    turn(&scene.shop.postgres, "custom_right", 9.0).await?;
    let unseen = scene.told("unseen").await?;
    evidence(&unseen, "departure")?;
    let apart = scene.told("apart").await?;
    evidence(&apart, "custom_left")?;
    let written = scene.told("written").await?;
    ensure!(
        evidence(&written, "current")? == "200" && evidence(&written, "metrics.custom_disk").is_ok(),
        "{written:?}"
    );
    // A process that knows nothing takes over: it remembers, and what is open stays what it is.
    let before = scene.alarmed().await?;
    operator.process.signal(Signal::SIGTERM);
    operator.process.wait(Duration::from_secs(20)).await?;
    let operator = scene.shop.start_operator(scene.cluster).await?;
    operator.ready().await?;
    operator.rounds_pass(8).await.with_context(|| scene.log())?;
    let open = dbmedic_test_support::eventually(crate::world::PATIENCE, "the rules say what is open", async || {
        let status = scene.rules.get("growing").await?.status.unwrap_or_default();
        Ok(status.targets.first().filter(|target| target.state == dbmedic::api::IncidentState::Open).map(|_| ()))
    });
    open.await.with_context(|| scene.log())?;
    ensure!(scene.alarmed().await? == before, "{before:?}\n{}", scene.log());
    Ok(())
}
