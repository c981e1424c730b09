use proptest::prelude::*;

use super::*;

const STEP: i64 = 300_000;
/// Rows of a week at that step.
const WEEK: usize = 2016;

/// Uniform numbers between 0 and 1 from a seed (SplitMix64).
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal (Box and Muller).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().max(f64::MIN_POSITIVE).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

fn gaussian(rows: usize, seed: u64) -> Vec<f64> {
    let mut noise = Noise(seed);
    (0..rows).map(|_| 100.0 + 5.0 * noise.normal()).collect()
}

/// A daily course with noise.
fn daily(rows: usize, seed: u64) -> Vec<f64> {
    let mut noise = Noise(seed);
    let day = 24.0 * 3_600_000.0 / STEP as f64;
    (0..rows)
        .map(|row| 200.0 + 80.0 * (std::f64::consts::TAU * row as f64 / day).sin() + 5.0 * noise.normal())
        .collect()
}

fn read(values: &[f64]) -> Vec<Reading> {
    read_each(values, STEP)
}

fn read_each(values: &[f64], step: i64) -> Vec<Reading> {
    let mut stream = Stream::new(StreamOptions::default());
    values.iter().zip(0..).map(|(value, row)| stream.sample(row * step, *value)).collect()
}

/// Row of the first anomalous sample at or after `from`, counted from there.
fn found(readings: &[Reading], from: usize) -> Option<usize> {
    readings[from..].iter().position(|reading| reading.anomalous)
}

/// Row at which the first incident begins at or after `from`, counted from there.
fn incident(readings: &[Reading], from: usize) -> Option<usize> {
    (readings[from - 1].incident.is_none()).then(|| readings[from..].iter().position(|row| row.incident.is_some()))?
}

#[test]
fn a_score_is_exceeded_as_often_as_it_says() {
    for series in [gaussian as fn(usize, u64) -> Vec<f64>, daily] {
        let (mut rows, mut beyond) = (0.0, [0.0; 2]);
        for seed in 0..4 {
            for reading in &read(&series(5 * WEEK, seed))[WEEK..] {
                rows += 1.0;
                beyond[0] += f64::from(u8::from(reading.score > 0.99));
                beyond[1] += f64::from(u8::from(reading.score > 0.999));
            }
        }
        let ratios = [beyond[0] / rows / 0.01, beyond[1] / rows / 0.001];
        assert!(ratios.iter().all(|ratio| (0.4..2.0).contains(ratio)), "{ratios:?}");
    }
}

#[test]
fn a_clock_that_is_set_forward_is_no_departure_where_people_live_by_it() {
    const HOUR: i64 = 3_600_000;
    let changed = 28 * 24 * HOUR;
    for seed in 0..3 {
        let mut noise = Noise(seed);
        let clock = |at: i64| if at < changed { at } else { at + HOUR };
        let office = |at: i64| if (9..17).contains(&(clock(at).rem_euclid(24 * HOUR) / HOUR)) { 200.0 } else { 50.0 };
        let samples: Vec<(i64, f64)> =
            (0..5 * WEEK as i64).map(|row| (row * STEP, office(row * STEP) + 5.0 * noise.normal())).collect();
        let incidents = |local: &dyn Fn(i64) -> i64| {
            let mut stream = Stream::new(StreamOptions::default());
            let readings = samples.iter().map(|(at, value)| stream.sample_by_clock(*at, local(*at), *value));
            readings.zip(&samples).filter(|(reading, (at, _))| *at >= changed && reading.incident.is_some()).count()
        };
        assert_eq!(incidents(&clock), 0, "seed {seed}");
        assert!(incidents(&|at| at) > 0, "seed {seed}");
    }
}

