//! Whether a learnt profile's confidence means what it says: the rate at which held-out clean days exceed a stated
//! probability, for many kinds of series. Deterministic: own noise, no clock.

use dbmedic::learn::{Options, Sample, hour_of_week, learn};

/// Probabilities at which the rates are counted.
pub const NOMINAL: [f64; 3] = [1e-2, 1e-3, 1e-4];
/// Days that a profile is learnt from.
const LEARNT_DAYS: i64 = 14;
/// Days after them that are judged: the default refresh is daily.
const HELD_OUT_DAYS: i64 = 1;
/// Held-out samples of one kind at least, and series at least.
const SAMPLES: i64 = 500_000;
const SERIES: i64 = 24;

/// The kind that never varies.
const FLAT: &str = "flat";

const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
/// A Monday at midnight.
const MONDAY: i64 = 4 * DAY + 2_900 * 7 * DAY;

/// One kind of series at one interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What kind of series.
    pub kind: &'static str,
    /// Seconds between two samples.
    pub interval: i64,
    /// Held-out samples judged, each side counted.
    pub judged: u64,
    /// Share of them at or beyond each of [`NOMINAL`].
    pub rates: [f64; 3],
    /// Share outside three sigma, both sides together.
    pub outside: f64,
}

impl Row {
    /// Whether every rate is within a factor of the nominal one; one that needs fewer than ten samples is passed over,
    /// and a flat series has nothing that could exceed.
    pub fn within(&self, factor: f64) -> bool {
        if self.kind == FLAT {
            return self.rates.iter().all(|rate| *rate <= 0.0);
        }
        self.rates.iter().zip(NOMINAL).all(|(rate, nominal)| {
            let few = nominal * (self.judged as f64) < 10.0;
            few || (*rate <= nominal * factor && *rate >= nominal / factor)
        })
    }
}

/// Every kind of series whose name contains a text, at 10 s, a minute and five minutes.
pub fn rows(only: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, (kind, step, begin)) in KINDS.iter().enumerate().filter(|(_, (kind, ..))| kind.contains(only)) {
        for interval in [10, 60, 300] {
            rows.push(row(kind, number as u64, *step, *begin, interval));
        }
    }
    rows
}

fn row(kind: &'static str, number: u64, step: f64, begin: Begin, interval: i64) -> Row {
    let (mut judged, mut beyond, mut outside) = (0_u64, [0_u64; 3], 0_u64);
    let a_series = HELD_OUT_DAYS * 86_400 / interval;
    for series in 0..(SAMPLES / 2 / a_series).max(SERIES) {
        let mut noise = Noise::new(number * 1_000_003 + series as u64 * 7 + interval as u64 * 100_003);
        let mut next = begin(&mut noise, interval);
        let mut samples = |days: std::ops::Range<i64>| -> Vec<Sample> {
            (days.start * 86_400 / interval..days.end * 86_400 / interval)
                .map(|index| MONDAY + index * interval * SECOND)
                .map(|at| Sample { at, value: next(at, &mut noise) as f32 })
                .collect()
        };
        let options =
            Options { window_days: LEARNT_DAYS as u32, now: MONDAY + LEARNT_DAYS * DAY - 1, ..Options::default() };
        let Some(profile) = learn(&samples(0..LEARNT_DAYS), &options) else { continue };
        let held_out = samples(LEARNT_DAYS..LEARNT_DAYS + HELD_OUT_DAYS);
        for sample in held_out {
            let hour = hour_of_week(sample.at);
            outside += u64::from(profile.sigmas(hour, f64::from(sample.value)).abs() > 3.0);
            judged += 2;
            // A value that comes in steps lies evenly within its own (randomised p-values: Czado, Gneiting and Held 2009).
            let sigmas = profile.sigmas(hour, f64::from(sample.value) + step * (noise.uniform() - 0.5));
            let probabilities = [profile.tails.above.probability(sigmas), profile.tails.below.probability(-sigmas)];
            for (beyond, nominal) in beyond.iter_mut().zip(NOMINAL) {
                *beyond += probabilities.iter().filter(|probability| **probability <= nominal).count() as u64;
            }
        }
    }
    let share = |count: u64| count as f64 / judged.max(1) as f64;
    Row { kind, interval, judged, rates: beyond.map(share), outside: 2.0 * share(outside) }
}

type Next = Box<dyn FnMut(i64, &mut Noise) -> f64>;
/// Begins a series with samples so many seconds apart.
type Begin = fn(&mut Noise, i64) -> Next;

/// Daily and weekly shape, 0.2 to 1.
fn season(at: i64) -> f64 {
    let hours = at as f64 / HOUR as f64;
    let day = 0.6 + 0.4 * ((hours - 14.0) / 24.0 * std::f64::consts::TAU).cos();
    if hour_of_week(at) >= 120 { 0.5 * day } else { day }
}

/// Noise that forgets itself with a time constant in seconds, of variance 1.
fn remembering(constant: f64, interval: i64, noise: &mut Noise) -> impl FnMut(&mut Noise) -> f64 + use<> {
    let keep = (-(interval as f64) / constant).exp();
    let mut state = noise.normal();
    move |noise| {
        state = keep * state + (1.0 - keep * keep).sqrt() * noise.normal();
        state
    }
}

