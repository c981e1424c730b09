//! The written rule for `safe`: whether building an index now endangers the database. Every part must hold.
//!
//! | part | holds when |
//! |---|---|
//! | size | the table has at most 10 GiB |
//! | width | no value can be, or was ever sampled, too wide for an index entry: with the index such a row is refused |
//! | role | the server is the primary |
//! | connections | fewer than 90 % of the connections are used |
//! | load | fewer than 80 % of the connections run a statement |
//! | locks | no lock on the table is waited for or strong |
//! | transactions | no other transaction of the database is open for more than 30 s |
//! | disk | SQL cannot tell what is free: the index has at most 1 GiB, and at most 10 % of the database or 64 MiB |
//! | replica | no replica lags by more than 256 MiB, and no replication slot keeps WAL for one that is away |
//! | build | no index is being built in the database |
//! | twin | nobody else left an invalid index on these columns |

use crate::api::IndexCandidate;

use super::looked::{LoadFacts, TableFacts};
use super::text::printable;

/// Largest table that is indexed without a person, in bytes (10 GiB): beyond, a build runs for tens of minutes.
pub const TABLE_BYTES: i64 = 10 << 30;
/// Largest index (estimate, in bytes), because free disk space is not known (1 GiB).
pub const INDEX_BYTES_BLIND: i64 = 1 << 30;
/// And its largest share of the database then: who keeps a database keeps so much free.
pub const INDEX_SHARE_BLIND: f64 = 0.10;
/// Below this no share is asked for (64 MiB: four WAL segments, which come and go by themselves).
pub const INDEX_BYTES_SMALL: i64 = 64 << 20;
/// Most bytes of a key's columns together. A btree entry has at most 2,704, its header and alignment included; a row
/// that does not fit is refused to the application.
pub const KEY_BYTES: i64 = 2_600;
/// Widest column on average, in bytes, whose type has no bound: a state, a name, an address of mail.
pub const UNBOUNDED_AVERAGE: f64 = 64.0;
/// Longest sampled value of such a column: five times of it still fit. ANALYZE samples 30,000 rows by default and keeps
/// no value over 1,024 bytes, so the average is asked for too.
pub const UNBOUNDED_SAMPLED: i64 = 500;
/// Oldest transaction of others that a build may have to wait for, in seconds: CREATE INDEX CONCURRENTLY waits for old
/// snapshots on any table of the database.
pub const OLDEST_TRANSACTION_SECONDS: f64 = 30.0;
/// Share of the connection limit above which no Job is sent: it might not get in.
pub const SESSIONS_SHARE: f64 = 0.9;
/// Share of the connection limit that may run a statement: beyond, a build would only add to a collapse. A missing index
/// itself drives sessions up, hence far above what is healthy.
pub const ACTIVE_SHARE: f64 = 0.8;
/// Largest replica lag in bytes (256 MiB, 16 WAL segments): a build writes WAL that the replica has to replay.
pub const REPLICA_LAG_BYTES: f64 = (256 << 20) as f64;

/// Prefix of the indexes that dbmedic builds: an invalid one of these is removed by the executor before it builds.
const OWN_PREFIX: &str = "dbmedic_";

/// One part of the rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// What was found and what is allowed.
    pub reason: String,
}

/// Checks every part of the rule; the index is safe to build when all hold.
pub fn checks(candidate: &IndexCandidate, table: &TableFacts, load: &LoadFacts) -> Vec<Check> {
    vec![
        size(candidate),
        width(candidate, table),
        role(load),
        connections(load),
        activity(load),
        locks(table),
        transactions(load),
        disk(candidate, load),
        replica(load),
        build(load),
        twin(candidate, table),
    ]
}

/// Whether all parts of the rule hold.
pub fn is_safe(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.holds)
}

fn check(name: &'static str, holds: bool, reason: String) -> Check {
    Check { name, holds, reason }
}

fn size(candidate: &IndexCandidate) -> Check {
    let holds = candidate.table_bytes <= TABLE_BYTES;
    check(
        "size",
        holds,
        format!("the table has {} MiB, at most {} are allowed", mib(candidate.table_bytes), mib(TABLE_BYTES)),
    )
}

fn role(load: &LoadFacts) -> Check {
    let found = if load.in_recovery { "a replica, which cannot build an index" } else { "the primary" };
    check("role", !load.in_recovery, format!("the server is {found}"))
}

fn connections(load: &LoadFacts) -> Check {
    let holds = (load.sessions as f64) < SESSIONS_SHARE * load.connection_limit as f64;
    let allowed = SESSIONS_SHARE * 100.0;
    let (used, limit) = (load.sessions, load.connection_limit);
    check("connections", holds, format!("{used} of {limit} connections are used, less than {allowed:.0} % are allowed"))
}

fn activity(load: &LoadFacts) -> Check {
    let (active, limit) = (load.active_sessions, load.connection_limit);
    let holds = (active as f64) < ACTIVE_SHARE * limit as f64;
    let allowed = ACTIVE_SHARE * 100.0;
    check("load", holds, format!("{active} of {limit} connections are active, less than {allowed:.0} % are allowed"))
}

