//! Whether a change helped. Missing data is never success; too little of it is said to be too little.

use crate::api::{Measured, Verification, VerificationStatus};
use crate::measure::StatementFigures;
use crate::stats;

/// Executions of the targeted statements from which their mean alone is believed.
const ENOUGH_CALLS: f64 = 30.0;
/// Consecutive samples that are believed without so many executions.
const ENOUGH_SAMPLES: usize = 3;
/// Share above the figure before the change from which the change made things worse.
const WORSE: f64 = 1.2;
/// Share of the figure before the change down to which a smaller one is chance, and no evidence.
const BETTER: f64 = 0.8;
/// The same where the statements alone speak for a change: on a server that became less busy every statement takes half the
/// time, and a plan with the right index a tenth or less.
const FAR_BETTER: f64 = 0.2;
/// Expected intervals without a sample from which two samples are no neighbours.
const GAP: i64 = 2;

/// What has been measured since the change.
#[derive(Clone, Copy, Debug)]
pub struct Measurement<'a> {
    /// Now, ms since the Unix epoch.
    pub now_ms: i64,
    /// End of the change, ms since the Unix epoch.
    pub applied_ms: i64,
    /// Time and value of the metric, oldest first; not finite where there was none.
    pub samples: &'a [(i64, f32)],
    /// The targeted statements since [`statements_from_ms`], when they could be read.
    pub statements: Option<StatementFigures>,
}

/// What follows.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Verdict {
    /// Too early to say.
    Pending {
        /// When the time is up, ms since the Unix epoch.
        until_ms: i64,
    },
    /// Back inside the band and better than before, by a margin that is no chance.
    Succeeded,
    /// The metric is more than 20 % worse than before: to be undone at once.
    Worse,
    /// The targeted statements themselves are more than 20 % slower than before: to be undone at once.
    StatementsWorse,
    /// Not back in time: to be undone.
    NotBack,
    /// The time is up, and there is too little data to tell.
    Unverified,
}

/// From when on the targeted statements speak of the change, ms since the Unix epoch.
///
/// Executions that began before it end after it and carry their whole time: they are left to end first.
pub fn statements_from_ms(verification: &Verification, applied_ms: i64) -> i64 {
    let before_ms = verification.statements_before_ms.filter(|before| before.is_finite()).unwrap_or(0.0);
    applied_ms.saturating_add(before_ms.max(0.0) as i64)
}

/// Judges a change.
///
/// Succeeded: the newest sample is inside the band and better than before, and there is evidence that is no chance:
/// - with targeted statements: their mean is at most 80 % of before, and either they ran at least 30 times or the last
///   three samples are all inside;
/// - without: the last three samples are all inside, and better than before by 20 % at least.
///
/// Worse: the last three samples after the last execution that began before the change are more than 20 % worse than
/// before. `StatementsWorse`: the mean of at least 30 executions is. Samples in a row are neighbours: a gap of more than
/// two intervals ends the row.
///
/// Without a band, which a detector may not have for single values: succeeded when the targeted statements ran at least
/// 30 times, and their mean is at most a fifth of before.
///
/// When the time is up: `Unverified` without a band, with fewer than three samples outside it, when the targeted
/// statements were never executed or could not be read, when the metric is back without evidence, or when at least 30
/// executions of the targeted statements took at most a fifth of before, but the metric is not back: what helped is not
/// undone because the load has changed since the band was taken. Else `NotBack`.
pub fn judge(verification: &Verification, measurement: &Measurement<'_>) -> (Verdict, VerificationStatus) {
    let samples: Vec<(i64, f64)> = measurement
        .samples
        .iter()
        .filter(|(at, _)| *at > measurement.applied_ms)
        .map(|(at, value)| (*at, f64::from(*value)))
        .collect();
    let finite: Vec<f64> = samples.iter().map(|(_, value)| *value).filter(|value| value.is_finite()).collect();
    // The first sample speaks of a time that began before the change: it is the figure only while it is the only one.
    let after = &finite[usize::from(finite.len() > 1)..];
    let statements = measurement.statements.filter(|figures| figures.calls >= 1.0 && figures.mean_ms.is_finite());
    let (verdict, text) = verdict(verification, measurement, &samples, finite.len(), statements);
    let status = VerificationStatus {
        before: Measured {
            value: Some(verification.before),
            statements_ms: verification.statements_before_ms,
            calls: None,
        },
        after: Measured {
            value: stats::middle(&mut after.to_vec()),
            statements_ms: statements.map(|figures| figures.mean_ms),
            calls: statements.map(|figures| figures.calls as i64),
        },
        verdict: text,
    };
    (verdict, status)
}