/// Name, step that the values come in, 0 for none, and the series.
const KINDS: &[(&str, f64, Begin)] = &[
    ("Gaussian", 0.0, |_, _| Box::new(|_, noise| 100.0 + 5.0 * noise.normal())),
    ("Gaussian, remembers 5 min", 0.0, |noise, interval| {
        let mut slow = remembering(300.0, interval, noise);
        Box::new(move |_, noise| 100.0 + 5.0 * slow(noise))
    }),
    ("Gaussian, remembers 1 h", 0.0, |noise, interval| {
        let mut slow = remembering(3_600.0, interval, noise);
        Box::new(move |_, noise| 100.0 + 5.0 * slow(noise))
    }),
    ("Student t, 3 degrees", 0.0, |_, _| Box::new(|_, noise| 100.0 + 5.0 * noise.student(3))),
    ("log-normal 0.5", 0.0, |_, _| Box::new(|_, noise| 20.0 * (0.5 * noise.normal()).exp())),
    ("log-normal 1", 0.0, |_, _| Box::new(|_, noise| 20.0 * noise.normal().exp())),
    ("Poisson 0.3", 1.0, |_, _| Box::new(|_, noise| noise.poisson(0.3))),
    ("Poisson 3", 1.0, |_, _| Box::new(|_, noise| noise.poisson(3.0))),
    ("Poisson 100", 1.0, |_, _| Box::new(|_, noise| noise.poisson(100.0))),
    ("Poisson, seasonal 0 to 40", 1.0, |_, _| Box::new(|at, noise| noise.poisson(40.0 * season(at)))),
    ("bursts, 6 a day", 0.0, |_, interval| {
        let (mut left, mut height) = (0.0, 0.0);
        Box::new(move |_, noise| {
            if left <= 0.0 && noise.uniform() < 6.0 * interval as f64 / 86_400.0 {
                left = -600.0 * noise.uniform().ln();
                height = 20.0 + 10.0 * noise.normal().abs();
            }
            left -= interval as f64;
            10.0 + noise.normal() + (if left > 0.0 { height } else { 0.0 })
        })
    }),
    ("seasonal, noise in proportion", 0.0, |_, _| {
        Box::new(|at, noise| 900.0 * season(at) * (0.1 * noise.normal()).exp())
    }),
    ("seasonal, days differ by 5 %", 0.0, |noise, _| {
        let (mut day, mut level) = (i64::MIN, noise.normal());
        Box::new(move |at, noise| {
            if at.div_euclid(DAY) != day {
                (day, level) = (at.div_euclid(DAY), noise.normal());
            }
            900.0 * season(at) * (1.0 + 0.05 * level) * (0.05 * noise.normal()).exp()
        })
    }),
    ("slow growth 1 % a day", 0.0, |_, _| {
        Box::new(|at, noise| 500.0 * (1.0 + 0.01 * (at - MONDAY) as f64 / DAY as f64) + 10.0 * noise.normal())
    }),
    ("seasonal and growing 1 % a day", 0.0, |_, _| {
        Box::new(|at, noise| {
            900.0 * season(at) * (1.0 + 0.01 * (at - MONDAY) as f64 / DAY as f64) * (0.05 * noise.normal()).exp()
        })
    }),
    ("level wanders, a day's memory", 0.0, |noise, interval| {
        let mut slow = remembering(86_400.0, interval, noise);
        Box::new(move |_, noise| 100.0 + 5.0 * slow(noise) + 2.0 * noise.normal())
    }),
    ("quantised to half a sigma", 0.5, |_, _| Box::new(|_, noise| (200.0 + 2.0 * noise.normal()).round() / 2.0)),
    ("share near 100 %", 0.0, |_, _| Box::new(|_, noise| 100.0 - 0.5 * noise.normal().abs())),
    ("level rose on day 9", 0.0, |_, _| {
        Box::new(|at, noise| (if at < MONDAY + 9 * DAY { 100.0 } else { 150.0 }) + 5.0 * noise.normal())
    }),
    ("an incident of 6 h on day 5", 0.0, |_, _| {
        Box::new(|at, noise| {
            let incident = (5 * DAY + 9 * HOUR..5 * DAY + 15 * HOUR).contains(&(at - MONDAY));
            (if incident { 200.0 } else { 100.0 }) + 5.0 * noise.normal()
        })
    }),
    (FLAT, 0.0, |_, _| Box::new(|_, _| 42.0)),
];

/// Deterministic noise: SplitMix64 (Steele, Lea and Flood 2014).
struct Noise(u64);

impl Noise {
    fn new(seed: u64) -> Self {
        // Mixed first: neighbouring states of this generator are the same numbers, a step apart.
        let mut first = Self(seed);
        Self((first.uniform() * 2_f64.powi(53)) as u64 ^ seed << 40)
    }

    /// Uniform, above 0 and below 1.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Standard normal (Box and Muller).
    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    fn student(&mut self, degrees: u32) -> f64 {
        let squares: f64 = (0..degrees).map(|_| self.normal().powi(2)).sum();
        self.normal() / (squares / f64::from(degrees)).sqrt()
    }

    /// Poisson: by products of uniforms (Knuth), in steps of 30 that add up.
    fn poisson(&mut self, mean: f64) -> f64 {
        let (mut left, mut total) = (mean, 0.0);
        while left > 0.0 {
            let step = left.min(30.0);
            left -= step;
            let limit = (-step).exp();
            let mut product = self.uniform();
            while product > limit {
                total += 1.0;
                product *= self.uniform();
            }
        }
        total
    }
}
