//! What speaks against a sample being normal: four kinds of departure, each as rare as it is for this series.
//!
//! Residuals of the short outlook and of the long course are summed over windows of one, four and sixteen samples, on
//! each side; the surprise is averaged over a longer window. Each of these magnitudes is turned into a tail probability
//! by a [`DecayedTail`] of its own, so that all speak the same language, whatever the series.
//!
//! Beside them it is asked what lasts ([`Lasting`]): where single values have long tails, the others have to put up with
//! much, and a lasting step of four deviations was found in half of the series only.
//!
//! What they say together is read in two tails, because two questions are asked. Whether it is an alarm is asked of a
//! cautious one, which a strong prior makes nearly the same for every series: by its own tail each series would alarm
//! equally often, also one in which nothing is wrong. How rare it is in this series' normal life is asked of a faithful
//! one, which believes what the series has shown; that is the score.

use statrs::function::erf::erfc;

use super::Departure;
use crate::stats::{DecayedTail, DecayedTailOptions};

/// Samples in the windows that residuals are summed over.
const WINDOWS: [usize; 3] = [1, 4, 16];
/// Samples in the window that the surprise is averaged over.
const SPREAD_WINDOW: usize = 48;
/// Greatest residual and surprise that a window takes in: one absurd value must not fill it.
const GREATEST_RESIDUAL: f64 = 50.0;
const GREATEST_SURPRISE: f64 = 12.0;
/// Greatest residual that counts where it is asked what lasts: a few that lie far off are no duration (Huber's function, as
/// of 1964). From 2 to 3 the figures are the same.
const GREATEST_LASTING: f64 = 2.5;
/// Gain of the mean that these residuals usually have, per sample: a course that grows is always a little behind, and that
/// is no departure. It outlasts a fault of half a day each minute.
const USUAL_GAIN: f64 = 0.0005;
/// Greatest evidence of one channel, and greatest rarity, in decades: a score is below 1.
const GREATEST_DECADES: f64 = 15.0;
/// A tail learns with this half-life, in samples.
const HALF_LIFE: f64 = 6000.0;
/// That of all the channels together: slower, because it must outlast an incident.
pub(super) const WHOLE_HALF_LIFE: f64 = 20_000.0;
/// Samples that the prior counts as.
pub(super) const PRIOR_SAMPLES: f64 = 400.0;
/// Shape of a channel's tail, and of the cautious one, while nothing is known: slightly heavier than exponential. And
/// the independent exceedances that it counts as.
pub(super) const PRIOR_SHAPE: f64 = 0.1;
pub(super) const PRIOR_EXCEEDANCES: f64 = 40.0;
/// The same for the faithful tail. Lighter, because a mean of six channels is seldom as far out as one of them; and
/// soon outdone by what the series shows.
const FAITHFUL_SHAPE: f64 = -0.1;
const FAITHFUL_EXCEEDANCES: f64 = 10.0;
/// Two sides, and so twice the chance.
const TWO_SIDES: f64 = std::f64::consts::LOG10_2;
/// Decades of the whole per decade of the channels' mean, before the series has shown its own: on white noise of any
/// distribution the mean of the six channels exceeds 1.8 once in a thousand samples, or less (docs/quality.md).
const MEAN_TO_DECADES: f64 = 1.8;
/// Samples that this counts as in the cautious tail.
const MEAN_TO_DECADES_SAMPLES: f64 = 5000.0;
/// What the spread must say more than the residuals to be heard, in decades: it is asked beside them.
const SPREAD_HANDICAP: f64 = 0.5;

/// The last residuals or surprises.
#[derive(Clone, Debug)]
struct Recent {
    values: [f64; SPREAD_WINDOW],
    next: usize,
    held: usize,
}

impl Recent {
    const EMPTY: Self = Self { values: [0.0; SPREAD_WINDOW], next: 0, held: 0 };

    fn last(&self) -> f64 {
        self.values[(self.next + SPREAD_WINDOW - 1) % SPREAD_WINDOW]
    }

