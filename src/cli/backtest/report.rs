//! The model that `-o table`, `wide`, `json` and `yaml` show.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::figures::{age, number, percent, value};
use super::super::output::Report;
use super::super::series::{TimestampFormat, unit_of};
use super::super::table::{Cell, Table, Tone};
use super::super::text::{clean, counted};
use super::labels::Agreement;
use super::plot::{self, Canvas};
use super::summary::{Incident, Summary};

const WEEK_MS: f64 = 604_800_000.0;

/// What a backtest found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BacktestReport {
    /// The file, or Baseline and pod.
    pub source: String,
    pub columns: Vec<ColumnFacts>,
    /// `shipped detectors`, or `rule NAME`.
    pub judged_by: String,
    /// Of the shipped detectors.
    pub sensitivity: Option<&'static str>,
    /// First and last row.
    pub from: Option<String>,
    pub to: Option<String>,
    pub rows: u64,
    /// Rows that something was known for.
    pub judged: u64,
    /// Rows without a value.
    pub missing: u64,
    /// Rows whose time was not after the latest before.
    pub passed_over: u64,
    /// Rows that are anomalous: of the shipped detectors news, of a rule every breach.
    pub anomalous: u64,
    /// `null` without a second row.
    pub anomalous_per_week: Option<f64>,
    pub incident_count: u64,
    pub incidents_per_week: Option<f64>,
    pub incidents: Vec<IncidentFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Agreement>,
    #[serde(skip)]
    pub format: TimestampFormat,
    #[serde(skip)]
    pub summary: Summary,
    #[serde(skip)]
    pub canvas: Canvas,
}

/// A column that was judged.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ColumnFacts {
    pub name: String,
    pub unit: &'static str,
    /// Whether it is judged, and not only there.
    pub judged: bool,
}

/// One incident.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IncidentFacts {
    pub number: u64,
    /// First and last row.
    pub from: String,
    pub to: String,
    pub seconds: f64,
    pub rows: u64,
    /// Whether it was still open with the last row.
    pub open: bool,
    /// Column that carries it at its peak.
    pub metric: String,
    /// The row that says most.
    pub peak: PeakFacts,
    /// Columns that carry the peak together, and their share.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub carriers: BTreeMap<String, f64>,
}

/// The row that says most.
#[derive(Clone, Debug, Serialize)]
pub(super) struct PeakFacts {
    pub at: String,
    pub value: Option<f64>,
    pub expected: Option<f64>,
    pub lower: Option<f64>,
    pub upper: Option<f64>,
    pub score: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub departure: Option<&'static str>,
}

/// What judges.
pub(super) struct JudgedBy {
    pub words: String,
    /// Of the shipped detectors.
    pub sensitivity: Option<&'static str>,
    /// Indices of the columns that it judges.
    pub columns: Vec<usize>,
    /// What there must be before it judges.
    pub needs: &'static str,
}

impl JudgedBy {
    /// What judges every column.
    pub(super) fn all(words: &str, columns: &[String]) -> Self {
        let needs = "150 values, or minutes where they come faster";
        Self { words: words.to_owned(), sensitivity: None, columns: (0..columns.len()).collect(), needs }
    }
}

impl BacktestReport {
    pub(super) fn new(
        source: &str,
        columns: &[String],
        by: JudgedBy,
        format: TimestampFormat,
        summary: Summary,
        canvas: Canvas,
    ) -> Self {
        let name = |column: usize| columns.get(column).map(|name| clean(name)).unwrap_or_default();
        let facts = |incident: &Incident| {
            let peak = &incident.peak;
            let known = |value: f64| value.is_finite().then_some(value);
            IncidentFacts {
                number: incident.number,
                from: format.print(incident.from),
                to: format.print(incident.to),
                seconds: incident.to.saturating_sub(incident.from) as f64 / 1000.0,
                rows: incident.rows,
                open: incident.open,
                metric: name(peak.judged.column),
                peak: PeakFacts {
                    at: format.print(peak.at),
                    value: known(peak.value),
                    expected: known(peak.judged.expected),
                    lower: known(peak.judged.lower),
                    upper: known(peak.judged.upper),
                    score: peak.judged.score,
                    departure: peak.judged.departure,
                },
                carriers: peak.judged.carriers.iter().map(|(column, share)| (name(*column), *share)).collect(),
            }
        };
        let lasted = summary.lasted_ms();
        let per_week = |count: u64| (lasted > 0).then(|| count as f64 * WEEK_MS / lasted as f64);
        let anomalous = summary.carried.iter().sum();
        Self {
            source: clean(source),
            columns: columns
                .iter()
                .enumerate()
                .map(|(column, written)| ColumnFacts {
                    judged: by.columns.contains(&column),
                    name: name(column),
                    unit: unit_of(written),
                })
                .collect(),
            judged_by: by.words,
            sensitivity: by.sensitivity,
            from: summary.first.map(|at| format.print(at)),
            to: summary.last.map(|at| format.print(at)),
            rows: summary.rows,
            judged: summary.judged,
            missing: summary.missing,
            passed_over: summary.passed_over,
            anomalous,
            anomalous_per_week: per_week(anomalous),
            incident_count: summary.incident_count,
            incidents_per_week: per_week(summary.incident_count),
            incidents: summary.incidents.iter().map(facts).collect(),
            labels: summary.agreement(format),
            format,
            summary,
            canvas,
        }
    }

