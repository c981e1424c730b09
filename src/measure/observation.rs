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
    /// `stats_reset` in microseconds since the Unix epoch; `None` when never reset, and after a crash.
    pub stats_reset: Option<i64>,
    /// `block_size` of the server in bytes.
    pub block_bytes: i64,
}

/// Sessions, from `pg_stat_activity` and `pg_locks`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Activity {
    /// Client sessions of the whole server.
    pub connections: i64,
    /// The tightest limit, which is the one with the largest share in use: the server's `max_connections` less its
    /// reserved slots, the database's, or that of a role with sessions.
    pub connection_limit: i64,
    /// Client sessions that count against that limit.
    pub limited_connections: i64,
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
    /// Size of the database in bytes; `None` where it cannot be had in time.
    pub database_bytes: Option<i64>,
    /// Size of the write-ahead log in bytes, where the role may see it.
    pub wal_bytes: Option<i64>,
    /// Dead row versions of all tables; `None` after a reset of the statistics, until they are rebuilt.
    pub dead_tuples: Option<i64>,
    /// Live row versions of all tables.
    pub live_tuples: i64,
    /// `age(datfrozenxid)`.
    pub transaction_id_age: i64,
}

/// What a statement does, by its first keyword.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StatementKind {
    /// Reads rows: `SELECT`, `TABLE`, `VALUES`.
    Select,
    /// `INSERT`.
    Insert,
    /// `UPDATE` and `MERGE`.
    Update,
    /// `DELETE`.
    Delete,
    /// Definition, maintenance, `COPY`, `CALL`, `DO` and whatever else there is.
    Other,
}

impl StatementKind {
    /// All kinds, each at its own index.
    pub const ALL: [Self; 5] = [Self::Select, Self::Insert, Self::Update, Self::Delete, Self::Other];

    /// Whether it reads or writes rows: its execution time is what clients wait for.
    pub fn touches_rows(self) -> bool {
        self != Self::Other
    }
}

/// Growth of the statements' counters over one interval. An entry that vanished has no value; a new one counts from
/// zero, because everything it counts happened within the interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StatementInterval {
    /// Executions of statements that read or write rows.
    pub calls: f64,
    /// Total execution time in ms.
    pub total_ms: f64,
    /// 95th percentile of the execution time in ms, estimated from a log-normal fit.
    pub p95_ms: Option<f64>,
    /// Seconds between the two readings.
    pub seconds: f64,
    /// Executions by kind, in the order of [`StatementKind::ALL`]; those of control of transactions and sessions are in
    /// none.
    pub calls_by_kind: [f64; 5],
}

/// What some statements did together over a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StatementFigures {
    /// Executions.
    pub calls: f64,
    /// Mean execution time in ms; 0 without executions.
    pub mean_ms: f64,
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
    /// Seconds between the two looks by a clock that never jumps; 0 when there is no earlier one.
    pub elapsed_seconds: f64,
    /// Growth of the statements' counters; `None` between the rounds that read them.
    pub statements: Option<StatementInterval>,
}

impl Interval<'_> {
    /// Growth of a counter of the database. `None` when either end is missing, and when the counter fell: a counter
    /// that fell was reset, and nothing is known about the interval.
    pub fn growth(&self, counter: fn(&DatabaseCounters) -> i64) -> Option<f64> {
        let earlier = counter(self.previous?.database.as_ref()?);
        let later = counter(self.current.database.as_ref()?);
        (later >= earlier).then(|| (later - earlier) as f64)
    }

    /// Growth of a counter of the database per second.
    pub fn per_second(&self, counter: fn(&DatabaseCounters) -> i64) -> Option<f64> {
        let growth = self.growth(counter)?;
        (self.elapsed_seconds > 0.0).then(|| growth / self.elapsed_seconds)
    }
}
