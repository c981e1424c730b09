//! The instruments of `make quality` themselves: what is generated is what its name says, and the scoring rules are
//! those of the benchmark.

#[path = "../benches/quality/generate/mod.rs"]
#[allow(dead_code, reason = "a test needs a part of it")]
mod generate;
#[path = "../benches/quality/nab/score.rs"]
#[allow(dead_code, reason = "a test needs a part of it")]
mod score;

use generate::{Fault, Kind, Random, STEPS, Series, clean, clean_rows, inject};
use score::{Judged, Outcome, PROFILES, best_threshold, weigh};

fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
    (mean, variance.sqrt())
}

#[test]
fn draws_have_the_moments_of_their_distribution() {
    type Draw = fn(&mut Random) -> f64;
    let cases: [(&str, Draw, f64, f64); 9] = [
        ("uniform", Random::uniform, 0.5, (1.0_f64 / 12.0).sqrt()),
        ("normal", Random::normal, 0.0, 1.0),
        ("exponential", Random::exponential, 1.0, 1.0),
        ("gamma 0.5", |random| random.gamma(0.5), 0.5, 0.5_f64.sqrt()),
        ("gamma 6", |random| random.gamma(6.0), 6.0, 6.0_f64.sqrt()),
        ("student 9", |random| random.student(9.0), 0.0, (9.0_f64 / 7.0).sqrt()),
        ("log-normal", |random| random.log_normal(0.0, 0.5), 0.125_f64.exp(), (0.125_f64.exp()) * 0.5329),
        ("poisson 3", |random| random.poisson(3.0), 3.0, 3.0_f64.sqrt()),
        ("poisson 300", |random| random.poisson(300.0), 300.0, 300.0_f64.sqrt()),
    ];
    for (name, draw, mean, deviation) in cases {
        let mut random = Random::new(5);
        let values: Vec<f64> = (0..100_000).map(|_| draw(&mut random)).collect();
        let (found_mean, found_deviation) = mean_and_deviation(&values);
        assert!((found_mean - mean).abs() < 0.02 * deviation, "{name}: mean {found_mean}, not {mean}");
        assert!(
            (found_deviation / deviation - 1.0).abs() < 0.02,
            "{name}: deviation {found_deviation}, not {deviation}"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_series_and_another_one_another() {
    for kind in Kind::ALL {
        let bits = |seed| {
            let series = clean_rows(*kind, seed, 500, STEPS[2]);
            series.values.iter().map(|value| value.to_bits()).collect::<Vec<u64>>()
        };
        assert_eq!(bits(3), bits(3), "{}", kind.name());
        let always_equal = *kind == Kind::Flat || *kind == Kind::FlatQuantised;
        assert!(always_equal || bits(3) != bits(4), "{}", kind.name());
    }
}

#[test]
fn a_series_has_the_length_and_the_bounds_it_says() {
    for kind in Kind::ALL {
        for step in STEPS {
            let series = clean(*kind, 1, 1, step);
            assert_eq!(series.values.len() as i64, generate::WEEK_MS / step, "{}", kind.name());
            for value in series.values.iter().filter(|value| value.is_finite()) {
                assert!((series.bounds.0..=series.bounds.1).contains(value), "{}: {value}", series.kind);
                assert!(series.grain == 0.0 || value % series.grain == 0.0, "{}: {value}", series.kind);
            }
        }
    }
}

#[test]
fn the_noise_around_the_course_is_as_large_as_it_says() {
    for kind in [Kind::Gaussian, Kind::Daily, Kind::OfficeHours, Kind::DailyWeekly, Kind::PoissonMany, Kind::Percent] {
        let series = clean(kind, 2, 4, STEPS[2]);
        let pairs = series.values.iter().zip(&series.course).zip(&series.noise);
        let mut deviations: Vec<f64> = pairs.map(|((value, course), noise)| ((value - course) / noise).abs()).collect();
        deviations.sort_by(f64::total_cmp);
        let two_thirds = deviations[deviations.len() * 683 / 1000];
        assert!((two_thirds - 1.0).abs() < 0.05, "{}: {two_thirds}", series.kind);
    }
}

#[test]
fn a_fault_changes_its_rows_and_no_other() {
    for fault in Fault::ALL {
        for kind in [Kind::Daily, Kind::SeasonalCounts, Kind::Cpu] {
            let before = clean(kind, 2, 2, STEPS[2]);
            let mut after = before.clone();
            inject(&mut after, *fault, 8.0, 3000, 288);
            // A drift stays.
            let end = if *fault == Fault::Drift { before.values.len() } else { 3288 };
            let changed = |series: &Series, row: usize| series.values[row].to_bits() != before.values[row].to_bits();
            let changed: Vec<usize> = (0..before.values.len()).filter(|row| changed(&after, *row)).collect();
            assert!(!changed.is_empty(), "{} in {}", fault.name(), kind.name());
            assert!(changed.iter().all(|row| (3000..end).contains(row)), "{} in {}", fault.name(), kind.name());
            assert!(after.values.iter().all(|value| (after.bounds.0..=after.bounds.1).contains(value)));
        }
    }
}

#[test]
fn a_step_is_as_high_as_its_size_says() {
    let before = clean(Kind::Gaussian, 1, 1, STEPS[2]);
    let mut after = before.clone();
    inject(&mut after, Fault::StepUp, 4.0, 100, 50);
    for row in 100..150 {
        assert!((after.values[row] - before.values[row] - 20.0).abs() < 1e-9);
    }
}

/// A file of 100 rows (15 not scored) with a window over rows 50 to 59 and alarms at these rows.
fn judged(alarms: &[usize]) -> Judged {
    let rows = weigh(100, &[(50, 59)]);
    let score = |index| if alarms.contains(&index) { 1.0 } else { 0.0 };
    Judged {
        name: "folder/file.csv".to_owned(),
        windows: 1,
        rows: rows.into_iter().map(|row| (row, score(row.index))).collect(),
    }
}

#[test]
fn no_alarm_scores_0_and_an_alarm_at_the_start_of_a_window_scores_100() {
    for profile in PROFILES {
        let score = |alarms: &[usize]| judged(alarms).outcome(profile, 1.0).normalised(profile);
        assert!(score(&[]).abs() < 1e-9, "{}", profile.name);
        assert!((score(&[50]) - 100.0).abs() < 1e-9, "{}", profile.name);
        assert!(score(&[59]) < score(&[52]), "{}: an early alarm is worth more", profile.name);
        assert!((score(&[50, 51, 59]) - 100.0).abs() < 1e-9, "{}: one credit for a window", profile.name);
        assert!(score(&[40]) < 0.0, "{}: a false alarm costs", profile.name);
        assert!(score(&[50, 61]) > score(&[50, 90]), "{}: one just after a window costs less", profile.name);
        assert!((score(&[50, 3]) - 100.0).abs() < 1e-9, "{}: the first rows do not count", profile.name);
    }
}

#[test]
fn false_alarms_cost_what_the_profile_says() {
    // Before any window and more than three widths after it: the whole cost.
    for (profile, cost) in PROFILES.into_iter().zip([0.11, 0.22, 0.11]) {
        let outcome = judged(&[20, 95]).outcome(profile, 1.0);
        assert!((outcome.raw + 2.0 * cost + profile.missed).abs() < 1e-9, "{outcome:?}");
        assert_eq!((outcome.found, outcome.windows, outcome.false_alarms), (0, 1, 2));
    }
}

#[test]
fn the_best_threshold_is_worth_at_least_as_much_as_any_other() {
    let mut random = Random::new(11);
    for _ in 0..50 {
        let mut files = [judged(&[]), judged(&[])];
        for (_, score) in files.iter_mut().flat_map(|file| &mut file.rows) {
            *score = (random.uniform() * 20.0).floor();
        }
        for profile in PROFILES {
            let raw = |threshold: f64| files.iter().map(|file| file.outcome(profile, threshold)).sum::<Outcome>().raw;
            let best = raw(best_threshold(files.iter(), profile));
            assert!((0..=20).all(|threshold| raw(f64::from(threshold)) <= best + 1e-9));
        }
    }
}
