//! How dangerous a plan is. The rating is a written rule; the policy may set the level of an action by name.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::api::{Risk, RiskLevel};

/// Table size from which an index build is no longer low risk.
const SMALL_TABLE_BYTES: i64 = 1 << 30;

/// Rates `add_index`: low if the table is under 1 GiB and the estimated build takes less than the policy's
/// `rollbackTimeout`, else medium. What is not known counts against it.
pub fn add_index(
    table_bytes: Option<i64>,
    build_seconds: Option<f64>,
    rollback_timeout: Duration,
    overrides: &BTreeMap<String, RiskLevel>,
) -> Risk {
    let limit = rollback_timeout.as_secs_f64();
    let (table_small, table) = match table_bytes {
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
    let (build_short, build) = match build_seconds {
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
    reasons.push("it is built concurrently: reads and writes go on".to_owned());
    reasons.push("it can be taken back: DROP INDEX CONCURRENTLY".to_owned());
    overridden("add_index", Risk { level, reasons }, overrides)
}

fn overridden(action: &str, risk: Risk, overrides: &BTreeMap<String, RiskLevel>) -> Risk {
    let Some(level) = overrides.get(action).copied().filter(|level| *level != risk.level) else { return risk };
    let mut reasons =
        vec![format!("set to {} by the policy's riskOverrides (rated {})", name(level), name(risk.level))];
    reasons.extend(risk.reasons);
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
        let level = |bytes, seconds| add_index(bytes, seconds, TIMEOUT, &BTreeMap::new()).level;
        assert_eq!(level(Some(1 << 29), Some(20.0)), RiskLevel::Low);
        assert_eq!(level(Some(1 << 30), Some(20.0)), RiskLevel::Medium);
        assert_eq!(level(Some(1 << 29), Some(300.0)), RiskLevel::Medium);
        assert_eq!(level(None, Some(20.0)), RiskLevel::Medium);
        assert_eq!(level(Some(1 << 29), Some(f64::NAN)), RiskLevel::Medium);
    }

    #[test]
    fn an_override_is_the_first_reason() {
        let overrides = BTreeMap::from([("add_index".to_owned(), RiskLevel::High)]);
        let risk = add_index(Some(1), Some(1.0), TIMEOUT, &overrides);
        assert_eq!(risk.level, RiskLevel::High);
        assert!(risk.reasons[0].contains("riskOverrides (rated low)"), "{:?}", risk.reasons);
    }
}
