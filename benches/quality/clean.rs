//! Clean series through the engine: how often a score is exceeded, against what it says, and how many incidents are
//! opened for nothing.

use dbmedic::detect::stream::DEFAULT_THRESHOLD;

use super::document::table;
use super::generate::{Kind, STEPS, WEEK_MS, clean};
use super::work::{Listener, seeds, side_by_side, step_name};

/// Tail probabilities at which the scores are looked at.
const LEVELS: [f64; 3] = [1e-2, 1e-3, 1e-4];
/// Rows and time after which scores are looked at, whichever ends later.
const BURN_IN_ROWS: usize = 2000;
const BURN_IN_MS: i64 = WEEK_MS;
/// Goals: a rate within this factor of its nominal one; incidents in a week of a series.
const FACTOR: f64 = 2.0;
const INCIDENTS_A_WEEK: f64 = 0.1;

/// Time within which rows are judged as one, and so share a score, in ms.
const JUDGED_AS_ONE_MS: i64 = 60_000;

/// Weeks of a series and number of series, for each of [`STEPS`]: more than 120,000 judgements of a kind after the burn-in.
const AMOUNTS: [(u32, u64); 4] = [(5, 4), (5, 4), (10, 8), (64, 16)];

/// What was counted over the series of one kind and step.
#[derive(Clone, Copy, Default)]
struct Counted {
    judged: u64,
    exceeding: [u64; LEVELS.len()],
    /// Minutes, or rows where they come more slowly, in which any row did.
    exceeding_judgements: [u64; LEVELS.len()],
    weeks: f64,
    incidents: u64,
    settled_weeks: f64,
    settled_incidents: u64,
}

impl Counted {
    fn add(&mut self, other: &Self) {
        self.judged += other.judged;
        for level in 0..LEVELS.len() {
            self.exceeding[level] += other.exceeding[level];
            self.exceeding_judgements[level] += other.exceeding_judgements[level];
        }
        self.weeks += other.weeks;
        self.incidents += other.incidents;
        self.settled_weeks += other.settled_weeks;
        self.settled_incidents += other.settled_incidents;
    }

    fn a_week(&self) -> f64 {
        self.incidents as f64 / self.weeks
    }

    fn a_settled_week(&self) -> f64 {
        self.settled_incidents as f64 / self.settled_weeks
    }

    /// Observed over nominal rate, and whether it is within [`FACTOR`] as far as the counts can tell: the interval
    /// of two standard deviations of a Poisson count of judgements reaches into it. Where values are few and apart, a rate
    /// can only be below nominal, and that is right.
    fn ratio(&self, level: usize, step: usize, coarse: bool) -> (f64, bool) {
        let nominal = LEVELS[level] * self.judged as f64;
        let count = self.exceeding[level] as f64;
        let judged_as_one = (JUDGED_AS_ONE_MS / STEPS[step]).max(1) as f64;
        let error = 2.0 * count.max(judged_as_one) / (self.exceeding_judgements[level].max(1) as f64).sqrt();
        let too_many = (count - error) / nominal > FACTOR;
        let too_few = (count + error) / nominal < 1.0 / FACTOR;
        (count / nominal, !too_many && (coarse || !too_few))
    }
}

/// Whether values are so few and apart that a tail probability cannot be met exactly.
fn is_coarse(kind: Kind) -> bool {
    matches!(kind, Kind::PoissonRare | Kind::PoissonFew | Kind::Flat | Kind::FlatQuantised | Kind::Pages)
}

