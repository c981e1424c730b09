//! `forecast`: what a recorded series is expected to do next. Needs no cluster.
//!
//! The rows are put on an even grid of their own median step, which ends at the last row; the season is a day and a week
//! of such steps. `stats::forecast` does the rest, the same that `detect.forecast` judges by.

use clap::Args;
use serde::Serialize;

use super::arguments::{Common, Format};
use super::failure::Failure;
use super::figures::value;
use super::output::{Output, Report};
use super::series::{Series, SourceArguments, parse_timestamp, read_history, read_series, standard_input};
use super::table::{Cell, Table};
use super::text::{clean, counted};
use crate::stats;

const DAY_MS: i64 = 86_400_000;

/// The last so many steps are looked at: four weeks of minutes, and it bounds the time of a forecast.
const MOST_ROWS: i64 = 40_320;

/// Most steps ahead.
const MOST_STEPS: u32 = 100_000;

/// What a recorded series is expected to do next, without a cluster
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "The columns of -o csv: timestamp,predicted,lower,upper",
    mut_arg("baseline", |baseline| baseline.requires("metric"))
)]
pub(super) struct ForecastArguments {
    #[command(flatten)]
    pub source: SourceArguments,
    /// Column or metric; may be left out when the file has one only, not with --baseline
    #[arg(long, value_name = "NAME")]
    pub metric: Option<String>,
    /// Steps ahead, each as long as the series' own median step
    #[arg(long, value_name = "N", value_parser = steps, allow_negative_numbers = true)]
    pub horizon: u32,
    /// Share of the future that the interval is to hold, in percent
    #[arg(long, value_name = "PERCENT", default_value = "95", value_parser = level, allow_negative_numbers = true)]
    pub level: f64,
}

fn steps(text: &str) -> Result<u32, String> {
    let steps = text.parse().ok().filter(|steps| (1..=MOST_STEPS).contains(steps));
    steps.ok_or_else(|| format!("allowed is a number of steps from 1 to {MOST_STEPS}, without a unit"))
}

fn level(text: &str) -> Result<f64, String> {
    let level = text.trim_end_matches('%').parse().ok().filter(|level| (1.0..=99.9).contains(level));
    level.ok_or_else(|| "allowed is a number from 1 to 99.9".to_owned())
}

/// Runs the command and gives what is for standard output.
pub(super) async fn run(arguments: &ForecastArguments, common: &Common, output: &Output) -> Result<String, Failure> {
    if output.format == Format::Name {
        return Err(Failure::Usage("-o: found name, allowed here: table, wide, csv, json, yaml".to_owned()));
    }
    let (series, source) = read(arguments, common).await?;
    if series.passed_over > 0 {
        eprintln!("{}", super::series::passed_over(series.passed_over));
    }
    let report = ForecastReport::new(&series, source, arguments.horizon, arguments.level)?;
    if output.format == Format::Csv { Ok(report.csv()) } else { output.render(&report) }
}

async fn read(arguments: &ForecastArguments, common: &Common) -> Result<(Series, String), Failure> {
    let metric = arguments.metric.as_deref();
    if let Some((choice, name)) = arguments.source.choice(metric, common)? {
        return Ok((read_history(&choice).await?.series(0).unwrap_or_default(), name));
    }
    let path = arguments.source.file();
    Ok(read_series(path, metric, standard_input)?)
}

/// What is expected.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ForecastReport {
    /// The file, or Baseline and pod.
    source: String,
    metric: String,
    unit: String,
    /// Share of the future that the interval is to hold, in percent.
    level: f64,
    /// Length of a step.
    step_seconds: f64,
    /// Steps of the past that were looked at, and those of them without a value.
    steps_used: usize,
    steps_missing: usize,
    expected: Vec<Expected>,
}

/// One step ahead.
#[derive(Clone, Debug, Serialize)]
struct Expected {
    timestamp: String,
    predicted: f64,
    lower: f64,
    upper: f64,
}

