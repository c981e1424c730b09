//! The story itself: a database loses an index and gets it back.

use std::time::Duration;

use anyhow::{Context, Result};
use dbmedic::api::{
    Anomaly, AnomalyException, AnomalyState, Baseline, Remediation, RemediationApproval, RemediationState,
    RootCauseKind,
};
use dbmedic_test_support::eventually;
use dbmedic_test_support::shop::Options;
use kube::Api;
use kube::api::PostParams;

use super::approvals::approval_of;
use super::kinds;
use super::world::{PATIENCE, learnt, list, watched_shop};

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_index_is_found_built_again_and_measured() -> Result<()> {
    let (cluster, shop, operator) = watched_shop(Options::default()).await?;
    let client = cluster.client("admin").await?;
    let baselines: Api<Baseline> = Api::namespaced(client.clone(), &shop.namespace);
    let anomalies: Api<Anomaly> = Api::namespaced(client.clone(), &shop.namespace);
    let remediations: Api<Remediation> = Api::namespaced(client, &shop.namespace);
    let workload = shop.start_workload(4, Duration::from_millis(20)).await?;

    learnt(&baselines).await.with_context(|| operator.process.log_end())?;

    shop.drop_index().await?;
    let remediation = eventually(PATIENCE, "a Remediation has succeeded", async || {
        let all = list(&remediations).await?;
        Ok(all.into_iter().find(|one| state(one) == Some(RemediationState::Succeeded)))
    })
    .await;
    let remediation = match remediation {
        Ok(remediation) => remediation,
        Err(error) => {
            for anomaly in list(&anomalies).await? {
                eprintln!("{}", serde_json::to_string_pretty(&anomaly)?);
            }
            for one in list(&remediations).await? {
                eprintln!("{}", serde_json::to_string_pretty(&one)?);
            }
            return Err(error).with_context(|| std::fs::read_to_string(shop.operator_log()).unwrap_or_default());
        }
    };

    let anomaly = anomalies.get(&remediation.spec.anomaly_ref.name).await?;
    let cause = anomaly.status.clone().unwrap_or_default().root_cause.context("no cause was found")?;
    assert_eq!(cause.kind, RootCauseKind::MissingIndex);
    assert!(cause.summary.contains("orders"), "{}", cause.summary);
    let missing = cause.missing_index.context("no index was found missing")?;
    assert_eq!((missing.table.as_str(), missing.columns), ("orders", vec!["customer_id".to_owned()]));
    let node = cause.statements.first().and_then(|statement| statement.node.clone()).context("no plan node")?;
    assert!(node.node_type.contains("Seq Scan") && node.rows_read > 10.0 * node.rows_returned, "{node:?}");

    let status = remediation.status.clone().unwrap_or_default();
    let verification = status.verification.context("nothing was measured")?;
    let (before, after) = (verification.before.value.unwrap_or(0.0), verification.after.value.unwrap_or(f64::MAX));
    assert!(after < before / 2.0, "{before} ms before, {after} ms after");
    assert_eq!(shop.customer_indexes().await?, (1, 0));
    eventually(PATIENCE, "the Anomaly is resolved", async || {
        let anomaly = anomalies.get(&remediation.spec.anomaly_ref.name).await?;
        Ok((anomaly.status.and_then(|status| status.state) == Some(AnomalyState::Resolved)).then_some(()))
    })
    .await?;
    assert_eq!(list(&remediations).await?.len(), 1, "one fault, one change");

    // Too late to decide anything, and shown all the same.
    let approvals: Api<RemediationApproval> = Api::namespaced(cluster.client("admin").await?, &shop.namespace);
    approvals.create(&PostParams::default(), &approval_of(&remediation, "late", "admin")).await?;
    let known = "apiVersion: dbmedic.io/v1alpha1\nkind: AnomalyException\nmetadata: {name: known}\n\
                 spec: {baselineRef: {name: orders}, schedule: 'Sun 03:00-04:00', suppress: true}\n";
    cluster.apply_yaml(known, &shop.namespace).await?;
    let exceptions: Api<AnomalyException> = Api::namespaced(cluster.client("admin").await?, &shop.namespace);
    eventually(PATIENCE, "the exception is understood", async || Ok(exceptions.get("known").await?.status)).await?;
    kinds::are_shown(cluster, &shop.namespace).await?;
    assert!(workload.done() > 0);
    Ok(())
}

fn state(remediation: &Remediation) -> Option<RemediationState> {
    remediation.status.as_ref().and_then(|status| status.state)
}