    fn judged_columns(&self) -> impl Iterator<Item = (usize, &ColumnFacts)> {
        self.columns.iter().enumerate().filter(|(_, column)| column.judged)
    }

    fn heading(&self) -> String {
        let names: Vec<&str> = self.judged_columns().map(|(_, column)| column.name.as_str()).collect();
        let sensitivity = self.sensitivity.map(|word| format!(", sensitivity {word}")).unwrap_or_default();
        let span = match (&self.from, &self.to) {
            (Some(from), Some(to)) => format!(", {from} to {to}"),
            _ => String::new(),
        };
        let mut text = format!(
            "Source:     {}{span}\nJudged:     {} by {}{sensitivity}\n",
            self.source,
            names.join(", "),
            self.judged_by
        );
        let mut rows = format!("{}, {} judged", self.rows, self.judged);
        for (count, words) in
            [(self.missing, "without a value"), (self.passed_over, "passed over: not after the row before")]
        {
            if count > 0 {
                rows.push_str(&format!(", {count} {words}"));
            }
        }
        text.push_str(&format!("Rows:       {rows}\n"));
        let counts = [
            ("Anomalous:  ", counted(self.anomalous, "row"), self.anomalous_per_week),
            ("Incidents:  ", self.incident_count.to_string(), self.incidents_per_week),
        ];
        for (name, count, per_week) in counts {
            let rate = per_week.map(|rate| format!(", {} a week", number(rate))).unwrap_or_default();
            text.push_str(&format!("{name}{count}{rate}\n"));
        }
        text
    }

    fn incident_table(&self, wide: bool) -> Table {
        let several = self.columns.len() > 1;
        let mut headers = vec!["INCIDENT", "FROM", "LASTED"];
        if several {
            headers.push("METRIC");
        }
        headers.extend(["PEAK", "BAND", "SCORE"]);
        if wide {
            headers.extend(["PEAK AT", "EXPECTED", "ROWS", "DEPARTURE"]);
        }
        let rows = self.incidents.iter().map(|incident| self.incident_row(incident, several, wide));
        Table { headers, rows: rows.collect() }
    }

    fn incident_row(&self, incident: &IncidentFacts, several: bool, wide: bool) -> Vec<Cell> {
        let unit = self.columns.iter().find(|column| column.name == incident.metric).map_or("", |column| column.unit);
        let shown = |figure: Option<f64>| figure.map_or("?".to_owned(), |figure| value(figure, unit));
        let peak = &incident.peak;
        let band = match (peak.lower, peak.upper) {
            (Some(lower), Some(upper)) => format!("{} to {}", shown(Some(lower)), shown(Some(upper))),
            (Some(lower), None) => format!("from {}", shown(Some(lower))),
            (None, Some(upper)) => format!("up to {}", shown(Some(upper))),
            (None, None) => "unknown".to_owned(),
        };
        let open = if incident.open { ", open" } else { "" };
        let mut row = vec![
            Cell::toned(incident.number.to_string(), Tone::Bad),
            incident.from.as_str().into(),
            format!("{}{open}", duration(incident.seconds)).into(),
        ];
        if several {
            row.push(incident.metric.as_str().into());
        }
        row.extend([shown(peak.value).into(), band.into(), score(peak.score).into()]);
        if wide {
            row.extend([
                peak.at.as_str().into(),
                shown(peak.expected).into(),
                incident.rows.to_string().into(),
                peak.departure.unwrap_or("unknown").into(),
            ]);
        }
        row
    }
}

