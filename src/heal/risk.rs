//! How dangerous a plan is. The rating is a written rule; the policy may set the level of an action by name.

use std::time::Duration;

use crate::api::{Risk, RiskLevel};

/// Table size from which an index build is no longer low risk.
const SMALL_TABLE_BYTES: i64 = 1 << 30;
/// Longest reason (limit of the kind).
const REASON: usize = 256;

/// What a rating is made from.
#[derive(Clone, Debug, Default)]
pub struct IndexFacts<'a> {
    /// Size of the table in bytes; what is not known counts against the build.
    pub table_bytes: Option<i64>,
    /// Estimated time of the build in seconds.
    pub build_seconds: Option<f64>,
    /// How many of the statements that grew read the table, and their share of all growth, 0 to 1.
    pub statements: Option<(usize, f64)>,
    /// What was found about load and replicas, for people.
    pub surroundings: Vec<&'a str>,
}

/// Rates `add_index`: low if the table is under 1 GiB and the estimated build takes less than the policy's
/// `rollbackTimeout`, else medium. What is not known counts against it. `riskOverrides` are applied when permission is
/// asked for, not here: a plan keeps the level that it was rated.
pub fn add_index(facts: &IndexFacts<'_>, rollback_timeout: Duration) -> Risk {
    let limit = rollback_timeout.as_secs_f64();
    let (table_small, table) = match facts.table_bytes {
        Some(bytes) => (
            bytes < SMALL_TABLE_BYTES,
            format!(
                "the table has {} MiB, {} 1 GiB",
                bytes >> 20,
                if bytes < SMALL_TABLE_BYTES { "under" } else { "at least" }
            ),
        ),
        None => (false, "the size of the table is not known".to_owned()),
    };
    let (build_short, build) = match facts.build_seconds {
        Some(seconds) if seconds.is_finite() => (
            seconds < limit,
            format!(
                "the build is estimated at {seconds:.0} s, {} the rollback timeout of {limit:.0} s",
                if seconds < limit { "under" } else { "not under" }
            ),
        ),
        _ => (false, "the time of the build cannot be estimated".to_owned()),
    };
    let level = if table_small && build_short { RiskLevel::Low } else { RiskLevel::Medium };
    let mut reasons = if table_small { vec![build, table] } else { vec![table, build] };
    reasons.push(match facts.statements {
        Some((count, share)) => {
            format!("{count} of the statements that grew read the table, with {:.0} % of the growth", share * 100.0)
        }
        None => "none of the statements that grew is known to read the table".to_owned(),
    });
    reasons.extend(facts.surroundings.iter().map(|found| (*found).to_owned()));
    reasons.push("it is built concurrently: reads and writes go on".to_owned());
    reasons.push("it can be taken back: DROP INDEX CONCURRENTLY".to_owned());
    reasons.push(match level {
        RiskLevel::Low => "recommendation: build it now; it is measured, and taken back if it does not help".to_owned(),
        _ => "recommendation: a person decides; best built at a quiet time, for it costs reading the whole table"
            .to_owned(),
    });
    let reasons = reasons.iter().map(|reason| reason.chars().take(REASON).collect()).collect();
    Risk { level, reasons }
}

/// Name of a level, as it is written in a policy.
pub fn name(level: RiskLevel) -> &'static str {
    match level {
        RiskLevel::Low => "low",
        RiskLevel::Medium => "medium",
        RiskLevel::High => "high",
        RiskLevel::Critical => "critical",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(300);

    #[test]
    fn a_small_quick_build_is_low_and_everything_else_medium() {
        let level = |table_bytes, build_seconds| {
            add_index(&IndexFacts { table_bytes, build_seconds, ..IndexFacts::default() }, TIMEOUT).level
        };
        assert_eq!(level(Some(1 << 29), Some(20.0)), RiskLevel::Low);
        assert_eq!(level(Some(1 << 30), Some(20.0)), RiskLevel::Medium);
        assert_eq!(level(Some(1 << 29), Some(300.0)), RiskLevel::Medium);
        assert_eq!(level(None, Some(20.0)), RiskLevel::Medium);
        assert_eq!(level(Some(1 << 29), Some(f64::NAN)), RiskLevel::Medium);
    }

    #[test]
    fn a_person_reads_what_is_affected_what_surrounds_it_and_what_is_recommended() {
        let long = "x".repeat(2000);
        let facts = IndexFacts {
            table_bytes: Some(1 << 29),
            build_seconds: Some(4.0),
            statements: Some((2, 0.83)),
            surroundings: vec!["holds: 3 of 100 connections are active", "holds: no replica is connected", &long],
        };
        let reasons = add_index(&facts, TIMEOUT).reasons;
        let has = |part: &str| reasons.iter().any(|reason| reason.contains(part));
        assert!(has("2 of the statements that grew read the table, with 83 % of the growth"), "{reasons:?}");
        assert!(
            has("3 of 100 connections are active")
                && has("no replica is connected")
                && has("recommendation: build it now")
        );
        assert!(reasons.len() <= 16 && reasons.iter().all(|reason| reason.chars().count() <= 256));
        assert!(add_index(&IndexFacts::default(), TIMEOUT).reasons.iter().any(|one| one.contains("a person decides")));
    }
}
