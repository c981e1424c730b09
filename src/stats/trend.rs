//! Robust trends: the slope after Theil and Sen, and whether it is more than chance after Mann and Kendall.

use std::cmp::Ordering;

use statrs::function::beta::checked_beta_reg;

use super::middle;

/// A straight line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Rise per unit of x.
    pub slope: f64,
    /// Value at x = 0.
    pub intercept: f64,
}

impl Line {
    /// Value at x.
    pub fn at(&self, x: f64) -> f64 {
        self.intercept + self.slope * x
    }
}

/// The line whose slope is the median of the slopes between all pairs of points (Theil 1950, Sen 1968), through the
/// median of what is left: up to 29 % of the points may be anything. `None` with fewer than two points at different x.
/// Of n points it takes n² / 2 slopes.
pub fn theil_sen(points: &[(f64, f64)]) -> Option<Line> {
    let mut slopes = Vec::with_capacity(points.len() * points.len().saturating_sub(1) / 2);
    for (index, (x, y)) in points.iter().enumerate() {
        for (later_x, later_y) in &points[index + 1..] {
            let slope = (later_y - y) / (later_x - x);
            if slope.is_finite() {
                slopes.push(slope);
            }
        }
    }
    let slope = middle(&mut slopes)?;
    let mut rests: Vec<f64> = points.iter().map(|(x, y)| y - slope * x).collect();
    let intercept = middle(&mut rests)?;
    (intercept.is_finite()).then_some(Line { slope, intercept })
}

/// Least number of values that a trend is judged by.
const FEWEST: usize = 6;
/// Standard errors by which the autocorrelation is taken for higher than it was found: without that, alarms at 1e-3 came
/// four times too often on slowly wandering noise (0.95 from one value to the next, 96 values).
const CAUTION: f64 = 0.5;
/// Median distance from a line, as a share of its whole rise, below which values are straight. Of 10,000 windows of 96 values
/// none is of noise with up to 0.999 from one value to the next, and no more than 39 rise at a chance of 0.001 by this where
/// such noise is smoothed once or twice more; by the ranks alone, 48 do of noise with 0.999.
const STRAIGHT: f64 = 0.015;
/// Highest autocorrelation from one value to the next that is reckoned with.
const HIGHEST: f64 = 0.99;

/// Probability that values without a trend would rise at least so steadily by chance (Mann 1945, Kendall 1975); near 1
/// when they fall. The values are evenly spaced, `NaN` where there is none. 0.5 with fewer than six, and when all are
/// the same.
///
/// Neighbours in time are alike, and a test that takes them for independent finds trends everywhere. So its variance is
/// widened as Hamed and Rao do (Journal of Hydrology 204, 1998), by the autocorrelation of the ranks of what the line of
/// `slope` per step leaves: not lag by lag, which has too much chance in it, but by the one of neighbours, freed of its
/// bias and carried on. And because that was estimated too, the tail is Student's, with as many degrees of freedom as
/// there are independent values. On noise from none to 0.95 from one value to the next, 96 values, alarms at 5 %, 1 %
/// and 0.1 % are within a factor 2 of that.
///
/// Where what the line leaves goes on from one value to the next (what is left of a season, say), ranks cannot tell a steep
/// line from chance. So of values that lie far closer to a line than a series that wanders does ([`STRAIGHT`]), a rise or a
/// fall that even a random walk of such steps would not make by chance counts as well.
pub fn chance_of_rise(values: &[f64], slope: f64) -> f64 {
    let ranks = chance_of_ranks(values, slope);
    if !is_straight(values, slope) {
        return ranks;
    }
    let steps = chance_of_steps(values);
    if (steps - 0.5).abs() > (ranks - 0.5).abs() { steps } else { ranks }
}

/// Whether values rise or fall by far more than they lie apart from their line, as median.
fn is_straight(values: &[f64], slope: f64) -> bool {
    let rests = values.iter().enumerate().map(|(index, value)| value - slope * index as f64);
    let mut rests: Vec<f64> = rests.filter(|rest| rest.is_finite()).collect();
    let Some(level) = middle(&mut rests) else { return false };
    let mut apart: Vec<f64> = rests.iter().map(|rest| (rest - level).abs()).collect();
    middle(&mut apart).is_some_and(|apart| apart < STRAIGHT * (slope * values.len() as f64).abs())
}

