//! How changes end: one shop per group of stories, so that each operator and database serves many.

mod budget;
mod credentials;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use dbmedic::api::{Anomaly, AnomalyState, Remediation, RemediationPolicy, RemediationState, conditions};
use dbmedic_test_support::shop::{Operator, Shop};
use dbmedic_test_support::{Cluster, eventually};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::world::{learnt, list};

/// Longest wait for anything; five builders share two cores.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Everything of one shop, as admin.
pub struct Scene<'a> {
    pub cluster: &'a Cluster,
    pub shop: &'a Shop,
    pub operator: &'a Operator,
    pub client: Client,
    pub anomalies: Api<Anomaly>,
    pub remediations: Api<Remediation>,
    pub policies: Api<RemediationPolicy>,
    pub jobs: Api<Job>,
}

impl<'a> Scene<'a> {
    pub async fn new(cluster: &'a Cluster, shop: &'a Shop, operator: &'a Operator) -> Result<Self> {
        let client = cluster.client("admin").await?;
        let namespace = &shop.namespace;
        let scene = Self {
            cluster,
            shop,
            operator,
            anomalies: Api::namespaced(client.clone(), namespace),
            remediations: Api::namespaced(client.clone(), namespace),
            policies: Api::namespaced(client.clone(), namespace),
            jobs: Api::namespaced(client.clone(), namespace),
            client,
        };
        learnt(&Api::namespaced(scene.client.clone(), namespace)).await.context(operator.process.log_end())?;
        Ok(scene)
    }

    /// Waits; what there is and the operator's log are in the error.
    pub async fn eventually<T>(&self, what: &str, look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
        match eventually(PATIENCE, what, look).await {
            Ok(found) => Ok(found),
            Err(error) => {
                for anomaly in list(&self.anomalies).await? {
                    eprintln!("{}: {}", anomaly.name_any(), json!(anomaly.status));
                }
                for one in list(&self.remediations).await? {
                    eprintln!("{}: {}", one.name_any(), json!(one.status));
                }
                Err(error).context(self.operator.process.log_end())
            }
        }
    }

    /// Waits until a Remediation is in a state.
    pub async fn in_state(&self, state: RemediationState) -> Result<Remediation> {
        self.some(&format!("a Remediation is {state:?}"), |one| state_of(one) == state).await
    }

    /// Waits for a Remediation.
    pub async fn some(&self, what: &str, wanted: impl Fn(&Remediation) -> bool) -> Result<Remediation> {
        self.eventually(what, async || Ok(list(&self.remediations).await?.into_iter().find(|one| wanted(one)))).await
    }

    /// Waits for a message on this very Remediation.
    pub async fn says(&self, remediation: &Remediation, part: &str) -> Result<Remediation> {
        let uid = remediation.uid();
        self.some(&format!("{} says {part:?}", remediation.name_any()), |one| {
            one.uid() == uid && message(one).contains(part)
        })
        .await
    }

    /// Waits for an open Anomaly other than these.
    pub async fn open_anomaly(&self, known: &[&Anomaly]) -> Result<Anomaly> {
        self.eventually("an Anomaly opens", async || {
            let all = list(&self.anomalies).await?;
            Ok(all.into_iter().find(|anomaly| {
                anomaly_state(anomaly) == Some(AnomalyState::Open) && known.iter().all(|one| one.uid() != anomaly.uid())
            }))
        })
        .await
    }

    /// Waits until no Anomaly is open.
    pub async fn calm(&self) -> Result<()> {
        self.eventually("all Anomalies are resolved", async || {
            let all = list(&self.anomalies).await?;
            Ok(all.iter().all(|anomaly| anomaly_state(anomaly) == Some(AnomalyState::Resolved)).then_some(()))
        })
        .await
    }

    /// Waits until the walk of an Anomaly says something.
    pub async fn walk_says(&self, anomaly: &str, part: &str) -> Result<()> {
        self.eventually(&format!("the walk says {part:?}"), async || {
            let walk = self.anomalies.get(anomaly).await?.status.and_then(|status| status.walk).unwrap_or_default();
            Ok(walk.message.contains(part).then_some(()))
        })
        .await
    }

    /// Changes the policy.
    pub async fn change_policy(&self, spec: &Value) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.policies.patch("standard", &PatchParams::default(), &patch).await.context("changing the policy").map(drop)
    }

    /// Waits for the policy's condition `CanFix`.
    pub async fn can_fix(&self, status: &str, reason: &str) -> Result<()> {
        self.eventually(&format!("CanFix is {status}, {reason}"), async || {
            let stored = self.policies.get("standard").await?.status.unwrap_or_default();
            let found = conditions::find(&stored.conditions, "CanFix");
            Ok(found.filter(|found| found.status == status && found.reason == reason).map(drop))
        })
        .await
    }

    /// Makes the operator look again at a Remediation.
    pub async fn poke(&self, remediation: &Remediation) -> Result<()> {
        let now = jiff::Timestamp::now().to_string();
        let patch = Patch::Merge(json!({"metadata": {"annotations": {"tests/poke": now}}}));
        self.remediations.patch(&remediation.name_any(), &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Builds the index that the workload needs, as a person would.
    pub async fn repair(&self) -> Result<()> {
        self.shop
            .postgres
            .execute("orders", "create index if not exists orders_customer_id_idx on orders (customer_id)")
            .await
    }

    /// Deletes a Remediation, so that its step is tried again.
    pub async fn forget(&self, remediation: &Remediation) -> Result<()> {
        self.remediations.delete(&remediation.name_any(), &kube::api::DeleteParams::default()).await?;
        let uid = remediation.uid();
        self.eventually("the Remediation is gone", async || {
            let all = list(&self.remediations).await?;
            Ok(all.iter().all(|one| one.uid() != uid).then_some(()))
        })
        .await
    }
}

pub fn state_of(remediation: &Remediation) -> RemediationState {
    remediation.status.as_ref().and_then(|status| status.state).unwrap_or_default()
}

pub fn message(remediation: &Remediation) -> &str {
    remediation.status.as_ref().and_then(|status| status.message.as_deref()).unwrap_or_default()
}

/// The states a Remediation was in, in order.
pub fn states(remediation: &Remediation) -> Vec<RemediationState> {
    remediation.status.iter().flat_map(|status| &status.transitions).map(|transition| transition.state).collect()
}

fn anomaly_state(anomaly: &Anomaly) -> Option<AnomalyState> {
    anomaly.status.as_ref().and_then(|status| status.state)
}

/// Fails unless a text holds all parts.
pub fn holds(text: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        if !text.contains(part) {
            bail!("{part:?} is not in:\n{text}");
        }
    }
    Ok(())
}
