//! The scoring rules of the Numenta Anomaly Benchmark 1.1 (Lavin, Ahmad 2015): one credit for each window found, more
//! for an early alarm, a cost for each alarm outside of a window that grows with the distance from the one before, and
//! nothing for the first part of a file. Between "never alarms" (0) and "perfect" (100).

/// What finding and missing is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// Its name in the benchmark.
    pub name: &'static str,
    /// Cost of a window that is missed; one that is found earns up to 1.
    pub missed: f64,
    /// Cost of a false alarm.
    pub false_alarm: f64,
}

/// The three profiles of the benchmark.
pub const PROFILES: [Profile; 3] = [
    Profile { name: "standard", missed: 1.0, false_alarm: 0.11 },
    Profile { name: "low_FP", missed: 1.0, false_alarm: 0.22 },
    Profile { name: "low_FN", missed: 2.0, false_alarm: 0.11 },
];

/// Share of a file that is not scored, at its head, and the rows that this share is of at most.
const PROBATION: f64 = 0.15;
const PROBATION_ROWS: f64 = 5000.0;

/// A row that counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Its number in the file, from 0.
    pub index: usize,
    /// Number of the window that it lies in.
    pub window: Option<usize>,
    /// What an alarm here is worth, -1 to 1, before the profile.
    pub weight: f64,
}

/// The rows that count of a file with so many rows and these windows: first and last row of each, in order of time.
pub fn weigh(rows: usize, windows: &[(usize, usize)]) -> Vec<Row> {
    let probation = (PROBATION * rows as f64).floor().min(PROBATION * PROBATION_ROWS);
    (0..rows)
        .filter(|index| *index as f64 >= probation)
        .map(|index| {
            let within = windows.iter().position(|(first, last)| (*first..=*last).contains(&index));
            let weight = match within {
                Some(window) => {
                    let (first, last) = windows[window];
                    let left = (last - index + 1) as f64 / (last - first + 1) as f64;
                    sigmoid(-left) / sigmoid(-1.0)
                }
                None => windows
                    .iter()
                    .rev()
                    .find(|(_, last)| *last < index)
                    .map_or(-1.0, |(first, last)| sigmoid((index - last) as f64 / (last - first).max(1) as f64)),
            };
            Row { index, window: within, weight }
        })
        .collect()
}

/// From 0.99 a window's width before its end over 0 at its end to -1.
fn sigmoid(widths: f64) -> f64 {
    if widths > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * widths).exp()) - 1.0 }
}

/// A file that was judged: the rows that count, each with its score.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Path below the data folder, `folder/file.csv`.
    pub name: String,
    /// Windows in it.
    pub windows: usize,
    /// Rows with their scores.
    pub rows: Vec<(Row, f64)>,
}

impl Judged {
    /// Folder of the file.
    pub fn folder(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// What alarms from this score on are worth.
    pub fn outcome(&self, profile: Profile, threshold: f64) -> Outcome {
        let mut best = vec![None::<f64>; self.windows];
        let mut outcome = Outcome { windows: self.windows, ..Outcome::default() };
        for (row, _) in self.rows.iter().filter(|(_, score)| *score >= threshold) {
            match row.window {
                Some(window) => best[window] = Some(best[window].map_or(row.weight, |best| best.max(row.weight))),
                None => {
                    outcome.false_alarms += 1;
                    outcome.raw += profile.false_alarm * row.weight;
                }
            }
        }
        outcome.found = best.iter().flatten().count();
        outcome.raw += best.iter().map(|best| best.unwrap_or(-profile.missed)).sum::<f64>();
        outcome
    }
}

/// What was found, at which cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Score before it is normalised.
    pub raw: f64,
    /// Windows there are.
    pub windows: usize,
    /// Windows found.
    pub found: usize,
    /// Rows with an alarm outside of every window.
    pub false_alarms: usize,
}

impl Outcome {
    /// 0 for never an alarm, 100 for perfect; `NaN` without a window.
    pub fn normalised(&self, profile: Profile) -> f64 {
        let windows = self.windows as f64;
        100.0 * (self.raw + profile.missed * windows) / ((1.0 + profile.missed) * windows)
    }
}

impl std::iter::Sum for Outcome {
    fn sum<I: Iterator<Item = Self>>(outcomes: I) -> Self {
        outcomes.fold(Self::default(), |total, one| Self {
            raw: total.raw + one.raw,
            windows: total.windows + one.windows,
            found: total.found + one.found,
            false_alarms: total.false_alarms + one.false_alarms,
        })
    }
}

/// The threshold that is worth most on these files; infinity when no alarm is worth it. Of equal ones the greatest.
pub fn best_threshold<'a>(files: impl Iterator<Item = &'a Judged>, profile: Profile) -> f64 {
    let mut rows: Vec<(f64, usize, Row)> = Vec::new();
    let mut best_weights: Vec<Vec<f64>> = Vec::new();
    for (file, judged) in files.enumerate() {
        rows.extend(judged.rows.iter().map(|(row, score)| (*score, file, *row)));
        best_weights.push(vec![-profile.missed; judged.windows]);
    }
    rows.sort_by(|one, other| other.0.total_cmp(&one.0));
    let (mut gained, mut most, mut threshold) = (0.0, 0.0, f64::INFINITY);
    for same in rows.chunk_by(|one, next| one.0.total_cmp(&next.0).is_eq()) {
        for (_, file, row) in same {
            match row.window {
                Some(window) => {
                    let best = &mut best_weights[*file][window];
                    gained += (row.weight - *best).max(0.0);
                    *best = best.max(row.weight);
                }
                None => gained += profile.false_alarm * row.weight,
            }
        }
        if gained > most {
            (most, threshold) = (gained, same[0].0);
        }
    }
    threshold
}