/// Probability that a random walk without drift would rise so far with steps such as these: Student's t of their mean, its
/// variance widened by how much alike neighbouring steps are. 0.5 with fewer than six.
fn chance_of_steps(values: &[f64]) -> f64 {
    let steps: Vec<f64> = values.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let finite = || steps.iter().copied().filter(|step| step.is_finite());
    let n = finite().count() as f64;
    if n < FEWEST as f64 {
        return 0.5;
    }
    let mean = finite().sum::<f64>() / n;
    let variance = finite().map(|step| (step - mean).powi(2)).sum::<f64>() / n;
    let alike = autocorrelation(&steps, n);
    let factor = (1.0 + alike) / (1.0 - alike);
    // Steps that are all the same, but for rounding.
    let deviation = (variance * factor / (n - 1.0)).sqrt().max(mean.abs() * f64::EPSILON);
    if deviation.is_nan() || deviation <= 0.0 {
        return 0.5;
    }
    student_tail(mean / deviation, (n / factor - 1.0).max(2.0))
}

fn chance_of_ranks(values: &[f64], slope: f64) -> f64 {
    let count = values.iter().filter(|value| value.is_finite()).count();
    if count < FEWEST {
        return 0.5;
    }
    let (mut signs, mut ties) = (0_i64, 0_i64);
    for (index, earlier) in values.iter().enumerate() {
        for later in &values[index + 1..] {
            // `NaN` compares as false.
            signs += i64::from(later > earlier) - i64::from(later < earlier);
            ties += i64::from(later.partial_cmp(earlier) == Some(Ordering::Equal));
        }
    }
    let n = count as f64;
    let pairs = n * (n - 1.0) / 2.0;
    let variance = n * (n - 1.0) * (2.0 * n + 5.0) / 18.0 * (1.0 - (ties as f64 / pairs).powf(1.5));
    let alike = autocorrelation(&ranks_without(values, slope), n);
    let factor = widening(alike, n);
    let deviation = (variance * factor).sqrt();
    if deviation.is_nan() || deviation <= 0.0 {
        return 0.5;
    }
    // Nearer to zero by one: the statistic moves in steps of two.
    let signs = signs as f64;
    student_tail((signs - signs.signum()) / deviation, (n / factor - 2.0).max(2.0))
}

/// Ranks of what a line leaves, equal ones sharing theirs; `NaN` stays.
fn ranks_without(values: &[f64], slope: f64) -> Vec<f64> {
    let rests: Vec<f64> = values.iter().enumerate().map(|(index, value)| value - slope * index as f64).collect();
    let mut order: Vec<usize> = (0..rests.len()).filter(|index| rests[*index].is_finite()).collect();
    order.sort_unstable_by(|left, right| rests[*left].total_cmp(&rests[*right]));
    let mut ranks = vec![f64::NAN; rests.len()];
    let mut start = 0;
    while start < order.len() {
        let value = rests[order[start]];
        let same = order[start..].iter().take_while(|index| rests[**index] <= value).count();
        for index in &order[start..start + same] {
            ranks[*index] = start as f64 + (same - 1) as f64 / 2.0;
        }
        start += same;
    }
    ranks
}

/// Correlation of neighbours, freed of the bias that a fitted line brings (Kendall, Biometrika 41, 1954), and with some
/// caution; 0 to [`HIGHEST`].
fn autocorrelation(values: &[f64], n: f64) -> f64 {
    let mean = values.iter().filter(|value| value.is_finite()).sum::<f64>() / n;
    let variance = values.iter().filter(|value| value.is_finite()).map(|value| (value - mean).powi(2)).sum::<f64>() / n;
    let both = |pair: &[f64]| pair[0].is_finite() && pair[1].is_finite();
    let neighbours = values.windows(2).filter(|pair| both(pair));
    let (count, sum) =
        neighbours.fold((0.0, 0.0), |(count, sum), pair| (count + 1.0, sum + (pair[0] - mean) * (pair[1] - mean)));
    let found = if count > 0.0 && variance > 0.0 { sum / count / variance * (1.0 - 1.0 / n) } else { 0.0 };
    let unbiased = ((n * found + 2.0) / (n - 4.0).max(1.0)).clamp(0.0, HIGHEST);
    (unbiased + CAUTION * ((1.0 - unbiased * unbiased) / n).sqrt()).min(HIGHEST)
}

/// By how much the variance of the statistic grows when values so far apart are alike by powers of `alike`.
fn widening(alike: f64, n: f64) -> f64 {
    let (mut power, mut sum, mut lag) = (1.0, 0.0, 1.0);
    while lag < n - 2.0 {
        power *= alike;
        sum += (n - lag) * (n - lag - 1.0) * (n - lag - 2.0) * power;
        lag += 1.0;
    }
    (1.0 + 2.0 / (n * (n - 1.0) * (n - 2.0)) * sum).max(1.0)
}

