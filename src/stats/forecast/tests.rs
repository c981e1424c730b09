use proptest::prelude::*;

use super::*;

const HOURLY: [usize; 2] = [24, 168];

fn noise(at: usize) -> f64 {
    let mut mixed = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
}

fn weekly(at: usize) -> f64 {
    let weekend = if at / 24 % 7 >= 5 { 0.5 } else { 1.0 };
    100.0 + 40.0 * weekend * (std::f64::consts::TAU * (at % 24) as f64 / 24.0).sin()
}

fn series(count: usize) -> Vec<f64> {
    (0..count).map(|at| weekly(at) + 4.0 * noise(at)).collect()
}

#[test]
fn a_weekend_is_expected_to_be_one() {
    let values = series(700);
    let found = forecast(&values, &HOURLY, 48, 0.95);
    for ahead in 0..48 {
        let expected = weekly(700 + ahead);
        assert!((found.mean[ahead] - expected).abs() < 3.0, "{ahead}: {} {expected}", found.mean[ahead]);
        assert!(found.lower[ahead] < expected && expected < found.upper[ahead], "{ahead}");
        assert!(found.upper[ahead] - found.lower[ahead] < 20.0, "{ahead}");
    }
}

#[test]
fn the_interval_holds_as_much_as_it_says() {
    for level in [0.5, 0.8, 0.95] {
        let (mut held, mut all) = (0, 0);
        for start in (0..2_000).step_by(53) {
            let values: Vec<f64> = (start..start + 700).map(|at| weekly(at) + 8.0 * noise(at)).collect();
            let found = forecast(&values, &HOURLY, 48, level);
            for ahead in 0..48 {
                let value = weekly(start + 700 + ahead) + 8.0 * noise(start + 700 + ahead);
                held += usize::from(found.lower[ahead] <= value && value <= found.upper[ahead]);
                all += 1;
            }
        }
        let share = f64::from(held as u32) / f64::from(all as u32);
        assert!((share - level).abs() < 0.08, "{level}: {share}");
    }
}

#[test]
fn nothing_known_is_said_as_nothing() {
    for values in [vec![], vec![f64::NAN; 50], vec![f64::INFINITY; 3]] {
        let found = forecast(&values, &HOURLY, 3, 0.95);
        assert_eq!(found.mean.len(), 3);
        assert!(found.mean.iter().chain(&found.lower).chain(&found.upper).all(|value| value.is_nan()));
    }
    assert_eq!(forecast(&series(700), &HOURLY, 0, 0.95), Forecast::default());
}

#[test]
fn a_constant_goes_on_without_width() {
    for (constant, count) in [(0.0, 1), (7.0, 5), (7.0, 400), (1e300, 400), (-3.0, 400), (5e-324, 400), (0.0, 400)] {
        let found = forecast(&vec![constant; count], &HOURLY, 30, 0.95);
        for value in found.mean.iter().chain(&found.lower).chain(&found.upper) {
            assert!((value - constant).abs() <= 1e-9 * constant.abs() + 1e-300, "{constant} {count}: {value}");
        }
    }
}

#[test]
fn a_growing_line_goes_on_under_its_season() {
    let values: Vec<f64> = (0..336).map(|at| weekly(at) + 0.5 * at as f64 + noise(at)).collect();
    let outlook = Outlook::new(&values, &HOURLY, 168).unwrap();
    assert!((outlook.growth() - 0.5).abs() < 0.05, "{}", outlook.growth());
    let expected = weekly(336 + 150) + 0.5 * 486.0;
    assert!((outlook.medians()[150] - expected).abs() < 15.0, "{} {expected}", outlook.medians()[150]);
}

#[test]
fn the_next_hours_do_not_depend_on_how_many_are_asked_for() {
    let values = series(800);
    let week = forecast(&values, &HOURLY, 168, 0.95);
    for horizon in [1, 5, 20, 48, 100] {
        let found = forecast(&values, &HOURLY, horizon, 0.95);
        assert_eq!(found.mean, week.mean[..horizon], "{horizon}");
        for ahead in 0..horizon {
            let width = |found: &Forecast| found.upper[ahead] - found.lower[ahead];
            let times = width(&found) / width(&week);
            assert!((0.8..1.25).contains(&times), "{horizon} {ahead}: {times}");
        }
    }
}

#[test]
fn one_absurd_value_changes_nothing_but_itself() {
    let clean = series(800);
    let expected = forecast(&clean, &HOURLY, 48, 0.95);
    for absurd in [1e4, 1e6, 1e39, 1e300, -1e6] {
        for at in [0, 30, 400, 632, 798] {
            let mut values = clean.clone();
            values[at] = absurd;
            let found = forecast(&values, &HOURLY, 48, 0.95);
            for (ahead, mean) in found.mean.iter().enumerate() {
                assert!((mean - expected.mean[ahead]).abs() < 10.0, "{absurd} {at} {ahead}: {mean}");
                let width = |found: &Forecast| found.upper[ahead] - found.lower[ahead];
                let times = width(&found) / width(&expected);
                assert!((0.5..2.0).contains(&times), "{absurd} {at} {ahead}: {times}");
            }
        }
    }
}

