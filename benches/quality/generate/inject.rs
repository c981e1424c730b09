//! Faults of stated size, put into a series.

use super::{Random, Series};

/// What is put in. Sizes are in units of the local noise where nothing else is said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// Values raised by the size.
    Spike,
    /// Values lowered by the size.
    Dip,
    /// The level raised by the size from there on; ends with the length.
    StepUp,
    /// The level lowered by the size.
    StepDown,
    /// A rise from nothing to the size over the length; the level stays there.
    Drift,
    /// Deviations from the course multiplied by the size.
    VarianceUp,
    /// Deviations from the course divided by the size.
    VarianceDown,
    /// Season reduced towards its daily mean; the size is the share that is lost, 0 to 1.
    SeasonFlattened,
    /// Season late; the size is in hours.
    SeasonMoved,
    /// The part of the season above its daily mean reduced; the size is the share that is lost, 0 to 1.
    PeakMissing,
    /// The last value before it repeated; no size.
    FlatLine,
    /// Single spikes of the size, more and more: none at first, every second value at the end.
    SpikeDensity,
}

impl Fault {
    /// Every fault.
    #[allow(dead_code, reason = "for the tests of the instruments")]
    pub const ALL: &'static [Fault] = &[
        Fault::Spike,
        Fault::Dip,
        Fault::StepUp,
        Fault::StepDown,
        Fault::Drift,
        Fault::VarianceUp,
        Fault::VarianceDown,
        Fault::SeasonFlattened,
        Fault::SeasonMoved,
        Fault::PeakMissing,
        Fault::FlatLine,
        Fault::SpikeDensity,
    ];

    /// What it is called in tables.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Spike => "spike",
            Fault::Dip => "dip",
            Fault::StepUp => "step up",
            Fault::StepDown => "step down",
            Fault::Drift => "drift",
            Fault::VarianceUp => "variance up",
            Fault::VarianceDown => "variance down",
            Fault::SeasonFlattened => "season flattened",
            Fault::SeasonMoved => "season late",
            Fault::PeakMissing => "peak missing",
            Fault::FlatLine => "flat line",
            Fault::SpikeDensity => "growing spike density",
        }
    }
}

/// Changes the rows `at .. at + length`; they keep to what the series could show (bounds, grain).
pub fn inject(series: &mut Series, fault: Fault, size: f64, at: usize, length: usize) {
    let end = if fault == Fault::Drift { usize::MAX } else { at + length }.min(series.values.len());
    let day = series.rows(24.0);
    let late = series.rows(size.max(0.0));
    let first_day = at / day;
    let means: Vec<f64> = (first_day..=end / day).map(|of| mean(series.course.chunks(day).nth(of))).collect();
    let mut random = Random::new(at as u64);
    let held = series.values[..at].iter().rev().copied().find(|value| value.is_finite()).unwrap_or(0.0);
    for row in at..end {
        let (value, course, noise) = (series.values[row], series.course[row], series.noise[row]);
        let progress = ((row - at + 1) as f64 / length as f64).min(1.0);
        let above_mean = course - means[row / day - first_day];
        let changed = match fault {
            Fault::Spike | Fault::StepUp => value + size * noise,
            Fault::Dip | Fault::StepDown => value - size * noise,
            Fault::Drift => value + size * noise * progress,
            Fault::VarianceUp => course + (value - course) * size,
            Fault::VarianceDown => course + (value - course) / size,
            Fault::SeasonFlattened => value - size * above_mean,
            Fault::SeasonMoved => value - course + series.course[row.saturating_sub(late)],
            Fault::PeakMissing => value - size * above_mean.max(0.0),
            Fault::FlatLine => held,
            Fault::SpikeDensity => value + if random.happens(0.5 * progress) { size * noise } else { 0.0 },
        };
        series.values[row] = series.possible(changed);
    }
}

/// Mean of a day's course; 0 of none.
fn mean(course: Option<&[f64]>) -> f64 {
    course.map_or(0.0, |course| course.iter().sum::<f64>() / course.len() as f64)
}
