//! Plans and states come from the operator only, whatever rights anybody else holds.

use anyhow::Result;
use dbmedic_test_support::{Cluster, shop};
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use super::Verdicts;
use crate::validation::{object, resource, written};

const OWN: &str = "are written by the operator only";

#[tokio::test]
async fn a_plan_or_a_state_from_elsewhere_is_refused() -> Result<()> {
    let cluster = Cluster::shared().await?;
    shop::install(cluster).await?;
    let namespace = cluster.namespace("authors").await?;
    let kinds = ["anomalies", "anomalies/status", "remediations", "remediations/status"];
    for user in ["dave", "admin"] {
        cluster.grant(&namespace, user, "dbmedic.io", &kinds, &["create", "get", "patch", "update", "delete"]).await?;
    }
    let operator = cluster.service_account_client(shop::OPERATOR.0, shop::OPERATOR.1).await?;
    let mut verdicts = Verdicts::default();
    let apply = PatchParams::apply("authors").force();
    let merge = PatchParams::default();
    let api = |client: &Client, kind: &str, plural: &str| -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), &namespace, &resource(kind, plural))
    };
    for (kind, plural, spec) in
        [("Anomaly", "anomalies", written::anomaly()), ("Remediation", "remediations", written::remediation())]
    {
        let written: DynamicObject = serde_json::from_value(object(kind, "one", &spec))?;
        let own = api(&operator, kind, plural).create(&PostParams::default(), &written).await;
        verdicts.expect("the operator writes", own, "")?;
        for user in ["dave", "admin"] {
            let theirs = api(&cluster.client(user).await?, kind, plural);
            let forged = Patch::Apply(object(kind, "forged", &spec));
            verdicts.expect(&format!("{user} makes a {kind}"), theirs.patch("forged", &apply, &forged).await, OWN)?;
            let states = if kind == "Anomaly" {
                vec!["Open", "Resolved"]
            } else {
                vec!["Cleared", "Reserved", "Running", "Verifying", "RollingBack", "Succeeded"]
            };
            for state in states {
                let status = Patch::Merge(json!({"status": {"state": state}}));
                let attempt = theirs.patch_status("one", &merge, &status).await;
                verdicts.expect(&format!("{user} makes a {kind} {state}"), attempt, OWN)?;
            }
            let label = Patch::Merge(json!({"metadata": {"annotations": {"dbmedic.io/approved": "true"}}}));
            verdicts.expect(&format!("{user} annotates a {kind}"), theirs.patch("one", &merge, &label).await, "")?;
        }
        let status = Patch::Merge(json!({"status": {"state": if kind == "Anomaly" { "Open" } else { "Planned" }}}));
        let own = api(&operator, kind, plural).patch_status("one", &merge, &status).await;
        verdicts.expect("the operator says a state", own, "")?;
    }
    verdicts.finish(24)
}
