//! The written rule for `safe`: whether building an index now endangers the database.

use crate::api::IndexCandidate;

use super::looked::{LoadFacts, TableFacts};
use super::text::printable;

/// Largest table that is indexed without a person, in bytes (10 GiB): beyond, a build runs for tens of minutes.
pub const TABLE_BYTES: i64 = 10 << 30;
/// Largest index (estimate, in bytes) when free disk space is not known (1 GiB).
pub const INDEX_BYTES_BLIND: i64 = 1 << 30;
/// Free disk space that a build needs, as multiple of the estimated index: sort files, the index, and WAL.
pub const DISK_FACTOR: i64 = 3;
/// Oldest transaction of others that a build may have to wait for, in seconds: CREATE INDEX CONCURRENTLY waits for old
/// snapshots on any table of the database.
pub const OLDEST_TRANSACTION_SECONDS: f64 = 30.0;
/// Share of the connection limit above which no Job is sent: it might not get in.
pub const SESSIONS_SHARE: f64 = 0.9;
/// Active sessions per core from which a build would only add to a collapse. A missing index itself drives sessions up,
/// hence far above what is healthy.
pub const ACTIVE_PER_CORE: f64 = 16.0;
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
        role(load),
        connections(load),
        activity(load),
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
    let active = load.active_sessions;
    match load.cores {
        Some(cores) => check(
            "load",
            (active as f64) <= ACTIVE_PER_CORE * cores,
            format!("{active} sessions are active on {cores} cores, at most {ACTIVE_PER_CORE:.0} per core are allowed"),
        ),
        None => check("load", true, format!("{active} sessions are active; the number of cores is not known")),
    }
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
    if let Some(free) = load.free_disk_bytes {
        let needed = index.saturating_mul(DISK_FACTOR);
        let reason =
            format!("{} MiB of disk are free, {} are needed for an index of {estimate}", mib(free), mib(needed));
        return check("disk", free >= needed, reason);
    }
    let allowed = mib(INDEX_BYTES_BLIND);
    let reason = format!("free disk space is not known: an index of {estimate} MiB, at most {allowed} are allowed");
    check("disk", index <= INDEX_BYTES_BLIND, reason)
}

fn replica(load: &LoadFacts) -> Check {
    let allowed = REPLICA_LAG_BYTES / f64::from(1 << 20);
    match load.replica_lag_bytes {
        None => check("replica", true, "no replica is connected".into()),
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
