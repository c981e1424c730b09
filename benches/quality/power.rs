//! Faults of stated size in series that are otherwise clean: how many are found, and how late.

use dbmedic::detect::stream::DEFAULT_THRESHOLD;

use super::document::table;
use super::generate::{Fault, Kind, Random, STEPS, Series, clean_rows, inject};
use super::work::{Listener, seeds, side_by_side, step_name};

/// How long a fault lasts.
#[derive(Clone, Copy)]
enum Length {
    Row,
    /// So many hours, and so many rows at least.
    Hours(f64, usize),
}

/// A fault in several sizes.
struct Case {
    fault: Fault,
    sizes: [f64; 3],
    unit: &'static str,
    length: Length,
    /// Only for series with a season; begins at midnight.
    seasonal: bool,
}

const fn case(fault: Fault, sizes: [f64; 3], unit: &'static str, length: Length) -> Case {
    Case { fault, sizes, unit, length, seasonal: false }
}

const fn seasonal(fault: Fault, sizes: [f64; 3], unit: &'static str) -> Case {
    Case { fault, sizes, unit, length: Length::Hours(24.0, 24), seasonal: true }
}

const CASES: [Case; 12] = [
    case(Fault::Spike, [4.0, 8.0, 16.0], "σ", Length::Row),
    case(Fault::Dip, [4.0, 8.0, 16.0], "σ", Length::Row),
    case(Fault::StepUp, [2.0, 4.0, 8.0], "σ", Length::Hours(6.0, 24)),
    case(Fault::StepDown, [2.0, 4.0, 8.0], "σ", Length::Hours(6.0, 24)),
    case(Fault::Drift, [4.0, 8.0, 16.0], "σ", Length::Hours(24.0, 48)),
    case(Fault::VarianceUp, [2.0, 4.0, 8.0], "x", Length::Hours(6.0, 24)),
    case(Fault::VarianceDown, [4.0, 16.0, 1000.0], "x", Length::Hours(12.0, 48)),
    seasonal(Fault::SeasonFlattened, [0.5, 0.75, 1.0], "of it"),
    seasonal(Fault::SeasonMoved, [2.0, 4.0, 8.0], "h"),
    seasonal(Fault::PeakMissing, [0.5, 0.75, 1.0], "of it"),
    case(Fault::FlatLine, [1.0, 3.0, 12.0], "h", Length::Hours(12.0, 12)),
    case(Fault::SpikeDensity, [4.0, 8.0, 16.0], "σ", Length::Hours(24.0, 48)),
];

/// Size that the table by kind shows.
const MIDDLE: usize = 1;
/// Step that the table by kind shows: 5 minutes.
const BY_KIND: usize = 2;

/// Kinds that faults are put into, and whether they have a season.
const KINDS: [(Kind, bool); 18] = [
    (Kind::Gaussian, false),
    (Kind::Ar90, false),
    (Kind::DriftingLevel, false),
    (Kind::Student, false),
    (Kind::LogNormal, false),
    (Kind::PoissonFew, false),
    (Kind::PoissonMany, false),
    (Kind::Growth, false),
    (Kind::Flat, false),
    (Kind::FlatQuantised, false),
    (Kind::Percent, false),
    (Kind::ZeroInflated, false),
    (Kind::SeasonalCounts, true),
    (Kind::Daily, true),
    (Kind::OfficeHours, true),
    (Kind::DailyWeekly, true),
    (Kind::ResponseTime, true),
    (Kind::Cpu, true),
];

/// Clean weeks before the fault and number of series, for each of [`STEPS`].
const AMOUNTS: [(usize, u64); 4] = [(1, 4), (2, 8), (4, 12), (16, 24)];

/// Rows until the first alarm, and until an incident opened, if they came.
#[derive(Clone, Copy, Default)]
struct Delays {
    alarm: Option<usize>,
    incident: Option<usize>,
}

/// Of one series: for each case and size what was told.
struct Trial {
    kind: usize,
    step: usize,
    /// `[case][size]`; `None` where the case does not apply.
    delays: Vec<Option<[Delays; 3]>>,
    /// What was told within the case's time although nothing was put in.
    by_chance: Vec<Delays>,
}

/// The section on power.
pub fn measure() -> String {
    let work: Vec<(usize, usize, u64)> = (0..STEPS.len())
        .flat_map(|step| (0..KINDS.len()).map(move |kind| (step, kind)))
        .flat_map(|(step, kind)| seeds(AMOUNTS[step].1).map(move |seed| (step, kind, seed)))
        .collect();
    let trials = side_by_side(&work, |(step, kind, seed)| trial(*step, *kind, 1000 + seed));
    let mut text = "Found, of all series it was put into, and median rows and time until then; by chance: alarms within the same time \
                    when nothing was put in.\n\n"
        .to_owned();
    text.push_str(&by_case(&trials, |delays| delays.alarm));
    text.push_str(
        "\nThe same, until an incident opens: what `pattern` tells, and what is counted on the clean series.\n\n",
    );
    text.push_str(&by_case(&trials, |delays| delays.incident));
    text.push_str(&format!(
        "\nThe middle size, every {}, by kind of series (alarms, of the series it was put into):\n\n",
        step_name(BY_KIND)
    ));
    text.push_str(&by_kind(&trials));
    text
}

/// Rows that a fault of that case and size lasts.
fn length(case: &Case, size: f64, series: &Series) -> usize {
    match case.length {
        Length::Row => 1,
        // A flat line has no size but its length.
        Length::Hours(_, least) if case.fault == Fault::FlatLine => series.rows(size).max(least),
        Length::Hours(hours, least) => series.rows(hours).max(least),
    }
}

