//! The seasonal profile: what the hour of the day adds, and what the hour of the week adds to that.

use super::robust::moving_mean;

/// The periods a series is long enough for, in rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Periods {
    /// The shorter one, such as a day.
    pub short: Option<usize>,
    /// The longer one, such as a week: a multiple of the shorter.
    pub long: Option<usize>,
}

impl Periods {
    /// Those of the candidates that `count` rows hold at least twice.
    pub fn of(candidates: &[usize], count: usize) -> Self {
        let mut usable: Vec<usize> =
            candidates.iter().copied().filter(|period| *period >= 2 && period.saturating_mul(2) <= count).collect();
        usable.sort_unstable();
        let short = usable.first().copied();
        let long =
            short.and_then(|short| usable.into_iter().skip(1).find(|long| long.is_multiple_of(short) && *long > short));
        Self { short, long }
    }

    /// Those that `count` rows hold at least twice.
    pub fn within(self, count: usize) -> Self {
        let held = |period: &usize| 2 * period <= count;
        Self { short: self.short.filter(held), long: self.long.filter(held) }
    }

    /// Rows after which the whole profile comes again.
    pub fn cycle(self) -> usize {
        self.long.or(self.short).unwrap_or(1)
    }
}

/// What each season adds, on the scale of the errors. Rows are counted from the start of the series.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Season {
    /// By row of the short period; of one 0 when there is none.
    pub short: Vec<f64>,
    /// By row of the long period, beside the short one.
    pub long: Vec<f64>,
}

impl Season {
    /// Learnt from rows, each part shrunk towards none by as much as its cycles differ among themselves.
    pub fn learn(values: &[f64], periods: Periods) -> Self {
        let Some(short) = periods.short.filter(|short| 2 * short <= values.len()) else {
            return Self { short: vec![0.0], long: vec![0.0] };
        };
        let periods = periods.within(values.len());
        let level = moving_mean(values, periods.cycle());
        let mut rest: Vec<f64> = values.iter().zip(&level).map(|(value, level)| value - level).collect();
        let daily = shrunk_profile(&rest, short);
        rest.iter_mut().enumerate().for_each(|(at, rest)| *rest -= daily[at % short]);
        let weekly = periods.long.map_or_else(|| vec![0.0], |long| weekly_profile(&rest, short, long));
        Self { short: daily, long: weekly }
    }

    /// What the seasons add at that row.
    pub fn at(&self, row: usize) -> f64 {
        self.short[row % self.short.len()] + self.long[row % self.long.len()]
    }
}

/// What the long period adds: first its days as wholes, then the rows within them, each with a shrinkage of its own.
fn weekly_profile(rest: &[f64], short: usize, long: usize) -> Vec<f64> {
    let days: Vec<f64> = rest.chunks_exact(short).map(|day| day.iter().sum::<f64>() / short as f64).collect();
    let by_day = shrunk_profile(&days, long / short);
    let within: Vec<f64> = rest.iter().enumerate().map(|(at, rest)| rest - by_day[at / short % by_day.len()]).collect();
    let by_row = shrunk_profile(&within, long);
    (0..long).map(|at| by_day[at / short] + by_row[at]).collect()
}

/// The mean of each place in the period over the cycles, times the share of its variance that is not explained by how
/// the cycles differ at the same place: the positive-part empirical Bayes estimate (Efron and Morris, Journal of the
/// American Statistical Association 68, 1973). Sums to 0.
fn shrunk_profile(values: &[f64], period: usize) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0, 0.0); period];
    for (at, value) in values.iter().enumerate() {
        let (count, sum, squares) = &mut sums[at % period];
        *count += 1.0;
        *sum += value;
        *squares += value * value;
    }
    let mut profile: Vec<f64> = sums.iter().map(|(count, sum, _)| sum / f64::max(*count, 1.0)).collect();
    let centre = profile.iter().sum::<f64>() / period as f64;
    let (mut within, mut freedom, mut of_means, mut between) = (0.0, 0.0, 0.0, 0.0);
    for ((count, sum, squares), mean) in sums.iter().zip(&mut profile) {
        within += (squares - sum * *mean).max(0.0);
        freedom += count - 1.0;
        of_means += 1.0 / f64::max(*count, 1.0);
        *mean -= centre;
        between += *mean * *mean;
    }
    if freedom < 1.0 || between <= 0.0 {
        return vec![0.0; period];
    }
    let noise = within / freedom * of_means / period as f64;
    let share = (1.0 - noise / (between / (period - 1).max(1) as f64)).max(0.0);
    for value in &mut profile {
        *value *= share;
    }
    profile
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(at: usize) -> f64 {
        ((at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / f64::from(1 << 24) - 0.5
    }

    const HOURLY: [usize; 2] = [24, 168];

    #[test]
    fn only_periods_that_are_held_twice_are_used() {
        for (count, short, long) in
            [(47, None, None), (48, Some(24), None), (335, Some(24), None), (336, Some(24), Some(168))]
        {
            assert_eq!(Periods::of(&HOURLY, count), Periods { short, long }, "{count}");
        }
        assert_eq!(Periods::of(&[0, 1, usize::MAX], 100), Periods::default());
    }

    #[test]
    fn noise_has_no_season() {
        let values: Vec<f64> = (0..700).map(noise).collect();
        let season = Season::learn(&values, Periods::of(&HOURLY, 700));
        assert!((0..168).all(|at| season.at(at).abs() < 0.1));
    }

    #[test]
    fn a_weekend_is_learnt_beside_the_day() {
        let shape = |at: usize| (at % 24) as f64 / 10.0 * if at / 24 % 7 >= 5 { 0.5 } else { 1.0 };
        let values: Vec<f64> = (0..700).map(|at| 10.0 + shape(at) + 0.1 * noise(at)).collect();
        let season = Season::learn(&values, Periods::of(&HOURLY, 700));
        let centre = (0..168).map(shape).sum::<f64>() / 168.0;
        assert!((0..168).all(|at| (season.at(at) - (shape(at) - centre)).abs() < 0.1));
    }

    #[test]
    fn growth_is_no_season() {
        let values: Vec<f64> = (0..700).map(|at| 0.01 * f64::from(at)).collect();
        let season = Season::learn(&values, Periods::of(&HOURLY, 700));
        assert!((0..168).all(|at| season.at(at).abs() < 1e-6));
    }
}