#[test]
fn one_absurd_value_does_not_hide_a_fault_of_the_next_days() {
    for absurd in [1e4, 1e6, 1e12, 1e99, -1e6] {
        for seed in 0..3 {
            let clean = daily(5 * WEEK, seed);
            let mut values = clean.clone();
            values[4 * WEEK] = absurd;
            // Twelve deviations, a day and a half later.
            let fault = 4 * WEEK + 432;
            values[fault..fault + 24].iter_mut().for_each(|value| *value += 60.0);
            let readings = read(&values);
            let calm = read(&clean);
            let width = |reading: &Reading| reading.upper - reading.lower;
            let times = width(&readings[4 * WEEK + 50]) / width(&calm[4 * WEEK + 50]);
            assert!(times < 1.5, "{absurd} {seed}: {times}");
            let delay = found(&readings, fault);
            assert!(delay.is_some_and(|rows| rows < 3), "{absurd} {seed}: {delay:?}");
        }
    }
}

#[test]
fn the_first_weekends_of_a_series_are_seldom_an_incident() {
    const MINUTE: i64 = 60_000;
    const DAY: usize = 1440;
    let begun = (0..6).map(|seed| {
        let mut noise = Noise(seed);
        let values: Vec<f64> = (0..21 * DAY)
            .map(|row| {
                let of_day = (std::f64::consts::TAU * (row % DAY) as f64 / DAY as f64).cos();
                let of_week = if row / DAY % 7 < 5 { 1.0 } else { 0.5 };
                1000.0 * of_week * (1.0 - 0.6 * of_day) * (0.06 * noise.normal()).exp()
            })
            .collect();
        let readings = read_each(&values, MINUTE);
        readings.windows(2).filter(|pair| pair[1].incident > pair[0].incident).count()
    });
    let begun: Vec<usize> = begun.collect();
    assert!(begun.iter().sum::<usize>() <= 2, "{begun:?}");
}

#[test]
fn the_band_holds_all_but_one_sample_in_a_thousand() {
    let values = gaussian(6 * WEEK, 9);
    let readings = read(&values);
    let judged = values[WEEK..].iter().zip(&readings[WEEK..]);
    let outside = judged.filter(|(value, reading)| !(reading.lower..=reading.upper).contains(value)).count();
    assert!((1..=25).contains(&outside), "{outside} of {}", 5 * WEEK);
}

#[test]
fn clean_series_give_no_incident() {
    for seed in 0..3 {
        for values in [gaussian(4 * WEEK, seed), daily(4 * WEEK, seed), vec![7.0; 4 * WEEK]] {
            assert!(read(&values).iter().all(|reading| reading.incident.is_none()));
        }
    }
}

#[test]
fn a_spike_a_step_and_a_missing_day_are_found_at_once() {
    let mut spike = gaussian(3 * WEEK, 1);
    spike[2 * WEEK] += 60.0;
    let readings = read(&spike);
    assert_eq!((found(&readings, 2 * WEEK), readings[2 * WEEK].departure), (Some(0), Some(Departure::Spike)));
    assert_eq!(incident(&readings, 2 * WEEK), Some(0));

    let mut step = gaussian(3 * WEEK, 2);
    step[2 * WEEK..].iter_mut().for_each(|value| *value += 15.0);
    let readings = read(&step);
    assert!(incident(&readings, 2 * WEEK).is_some_and(|rows| rows <= 20), "{:?}", incident(&readings, 2 * WEEK));

    let mut missing = daily(3 * WEEK, 3);
    missing[2 * WEEK..2 * WEEK + 288].iter_mut().for_each(|value| *value = 200.0);
    let readings = read(&missing);
    assert!(incident(&readings, 2 * WEEK).is_some_and(|rows| rows <= 24), "{:?}", incident(&readings, 2 * WEEK));
}

