//! One connection's life: what a round reads over it, group by group. A group that is refused leaves the others be.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};

use crate::api::CustomMetric;
use crate::database::postgresql::custom::{self, CustomError};
use crate::database::postgresql::error::printable;
use crate::database::postgresql::keyword;
use crate::database::postgresql::quote::shown;
use crate::database::postgresql::statement_reader::{self, StatementsError, monitor_hint};
use crate::database::postgresql::statements::{Snapshot, StatementHistory};
use crate::database::postgresql::{DatabaseError, Endpoint, connect, observe};
use crate::measure::{Identity, Observation, Role, Storage, Unavailable};

/// How long a polite end of the connection may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// What is read, refused and remembered together.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Group {
    Identity,
    Database,
    Activity,
    ReplicationLag,
    Storage,
    Size,
    WriteAheadLog,
    Statements,
    Custom(usize),
}

impl Group {
    /// The built-in metrics that are blind without it.
    fn metrics(self) -> &'static [&'static str] {
        match self {
            Self::Identity | Self::WriteAheadLog | Self::Custom(_) => &[],
            Self::Database => &["throughput", "error_rate", "cache_hit_rate", "disk_io", "temp_files"],
            Self::Activity => &["connection_count", "connection_usage", "lock_waits", "oldest_transaction"],
            Self::ReplicationLag => &["replication_lag"],
            Self::Storage => &["disk_usage", "dead_tuples", "transaction_id_age"],
            Self::Size => &["disk_usage"],
            Self::Statements => &[
                "response_time",
                "response_time_p95",
                "select_rate",
                "insert_rate",
                "update_rate",
                "delete_rate",
                "other_rate",
            ],
        }
    }
}

/// A group that could not be read.
struct Blind {
    unavailable: Unavailable,
    /// Whether it is left alone until the next round over statements. Each refusal is a rolled-back transaction of the
    /// database whose error rate we measure.
    waits: bool,
}

/// What one round saw.
pub(super) struct Look {
    pub observation: Observation,
    /// When the counters were read, by a clock that never jumps.
    pub taken: Instant,
    /// The statements' counters, in the rounds that read them.
    pub statements: Option<Snapshot>,
}

/// A connection and what is known of the server behind it.
pub(super) struct Session {
    pub connection: PgConnection,
    pub identity: Identity,
    pub version: String,
    username: String,
    blind: BTreeMap<Group, Blind>,
}

impl Session {
    /// Connects and asks who is there.
    pub async fn open(endpoint: &Endpoint) -> Result<Self, DatabaseError> {
        let mut connection = connect(endpoint).await?;
        let (identity, version) = observe::identity(&mut connection).await?;
        let (username, blind) = (endpoint.username.clone(), BTreeMap::new());
        Ok(Self { connection, identity, version, username, blind })
    }

    /// Ends the connection politely, so that the server logs nothing.
    pub async fn close(self) {
        let _ = tokio::time::timeout(CLOSE_LIMIT, self.connection.close()).await;
    }

    /// One round; `dear`: with statements, tables and sizes. `began` is the zero of the statements' clock.
    ///
    /// # Errors
    /// When the connection is lost. What the server refuses is in the observation instead.
    pub async fn look(
        &mut self,
        dear: bool,
        custom: &[CustomMetric],
        history: &mut StatementHistory,
        at: i64,
        began: Instant,
    ) -> Result<Look, DatabaseError> {
        let mut observation = Observation { at, custom: vec![None; custom.len()], ..Observation::default() };
        let taken = Instant::now();
        if self.may_try(Group::Database, dear) {
            let read = observe::database(&mut self.connection).await;
            if let Some((role, counters)) = self.note(Group::Database, read)? {
                observation.database = Some(counters);
                if role != self.identity.role {
                    self.identify().await?;
                }
            }
        }
        if dear {
            self.identify().await?;
        }
        self.read_sessions(dear, &mut observation).await?;
        for (index, metric) in custom.iter().enumerate() {
            observation.custom[index] = self.read_custom(index, metric, dear).await?;
        }
        let mut statements = None;
        if dear {
            self.read_storage(&mut observation).await?;
            statements = self.read_statements(history, at, began).await?;
        }
        observation.identity = self.identity.clone();
        observation.unavailable = self.blind.values().map(|blind| blind.unavailable.clone()).collect();
        Ok(Look { observation, taken, statements })
    }

    async fn identify(&mut self) -> Result<(), DatabaseError> {
        let (identity, version) = observe::identity(&mut self.connection).await?;
        if identity.system_identifier.is_empty() {
            let reason = "the role may not execute pg_control_system() and pg_control_checkpoint(): without the \
                          server's identifier a mix-up of servers is not noticed, and nothing can be changed";
            self.set_blind(Group::Identity, Vec::new(), reason.into(), false);
        } else {
            self.blind.remove(&Group::Identity);
        }
        (self.identity, self.version) = (identity, version);
        Ok(())
    }

