//! How well hourly series with a daily and a weekly season are forecast, as the M4 competition measured it
//! (Makridakis, Spiliotis, Assimakopoulos, International Journal of Forecasting 36, 2020): two days ahead, OWA against
//! Naive2, coverage and MSIS of the 95 % interval.
//!
//! [`rows`] makes its series itself, with seeds that the method was not adjusted on; all kinds were seen while its constants
//! were chosen. [`Judged`] takes any series, so that recorded ones can be added.

use std::f64::consts::TAU;

use dbmedic::stats::forecast;

const DAY: usize = 24;
const WEEK: usize = 168;
const HORIZON: usize = 48;
const LEVEL: f64 = 0.95;
/// The line that the goal is for.
pub const DAILY_AND_WEEKLY: &str = "all with a daily and a weekly season";

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// Kind of series.
    pub kind: &'static str,
    /// How many.
    pub series: usize,
    /// Overall weighted average of sMAPE and MASE against Naive2: below 1 is better than Naive2.
    pub owa: f64,
    /// The same of the seasonal naive forecast (yesterday again).
    pub owa_seasonal_naive: f64,
    /// The same of last week again.
    pub owa_weekly_naive: f64,
    /// Share of the future in the 95 % interval.
    pub coverage: f64,
    /// Mean scaled interval score: smaller is better.
    pub msis: f64,
}

/// Sums over series.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    series: usize,
    smape: [f64; 4],
    mase: [f64; 4],
    covered: f64,
    msis: f64,
}

impl Judged {
    /// Forecasts the last two days from what is before them, and adds how wrong that was. A series that seasonal naive
    /// forecasts without error has no scale: left out.
    pub fn add(&mut self, series: &[f64]) {
        let (past, future) = series.split_at(series.len() - HORIZON);
        let scale = mean((DAY..past.len()).map(|at| (past[at] - past[at - DAY]).abs()));
        if scale.is_nan() || scale <= 0.0 {
            return;
        }
        let found = forecast(past, &[DAY, WEEK], HORIZON, LEVEL);
        let again = |period: usize| (0..HORIZON).map(|ahead| past[past.len() - period + ahead % period]).collect();
        let points: [Vec<f64>; 4] = [found.mean, naive2(past), again(DAY), again(WEEK)];
        for (method, point) in points.iter().enumerate() {
            let errors = || point.iter().zip(future).map(|(point, value)| (value - point).abs());
            let sizes = point.iter().zip(future).map(|(point, value)| point.abs() + value.abs());
            self.smape[method] +=
                200.0 * mean(errors().zip(sizes).map(|(error, size)| if size > 0.0 { error / size } else { 0.0 }));
            self.mase[method] += mean(errors()) / scale;
        }
        let bounds = || found.lower.iter().zip(&found.upper).zip(future);
        self.covered +=
            mean(bounds().map(|((lower, upper), value)| f64::from(u8::from((lower..=upper).contains(&value)))));
        self.msis += mean(bounds().map(|((lower, upper), value)| {
            (upper - lower) + 2.0 / (1.0 - LEVEL) * ((lower - value).max(0.0) + (value - upper).max(0.0))
        })) / scale;
        self.series += 1;
    }

