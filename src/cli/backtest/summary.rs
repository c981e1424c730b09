//! What the rows add up to: incidents, rates, and the course of the series for the picture.

use super::super::series::{Row, TimestampFormat};
use super::bins::{Bins, Mark};
use super::judge::Judged;
use super::labels::{Tally, Window};

/// Incidents that are kept with their facts; beyond that they are counted only.
const MOST_INCIDENTS: usize = 10_000;

/// Rows within which an anomalous row before an incident belongs to it: a minute of rows at 10 s.
const ANNOUNCED_ROWS: u64 = 6;

/// One incident.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Incident {
    pub number: u64,
    /// First and last row, milliseconds since the Unix epoch.
    pub from: i64,
    pub to: i64,
    pub rows: u64,
    /// Whether it was still open with the last row.
    pub open: bool,
    pub peak: Peak,
    /// Whether an alarm of it lies in a labelled window.
    inside: bool,
}

/// The row of an incident that says most.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Peak {
    pub at: i64,
    pub value: f64,
    pub judged: Judged,
}

impl Peak {
    fn exceeds(&self, other: &Self) -> bool {
        // In widths of its band: a recovery lies outside of a band that has followed the fault, but less so.
        let distance = |peak: &Self| {
            let Judged { lower, upper, .. } = peak.judged;
            let beyond = (peak.value - upper).max(lower - peak.value).max(0.0);
            if upper > lower { beyond / (upper - lower) } else { beyond }
        };
        match self.judged.score.total_cmp(&other.judged.score) {
            std::cmp::Ordering::Equal => distance(self) > distance(other),
            order => order.is_gt(),
        }
    }
}

/// The facts, gathered row by row in memory that does not grow with the rows.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    pub rows: u64,
    /// Rows that something was known for.
    pub judged: u64,
    /// Rows without any value.
    pub missing: u64,
    pub passed_over: u64,
    pub first: Option<i64>,
    pub last: Option<i64>,
    pub incidents: Vec<Incident>,
    pub incident_count: u64,
    inside_count: u64,
    pub tally: Option<Tally>,
    pub bins: Bins,
    /// Anomalous rows that each column carried.
    pub carried: Vec<u64>,
    /// The last anomalous row outside of an incident, and its number: the incident that it announced opens soon after.
    announced: Option<(u64, Peak)>,
}

impl Summary {
    pub(super) fn new(columns: usize, windows: Option<Vec<Window>>) -> Self {
        Self {
            rows: 0,
            judged: 0,
            missing: 0,
            passed_over: 0,
            first: None,
            last: None,
            incidents: Vec::new(),
            incident_count: 0,
            inside_count: 0,
            tally: windows.map(Tally::new),
            bins: Bins::new(columns),
            carried: vec![0; columns],
            announced: None,
        }
    }

    /// A row whose time is not after the latest.
    pub(super) fn passed_over(&mut self) {
        self.rows += 1;
        self.passed_over += 1;
    }

    pub(super) fn row(&mut self, row: &Row<'_>, judged: &Judged) {
        self.rows += 1;
        let missing = row.values.iter().all(|value| value.is_nan());
        self.missing += u64::from(missing);
        self.judged += u64::from(!missing && judged.is_verdict);
        self.first.get_or_insert(row.at);
        self.last = Some(row.at);
        if let Some(tally) = &mut self.tally {
            tally.row(row.at);
        }
        let known = self.incidents.last().map(|incident| incident.number);
        // What a person hears: that an incident opens, and what is news within it.
        let alarm = judged.incident.is_some() && (judged.anomalous || judged.incident != known);
        let mark = Mark { seen: true, anomalous: alarm, incident: judged.incident };
        self.bins.add(row.at, row.values, mark, Some((judged.column, judged.lower, judged.upper)));
        if judged.anomalous
            && let Some(carried) = self.carried.get_mut(judged.column)
        {
            *carried += 1;
        }
        let peak = || {
            let value = row.values.get(judged.column).copied().unwrap_or(f64::NAN);
            Peak { at: row.at, value, judged: judged.clone() }
        };
        let open = self.incidents.last().is_some_and(|incident| incident.open);
        let Some(number) = judged.incident else {
            if judged.anomalous {
                self.announced = Some((self.rows, peak()));
            }
            // An absent value says nothing: the incident may go on behind it.
            if open
                && !missing
                && let Some(incident) = self.incidents.last_mut()
            {
                incident.open = false;
            }
            return;
        };
        let peak = peak();
        let inside = alarm && self.tally.as_mut().is_some_and(|tally| tally.alarm(row.at));
        if known == Some(number)
            && let Some(incident) = self.incidents.last_mut()
        {
            incident.to = row.at;
            incident.rows += 1;
            incident.open = true;
            self.inside_count += u64::from(inside && !incident.inside);
            incident.inside |= inside;
            if peak.exceeds(&incident.peak) {
                incident.peak = peak;
            }
            return;
        }
        if let Some(before) = self.incidents.last_mut() {
            before.open = false;
        }
        let announced = self.announced.take().filter(|(row, _)| self.rows - row <= ANNOUNCED_ROWS);
        let peak = announced.map(|(_, before)| before).filter(|before| before.exceeds(&peak)).unwrap_or(peak);
        self.incident_count += 1;
        self.inside_count += u64::from(inside);
        if self.incidents.len() >= MOST_INCIDENTS {
            self.incidents.pop();
        }
        self.incidents.push(Incident { number, from: row.at, to: row.at, rows: 1, open: true, peak, inside });
    }

    /// Time between the first row and the last, in ms.
    pub(super) fn lasted_ms(&self) -> i64 {
        self.first.zip(self.last).map_or(0, |(first, last)| last.saturating_sub(first))
    }

    /// Of these columns the one that carried most, the first one of equals.
    pub(super) fn main_column(&self, judged: impl Iterator<Item = usize>) -> usize {
        let carried = |column: usize| self.carried.get(column).copied().unwrap_or(0);
        judged.min_by_key(|column| std::cmp::Reverse(carried(*column))).unwrap_or(0)
    }

    pub(super) fn agreement(&self, format: TimestampFormat) -> Option<super::labels::Agreement> {
        let tally = self.tally.as_ref()?;
        Some(tally.figures(self.incident_count, self.inside_count, self.lasted_ms(), format))
    }
}
