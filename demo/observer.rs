//! Notes when things are seen from outside: objects by watches of the API, indexes by asking the database. The
//! timelines are made from these notes and from the times that the objects themselves carry.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use dbmedic::api::{Anomaly, AnomalyState, RootCauseKind};
use dbmedic_test_support::{Cluster, Postgres};
use futures::TryStreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use tokio::task::JoinHandle;

use crate::stage::NAMESPACE;

/// How often the database is asked for its indexes.
const POLL: Duration = Duration::from_millis(50);
const INDEXES: &str = "select c.relname::text, i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid where \
                       i.indrelid = 'orders'::regclass";

/// Something that was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Timestamp,
    pub what: String,
}

/// Notes what is seen, until it is dropped.
pub struct Observer {
    notes: Notes,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<Seen>>>);

impl Notes {
    fn note(&self, what: String) {
        let seen = Seen { at: Timestamp::now(), what };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    }
}

impl Observer {
    /// Begins to watch.
    pub async fn start(cluster: &Cluster, postgres: &Postgres) -> Result<Self> {
        let mut database = postgres.connect("orders").await?;
        // What asks twenty times a second would be a part of the workload.
        sqlx::query("set pg_stat_statements.track = 'none'").execute(&mut database).await?;
        let client = cluster.client("admin").await?;
        let notes = Notes::default();
        let tasks = vec![
            tokio::spawn(anomalies(Api::namespaced(client.clone(), NAMESPACE), notes.clone())),
            tokio::spawn(jobs(Api::namespaced(client, NAMESPACE), notes.clone())),
            tokio::spawn(indexes(database, notes.clone())),
        ];
        Ok(Self { notes, tasks })
    }

    /// What was seen from this time on, in that order.
    pub fn since(&self, time: Timestamp) -> Vec<Seen> {
        let notes = self.notes.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.iter().filter(|seen| seen.at >= time).cloned().collect()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn anomalies(api: Api<Anomaly>, notes: Notes) {
    let mut known: BTreeMap<String, (bool, Option<AnomalyState>)> = BTreeMap::new();
    let mut objects = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff().applied_objects());
    // An error of the watch ends when it has connected again.
    loop {
        let Ok(anomaly) = objects.try_next().await else { continue };
        let Some(anomaly) = anomaly else { return };
        let status = anomaly.status.clone().unwrap_or_default();
        let name = anomaly.name_any();
        if !known.contains_key(&name) {
            notes.note(format!("Anomaly {name} is there"));
        }
        let (explained, state) = known.entry(name).or_default();
        let cause = status.root_cause.filter(|cause| cause.kind != RootCauseKind::Unknown);
        if let (false, Some(cause)) = (*explained, cause) {
            *explained = true;
            notes.note(format!("cause found, {:?}: {}", cause.kind, cause.summary));
        }
        if status.state != *state {
            *state = status.state;
            if *state == Some(AnomalyState::Clearing) {
                notes.note(format!("metric back: {} is inside its band again (Anomaly Clearing)", anomaly.spec.metric));
            }
        }
    }
}

async fn jobs(api: Api<Job>, notes: Notes) {
    let mut known: BTreeMap<String, bool> = BTreeMap::new();
    let mut objects = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff().applied_objects());
    loop {
        let Ok(job) = objects.try_next().await else { continue };
        let Some(job) = job else { return };
        let name = job.name_any();
        let conditions = job.status.and_then(|status| status.conditions).unwrap_or_default();
        let end =
            conditions.iter().find(|one| one.status == "True" && ["Complete", "Failed"].contains(&one.type_.as_str()));
        if !known.contains_key(&name) {
            notes.note(format!("Job {name} is there"));
        }
        let ended = known.entry(name.clone()).or_default();
        if let (false, Some(end)) = (*ended, end) {
            *ended = true;
            notes.note(format!("Job {name} is {}", end.type_));
        }
    }
}

async fn indexes(mut connection: sqlx::PgConnection, notes: Notes) {
    let mut known: Option<BTreeMap<String, bool>> = None;
    let mut clock = tokio::time::interval(POLL);
    loop {
        clock.tick().await;
        let Ok(rows) = sqlx::query_as::<_, (String, bool)>(INDEXES).fetch_all(&mut connection).await else { return };
        let found: BTreeMap<String, bool> = rows.into_iter().collect();
        if let Some(known) = &known {
            for (name, valid) in &found {
                match (known.get(name), valid) {
                    (Some(false) | None, true) => notes.note(format!("index {name} is valid (pg_index.indisvalid)")),
                    (None, false) => notes.note(format!("index {name} is being built (not yet valid)")),
                    _ => {}
                }
            }
            for name in known.keys().filter(|name| !found.contains_key(*name)) {
                notes.note(format!("index {name} is gone from pg_index"));
            }
        }
        known = Some(found);
    }
}