    /// The line of what was added.
    pub fn row(&self, kind: &'static str) -> Row {
        let count = self.series as f64;
        let owa = |method: usize| 0.5 * (self.smape[method] / self.smape[1] + self.mase[method] / self.mase[1]);
        Row {
            kind,
            series: self.series,
            owa: owa(0),
            owa_seasonal_naive: owa(2),
            owa_weekly_naive: owa(3),
            coverage: self.covered / count,
            msis: self.msis / count,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.series += other.series;
        for method in 0..4 {
            self.smape[method] += other.smape[method];
            self.mase[method] += other.mase[method];
        }
        self.covered += other.covered;
        self.msis += other.msis;
    }
}

/// A line per kind, `series` series each; those with a daily and a weekly season first, with one of these together.
/// `first_seed` 0 gives the series that the method was adjusted on; others give new ones.
pub fn rows(first_seed: u64, series: usize) -> Vec<Row> {
    let mut together = Judged::default();
    let mut rows = Vec::new();
    for (number, (kind, make)) in SEASONAL.iter().chain(OTHERS).enumerate() {
        let mut judged = Judged::default();
        for seed in 0..series as u64 {
            let mut random = Random::new((first_seed + seed) * 1_000 + number as u64);
            let length = if random.uniform() < 0.4 { 700 } else { 960 };
            judged.add(&make(&mut random, length + HORIZON));
        }
        rows.push(judged.row(kind));
        if number < SEASONAL.len() {
            together.merge(&judged);
        }
        if number + 1 == SEASONAL.len() {
            rows.push(together.row(DAILY_AND_WEEKLY));
        }
    }
    rows
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

/// The competition's benchmark: the last value, seasonally adjusted where autocorrelation at the period is
/// significant at 90 % (classical multiplicative decomposition).
fn naive2(past: &[f64]) -> Vec<f64> {
    let seasonal = if is_seasonal(past) { indices(past) } else { vec![1.0; DAY] };
    let last = past[past.len() - 1] / seasonal[(past.len() - 1) % DAY];
    (0..HORIZON).map(|ahead| last * seasonal[(past.len() + ahead) % DAY]).collect()
}

fn is_seasonal(past: &[f64]) -> bool {
    if past.len() < 3 * DAY {
        return false;
    }
    let centre = mean(past.iter().copied());
    let product = |lag: usize| (lag..past.len()).map(|at| (past[at] - centre) * (past[at - lag] - centre)).sum::<f64>();
    let variance = product(0);
    if variance <= 0.0 {
        return false;
    }
    let correlation = |lag: usize| product(lag) / variance;
    let before: f64 = (1..DAY).map(|lag| 2.0 * correlation(lag).powi(2)).sum();
    correlation(DAY).abs() > 1.645 * ((1.0 + before) / past.len() as f64).sqrt()
}

fn indices(past: &[f64]) -> Vec<f64> {
    let half = DAY / 2;
    let mut sums = vec![(0.0, 0.0); DAY];
    for at in half..past.len() - half {
        let inner: f64 = past[at - half + 1..at + half].iter().sum();
        let level = (inner + 0.5 * (past[at - half] + past[at + half])) / DAY as f64;
        if level != 0.0 {
            sums[at % DAY].0 += past[at] / level;
            sums[at % DAY].1 += 1.0;
        }
    }
    let found: Vec<f64> = sums.iter().map(|(sum, count)| sum / f64::max(*count, 1.0)).collect();
    let centre = mean(found.iter().copied());
    // An index of 0 could not be divided by; the benchmark's own code leaves such a series unadjusted as well.
    if found.iter().any(|index| *index <= 0.0) || centre <= 0.0 {
        return vec![1.0; DAY];
    }
    found.iter().map(|index| index / centre).collect()
}

/// `SplitMix64` (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.uniform()
    }

    fn log_between(&mut self, least: f64, most: f64) -> f64 {
        self.between(least.ln(), most.ln()).exp()
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().max(1e-300).ln()).sqrt();
        radius * (TAU * self.uniform()).cos()
    }

    /// Student's t with three degrees of freedom, unit variance: heavy tails.
    fn heavy(&mut self) -> f64 {
        let squares: f64 = (0..3).map(|_| self.normal().powi(2)).sum();
        self.normal() / (squares / 3.0).max(1e-6).sqrt() / 3.0_f64.sqrt()
    }

    fn poisson(&mut self, rate: f64) -> f64 {
        if rate > 50.0 {
            return (rate + rate.sqrt() * self.normal()).round().max(0.0);
        }
        let (limit, mut product, mut count) = ((-rate).exp(), self.uniform(), 0.0);
        while product > limit && count < 1_000.0 {
            product *= self.uniform();
            count += 1.0;
        }
        count
    }

    /// Autocorrelated noise of unit variance.
    fn autoregressive(&mut self, length: usize, memory: f64) -> Vec<f64> {
        let mut state = self.normal();
        let step = (1.0 - memory * memory).sqrt();
        (0..length)
            .map(|_| {
                state = memory * state + step * self.normal();
                state
            })
            .collect()
    }

    /// A random walk that moves by one a week, typically.
    fn wander(&mut self, length: usize) -> Vec<f64> {
        let mut state = 0.0;
        let step = (1.0 / WEEK as f64).sqrt();
        (0..length)
            .map(|_| {
                state += step * self.normal();
                state
            })
            .collect()
    }

    /// A shape of a day between about 0 and 1: one to three humps, or working hours.
    fn shape(&mut self) -> Vec<f64> {
        let mut day = [0.0; DAY];
        let humps = 1 + (self.uniform() * 3.0) as usize;
        for _ in 0..humps {
            let (centre, width, height) = (self.between(6.0, 22.0), self.between(1.2, 5.0), self.between(0.4, 1.0));
            for (hour, value) in day.iter_mut().enumerate() {
                let apart = (hour as f64 - centre + 12.0).rem_euclid(24.0) - 12.0;
                *value += height * (-0.5 * (apart / width).powi(2)).exp();
            }
        }
        if self.uniform() < 0.3 {
            let (opens, closes) = (self.between(6.0, 9.0) as usize, self.between(16.0, 21.0) as usize);
            for (hour, value) in day.iter_mut().enumerate() {
                *value = 0.2 * *value + f64::from(u8::from((opens..closes).contains(&hour)));
            }
        }
        let top = day.iter().copied().fold(0.0, f64::max);
        day.iter().map(|value| value / top).collect()
    }

    /// A shape of a week: workdays alike, a weekend of its own by amount and often by form; phase by chance.
    fn week(&mut self) -> Vec<f64> {
        let work = self.shape();
        let free = if self.uniform() < 0.5 { self.shape() } else { work.clone() };
        let amounts = [self.between(0.3, 1.2), self.between(0.3, 1.2)];
        let phase = (self.uniform() * WEEK as f64) as usize;
        let daily: Vec<f64> = (0..7).map(|_| 1.0 + 0.04 * self.normal()).collect();
        (0..WEEK)
            .map(|at| {
                let (day, hour) = ((at + phase) % WEEK / DAY, (at + phase) % DAY);
                if day >= 5 { amounts[day - 5] * free[hour] } else { daily[day] * work[hour] }
            })
            .collect()
    }
}