fn verdict(
    verification: &Verification,
    measurement: &Measurement<'_>,
    samples: &[(i64, f64)],
    values: usize,
    statements: Option<StatementFigures>,
) -> (Verdict, String) {
    let metric = &verification.metric;
    let before = verification.before;
    let good = |value: f64| has_band(verification) && inside(verification, value) && better(verification, value);
    let back = row(samples, good);
    let wants_statements = !verification.query_ids.is_empty();
    let many_calls = statements.is_some_and(|figures| figures.calls >= ENOUGH_CALLS);
    let clear_row = row(samples, |value| good(value) && clearly_better(verification, value)) >= ENOUGH_SAMPLES;
    // Mean now as a share of the mean before.
    let ratio = statements.zip(verification.statements_before_ms).map(|(now, before_ms)| now.mean_ms / before_ms);
    let evidence = match (wants_statements, statements, ratio) {
        (false, _, _) | (true, Some(_), None) => clear_row,
        (true, None, _) => false,
        (true, Some(_), Some(ratio)) => ratio <= BETTER && (back >= ENOUGH_SAMPLES || many_calls),
    };
    let faster = wants_statements && many_calls && ratio.is_some_and(|ratio| ratio <= FAR_BETTER);
    if faster && !has_band(verification) {
        return (Verdict::Succeeded, format!("the targeted statements are faster than before; {metric} has no band"));
    }
    if back >= 1 && evidence {
        return (Verdict::Succeeded, format!("{metric} is back inside its band and better than before ({before})"));
    }
    let from_ms = statements_from_ms(verification, measurement.applied_ms);
    let later: Vec<(i64, f64)> = samples.iter().copied().filter(|(at, _)| *at > from_ms).collect();
    if row(&later, |value| worse(verification, value)) >= ENOUGH_SAMPLES {
        return (Verdict::Worse, format!("{metric} is more than 20 % worse than before ({before})"));
    }
    if let (Some(figures), Some(before_ms)) = (statements, verification.statements_before_ms)
        && wants_statements
        && many_calls
        && figures.mean_ms > before_ms * WORSE
    {
        return (
            Verdict::StatementsWorse,
            format!(
                "the targeted statements take {:.1} ms: more than 20 % worse than before ({before_ms:.1} ms)",
                figures.mean_ms
            ),
        );
    }
    let deadline = measurement.applied_ms.saturating_add(i64::from(verification.timeout_seconds) * 1000);
    if measurement.now_ms < deadline {
        return (Verdict::Pending { until_ms: deadline }, format!("waiting for {metric} to come back inside its band"));
    }
    let unverified = |text: &str| (Verdict::Unverified, format!("{text}: it cannot be told whether the change helped"));
    if !has_band(verification) {
        return unverified(&format!("{metric} has no band"));
    }
    if values == 0 {
        return unverified(&format!("there is no value of {metric} since the change"));
    }
    if wants_statements && statements.is_none() {
        return unverified("the targeted statements were not executed since the change, or could not be read");
    }
    if many_calls && wants_statements && ratio.is_some_and(|ratio| ratio >= 1.0) {
        return (Verdict::NotBack, "the targeted statements are not faster than before".to_owned());
    }
    if values < ENOUGH_SAMPLES {
        return unverified(&format!("there are only {values} values of {metric} since the change"));
    }
    if back >= ENOUGH_SAMPLES {
        return unverified(&format!(
            "{metric} is back inside its band, but what was measured is less than 20 % better"
        ));
    }
    if back >= 1 {
        return unverified(&format!("{metric} is back inside its band, but for too few values in a row"));
    }
    if faster {
        return unverified(&format!(
            "the targeted statements are faster than before, but {metric} is not back inside its band"
        ));
    }
    let seconds = verification.timeout_seconds;
    (
        Verdict::NotBack,
        format!("{metric} was not back inside its band and better than before ({before}) within {seconds} s"),
    )
}

