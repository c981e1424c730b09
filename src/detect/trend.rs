//! `detect.trend`: a steady rise or fall over a window of time, without the season.
//!
//! The window is kept as 96 medians. Each time one is added, the season that the profile knows is taken out and the
//! slope after Theil and Sen is judged: it has to be faster than the rule's rate, and no chance ([`stats::chance_of_rise`]),
//! for some stretches on end.
//! Needs no profile: without one, the season is left in.

use super::rate::{Per, Rate, rate};
use super::resolve::milliseconds;
use super::window::{DAY_MS, Lengths, Window, without_season};
use super::{Band, Detect, Evidence, FieldError, MetricSet, Sight};
use crate::api::{AnomalyRuleSpec, Direction, Sensitivity};
use crate::stats;

/// Stretches that a window has at most: a slope costs the square of that, some 30 µs.
const STRETCHES: i64 = 96;
/// Shortest stretch: as long as statements are apart by default.
const SHORTEST_MS: i64 = 60_000;
/// Stretches with a value below which there is no verdict.
const FEWEST: usize = 12;
/// Share of the window that values have to span: of less, the rate is guessed.
const SPANNED: f64 = 0.75;
const HOUR_MS: i64 = 3_600_000;

/// Share of the window that a slope has to hold for, as stretches on end: a line that one more value bends is none.
const HELD_SHARE: f64 = 1.0 / 12.0;
/// Looks that a window counts as: each stretch is one, but neighbouring windows share most of their values. On noise
/// from none to 0.9 from one of 96 stretches to the next, a tenth of the accepted chance that holds for a twelfth of the
/// window opens 0.01 to 0.05 times a week of seven windows at an accepted 1 %, and without both 0.7 to 0.9 times.
const LOOKS: f64 = 10.0;

/// The chance that a rule of this sensitivity puts up with, of a slope that is none at a single look. The accepted
/// chance of low 0.1 %, medium 1 %, high 5 % is that of a whole window of a day or more; shorter ones share a day's.
pub(super) fn accepted_chance(sensitivity: Sensitivity, span_ms: i64) -> f64 {
    let of_window = match sensitivity {
        Sensitivity::Low => 0.001,
        Sensitivity::Medium => 0.01,
        Sensitivity::High => 0.05,
    };
    of_window / LOOKS * (span_ms as f64 / DAY_MS as f64).min(1.0)
}

/// A steady rise or fall.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// 1 for a rise, -1 for a fall.
    sign: f64,
    /// The rate that has to be exceeded; `None`: any.
    rate: Option<Rate>,
    lengths: Lengths,
    chance: f64,
}

/// What is remembered of one target.
#[derive(Clone, Debug, Default)]
pub struct TrendMemory {
    window: Window,
    found: Option<Slope>,
    /// Stretches on end that the slope has exceeded the rule.
    held: usize,
}

/// The slope over the window.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slope {
    /// In the metric's unit per ms.
    per_ms: f64,
    /// Level of the line at the window's first value, without the season.
    level: f64,
    /// Level of the line at its last.
    level_now: f64,
    /// Time between them in ms.
    span_ms: f64,
    /// Probability that a slope so steady in the rule's direction is chance.
    chance: f64,
}

impl Detect for Trend {
    type Memory = TrendMemory;

    const NAME: &'static str = "trend";
    const NEEDS_PROFILE: bool = false;
    const NEEDS: &'static str = "values in three quarters of its window";
    const TAKES_HOURS: bool = true;

    fn resolve(
        spec: &AnomalyRuleSpec,
        metric: usize,
        metrics: &MetricSet,
    ) -> Option<Result<(usize, Self), FieldError>> {
        let written = spec.detect.trend.as_ref()?;
        let resolved = || {
            let above = written.above.as_deref();
            let rate = above.map(|text| rate("detect.trend.above", text, metric, metrics)).transpose()?;
            let over = match &written.over {
                Some(text) => milliseconds("detect.trend.over", text)?,
                None => usual_window(rate),
            };
            if !(HOUR_MS..=30 * DAY_MS).contains(&over) {
                let found = written.over.as_ref().map_or("", |text| text.0.as_str());
                return Err(FieldError::new("detect.trend.over", &found, "1h to 30d"));
            }
            let stretch_ms = (over / STRETCHES).max(SHORTEST_MS);
            let count = usize::try_from(over / stretch_ms).unwrap_or(1);
            let lengths = Lengths { stretch_ms, count };
            Ok((metric, Self {
                sign: if written.direction == Direction::Increasing { 1.0 } else { -1.0 },
                rate,
                lengths,
                chance: accepted_chance(spec.sensitivity, lengths.span_ms()),
            }))
        };
        Some(resolved())
    }

