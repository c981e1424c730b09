//! One series judged from its first sample on, learning as it goes: no history, no range, no length known beforehand.
//!
//! Pure and causal: what is said of a sample depends on it and the samples before it, and on nothing else. The rule
//! `pattern`, the backtest and the quality runs all step this.
//!
//! Read in this order: `course` is the slow level with its daily profile, `outlook` the next value by whichever simple
//! forecaster was right lately, `evidence` turns the residuals of both into one tail probability that means the same for
//! every series, `news` merges it into alarms and incidents. `single` looks at the values of a minute that is judged as
//! one, `joint` judges several series together.

mod course;
mod evidence;
mod joint;
mod news;
mod outlook;
mod single;
#[cfg(test)]
mod tests;

pub use joint::{Joint, JointReading};

use course::Course;
use evidence::{Evidence, Found};
use news::{News, Told};
use outlook::Outlook;
use single::{Alone, Single};

/// How a stream is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StreamOptions {
    /// Least score of an anomalous sample, 0 to 1.
    pub threshold: f64,
    /// Physical minimum: the band stops there.
    pub minimum: Option<f64>,
    /// Physical maximum: the band stops there.
    pub maximum: Option<f64>,
}

/// Threshold of the shipped default: nine samples in ten thousand. It lies on a plateau, from 0.998 to 0.9997, on which
/// the score over recorded series hardly changes (docs/quality.md).
pub const DEFAULT_THRESHOLD: f64 = 0.9991;

impl Default for StreamOptions {
    fn default() -> Self {
        Self { threshold: DEFAULT_THRESHOLD, minimum: None, maximum: None }
    }
}

/// What kind of departure a score speaks of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Departure {
    /// A single value far from what was expected.
    Spike,
    /// The level moved.
    Level,
    /// Values scatter more, or less, than they did.
    Spread,
    /// The daily course is not followed.
    Shape,
    /// Of several series: they do not move together as they do.
    Bond,
}

impl Departure {
    /// A sentence for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Spike => "a value far from what was expected",
            Self::Level => "the level moved",
            Self::Spread => "values scatter otherwise than before",
            Self::Shape => "the daily course is not followed",
            Self::Bond => "the metrics do not move together as they do",
        }
    }
}

/// What a stream says of one sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Value that was expected; `NaN` while nothing is known.
    pub expected: f64,
    /// Lower end of the band that holds all but one sample in a thousand; `NaN` while nothing is known.
    pub lower: f64,
    /// Upper end of that band.
    pub upper: f64,
    /// Confidence, 0 to 1: 0.999 means that one sample in a thousand of this series' normal life looks so.
    /// 0 for an absent value and while nothing is known. News are at the threshold at least, and what only repeats an
    /// anomaly that is known stays below it. Where samples come faster than they are judged, those until the next
    /// judgement have the score of the last: it speaks of them as well.
    pub score: f64,
    /// Whether the score brings news beyond the threshold. Within an incident only a sample that says more than the
    /// ones before it does.
    pub anomalous: bool,
    /// Number of the incident that is open, from 1; `None` while none is. To open one takes evidence that is sixteen
    /// times as rare as an anomalous sample's at one sample each five minutes, and rarer where samples come faster; it
    /// ends when 50 judgements said nothing more: that many samples, or minutes where they come faster.
    pub incident: Option<u64>,
    /// What the score speaks of; `None` while nothing is known.
    pub departure: Option<Departure>,
}

impl Reading {
    /// What is said of an absent value.
    pub const UNKNOWN: Self = Self {
        expected: f64::NAN,
        lower: f64::NAN,
        upper: f64::NAN,
        score: 0.0,
        anomalous: false,
        incident: None,
        departure: None,
    };
}

/// Greatest value that is usable: squares of what is beyond would not be finite.
const GREATEST: f64 = 1e100;
/// Least time between two judgements, in ms: values that come faster are averaged. A fault that is over within a minute
/// wakes nobody, and neighbours that close say much the same.
const FINEST_STEP_MS: f64 = 60_000.0;
/// Samples before anything is judged.
const FIRST_JUDGED: f64 = 150.0;
/// Samples in which everything is learnt as it is.
const YOUNG: f64 = 50.0;
/// Steps without a value after which the last values say nothing about the next.
const GAP_STEPS: f64 = 12.0;
/// Least deviation as a share of the whole series': what is smaller is no departure that anybody would see.
const FLOOR_OF_SPREAD: f64 = 0.03;
/// Least deviation as a share of the series' mean, and in its unit: figures are not more exact.
const FLOOR_OF_MEAN: f64 = 1e-6;
const SMALLEST_FLOOR: f64 = 1e-12;
/// Least deviation as a share of the smallest change seen: of counts and pages, which move in steps.
const FLOOR_OF_QUANTUM: f64 = 0.2;
/// Growth of the smallest change seen per sample, so that one is not held for ever.
const QUANTUM_GROWTH: f64 = 1.0005;
/// Gains of the mean and variance of the whole series, per sample.
const WHOLE_MEAN_GAIN: f64 = 0.005;
const WHOLE_VARIANCE_GAIN: f64 = 0.001;
/// Deviations that a value counts for in the whole series' variance at most.
const WHOLE_CLIP: f64 = 6.0;
/// And in its mean: one absurd value must not hold it for a thousand samples.
const WHOLE_LEAP: f64 = 50.0;
/// Decades that the band leaves out.
const BAND_DECADES: f64 = 3.0;
/// How fast the usual step follows what comes.
const STEP_GAIN: f64 = 1.02;

