//! Specs that are written once.

use anyhow::{Result, ensure};
use dbmedic_test_support::{Cluster, shop};
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::{author, object, refusal, resource, written};

/// Where, and what would be written there.
type Changes = Vec<(&'static str, Value)>;

#[tokio::test]
async fn what_was_decided_on_is_never_changed() -> Result<()> {
    let cluster = Cluster::shared().await?;
    shop::install(cluster).await?;
    let namespace = cluster.namespace("immutable").await?;
    cluster.grant(&namespace, "alice", "dbmedic.io", &["remediationapprovals"], &["*"]).await?;
    cluster.grant(&namespace, "alice", "dbmedic.io", &["remediations"], &["approve"]).await?;
    let operator = author(cluster, &namespace).await?;
    let (alice, admin) = (cluster.client("alice").await?, cluster.client("admin").await?);
    let other_hash = json!(format!("sha256:{}", "1".repeat(64)));
    let kinds: [(&str, &str, Value, &kube::Client, Changes); 3] = [
        (
            "Anomaly",
            "anomalies",
            written::anomaly(),
            &operator,
            vec![
                ("/spec/severity", json!("low")),
                ("/spec/pod", json!("another")),
                ("/spec/observed/value", json!(1.0)),
            ],
        ),
        (
            "Remediation",
            "remediations",
            written::remediation(),
            &operator,
            vec![
                ("/spec/planHash", other_hash.clone()),
                ("/spec/plan/risk/level", json!("medium")),
                ("/spec/plan/change/addIndex/columns", json!(["note"])),
                ("/spec/plan/statement", json!("DROP TABLE orders")),
                ("/spec/policyRef/uid", json!("u-9")),
                ("/spec/step", json!(1)),
            ],
        ),
        (
            "RemediationApproval",
            "remediationapprovals",
            written::approval("alice"),
            &alice,
            vec![
                ("/spec/planHash", other_hash),
                ("/spec/remediationUid", json!("u-9")),
                ("/spec/decision", json!("refuse")),
                ("/spec/expiresAt", json!("2099-01-01T00:00:00Z")),
                ("/spec/comment", json!("on second thoughts")),
            ],
        ),
    ];
    for (kind, plural, spec, author, changes) in kinds {
        let author: Api<DynamicObject> = Api::namespaced_with(author.clone(), &namespace, &resource(kind, plural));
        let anybody: Api<DynamicObject> = Api::namespaced_with(admin.clone(), &namespace, &resource(kind, plural));
        let written = object(kind, "one", &spec);
        ensure!(refusal(&author, &written, false).await?.is_none(), "{kind} cannot be written");
        for (pointer, value) in changes {
            let mut changed = written.clone();
            super::put(&mut changed, pointer, &value);
            // By its author, and by somebody who may do everything.
            for api in [&author, &anybody] {
                let refused = refusal(api, &changed, false).await?.unwrap_or_default();
                ensure!(
                    refused.contains("immutable") || refused.contains("spec.decidedBy"),
                    "{kind} {pointer}: {refused:?}"
                );
            }
        }
        let label = json!({"metadata": {"labels": {"team": "a"}}});
        author.patch("one", &PatchParams::default(), &Patch::Merge(&label)).await?;
        let stored = anybody.get("one").await?;
        ensure!(stored.metadata.generation == Some(1), "{kind} was changed");
    }
    Ok(())
}