    fn history(&self) -> Option<i64> {
        Some(self.lengths.span_ms())
    }

    fn take(&self, memory: &mut TrendMemory, sight: &Sight<'_>) {
        if memory.window.take(&self.lengths, sight.at, sight.value) {
            memory.found = self.judge(&memory.window, sight);
            // What has held for so long is over when a single look would not take it for a trend. While too little is known,
            // as after a gap, it neither holds nor is over.
            let accepted = if self.holds(memory) { LOOKS * self.chance } else { self.chance };
            memory.held = match &memory.found {
                Some(slope) if self.is_beyond(slope, accepted) => memory.held.saturating_add(1),
                Some(_) => 0,
                None => memory.held,
            };
        }
    }

    fn resume(&self, memory: &mut TrendMemory) {
        memory.held = memory.held.max(self.lengths.count);
    }

    fn exceeds(&self, memory: &TrendMemory, _: &Sight<'_>) -> Option<bool> {
        memory.found.map(|_| self.holds(memory))
    }

    /// One less the probability that a slope so steady is chance.
    fn confidence(&self, memory: &TrendMemory, _: &Sight<'_>) -> f64 {
        memory.found.map_or(0.0, |slope| 1.0 - slope.chance)
    }

    /// The level at the window's start, and where the rate leads from there until its end; both without the season.
    fn band(&self, memory: &TrendMemory, _: &Sight<'_>) -> Band {
        let Some(slope) = memory.found else { return Band::default() };
        let bound = slope.level + self.sign * self.least(&slope) * slope.span_ms;
        let bound = Some(bound).filter(|bound| bound.is_finite());
        let (lower, upper) = if self.sign > 0.0 { (None, bound) } else { (bound, None) };
        Band { centre: Some(slope.level), lower, upper }
    }

    fn evidence(&self, memory: &TrendMemory, sight: &Sight<'_>, metrics: &MetricSet) -> Vec<Evidence> {
        let Some(slope) = memory.found else { return Vec::new() };
        let unit = metrics.get(sight.metric).map_or("", |descriptor| descriptor.unit.as_str());
        let per = self.rate.map_or(Per::Hour, |rate| rate.per);
        let amount = slope.per_ms * per.milliseconds();
        let mut evidence = vec![
            Evidence::number("slope", amount, format!("{unit}/{}", per.name())),
            Evidence::number("level at the start", slope.level, unit.to_owned()),
            Evidence::number("level now", slope.level_now, unit.to_owned()),
            Evidence::duration("over", slope.span_ms as i64),
            Evidence::number("chance", 100.0 * slope.chance, "%"),
        ];
        let share = 100.0 * amount / slope.level.abs();
        if share.is_finite() {
            evidence.insert(1, Evidence::number("slope, relative", share, format!("%/{}", per.name())));
        }
        evidence
    }
}

impl Trend {
    fn is_beyond(&self, slope: &Slope, accepted: f64) -> bool {
        self.sign * slope.per_ms > self.least(slope) && slope.chance < accepted
    }

    fn holds(&self, memory: &TrendMemory) -> bool {
        memory.held as f64 >= HELD_SHARE * self.lengths.count as f64
    }

    /// The slope that has to be exceeded, in the metric's unit per ms.
    fn least(&self, slope: &Slope) -> f64 {
        self.rate.map_or(0.0, |rate| rate.amount.of(slope.level) / rate.per.milliseconds())
    }

    fn judge(&self, window: &Window, sight: &Sight<'_>) -> Option<Slope> {
        let mut stretches = window.stretches(&self.lengths);
        without_season(&mut stretches, sight);
        let present = || stretches.iter().filter(|stretch| stretch.median.is_finite());
        let (first, last) = (present().next()?.at, present().next_back()?.at);
        let span_ms = (last - first) as f64;
        if present().count() < FEWEST || span_ms < SPANNED * self.lengths.span_ms() as f64 {
            return None;
        }
        let points: Vec<(f64, f64)> = present().map(|stretch| ((stretch.at - first) as f64, stretch.median)).collect();
        let line = stats::theil_sen(&points)?;
        let values: Vec<f64> = stretches.iter().map(|stretch| self.sign * stretch.median).collect();
        let chance = stats::chance_of_rise(&values, self.sign * line.slope * self.lengths.stretch_ms as f64);
        Some(Slope { per_ms: line.slope, level: line.at(0.0), level_now: line.at(span_ms), span_ms, chance })
    }
}