/// One series, judged sample by sample.
#[derive(Clone, Debug)]
pub struct Stream {
    options: StreamOptions,
    news: News,
    /// Time of the last row.
    last_row: Option<i64>,
    /// Usual time between rows, in ms.
    row_step: f64,
    block: Block,
    /// `None` unless values are averaged.
    single: Option<Box<Single>>,
    /// Deviation of a single value, as of the last judgement; 0 while unknown.
    deviation: f64,
    /// What the last judgement said, for the rows until the next.
    last: Reading,
    /// `None` until the first value.
    series: Option<Series>,
}

/// Values that are averaged before they are judged.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    sum: f64,
    count: f64,
    begin: i64,
}

/// What is known of the series.
#[derive(Clone, Debug)]
struct Series {
    course: Course,
    outlook: Outlook,
    evidence: Evidence,
    first_at: i64,
    last_at: i64,
    last_value: f64,
    /// Usual time between judgements, in ms; 0 while unknown.
    step: f64,
    seen: f64,
    /// Of the whole series, whatever the hour.
    mean: f64,
    variance: f64,
    /// Smallest change seen; 0 while there was none.
    quantum: f64,
}

impl Stream {
    /// A stream that has seen nothing.
    pub fn new(options: StreamOptions) -> Self {
        let threshold = decades(options.threshold);
        Self {
            options,
            news: News::new(threshold),
            last_row: None,
            row_step: 0.0,
            block: Block::default(),
            single: None,
            deviation: 0.0,
            last: Reading::UNKNOWN,
            series: None,
        }
    }

    /// Judges a sample and learns from it. `at` in milliseconds since the Unix epoch. Absent, which is neither judged
    /// nor learnt: a value that is not finite or beyond 1e100, and one that is not later than the ones before it. An
    /// incident that is open stays so for twelve steps: no value proves no recovery. The hours of the day are UTC's.
    pub fn sample(&mut self, at: i64, value: f64) -> Reading {
        self.sample_by_clock(at, at, value)
    }

    /// The same with the hours of the day by another clock, which showed `local` then, as if it were UTC: people's days
    /// move with theirs.
    pub fn sample_by_clock(&mut self, at: i64, local: i64, value: f64) -> Reading {
        let usable = value.is_finite() && value.abs() <= GREATEST;
        if !usable || self.last_row.is_some_and(|last| at <= last) {
            return Reading { incident: self.still_open(at), ..Reading::UNKNOWN };
        }
        if let Some(last) = self.last_row {
            follow(&mut self.row_step, at.saturating_sub(last) as f64);
        }
        self.last_row = Some(at);
        let averaged = self.row_step > 0.0 && self.row_step < FINEST_STEP_MS * 0.75;
        if !averaged {
            self.block = Block::default();
            return self.judge(at, local, value, 1.0);
        }
        self.averaged(at, local, value)
    }

    /// Takes a value into its minute; the last one of a minute brings the judgement. One that is far enough off by itself
    /// is told at once.
    fn averaged(&mut self, at: i64, local: i64, value: f64) -> Reading {
        if at.saturating_sub(self.block.begin) as f64 >= GAP_STEPS * FINEST_STEP_MS {
            self.block = Block::default();
            // What was said before a gap does not speak of what comes.
            self.last.score = 0.0;
        }
        if self.block.count <= 0.0 {
            self.block.begin = at;
        }
        self.block.sum += value;
        self.block.count += 1.0;
        let alone = self.alone(value);
        let complete = at.saturating_sub(self.block.begin) as f64 + 1.5 * self.row_step > FINEST_STEP_MS;
        if complete {
            let Block { sum, count, .. } = std::mem::replace(&mut self.block, Block { begin: at, ..Block::default() });
            self.last = self.judge(at, local, sum / count, count);
        }
        let reading = Reading { anomalous: complete && self.last.anomalous, ..self.last };
        if reading.anomalous {
            return reading;
        }
        match alone.and_then(|alone| self.news.tell_single(&alone, self.age(at))) {
            Some(score) => Reading { score, anomalous: true, departure: Some(Departure::Spike), ..reading },
            None => reading,
        }
    }

    /// What speaks against a single value of a minute; `None` while nothing is known.
    fn alone(&mut self, value: f64) -> Option<Alone> {
        let distance = (value - self.last.expected) / self.deviation;
        let single = self.single.get_or_insert_with(Box::default);
        distance.is_finite().then(|| single.judge(distance, FINEST_STEP_MS / self.row_step))
    }

