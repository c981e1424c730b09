//! `--labels FILE`: known anomalies, and how the alarms met them.

use std::path::Path;

use serde::Serialize;

use super::super::failure::Failure;
use super::super::files::read_small;
use super::super::series::{TimestampFormat, parse_timestamp};
use super::super::text::clean;

const ALLOWED: &str = "a JSON list of [from, to], each a timestamp in quotes";
const WEEK_MS: f64 = 604_800_000.0;

/// A known anomaly: milliseconds since the Unix epoch, both ends belong to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Window {
    pub from: i64,
    pub to: i64,
}

/// Reads the file.
pub(super) fn read(path: &Path) -> Result<Vec<Window>, Failure> {
    let name = path.display();
    let parsed = read_small(path).and_then(|bytes| parse(&bytes));
    parsed.map_err(|message| Failure::Usage(format!("{name}: {message}")))
}

fn parse(bytes: &[u8]) -> Result<Vec<Window>, String> {
    // serde's words name line and column.
    let pairs: Vec<(String, String)> =
        serde_json::from_slice(bytes).map_err(|error| format!("{error}; allowed: {ALLOWED}"))?;
    let mut windows = Vec::with_capacity(pairs.len());
    for (index, (from, to)) in pairs.iter().enumerate() {
        let time = |text: &str| {
            let found: String = clean(text).chars().take(40).collect();
            parse_timestamp(text.as_bytes())
                .ok_or_else(|| format!("window {}: found {found:?}, allowed: {ALLOWED}", index + 1))
        };
        let window = Window { from: time(from)?, to: time(to)? };
        if window.from > window.to {
            return Err(format!("window {}: found its end before its beginning, allowed: [from, to]", index + 1));
        }
        windows.push(window);
    }
    windows.sort_by_key(|window| (window.from, window.to));
    Ok(windows)
}

/// How the alarms met the windows, as they come.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    windows: Vec<Window>,
    /// Whether any row lies in each window.
    seen: Vec<bool>,
    /// First alarm inside each window, milliseconds since the Unix epoch.
    found_at: Vec<Option<i64>>,
}

impl Tally {
    pub(super) fn new(windows: Vec<Window>) -> Self {
        Self { seen: vec![false; windows.len()], found_at: vec![None; windows.len()], windows }
    }

    /// Notes a row.
    pub(super) fn row(&mut self, at: i64) {
        for (window, seen) in self.windows.iter().zip(&mut self.seen) {
            *seen |= (window.from..=window.to).contains(&at);
        }
    }

    /// Notes an alarm; whether it lies in a window.
    pub(super) fn alarm(&mut self, at: i64) -> bool {
        let mut inside = false;
        for (window, found) in self.windows.iter().zip(&mut self.found_at) {
            if (window.from..=window.to).contains(&at) {
                inside = true;
                found.get_or_insert(at);
            }
        }
        inside
    }

    /// The figures: `incidents` in all, `inside` of them with an alarm in a window, over so long.
    pub(super) fn figures(&self, incidents: u64, inside: u64, lasted_ms: i64, format: TimestampFormat) -> Agreement {
        let found = self.found_at.iter().flatten().count();
        let windows: Vec<WindowFigures> = self
            .windows
            .iter()
            .zip(&self.found_at)
            .zip(&self.seen)
            .map(|((window, found_at), seen)| WindowFigures {
                from: format.print(window.from),
                to: format.print(window.to),
                found: found_at.is_some(),
                outside: !seen,
                delay_seconds: found_at.map(|at| (at - window.from) as f64 / 1000.0),
            })
            .collect();
        let mut delays: Vec<f64> = windows.iter().filter_map(|window| window.delay_seconds).collect();
        delays.sort_by(f64::total_cmp);
        let median = delays.len().checked_sub(1).map(|last| f64::midpoint(delays[last / 2], delays[last.div_ceil(2)]));
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        let false_incidents = incidents - inside;
        let within = windows.iter().filter(|window| !window.outside).count();
        Agreement {
            precision: if within > 0 { share(inside as f64, incidents as f64) } else { None },
            recall: share(found as f64, within as f64),
            median_delay_seconds: median,
            false_incidents,
            false_incidents_per_week: share(false_incidents as f64, lasted_ms as f64 / WEEK_MS),
            windows,
        }
    }
}