fn trial(step: usize, kind: usize, seed: u64) -> Trial {
    let (weeks, _) = AMOUNTS[step];
    let (kind_of_series, has_season) = KINDS[kind];
    let week = (super::generate::WEEK_MS / STEPS[step]) as usize;
    let midnight = weeks * week;
    // Room for a start within the day, and for the longest fault.
    let series = clean_rows(kind_of_series, seed, midnight + week / 7 + (week * 2 / 7).max(64), STEPS[step]);
    let at = midnight + (Random::new(seed).uniform() * (week / 7) as f64) as usize;
    let mut stream = Listener::new(DEFAULT_THRESHOLD);
    run(&mut stream, &series, 0..midnight);
    let of_midnight = stream.clone();
    run(&mut stream, &series, midnight..at);
    let of_day = stream;

    // What is changed needs a day before it, for a season that is late.
    let tail_start = midnight - week / 7;
    let tail = series.from(tail_start);
    let (mut delays, mut by_chance) = (Vec::new(), Vec::new());
    for case in &CASES {
        let (from, start) = if case.seasonal { (&of_midnight, midnight) } else { (&of_day, at) };
        // A constant series has no noise that could vary, and is a flat line already.
        let constant = matches!(kind_of_series, Kind::Flat | Kind::FlatQuantised);
        let of_noise = matches!(case.fault, Fault::VarianceUp | Fault::VarianceDown | Fault::FlatLine);
        if (case.seasonal && !has_season) || (constant && of_noise) {
            delays.push(None);
            by_chance.push(Delays::default());
            continue;
        }
        delays.push(Some(case.sizes.map(|size| {
            let rows = length(case, size, &series);
            let mut faulty = tail.clone();
            inject(&mut faulty, case.fault, size, start - tail_start, rows);
            run(&mut from.clone(), &faulty, start - tail_start..start - tail_start + rows)
        })));
        let rows = length(case, case.sizes[MIDDLE], &series);
        by_chance.push(run(&mut from.clone(), &series, start..start + rows));
    }
    Trial { kind, step, delays, by_chance }
}

/// Steps over the rows; the first with an alarm and the first that opens an incident, counted from the range's start.
fn run(stream: &mut Listener, series: &Series, rows: std::ops::Range<usize>) -> Delays {
    let start = rows.start;
    let mut first = Delays::default();
    for row in rows {
        let (reading, opens) = stream.sample(series.at(row), series.values[row]);
        if reading.anomalous {
            first.alarm.get_or_insert(row - start);
        }
        if opens {
            first.incident.get_or_insert(row - start);
        }
    }
    first
}

fn by_case(trials: &[Trial], until: fn(&Delays) -> Option<usize>) -> String {
    let mut rows = Vec::new();
    for (case_index, case) in CASES.iter().enumerate() {
        for (size_index, size) in case.sizes.iter().enumerate() {
            let mut row = vec![format!("{}, {size} {}", case.fault.name(), case.unit)];
            for (step, step_ms) in STEPS.into_iter().enumerate() {
                let of_step = || trials.iter().filter(|trial| trial.step == step);
                let delays: Vec<Option<usize>> = of_step()
                    .filter_map(|trial| trial.delays[case_index])
                    .map(|sizes| until(&sizes[size_index]))
                    .collect();
                row.push(cell(&delays, step_ms));
                if size_index == MIDDLE {
                    let judged = of_step().filter(|trial| trial.delays[case_index].is_some()).count();
                    let chance = of_step().filter(|trial| until(&trial.by_chance[case_index]).is_some()).count();
                    row.push(percent(chance, judged));
                } else {
                    row.push(String::new());
                }
            }
            rows.push(row);
        }
    }
    table(&["fault", "10 s", "by chance", "1 min", "by chance", "5 min", "by chance", "1 h", "by chance"], &rows)
}

fn by_kind(trials: &[Trial]) -> String {
    let rows: Vec<Vec<String>> = KINDS
        .iter()
        .enumerate()
        .map(|(kind, (name, _))| {
            let of_kind = || trials.iter().filter(|trial| trial.step == BY_KIND && trial.kind == kind);
            let cells = (0..CASES.len()).map(|case| {
                let found: Vec<bool> = of_kind()
                    .filter_map(|trial| trial.delays[case])
                    .map(|sizes| sizes[MIDDLE].alarm.is_some())
                    .collect();
                percent(found.iter().filter(|found| **found).count(), found.len())
            });
            std::iter::once(name.name().to_owned()).chain(cells).collect()
        })
        .collect();
    let header: Vec<&str> = std::iter::once("kind").chain(CASES.iter().map(|case| case.fault.name())).collect();
    table(&header, &rows)
}

fn percent(part: usize, whole: usize) -> String {
    if whole == 0 { "–".to_owned() } else { format!("{:.0} %", 100.0 * part as f64 / whole as f64) }
}

/// Share found, and the median delay of those found.
fn cell(delays: &[Option<usize>], step_ms: i64) -> String {
    let mut found: Vec<usize> = delays.iter().flatten().copied().collect();
    found.sort_unstable();
    let share = percent(found.len(), delays.len());
    match found.get(found.len() / 2) {
        Some(0) => format!("{share}, at once"),
        Some(rows) => format!("{share}, {rows} ({})", time(*rows as i64 * step_ms)),
        None => share,
    }
}

fn time(milliseconds: i64) -> String {
    let seconds = milliseconds as f64 / 1000.0;
    match seconds {
        ..120.0 => format!("{seconds:.0} s"),
        ..7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}