/// How many of the newest samples are so, without a gap between them: an absent value is never so, and ends the row.
fn row(samples: &[(i64, f64)], is_so: impl Fn(f64) -> bool) -> usize {
    let mut spacings: Vec<i64> = samples.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    spacings.sort_unstable();
    // The lower one of two middle spacings: a gap must not make itself usual.
    let longest = spacings.get(spacings.len().saturating_sub(1) / 2).map_or(i64::MAX, |usual| usual * GAP);
    let mut count = 0;
    let mut next_at = None;
    for (at, value) in samples.iter().rev() {
        if !is_so(*value) || next_at.is_some_and(|next| next - at > longest) {
            break;
        }
        count += 1;
        next_at = Some(*at);
    }
    count
}

fn has_band(verification: &Verification) -> bool {
    verification.lower.is_some() || verification.upper.is_some()
}

fn inside(verification: &Verification, value: f64) -> bool {
    verification.lower.is_none_or(|lower| value >= lower) && verification.upper.is_none_or(|upper| value <= upper)
}

/// Which side of the band the value was on before the change.
fn was_below(verification: &Verification) -> bool {
    verification.lower.is_some_and(|lower| verification.before < lower)
}

fn better(verification: &Verification, value: f64) -> bool {
    if was_below(verification) { value > verification.before } else { value < verification.before }
}

fn clearly_better(verification: &Verification, value: f64) -> bool {
    let margin = verification.before.abs() * (1.0 - BETTER);
    if was_below(verification) { value >= verification.before + margin } else { value <= verification.before - margin }
}