/// Probability that Student's t with so many degrees of freedom exceeds `t`.
fn student_tail(t: f64, freedom: f64) -> f64 {
    let both = checked_beta_reg(freedom / 2.0, 0.5, (freedom / (freedom + t * t)).clamp(0.0, 1.0)).unwrap_or(1.0);
    if t > 0.0 { both / 2.0 } else { 1.0 - both / 2.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A wave that no straight line follows, for noise without randomness.
    fn noise(index: usize) -> f64 {
        let turn = index as f64 * 12.9898;
        (turn.sin() * 43_758.547).rem_euclid(1.0) - 0.5
    }

    #[test]
    fn a_line_is_found_although_a_quarter_of_the_points_is_anything() {
        let wild = |index: usize| if index % 4 == 3 { 1e6 * noise(index) } else { 0.0 };
        let points: Vec<(f64, f64)> =
            (0..80).map(|index| (f64::from(index), 5.0 + 2.0 * f64::from(index) + wild(index as usize))).collect();
        let line = theil_sen(&points);
        assert!(
            line.is_some_and(|line| (line.slope - 2.0).abs() < 0.2 && (line.at(0.0) - 5.0).abs() < 8.0),
            "{line:?}"
        );
    }

    #[test]
    fn a_contrast_of_two_days_in_seven_is_no_slope() {
        let week: Vec<(f64, f64)> = (0..7).map(|day| (f64::from(day), if day < 5 { 100.0 } else { 30.0 })).collect();
        assert_eq!(theil_sen(&week).map(|line| line.slope), Some(0.0));
    }

    #[test]
    fn without_two_points_apart_there_is_no_line() {
        assert_eq!(theil_sen(&[]), None);
        assert_eq!(theil_sen(&[(1.0, 2.0)]), None);
        assert_eq!(theil_sen(&[(1.0, 2.0), (1.0, 3.0)]), None);
    }

    #[test]
    fn a_rise_within_noise_is_no_chance_and_noise_alone_is() {
        let flat: Vec<f64> = (0..96).map(noise).collect();
        let rising: Vec<f64> = flat.iter().enumerate().map(|(index, value)| value + index as f64 * 0.02).collect();
        assert!(chance_of_rise(&rising, 0.02) < 1e-6, "{}", chance_of_rise(&rising, 0.02));
        assert!(chance_of_rise(&flat, 0.0) > 0.05, "{}", chance_of_rise(&flat, 0.0));
        let falling: Vec<f64> = rising.iter().map(|value| -value).collect();
        assert!(chance_of_rise(&falling, -0.02) > 0.999);
    }

    #[test]
    fn a_slow_wave_is_not_taken_for_a_trend() {
        // Most of half a turn: it rises most of the time, and means nothing, because its neighbours are all alike.
        let wave: Vec<f64> =
            (0..96).map(|index| (f64::from(index) / 30.0).sin() + 0.05 * noise(index as usize)).collect();
        assert!(chance_of_rise(&wave, 0.0) > 0.05, "{}", chance_of_rise(&wave, 0.0));
    }

    #[test]
    fn what_does_not_move_has_no_trend() {
        assert!((chance_of_rise(&[3.0; 50], 0.0) - 0.5).abs() < 1e-12);
        assert!((chance_of_rise(&[1.0, 2.0, 3.0], 1.0) - 0.5).abs() < 1e-12);
        assert!((chance_of_rise(&[f64::NAN; 50], f64::NAN) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn tabulated_tails_of_student_are_met() {
        for (t, freedom, expected) in [(2.353, 3.0, 0.05), (4.541, 3.0, 0.01), (1.812, 10.0, 0.05), (0.0, 5.0, 0.5)] {
            assert!((student_tail(t, freedom) - expected).abs() < 1e-4, "{t} {freedom}");
        }
    }

    proptest! {
        #[test]
        fn any_values_are_survived_and_give_a_probability(
            values in prop::collection::vec(any::<f64>(), 0..40), slope in any::<f64>(),
        ) {
            let chance = chance_of_rise(&values, slope);
            prop_assert!((0.0..=1.0).contains(&chance), "{chance}");
            let points: Vec<(f64, f64)> = values.iter().enumerate().map(|(x, y)| (x as f64, *y)).collect();
            theil_sen(&points);
        }

        #[test]
        fn a_shift_and_a_scale_do_not_change_the_chance(
            values in prop::collection::vec(-1e3_f64..1e3, 8..40), shift in -1e3_f64..1e3, scale in 0.1_f64..10.0,
        ) {
            let moved: Vec<f64> = values.iter().map(|value| value * scale + shift).collect();
            let before = chance_of_rise(&values, 0.0);
            prop_assert!((chance_of_rise(&moved, 0.0) - before).abs() < 1e-6);
        }
    }
}