    fn push(&mut self, value: f64) {
        self.values[self.next] = value;
        self.next = (self.next + 1) % SPREAD_WINDOW;
        self.held = (self.held + 1).min(SPREAD_WINDOW);
    }

    /// Sum of the last `window` values over the root of their number; 0 before there are so many.
    fn sum(&self, window: usize) -> f64 {
        self.sum_of(window, |value| value)
    }

    /// The same of what `part` makes of each.
    fn sum_of(&self, window: usize, part: impl Fn(f64) -> f64) -> f64 {
        if self.held < window {
            return 0.0;
        }
        let value = |back| self.values[(self.next + SPREAD_WINDOW - back) % SPREAD_WINDOW];
        (1..=window).map(|back| part(value(back))).sum::<f64>() / (window as f64).sqrt()
    }
}

/// A magnitude with a side, and how rarely it goes that far up and down.
#[derive(Clone, Debug)]
pub(super) struct TwoSided {
    up: DecayedTail,
    down: DecayedTail,
}

impl TwoSided {
    pub(super) fn new(window: usize, survival: impl Fn(f64) -> f64) -> Self {
        let options = DecayedTailOptions {
            share: 0.1,
            prior_values: PRIOR_SAMPLES,
            prior_shape: PRIOR_SHAPE,
            prior_exceedances: PRIOR_EXCEEDANCES,
            half_life: HALF_LIFE,
            cluster: 2 * window as u32 + 4,
        };
        Self { up: DecayedTail::new(options, &survival), down: DecayedTail::new(options, &survival) }
    }

    pub(super) fn judge(&mut self, magnitude: f64) -> f64 {
        let (up, down) = (magnitude.max(0.0), (-magnitude).max(0.0));
        let decades = self.up.decades(up).max(self.down.decades(down)) - TWO_SIDES;
        self.up.push(up);
        self.down.push(down);
        decades.clamp(0.0, GREATEST_DECADES)
    }
}

/// What lasts: the sum of many residuals of the course, of each of which no more counts than a little.
#[derive(Clone, Debug)]
struct Lasting {
    tail: TwoSided,
    /// Mean of what counts of a residual, over a long time.
    usual: f64,
}

impl Lasting {
    fn new() -> Self {
        Self { tail: TwoSided::new(SPREAD_WINDOW, half_normal_tail), usual: 0.0 }
    }

    fn judge(&mut self, residuals: &Recent) -> f64 {
        let counted = |residual: f64| residual.clamp(-GREATEST_LASTING, GREATEST_LASTING);
        let decades = self.tail.judge(residuals.sum_of(SPREAD_WINDOW, |residual| counted(residual) - self.usual));
        self.usual += USUAL_GAIN * (counted(residuals.last()) - self.usual);
        decades
    }
}

/// Evidence against a sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Decades of all the channels together, by which alarms are decided.
    pub decades: f64,
    /// Decades of what lasts, which has alarms of its own.
    pub lasting: f64,
    /// How rare this is in the series' normal life, in decades.
    pub rarity: f64,
    /// What speaks loudest.
    pub departure: Departure,
}

/// All channels of one series.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    outlook: Recent,
    course: Recent,
    surprise: Recent,
    of_outlook: [TwoSided; WINDOWS.len()],
    of_course: [TwoSided; WINDOWS.len()],
    of_surprise: TwoSided,
    lasting: Lasting,
    /// What all channels together usually say of this series: where they are more alike than on white noise, the same
    /// mean is reached more often. In the words of the module: the cautious and the faithful tail.
    cautious: DecayedTail,
    faithful: DecayedTail,
}