#[test]
fn what_comes_each_week_is_not_absurd() {
    let batch = |at: usize| if at % 168 == 50 { 5000.0 } else { 0.0 };
    let values: Vec<f64> = series(1000).iter().enumerate().map(|(at, value)| value + batch(at)).collect();
    let found = forecast(&values, &HOURLY, 168, 0.95);
    let next = (1000..1168).position(|at| at % 168 == 50).unwrap();
    assert!(found.mean[next] > 1000.0, "{}", found.mean[next]);
}

#[test]
fn gaps_and_spikes_do_not_bend_the_forecast() {
    let whole = forecast(&series(700), &HOURLY, 48, 0.95);
    let mut holed = series(700);
    holed[100..130].fill(f64::NAN);
    holed[600..620].fill(f64::NAN);
    holed[500] = f64::INFINITY;
    holed[400] = 5_000.0;
    holed[699] = 900.0;
    let found = forecast(&holed, &HOURLY, 48, 0.95);
    for (whole, found) in whole.mean.iter().zip(&found.mean) {
        assert!((whole - found).abs() < 8.0, "{whole} {found}");
    }
}

#[test]
fn what_was_never_negative_is_not_expected_to_be() {
    let values: Vec<f64> = (0..500).map(|at| if at % 24 < 8 { 0.0 } else { 20.0 * (noise(at) + 0.5) }).collect();
    let found = forecast(&values, &HOURLY, 48, 0.99);
    assert!(found.lower.iter().all(|lower| *lower >= 0.0));
}

#[test]
fn crossing_a_limit_is_likely_where_the_path_goes_and_unlikely_where_it_does_not() {
    let values: Vec<f64> = (0..336).map(|at| 50.0 + 0.1 * at as f64 + noise(at)).collect();
    let outlook = Outlook::new(&values, &HOURLY, 168).unwrap();
    assert!(outlook.probability(90.0, Crossing::Above) > 0.95);
    assert!(outlook.probability(130.0, Crossing::Above) < 0.05);
    assert!(outlook.probability(40.0, Crossing::Below) < 0.05);
    assert!(outlook.probability(f64::INFINITY, Crossing::Above) < 1e-6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_values_are_survived_and_the_ends_are_in_order(
        values in prop::collection::vec(any::<f64>(), 0..400), periods in prop::collection::vec(any::<usize>(), 0..3),
        horizon in 0_usize..60, level in any::<f64>(),
    ) {
        let found = forecast(&values, &periods, horizon, level);
        prop_assert_eq!((found.mean.len(), found.lower.len(), found.upper.len()), (horizon, horizon, horizon));
        for ((mean, lower), upper) in found.mean.iter().zip(&found.lower).zip(&found.upper) {
            prop_assert!(mean.is_nan() || (lower <= mean && mean <= upper), "{} {} {}", lower, mean, upper);
        }
        let known = values.iter().any(|value| value.is_finite());
        prop_assert!(found.mean.iter().all(|mean| mean.is_finite() == known));
    }

    #[test]
    fn any_scale_and_any_small_period_give_ordered_ends(
        parts in prop::collection::vec(-1.0_f64..1.0, 1..300), size in prop::sample::select(vec![1e-310, 1e-20, 1.0, 1e12, 1e307]),
        period in 2_usize..30, times in 2_usize..8,
    ) {
        let values: Vec<f64> = parts.iter().map(|part| part * size).collect();
        let found = forecast(&values, &[period, period * times], 40, 0.95);
        for ((mean, lower), upper) in found.mean.iter().zip(&found.lower).zip(&found.upper) {
            prop_assert!(lower <= mean && mean <= upper && lower.is_finite() && upper.is_finite(), "{} {} {}", lower, mean, upper);
        }
    }

    #[test]
    fn the_unit_of_a_series_does_not_matter(size in 1e-6_f64..1e6, start in 0_usize..500) {
        let values: Vec<f64> = (start..start + 400).map(|at| weekly(at) + 5.0 * noise(at)).collect();
        let scaled: Vec<f64> = values.iter().map(|value| value * size).collect();
        let (one, other) = (forecast(&values, &HOURLY, 24, 0.9), forecast(&scaled, &HOURLY, 24, 0.9));
        for (one, other) in one.upper.iter().zip(&other.upper) {
            prop_assert!((one * size / other - 1.0).abs() < 1e-6);
        }
    }
}