#[test]
fn a_lasting_step_is_found_however_long_the_tails_of_single_values_are() {
    for seed in 0..4 {
        let mut noise = Noise(seed);
        // Student's distribution with three degrees of freedom.
        let mut student = || {
            let squares: f64 = (0..3).map(|_| noise.normal().powi(2)).sum();
            noise.normal() / (squares / 3.0).sqrt()
        };
        let mut values: Vec<f64> = (0..5 * WEEK).map(|_| 100.0 + 5.0 * student()).collect();
        let fault = 4 * WEEK + 100;
        values[fault..fault + 72].iter_mut().for_each(|value| *value += 30.0);
        let readings = read(&values);
        let opens = incident(&readings, fault);
        assert!(opens.is_some_and(|rows| rows <= 40), "{seed}: {opens:?}");
        let alarm = found(&readings, fault);
        assert!(alarm.is_some_and(|rows| rows <= 30), "{seed}: {alarm:?}");
        let told = &readings[fault + alarm.unwrap_or(0)];
        assert_eq!(told.departure, Some(Departure::Level), "{seed}");
    }
}

#[test]
fn growth_that_the_course_lags_behind_does_not_last() {
    const DAY: usize = 1440;
    for seed in 0..4 {
        let mut noise = Noise(seed);
        let values: Vec<f64> =
            (0..28 * DAY).map(|row| 1000.0 + 20.0 * row as f64 / DAY as f64 + 5.0 * noise.normal()).collect();
        assert!(read_each(&values, 60_000).iter().all(|reading| reading.incident.is_none()), "{seed}");
    }
}

#[test]
fn twice_the_scatter_is_found_within_hours() {
    let mut values = gaussian(3 * WEEK, 4);
    values[2 * WEEK..].iter_mut().for_each(|value| *value = 100.0 + (*value - 100.0) * 3.0);
    assert!(found(&read(&values), 2 * WEEK).is_some_and(|rows| rows <= 48));
}

#[test]
fn one_departure_is_told_once_and_ends() {
    let mut values = gaussian(3 * WEEK, 5);
    values[2 * WEEK..2 * WEEK + 20].iter_mut().for_each(|value| *value += 50.0);
    let readings = read(&values);
    let told = readings[2 * WEEK..2 * WEEK + 20].iter().filter(|reading| reading.anomalous).count();
    assert!((1..=3).contains(&told), "{told}");
    assert_eq!(readings[2 * WEEK + 10].incident, Some(1));
    assert_eq!(readings.last().and_then(|reading| reading.incident), None);
}

#[test]
fn what_repeats_often_becomes_normal() {
    let mut values = gaussian(8 * WEEK, 6);
    for row in (WEEK..8 * WEEK).step_by(97) {
        values[row] += 60.0;
    }
    let readings = read(&values);
    let late = readings[4 * WEEK..].iter().filter(|reading| reading.anomalous).count();
    assert!(late <= 4, "{late} of {}", 4 * WEEK / 97);
}

#[test]
fn nothing_is_said_of_absent_and_late_values() {
    let mut stream = Stream::new(StreamOptions::default());
    for (row, value) in gaussian(WEEK, 7).into_iter().enumerate() {
        stream.sample(row as i64 * STEP, value);
    }
    let now = WEEK as i64 * STEP;
    let mut untouched = stream.clone();
    for (at, value) in [(now, f64::NAN), (now, f64::INFINITY), (now, -1e300), (now - STEP, 1e6), (0, 0.0)] {
        let reading = stream.sample(at, value);
        assert!(reading.score <= 0.0 && !reading.anomalous && reading.expected.is_nan(), "{at} {value}");
    }
    assert_eq!(stream.sample(now, 100.0), untouched.sample(now, 100.0));
}

#[test]
fn values_that_come_fast_are_judged_by_the_minute() {
    let mut values = gaussian(40_000, 8);
    values[30_000..30_360].iter_mut().for_each(|value| *value += 25.0);
    let readings = read_each(&values, 10_000);
    assert!(readings[..30_000].iter().all(|reading| reading.incident.is_none()));
    assert!(found(&readings, 30_000).is_some_and(|rows| rows <= 12), "{:?}", found(&readings, 30_000));
    assert!(readings[20_000..].iter().all(|reading| reading.expected.is_finite()));
}