impl ForecastReport {
    fn new(series: &Series, source: String, horizon: u32, level: f64) -> Result<Self, Failure> {
        let failed = |found: &str, allowed: &str| {
            let source = clean(&source);
            Failure::Usage(format!("{source}: column {}: found {found}, allowed: {allowed}", clean(&series.name)))
        };
        if !series.samples.iter().any(|(_, value)| value.is_finite()) {
            return Err(failed("no value", "at least two rows, one of them with a value"));
        }
        let Some(step) = median_step(&series.samples) else {
            return Err(failed("one row with a value", "at least two: between them is the step of the forecast"));
        };
        let rows = grid(&series.samples, step);
        let last = series.samples.last().map_or(0, |(at, _)| *at);
        let written = |ahead: i64| series.format.print(last.saturating_add(step.saturating_mul(ahead)));
        // A year of five digits is no timestamp, neither to us nor to others.
        if parse_timestamp(written(i64::from(horizon)).as_bytes()).is_none() {
            let steps = counted(horizon.into(), "step");
            let found = format!("a last row at {} and {steps} of {} s", written(0), step as f64 / 1e3);
            return Err(failed(&found, "an end before the year 10000"));
        }
        let found = stats::forecast(&rows, &periods(step), horizon as usize, level / 100.0);
        let ends = found.lower.into_iter().zip(found.upper);
        let expected = found.mean.into_iter().zip(ends).zip(1..).map(|((predicted, (lower, upper)), ahead)| Expected {
            timestamp: written(ahead),
            predicted,
            lower,
            upper,
        });
        Ok(Self {
            source,
            metric: clean(&series.name),
            unit: series.unit.clone(),
            level,
            step_seconds: step as f64 / 1e3,
            steps_used: rows.len(),
            steps_missing: rows.iter().filter(|row| row.is_nan()).count(),
            expected: expected.collect(),
        })
    }

    /// Others read these columns: they stay.
    fn csv(&self) -> String {
        let rows = self.expected.iter().map(|Expected { timestamp, predicted, lower, upper }| {
            format!("{timestamp},{predicted:?},{lower:?},{upper:?}\n")
        });
        std::iter::once("timestamp,predicted,lower,upper\n".to_owned()).chain(rows).collect()
    }
}

impl Report for ForecastReport {
    fn tables(&self, _: bool) -> Vec<Table> {
        let cell = |number: f64| Cell::from(value(number, &self.unit));
        let rows = self.expected.iter().map(|step| {
            vec![Cell::from(step.timestamp.as_str()), cell(step.predicted), cell(step.lower), cell(step.upper)]
        });
        vec![Table { headers: vec!["TIMESTAMP", "PREDICTED", "LOWER", "UPPER"], rows: rows.collect() }]
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The middle one of the times between values; of two middle ones the shorter. `None` with fewer than two values. Rows
/// without one do not count: a history has rows as often as its most frequent metric has values.
fn median_step(samples: &[(i64, f64)]) -> Option<i64> {
    let at = samples.iter().filter(|(_, value)| value.is_finite()).map(|(at, _)| *at);
    let mut steps: Vec<i64> =
        at.clone().zip(at.skip(1)).map(|(from, to)| to.saturating_sub(from)).filter(|step| *step > 0).collect();
    if steps.is_empty() {
        return None;
    }
    let middle = (steps.len() - 1) / 2;
    Some(*steps.select_nth_unstable(middle).1)
}

/// The rows on an even grid that ends at the last one: the mean of what falls to one place, `NaN` where nothing does.
fn grid(samples: &[(i64, f64)], step: i64) -> Vec<f64> {
    let Some((last, _)) = samples.last() else { return Vec::new() };
    // Whole steps before the last row, to the nearest.
    let age = |at: i64| (last.saturating_sub(at).saturating_add(step / 2)) / step;
    let kept = &samples[samples.partition_point(|(at, _)| age(*at) >= MOST_ROWS)..];
    let count = kept.first().map_or(0, |(at, _)| age(*at) as usize + 1);
    let mut rows = vec![(0.0, 0.0); count];
    for (at, value) in kept.iter().filter(|(_, value)| value.is_finite()) {
        let row = &mut rows[count - 1 - age(*at) as usize];
        // A running mean: a sum of huge values would overflow.
        row.1 += 1.0;
        row.0 += value / row.1 - row.0 / row.1;
    }
    rows.into_iter().map(|(mean, values)| if values > 0.0 { mean } else { f64::NAN }).collect()
}

/// A day and a week in steps, where that is a whole number to within a thousandth of a step.
fn periods(step: i64) -> Vec<usize> {
    let whole = |period: i64| {
        let steps = (period + step / 2) / step;
        let is_whole = (steps * step - period).abs() * 1_000 <= step;
        usize::try_from(steps).ok().filter(|steps| is_whole && *steps >= 2)
    };
    [DAY_MS, 7 * DAY_MS].into_iter().filter_map(whole).collect()
}

#[cfg(test)]
mod tests;