impl Evidence {
    pub(super) fn new() -> Self {
        let residuals = || WINDOWS.map(|window| TwoSided::new(window, half_normal_tail));
        let cautious = DecayedTailOptions {
            share: 0.1,
            prior_values: MEAN_TO_DECADES_SAMPLES,
            prior_shape: PRIOR_SHAPE,
            prior_exceedances: PRIOR_EXCEEDANCES,
            half_life: WHOLE_HALF_LIFE,
            cluster: SPREAD_WINDOW as u32,
        };
        let faithful = DecayedTailOptions {
            prior_values: PRIOR_SAMPLES,
            prior_shape: FAITHFUL_SHAPE,
            prior_exceedances: FAITHFUL_EXCEEDANCES,
            ..cautious
        };
        let together = |options| DecayedTail::new(options, |decades| 10_f64.powf(-decades));
        Self {
            outlook: Recent::EMPTY,
            course: Recent::EMPTY,
            surprise: Recent::EMPTY,
            of_outlook: residuals(),
            of_course: residuals(),
            of_surprise: TwoSided::new(SPREAD_WINDOW, |magnitude| 0.5 * (-0.5 * magnitude).exp()),
            lasting: Lasting::new(),
            cautious: together(cautious),
            faithful: together(faithful),
        }
    }

    /// Judges residuals, in deviations, and a surprise in nats, and learns from them. `season` is how far the daily
    /// course is believed.
    pub(super) fn judge(&mut self, outlook: f64, course: f64, surprise: f64, season: f64) -> Found {
        self.outlook.push(outlook.clamp(-GREATEST_RESIDUAL, GREATEST_RESIDUAL));
        self.course.push(course.clamp(-GREATEST_RESIDUAL, GREATEST_RESIDUAL));
        // A surprise has mean 1 when the outlook is right.
        self.surprise.push(surprise.min(GREATEST_SURPRISE) - 1.0);
        let mut of_outlook = [0.0; WINDOWS.len()];
        let mut of_course = [0.0; WINDOWS.len()];
        for (index, window) in WINDOWS.into_iter().enumerate() {
            of_outlook[index] = self.of_outlook[index].judge(self.outlook.sum(window));
            of_course[index] = self.of_course[index].judge(self.course.sum(window));
        }
        let mean = of_outlook.iter().chain(&of_course).sum::<f64>() / (2 * WINDOWS.len()) as f64;
        let spread = self.of_surprise.judge(self.surprise.sum(SPREAD_WINDOW)) - SPREAD_HANDICAP;
        let lasting = self.lasting.judge(&self.course);
        let together = (MEAN_TO_DECADES * mean).max(spread);
        let decades = self.cautious.decades(together);
        // A light tail ends, but nothing is certain.
        let rarity = self.faithful.decades(together).min(GREATEST_DECADES);
        self.cautious.push(together);
        self.faithful.push(together);
        let lasts = lasting > decades;
        let departure = if spread > MEAN_TO_DECADES * mean && !lasts {
            Departure::Spread
        } else if of_outlook[0].max(of_course[0]) >= of_outlook[2].max(of_course[2]) && !lasts {
            Departure::Spike
        } else if season > 0.5 && of_course[2] > of_outlook[2] {
            Departure::Shape
        } else {
            Departure::Level
        };
        Found { decades, lasting, rarity, departure }
    }

    /// After a gap, what was before does not belong to what comes.
    pub(super) fn forget(&mut self) {
        (self.outlook, self.course, self.surprise) = (Recent::EMPTY, Recent::EMPTY, Recent::EMPTY);
    }

    /// Distance from the outlook, in deviations down and up, beyond which one sample in `10^decades` lies.
    pub(super) fn reach(&self, decades: f64) -> (f64, f64) {
        let TwoSided { up, down } = &self.of_outlook[0];
        (down.magnitude(decades + TWO_SIDES), up.magnitude(decades + TWO_SIDES))
    }
}

/// One side of a normal distribution a little wider than the unit one: what residuals are before anything is known.
pub(super) fn half_normal_tail(magnitude: f64) -> f64 {
    0.5 * erfc(magnitude / 1.2 * std::f64::consts::FRAC_1_SQRT_2)
}
