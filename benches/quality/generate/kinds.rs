//! The kinds of clean series.

use super::{Random, START_MS, Series};

macro_rules! kinds {
    ($($kind:ident = $name:literal),+ $(,)?) => {
        /// A kind of clean series.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Kind {
            $(#[doc = $name] $kind),+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Kind] = &[$(Kind::$kind),+];

            /// What it is called in tables.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name),+ }
            }
        }
    };
}

kinds! {
    Gaussian = "Gaussian",
    Ar50 = "AR(1) 0.5",
    Ar90 = "AR(1) 0.9",
    Ar99 = "AR(1) 0.99",
    DriftingLevel = "drifting level",
    Student = "Student t, 3 degrees",
    LogNormal = "log-normal",
    PoissonRare = "Poisson, mean 0.3",
    PoissonFew = "Poisson, mean 3",
    PoissonSome = "Poisson, mean 30",
    PoissonMany = "Poisson, mean 3000",
    SeasonalCounts = "overdispersed counts, daily",
    Bursts = "bursts at random times",
    HourlyBatch = "batch each hour",
    NightlyBatch = "batch each night",
    Daily = "daily sine",
    DailyWithGaps = "daily sine with gaps",
    OfficeHours = "office hours",
    DailyWeekly = "daily x weekly, multiplicative",
    Growth = "linear growth",
    Flat = "constant",
    FlatQuantised = "constant, rarely one step off",
    Pages = "staircase of 8 KiB pages",
    Percent = "percent near 100",
    ZeroInflated = "mostly zero",
    Sawtooth = "sawtooth",
    Telegraph = "two levels at random",
    ChangingAmplitude = "daily, changing amplitude",
    ResponseTime = "response time under load",
    Cpu = "CPU percent, spiky",
}

/// A moment of the week.
struct Moment {
    /// Milliseconds since the series' start, a Monday 00:00.
    since: f64,
    /// Milliseconds to the next sample.
    step: f64,
}

const HOUR: f64 = 3_600_000.0;
const DAY: f64 = 24.0 * HOUR;

impl Moment {
    /// Hours since midnight.
    fn hour(&self) -> f64 {
        self.since % DAY / HOUR
    }

    fn weekend(&self) -> bool {
        self.since / DAY % 7.0 >= 5.0
    }

    /// -1 to 1, lowest at 03:00.
    fn sine(&self) -> f64 {
        -((self.hour() - 3.0) / 24.0 * std::f64::consts::TAU).cos()
    }

    /// Chance within one step of what happens once in so many hours.
    fn chance(&self, hours: f64) -> f64 {
        (self.step / (hours * HOUR)).min(1.0)
    }

    /// Share of the step that lies within two times, both since the series' start.
    fn share(&self, from: f64, to: f64) -> f64 {
        ((self.since + self.step).min(to) - self.since.max(from)).max(0.0) / self.step
    }
}

/// A value with the course and the noise it was drawn from.
struct Drawn {
    value: f64,
    course: f64,
    noise: f64,
}

fn drawn(value: f64, course: f64, noise: f64) -> Drawn {
    Drawn { value, course, noise }
}

/// What a kind remembers from row to row.
#[derive(Default)]
struct Memory {
    level: f64,
    other: f64,
    from: f64,
    to: f64,
    height: f64,
}

pub(super) fn generate(kind: Kind, seed: u64, rows: usize, step_ms: i64) -> Series {
    let mut random = Random::new(seed ^ (kind as u64 + 1).wrapping_mul(0xA076_1D64_78BD_642F) ^ step_ms as u64);
    let mut memory = Memory::default();
    let (bounds, grain) = limits(kind);
    let mut series = Series {
        kind: kind.name(),
        step_ms,
        start_ms: START_MS,
        values: Vec::with_capacity(rows),
        course: Vec::with_capacity(rows),
        noise: Vec::with_capacity(rows),
        bounds,
        grain,
    };
    for row in 0..rows {
        let moment = Moment { since: row as f64 * step_ms as f64, step: step_ms as f64 };
        let one = draw(kind, &mut random, &mut memory, &moment, row == 0);
        series.values.push(series.possible(one.value));
        series.course.push(one.course);
        series.noise.push(one.noise);
    }
    series
}

fn limits(kind: Kind) -> ((f64, f64), f64) {
    const ANY: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);
    const POSITIVE: (f64, f64) = (0.0, f64::INFINITY);
    match kind {
        Kind::PoissonRare | Kind::PoissonFew | Kind::PoissonSome | Kind::PoissonMany | Kind::SeasonalCounts => {
            (POSITIVE, 1.0)
        }
        Kind::FlatQuantised => (POSITIVE, 1.0),
        Kind::Pages => (POSITIVE, 8192.0),
        Kind::Percent | Kind::Cpu | Kind::Sawtooth => ((0.0, 100.0), 0.0),
        Kind::LogNormal | Kind::Bursts | Kind::ZeroInflated | Kind::ResponseTime | Kind::DailyWeekly => (POSITIVE, 0.0),
        _ => (ANY, 0.0),
    }
}