fn locks(table: &TableFacts) -> Check {
    let found = table.strong_locks;
    check("locks", found == 0, format!("{found} locks on the table are strong or waited for, none is allowed"))
}

/// Columns whose type has no bound count by what was sampled; what was not sampled may be wider, which is said.
fn width(candidate: &IndexCandidate, table: &TableFacts) -> Check {
    let mut bytes = 0;
    let mut unbounded = Vec::new();
    for name in &candidate.columns {
        let shown = printable(name, 63);
        let Some(column) = table.column(name) else {
            return check("width", false, format!("the type of column {shown} is not known"));
        };
        if let Some(longest) = column.longest_bytes.filter(|longest| *longest <= KEY_BYTES) {
            bytes += longest;
            continue;
        }
        let of = printable(&column.type_name, 63);
        let (Some(average), Some(longest)) = (column.average_width, column.longest_sampled) else {
            let reason = format!(
                "values of column {shown} ({of}) may be wider than an index entry, and the statistics do not show how wide \
                 they are: with the index, writing a wide one fails"
            );
            return check("width", false, reason);
        };
        if average > UNBOUNDED_AVERAGE || longest > UNBOUNDED_SAMPLED {
            let reason = format!(
                "values of column {shown} ({of}) may be wider than an index entry: on average {average:.0} bytes, the longest \
                 sampled {longest}; at most {UNBOUNDED_AVERAGE:.0} and {UNBOUNDED_SAMPLED} are allowed, since with the \
                 index, writing a wide one fails"
            );
            return check("width", false, reason);
        }
        bytes += longest;
        unbounded.push(format!("{shown} (longest sampled: {longest} bytes)"));
    }
    let mut reason = format!("the key has at most {bytes} bytes, at most {KEY_BYTES} are allowed");
    if !unbounded.is_empty() {
        let list = printable(&unbounded.join(", "), 300);
        reason =
            format!("{reason}; not bounded by its type: {list}: a write of more than 2,704 bytes there would fail");
    }
    check("width", bytes <= KEY_BYTES, reason)
}

fn transactions(load: &LoadFacts) -> Check {
    let allowed = OLDEST_TRANSACTION_SECONDS;
    match load.oldest_transaction_seconds {
        None => check("transactions", true, "no other transaction is open".into()),
        Some(age) => {
            let owner = match load.oldest_transaction_pid {
                Some(0) => " (prepared)".to_owned(),
                Some(pid) => format!(" (pid {pid})"),
                None => String::new(),
            };
            let reason =
                format!("the oldest transaction{owner} is open for {age:.0} s, at most {allowed:.0} s are allowed");
            check("transactions", age <= allowed, reason)
        }
    }
}

fn disk(candidate: &IndexCandidate, load: &LoadFacts) -> Check {
    let index = candidate.size_bytes;
    let estimate = mib(index);
    let share = (INDEX_SHARE_BLIND * load.database_bytes as f64) as i64;
    let allowed = share.clamp(INDEX_BYTES_SMALL, INDEX_BYTES_BLIND);
    let reason = format!(
        "free disk space is not known: an index of {estimate} MiB, at most {} are allowed ({:.0} % of the database's {} MiB, \
         within {} and {})",
        mib(allowed),
        INDEX_SHARE_BLIND * 100.0,
        mib(load.database_bytes),
        mib(INDEX_BYTES_SMALL),
        mib(INDEX_BYTES_BLIND)
    );
    check("disk", index <= allowed, reason)
}

fn replica(load: &LoadFacts) -> Check {
    if load.idle_slots > 0 {
        let reason = format!(
            "{} replication slots keep WAL and nobody reads from them: what a build writes would stay on disk",
            load.idle_slots
        );
        return check("replica", false, reason);
    }
    let allowed = REPLICA_LAG_BYTES / f64::from(1 << 20);
    match load.replica_lag_bytes {
        None => check("replica", true, "no replica is connected, and no slot waits for one".into()),
        Some(lag) => {
            let found = lag / f64::from(1 << 20);
            let reason = format!("the slowest replica lags by {found:.0} MiB, at most {allowed:.0} are allowed");
            check("replica", lag <= REPLICA_LAG_BYTES, reason)
        }
    }
}

fn build(load: &LoadFacts) -> Check {
    let found =
        if load.build_running { "another index is being built: one at a time" } else { "no index is being built" };
    check("build", !load.build_running, found.into())
}

fn twin(candidate: &IndexCandidate, table: &TableFacts) -> Check {
    let twin = table.indexes.iter().find(|index| {
        !index.valid
            && !index.name.starts_with(OWN_PREFIX)
            && index.columns.iter().map(Option::as_deref).eq(candidate.columns.iter().map(|name| Some(name.as_str())))
    });
    let reason = twin.map(|index| {
        let name = printable(&index.name, 63);
        format!("index {name} on the same columns is invalid and not ours: a person has to drop it")
    });
    let none = || "no invalid index on these columns that someone else made".into();
    check("twin", twin.is_none(), reason.unwrap_or_else(none))
}

fn mib(bytes: i64) -> i64 {
    // Rounded up: a small index is not one of 0 MiB.
    (bytes.max(0) + (1 << 20) - 1) >> 20
}
