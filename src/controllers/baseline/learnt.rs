//! What was learnt of a metric, as its Baseline shows it. Pure.

use crate::api::{Decimal, MetricStatus, PatternStatus, Statistics, ValidationStatus};
use crate::detect::FieldError;
use crate::engine::Learnt;
use crate::learn::{CONFIDENCE_SHOWN, Held, Pattern, PatternKind, Validation};

pub fn metric(learnt: &Learnt) -> MetricStatus {
    let statistics = &learnt.statistics;
    MetricStatus {
        name: learnt.metric.clone(),
        unit: learnt.unit.clone(),
        ready: learnt.ready,
        days: (learnt.days * 10.0).floor() / 10.0,
        confidence: (learnt.confidence * 100.0).floor() / 100.0,
        samples: i64::try_from(statistics.samples).unwrap_or(i64::MAX),
        mean: short(statistics.mean),
        median: short(statistics.median),
        standard_deviation: short(statistics.standard_deviation),
        p95: short(statistics.p95),
        p99: short(statistics.p99),
        minimum: short(statistics.minimum),
        maximum: short(statistics.maximum),
        lower: short(statistics.lower),
        upper: short(statistics.upper),
        patterns: learnt.findings.patterns.iter().map(pattern).collect(),
        validation: learnt.findings.validation.as_ref().map(validation),
    }
}

/// The share of normal life that the bounds shown hold; `None`: those of three sigma.
///
/// # Errors
/// [`FieldError`] for what is no such share.
pub fn confidence_shown(statistics: &Statistics) -> Result<Option<f64>, FieldError> {
    let allowed = || {
        let (least, most) = (CONFIDENCE_SHOWN.start(), CONFIDENCE_SHOWN.end());
        format!("a share between \"{least}\" and \"{most}\", such as \"0.95\"")
    };
    let share = |written: &Decimal| match written.resolve() {
        Ok((share, "")) if CONFIDENCE_SHOWN.contains(&share) => Ok(share),
        _ => Err(FieldError::new("statistics.confidence", written, allowed())),
    };
    statistics.confidence.as_ref().map(share).transpose()
}

fn pattern(pattern: &Pattern) -> PatternStatus {
    let kind = match pattern.kind {
        PatternKind::DailyCycle => "DailyCycle",
        PatternKind::WeeklyCycle => "WeeklyCycle",
        PatternKind::MonthlyBatch => "MonthlyBatch",
        PatternKind::BriefSpikes => "BriefSpikes",
    };
    PatternStatus {
        kind: kind.to_owned(),
        when: pattern.when.clone(),
        strength: short(pattern.strength),
        message: pattern.sentence.clone(),
    }
}

fn validation(validation: &Validation) -> ValidationStatus {
    let verdict = match validation.held {
        Held::Yes => "Held",
        Held::TooEarly => "TooEarly",
        Held::Moved => "Moved",
        Held::TooNarrow => "TooNarrow",
        Held::TooWide => "TooWide",
    };
    let [hundred, thousand] = validation.rates;
    ValidationStatus {
        verdict: verdict.to_owned(),
        days: tenths(validation.days),
        coverage: short(validation.coverage),
        once_in_hundred: short(hundred),
        once_in_thousand: short(thousand),
        bias_sigmas: tenths(validation.bias.last().copied().unwrap_or(0.0)),
        message: validation.sentence(),
    }
}

fn tenths(value: f64) -> f64 {
    // Never a negative zero.
    (value * 10.0).round() / 10.0 + 0.0
}

/// Four significant digits: what a person reads, and no write for a change in the fifth.
pub fn short(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    if digits > 12 {
        return 0.0;
    }
    format!("{value:.*}", usize::try_from(digits).unwrap_or(0)).parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_bounds_hold_is_one_that_weeks_of_values_can_tell() {
        let shown = |written: serde_json::Value| {
            let statistics: Statistics = serde_json::from_value(serde_json::json!({"confidence": written})).unwrap();
            confidence_shown(&statistics).map_err(|error| error.to_string())
        };
        assert_eq!(shown(serde_json::Value::Null), Ok(None));
        assert_eq!(shown(serde_json::json!("0.95")), Ok(Some(0.95)));
        assert_eq!(shown(serde_json::json!("0.9999")), Ok(Some(0.9999)));
        for wrong in [serde_json::json!(1), serde_json::json!("0.49"), serde_json::json!("95%"), serde_json::json!("x")]
        {
            let said = shown(wrong).expect_err("no such share");
            assert!(said.starts_with("statistics.confidence: found") && said.contains("0.9999"), "{said}");
        }
    }
}