/// How incidents and known anomalies agree.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Agreement {
    /// Share of the incidents with an alarm inside a window; `null` without incidents or windows that the data reach.
    pub precision: Option<f64>,
    /// Share of the windows with an alarm inside, of those that the data reach; `null` without any.
    pub recall: Option<f64>,
    /// Median time from a window's beginning to the first alarm inside, of those that were found.
    pub median_delay_seconds: Option<f64>,
    /// Incidents without an alarm inside any window.
    pub false_incidents: u64,
    pub false_incidents_per_week: Option<f64>,
    pub windows: Vec<WindowFigures>,
}

/// One window.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WindowFigures {
    pub from: String,
    pub to: String,
    pub found: bool,
    /// No row lies in it.
    pub outside: bool,
    pub delay_seconds: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_pairs_of_timestamps_in_order() {
        let text = br#"[["2026-03-02 00:00:00.000000", "2026-03-02T01:00:00Z"], ["2026-03-01 00:00:00", "2026-03-01 00:00:00"]]"#;
        let from = 1_772_323_200_000;
        let day = 86_400_000;
        let expected = [Window { from, to: from }, Window { from: from + day, to: from + day + 3_600_000 }];
        assert_eq!(parse(text).unwrap(), expected);
        assert_eq!(parse(b"[]").unwrap(), []);
    }

    #[test]
    fn what_is_no_list_of_windows_is_named() {
        for (text, words) in [
            ("", "line 1 column 0"),
            ("{}", "invalid type: map"),
            (r#"[["2026-03-01 00:00:00"]]"#, "invalid length 1"),
            (r#"[["yesterday", "2026-03-01 00:00:00"]]"#, "window 1: found \"yesterday\", allowed: a JSON list"),
            (r#"[["2026-03-02 00:00:00", "2026-03-01 00:00:00"]]"#, "window 1: found its end before its beginning"),
        ] {
            let said = parse(text.as_bytes()).unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        }
    }

    #[test]
    fn precision_counts_incidents_and_recall_windows() {
        let window = |from: i64, to: i64| Window { from: from * 1000, to: to * 1000 };
        let mut tally = Tally::new(vec![window(10, 20), window(30, 40), window(50, 60), window(70, 80)]);
        for at in [5, 12, 15, 20, 36, 55, 61, 81] {
            tally.row(at * 1000);
        }
        let inside = [5, 12, 15, 20, 61].into_iter().filter(|at| tally.alarm(at * 1000)).count();
        assert_eq!(inside, 3);
        assert!(tally.alarm(36_000));
        let week = 604_800_000;
        let figures = tally.figures(4, 2, 2 * week, TimestampFormat::default());
        assert_eq!(figures.precision, Some(0.5));
        assert_eq!(figures.recall, Some(2.0 / 3.0));
        assert_eq!(figures.median_delay_seconds, Some(4.0));
        assert_eq!((figures.false_incidents, figures.false_incidents_per_week), (2, Some(1.0)));
        let delays: Vec<Option<f64>> = figures.windows.iter().map(|window| window.delay_seconds).collect();
        assert_eq!(delays, [Some(2.0), Some(6.0), None, None]);
        let outside: Vec<bool> = figures.windows.iter().map(|window| window.outside).collect();
        assert_eq!(outside, [false, false, false, true], "and it counts as no miss");
        let unreached = Tally::new(vec![window(70, 80)]).figures(2, 0, 2 * week, TimestampFormat::default());
        assert_eq!((unreached.precision, unreached.recall), (None, None), "no window says anything of these");
    }
}
