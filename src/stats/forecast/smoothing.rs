//! Double seasonal exponential smoothing with an autoregressive rest (Taylor, Journal of the Operational Research
//! Society 54, 2003): the profile itself moves on with every cycle.

use super::season::{Periods, Season};

/// Shares of an error that the level, the short and the long profile take on, and the memory of what is left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rates {
    level: f64,
    short: f64,
    long: f64,
    memory: f64,
}

const LEVEL: [f64; 5] = [0.002, 0.01, 0.04, 0.15, 0.5];
const PROFILE: [f64; 3] = [0.03, 0.12, 0.3];
const MEMORY: [f64; 5] = [0.0, 0.6, 0.85, 0.95, 0.99];

/// The state, run over a series.
struct State {
    level: f64,
    short: Vec<f64>,
    long: Vec<f64>,
    rest: f64,
}

/// Rows from which the profile is made that smoothing begins with.
pub(super) fn warm_up(periods: Periods) -> usize {
    2 * periods.cycle()
}

/// The rates with the least mean absolute error up to `horizon`, from the same origins.
pub(super) fn choose(values: &[f64], periods: Periods, origins: &[usize], horizon: usize) -> Rates {
    let usual = Rates { level: 0.01, short: 0.12, long: 0.12, memory: 0.85 };
    let mut best = (f64::INFINITY, usual);
    let few: Vec<usize> = origins.iter().copied().step_by(2).collect();
    let begun = begin(values, periods);
    let mut tried = |rates: Rates| {
        let mut error = 0.0;
        run(values, periods, &begun, rates, &few, horizon, |origin, path| {
            let errors = path.iter().zip(&values[origin..]).map(|(path, value)| (path - value).abs());
            error += errors.sum::<f64>();
        });
        if error < best.0 {
            best = (error, rates);
        }
        best.1
    };
    // One pair after the other: all four at once cost seven times as much and gain nothing that can be measured.
    let mut rates = usual;
    for level in LEVEL {
        for memory in MEMORY {
            rates = tried(Rates { level, memory, ..usual });
        }
    }
    for short in PROFILE {
        for long in if periods.long.is_some() { &PROFILE[..] } else { &PROFILE[..1] } {
            tried(Rates { short, long: *long, ..rates });
        }
    }
    best.1
}

/// Gives the path after each origin that lies beyond the warm-up, in ascending order.
pub(super) fn paths(
    values: &[f64],
    periods: Periods,
    rates: Rates,
    origins: &[usize],
    horizon: usize,
    found: impl FnMut(usize, &[f64]),
) {
    run(values, periods, &begin(values, periods), rates, origins, horizon, found);
}

fn begin(values: &[f64], periods: Periods) -> Season {
    Season::learn(&values[..warm_up(periods).min(values.len())], periods)
}

fn run(
    values: &[f64],
    periods: Periods,
    begun: &Season,
    rates: Rates,
    origins: &[usize],
    horizon: usize,
    mut found: impl FnMut(usize, &[f64]),
) {
    let first = warm_up(periods).min(values.len());
    let mut state = State {
        level: values[..first].iter().sum::<f64>() / first.max(1) as f64,
        short: begun.short.clone(),
        long: begun.long.clone(),
        rest: 0.0,
    };
    let mut origins = origins.iter().copied().filter(|origin| *origin >= first).peekable();
    let mut path = vec![0.0; horizon];
    // The level has seen the first rows already; going through them anew lets the profile and the rest settle.
    for row in 0..=values.len() {
        if origins.next_if_eq(&row).is_some() {
            state.expect(row, rates.memory, &mut path);
            found(row, &path[..horizon.min(if row == values.len() { horizon } else { values.len() - row })]);
        }
        if let Some(value) = values.get(row) {
            state.take(row, *value, rates);
        }
    }
}

impl State {
    fn take(&mut self, row: usize, value: f64, rates: Rates) {
        let (short, long) = (row % self.short.len(), row % self.long.len());
        let apart = value - self.level - self.short[short] - self.long[long];
        let error = apart - rates.memory * self.rest;
        self.level += rates.level * error;
        if self.short.len() > 1 {
            self.short[short] += rates.short * error;
        }
        if self.long.len() > 1 {
            self.long[long] += rates.long * error;
        }
        self.rest = apart;
    }

    fn expect(&self, row: usize, memory: f64, path: &mut [f64]) {
        let mut rest = self.rest;
        for (ahead, expected) in path.iter_mut().enumerate() {
            rest *= memory;
            let row = row + ahead;
            *expected = self.level + self.short[row % self.short.len()] + self.long[row % self.long.len()] + rest;
        }
    }
}