    async fn read_sessions(&mut self, dear: bool, observation: &mut Observation) -> Result<(), DatabaseError> {
        if self.may_try(Group::Activity, dear) {
            let read = observe::activity(&mut self.connection).await;
            if let Some(activity) = self.note(Group::Activity, read)? {
                observation.activity = activity;
                if activity.is_none() {
                    let metrics = owned(Group::Activity.metrics());
                    self.set_blind(Group::Activity, metrics, monitor_hint(&self.username), false);
                }
            }
        }
        if self.identity.role == Role::Replica && self.may_try(Group::ReplicationLag, dear) {
            let read = observe::replication_lag(&mut self.connection).await;
            observation.replication_lag_seconds = self.note(Group::ReplicationLag, read)?.flatten();
        }
        Ok(())
    }

    async fn read_custom(
        &mut self,
        index: usize,
        metric: &CustomMetric,
        dear: bool,
    ) -> Result<Option<f64>, DatabaseError> {
        let group = Group::Custom(index);
        if !self.may_try(group, dear) {
            return Ok(None);
        }
        match custom::measure(&mut self.connection, &metric.query).await {
            Ok(value) => {
                self.blind.remove(&group);
                Ok(Some(value))
            }
            Err(CustomError::Database(error)) if error.is_connection_lost() => Err(error),
            Err(error) => {
                let reason = format!("customMetrics[{index}].query: {error}");
                self.set_blind(group, vec![metric.name.clone()], reason, true);
                Ok(None)
            }
        }
    }

    async fn read_storage(&mut self, observation: &mut Observation) -> Result<(), DatabaseError> {
        let read = observe::storage(&mut self.connection).await;
        let ages = self.note(Group::Storage, read)?;
        let read = observe::database_bytes(&mut self.connection).await;
        let database_bytes = self.note(Group::Size, read)?;
        let read = observe::wal_bytes(&mut self.connection).await;
        let wal_bytes = self.note(Group::WriteAheadLog, read)?.flatten();
        observation.storage = ages.map(|ages| Storage { database_bytes, wal_bytes, ..ages });
        Ok(())
    }

    async fn read_statements(
        &mut self,
        history: &mut StatementHistory,
        at: i64,
        began: Instant,
    ) -> Result<Option<Snapshot>, DatabaseError> {
        match statements(&mut self.connection, history, at, began).await {
            Ok(snapshot) => {
                self.blind.remove(&Group::Statements);
                Ok(Some(snapshot))
            }
            Err(StatementsError::Database(error)) if error.is_connection_lost() => Err(error),
            Err(error) => {
                // A statement prepared against an extension that was since replaced would fail for ever.
                observe::answer(self.connection.clear_cached_statements()).await?;
                self.set_blind(Group::Statements, owned(Group::Statements.metrics()), error.to_string(), true);
                Ok(None)
            }
        }
    }

    fn may_try(&self, group: Group, dear: bool) -> bool {
        dear || !self.blind.get(&group).is_some_and(|blind| blind.waits)
    }

    /// Remembers that a group was read or refused; only a lost connection is an error.
    fn note<T>(&mut self, group: Group, read: Result<T, DatabaseError>) -> Result<Option<T>, DatabaseError> {
        match read {
            Ok(value) => {
                self.blind.remove(&group);
                Ok(Some(value))
            }
            Err(error) if error.is_connection_lost() => Err(error),
            Err(error) => {
                let reason = match &error {
                    DatabaseError::Permission(message) => {
                        let role = printable(&shown(&self.username));
                        format!("{message}: run GRANT pg_monitor TO {role} as a superuser")
                    }
                    error => error.to_string(),
                };
                let waits = matches!(error, DatabaseError::Permission(_));
                self.set_blind(group, owned(group.metrics()), reason, waits);
                Ok(None)
            }
        }
    }

    fn set_blind(&mut self, group: Group, metrics: Vec<String>, reason: String, waits: bool) {
        self.blind.insert(group, Blind { unavailable: Unavailable { metrics, reason }, waits });
    }
}

/// Reads the statements' counters, and the texts of those not seen before.
async fn statements(
    connection: &mut PgConnection,
    history: &mut StatementHistory,
    at: i64,
    began: Instant,
) -> Result<Snapshot, StatementsError> {
    let extension = statement_reader::find(connection).await?;
    let seconds = began.elapsed().as_secs_f64();
    let snapshot = statement_reader::read(connection, &extension, at, seconds).await?;
    let unknown = history.unknown(&snapshot);
    if !unknown.is_empty() {
        for (query_id, text) in statement_reader::texts(connection, &extension, &unknown).await? {
            history.classify(query_id, keyword::kind(&text));
        }
    }
    Ok(snapshot)
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}