/// The sections on calibration and on false incidents.
pub fn measure() -> String {
    let cells: Vec<(Kind, usize)> =
        (0..STEPS.len()).flat_map(|step| Kind::ALL.iter().map(move |kind| (*kind, step))).collect();
    let work: Vec<(Kind, usize, u64)> =
        cells.iter().flat_map(|(kind, step)| seeds(AMOUNTS[*step].1).map(move |seed| (*kind, *step, seed))).collect();
    let counted = side_by_side(&work, |(kind, step, seed)| count(*kind, *step, *seed));
    let totals: Vec<Counted> = cells
        .iter()
        .map(|cell| {
            let mut total = Counted::default();
            let of_cell = work.iter().zip(&counted).filter(|((kind, step, _), _)| (*kind, *step) == *cell);
            of_cell.for_each(|(_, counted)| total.add(counted));
            total
        })
        .collect();
    let mut text = summary(&cells, &totals);
    for (step, (weeks, series)) in AMOUNTS.into_iter().enumerate() {
        text.push_str(&format!("\n### Every {}: {series} series of {weeks} weeks of each kind\n\n", step_name(step)));
        let of_step = cells.iter().zip(&totals).filter(|((_, of), _)| *of == step);
        let rows: Vec<Vec<String>> = of_step.map(|((kind, _), total)| row(*kind, step, total)).collect();
        text.push_str(&table(&["kind", "1e-2", "1e-3", "1e-4", "incidents a week", "of these after a week"], &rows));
    }
    text
}

fn count(kind: Kind, step: usize, seed: u64) -> Counted {
    let (weeks, _) = AMOUNTS[step];
    let series = clean(kind, seed, weeks, STEPS[step]);
    let week = (BURN_IN_MS / STEPS[step]) as usize;
    let mut stream = Listener::new(DEFAULT_THRESHOLD);
    let mut counted = Counted { weeks: f64::from(weeks), settled_weeks: f64::from(weeks) - 1.0, ..Counted::default() };
    let mut last = [None; LEVELS.len()];
    for (row, value) in series.values.iter().enumerate() {
        let (reading, opens) = stream.sample(series.at(row), *value);
        counted.incidents += u64::from(opens);
        counted.settled_incidents += u64::from(opens && row >= week);
        if row >= week.max(BURN_IN_ROWS) && value.is_finite() {
            counted.judged += 1;
            let judgement = series.at(row) / JUDGED_AS_ONE_MS;
            for (level, _) in LEVELS.iter().enumerate().filter(|(_, chance)| reading.score >= 1.0 - **chance) {
                counted.exceeding[level] += 1;
                counted.exceeding_judgements[level] += u64::from(last[level] != Some(judgement));
                last[level] = Some(judgement);
            }
        }
    }
    counted
}

fn row(kind: Kind, step: usize, total: &Counted) -> Vec<String> {
    let mut row = vec![kind.name().to_owned()];
    row.extend((0..LEVELS.len()).map(|level| {
        let (ratio, within) = total.ratio(level, step, is_coarse(kind));
        if within { format!("{ratio:.2}") } else { format!("**{ratio:.2}**") }
    }));
    row.extend(
        [total.a_week(), total.a_settled_week()]
            .map(|rate| if rate <= INCIDENTS_A_WEEK { format!("{rate:.2}") } else { format!("**{rate:.2}**") }),
    );
    row
}

fn summary(cells: &[(Kind, usize)], totals: &[Counted]) -> String {
    let rows: Vec<Vec<String>> = (0..STEPS.len())
        .map(|step| {
            let of_step = || cells.iter().zip(totals).filter(|((_, of), _)| *of == step);
            let kinds = of_step().count();
            let within =
                |level| of_step().filter(|((kind, _), total)| total.ratio(level, step, is_coarse(*kind)).1).count();
            let quiet = of_step().filter(|(_, total)| total.a_week() <= INCIDENTS_A_WEEK).count();
            let mean = |rate: fn(&Counted) -> f64| of_step().map(|(_, total)| rate(total)).sum::<f64>() / kinds as f64;
            let mut row = vec![step_name(step).to_owned()];
            row.extend((0..LEVELS.len()).map(|level| format!("{} of {kinds}", within(level))));
            row.push(format!("{quiet} of {kinds}"));
            row.push(format!("{:.3}", mean(Counted::a_week)));
            row.push(format!("{:.3}", mean(Counted::a_settled_week)));
            row
        })
        .collect();
    table(
        &["step", "1e-2 within", "1e-3 within", "1e-4 within", "≤ 0.1 incidents a week", "mean", "mean after a week"],
        &rows,
    )
}
