//! What must be the same at the end of every run, and what must hold by itself.

use std::time::Duration;

use anyhow::Result;
use dbmedic::api::{Anomaly, AnomalyState, Remediation, RemediationState, RootCauseKind};
use dbmedic_test_support::eventually;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt};

use super::scene::{Scene, Story};
use crate::world::list;

const MADE: &str = "select count(*) from pg_index where indrelid = 'orders'::regclass and indexrelid::regclass::text like \
                    'dbmedic%'";

/// Everything at the end of a run, without names, times and figures.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub anomalies: Vec<AnomalyView>,
    pub remediations: Vec<RemediationView>,
    /// Outcomes of the Jobs by what their names end with; `None` while one is not finished.
    pub jobs: Vec<(String, Option<bool>)>,
    /// Valid and invalid indexes on the column.
    pub indexes: (i64, i64),
    /// Indexes of the table that a fix made, valid or not.
    pub made: i64,
    /// Builds that were begun.
    pub builds: usize,
    /// Reservations in the ledger, and whether the first is the Remediation's.
    pub reservations: (usize, bool),
    /// Advisory locks, and sessions of executors.
    pub leaks: (i64, i64),
}

#[derive(Clone, Debug, PartialEq)]
pub struct AnomalyView {
    state: Option<AnomalyState>,
    cause: Option<RootCauseKind>,
    columns: Vec<String>,
    remediations: usize,
    walk: Option<(String, bool)>,
    described: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RemediationView {
    pub state: Option<RemediationState>,
    pub transitions: Vec<RemediationState>,
    index: Option<String>,
    approved_by: Option<String>,
    jobs: usize,
    measured_better: bool,
}

impl AnomalyView {
    /// The last word says what helped.
    fn is_told(&self) -> bool {
        self.described && self.walk.as_ref().is_some_and(|(_, finished)| *finished)
    }
}

impl View {
    /// What is wrong with the end of a run by itself.
    pub fn faults(&self, story: Story, most_builds: usize) -> Vec<String> {
        let (end, indexes, made) = match story {
            Story::Helped => (RemediationState::Succeeded, (1, 0), 1),
            Story::TakenBack => (RemediationState::RolledBack, (0, 0), 0),
        };
        let ended = self.remediations.iter().filter(|one| one.state == Some(end)).count();
        [
            (self.indexes == indexes, format!("valid and invalid indexes: {:?}", self.indexes)),
            (self.made == made, format!("indexes of fixes: {}", self.made)),
            (self.anomalies.len() == 1, format!("{} Anomalies", self.anomalies.len())),
            (self.anomalies.iter().all(AnomalyView::is_told), format!("not told to the end: {:?}", self.anomalies)),
            (self.remediations.len() == 1, format!("{} Remediations", self.remediations.len())),
            (ended == 1, format!("{ended} ended {end:?}: {:?}", self.remediations)),
            ((1..=most_builds).contains(&self.builds), format!("{} builds", self.builds)),
            (self.reservations == (1, true), format!("reservations: {:?}", self.reservations)),
            (self.leaks == (0, 0), format!("advisory locks and sessions left: {:?}", self.leaks)),
            (self.jobs.iter().all(|(_, done)| done.is_some()), format!("Jobs: {:?}", self.jobs)),
        ]
        .into_iter()
        .filter_map(|(holds, fault)| (!holds).then_some(fault))
        .collect()
    }

    /// The same without what another attempt of the fix changes.
    pub fn without_attempts(mut self) -> Self {
        self.jobs.clear();
        self.builds = 1;
        for one in &mut self.remediations {
            one.jobs = 0;
            // What does not help may still be faster by chance.
            one.measured_better |= one.state == Some(RemediationState::RolledBack);
        }
        self
    }
}

/// Looks at everything. What the server needs a moment for (the end of a session) is waited for.
pub async fn look(scene: &Scene, builds: usize) -> Result<View> {
    let anomalies: Vec<Anomaly> = list(&scene.api()).await?;
    let remediations: Vec<Remediation> = list(&scene.api()).await?;
    let jobs: Vec<Job> = list(&scene.api()).await?;
    let ledgers: Api<ConfigMap> = scene.api();
    let ledger = ledgers.get("dbmedic-ledger").await?.data.unwrap_or_default();
    let uid = remediations.first().and_then(ResourceExt::uid).unwrap_or_default();
    let mut leaks = (0, 0);
    // One that stays shows in the figures.
    let _ = eventually(Duration::from_secs(5), "no session is left", async || {
        let count = |sql: &'static str| scene.shop.postgres.value::<i64>("orders", sql);
        leaks = (
            count("select count(*) from pg_locks where locktype = 'advisory'").await?,
            count("select count(*) from pg_stat_activity where application_name like 'dbmedic-act/%' or application_name like 'dbmedic-watch/%'").await?,
        );
        Ok((leaks == (0, 0)).then_some(()))
    })
    .await;
    Ok(View {
        anomalies: anomalies.iter().map(anomaly).collect(),
        remediations: remediations.iter().map(remediation).collect(),
        jobs: jobs.iter().map(job).collect(),
        indexes: scene.shop.customer_indexes().await?,
        made: scene.shop.postgres.value("orders", MADE).await?,
        builds,
        reservations: (ledger.len(), ledger.contains_key(&uid)),
        leaks,
    })
}

fn anomaly(anomaly: &Anomaly) -> AnomalyView {
    let status = anomaly.status.clone().unwrap_or_default();
    let cause = status.root_cause;
    AnomalyView {
        state: status.state,
        cause: cause.as_ref().map(|cause| cause.kind),
        columns: cause.and_then(|cause| cause.missing_index).map(|missing| missing.columns).unwrap_or_default(),
        remediations: status.remediations.len(),
        walk: status.walk.map(|walk| (walk.message, walk.finished)),
        described: status.deviation.is_some_and(|text| !text.is_empty()),
    }
}

fn remediation(remediation: &Remediation) -> RemediationView {
    let status = remediation.status.clone().unwrap_or_default();
    let better = status.verification.is_some_and(|figures| figures.after.value < figures.before.value);
    RemediationView {
        state: status.state,
        transitions: status.transitions.iter().map(|one| one.state).collect(),
        index: remediation.spec.plan.change.add_index.as_ref().map(|index| index.name.clone()),
        approved_by: status.approval.map(|approval| approval.by),
        jobs: status.jobs.len(),
        measured_better: better,
    }
}

fn job(job: &Job) -> (String, Option<bool>) {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let is = |type_: &str| conditions.iter().any(|one| one.type_ == type_ && one.status == "True");
    let outcome = if is("Complete") { Some(true) } else { is("Failed").then_some(false) };
    let name = job.name_any();
    let end: Vec<&str> = name.rsplitn(3, '-').take(2).collect();
    (end.into_iter().rev().collect::<Vec<_>>().join("-"), outcome)
}
