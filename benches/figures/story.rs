//! Act one: the index that a workload needs is dropped; when does what happen?

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use dbmedic::api::{Anomaly, AnomalyState, Baseline, Remediation, RemediationState, conditions};
use dbmedic_test_support::shop::Shop;
use dbmedic_test_support::{ApiProxy, Cluster, Write, eventually};
use kube::api::{Api, ListParams};

use super::table::{Figure, progress};

const PATIENCE: Duration = Duration::from_secs(120);

/// The timeline of act one at rounds of 1 s and `for: 3s`. The operator runs and writes through `proxy`.
///
/// # Errors
/// The story does not end well.
pub async fn measure(cluster: &Cluster, shop: &Shop, proxy: &ApiProxy) -> Result<Vec<Figure>> {
    progress("act one");
    let client = cluster.client("admin").await?;
    let anomalies: Api<Anomaly> = Api::namespaced(client.clone(), &shop.namespace);
    let remediations: Api<Remediation> = Api::namespaced(client.clone(), &shop.namespace);
    await_learnt(&Api::namespaced(client, &shop.namespace)).await?;
    let workload = shop.start_workload(4, Duration::from_millis(20)).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;

    let writes_before = proxy.write_count();
    shop.drop_index().await?;
    let (fault, fault_at) = (Instant::now(), jiff::Timestamp::now().as_millisecond());
    let valid = eventually(PATIENCE, "the index is valid again", async || {
        Ok((shop.customer_indexes().await? == (1, 0)).then(|| fault.elapsed()))
    })
    .await?;
    let succeeded = eventually(PATIENCE, "the Remediation has succeeded", async || {
        let all = remediations.list(&ListParams::default()).await?.items;
        let done = |one: &Remediation| one.status.as_ref()?.state.filter(|state| *state == RemediationState::Succeeded);
        Ok(all.into_iter().find(|one| done(one).is_some()))
    })
    .await?;
    let name = succeeded.spec.anomaly_ref.name.clone();
    let resolved = eventually(PATIENCE, "the Anomaly is resolved", async || {
        let anomaly = anomalies.get(&name).await?;
        Ok((anomaly.status.and_then(|status| status.state) == Some(AnomalyState::Resolved)).then(|| fault.elapsed()))
    })
    .await?;
    drop(workload);

    let anomaly = anomalies.get(&name).await?;
    let onset = seconds_after(&anomaly.spec.onset, fault_at)?;
    let opening = seconds_after(&anomaly.spec.observed.at, fault_at)?;
    let writes = proxy.writes().split_off(writes_before);
    let created =
        |plural: &str| first_post(&writes, plural).map(|at| at.saturating_duration_since(fault).as_secs_f64());
    let state = |wanted| {
        let transitions = &succeeded.status.as_ref()?.transitions;
        seconds_after(&transitions.iter().find(|transition| transition.state == wanted)?.at, fault_at).ok()
    };
    let steps = [
        ("first breaching sample", Some(onset)),
        ("sample that completes `for`", Some(opening)),
        ("Anomaly", created("anomalies")),
        ("Remediation", created("remediations")),
        ("Job", created("jobs")),
        ("index valid", Some(valid.as_secs_f64())),
        ("Verifying", state(RemediationState::Verifying)),
        ("Succeeded", state(RemediationState::Succeeded)),
        ("Anomaly resolved", Some(resolved.as_secs_f64())),
    ];
    let mut before = 0.0;
    let figures = steps.into_iter().filter_map(|(what, at)| {
        let at = at?;
        let step = std::mem::replace(&mut before, at);
        Some(Figure::new(format!("act one: {what}"), format!("{at:.2} s")).against(format!("{:+.2} s", at - step)))
    });
    let mut figures: Vec<Figure> = figures.collect();
    figures.push(
        Figure::new("act one: writes to the API server", writes.len().to_string())
            .against("Anomaly, Remediation, Job, ledger, statuses, Events"),
    );
    Ok(figures)
}

/// Waits until the Baseline has learnt from the imported history.
///
/// # Errors
/// It does not within two minutes.
pub async fn await_learnt(baselines: &Api<Baseline>) -> Result<()> {
    eventually(PATIENCE, "the Baseline is ready and has learnt", async || {
        let status = baselines.get("orders").await?.status.unwrap_or_default();
        let is = |type_: &str, wanted: &str| {
            conditions::find(&status.conditions, type_).is_some_and(|condition| condition.status == wanted)
        };
        Ok((is("Ready", "True") && is("Learning", "False")).then_some(()))
    })
    .await
}

fn first_post(writes: &[Write], plural: &str) -> Option<Instant> {
    let created = |write: &&Write| write.method == "POST" && write.path.rsplit('/').next() == Some(plural);
    writes.iter().find(created).map(|write| write.at)
}

fn seconds_after(time: &str, begin_ms: i64) -> Result<f64> {
    let time: jiff::Timestamp = time.parse().with_context(|| format!("the time {time:?}"))?;
    Ok((time.as_millisecond() - begin_ms) as f64 / 1000.0)
}
