//! What one look at a server saw, and the interval between two looks.

/// Role of a server in its cluster.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Role {
    /// Accepts writes.
    #[default]
    Primary,
    /// Replays another server's log.
    Replica,
}

/// Which server this is. Another identity means: no rate across it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Identity {
    /// `pg_control_system().system_identifier`, as text.
    pub system_identifier: String,
    /// `pg_control_checkpoint().timeline_id`.
    pub timeline: i32,
    /// Role.
    pub role: Role,
    /// `pg_postmaster_start_time()`, milliseconds since the Unix epoch.
    pub started_at: i64,
    /// `server_version_num`.
    pub version: i32,
}

/// Counters of the database, from `pg_stat_database`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[allow(missing_docs, reason = "the names are the view's")]
pub struct DatabaseCounters {
    pub xact_commit: i64,
    pub xact_rollback: i64,
    pub blks_read: i64,
    pub blks_hit: i64,
    pub tup_returned: i64,
    pub tup_fetched: i64,
    pub temp_bytes: i64,
    pub deadlocks: i64,
}

/// Sessions, from `pg_stat_activity` and `pg_locks`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Activity {
    /// Client sessions of the whole server.
    pub connections: i64,
    /// The tightest limit that applies, less reserved slots.
    pub connection_limit: i64,
    /// Active client sessions.
    pub active: i64,
    /// Sessions that wait for a lock.
    pub lock_waiters: i64,
    /// Age of the oldest transaction in seconds.
    pub oldest_transaction_seconds: f64,
}

/// Sizes and ages, from the round over tables and indexes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Storage {
    /// Size of the database in bytes.
    pub database_bytes: i64,
    /// Size of the write-ahead log in bytes, where the role may see it.
    pub wal_bytes: Option<i64>,
    /// Dead row versions of all tables.
    pub dead_tuples: i64,
    /// Live row versions of all tables.
    pub live_tuples: i64,
    /// `age(datfrozenxid)`.
    pub transaction_id_age: i64,
}

/// Growth of the statements' counters over one interval; evicted and new entries are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StatementInterval {
    /// Executions.
    pub calls: f64,
    /// Total execution time in ms.
    pub total_ms: f64,
    /// 95th percentile of the execution time in ms, estimated from a log-normal fit.
    pub p95_ms: Option<f64>,
}

/// Something that could not be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unavailable {
    /// Names of the metrics that are blind.
    pub metrics: Vec<String>,
    /// Why, and what would help.
    pub reason: String,
}

/// What one look at a server saw. `None`: could not be read (or was not due in this round).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    /// Which server.
    pub identity: Identity,
    /// Counters of the database.
    pub database: Option<DatabaseCounters>,
    /// Sessions.
    pub activity: Option<Activity>,
    /// Replication lag in seconds; `None` on a primary.
    pub replication_lag_seconds: Option<f64>,
    /// Sizes and ages; `None` between the rounds that read them.
    pub storage: Option<Storage>,
    /// The Baseline's own metrics.
    pub custom: Vec<Option<f64>>,
    /// What could not be read.
    pub unavailable: Vec<Unavailable>,
}

/// Two looks at the same server, and what lies between them.
#[derive(Clone, Copy, Debug)]
pub struct Interval<'a> {
    /// The earlier look; `None` when there is none, or when a reset, restart or change of role lies between.
    pub previous: Option<&'a Observation>,
    /// The present look.
    pub current: &'a Observation,
    /// Growth of the statements' counters; `None` between the rounds that read them.
    pub statements: Option<StatementInterval>,
}
