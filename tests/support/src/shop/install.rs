//! What is installed in the cluster: kinds, gates, the operator's rights.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::{OPERATOR, Shop};
use crate::{Cluster, eventually, workspace};

/// Installs kinds, gates and the operator's rights, once per cluster and program.
///
/// # Errors
/// The API server refuses.
pub async fn install(cluster: &Cluster) -> Result<()> {
    static INSTALLED: tokio::sync::Mutex<BTreeSet<PathBuf>> = tokio::sync::Mutex::const_new(BTreeSet::new());
    let mut installed = INSTALLED.lock().await;
    if installed.contains(cluster.directory()) {
        return Ok(());
    }
    let root = workspace();
    cluster.apply(&root.join("crds"), "default").await?;
    cluster.apply(&root.join("config/gate"), "default").await?;
    // The operator runs as a process here: all of its objects but the Deployment.
    let text = std::fs::read_to_string(root.join("config/operator.yaml"))?;
    let documents: Vec<&str> =
        text.split("\n---\n").filter(|document| !document.contains("\nkind: Deployment\n")).collect();
    cluster.apply_yaml(&documents.join("\n---\n"), OPERATOR.0).await?;
    cluster.apply(&root.join("config/rbac"), "default").await?;
    await_gate(cluster).await?;
    installed.insert(cluster.directory().to_path_buf());
    Ok(())
}

/// A policy is enforced some seconds after it was created: a Job that it has to refuse is refused.
async fn await_gate(cluster: &Cluster) -> Result<()> {
    let client = cluster.service_account_client(OPERATOR.0, OPERATOR.1).await?;
    let jobs: kube::Api<k8s_openapi::api::batch::v1::Job> = kube::Api::namespaced(client, OPERATOR.0);
    let job: k8s_openapi::api::batch::v1::Job = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "gate-probe"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}}},
    }))?;
    let dry = kube::api::PostParams { dry_run: true, ..Default::default() };
    eventually(Duration::from_secs(30), "the gates are enforced", async || {
        Ok(jobs.create(&dry, &job).await.is_err().then_some(()))
    })
    .await
}

impl Shop {
    pub(super) async fn grant(&self, cluster: &Cluster) -> Result<()> {
        let namespace = &self.namespace;
        let (account_namespace, account) = OPERATOR;
        cluster
            .apply_yaml(
                &format!(
                    r"
apiVersion: v1
kind: ConfigMap
metadata: {{name: dbmedic-ledger, namespace: {namespace}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: dbmedic-own, namespace: {namespace}}}
rules:
- {{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create, get, list, watch, patch, update]}}
- {{apiGroups: [''], resources: [configmaps], resourceNames: [dbmedic-ledger], verbs: [get, update]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: dbmedic-own, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: dbmedic-own}}
subjects: [{{kind: ServiceAccount, name: {account}, namespace: {account_namespace}}}]
"
                ),
                namespace,
            )
            .await
    }
}
