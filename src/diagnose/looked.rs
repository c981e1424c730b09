//! What was seen in a database when an incident was looked at: pure data, filled by `database/postgresql/look.rs`.

use super::explain::ExplainNode;

/// How much time a statement takes now and took before, from cumulative counters.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StatementGrowth {
    /// `queryid` of `pg_stat_statements`.
    pub query_id: i64,
    /// Mean execution time before the onset, in ms; absent for a statement that did not run then.
    pub mean_before_ms: Option<f64>,
    /// Executions per second before the onset; absent when it is not known.
    pub calls_per_second_before: Option<f64>,
    /// Executions since the onset.
    pub calls: f64,
    /// Mean execution time since the onset, in ms.
    pub mean_ms: f64,
    /// Executions per second since the onset.
    pub calls_per_second: f64,
    /// Rows returned or changed per execution since the onset.
    pub rows_per_call: f64,
    /// Execution time since the onset, in ms.
    pub total_ms: f64,
}

/// What a statement does, by its parsed form.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum StatementKind {
    /// Reads.
    Select,
    /// Changes rows.
    Update,
    /// Removes rows.
    Delete,
    /// Anything else, and what could not be parsed.
    #[default]
    Other,
}

/// A statement with its text and plan.
#[derive(Clone, Debug, PartialEq)]
pub struct LookedStatement {
    /// Its growth.
    pub growth: StatementGrowth,
    /// Normalised text as the server stores it: hostile, may hold literals.
    pub text: String,
    /// What it does.
    pub kind: StatementKind,
    /// Its plan, or why there is none.
    pub plan: Result<ExplainNode, String>,
    /// True when the plan was made without values (generic); false when made from values seen in a running statement.
    pub generic: bool,
}

/// One table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableFacts {
    /// Schema.
    pub schema: String,
    /// Name.
    pub table: String,
    /// Rows, from `pg_class.reltuples`, or from the row counter when the table was never analysed.
    pub rows: f64,
    /// Size of the heap in bytes, by `relpages`.
    pub bytes: i64,
    /// Live rows by the statistics collector.
    pub live: i64,
    /// Dead rows by the statistics collector.
    pub dead: i64,
    /// Rows written (inserted, updated, deleted) since the statistics were last reset.
    pub rows_written: i64,
    /// Rows read (sequential scans and index fetches) since the statistics were last reset.
    pub rows_read: i64,
    /// Is a partitioned parent.
    pub is_partitioned: bool,
    /// Is a partition of another table.
    pub is_partition: bool,
    /// Owner role.
    pub owner: String,
    /// Locks on it that are waited for, or that keep writers or a build out (`ShareRowExclusiveLock` and stronger).
    pub strong_locks: i64,
    /// Whether column statistics can be seen; they are hidden without SELECT on the table.
    pub statistics_visible: bool,
    /// Columns.
    pub columns: Vec<ColumnFacts>,
    /// Indexes, valid or not.
    pub indexes: Vec<IndexFacts>,
}

/// One column, with its statistics when they exist and may be seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnFacts {
    /// Name.
    pub name: String,
    /// Type as PostgreSQL writes it.
    pub type_name: String,
    /// `pg_stats.n_distinct`: a count when positive, minus a share of the rows when negative.
    pub n_distinct: Option<f64>,
    /// Share of NULL, 0 to 1.
    pub null_fraction: Option<f64>,
    /// Mean width in bytes.
    pub average_width: Option<f64>,
    /// Share of the most common value, 0 to 1.
    pub most_common_frequency: Option<f64>,
    /// Most bytes that a value of the type can have; absent: the type has no such bound.
    pub longest_bytes: Option<i64>,
    /// Bytes of the longest value that the statistics show; absent where the type has none that can be measured.
    pub longest_sampled: Option<i64>,
    /// Whether the type has a default btree operator class.
    pub orderable: bool,
}

/// One index.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a column of the catalogue")]
pub struct IndexFacts {
    /// Name.
    pub name: String,
    /// Key columns in order; `None` where the key is an expression.
    pub columns: Vec<Option<String>>,
    /// Operator class, collation and options of each key column: two indexes are alike only if these are too.
    pub signature: Vec<String>,
    /// Unique.
    pub unique: bool,
    /// Backs a constraint.
    pub constraint: bool,
    /// Usable by queries.
    pub valid: bool,
    /// Kept up to date by writes.
    pub ready: bool,
    /// Has a predicate.
    pub partial: bool,
    /// Size in bytes, by `relpages`.
    pub bytes: i64,
    /// Scans since the statistics were last reset.
    pub scans: i64,
    /// Access method.
    pub method: String,
}

/// How busy the database is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadFacts {
    /// Client sessions that run a statement now.
    pub active_sessions: i64,
    /// Client sessions.
    pub sessions: i64,
    /// `max_connections` less what is reserved.
    pub connection_limit: i64,
    /// Sessions of this database that run a statement now.
    pub active_here: i64,
    /// Those of them that wait for a lock of another session.
    pub waiting_for_locks: i64,
    /// Size of the tables and indexes of this database in bytes, by `relpages`.
    pub database_bytes: i64,
    /// Replication slots that keep WAL while nobody reads from them.
    pub idle_slots: i64,
    /// Age of the oldest open transaction of another session in this database, in seconds; absent: none.
    pub oldest_transaction_seconds: Option<f64>,
    /// Its process id; 0 for a prepared transaction.
    pub oldest_transaction_pid: Option<i32>,
    /// Lag of the slowest connected replica in bytes; absent: no replica is connected.
    pub replica_lag_bytes: Option<f64>,
    /// An index is being built in this database.
    pub build_running: bool,
    /// The server is a replica.
    pub in_recovery: bool,
}

/// Everything that was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Looked {
    /// The statements that were asked for and found.
    pub statements: Vec<LookedStatement>,
    /// The tables they touch.
    pub tables: Vec<TableFacts>,
    /// How busy the database is.
    pub load: LoadFacts,
    /// What could not be seen, and the grant or setting that would change that.
    pub unavailable: Vec<String>,
}

impl Looked {
    /// The table of this name; without a schema only if the name is unique among those seen.
    pub fn table(&self, schema: Option<&str>, name: &str) -> Option<&TableFacts> {
        let mut found =
            self.tables.iter().filter(|table| table.table == name && schema.is_none_or(|s| s == table.schema));
        let first = found.next();
        if found.next().is_some() { None } else { first }
    }
}

impl TableFacts {
    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&ColumnFacts> {
        self.columns.iter().find(|column| column.name == name)
    }
}
