//! `detect.degradation`: gradually worse from day to day. The last day against the first of some days, the slope, and
//! how steadily it went that way.
//!
//! The days are kept as medians of an hour (of three beyond ten days). Each time one is added, the season that the
//! profile knows is taken out. Needs no profile: without one, whole days are compared, in which a daily season is the same.

use super::rate::{Amount, amount_of};
use super::resolve::milliseconds;
use super::trend::accepted_chance;
use super::units::limit_in_unit;
use super::window::{DAY_MS, Lengths, Stretch, Window, without_season};
use super::{Band, Detect, Evidence, FieldError, MetricSet, Sight};
use crate::api::{AnomalyRuleSpec, Side};
use crate::stats;

const HOUR_MS: i64 = 3_600_000;
/// Days up to which medians are those of one hour.
const HOURLY_DAYS: i64 = 10;
/// Share of a day's medians that it takes for a day to count.
const COVERED: f64 = 0.25;
/// Days since the onset before which it is a bad day and no course.
const PERSISTENT_DAYS: f64 = 3.0;
/// Share of the least change below which what was a degradation is over: a course about that change is one, and not many.
const OVER: f64 = 0.5;
/// Share of the whole change within which a day still counts as before the onset.
const UNCHANGED: f64 = 0.1;

/// Gradually worse from day to day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Degradation {
    /// 1 where worse is above, -1 where it is below.
    sign: f64,
    /// Least change.
    by: Amount,
    /// Days between the first and the last.
    days: usize,
    lengths: Lengths,
    /// In the metric's unit.
    limit: Option<f64>,
    chance: f64,
}

/// What is remembered of one target.
#[derive(Clone, Debug, Default)]
pub struct DegradationMemory {
    window: Window,
    found: Option<Course>,
    /// Whether it got worse by as much as the rule says, and most of that is still there.
    worse: bool,
}

/// How it went over the days.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Course {
    /// Median of the first day.
    then: f64,
    /// Median of the last day.
    now: f64,
    /// Days between them.
    days: f64,
    /// In the metric's unit.
    slope_per_day: f64,
    /// The change in robust standard deviations of the profile; `None` without one.
    sigmas: Option<f64>,
    /// Days since it began to get worse.
    persistence_days: f64,
    /// Share of these on which it got worse.
    worse_share: f64,
    /// Probability that it went that way so steadily by chance.
    chance: f64,
}

impl Detect for Degradation {
    type Memory = DegradationMemory;

    const NAME: &'static str = "degradation";
    const NEEDS_PROFILE: bool = false;
    const NEEDS: &'static str = "values on its first and its last day";
    const TAKES_HOURS: bool = true;

    fn resolve(
        spec: &AnomalyRuleSpec,
        metric: usize,
        metrics: &MetricSet,
    ) -> Option<Result<(usize, Self), FieldError>> {
        let written = spec.detect.degradation.as_ref()?;
        let resolved = || {
            let by = amount_of("detect.degradation.by", &written.by, metric, metrics)?;
            let over = milliseconds("detect.degradation.over", &written.over)?;
            let days = over / DAY_MS;
            if over % DAY_MS != 0 || !(3..=30).contains(&days) {
                return Err(FieldError::new("detect.degradation.over", &written.over.0, "3d to 30d, in whole days"));
            }
            let field = "detect.degradation.limit";
            let limit = match &written.limit {
                Some(limit) => match limit_in_unit(field, limit, metric, metrics)? {
                    (judged, limit) if judged == metric => Some(limit),
                    _ => return Err(FieldError::new(field, limit, "a number in the metric's unit")),
                },
                None => None,
            };
            let stretch_ms = if days <= HOURLY_DAYS { HOUR_MS } else { 3 * HOUR_MS };
            // The first day and the last are both whole.
            let count = usize::try_from((days + 1) * DAY_MS / stretch_ms).unwrap_or(1);
            let lengths = Lengths { stretch_ms, count };
            Ok((metric, Self {
                sign: if written.worse == Side::Above { 1.0 } else { -1.0 },
                by,
                days: usize::try_from(days).unwrap_or(1),
                lengths,
                limit,
                chance: accepted_chance(spec.sensitivity, lengths.span_ms()),
            }))
        };
        Some(resolved())
    }

    fn history(&self) -> Option<i64> {
        Some(self.lengths.span_ms())
    }