fn draw(kind: Kind, random: &mut Random, memory: &mut Memory, moment: &Moment, first: bool) -> Drawn {
    match kind {
        Kind::Gaussian => around(random, 50.0, 5.0),
        Kind::Ar50 => autoregressive(random, memory, 0.5, first),
        Kind::Ar90 => autoregressive(random, memory, 0.9, first),
        Kind::Ar99 => autoregressive(random, memory, 0.99, first),
        Kind::DriftingLevel => drifting_level(random, memory, moment, first),
        Kind::Student => drawn(100.0 + 10.0 * random.student(3.0), 100.0, 12.0),
        Kind::LogNormal => drawn(random.log_normal(2.0, 0.8), 7.4, 6.5),
        Kind::PoissonRare => poisson(random, 0.3),
        Kind::PoissonFew => poisson(random, 3.0),
        Kind::PoissonSome => poisson(random, 30.0),
        Kind::PoissonMany => poisson(random, 3000.0),
        Kind::SeasonalCounts => {
            let mean = 25.0 * (1.0 + 0.7 * moment.sine());
            let rate = mean * random.gamma(4.0) / 4.0;
            drawn(random.poisson(rate), mean, (mean + mean * mean / 4.0).sqrt())
        }
        Kind::Bursts => bursts(random, memory, moment),
        Kind::HourlyBatch => hourly_batch(random, memory, moment),
        Kind::NightlyBatch => nightly_batch(random, memory, moment, first),
        Kind::Daily => around(random, 100.0 + 30.0 * moment.sine(), 3.0),
        Kind::DailyWithGaps => {
            // One gap a day, of 20 minutes on average.
            if random.happens(moment.chance(24.0)) {
                memory.to = moment.since + moment.step.max(HOUR / 3.0 * random.exponential());
            }
            let one = around(random, 100.0 + 30.0 * moment.sine(), 3.0);
            if moment.since < memory.to { Drawn { value: f64::NAN, ..one } } else { one }
        }
        Kind::OfficeHours => around(random, 20.0 + if moment.weekend() { 0.0 } else { 60.0 * office(moment) }, 3.0),
        Kind::DailyWeekly => {
            let week = if moment.weekend() { 0.5 } else { 1.0 };
            let course = 1000.0 * week * (1.0 + 0.6 * moment.sine());
            drawn(course * random.log_normal(0.0, 0.06), course, 0.06 * course)
        }
        Kind::Growth => around(random, 100.0 + 5.0 * moment.since / DAY, 2.0),
        Kind::Flat => drawn(42.0, 42.0, 0.5),
        Kind::FlatQuantised => {
            let off = if random.happens(0.002) { if random.happens(0.5) { 1.0 } else { -1.0 } } else { 0.0 };
            drawn(42.0 + off, 42.0, 0.5)
        }
        Kind::Pages => {
            // Two pages a minute in the mean, more by day.
            let pages = random.poisson(2.0 * moment.step / 60_000.0 * (1.0 + 0.5 * moment.sine()));
            memory.level = if first { 1e5 } else { memory.level + pages };
            drawn(memory.level * 8192.0, memory.level * 8192.0, 8192.0)
        }
        Kind::Percent => around(random, 99.7, 0.25),
        Kind::ZeroInflated => {
            let value = if random.happens(0.9) { 0.0 } else { 5.0 * random.gamma(2.0) };
            drawn(value, 0.0, 5.0)
        }
        Kind::Sawtooth => sawtooth(random, memory, moment, first),
        Kind::Telegraph => {
            if first || random.happens(moment.chance(4.0)) {
                memory.level = if memory.level > 40.0 { 20.0 } else { 60.0 };
            }
            around(random, memory.level, 2.0)
        }
        Kind::ChangingAmplitude => {
            let amplitude = 25.0 + 15.0 * (moment.since / (21.0 * DAY) * std::f64::consts::TAU).sin();
            around(random, 100.0 + amplitude * moment.sine(), 2.0)
        }
        Kind::ResponseTime => {
            let load = 0.4 + 0.3 * moment.sine();
            let mean = 5.0 / (1.0 - load);
            drawn(mean * random.gamma(6.0) / 6.0, mean, mean / 6.0_f64.sqrt())
        }
        Kind::Cpu => {
            memory.level = 0.7 * memory.level + 0.51_f64.sqrt() * random.normal();
            let course = 30.0 + 15.0 * moment.sine();
            let spike = if random.happens(0.01) { 30.0 * random.exponential() } else { 0.0 };
            drawn(course + 5.0 * memory.level + spike, course, 5.0)
        }
    }
}