    /// The incident that is open although a value is absent: not for ever.
    fn still_open(&self, at: i64) -> Option<u64> {
        let silent = self.last_row.map_or(0, |last| at.saturating_sub(last)) as f64;
        self.news.incident().filter(|_| silent <= GAP_STEPS * self.row_step.max(FINEST_STEP_MS))
    }

    fn age(&self, at: i64) -> i64 {
        self.series.as_ref().map_or(0, |series| at.saturating_sub(series.first_at))
    }

    /// Judges the mean of `count` values.
    fn judge(&mut self, at: i64, local: i64, value: f64, count: f64) -> Reading {
        let Some(series) = &mut self.series else {
            self.series = Some(Series::new(at, value));
            return Reading::UNKNOWN;
        };
        let elapsed = at.saturating_sub(series.last_at) as f64;
        let (expected, deviation, reach, found) = series.judge(at, local, value);
        if series.seen < FIRST_JUDGED {
            return Reading::UNKNOWN;
        }
        let age = at.saturating_sub(series.first_at);
        let Told { decades, anomalous, incident } = self.news.tell(&found, series.step, elapsed, age);
        // Single values scatter more than their mean.
        let deviation = deviation * count.sqrt();
        self.deviation = deviation;
        let bound = |edge: f64| {
            edge.max(self.options.minimum.unwrap_or(f64::NEG_INFINITY))
                .min(self.options.maximum.unwrap_or(f64::INFINITY))
        };
        Reading {
            expected,
            lower: bound(expected - reach.0 * deviation),
            upper: bound(expected + reach.1 * deviation),
            score: score(decades),
            anomalous,
            incident,
            departure: Some(found.departure),
        }
    }
}

impl Series {
    fn new(at: i64, value: f64) -> Self {
        Self {
            course: Course::new(value),
            outlook: Outlook::new(value),
            evidence: Evidence::new(),
            first_at: at,
            last_at: at,
            last_value: value,
            step: 0.0,
            seen: 1.0,
            mean: value,
            variance: 0.0,
            quantum: 0.0,
        }
    }

    /// Mean and deviation that were expected, the band's reach in deviations, and what speaks against the value.
    fn judge(&mut self, at: i64, local: i64, value: f64) -> (f64, f64, (f64, f64), Found) {
        let elapsed = at.saturating_sub(self.last_at) as f64;
        let gap = self.step > 0.0 && elapsed > GAP_STEPS * self.step;
        if !gap {
            follow(&mut self.step, elapsed);
        }
        self.last_at = at;
        self.seen += 1.0;
        let young = self.seen < YOUNG;
        let floor = (FLOOR_OF_SPREAD * self.variance.sqrt())
            .max(FLOOR_OF_MEAN * self.mean.abs())
            .max(SMALLEST_FLOOR)
            .max(FLOOR_OF_QUANTUM * self.quantum);
        if gap {
            self.outlook.forget(value);
            self.evidence.forget();
        }
        let course = self.course.expect(local, self.step, floor);
        let said = self.outlook.judge(value, course.mean, floor);
        let reach = self.evidence.reach(BAND_DECADES);
        let found = self.evidence.judge(
            (value - said.mean) / said.deviation,
            (value - course.mean) / course.deviation,
            said.surprise,
            course.season,
        );
        self.outlook.learn(value, floor, self.seen, young);
        self.course.learn(local, self.step, value, &course, self.seen, young);
        self.learn_whole(value, young);
        (said.mean, said.deviation, reach, found)
    }

    fn learn_whole(&mut self, value: f64, young: bool) {
        let change = (value - self.last_value).abs();
        self.last_value = value;
        if change > 0.0 && (self.quantum <= 0.0 || change < self.quantum) {
            self.quantum = change;
        } else if change > 0.0 {
            self.quantum *= QUANTUM_GROWTH;
        }
        let within = |deviations: f64| if young { f64::INFINITY } else { deviations * self.variance.sqrt() };
        let (leap, bound) = (within(WHOLE_LEAP), within(WHOLE_CLIP));
        self.mean += WHOLE_MEAN_GAIN.max(1.0 / self.seen) * (value - self.mean).clamp(-leap, leap);
        let residual = (value - self.mean).clamp(-bound, bound);
        self.variance += WHOLE_VARIANCE_GAIN.max(1.0 / self.seen) * (residual * residual - self.variance);
    }
}

/// How rare a score is, in decades.
fn decades(score: f64) -> f64 {
    -(1.0 - score.clamp(0.0, 1.0)).max(1e-12).log10()
}

/// The score that is as rare as so many decades.
fn score(decades: f64) -> f64 {
    1.0 - 10_f64.powf(-decades)
}

/// Lets a usual step follow what came: by a ratio, so that one long gap does not move it far.
fn follow(step: &mut f64, elapsed: f64) {
    if elapsed <= 0.0 {
        return;
    }
    if *step <= 0.0 {
        *step = elapsed;
    } else if elapsed > *step {
        *step = (*step * STEP_GAIN).min(elapsed);
    } else {
        *step = (*step / STEP_GAIN).max(elapsed);
    }
}