#[test]
fn a_spike_that_is_over_with_its_row_is_told_as_that_row() {
    let mut values = gaussian(40_000, 8);
    values[30_001] += 100.0;
    let readings = read_each(&values, 10_000);
    let told: Vec<usize> = (29_000..31_000).filter(|row| readings[*row].anomalous).collect();
    assert_eq!(told, [30_001]);
    let spike = readings[30_001];
    assert!(values[30_001] > spike.upper && spike.score >= DEFAULT_THRESHOLD, "{spike:?}");
}

#[test]
fn values_until_the_next_judgement_have_the_score_of_the_last_and_none_after_a_gap() {
    let mut values = gaussian(40_000, 8);
    values[30_000..].iter_mut().for_each(|value| *value += 50.0);
    let mut stream = Stream::new(StreamOptions::default());
    let mut rows = values.iter().zip(0..).map(|(value, row)| (row * 10_000, *value));
    let opened =
        rows.find_map(|(at, value)| Some(stream.sample(at, value)).filter(|reading| reading.incident.is_some()));
    let opened = opened.unwrap();
    let mut after_a_gap = stream.clone();
    let (at, value) = rows.next().unwrap();
    assert_eq!(stream.sample(at, value), Reading { anomalous: false, ..opened });
    let reading = after_a_gap.sample(at + 3_600_000, value);
    assert!(reading.score <= 0.0 && reading.incident == opened.incident);
}

#[test]
fn a_gap_is_no_departure() {
    let values = daily(4 * WEEK, 10);
    let mut stream = Stream::new(StreamOptions::default());
    for (row, value) in values.iter().enumerate() {
        // Nine hours are missing each Sunday.
        if row % WEEK < WEEK - 108 {
            let reading = stream.sample(row as i64 * STEP, *value);
            assert!(reading.incident.is_none(), "{row}");
        }
    }
}

#[test]
fn the_unit_of_a_metric_does_not_matter() {
    let mut values = gaussian(3 * WEEK, 11);
    values[2 * WEEK] += 60.0;
    let scaled: Vec<f64> = values.iter().map(|value| value * 1024.0).collect();
    let scores = |values: &[f64]| read(values).iter().map(|reading| reading.score).collect::<Vec<_>>();
    let pairs = scores(&values).into_iter().zip(scores(&scaled));
    assert!(pairs.map(|(one, other)| (one - other).abs()).fold(0.0, f64::max) < 1e-6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_values_at_any_times_are_survived(rows in prop::collection::vec((any::<i64>(), any::<f64>()), 0..400)) {
        let mut stream = Stream::new(StreamOptions::default());
        for (at, value) in rows {
            let reading = stream.sample(at, value);
            prop_assert!((0.0..=1.0).contains(&reading.score));
        }
    }

    #[test]
    fn wild_series_keep_finite_scores(
        values in prop::collection::vec(prop_oneof![Just(0.0), Just(5e-324), Just(1e99), Just(-1e99), -10.0..10.0_f64], 0..600),
        step in 1_i64..10_000_000,
    ) {
        let mut stream = Stream::new(StreamOptions::default());
        for (row, value) in values.iter().enumerate() {
            let reading = stream.sample(row as i64 * step, *value);
            prop_assert!((0.0..1.0).contains(&reading.score), "{:?}", reading);
            prop_assert!(reading.lower.is_nan() == reading.expected.is_nan());
        }
    }

    #[test]
    fn what_comes_later_changes_nothing(
        seed in any::<u64>(),
        // A minute of rows is judged as one where they come faster.
        (step, rows) in prop_oneof![Just((STEP, 900)), Just((10_000, 3_600)), Just((25_000, 1_500))],
        share in 0.3..1.0_f64,
    ) {
        let mut values = daily(rows, seed);
        values[rows / 2] += 500.0;
        let all = read_each(&values, step);
        let prefix = read_each(&values[..(rows as f64 * share) as usize], step);
        prop_assert!(all.iter().any(|reading| reading.anomalous), "there is something to be said");
        let same = prefix.iter().zip(&all).all(|(one, other)| format!("{one:?}") == format!("{other:?}"));
        prop_assert!(same);
    }
}