/// Gaussian noise around a course.
fn around(random: &mut Random, course: f64, noise: f64) -> Drawn {
    drawn(course + noise * random.normal(), course, noise)
}

fn autoregressive(random: &mut Random, memory: &mut Memory, correlation: f64, first: bool) -> Drawn {
    let fresh = random.normal();
    let kept = (1.0 - correlation * correlation).sqrt();
    memory.level = if first { fresh } else { correlation * memory.level + kept * fresh };
    drawn(50.0 + 5.0 * memory.level, 50.0, 5.0)
}

fn poisson(random: &mut Random, mean: f64) -> Drawn {
    drawn(random.poisson(mean), mean, mean.sqrt())
}

/// 0 by night, 1 from about nine to five.
fn office(moment: &Moment) -> f64 {
    let rises = 1.0 / (1.0 + (-(moment.hour() - 8.5) * 4.0).exp());
    let falls = 1.0 / (1.0 + ((moment.hour() - 17.5) * 4.0).exp());
    rises * falls
}

/// A disk that fills within about half a day and is then cleaned up.
fn sawtooth(random: &mut Random, memory: &mut Memory, moment: &Moment, first: bool) -> Drawn {
    if first || memory.level >= memory.height {
        memory.level = 40.0 + random.normal();
        memory.height = 70.0 + 2.0 * random.normal();
        memory.other = 30.0 / 12.0 * (1.0 + 0.1 * random.normal());
    }
    memory.level += memory.other * moment.step / HOUR * (0.5 + random.uniform());
    drawn(memory.level + 0.2 * random.normal(), memory.level, 0.2)
}

/// Little, and now and then a lot of it.
fn bursts(random: &mut Random, memory: &mut Memory, moment: &Moment) -> Drawn {
    // Three a day, a quarter of an hour each on average, and never shorter than two samples.
    if moment.since >= memory.to && random.happens(moment.chance(8.0)) {
        memory.to = moment.since + (2.0 * moment.step).max(0.25 * HOUR * random.exponential());
        memory.height = 20.0 + 10.0 * random.gamma(3.0);
    }
    let course = if moment.since < memory.to { memory.height } else { 2.0 };
    let noise = 0.15 * course;
    drawn(course * random.gamma(44.0) / 44.0, course, noise)
}

/// Four minutes of work in each hour.
fn hourly_batch(random: &mut Random, memory: &mut Memory, moment: &Moment) -> Drawn {
    if moment.since + moment.step > memory.to {
        let hour = (moment.since / HOUR).floor() * HOUR;
        memory.from = hour + HOUR / 12.0 + 20_000.0 * random.uniform();
        memory.to = memory.from + HOUR / 15.0 * (1.0 + 0.1 * random.normal());
        if moment.since >= memory.to {
            memory.from += HOUR;
            memory.to += HOUR;
        }
        memory.height = 40.0 + 3.0 * random.normal();
    }
    let course = 20.0 + memory.height * moment.share(memory.from, memory.to);
    around(random, course, 2.0)
}

/// Three quarters of an hour of work in each night.
fn nightly_batch(random: &mut Random, memory: &mut Memory, moment: &Moment, first: bool) -> Drawn {
    if first || moment.since >= memory.to + 12.0 * HOUR {
        let midnight = if first { 0.0 } else { (moment.since / DAY).ceil() * DAY };
        memory.from = midnight + 2.0 * HOUR + 120_000.0 * random.uniform();
        memory.to = memory.from + 0.75 * HOUR * (1.0 + 0.1 * random.normal());
        memory.height = 60.0 + 4.0 * random.normal();
    }
    let course = 30.0 + 10.0 * moment.sine() + memory.height * moment.share(memory.from, memory.to);
    around(random, course, 3.0)
}

/// A random walk under noise.
fn drifting_level(random: &mut Random, memory: &mut Memory, moment: &Moment, first: bool) -> Drawn {
    // Ten units a day, held within 0 and 100 by reflection.
    let start = if first { 20.0 + 60.0 * random.uniform() } else { memory.level };
    let moved = start + 10.0 * (moment.step / DAY).sqrt() * random.normal();
    memory.level = if moved < 0.0 {
        -moved
    } else if moved > 100.0 {
        200.0 - moved
    } else {
        moved
    };
    around(random, memory.level, 1.0)
}
