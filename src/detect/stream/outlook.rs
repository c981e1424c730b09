//! The next value, by whichever simple forecaster was right lately.
//!
//! Dynamic model averaging (Raftery, Karny and Ettler, Technometrics 52, 2010): each forecaster gives a Student
//! distribution about its mean, and counts by how well it foretold the samples before, which it forgets slowly.

/// Share of its record that a forecaster keeps from sample to sample.
const MEMORY: f64 = 0.98;
/// Gain of a forecaster's variance, per sample.
const VARIANCE_GAIN: f64 = 0.005;
/// Residuals count for no more than this many deviations when they are learnt.
const CLIP: f64 = 4.0;
/// And for no more than this many where a mean takes them on: one absurd value must not hold it for hundreds of samples.
/// The last value is taken as it is.
const LEAP: f64 = 50.0;
/// Worst that one sample can do to a forecaster's record, as a log likelihood.
const WORST: f64 = -15.0;
/// Least probability that a surprise is told from, so that it stays finite.
const LEAST_PROBABILITY: f64 = 1e-25;

/// Gains of the exponential averages beside the long course: from the last value to a slow mean.
const GAINS: [f64; 4] = [1.0, 0.3, 0.05, 0.01];

#[derive(Clone, Copy, Debug, Default)]
struct Forecaster {
    mean: f64,
    variance: f64,
    /// Log of its weight, up to a constant.
    record: f64,
    /// 0: its mean is the long course's.
    gain: f64,
}

impl Forecaster {
    fn deviation(&self, floor: f64) -> f64 {
        self.variance.sqrt().max(floor)
    }
}

/// The forecasters and their records.
#[derive(Clone, Debug)]
pub(super) struct Outlook {
    forecasters: [Forecaster; 1 + GAINS.len()],
}

/// What the forecasters say together of a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub mean: f64,
    pub deviation: f64,
    /// `-ln` of the probability of a value at least as far out on either side.
    pub surprise: f64,
}

impl Outlook {
    pub(super) fn new(value: f64) -> Self {
        let mut forecasters = [Forecaster { mean: value, ..Forecaster::default() }; 1 + GAINS.len()];
        for (forecaster, gain) in forecasters.iter_mut().skip(1).zip(GAINS) {
            forecaster.gain = gain;
        }
        Self { forecasters }
    }

    /// Judges a value; `course` is the mean of the long course now.
    pub(super) fn judge(&mut self, value: f64, course: f64, floor: f64) -> Said {
        self.forecasters[0].mean = course;
        let best = self.forecasters.iter().map(|forecaster| forecaster.record).fold(f64::NEG_INFINITY, f64::max);
        let (mut weights, mut mean, mut variance, mut above, mut below) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for forecaster in &self.forecasters {
            let weight = (forecaster.record - best).exp();
            let sigmas = (value - forecaster.mean) / forecaster.deviation(floor);
            let tail = student_tail(sigmas);
            weights += weight;
            mean += weight * forecaster.mean;
            variance += weight * forecaster.variance;
            above += weight * tail;
            below += weight * (1.0 - tail).max(student_tail(-sigmas));
        }
        let probability = (2.0 * above.min(below) / weights).clamp(LEAST_PROBABILITY, 1.0);
        Said { mean: mean / weights, deviation: (variance / weights).sqrt().max(floor), surprise: -probability.ln() }
    }

    /// Learns a value; `seen` counts the samples so far, and while `young` nothing is clipped.
    pub(super) fn learn(&mut self, value: f64, floor: f64, seen: f64, young: bool) {
        for forecaster in &mut self.forecasters {
            let deviation = forecaster.deviation(floor);
            let residual = value - forecaster.mean;
            let likelihood = student_log_density(residual / deviation).max(WORST) - deviation.ln();
            forecaster.record = MEMORY * forecaster.record + likelihood;
            let within = |deviations: f64| if young { f64::INFINITY } else { deviations * deviation };
            let (leap, bound) = (within(LEAP), within(CLIP));
            let clipped = residual.clamp(-bound, bound);
            forecaster.variance += VARIANCE_GAIN.max(1.0 / seen) * (clipped * clipped - forecaster.variance);
            if forecaster.gain >= 1.0 {
                forecaster.mean = value;
            } else if forecaster.gain > 0.0 {
                forecaster.mean += forecaster.gain.max(1.0 / seen) * residual.clamp(-leap, leap);
            }
        }
    }

    /// After a gap the last values say nothing about the next.
    pub(super) fn forget(&mut self, value: f64) {
        for forecaster in self.forecasters.iter_mut().filter(|forecaster| forecaster.gain >= 0.3) {
            forecaster.mean = value;
        }
    }
}

/// Log density of the Student distribution of five degrees of freedom, whose tails forgive an outlier.
fn student_log_density(sigmas: f64) -> f64 {
    -3.0 * (sigmas * sigmas / 5.0).ln_1p() - 0.968_619_589
}

/// Probability of more than `sigmas` for five degrees of freedom; closed form after Abramowitz and Stegun, 26.7.3.
fn student_tail(sigmas: f64) -> f64 {
    let far = sigmas.abs();
    let upper = if far > 30.0 {
        // The closed form loses its digits here; the tail falls with the fifth power.
        9.490_112_9 / (far.powi(5) * (1.0 + 10.7 / (far * far)))
    } else {
        let angle = (far / 5_f64.sqrt()).atan();
        let cosine = angle.cos();
        let within = angle + (cosine + 2.0 / 3.0 * cosine.powi(3)) * angle.sin();
        0.5 - within / std::f64::consts::PI
    };
    if sigmas >= 0.0 { upper } else { 1.0 - upper }
}

#[cfg(test)]
mod tests {
    use statrs::distribution::{ContinuousCDF, StudentsT};

    use super::*;

    #[test]
    fn the_student_tail_agrees_with_the_library() {
        let library = StudentsT::new(0.0, 1.0, 5.0).unwrap();
        for sigmas in [0.0, 0.5, 1.0, 3.0, 10.0, 29.0, 31.0, 100.0, 1e4] {
            assert!((student_tail(sigmas) / library.sf(sigmas) - 1.0).abs() < 0.01, "{sigmas}");
            assert!((student_tail(-sigmas) - library.sf(-sigmas)).abs() < 1e-6, "{sigmas}");
        }
    }

    #[test]
    fn the_forecaster_that_was_right_lately_is_followed() {
        let mut outlook = Outlook::new(0.0);
        for index in 1..400 {
            let value = f64::from(index);
            outlook.judge(value, 0.0, 1e-3);
            outlook.learn(value, 1e-3, f64::from(index), index < 50);
        }
        let said = outlook.judge(400.0, 0.0, 1e-3);
        assert!((said.mean - 399.0).abs() < 1.0, "{said:?}");
        assert!(said.surprise < 3.0, "{said:?}");
    }
}