fn worse(verification: &Verification, value: f64) -> bool {
    if inside(verification, value) {
        return false;
    }
    let margin = verification.before.abs() * (WORSE - 1.0);
    if was_below(verification) { value < verification.before - margin } else { value > verification.before + margin }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verification(query_ids: &[&str]) -> Verification {
        Verification {
            metric: "response_time".into(),
            before: 100.0,
            lower: Some(0.0),
            upper: Some(10.0),
            query_ids: query_ids.iter().map(|id| (*id).to_owned()).collect(),
            statements_before_ms: (!query_ids.is_empty()).then_some(100.0),
            timeout_seconds: 300,
        }
    }

    fn judged(verification: &Verification, values: &[f32], statements: Option<(f64, f64)>, now_s: i64) -> Verdict {
        let samples: Vec<(i64, f32)> = (1_i64..).map(|second| second * 1000).zip(values.iter().copied()).collect();
        let statements = statements.map(|(calls, mean_ms)| StatementFigures { calls, mean_ms });
        judge(verification, &Measurement { now_ms: now_s * 1000, applied_ms: 0, samples: &samples, statements }).0
    }

    const PENDING: Verdict = Verdict::Pending { until_ms: 300_000 };

    #[test]
    fn three_samples_inside_the_band_are_success() {
        assert_eq!(judged(&verification(&[]), &[90.0, 5.0, 5.0], None, 10), PENDING);
        assert_eq!(judged(&verification(&[]), &[90.0, 5.0, 5.0, 5.0], None, 10), Verdict::Succeeded);
    }

    #[test]
    fn one_sample_is_enough_when_the_targeted_statements_ran_often() {
        let targeted = verification(&["1"]);
        assert_eq!(judged(&targeted, &[5.0], Some((30.0, 1.0)), 10), Verdict::Succeeded);
        assert_eq!(judged(&targeted, &[5.0], Some((29.0, 1.0)), 10), PENDING);
        assert_eq!(judged(&targeted, &[5.0, 5.0, 5.0], Some((2.0, 1.0)), 10), Verdict::Succeeded);
        assert_eq!(judged(&targeted, &[5.0, 5.0, 5.0], Some((30.0, 100.0)), 10), PENDING);
    }

    #[test]
    fn the_figure_after_the_change_leaves_out_the_sample_that_began_before_it() {
        let figure = |values: &[f32]| {
            let samples: Vec<(i64, f32)> = (1_i64..).map(|second| second * 1000).zip(values.iter().copied()).collect();
            let measurement = Measurement { now_ms: 10_000, applied_ms: 0, samples: &samples, statements: None };
            judge(&verification(&[]), &measurement).1.after.value
        };
        assert_eq!(figure(&[90.0, 5.0]), Some(5.0));
        assert_eq!(figure(&[90.0, f32::NAN, 6.0, 4.0]), Some(5.0));
        assert_eq!(figure(&[90.0]), Some(90.0));
        assert_eq!(figure(&[]), None);
    }

    fn judged_at(verification: &Verification, samples: &[(i64, f32)], statements: Option<(f64, f64)>) -> Verdict {
        let statements = statements.map(|(calls, mean_ms)| StatementFigures { calls, mean_ms });
        judge(verification, &Measurement { now_ms: 200_000, applied_ms: 0, samples, statements }).0
    }

    #[test]
    fn a_gap_breaks_the_row_of_samples() {
        // Where rounds themselves are missing only the times say so.
        let gap = [(1000, 90.0), (2000, 90.0), (3000, 5.0), (4000, 5.0), (9000, 5.0)];
        assert_eq!(judged_at(&verification(&[]), &gap, None), PENDING);
        let absent = [(1000, 90.0), (2000, 5.0), (3000, 5.0), (4000, f32::NAN), (5000, 5.0)];
        assert_eq!(judged_at(&verification(&[]), &absent, None), PENDING);
        let late = [(1000, 5.0), (2000, 5.0), (3000, 5.0), (4000, 5.0), (6000, 5.0)];
        assert_eq!(judged_at(&verification(&[]), &late, None), Verdict::Succeeded, "one may be missing");
        let slow = [(20_000, 90.0), (40_000, 5.0), (60_000, 5.0), (80_000, 5.0)];
        assert_eq!(judged_at(&verification(&[]), &slow, None), Verdict::Succeeded, "the interval is the usual one");
        let worse = [(1000, 90.0), (2000, 90.0), (3000, 130.0), (4000, 130.0), (99_000, 130.0)];
        assert_eq!(judged_at(&verification(&[]), &worse, None), PENDING);
    }

    #[test]
    fn a_little_better_is_chance_and_no_success() {
        let near = Verification { before: 11.0, upper: Some(10.0), ..verification(&[]) };
        assert_eq!(judged(&near, &[9.9; 9], None, 10), PENDING);
        assert_eq!(judged(&near, &[9.9; 9], None, 300), Verdict::Unverified);
        assert_eq!(judged(&near, &[8.7; 9], None, 10), Verdict::Succeeded);
        // Statements that are a shade faster prove nothing either, however often they ran.
        let targeted = verification(&["1"]);
        assert_eq!(judged(&targeted, &[5.0; 9], Some((500.0, 99.0)), 10), PENDING);
        assert_eq!(judged(&targeted, &[5.0; 9], Some((500.0, 99.0)), 300), Verdict::Unverified);
        assert_eq!(judged(&targeted, &[5.0; 9], Some((500.0, 101.0)), 300), Verdict::NotBack);
        assert_eq!(judged(&targeted, &[5.0; 9], Some((500.0, 80.0)), 10), Verdict::Succeeded);
        // Without their figure from before, the metric has to be clearly better.
        let unknown = Verification { statements_before_ms: None, ..verification(&["1"]) };
        assert_eq!(judged(&unknown, &[5.0; 9], Some((500.0, 1.0)), 10), Verdict::Succeeded);
        let unknown = Verification { before: 11.0, ..unknown };
        assert_eq!(judged(&unknown, &[9.9; 9], Some((500.0, 1.0)), 10), PENDING);
    }

    #[test]
    fn executions_that_began_before_the_change_do_not_make_it_worse() {
        // Statements of 60 s: what ends in the first minute has waited for the old plan.
        let slow = Verification { statements_before_ms: Some(60_000.0), ..verification(&["1"]) };
        assert_eq!(statements_from_ms(&slow, 1_000), 61_000);
        assert_eq!(statements_from_ms(&Verification { statements_before_ms: None, ..slow.clone() }, 1_000), 1_000);
        let backlog: Vec<(i64, f32)> = (1..60).map(|second| (second * 1000, 150.0)).collect();
        assert_eq!(judged_at(&slow, &backlog, None), PENDING);
        let after: Vec<(i64, f32)> = (1..65).map(|second| (second * 1000, 150.0)).collect();
        assert_eq!(judged_at(&slow, &after, None), Verdict::Worse);
    }

    #[test]
    fn missing_data_is_never_success_and_never_a_reason_to_undo() {
        assert_eq!(judged(&verification(&[]), &[], None, 301), Verdict::Unverified);
        assert_eq!(judged(&verification(&[]), &[f32::NAN; 9], None, 301), Verdict::Unverified);
        assert_eq!(judged(&verification(&["1"]), &[5.0; 9], None, 301), Verdict::Unverified);
        assert_eq!(judged(&verification(&["1"]), &[5.0; 9], Some((0.0, 0.0)), 301), Verdict::Unverified);
        assert_eq!(judged(&verification(&["1"]), &[90.0; 9], Some((0.0, 0.0)), 301), Verdict::Unverified);
        let boundless = Verification { lower: None, upper: None, ..verification(&[]) };
        assert_eq!(judged(&boundless, &[5.0; 9], None, 301), Verdict::Unverified);
    }

    #[test]
    fn what_is_not_back_in_time_is_not_back() {
        assert_eq!(judged(&verification(&[]), &[90.0; 5], None, 299), PENDING);
        assert_eq!(judged(&verification(&[]), &[90.0; 5], None, 300), Verdict::NotBack);
        assert_eq!(judged(&verification(&["1"]), &[90.0; 5], Some((50.0, 99.0)), 300), Verdict::NotBack);
    }

    #[test]
    fn what_made_its_statements_faster_is_not_undone_because_the_metric_is_elsewhere_by_now() {
        // The band of three at night, and the load of nine in the morning.
        let targeted = verification(&["1"]);
        assert_eq!(judged(&targeted, &[20.0; 9], Some((30.0, 5.0)), 10), PENDING);
        assert_eq!(judged(&targeted, &[20.0; 9], Some((30.0, 5.0)), 300), Verdict::Unverified);
        assert_eq!(
            judged(&targeted, &[20.0; 9], Some((29.0, 5.0)), 300),
            Verdict::NotBack,
            "too few executions to say so"
        );
        assert_eq!(
            judged(&targeted, &[20.0; 9], Some((30.0, 45.0)), 300),
            Verdict::NotBack,
            "a server less busy does that"
        );
    }

    #[test]
    fn without_a_band_the_targeted_statements_alone_can_show_that_a_change_helped() {
        let boundless = Verification { lower: None, upper: None, ..verification(&["1"]) };
        assert_eq!(judged(&boundless, &[5.0; 9], Some((30.0, 5.0)), 10), Verdict::Succeeded);
        assert_eq!(judged(&boundless, &[5.0; 9], Some((29.0, 5.0)), 10), PENDING);
        assert_eq!(judged(&boundless, &[5.0; 9], Some((30.0, 45.0)), 300), Verdict::Unverified);
        assert_eq!(judged(&boundless, &[], Some((30.0, 121.0)), 10), Verdict::StatementsWorse);
    }

    #[test]
    fn worse_is_seen_at_once() {
        assert_eq!(judged(&verification(&[]), &[121.0, 121.0], None, 10), PENDING);
        assert_eq!(judged(&verification(&[]), &[121.0; 3], None, 10), Verdict::Worse);
        assert_eq!(judged(&verification(&["1"]), &[], Some((30.0, 121.0)), 10), Verdict::StatementsWorse);
        assert_eq!(judged(&verification(&["1"]), &[], Some((29.0, 121.0)), 10), PENDING);
    }

    #[test]
    fn a_metric_that_was_too_low_has_to_rise() {
        let low = Verification { before: 10.0, lower: Some(50.0), upper: None, ..verification(&[]) };
        assert_eq!(judged(&low, &[60.0; 3], None, 10), Verdict::Succeeded);
        assert_eq!(judged(&low, &[7.0; 3], None, 10), Verdict::Worse);
    }

    #[test]
    fn samples_from_before_the_end_of_the_change_do_not_count() {
        let samples = [(1000, 5.0), (2000, 5.0), (3000, 5.0)];
        let measurement = Measurement { now_ms: 4000, applied_ms: 3000, samples: &samples, statements: None };
        assert!(matches!(judge(&verification(&[]), &measurement).0, Verdict::Pending { .. }));
    }

    proptest! {
        #[test]
        fn success_needs_a_newest_value_inside_the_band_and_better(
            values in proptest::collection::vec(prop_oneof![Just(f32::NAN), 0.0_f32..200.0], 0..12), now in 0_i64..600,
        ) {
            if judged(&verification(&[]), &values, None, now) == Verdict::Succeeded {
                prop_assert!(values.iter().rev().filter(|value| value.is_finite()).take(3).all(|value| *value <= 10.0));
            }
        }
    }
}