    fn take(&self, memory: &mut DegradationMemory, sight: &Sight<'_>) {
        if memory.window.take(&self.lengths, sight.at, sight.value) {
            memory.found = self.judge(&memory.window, sight);
            // While too little is known, as after a gap, it neither begins nor is over.
            if let Some(course) = memory.found {
                let change = self.sign * (course.now - course.then);
                let (by, persists) = (self.by.of(course.then), course.persistence_days >= PERSISTENT_DAYS);
                let begins = change >= by && persists && course.chance < self.chance;
                memory.worse = change > 0.0 && (begins || memory.worse && change >= OVER * by);
            }
        }
    }

    fn resume(&self, memory: &mut DegradationMemory) {
        memory.worse = true;
    }

    fn exceeds(&self, memory: &DegradationMemory, _: &Sight<'_>) -> Option<bool> {
        memory.found.map(|_| memory.worse)
    }

    /// One less the probability that it went that way so steadily by chance.
    fn confidence(&self, memory: &DegradationMemory, _: &Sight<'_>) -> f64 {
        memory.found.map_or(0.0, |course| 1.0 - course.chance)
    }

    /// The first day's level, and the change that is a breach; without the season.
    fn band(&self, memory: &DegradationMemory, _: &Sight<'_>) -> Band {
        let Some(course) = memory.found else { return Band::default() };
        let bound = Some(course.then + self.sign * self.by.of(course.then)).filter(|bound| bound.is_finite());
        let (lower, upper) = if self.sign > 0.0 { (None, bound) } else { (bound, None) };
        Band { centre: Some(course.then), lower, upper }
    }

    fn evidence(&self, memory: &DegradationMemory, sight: &Sight<'_>, metrics: &MetricSet) -> Vec<Evidence> {
        let Some(course) = memory.found else { return Vec::new() };
        let unit = metrics.get(sight.metric).map_or("", |descriptor| descriptor.unit.as_str()).to_owned();
        let change = course.now - course.then;
        let mut evidence = vec![
            Evidence::number(format!("{:.0} days ago", course.days), course.then, unit.clone()),
            Evidence::number("today", course.now, unit.clone()),
        ];
        let relative = 100.0 * change / course.then.abs();
        if relative.is_finite() {
            evidence.push(Evidence::number("change", relative, "%"));
        }
        evidence.push(Evidence::number("slope", course.slope_per_day, format!("{unit}/day")));
        if let Some(sigmas) = course.sigmas {
            evidence.push(Evidence::number("deviation", sigmas, "sigma"));
        }
        evidence.push(Evidence::number("persistence", course.persistence_days, "days"));
        evidence.push(Evidence::number("days on which it got worse", 100.0 * course.worse_share, "%"));
        if let Some(days) = self.days_to_limit(&course) {
            evidence.push(Evidence::number("days to the limit", days, "days"));
        }
        evidence.push(Evidence::number("chance", 100.0 * course.chance, "%"));
        evidence
    }
}

impl Degradation {
    fn days_to_limit(&self, course: &Course) -> Option<f64> {
        let days = (self.limit? - course.now) / course.slope_per_day;
        (days.is_finite() && days >= 0.0 && self.sign * course.slope_per_day > 0.0).then_some(days)
    }

    fn judge(&self, window: &Window, sight: &Sight<'_>) -> Option<Course> {
        let mut stretches = window.stretches(&self.lengths);
        without_season(&mut stretches, sight);
        let days = self.day_medians(&stretches);
        let present: Vec<(f64, f64)> = days.iter().copied().filter(|(_, median)| median.is_finite()).collect();
        let (&(first, then), &(last, now)) = (present.first()?, present.last()?);
        let span = last - first;
        // The last day has to be there, and the first, or the one after it.
        if last < self.days as f64 || span < self.days as f64 - 1.0 || span < 2.0 {
            return None;
        }
        let points = stretches.iter().enumerate().filter(|(_, stretch)| stretch.median.is_finite());
        let points: Vec<(f64, f64)> = points.map(|(index, stretch)| (index as f64, stretch.median)).collect();
        let slope = stats::theil_sen(&points)?.slope;
        let values: Vec<f64> = stretches.iter().map(|stretch| self.sign * stretch.median).collect();
        let chance = stats::chance_of_rise(&values, self.sign * slope);
        let (persistence_days, worse_share) = self.persistence(&present);
        let scale = sight.normal_of(sight.metric).map(|normal| normal.scale).filter(|scale| *scale > 0.0);
        Some(Course {
            then,
            now,
            days: span,
            slope_per_day: slope * DAY_MS as f64 / self.lengths.stretch_ms as f64,
            sigmas: scale.map(|scale| (now - then) / scale),
            persistence_days,
            worse_share,
            chance,
        })
    }