/// Long enough for a rate to show above the noise, and short enough to tell of it in time.
fn usual_window(rate: Option<Rate>) -> i64 {
    match rate.map(|rate| rate.per) {
        Some(Per::Second | Per::Minute) => HOUR_MS,
        Some(Per::Hour) => 3 * HOUR_MS,
        None => DAY_MS,
        Some(Per::Day) => 7 * DAY_MS,
        Some(Per::Week) => 28 * DAY_MS,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::testing::{DAY, HOUR, MINUTE, MONDAY, Watch, metrics, noise, spec};
    use super::*;
    use crate::learn::Growth;

    fn trend(written: &serde_json::Value) -> Trend {
        let spec = spec(json!({"metric": "latency", "trend": written}));
        Trend::resolve(&spec, 0, &metrics()).expect("a trend").expect("valid").1
    }

    fn message(written: &serde_json::Value) -> String {
        let spec = spec(json!({"metric": "latency", "trend": written}));
        Trend::resolve(&spec, 0, &metrics()).and_then(Result::err).map(|error| error.to_string()).unwrap_or_default()
    }

    /// A working day: more in the afternoon than at night, less at weekends.
    fn season(hour: usize) -> f64 {
        let day = ((hour % 24) as f64 / 24.0 * std::f64::consts::TAU - 2.0).sin();
        100.0 + 30.0 * day - if hour >= 120 { 25.0 } else { 0.0 }
    }

    #[test]
    fn a_leak_of_twelve_percent_an_hour_is_found_and_one_of_eight_is_not() {
        for (percent, expected) in [(12.0, true), (8.0, false)] {
            let rule = trend(&json!({"above": "10%/hour"}));
            let mut watch = Watch::new(&rule, 1.0, |_, _| None);
            let leak = |at: i64| {
                let hours = ((at - MONDAY - DAY) as f64 / HOUR as f64).max(0.0);
                1_200.0 * (1.0 + percent / 100.0 * hours) + 20.0 * noise(at)
            };
            let found = watch.feed(MONDAY + DAY - 4 * HOUR, MONDAY + DAY + 4 * HOUR, 10_000, leak);
            let first = found.iter().find(|(_, verdict)| *verdict == Some(true)).map(|(at, _)| (at - MONDAY - DAY) / MINUTE);
            assert_eq!(first.is_some(), expected, "{percent}");
            assert!(first.is_none_or(|minutes| (30..=200).contains(&minutes)), "{percent}: {first:?} minutes");
        }
    }

    /// Times that a rule opens over noise without a trend, alike by `alike` from one stretch of 15 minutes to the next.
    fn openings(rule: &Trend, alike: f64, days: i64) -> usize {
        let mut watch = Watch::new(rule, 1.0, |_, _| None);
        let (mut state, mut openings, mut was) = (0.0, 0, false);
        for stretch in 0..days * 96 {
            let fresh: f64 = (0..6).map(|part| noise(stretch * 6 + part)).sum();
            state = alike * state + (1.0 - alike * alike).sqrt() * fresh;
            let is = watch.round(MONDAY + stretch * 15 * MINUTE, &[100.0 + state as f32]) == Some(true);
            openings += usize::from(is && !was);
            was = is;
        }
        openings
    }

    #[test]
    fn noise_without_a_trend_opens_at_most_once_in_six_weeks_however_alike_neighbours_are() {
        let rule = trend(&json!({}));
        for alike in [0.0, 0.6, 0.9] {
            let found = openings(&rule, alike, 42);
            assert!(found <= 1, "{alike}: {found}");
        }
    }

    #[test]
    fn without_enough_of_the_window_there_is_no_verdict() {
        let rule = trend(&json!({"over": "6h"}));
        let mut watch = Watch::new(&rule, 1.0, |_, _| None);
        let found = watch.feed(MONDAY, MONDAY + 4 * HOUR, MINUTE, |at| 100.0 + noise(at));
        assert!(found.iter().all(|(_, verdict)| verdict.is_none()));
        let found = watch.feed(MONDAY + 4 * HOUR, MONDAY + 8 * HOUR, MINUTE, |at| 100.0 + noise(at));
        assert_eq!(found.last().map(|(_, verdict)| *verdict), Some(Some(false)));
    }

    #[test]
    fn a_daily_and_weekly_season_is_no_trend() {
        for over in ["6h", "24h", "7d", "14d"] {
            let rule = trend(&json!({"over": over}));
            let mut watch = Watch::new(&rule, 5.0, |_, hour| Some(season(hour)));
            let value = |at: i64| season(crate::learn::hour_of_week(at)) + 5.0 * noise(at);
            let found = watch.feed(MONDAY - 7 * DAY, MONDAY + 9 * DAY, 10 * MINUTE, value);
            let judged = found.iter().filter(|(_, verdict)| verdict.is_some()).count();
            let breached = found.iter().filter(|(_, verdict)| *verdict == Some(true)).count();
            assert!(judged > 100 && breached * 25 < judged, "{over}: {breached} of {judged}");
        }
    }

    #[test]
    fn growth_that_a_profile_has_in_its_hours_is_found_all_the_same() {
        let rule = trend(&json!({}));
        // Ten a day: each hour lies at the level at which it came yesterday.
        let growth = Growth::within_days(10.0);
        let mut watch = Watch::new(&rule, 1.0, move |_, hour| Some(100.0 + growth.at(MONDAY, hour).1));
        let value = |at: i64| 100.0 + 10.0 * (at - MONDAY) as f64 / DAY as f64 + 0.3 * noise(at);
        let found = watch.feed(MONDAY, MONDAY + 2 * DAY, 10 * MINUTE, value);
        assert_eq!(found.last().map(|(_, verdict)| *verdict), Some(Some(false)), "taken for a season");
        watch.profile.growth = growth;
        watch.memory = TrendMemory::default();
        let found = watch.feed(MONDAY, MONDAY + 2 * DAY, 10 * MINUTE, value);
        assert_eq!(found.last().map(|(_, verdict)| *verdict), Some(Some(true)), "{:?}", watch.memory.found);
    }

    #[test]
    fn the_direction_is_that_of_the_rule_and_the_evidence_says_how_fast() {
        let falling = |at: i64| 100.0 - (at - MONDAY) as f64 / HOUR as f64 * 5.0 + noise(at);
        for (direction, expected) in [("increasing", Some(false)), ("decreasing", Some(true))] {
            let rule = trend(&json!({"direction": direction, "above": "3ms/hour", "over": "6h"}));
            let mut watch = Watch::new(&rule, 1.0, |_, _| None);
            let found = watch.feed(MONDAY, MONDAY + 7 * HOUR, MINUTE, falling);
            assert_eq!(found.last().map(|(_, verdict)| *verdict), Some(expected), "{direction}");
            let evidence = watch.evidence(MONDAY + 7 * HOUR, &[0.0]);
            assert!(evidence[0].starts_with("slope: -5.") || evidence[0].starts_with("slope: -4.9"), "{evidence:?}");
            assert!(evidence[0].ends_with("ms/hour"), "{evidence:?}");
            let sure = watch.confidence(MONDAY + 7 * HOUR, &[0.0]);
            assert!(if direction == "decreasing" { sure > 0.99 } else { sure < 0.01 }, "{sure}");
        }
    }

    #[test]
    fn the_window_fits_the_rate() {
        let hours = |written: serde_json::Value| trend(&written).lengths.span_ms() as f64 / HOUR as f64;
        for (written, expected) in [
            (json!({}), 24.0),
            (json!({"above": "1ms/minute"}), 1.0),
            (json!({"above": "10%/hour"}), 3.0),
            (json!({"above": "5ms/day"}), 168.0),
            (json!({"above": "5 %/week"}), 672.0),
            (json!({"above": "10%/hour", "over": "12h"}), 12.0),
        ] {
            assert!((hours(written.clone()) / expected - 1.0).abs() < 0.02, "{written}");
        }
    }

    #[test]
    fn what_is_no_rate_is_refused_with_what_is_one() {
        for above in ["10%", "10%/", "10%/fortnight", "/hour", "-5%/hour", "0ms/day", "5GiB/hour", "x", "", "5ms/day/hour"] {
            let found = message(&json!({"above": above}));
            let expected = format!("detect.trend.above: found {above:?}, allowed a number greater than 0 in % or ms, per");
            assert!(found.starts_with(&expected), "{found}");
        }
        for over in ["30m", "31d", "soon", "0h"] {
            assert!(message(&json!({"over": over})).starts_with(&format!("detect.trend.over: found {over:?}")), "{over}");
        }
    }

    proptest! {
        #[test]
        fn any_values_are_survived(values in prop::collection::vec(any::<f32>(), 1..300)) {
            let rule = trend(&json!({"over": "1h"}));
            let mut watch = Watch::new(&rule, 1.0, |_, _| None);
            for (minute, value) in values.iter().enumerate() {
                let at = MONDAY + minute as i64 * MINUTE;
                watch.round(at, &[*value]);
                let sure = watch.confidence(at, &[*value]);
                prop_assert!((0.0..=1.0).contains(&sure), "{sure}");
            }
            watch.evidence(MONDAY, &[0.0]);
        }
    }
}