type Make = fn(&mut Random, usize) -> Vec<f64>;

/// Kinds with a daily and a weekly season: what the goal is for.
const SEASONAL: &[(&str, Make)] = &[
    ("load", load),
    ("traffic counts", traffic),
    ("web with bursts", web),
    ("level shifts", shifts),
    ("changing amplitude", amplitude),
    ("price", price),
    ("occupancy", occupancy),
    ("growth", growth),
    ("holidays", holidays),
];

/// Kinds without a week, or without any season.
const OTHERS: &[(&str, Make)] = &[("daily only, wandering", weather), ("noise", noise), ("random walk", random_walk)];

fn load(random: &mut Random, length: usize) -> Vec<f64> {
    let (scale, depth, week) = (random.log_between(10.0, 1e5), random.between(0.15, 0.6), random.week());
    let (memory, size) = (random.between(0.8, 0.98), random.log_between(0.01, 0.05));
    let (fast, slow) = (random.autoregressive(length, memory), random.autoregressive(length, 0.995));
    let fine = random.log_between(0.003, 0.02);
    (0..length)
        .map(|at| {
            let season = 1.0 - depth + depth * week[at % WEEK];
            scale * season * (size * fast[at] + size * slow[at] + fine * random.normal()).exp()
        })
        .collect()
}

fn traffic(random: &mut Random, length: usize) -> Vec<f64> {
    let (scale, night, week) = (random.log_between(5.0, 2e3), random.log_between(0.005, 0.1), random.week());
    let (memory, size) = (random.between(0.3, 0.9), random.between(0.03, 0.2));
    let noise = random.autoregressive(length, memory);
    (0..length)
        .map(|at| {
            let rate = scale * (night + week[at % WEEK].powf(1.5)) * (size * noise[at]).exp();
            1.0 + random.poisson(rate)
        })
        .collect()
}

fn web(random: &mut Random, length: usize) -> Vec<f64> {
    let (scale, depth, week) = (random.log_between(10.0, 1e5), random.between(0.3, 0.9), random.week());
    let (walk, drift) = (random.wander(length), random.between(-0.02, 0.04));
    let (bursts, size) = (random.log_between(0.001, 0.02), random.log_between(0.02, 0.12));
    let noise = random.autoregressive(length, 0.6);
    let mut burst = 0.0;
    (0..length)
        .map(|at| {
            burst = 0.6 * burst + if random.uniform() < bursts { random.between(0.2, 1.2) } else { 0.0 };
            let level = 0.08 * walk[at] + drift * at as f64 / WEEK as f64;
            let season = 1.0 - depth + depth * week[at % WEEK];
            scale * season * (level + size * noise[at] + 0.5 * size * random.heavy() + burst).exp()
        })
        .collect()
}

fn shifts(random: &mut Random, length: usize) -> Vec<f64> {
    let mut values = load(random, length);
    for _ in 0..=((random.uniform() * 3.0) as usize) {
        let (from, factor) = ((random.uniform() * length as f64) as usize, random.log_between(0.6, 1.7));
        values[from..].iter_mut().for_each(|value| *value *= factor);
    }
    values
}