    /// Number and median of each day, from 0; `NaN` where too little of it is there.
    fn day_medians(&self, stretches: &[Stretch]) -> Vec<(f64, f64)> {
        let of_day = usize::try_from(DAY_MS / self.lengths.stretch_ms).unwrap_or(1);
        // The last stretch ends the last day: an incomplete day is the first.
        let days = stretches.rchunks(of_day).enumerate().map(|(age, day)| {
            let mut values: Vec<f32> =
                day.iter().map(|stretch| stretch.median as f32).filter(|median| median.is_finite()).collect();
            let covered = values.len() as f64 >= COVERED * of_day as f64;
            let median = if covered { stats::median(&mut values) } else { None };
            (self.days as f64 - age as f64, median.unwrap_or(f64::NAN))
        });
        let mut days: Vec<(f64, f64)> = days.collect();
        days.reverse();
        days
    }

    /// Days since the last one that was about as good as the first, and the share of the steps since then that went
    /// the worse way.
    fn persistence(&self, days: &[(f64, f64)]) -> (f64, f64) {
        let (Some(&(_, then)), Some(&(last, now))) = (days.first(), days.last()) else { return (0.0, 0.0) };
        let tolerated = UNCHANGED * self.sign * (now - then);
        let good = |(_, median): &(f64, f64)| self.sign * (median - then) <= tolerated;
        let onset = days.iter().rposition(good).unwrap_or(0);
        let steps = days[onset..].windows(2);
        let count = steps.len() as f64;
        let worse = steps.filter(|pair| self.sign * (pair[1].1 - pair[0].1) > 0.0).count() as f64;
        (last - days[onset].0, if count > 0.0 { worse / count } else { 0.0 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::testing::{DAY, HOUR, MINUTE, MONDAY, Watch, metrics, noise, spec};
    use super::*;

    fn degradation(written: &serde_json::Value) -> Degradation {
        let spec = spec(json!({"metric": "latency", "degradation": written}));
        Degradation::resolve(&spec, 0, &metrics()).expect("a degradation").expect("valid").1
    }

    fn message(written: &serde_json::Value) -> String {
        let spec = spec(json!({"metric": "latency", "degradation": written}));
        let resolved = Degradation::resolve(&spec, 0, &metrics());
        resolved.and_then(Result::err).map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_week_of_getting_slower_is_told_as_then_and_now_slope_persistence_and_days_to_the_limit() {
        let rule = degradation(&json!({"limit": "100ms"}));
        let mut watch = Watch::new(&rule, 11.9, |_, _| Some(23.0));
        // From 23 ms to 67 ms between the middles of two days, seven days apart.
        let value = |at: i64| {
            let days = (at - MONDAY - DAY / 2) as f64 / DAY as f64;
            23.0 + 44.0 / 7.0 * days + 0.5 * noise(at)
        };
        let end = MONDAY + 8 * DAY;
        let found = watch.feed(MONDAY, end + MINUTE, MINUTE, value);
        assert_eq!(found.last().map(|(_, verdict)| *verdict), Some(Some(true)));
        let evidence = watch.evidence(end, &[0.0]);
        let rounded = |name: &str| {
            let line = evidence.iter().find(|line| line.starts_with(&format!("{name}: "))).expect(name);
            let (_, found) = line.split_once(": ").expect(name);
            let digits = found.find(|character: char| !(character.is_ascii_digit() || "-.".contains(character)));
            let (number, unit) = found.split_at(digits.unwrap_or(found.len()));
            (number.parse::<f64>().expect(name), unit.trim().to_owned())
        };
        for (name, expected, within, unit) in [
            ("7 days ago", 23.0, 0.5, "ms"),
            ("today", 67.0, 0.5, "ms"),
            ("change", 191.0, 3.0, "%"),
            ("slope", 6.3, 0.05, "ms/day"),
            ("deviation", 3.7, 0.05, "sigma"),
            ("persistence", 7.0, 0.0, "days"),
            ("days on which it got worse", 100.0, 0.0, "%"),
            ("days to the limit", 5.25, 0.2, "days"),
        ] {
            let (found, found_unit) = rounded(name);
            assert!((found - expected).abs() <= within && found_unit == unit, "{name}: {found} {found_unit}");
        }
        assert!(watch.confidence(end, &[0.0]) > 0.92);
    }

    #[test]
    fn what_changed_less_or_the_other_way_is_none() {
        for (slope, expected) in [(0.9, Some(false)), (1.3, Some(true)), (-1.3, Some(false))] {
            let rule = degradation(&json!({}));
            let mut watch = Watch::new(&rule, 1.0, |_, _| None);
            let value = |at: i64| 25.0 + slope * (at - MONDAY) as f64 / DAY as f64 + noise(at);
            let found = watch.feed(MONDAY, MONDAY + 8 * DAY + HOUR, 10 * MINUTE, value);
            assert_eq!(found.last().map(|(_, verdict)| *verdict), Some(expected), "{slope}");
        }
        let rule = degradation(&json!({"worse": "below", "by": "8ms", "over": "14d"}));
        let mut watch = Watch::new(&rule, 1.0, |_, _| None);
        let value = |at: i64| 25.0 - 0.7 * (at - MONDAY) as f64 / DAY as f64 + noise(at);
        let found = watch.feed(MONDAY, MONDAY + 15 * DAY + 3 * HOUR, 10 * MINUTE, value);
        assert_eq!(found.last().map(|(_, verdict)| *verdict), Some(Some(true)));
    }

    #[test]
    fn a_bad_day_in_a_noisy_week_is_none() {
        let rule = degradation(&json!({}));
        let mut watch = Watch::new(&rule, 1.0, |_, _| None);
        let bad = |at: i64| if (at - MONDAY) / DAY == 7 { 15.0 } else { 0.0 };
        let found =
            watch.feed(MONDAY, MONDAY + 8 * DAY + HOUR, 10 * MINUTE, |at| 25.0 + 10.0 * noise(at / HOUR) + bad(at));
        assert_eq!(found.last().map(|(_, verdict)| *verdict), Some(Some(false)), "{:?}", watch.memory.found);
    }

    #[test]
    fn a_week_that_is_not_there_is_not_judged_and_a_missing_day_in_it_is_passed_over() {
        let rule = degradation(&json!({}));
        let mut watch = Watch::new(&rule, 1.0, |_, _| None);
        let value = |at: i64| 25.0 + 2.0 * (at - MONDAY) as f64 / DAY as f64;
        let found = watch.feed(MONDAY, MONDAY + 6 * DAY, 10 * MINUTE, value);
        assert!(found.iter().all(|(_, verdict)| verdict.is_none()));
        let found = watch.feed(MONDAY + 7 * DAY, MONDAY + 8 * DAY + HOUR, 10 * MINUTE, value);
        assert_eq!(found.last().map(|(_, verdict)| *verdict), Some(Some(true)));
    }

    #[test]
    fn bad_fields_are_named_with_what_is_allowed() {
        for (written, expected) in [
            (json!({"by": "0%"}), "detect.degradation.by: found \"0%\", allowed a number greater than 0 in %"),
            (json!({"by": "-5ms"}), "detect.degradation.by: found \"-5ms\""),
            (json!({"by": "much"}), "detect.degradation.by: found \"much\""),
            (json!({"by": "5GiB"}), "detect.degradation.by: found \"5GiB\", allowed a number, alone (in ms)"),
            (json!({"over": "2d"}), "detect.degradation.over: found \"2d\", allowed 3d to 30d"),
            (json!({"over": "36h"}), "detect.degradation.over: found \"36h\", allowed 3d to 30d, in whole days"),
            (json!({"over": "never"}), "detect.degradation.over: found \"never\""),
            (json!({"limit": "5GiB"}), "detect.degradation.limit: found \"5GiB\""),
        ] {
            let found = message(&written);
            assert!(found.starts_with(expected), "{written}: {found}");
        }
    }

    proptest! {
        #[test]
        fn any_values_are_survived(values in prop::collection::vec(any::<f32>(), 1..250)) {
            let rule = degradation(&json!({"over": "3d", "limit": "5ms"}));
            let mut watch = Watch::new(&rule, 1.0, |_, _| None);
            for (index, value) in values.iter().enumerate() {
                watch.round(MONDAY + index as i64 * 30 * MINUTE, &[*value]);
            }
            let sure = watch.confidence(MONDAY, &[0.0]);
            prop_assert!((0.0..=1.0).contains(&sure), "{sure}");
            watch.evidence(MONDAY, &[0.0]);
        }
    }
}
