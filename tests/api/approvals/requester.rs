//! With a second person, a policy bears the name of its writer.

use anyhow::Result;
use dbmedic::api::RemediationPolicy;
use dbmedic_test_support::{Cluster, shop};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::Verdicts;

const WRITER: &str = "allowed with secondPerson is the writer";

fn policy(approvals: &Value) -> Result<RemediationPolicy> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "dbmedic.io/v1alpha1", "kind": "RemediationPolicy", "metadata": {"name": "standard"},
        "spec": {
            "mode": "auto", "approvals": approvals, "executor": {"secretRef": {"name": "fixer"}},
            "strategies": {"slow": {"steps": [{"action": "notify"}]}},
        },
    }))?)
}

#[tokio::test]
async fn a_policy_with_a_second_person_bears_its_writers_name() -> Result<()> {
    let cluster = Cluster::shared().await?;
    shop::install(cluster).await?;
    let namespace = cluster.namespace("requester").await?;
    let kinds = ["remediationpolicies", "remediationpolicies/status"];
    for user in ["alice", "bob"] {
        cluster.grant(&namespace, user, "dbmedic.io", &kinds, &["create", "get", "patch", "update", "delete"]).await?;
    }
    let api = |client: Client| -> Api<RemediationPolicy> { Api::namespaced(client, &namespace) };
    let (alice, bob) = (api(cluster.client("alice").await?), api(cluster.client("bob").await?));
    let operator = api(cluster.service_account_client(shop::OPERATOR.0, shop::OPERATOR.1).await?);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let merge = PatchParams::default();
    let mut verdicts = Verdicts::default();
    for (case, approvals, expected) in [
        ("no second person", json!({}), ""),
        ("no second person, any name", json!({"requestedBy": "bob"}), ""),
        ("her own name", json!({"secondPerson": true, "requestedBy": "alice"}), ""),
        ("another's name", json!({"secondPerson": true, "requestedBy": "bob"}), WRITER),
        ("a name of no one", json!({"secondPerson": true, "requestedBy": "Alice"}), WRITER),
        ("no name", json!({"secondPerson": true}), "requestedBy"),
    ] {
        verdicts.expect(&format!("alice creates: {case}"), alice.create(&dry, &policy(&approvals)?).await, expected)?;
    }
    let own = policy(&json!({"secondPerson": true, "requestedBy": "alice"}))?;
    verdicts.expect("alice creates", alice.create(&PostParams::default(), &own).await, "")?;
    for (case, patch, expected) in [
        ("labels it", json!({"metadata": {"labels": {"team": "b"}}}), ""),
        ("changes it in alice's name", json!({"spec": {"autoUpTo": "medium"}}), WRITER),
        ("changes it in carol's name", json!({"spec": {"approvals": {"requestedBy": "carol"}}}), WRITER),
        (
            "changes it in his own name",
            json!({"spec": {"autoUpTo": "medium", "approvals": {"requestedBy": "bob"}}}),
            "",
        ),
        ("writes its status", json!({"status": {"budget": "0/10"}}), ""),
    ] {
        let patch = Patch::Merge(patch);
        let attempt = if case.contains("status") {
            bob.patch_status("standard", &merge, &patch).await
        } else {
            bob.patch("standard", &merge, &patch).await
        };
        verdicts.expect(&format!("bob {case}"), attempt, expected)?;
    }
    let stale = Patch::Merge(json!({"spec": {"rollbackTimeout": "1m"}}));
    verdicts.expect("alice changes bob's", alice.patch("standard", &merge, &stale).await, WRITER)?;
    let status = Patch::Merge(json!({"status": {"budget": "1/10"}}));
    verdicts.expect("the operator writes the status", operator.patch_status("standard", &merge, &status).await, "")?;
    let off = Patch::Merge(json!({"spec": {"approvals": {"secondPerson": false}}}));
    verdicts.expect("alice goes without", alice.patch("standard", &merge, &off).await, "")?;
    verdicts.finish(15)
}