fn amplitude(random: &mut Random, length: usize) -> Vec<f64> {
    let (scale, weeks) = (random.log_between(10.0, 1e5), [random.week(), random.week()]);
    let (blend, swing) = (random.wander(length), random.wander(length));
    let (memory, size) = (random.between(0.5, 0.97), random.log_between(0.01, 0.06));
    let noise = random.autoregressive(length, memory);
    (0..length)
        .map(|at| {
            let share = 1.0 / (1.0 + (-1.0 - blend[at]).exp());
            let season = share * weeks[0][at % WEEK] + (1.0 - share) * weeks[1][at % WEEK];
            scale * (0.8 + 0.5 * (0.3 * swing[at]).exp() * season) * (size * noise[at]).exp()
        })
        .collect()
}

fn weather(random: &mut Random, length: usize) -> Vec<f64> {
    let (shape, swing) = (random.shape(), random.between(2.0, 8.0));
    let (slow, fast) = (random.autoregressive(length, 0.99), random.autoregressive(length, 0.8));
    let clouds = random.autoregressive(length, 0.97);
    let level = random.between(20.0, 300.0);
    (0..length)
        .map(|at| {
            level + swing * (1.0 + 0.3 * clouds[at]) * shape[at % DAY] + 3.0 * slow[at] + 0.4 * fast[at]
                - 0.0_f64.min(level - 20.0)
        })
        .map(|value| value.max(0.1))
        .collect()
}

fn price(random: &mut Random, length: usize) -> Vec<f64> {
    let (week, level) = (random.week(), random.log_between(0.1, 100.0));
    let (memory, size) = (random.between(0.85, 0.97), random.between(0.08, 0.25));
    let noise = random.autoregressive(length, memory);
    let slow = random.wander(length);
    (0..length)
        .map(|at| {
            let spike = if random.uniform() < 0.01 { random.between(0.3, 1.5) } else { 0.0 };
            level * (0.4 * week[at % WEEK] + size * noise[at] + 0.1 * slow[at] + 0.04 * random.heavy() + spike).exp()
        })
        .collect()
}

fn occupancy(random: &mut Random, length: usize) -> Vec<f64> {
    let (week, top) = (random.week(), random.log_between(20.0, 1e3));
    let noise = random.autoregressive(length, 0.9);
    let days: Vec<f64> = (0..=length / DAY).map(|_| 0.1 * random.normal()).collect();
    (0..length)
        .map(|at| {
            let want = 1.6 * week[at % WEEK] * (1.0 + days[at / DAY]) + 0.08 * noise[at];
            (top * (want.max(0.0) / (1.0 + want.max(0.0).powi(4)).powf(0.25))).round() + 1.0
        })
        .collect()
}

fn growth(random: &mut Random, length: usize) -> Vec<f64> {
    let (week, start) = (random.week(), random.log_between(10.0, 1e4));
    let (slope, depth) = (random.between(-0.05, 0.25), random.between(0.05, 0.4));
    let noise = random.autoregressive(length, 0.7);
    let size = random.log_between(0.005, 0.04);
    (0..length)
        .map(|at| {
            let trend = 1.0 + slope * at as f64 / WEEK as f64;
            start * (trend + depth * week[at % WEEK] + size * noise[at]).max(0.01)
        })
        .collect()
}

fn holidays(random: &mut Random, length: usize) -> Vec<f64> {
    let (scale, depth, week) = (random.log_between(10.0, 1e5), random.between(0.3, 0.7), random.week());
    let noise = random.autoregressive(length, 0.9);
    let size = random.log_between(0.01, 0.05);
    let free: Vec<bool> = (0..=length / DAY).map(|_| random.uniform() < 0.04).collect();
    (0..length)
        .map(|at| {
            let season = 1.0 - depth + depth * week[at % WEEK];
            scale * season * (size * noise[at]).exp() * if free[at / DAY] { 0.75 } else { 1.0 }
        })
        .collect()
}

fn noise(random: &mut Random, length: usize) -> Vec<f64> {
    let (level, memory, size) = (random.log_between(1.0, 1e4), random.between(0.0, 0.95), random.between(0.05, 0.3));
    random.autoregressive(length, memory).iter().map(|noise| level * (size * noise).exp()).collect()
}

fn random_walk(random: &mut Random, length: usize) -> Vec<f64> {
    let (level, size, shape) = (random.log_between(1.0, 1e4), random.between(0.05, 0.4), random.shape());
    let depth = random.between(0.0, 0.3);
    let walk = random.wander(length);
    (0..length).map(|at| level * (size * walk[at] + depth * shape[at % DAY]).exp()).collect()
}