impl Report for BacktestReport {
    fn tables(&self, wide: bool) -> Vec<Table> {
        let mut tables = vec![self.incident_table(wide)];
        if let Some(labels) = &self.labels {
            let rows = labels.windows.iter().map(|window| {
                let found = match window.delay_seconds {
                    Some(seconds) => Cell::toned(format!("after {}", duration(seconds)), Tone::Good),
                    None if window.outside => "outside the data".into(),
                    None => Cell::toned("no", Tone::Bad),
                };
                vec![window.from.as_str().into(), window.to.as_str().into(), found]
            });
            tables.push(Table { headers: vec!["LABELLED FROM", "TO", "FOUND"], rows: rows.collect() });
        }
        tables
    }

    fn names(&self) -> Vec<String> {
        self.incidents.iter().map(|incident| format!("incident/{}", incident.number)).collect()
    }

    fn text(&self, wide: bool, headers: bool, colour: bool) -> String {
        let mut text = self.heading();
        if let Some(labels) = &self.labels {
            text.push_str(&format!("Labels:     {}\n", agreement(labels)));
        }
        for table in self.tables(wide) {
            let rendered = table.render(headers, colour);
            if !rendered.is_empty() {
                text.push('\n');
                text.push_str(&rendered);
            }
        }
        let column = self.summary.main_column(self.judged_columns().map(|(place, _)| place));
        if let Some(facts) = self.columns.get(column) {
            let title = if self.columns.len() > 1 { Some(facts.name.as_str()) } else { None };
            let plot = plot::plot(&self.summary.bins, column, facts.unit, title, self.format, self.canvas, colour);
            if !plot.is_empty() {
                text.push('\n');
                text.push_str(&plot);
            }
        }
        text
    }
}

pub(super) fn agreement(labels: &Agreement) -> String {
    let found = labels.windows.iter().filter(|window| window.found).count();
    let outside = labels.windows.iter().filter(|window| window.outside).count();
    let mut parts = vec![format!("{found} of {} found", labels.windows.len() - outside)];
    if outside > 0 {
        parts.push(format!("{outside} outside the data"));
    }
    if let Some(delay) = labels.median_delay_seconds {
        parts.push(format!("median delay {}", duration(delay)));
    }
    if let Some(precision) = labels.precision {
        parts.push(format!("precision {}", percent(precision)));
    }
    if let Some(recall) = labels.recall {
        parts.push(format!("recall {}", percent(recall)));
    }
    let rate = labels.false_incidents_per_week.map(|rate| format!(" ({} a week)", number(rate))).unwrap_or_default();
    parts.push(format!("false incidents {}{rate}", labels.false_incidents));
    parts.join(", ")
}

/// A score with as many digits as set it apart from 1.
pub(super) fn score(score: f64) -> String {
    let rest = 1.0 - score;
    if !(rest > 0.0 && rest < 0.01) {
        return number(score);
    }
    // Never more digits than a double has, and cut off rather than rounded: 1 would say that it is certain.
    let digits = ((-rest.log10()).floor() as i32 + 2).clamp(3, 15);
    let scale = 10_f64.powi(digits);
    format!("{:.*}", digits as usize, (score * scale).floor() / scale)
}

fn duration(seconds: f64) -> String {
    let end = k8s_openapi::jiff::Timestamp::from_second(seconds as i64);
    end.map_or_else(|_| format!("{seconds} s"), |end| age(Some(k8s_openapi::jiff::Timestamp::UNIX_EPOCH), end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_shows_how_far_it_is_from_certain() {
        for (value, text) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (0.999, "0.9990"),
            (0.99999, "0.999990"),
            (0.999_996, "0.9999960"),
            (1.0 - 1e-12, "0.99999999999900"),
            (1.0, "1"),
        ] {
            let shown = score(value);
            let near = (shown.parse::<f64>().unwrap() - value).abs() <= 0.011 * (1.0 - value) + 1e-15;
            assert!(near && shown.len() <= text.len() + 1, "{value}: {shown}");
        }
    }
}
