//! Known peaks and maintenance: what would be an Anomaly is none while an exception is active.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dbmedic::api::{Anomaly, AnomalyException, AnomalyRule, IncidentState, conditions};
use dbmedic_test_support::shop::{Options, Shop};
use dbmedic_test_support::{Cluster, eventually, workspace};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::world::{PATIENCE, list, programs};

const RULE: &str = "connections";
/// How late the begin and the end of a window are told at most, on a busy machine.
const LATEST: jiff::SignedDuration = jiff::SignedDuration::from_secs(4);

fn rule(namespace: &str) -> String {
    format!(
        "apiVersion: dbmedic.io/v1alpha1\nkind: AnomalyRule\nmetadata: {{name: {RULE}, namespace: {namespace}}}\n\
         spec:\n  baselineRef: {{name: orders}}\n  detect: {{metric: connection_count, limit: {{above: 1}}}}\n  for: 2s\n"
    )
}

fn exception(name: &str, namespace: &str, spec: &Value) -> Result<String> {
    let mut spec = spec.clone();
    spec["baselineRef"] = json!({"name": "orders"});
    Ok(serde_json::to_string(&json!({
        "apiVersion": "dbmedic.io/v1alpha1", "kind": "AnomalyException",
        "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    }))?)
}

/// From yesterday to tomorrow.
fn now() -> Value {
    let day = |days: i64| (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days)).to_string();
    json!([{"from": day(-1), "to": day(1)}])
}

fn is_ready(exception: &AnomalyException, wanted: &str) -> Option<String> {
    let status = exception.status.as_ref()?;
    let ready = conditions::find(&status.conditions, "Ready").filter(|ready| ready.status == wanted)?;
    (status.observed_generation == exception.metadata.generation).then(|| ready.message.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_breaches_in_an_exception_has_no_anomaly_until_the_exception_is_gone() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let shop = Shop::open(cluster, programs(), Options { rows: 1000, ..Options::default() }).await?;
    let namespace = shop.namespace.as_str();
    let client = cluster.client("admin").await?;
    let exceptions: Api<AnomalyException> = Api::namespaced(client.clone(), namespace);
    let rules: Api<AnomalyRule> = Api::namespaced(client.clone(), namespace);
    let anomalies: Api<Anomaly> = Api::namespaced(client, namespace);
    let silence = exception("known", namespace, &json!({"dates": now(), "suppress": true, "rules": [RULE]}))?;
    cluster.apply_yaml(&silence, namespace).await?;
    cluster.apply_yaml(&rule(namespace), namespace).await?;
    let operator = shop.start_operator(cluster).await?;
    operator.ready().await?;
    let _workload = shop.start_workload(4, Duration::from_millis(20)).await?;
    let state = async |wanted: IncidentState| {
        eventually(PATIENCE, format!("the rule is {wanted:?}"), async || {
            let status = rules.get(RULE).await?.status.unwrap_or_default();
            Ok((status.targets.len() == 1 && status.targets[0].state == wanted).then_some(()))
        })
        .await
        .with_context(|| operator.process.log_end())
    };

    // Suppressed: no verdict.
    state(IncidentState::Suppressed).await?;
    let known = exceptions.get("known").await?;
    let status = known.status.clone().unwrap_or_default();
    ensure!((status.active, status.effect.as_deref()) == (Some(true), Some("suppress")), "{status:?}");
    operator.rounds_pass(8).await?;
    ensure!(list(&anomalies).await?.is_empty(), "an Anomaly of a suppressed rule");
    ensure!(exceptions.get("known").await?.resource_version() == known.resource_version(), "it was written again");

    // Expected: judged, and no breach.
    let spec = json!({"spec": {"suppress": null, "expect": {"connection_count": 1000}}});
    exceptions.patch("known", &PatchParams::default(), &Patch::Merge(spec)).await?;
    state(IncidentState::Normal).await?;
    operator.rounds_pass(8).await?;
    ensure!(list(&anomalies).await?.is_empty(), "an Anomaly of what was expected");

    // Gone: the same load is an Anomaly.
    exceptions.delete("known", &DeleteParams::default()).await?;
    eventually(PATIENCE, "an Anomaly opens", async || {
        Ok(list(&anomalies).await?.into_iter().find(|anomaly| anomaly.spec.rule_ref.name == RULE))
    })
    .await
    .with_context(|| operator.process.log_end())?;

    // Silence resolves nothing and fixes nothing: what is open stays open.
    cluster.apply_yaml(&silence, namespace).await?;
    eventually(PATIENCE, "the exception is active", async || {
        let status = exceptions.get("known").await?.status.unwrap_or_default();
        Ok((status.active == Some(true)).then_some(()))
    })
    .await?;
    operator.rounds_pass(8).await?;
    state(IncidentState::Open).await?;

    begins_and_ends_in_time(cluster, namespace, &exceptions).await.with_context(|| operator.process.log_end())?;
    are_shipped(cluster, namespace, &exceptions).await.with_context(|| operator.process.log_end())?;
    say_what_is_wrong(cluster, namespace, &exceptions).await.with_context(|| operator.process.log_end())
}

/// What is shown changes when a window begins and when it ends, although nothing else happens then.
async fn begins_and_ends_in_time(cluster: &Cluster, namespace: &str, exceptions: &Api<AnomalyException>) -> Result<()> {
    // Status times are in whole seconds.
    let second = |seconds: i64| jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + seconds);
    let (from, to) = (second(5)?, second(9)?);
    let dates = json!([{"from": from.to_string(), "to": to.to_string()}]);
    let spec = json!({"dates": dates, "suppress": true, "metrics": ["lock_waits"]});
    cluster.apply_yaml(&exception("brief", namespace, &spec)?, namespace).await?;
    let told = async |active: bool| {
        eventually(PATIENCE, format!("active is {active}"), async || {
            let status = exceptions.get("brief").await?.status.unwrap_or_default();
            Ok((status.active == Some(active)).then_some((jiff::Timestamp::now(), status)))
        })
        .await
    };
    let (at, before) = told(false).await?;
    ensure!(at < from, "it was first looked at {at}, when it began already");
    ensure!(before.next_from == Some(from.to_string()) && before.next_to == Some(to.to_string()), "{before:?}");
    let (at, during) = told(true).await?;
    ensure!(from <= at && at.duration_since(from) < LATEST, "it begins at {from}, told at {at}");
    ensure!(during.next_to == Some(to.to_string()), "{during:?}");
    let (at, after) = told(false).await?;
    ensure!(to <= at && at.duration_since(to) < LATEST, "it ends at {to}, told at {at}");
    ensure!(after.next_from.is_none(), "{after:?}");
    Ok(())
}

/// The examples are accepted, by the API server and by the operator.
async fn are_shipped(cluster: &Cluster, namespace: &str, exceptions: &Api<AnomalyException>) -> Result<()> {
    for entry in std::fs::read_dir(workspace().join("examples/exceptions"))? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?.replace("namespace: shop", &format!("namespace: {namespace}"));
        cluster.apply_yaml(&text, namespace).await.with_context(|| path.display().to_string())?;
    }
    for (name, next) in [("monthly-batch", true), ("sunday-maintenance", true), ("black-friday-2026", false)] {
        eventually(PATIENCE, format!("{name} is ready"), async || {
            let exception = exceptions.get(name).await?;
            let dated = !next || exception.status.as_ref().is_some_and(|status| status.next_from.is_some());
            Ok(is_ready(&exception, "True").filter(|_| dated))
        })
        .await?;
    }
    Ok(())
}

/// What the API server cannot see is said by the operator: field, found, allowed.
async fn say_what_is_wrong(cluster: &Cluster, namespace: &str, exceptions: &Api<AnomalyException>) -> Result<()> {
    let cases = [
        ("wrong-schedule", json!({"schedule": "Sonntag 03:00-04:00", "suppress": true}), "schedule: found \"Sonntag"),
        ("wrong-zone", json!({"schedule": "Sun 03:00-04:00", "timeZone": "Mars", "suppress": true}), "timeZone: found"),
        ("wrong-metric", json!({"dates": now(), "expect": {"cpu_usage": "2x"}}), "expect: found \"cpu_usage\""),
        ("wrong-unit", json!({"dates": now(), "expect": {"throughput": "5ms"}}), "expect.throughput: found \"5ms\""),
        ("no-rule", json!({"dates": now(), "suppress": true, "rules": ["slow"]}), "rules: found \"slow\""),
    ];
    for (name, spec, _) in &cases {
        cluster.apply_yaml(&exception(name, namespace, spec)?, namespace).await?;
    }
    for (name, _, part) in &cases {
        let message = eventually(PATIENCE, format!("{name} is not ready"), async || {
            Ok(is_ready(&exceptions.get(name).await?, "False"))
        })
        .await?;
        ensure!(message.starts_with(part) && message.contains("allowed"), "{name}: {message}");
    }
    Ok(())
}
